"""
How each member of a pool stands, for people and for those who measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from appgw.backend.candidate import Candidate
from appgw.backend.diagnosis import NO_ADDRESS, NOT_PROBED, NOT_PROBED_YET
from appgw.backend.health import UNKNOWN
from appgw.backend.pool import Pool
from appgw.config.model import Member


@attrs.frozen
class Standing:
    """
    How one address of a member stands.

    Attributes:
        address: the member's, as configured.
        endpoint: ``address:port``, IPv6 in brackets; empty where a name has no
            address.
        health: Azure's word.
        told: what came of the last probe.
        probed: it is, or would be if it had an address.
    """

    address: str
    endpoint: str
    health: Literal["Up", "Down", "Unknown"]
    told: str
    probed: bool = True


def standings(pool: Pool) -> Iterator[Standing]:
    """
    Say how the members of *pool* stand, in the configuration's order.
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


def _standing(pool: Pool, candidate: Candidate, out: frozenset[Candidate]) -> Standing:
    address, endpoint = candidate.member.address, candidate.label
    if candidate.question is None:
        return Standing(address, endpoint, "Unknown", NOT_PROBED, probed=False)
    health = pool.health.get(candidate.spot, UNKNOWN)
    told = health.told or NOT_PROBED_YET
    if health.state == "unknown":
        return Standing(address, endpoint, "Unknown", told)
    if candidate in out:
        return Standing(address, endpoint, "Down", told)
    if health.state == "unhealthy":
        told += " (It stays in, because of min_servers.)"
    return Standing(address, endpoint, "Up", told)
