"""
Listeners and the sockets beneath them: who can share a port with whom.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from appgw.config.model import Config, Listener
from appgw.config.problems import Finding, Places

_ALL_IPV4 = "0.0.0.0"  # noqa: S104 (compared with, not bound)
_BOTH_FAMILIES = "::"
_SOCKET_KEYS = ("protocol", "address", "port", "host_names", "proxy_protocol")


def clashes(config: Config, places: Places) -> Iterator[Finding]:
    """
    Find listeners that can't be served beside one another.
    """
    ports: dict[int, dict[str, list[Listener]]] = {}
    for name, listener in config.listeners.items():
        if all(places.sound("listeners", name, key) for key in _SOCKET_KEYS):
            sockets = ports.setdefault(listener.port, {})
            sockets.setdefault(listener.address, []).append(listener)
    if places.sound("status"):
        yield from _beside_status(config, ports)
    for sockets in ports.values():
        yield from _overlaps(sockets)
        for listeners in sockets.values():
            yield from _on_one_socket(listeners)


def _beside_status(
    config: Config, ports: dict[int, dict[str, list[Listener]]]
) -> Iterator[Finding]:
    """
    Find the listeners in whose place the status could not be served.
    """
    status = config.status
    if status is None:
        return
    for address, listeners in ports.get(status.port, {}).items():
        pairs = ((address, status.address), (status.address, address))
        if any(one == other or _within(one, other) for one, other in pairs):
            found = f"{status.port}, which listener {listeners[0].name!r} has"
            yield Finding(("status", "port"), f"{found} at {address}", "another port")


def _overlaps(sockets: dict[str, list[Listener]]) -> Iterator[Finding]:
    order = {address: at for at, address in enumerate(sockets)}
    told: set[str] = set()
    for wide in (_BOTH_FAMILIES, _ALL_IPV4):
        for address in order if wide in sockets else ():
            one, other = sorted((wide, address), key=order.__getitem__)
            if other in told or not _within(address, wide):
                continue
            told.add(other)
            first, second = sockets[one][0], sockets[other][0]
            yield Finding(
                ("listeners", second.name, "address"),
                f"{other} port {second.port}, which listener {first.name!r}"
                f" has with {one}",
                "the same address for both, as the system binds only one of them",
            )


def _within(address: str, wide: str) -> bool:
    """
    Tell whether Linux refuses to listen at *address*, too, as *wide* contains it.
    """
    if address == wide:
        return False
    if wide == _ALL_IPV4:
        return ipaddress.ip_address(address).version == 4
    return wide == _BOTH_FAMILIES


def _on_one_socket(listeners: list[Listener]) -> Iterator[Finding]:
    first = listeners[0]
    where = f"on {first.address} port {first.port}"
    nameless: str | None = None
    names: dict[str, str] = {}
    for listener in listeners:
        here = ("listeners", listener.name)
        for key in ("protocol", "proxy_protocol"):
            yours, theirs = _written(listener, key), _written(first, key)
            if yours != theirs:
                found = f"{yours} {where}, where listener {first.name!r} has {theirs}"
                yield Finding((*here, key), found, f"one {key} on a port")
        if not listener.host_names and nameless is not None:
            found = f"none {where}, where listener {nameless!r} has none either"
            wanted = "host names on all but one of them"
            yield Finding((*here, "host_names"), found, wanted)
        if not listener.host_names and nameless is None:
            nameless = listener.name
        for index, name in enumerate(listener.host_names):
            owner = names.setdefault(name, listener.name)
            if owner != listener.name:
                found = f"{name!r}, which listener {owner!r} has {where}"
                place = (*here, "host_names", index)
                yield Finding(place, found, "each host name once on a port")


def _written(listener: Listener, key: str) -> str:
    return str(getattr(listener, key)).lower()
