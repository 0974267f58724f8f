"""
How each member of a pool stands, for people and for those who measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

from appgw.backend.candidate import Candidate
from appgw.backend.diagnosis import NO_ADDRESS, NOT_PROBED, NOT_PROBED_YET
from appgw.backend.health import UNKNOWN
from appgw.backend.pool import Pool
from appgw.backend.rest import Rest
from appgw.config.model import Member

REMOVED: Final = "It was removed; what runs on it has some time left."


@attrs.frozen
class Standing:
    """
    How one address of a member stands.

    Attributes:
        address: the member's, as configured.
        endpoint: ``address:port``, IPv6 in brackets; empty where a name has no
            address.
        health: Azure's word.
        told: what came of the last probe, and what else there is to know.
        probed: it is, or would be if it had an address.
    """

    address: str
    endpoint: str
    health: Literal["Up", "Down", "Draining", "Unknown"]
    told: str
    probed: bool = True


def standings(pool: Pool) -> Iterator[Standing]:
    """
    Say how the members of *pool* stand, in the configuration's order, and at last
    those that were removed and still drain.
    """
    out = pool.left_out()
    addresses: dict[Member, list[Candidate]] = {}
    for candidate in pool.members:
        addresses.setdefault(candidate.member, []).append(candidate)
    for member in pool.configured:
        for candidate in addresses.get(member, ()):
            yield _standing(pool, candidate, out)
        if member not in addresses:
            yield Standing(member.address, "", "Down", NO_ADDRESS)
    for gone in pool.roster.leaving.values():
        yield Standing(gone.member.address, gone.label, "Draining", REMOVED, False)


def _standing(pool: Pool, candidate: Candidate, out: frozenset[Candidate]) -> Standing:
    address, endpoint = candidate.member.address, candidate.label
    probed = candidate.question is not None
    health = pool.health.get(candidate.spot, UNKNOWN) if probed else UNKNOWN
    told = (health.told or NOT_PROBED_YET) if probed else NOT_PROBED
    told += _rest(pool.rests.get(candidate.target))
    if candidate in out:
        return Standing(address, endpoint, "Down", told)
    if candidate.member.draining:
        return Standing(address, endpoint, "Draining", told, probed)
    if health.state == "unknown":
        return Standing(address, endpoint, "Unknown", told, probed)
    if health.state == "unhealthy":
        told += " (It stays in, because of min_servers.)"
    return Standing(address, endpoint, "Up", told)


def _rest(rest: Rest | None) -> str:
    """
    Say what requests hold against a member.
    """
    if rest is None or not rest.out:
        return ""
    why = "no connection came about"
    if rest.failures:
        why = f"{rest.failures} requests in a row have failed"
    return f" (It rests, and is asked last: {why}.)"
