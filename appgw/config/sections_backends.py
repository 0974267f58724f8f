"""
The sections about backends: pins, roots, pools, settings, probes.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import yaml

from appgw.config import addresses, files, model, scalars
from appgw.config.problems import KeyPath
from appgw.config.shapes import Key, Reader, file, group, listing, section, text
from appgw.config.vocabulary import (
    DAY_LONG,
    DEFAULT_PORTS,
    FLAG,
    NAME,
    NAMES,
    PATH,
    PORT,
    PROTOCOL,
    name_of,
    named,
    plain,
)

_PIN_KEYS = ("certificate_file", "sha256", "spki_sha256")


def _pin(reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.Pin:
    given = [key for key in _PIN_KEYS if reader.places.given(*path, key)]
    if len(given) != 1 and reader.places.sound(*path):
        found = " and ".join(given) or "none of them"
        reader.report(path, found, f"exactly one of {', '.join(_PIN_KEYS)}")
    certificate = values.pop("certificate_file", None)
    if certificate is not None:
        values["certificate"] = certificate
        values["sha256"] = hashlib.sha256(certificate).digest()
    return model.Pin(name=name_of(path), **values)


def _root(reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.TrustedRoot:
    name = name_of(path)
    if name == model.WELL_KNOWN:
        found = f"{name!r}, which means this machine's own store of CAs"
        reader.report(path, found, "another name")
    return model.TrustedRoot(name=name, certificates=values["certificate_file"])


_PIN: Final = {
    "certificate_file": Key(file(files.pinned_leaf)),
    "sha256": Key(text(scalars.sha256)),
    "spki_sha256": Key(text(scalars.spki_sha256)),
    "state": Key(text(scalars.one_of("next", "active", "retiring", "revoked"))),
    "not_before": Key(text(scalars.date)),
    "not_after": Key(text(scalars.date)),
    "allow_expired": Key(FLAG),
    "owner": Key(text(scalars.some_text(200))),
    "comment": Key(text(scalars.some_text(2000))),
}
_ROOT: Final = {
    "certificate_file": Key(file(files.roots), required=True, instead=()),
}
_MEMBER: Final = {
    "address": Key(text(addresses.host), required=True, instead=""),
    "port": Key(PORT),
    "weight": Key(text(scalars.whole(1, 1000))),
    "pins": Key(NAMES),
    "draining": Key(FLAG),
}


def _any_member(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
    """
    Take ``host``, ``host:port`` or a mapping.
    """
    if isinstance(node, yaml.MappingNode):
        return group(_MEMBER, plain(model.Member))(reader, node, path)
    return text(_short_member)(reader, node, path)


def _short_member(value: str) -> model.Member:
    address, port = addresses.host_and_port(value)
    return model.Member(address=address, port=port)


_POOL: Final = {
    "members": Key(listing(_any_member, at_least=0, instead=model.Member(address=""))),
}


def _settings(
    _reader: Reader, path: KeyPath, values: dict[str, Any]
) -> model.BackendSettings:
    values.setdefault("port", DEFAULT_PORTS[values["protocol"]])
    return model.BackendSettings(name=name_of(path), **values)


_DRAINING: Final = {
    "enabled": Key(FLAG),
    "drain_timeout": Key(text(scalars.duration("1s", "1h"))),
}
_OUTLIERS: Final = {
    "consecutive_failures": Key(text(scalars.whole(1, 1000))),
    "base_ejection_time": Key(text(scalars.duration("1s", "1h"))),
    "max_ejection_time": Key(DAY_LONG),
    "max_ejection_percent": Key(text(scalars.whole(0, 50))),
    "status_codes": Key(listing(text(scalars.status_range))),
}
_SETTINGS: Final = {
    "protocol": Key(PROTOCOL, required=True, instead="https"),
    "port": Key(PORT),
    "pins": Key(NAMES),
    "trusted_roots": Key(NAMES),
    "pin_mode": Key(text(scalars.one_of("prevent", "detect"))),
    "verify_name": Key(FLAG),
    "client_certificate": Key(NAME),
    "cookie_based_affinity": Key(FLAG),
    "affinity_cookie_name": Key(text(scalars.cookie_name)),
    "request_timeout": Key(DAY_LONG),
    "tunnel_idle_timeout": Key(DAY_LONG),
    "host_name": Key(text(addresses.host)),
    "pick_host_name_from_backend_address": Key(FLAG),
    "path": Key(PATH),
    "probe": Key(NAME),
    "probe_enabled": Key(FLAG),
    "connection_draining": Key(group(_DRAINING, plain(model.ConnectionDraining))),
    "drain_sticky": Key(text(scalars.one_of("keep", "move"))),
    "load_distribution_algorithm": Key(
        text(scalars.one_of("RoundRobin", "LeastConnections", "IpHash"))
    ),
    "slow_start": Key(text(scalars.duration("0s", "1h"))),
    "outlier_detection": Key(group(_OUTLIERS, plain(model.OutlierDetection))),
    "max_connections": Key(text(scalars.whole(1, 65535))),
    "max_pending_requests": Key(text(scalars.whole(0, 65535))),
    "pending_timeout": Key(text(scalars.duration("100ms", "1h"))),
}
_MATCH: Final = {
    "status_codes": Key(listing(text(scalars.status_range))),
    "body": Key(text(scalars.some_text(4090))),
}
_PROBE: Final = {
    "protocol": Key(PROTOCOL),
    "path": Key(text(addresses.path_and_query), required=True, instead="/"),
    "host": Key(text(addresses.host)),
    "pick_host_name_from_backend_settings": Key(FLAG),
    "port": Key(PORT),
    "interval": Key(DAY_LONG),
    "timeout": Key(DAY_LONG),
    "unhealthy_threshold": Key(text(scalars.whole(1, 20))),
    "min_servers": Key(text(scalars.whole(0, 10000))),
    "match": Key(group(_MATCH, plain(model.ProbeMatch))),
}

BACKENDS: Final = {
    "pins": Key(section(_PIN, _pin)),
    "trusted_roots": Key(section(_ROOT, _root)),
    "pools": Key(section(_POOL, named(model.Pool))),
    "backend_settings": Key(section(_SETTINGS, _settings)),
    "probes": Key(section(_PROBE, named(model.Probe))),
}
