"""
Short ways to write down configurations and heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from appgw.config.model import (
    BackendSettings,
    Config,
    Destination,
    Listener,
    Member,
    PathRule,
    Pool,
    Protocol,
    Rule,
    UrlPathMap,
)
from appgw.message import Arrival, RequestHead
from appgw.route.table import PortTable, Table

WEB = Destination(pool="web", backend_settings="web")


def listener(
    name: str,
    *host_names: str,
    protocol: Protocol = "https",
    port: int = 443,
    misdirected: Literal["refuse", "route"] = "refuse",
    ambiguous_paths: Literal["refuse", "allow"] = "refuse",
) -> Listener:
    return Listener(
        name=name,
        protocol=protocol,
        address="0.0.0.0",
        port=port,
        host_names=host_names,
        misdirected=misdirected,
        ambiguous_paths=ambiguous_paths,
    )


def path_rule(name: str, *paths: str) -> PathRule:
    """
    A path rule that leads to a pool and settings of its own name.
    """
    return PathRule(
        name=name,
        paths=paths,
        destination=Destination(pool=name, backend_settings=name),
    )


def config(
    *listeners: Listener,
    path_rules: Sequence[PathRule] = (),
    override: str | None = None,
) -> Config:
    """
    One rule for each listener, of priority 10, 20, ... and, if there are path
    rules, all of them with one map.
    """
    names = ["web", *(rule.name for rule in path_rules)]
    path_map = UrlPathMap(name="map", default=WEB, path_rules=tuple(path_rules))
    return Config(
        listeners={each.name: each for each in listeners},
        rules={
            each.name: Rule(
                name=each.name,
                priority=10 * number,
                listener=each.name,
                url_path_map="map" if path_rules else None,
                destination=None if path_rules else WEB,
            )
            for number, each in enumerate(listeners, 1)
        },
        url_path_maps={"map": path_map} if path_rules else {},
        pools={
            name: Pool(name=name, members=(Member(address="127.0.0.1"),))
            for name in names
        },
        backend_settings={
            name: BackendSettings(name=name, protocol="http", port=80, path=override)
            for name in names
        },
    )


def table(
    *listeners: Listener,
    path_rules: Sequence[PathRule] = (),
    override: str | None = None,
) -> PortTable:
    """
    The table of the one port that the listeners share.
    """
    built = Table.build(config(*listeners, path_rules=path_rules, override=override))
    (port,) = built.ports.values()
    return port


def head(
    target: bytes = b"/",
    *lines: tuple[bytes, bytes],
    authority: bytes = b"shop.example.com",
    method: bytes = b"GET",
    version: tuple[int, int] = (1, 1),
) -> RequestHead:
    path, mark, query = target.partition(b"?")
    return RequestHead(
        method=method,
        scheme=b"https",
        authority=authority,
        path=path,
        query=query if mark else None,
        version=version,
        headers=[(b"Host", authority), *lines],
    )


def arrival(
    address: str = "192.0.2.7", *, trusted: bool = False, scheme: str = "https"
) -> Arrival:
    return Arrival(
        address=address, port=51234, local_port=443, scheme=scheme, trusted=trusted
    )
