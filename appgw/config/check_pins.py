"""
What must hold for pins beyond each one by itself, and what their lives mean. Pure.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appgw.config.model import BackendSettings, Config, Pin
from appgw.config.problems import Finding, KeyPath, Places
from appgw.config.references import destinations


def pin_findings(
    config: Config, places: Places, now: datetime.datetime
) -> Iterator[Finding]:
    """
    Judge the states and dates of pins, and the lists that they stand on.
    """
    today = now.astimezone(datetime.UTC).date()
    lists = list(pin_lists(config))
    listed = {name for _, names in lists for name in names}
    for pin in config.pins.values():
        yield from _life(pin, listed, places)
    yield from _withdrawn(config)
    for path, names in lists:
        if places.sound(*path):
            yield from _admitting(config, path, names, today)
    for settings in config.backend_settings.values():
        yield from _detecting(config, settings, places)


def pin_lists(config: Config) -> Iterator[tuple[KeyPath, tuple[str, ...]]]:
    """
    Walk over every list of pins: where it stands, and the names on it.
    """
    for name, settings in config.backend_settings.items():
        if settings.pins:
            yield ("backend_settings", name, "pins"), settings.pins
    for name, pool in config.pools.items():
        for index, member in enumerate(pool.members):
            if member.pins:
                yield ("pools", name, "members", index, "pins"), member.pins


def _life(pin: Pin, listed: set[str], places: Places) -> Iterator[Finding]:
    here: KeyPath = ("pins", pin.name)
    first, last = pin.not_before, pin.not_after
    if first is not None and last is not None and last < first:
        yield Finding((*here, "not_after"), f"{last}, before not_before", "a later day")
    if pin.state == "next" and pin.name not in listed and places.sound(*here):
        found = "next, where no setting and no member lists the pin"
        expected = "it beside the pin that it follows, before the backend changes"
        yield Finding((*here, "state"), found, expected, "warning")


def _withdrawn(config: Config) -> Iterator[Finding]:
    """
    Find pins that mean to admit what another one revokes.
    """
    revoked = [pin for pin in config.pins.values() if pin.state == "revoked"]
    leaves = {pin.sha256: pin.name for pin in revoked}
    keys = {pin.spki_sha256: pin.name for pin in revoked}
    for pin in config.pins.values() if revoked else ():
        if pin.state == "revoked":
            continue
        by = pin.sha256 and leaves.get(pin.sha256)
        if by is None and (key := pin.spki_sha256 or _key_of(pin)):
            by = keys.get(key)
        if by is not None:
            found = f"what pin {by!r} revokes, so it admits nothing"
            yield Finding(("pins", pin.name), found, "another pin", "warning")


def _key_of(pin: Pin) -> bytes | None:
    """
    Return the SPKI's SHA-256 of a pin that came from a file.
    """
    if pin.certificate is None:
        return None
    try:
        key = x509.load_der_x509_certificate(pin.certificate).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:
        # A kind of key that cryptography doesn't know.
        return None
    return hashlib.sha256(spki).digest()


def _admitting(
    config: Config, path: KeyPath, names: tuple[str, ...], today: datetime.date
) -> Iterator[Finding]:
    pins = [config.pins[name] for name in names if name in config.pins]
    if len(pins) < len(names) or any(pin.admits_on(today) for pin in pins):
        return
    # Those whose last day has passed have their own warning.
    if any(pin.not_after is None or pin.not_after >= today for pin in pins):
        found = "no pin that admits anything today: revoked, or out of their dates"
        yield Finding(path, found, "one that does", "warning")


def _detecting(
    config: Config, settings: BackendSettings, places: Places
) -> Iterator[Finding]:
    here: KeyPath = ("backend_settings", settings.name)
    key = (*here, "pin_mode")
    if settings.pin_mode != "detect" or not places.sound(*here):
        return
    if settings.protocol == "http":
        expected = "none, as with protocol http no certificate is seen"
        yield Finding(key, "it", expected)
    elif not settings.trusted_roots:
        expected = "prevent, or trusted_roots: something must say whom to trust"
        yield Finding(key, "detect without trusted_roots", expected)
    elif settings.pins or _pinned_members(config, settings):
        found = "detect: a certificate that isn't pinned is told of, and let through"
        yield Finding(key, found, "prevent, once nothing more is told", "warning")
    else:
        yield Finding(key, "detect without any pins", "pins", "warning")


def _pinned_members(config: Config, settings: BackendSettings) -> bool:
    """
    Tell whether a rule leads through *settings* to a member with pins of its own.
    """
    pools = {
        there.pool or ""
        for _, there in destinations(config)
        if there.backend_settings == settings.name
    }
    return any(
        member.pins
        for name in pools
        if name in config.pools
        for member in config.pools[name].members
    )
