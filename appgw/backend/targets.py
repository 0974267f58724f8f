"""
From the configuration to a backend's identity.

The only place that decides what a backend must prove: which pins, which roots,
which name. Nothing here depends on a request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import attrs

from appgw.backend.target import Target
from appgw.config.model import (
    WELL_KNOWN,
    BackendSettings,
    Certificate,
    Member,
    Pin,
    TrustedRoot,
)


def ip_literal(text: str) -> str | None:
    """
    Return the one spelling of an IP address, or None where *text* is a name.

    Brackets around an IPv6 address are taken off (RFC 3986, 3.2.2).
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


class Endpoint(NamedTuple):
    """
    One address of a member.

    Attributes:
        address: an IP address without brackets.
    """

    member: Member
    address: str


def endpoints_of(
    members: Iterable[Member], known: Mapping[str, Sequence[str]]
) -> list[Endpoint]:
    """
    Pair members with their addresses, in the members' order.

    Args:
        members: of a pool.
        known: IP addresses by host name; a member that is an IP address needs
            no entry, one that is missing has no endpoint.
    """
    found: list[Endpoint] = []
    for member in members:
        literal = ip_literal(member.address)
        addresses = known.get(member.address, ()) if literal is None else (literal,)
        found += (Endpoint(member, address) for address in addresses)
    return found


def name_for(settings: BackendSettings, member: Member) -> str:
    """
    Return the name a backend goes by: for SNI, and for a check of its name.

    It is the setting's ``host_name``, else the member's own: a DNS name in lower
    case without the root's dot, or an IP address without brackets and zone.
    """
    name = settings.host_name
    if name is None or settings.pick_host_name_from_backend_address:
        name = member.address
    literal = ip_literal(name)
    if literal is not None:
        return literal.partition("%")[0]
    return name.lower().removesuffix(".")


def host_for(settings: BackendSettings, member: Member) -> bytes | None:
    """
    Return the Host that a member is sent, None for the client's own.

    Azure's ``hostName`` and ``pickHostNameFromBackendAddress``; neither adds a
    port.
    """
    if settings.host_name is None and not settings.pick_host_name_from_backend_address:
        return None
    name = name_for(settings, member)
    return f"[{name}]".encode() if ":" in name else name.encode()


def target_for(
    settings: BackendSettings,
    member: Member,
    address: str,
    pins: Mapping[str, Pin],
    roots: Mapping[str, TrustedRoot],
    certificates: Mapping[str, Certificate],
) -> Target:
    """
    Say what must hold before a byte is sent to *address*.

    Args:
        settings: how the pool is talked to.
        member: whose address it is; its own pins and port win.
        address: an IP address without brackets.
        pins, roots, certificates: all that the configuration has, by name.

    Returns:
        A Target. Under https with neither pins nor roots it admits nothing.

    Raises:
        KeyError: a name that the configuration does not have.
    """
    port = settings.port if member.port is None else member.port
    if settings.protocol == "http":
        return Target(address=address, port=port, protocol="http", alpn=())
    name, trusted = name_for(settings, member), _roots(settings, roots)
    return Target(
        address=address,
        port=port,
        server_name=name if ip_literal(name) is None else None,
        name=name,
        pins=_pins(settings, member, pins),
        revoked=revoked_pins(pins),
        detect=settings.pin_mode == "detect",
        roots=trusted,
        well_known=WELL_KNOWN in settings.trusted_roots,
        verify_name=settings.verify_name or trusted is not None,
        client_certificate=_shown(settings, certificates),
    )


def _shown(
    settings: BackendSettings, certificates: Mapping[str, Certificate]
) -> Certificate | None:
    """
    Return what backends of a setting are shown; what is stapled for clients is
    no part of it.
    """
    if settings.client_certificate is None:
        return None
    return attrs.evolve(certificates[settings.client_certificate], ocsp_response=None)


def revoked_pins(pins: Mapping[str, Pin]) -> tuple[Pin, ...]:
    """
    Return those that are revoked: for every backend, on whatever list they stand.
    """
    return tuple(pin for pin in pins.values() if pin.state == "revoked")


def _pins(
    settings: BackendSettings, member: Member, pins: Mapping[str, Pin]
) -> tuple[Pin, ...] | None:
    """
    Return the pins of a member; None only where roots stand in for them.
    """
    names = settings.pins if member.pins is None else member.pins
    if not names and member.pins is None and settings.trusted_roots:
        return None
    listed = dict.fromkeys(pins[name] for name in names)
    return tuple(pin for pin in listed if pin.state != "revoked")


def _roots(
    settings: BackendSettings, roots: Mapping[str, TrustedRoot]
) -> tuple[bytes, ...] | None:
    """
    Return every certificate of the setting's roots; None where it names none.
    """
    if not settings.trusted_roots:
        return None
    named = [roots[name] for name in settings.trusted_roots if name != WELL_KNOWN]
    return tuple(dict.fromkeys(der for root in named for der in root.certificates))
