"""
Listeners and the sockets beneath them: who can share a port with whom.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from itertools import combinations

from appgw.config.model import Config, Listener
from appgw.config.problems import Finding, Places

_ALL_IPV4 = "0.0.0.0"  # noqa: S104 (compared with, not bound)
_BOTH_FAMILIES = "::"
_SOCKET_KEYS = ("protocol", "address", "port", "host_names")


def clashes(config: Config, places: Places) -> Iterator[Finding]:
    """
    Find listeners that can't be served beside one another.
    """
    sound = [
        listener
        for name, listener in config.listeners.items()
        if all(places.sound("listeners", name, key) for key in _SOCKET_KEYS)
    ]
    for first, second in combinations(sound, 2):
        if first.port != second.port:
            continue
        if first.address == second.address:
            yield from _on_one_socket(first, second)
        elif _overlap(first.address, second.address):
            yield Finding(
                ("listeners", second.name, "address"),
                f"{second.address} port {second.port}, which listener"
                f" {first.name!r} has with {first.address}",
                "the same address for both, as the system binds only one of them",
            )


def _overlap(one: str, other: str) -> bool:
    """
    Tell whether Linux refuses to listen at both addresses on one port.
    """
    if _BOTH_FAMILIES in {one, other}:
        return True
    families = {ipaddress.ip_address(one).version, ipaddress.ip_address(other).version}
    return _ALL_IPV4 in {one, other} and families == {4}


def _on_one_socket(first: Listener, second: Listener) -> Iterator[Finding]:
    here = ("listeners", second.name)
    where = f"on {second.address} port {second.port}"
    if first.protocol != second.protocol:
        yield Finding(
            (*here, "protocol"),
            f"{second.protocol} {where}, where listener {first.name!r}"
            f" has {first.protocol}",
            "one protocol on a port",
        )
    if not first.host_names and not second.host_names:
        yield Finding(
            (*here, "host_names"),
            f"none {where}, where listener {first.name!r} has none either",
            "host names on all but one of them",
        )
    for index, name in enumerate(second.host_names):
        if name in first.host_names:
            yield Finding(
                (*here, "host_names", index),
                f"{name!r}, which listener {first.name!r} has {where}",
                "each host name once on a port",
            )
