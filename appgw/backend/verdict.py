"""
Whether what a backend presents is what the configuration allows: the decision.

``judge`` is the one function that decides. It is called twice in a connection's
life, by ``appgw.backend.trust``: while the backend's certificate is verified,
and again when the handshake is over. No I/O and no TLS here.
"""

from __future__ import annotations

import base64
import datetime
from typing import Literal

import attrs

from appgw.backend.presented import Presented, printable
from appgw.backend.target import Target
from appgw.config.model import Pin

Reason = Literal[
    "admitted",
    "no-certificate",
    "unreadable",
    "no-trust",
    "revoked",
    "not-pinned",
    "pin-expired",
    "pin-not-yet-valid",
    "expired",
    "not-yet-valid",
    "chain",
    "name",
    "unfinished",
    "error",
]
"""Machine words for logs and counters; ``_SENTENCES`` has the human ones."""

_SENTENCES: dict[Reason, str] = {
    "admitted": "its certificate is allowed",
    "no-certificate": "it presented no certificate",
    "unreadable": "its certificate cannot be read",
    "no-trust": "there are neither pins nor trusted roots for it",
    "revoked": "its certificate or key is revoked",
    "not-pinned": "its certificate is not on the allow-list",
    "pin-expired": "the pin that matches is past its not_after",
    "pin-not-yet-valid": "the pin that matches is before its not_before",
    "expired": "its certificate has expired",
    "not-yet-valid": "its certificate is not valid yet",
    "chain": "its chain leads to no trusted root",
    "name": "its certificate is not valid for the name expected",
    "unfinished": "the handshake has not ended",
    "error": "its certificate could not be judged",
}

_LISTED = 10


@attrs.frozen
class Verdict:
    """
    What was decided about one connection.

    Attributes:
        admitted: requests may be sent.
        reason: a word for logs and counters.
        pin: the name of the pin that matched, if any did, also in a refusal.
        presented: what the backend has shown; None for nothing.
        detail: what else is known about the reason, printable.
        openssl: why OpenSSL broke the chain: its error's code, and how far from
            the leaf; 0 and 0 where it was not asked or saw no error.
        overlooked: why pins that only detect would have refused what is admitted.
    """

    admitted: bool
    reason: Reason
    pin: str | None = None
    presented: Presented | None = None
    detail: str = ""
    openssl: tuple[int, int] = (0, 0)
    overlooked: Reason | None = None

    def explain(self, target: Target) -> str:
        """
        Tell in one line what was decided, from what, and how to see more.

        For the operator's eyes: a client gets none of it.
        """
        said = _SENTENCES[self.overlooked or self.reason]
        if self.detail:
            said += f" ({self.detail})"
        word = "admitted" if self.admitted else "refused"
        if self.overlooked is not None:
            word = "admitted, as pin_mode is detect, else refused"
        parts = [f"{target}: {word}: {said}"]
        if self.pin is not None:
            parts.append(f"matching pin: {self.pin}{_owned(self.pin, target)}")
        parts.append(_shown(self.presented))
        if target.pins is not None:
            parts.append(f"allowed: {_allowed(target.pins)}")
        parts.append(f"to see more: {fetch_command(target)}")
        return "; ".join(parts)


def judge(
    target: Target,
    presented: Presented | None,
    now: datetime.datetime,
    *,
    chain_verified: bool,
    name_error: str | None,
) -> Verdict:
    """
    Decide whether *presented* is what *target* allows. Any doubt is a no.

    Args:
        target: what must hold.
        presented: the leaf, None when there was none.
        now: an aware time.
        chain_verified: OpenSSL has led the chain to one of the target's roots;
            does not matter to a target without roots.
        name_error: why the certificate is not valid for the target's name,
            None if it is; does not matter where no name is demanded.
    """
    try:
        return _judge(target, presented, now, chain_verified, name_error)
    except Exception as error:
        return Verdict(False, "error", None, presented, type(error).__name__)


def _judge(
    target: Target,
    presented: Presented | None,
    now: datetime.datetime,
    chain_verified: bool,
    name_error: str | None,
) -> Verdict:
    if presented is None:
        return Verdict(False, "no-certificate")
    if not presented.readable:
        return Verdict(False, "unreadable", None, presented)
    chained, dates = needs_chain(target), _dates(presented, now)
    late = dates is not None and not chained
    pinned, lenient = _pinned(target, presented, now, late=late)
    if not pinned.admitted:
        return pinned
    if dates is not None and not (late and lenient):
        return Verdict(False, dates, pinned.pin, presented, _validity(presented))
    if chained and not chain_verified:
        return Verdict(False, "chain", pinned.pin, presented)
    if needs_name(target) and name_error is not None:
        return Verdict(False, "name", pinned.pin, presented, name_error)
    return pinned


def _pinned(
    target: Target, presented: Presented, now: datetime.datetime, *, late: bool
) -> tuple[Verdict, bool]:
    """
    Judge by the pins alone.

    Args:
        late: a pin that lifts the dates of the certificate is wanted.

    Returns:
        The verdict, and whether the pin that matches lifts them.
    """
    for gone in target.revoked:
        if matches(gone, presented):
            return Verdict(False, "revoked", gone.name, presented), False
    if target.pins is None and needs_chain(target):
        return Verdict(True, "admitted", None, presented), False
    if target.pins is None:
        return Verdict(False, "no-trust", None, presented), False
    found = _matching(target.pins, presented, now, late=late)
    if isinstance(found, Pin):
        return Verdict(True, "admitted", found.name, presented), found.allow_expired
    why = found.reason
    if target.detect and needs_chain(target) and why != "revoked":
        found = attrs.evolve(found, admitted=True, reason="admitted", overlooked=why)
    return found, False


def _matching(
    pins: tuple[Pin, ...],
    presented: Presented,
    now: datetime.datetime,
    *,
    late: bool,
) -> Pin | Verdict:
    """
    Choose among the pins that match the leaf the one that allows most, and of
    several the one that is to stay.

    Args:
        late: one that allows expired certificates comes first.
    """
    matching = [pin for pin in pins if matches(pin, presented)]
    if not matching:
        return Verdict(False, "not-pinned", None, presented)
    for pin in matching:
        if pin.state == "revoked":
            return Verdict(False, "revoked", pin.name, presented)
    today = now.astimezone(datetime.UTC).date()
    live = [pin for pin in matching if pin.admits_on(today)]
    if not live:
        return _out_of_dates(matching[0], presented, today)
    if late:
        live = [pin for pin in live if pin.allow_expired] or live
    return next((pin for pin in live if pin.state != "retiring"), live[0])


def _out_of_dates(pin: Pin, presented: Presented, today: datetime.date) -> Verdict:
    """
    Say why a pin that matches admits nothing today.
    """
    if pin.not_after is not None and pin.not_after < today:
        return Verdict(False, "pin-expired", pin.name, presented, str(pin.not_after))
    return Verdict(False, "pin-not-yet-valid", pin.name, presented, str(pin.not_before))


def matches(pin: Pin, presented: Presented) -> bool:
    """
    Tell whether a pin stands for this leaf, or for its key.
    """
    if pin.sha256 is None and pin.spki_sha256 is None:
        return False
    if pin.sha256 is not None and pin.sha256 != presented.sha256:
        return False
    return pin.spki_sha256 is None or pin.spki_sha256 == presented.spki_sha256


def _dates(presented: Presented, now: datetime.datetime) -> Reason | None:
    # Comparing first: a naive time raises, and that is a no.
    if now > presented.not_after:
        return "expired"
    if now < presented.not_before:
        return "not-yet-valid"
    return None


def needs_chain(target: Target) -> bool:
    """
    Tell whether the target's trust rests on CAs (also).
    """
    return target.roots is not None or target.well_known


def needs_name(target: Target) -> bool:
    """
    Tell whether the certificate must be valid for the target's name.
    """
    return target.verify_name or needs_chain(target)


def _validity(presented: Presented) -> str:
    first, last = presented.not_before, presented.not_after
    return f"valid {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _shown(presented: Presented | None) -> str:
    if presented is None:
        return "presented: nothing"
    if not presented.readable:
        return f"presented: SHA-256 {presented.sha256.hex()}"
    return (
        f"presented: subject {presented.subject or '(empty)'}, "
        f"SHA-256 {presented.sha256.hex()}, "
        f"SPKI SHA-256 {base64.b64encode(presented.spki_sha256).decode('ascii')}"
    )


def _owned(name: str, target: Target) -> str:
    """
    Tell whom a pin is the affair of, where that is known.
    """
    for pin in (*target.revoked, *(target.pins or ())):
        if pin.name == name and pin.owner is not None:
            return f" (owner: {printable(pin.owner)})"
    return ""


def _allowed(pins: tuple[Pin, ...]) -> str:
    if not pins:
        return "nothing"
    told = [_pin(pin) for pin in pins[:_LISTED]]
    if len(pins) > _LISTED:
        told.append(f"and {len(pins) - _LISTED} more")
    return ", ".join(told)


def _pin(pin: Pin) -> str:
    state = "" if pin.state == "active" else f", {pin.state}"
    if pin.sha256 is not None:
        return f"{pin.name} (SHA-256 {pin.sha256.hex()}{state})"
    key = base64.b64encode(pin.spki_sha256 or b"").decode("ascii")
    return f"{pin.name} (SPKI SHA-256 {key}{state})"


def fetch_command(target: Target) -> str:
    """
    Write the command that shows what the target presents.
    """
    host = f"[{target.address}]" if ":" in target.address else target.address
    sni = f" --sni {target.server_name}" if target.server_name else ""
    return f"appgw pins fetch {host}:{target.port}{sni}"
