"""
Configurations of one pool under one setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from appgw.backend.candidate import Candidate
from appgw.backend.pool import Pool
from appgw.config import model

PAIR = ("web", "secure")
SETTINGS = model.BackendSettings(
    name="secure", protocol="https", port=443, pins=("leaf",)
)
PINS = {
    "leaf": model.Pin(name="leaf", sha256=b"\x01" * 32),
    "next": model.Pin(name="next", sha256=b"\x02" * 32),
}
KEY = b"a key for tests"
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Seconds:
    """
    A clock that stands still until it is moved.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """
        Return the seconds it shows.
        """
        return self.now


def config_of(
    *members: str | model.Member,
    affinity: model.Affinity | None = None,
    probes: Mapping[str, model.Probe] | None = None,
    **settings: Any,
) -> model.Config:
    """
    Return a configuration whose one pool has *members*.
    """
    made = tuple(
        model.Member(address=member) if isinstance(member, str) else member
        for member in members
    )
    return model.Config(
        listeners={},
        rules={},
        pins=PINS,
        pools={PAIR[0]: model.Pool(name=PAIR[0], members=made)},
        backend_settings={PAIR[1]: attrs.evolve(SETTINGS, **settings)},
        affinity=affinity or model.Affinity(),
        probes=probes or {},
    )


def pool_of(
    *members: str | model.Member,
    seconds: Seconds | None = None,
    **settings: Any,
) -> Pool:
    """
    Return a pool with *members*.
    """
    config = config_of(*members, **settings)
    return Pool(config, PAIR, key=KEY, seconds=seconds or Seconds())


def addresses(candidates: Iterable[Candidate]) -> list[str]:
    """
    Return the addresses of *candidates*.
    """
    return [candidate.address for candidate in candidates]


def firsts(pool: Pool, count: int, affinity: bytes | None = None) -> list[str]:
    """
    Return who was first at each of *count* requests.
    """
    return [next(pool.candidates(affinity)).address for _ in range(count)]


def by_address(pool: Pool) -> dict[str, Candidate]:
    """
    Return the candidates of *pool* by address.
    """
    return {candidate.address: candidate for candidate in pool.members}
