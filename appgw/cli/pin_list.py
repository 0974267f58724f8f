"""
``appgw pins list``: every pin, what it stands for, and how its life goes.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import click

from appgw.backend.presented import Presented
from appgw.cli.check import printable
from appgw.config.model import Config, Member, Pin
from appgw.config.read import ConfigError, read
from appgw.pin_state import Match, StateError, load

_FORMAT: Final = "%Y-%m-%d %H:%M UTC"


@attrs.frozen
class Entry:
    """
    A pin with what else is known of it.

    Attributes:
        leaf: its certificate, where it came from a file.
        settings: names of those that list it.
        members: those that list it, with the names of their pools.
        met: when it last matched; None: never, or nobody knows.
    """

    pin: Pin
    leaf: Presented | None
    settings: tuple[str, ...]
    members: tuple[tuple[str, Member], ...]
    met: Match | None


@click.command("list")
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def list_pins(context: click.Context, path: str, *, as_json: bool) -> None:
    """
    List every pin of a configuration.

    With its state, what it stands for, the dates, the settings and members that
    list it, and when a backend was last admitted by it: that is known where the
    configuration has pin_state, and written at most once a minute.
    """
    try:
        config = read(path)
    except ConfigError as error:
        for line in str(error).splitlines():
            click.echo(printable(line), err=True)
        context.exit(1)
    known: dict[str, Match] = {}
    if config.pin_state is not None:
        try:
            known = load(Path(config.pin_state), config.pins.values())
        except StateError as error:
            click.echo(printable(f"Warning: {error}"), err=True)
    found = list(entries(config, known))
    if as_json:
        click.echo(json.dumps([_as_json(entry) for entry in found], indent=2))
        return
    today = datetime.datetime.now(datetime.UTC).date()
    kept = config.pin_state is not None
    for line in told(found, config, today, kept=kept):
        click.echo(printable(line))


def entries(config: Config, known: dict[str, Match]) -> Iterator[Entry]:
    """
    Put together what is known of each pin, in the configuration's order.
    """
    for name, pin in config.pins.items():
        yield Entry(
            pin,
            None if pin.certificate is None else Presented.from_der(pin.certificate),
            tuple(
                one.name for one in config.backend_settings.values() if name in one.pins
            ),
            tuple(
                (pool.name, member)
                for pool in config.pools.values()
                for member in pool.members
                if name in (member.pins or ())
            ),
            known.get(name),
        )


def told(
    found: Iterable[Entry], config: Config, today: datetime.date, *, kept: bool
) -> Iterator[str]:
    """
    Write pins for people.

    Args:
        kept: there is a file that keeps when they last matched.
    """
    for entry in found:
        pin = entry.pin
        odd = (
            ""
            if pin.state == "revoked" or pin.admits_on(today)
            else ", out of its dates"
        )
        yield f"{pin.name}: {pin.state}{odd}"
        yield f"  stands for    {_stands_for(pin)}"
        if entry.leaf is not None:
            yield f"  subject       {entry.leaf.subject or '(empty)'}"
        yield from _dates(entry)
        if pin.owner is not None:
            yield f"  owner         {pin.owner}"
        if pin.comment is not None:
            yield f"  comment       {pin.comment}"
        settings = [_setting(config, name) for name in entry.settings]
        yield f"  settings      {', '.join(settings) or '(none)'}"
        if entry.members:
            members = [_member(pool, member) for pool, member in entry.members]
            yield f"  members       {', '.join(members)}"
        if entry.met is not None:
            yield f"  last matched  {entry.met.at.astimezone(datetime.UTC):{_FORMAT}}"
        else:
            yield f"  last matched  {'never' if kept else 'not known: no pin_state'}"
    if not config.pins:
        yield "There are no pins."


def _stands_for(pin: Pin) -> str:
    if pin.sha256 is not None:
        return f"the certificate with SHA-256 {pin.sha256.hex()}"
    digest = base64.b64encode(pin.spki_sha256 or b"").decode("ascii")
    return f"any certificate with SPKI SHA-256 {digest}"


def _dates(entry: Entry) -> Iterator[str]:
    pin, leaf, met = entry.pin, entry.leaf, entry.met
    if leaf is not None:
        yield f"  valid         {_span(leaf.not_before, leaf.not_after)}"
    elif met is not None:
        span = _span(met.not_before, met.not_after)
        yield f"  valid         {span}, as last presented"
    if pin.not_before is not None or pin.not_after is not None:
        first = "" if pin.not_before is None else f"from {pin.not_before} "
        last = "" if pin.not_after is None else f"to the end of {pin.not_after}"
        yield f"  admits        {f'{first}{last}'.strip()}, UTC"
    if pin.allow_expired:
        yield "  admits        expired certificates, too"


def _span(first: datetime.datetime, last: datetime.datetime) -> str:
    first, last = first.astimezone(datetime.UTC), last.astimezone(datetime.UTC)
    return f"{first:{_FORMAT}} to {last:{_FORMAT}}"


def _member(pool: str, member: Member) -> str:
    port = "" if member.port is None else f" port {member.port}"
    return f"{member.address}{port} of {pool}"


def _setting(config: Config, name: str) -> str:
    detects = config.backend_settings[name].pin_mode == "detect"
    return f"{name} (detects only)" if detects else name


def _as_json(entry: Entry) -> dict[str, Any]:
    pin, leaf, met = entry.pin, entry.leaf, entry.met
    return {
        "name": pin.name,
        "state": pin.state,
        "sha256": pin.sha256 and pin.sha256.hex(),
        "spki_sha256": pin.spki_sha256 and pin.spki_sha256.hex(),
        "subject": leaf and leaf.subject,
        "valid": leaf and [leaf.not_before.isoformat(), leaf.not_after.isoformat()],
        "not_before": pin.not_before and str(pin.not_before),
        "not_after": pin.not_after and str(pin.not_after),
        "allow_expired": pin.allow_expired,
        "owner": pin.owner,
        "comment": pin.comment,
        "settings": list(entry.settings),
        "members": [
            {"pool": pool, "address": member.address, "port": member.port}
            for pool, member in entry.members
        ],
        "last_matched": met
        and {
            "at": met.at.isoformat(),
            "sha256": met.sha256,
            "valid": [met.not_before.isoformat(), met.not_after.isoformat()],
        },
    }
