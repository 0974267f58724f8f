"""
The address that a request comes from, where proxies that we trust stand between.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from appgw.config.model import Network
from appgw.message import Arrival, RequestHead, values_of

MOST_HOPS = 16
"""Entries of X-Forwarded-For that are looked at; each takes a little time."""


def source_of(head: RequestHead, arrival: Arrival, proxies: Sequence[Network]) -> str:
    """
    Return the IP address of the nearest peer that is not a trusted proxy.

    Each proxy writes on the right whom it was called by, so X-Forwarded-For is
    read from there, for as long as it names proxies that we trust: what stands
    further left, anybody may have written.

    Args:
        proxies: the networks that are trusted.
    """
    source = arrival.address
    if not arrival.trusted:
        return source
    chain = b",".join(values_of(head.headers, b"x-forwarded-for"))
    for entry in reversed(chain.rsplit(b",", MOST_HOPS)[-MOST_HOPS:]):
        address = _address(entry)
        if address is None:
            break
        source = str(address)
        if not any(address in network for network in proxies):
            break
    return source


def _address(
    entry: bytes,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """
    Read an address with or without a port; None: it is none.
    """
    text = entry.decode("ascii", "replace").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
