"""
Who a client belongs to, by its address: highest random weight.

Each pair of client and backend has a score that nothing else influences, and a
client belongs to the backend with the highest. So where one goes, only its own
clients move, and to all of the others; where one comes, it takes from each what
is its share; and gateways that know the same backends agree. No I/O, no clock,
no chance.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")

REMEMBERED = 4096
"""Clients whose first choice is known without reckoning."""

_PREFIX = 8
"""Bytes of an IPv6 address that tell clients apart: a /64 is one network's."""


def network_of(address: str) -> bytes:
    """
    Return what of a client's address counts: IPv4 as a whole, of IPv6 the /64.

    Within its /64 a client changes its address as it likes.

    Args:
        address: an IP address; any other text counts as it is.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode()
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.packed
    mapped = parsed.ipv4_mapped
    return parsed.packed[:_PREFIX] if mapped is None else mapped.packed


def score(client: bytes, backend: bytes, share: float) -> float:
    """
    Return how much a backend is a client's; what counts is who has the most.

    Args:
        client: from network_of.
        backend: what the backend is known by, wherever the gateway runs.
        share: above 0; a backend gets clients in proportion.
    """
    digest = blake2b(backend + b"\0" + client, digest_size=8).digest()
    # In 52 bits and a half the number is exact, above 0 and below 1.
    number = ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2.0**52
    return -share / math.log(number)


class Rendezvous(Generic[T]):
    """
    The clients' choices among some backends.

    Args:
        entries: of each backend what it is known by, its share, and itself;
            never empty.
    """

    def __init__(self, entries: Iterable[tuple[str, float, T]]) -> None:
        self._entries = [(name.encode(), share, item) for name, share, item in entries]
        self._firsts: dict[str, T] = {}

    def first(self, address: str) -> T:
        """
        Return whom the client at *address* belongs to.
        """
        known = self._firsts
        if address not in known:
            if len(known) >= REMEMBERED:
                known.clear()
            known[address] = self.order(address)[0]
        return known[address]

    def order(self, address: str) -> list[T]:
        """
        Return every backend, the one that the client belongs to first.
        """
        client = network_of(address)
        scored = [(score(client, n, share), item) for n, share, item in self._entries]
        scored.sort(key=lambda pair: pair[0], reverse=True)
        return [item for _, item in scored]
