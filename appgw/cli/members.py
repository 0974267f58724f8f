"""
Who could take a request, in words: in which order, why, and what each must show.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from appgw.backend.candidate import Candidate
from appgw.backend.pool import Pool
from appgw.backend.target import Target
from appgw.backend.targets import host_for, target_for
from appgw.config.model import BackendSettings, Config, Member, Pin
from appgw.message import Arrival, RequestHead, values_of
from appgw.route.source import source_of
from appgw.route.table import Route

_HOW: Final = {
    "RoundRobin": "in turn, by weight",
    "LeastConnections": "in turn, by weight, or the less busy of two",
    "IpHash": "by the client's address",
}


def told_members(
    config: Config, route: Route, head: RequestHead, arrival: Arrival
) -> Iterator[str]:
    """
    Say who could take the request; those whose order is known here in that order.

    A gateway that runs knows more: the addresses of names, and who is not well.
    """
    settings = route.settings
    members = config.pools[route.pool].members
    if not members:
        yield "members    none: 502"
        return
    offered, reason = _offered(config, route, head, arrival)
    yield f"members    {_HOW[settings.load_distribution_algorithm]}"
    known = config.pins, config.trusted_roots, config.certificates
    total = sum(member.weight for member in members if not member.draining)
    if reason:
        members = tuple(sorted(members, key=lambda m: _rank(m, offered)))
    for member in members:
        target = target_for(settings, member, member.address, *known)
        facts = [str(target)]
        if reason and offered[0].member is member:
            facts.append(f"asked first: {reason}")
        facts.append(_share(settings, member, total))
        facts += _demands(settings, target, host_for(settings, member) or b"")
        yield f"  {', '.join(filter(None, facts))}"
    if len(members) > 1:
        yield "  (as if all were well; appgw health tells how they are)"
    for pin in _pins(config, route):
        yield f"  pin {pin.name}: {_told_pin(pin)}"


def _offered(
    config: Config, route: Route, head: RequestHead, arrival: Arrival
) -> tuple[list[Candidate], str]:
    """
    Ask a pool of those whose addresses the file has.

    Returns:
        Who would be offered, and why the first is first; "" where it is only its
        turn, or where those with unknown addresses might be before it.
    """
    pair = route.pool, route.settings.name
    pool = Pool(config, pair, key=config.affinity.key or b"-", seconds=float)
    pool.take_over(None)
    affinity = None
    if config.affinity.key is not None:
        affinity = pool.affinity_in(values_of(head.headers, b"cookie"))
    source = None
    if pool.by_source:
        source = source_of(head, arrival, config.trusted_proxies)
    offered = list(pool.candidates(affinity, source))
    if affinity is not None:
        return offered, "the affinity cookie names it"
    if source is not None and offered and not pool.names:
        return offered, f"{source} belongs to it"
    return offered, ""


def _rank(member: Member, offered: list[Candidate]) -> int:
    for index, candidate in enumerate(offered):
        if candidate.member is member:
            return index
    return len(offered)


def _share(settings: BackendSettings, member: Member, total: int) -> str:
    """
    Say how much of the requests a member gets.
    """
    if not member.draining:
        return f"{member.weight} of {total} requests" if member.weight < total else ""
    if settings.cookie_based_affinity and settings.drain_sticky == "keep":
        return "draining: only clients that are bound to it"
    return "draining: nobody"


def _demands(settings: BackendSettings, target: Target, host: bytes) -> Iterator[str]:
    """
    Say what is sent to a member by name, and what it must show.
    """
    if target.server_name is not None:
        yield f"SNI {target.server_name}"
    if settings.pick_host_name_from_backend_address:
        yield f"Host {host.decode('ascii', 'backslashreplace')}"
    if target.pins is not None and target.protocol == "https":
        names = " or ".join(pin.name for pin in target.pins) or "nothing at all"
        yield f"must show {names}"
    if settings.trusted_roots:
        yield f"signed under {' or '.join(settings.trusted_roots)}"
    if target.verify_name:
        yield f"valid for {target.name}"
    if target.client_certificate is not None:
        yield f"shown {target.client_certificate.name} if it asks"


def _pins(config: Config, route: Route) -> list[Pin]:
    """
    Every pin that admits some member, in the order of the file.
    """
    names = set(route.settings.pins)
    for member in config.pools[route.pool].members:
        names.update(member.pins or ())
    return [pin for name, pin in config.pins.items() if name in names]


def _told_pin(pin: Pin) -> str:
    if pin.sha256 is not None:
        digest = f"certificate SHA-256 {pin.sha256.hex()}"
    else:
        digest = f"public key SHA-256 {(pin.spki_sha256 or b'').hex()}"
    if pin.state != "active":
        digest = f"{pin.state}, {digest}"
    if pin.not_before is not None:
        digest += f", from {pin.not_before} UTC"
    if pin.not_after is not None:
        digest += f", to the end of {pin.not_after} UTC"
    return f"{digest}, expired or not" if pin.allow_expired else digest
