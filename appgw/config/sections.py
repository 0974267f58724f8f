"""
The sections of the configuration file: which keys each has, what they take.

A table per section; the defaults are the model's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import yaml

from appgw.config import addresses, files, model, scalars
from appgw.config.problems import WHOLE_FILE, KeyPath, quoted
from appgw.config.scalars import UnfitError
from appgw.config.shapes import (
    BROKEN,
    Build,
    Key,
    Reader,
    file,
    group,
    listing,
    section,
    some_path,
    text,
)

_DEFAULT_PORTS = {"http": 80, "https": 443}

_NAME = text(scalars.name)
_NAMES = listing(_NAME)
_FLAG = text(scalars.boolean)
_PORT = text(scalars.port)
_PROTOCOL = text(scalars.one_of("http", "https"))
_DAY_LONG = text(scalars.duration("1s", "24h"))
_PATH = text(addresses.path)

_PEM_KEYS = ("certificate_file", "key_file")
_PFX_KEYS = ("pfx_file", "password_file")
_PIN_KEYS = ("certificate_file", "sha256", "spki_sha256")


def _name_of(path: KeyPath) -> str:
    return str(path[-1])


def _named(kind: Callable[..., Any]) -> Build:
    return lambda _reader, path, values: kind(name=_name_of(path), **values)


def _plain(kind: Callable[..., Any]) -> Build:
    return lambda _reader, _path, values: kind(**values)


def _certificate(
    reader: Reader, path: KeyPath, values: dict[str, Any]
) -> model.Certificate:
    pem = [key for key in _PEM_KEYS if reader.places.given(*path, key)]
    pfx = [key for key in _PFX_KEYS if reader.places.given(*path, key)]
    expected = "certificate_file with key_file, or pfx_file with password_file"
    chain = values.get("certificate_file", b"")
    key = values.get("key_file", b"")
    if pem and pfx:
        reader.report(path, " and ".join(pem + pfx), expected)
    elif reader.places.sound(*path) and len(pem) != 2 and "pfx_file" not in pfx:
        reader.report(path, " and ".join(pem + pfx) or "neither", expected)
    elif pfx and reader.places.sound(*path):
        try:
            chain, key = files.unpacked(values["pfx_file"], values.get("password_file"))
        except UnfitError as unfit:
            here = (*path, "pfx_file")
            reader.report(here, str(unfit.found), unfit.expected)
    return model.Certificate(name=_name_of(path), chain=chain, key=key)


def _pin(reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.Pin:
    given = [key for key in _PIN_KEYS if reader.places.given(*path, key)]
    if len(given) != 1 and reader.places.sound(*path):
        found = " and ".join(given) or "none of them"
        reader.report(path, found, f"exactly one of {', '.join(_PIN_KEYS)}")
    certificate = values.pop("certificate_file", None)
    if certificate is not None:
        values["certificate"] = certificate
        values["sha256"] = hashlib.sha256(certificate).digest()
    return model.Pin(name=_name_of(path), **values)


def _root(reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.TrustedRoot:
    name = _name_of(path)
    if name == model.WELL_KNOWN:
        found = f"{name!r}, which means this machine's own store of CAs"
        reader.report(path, found, "another name")
    return model.TrustedRoot(name=name, certificates=values["certificate_file"])


_MEMBER: Final = {
    "address": Key(text(addresses.host), required=True, instead=""),
    "port": Key(_PORT),
    "weight": Key(text(scalars.whole(1, 1000))),
    "pins": Key(_NAMES),
}


def _any_member(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
    """
    Take ``host``, ``host:port`` or a mapping.
    """
    if isinstance(node, yaml.MappingNode):
        return group(_MEMBER, _plain(model.Member))(reader, node, path)
    return text(_short_member)(reader, node, path)


def _short_member(value: str) -> model.Member:
    address, port = addresses.host_and_port(value)
    return model.Member(address=address, port=port)


def _settings(
    _reader: Reader, path: KeyPath, values: dict[str, Any]
) -> model.BackendSettings:
    values.setdefault("port", _DEFAULT_PORTS[values["protocol"]])
    return model.BackendSettings(name=_name_of(path), **values)


def _listener(_reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.Listener:
    values.setdefault("address", "0.0.0.0")  # noqa: S104 (the documented default)
    values.setdefault("port", _DEFAULT_PORTS[values["protocol"]])
    return model.Listener(name=_name_of(path), **values)


def _take_out_destination(values: dict[str, Any]) -> model.Destination | None:
    there = {key: values.pop(key) for key in _DESTINATION if key in values}
    return model.Destination(**there) if there else None


def _path_rule(
    _reader: Reader, _path: KeyPath, values: dict[str, Any]
) -> model.PathRule:
    there = _take_out_destination(values) or model.Destination()
    return model.PathRule(destination=there, **values)


def _rule(_reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.Rule:
    there = _take_out_destination(values)
    return model.Rule(name=_name_of(path), destination=there, **values)


def _log_file(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
    """
    Take the path of a file to write, made absolute.
    """
    name = text(some_path)(reader, node, path)
    if not isinstance(name, str):
        return BROKEN
    where = reader.folder / name
    if not where.parent.is_dir():
        found = f"{quoted(name)} in a folder that isn't there"
        reader.report(path, found, "a folder that is there", "warning")
    return str(where)


def _access_log(
    _reader: Reader, _path: KeyPath, values: dict[str, Any]
) -> model.AccessLog | None:
    return model.AccessLog(**values) if "file" in values else None


def _affinity(
    _reader: Reader, _path: KeyPath, values: dict[str, Any]
) -> model.Affinity:
    if "key_file" in values:
        values["key"] = values.pop("key_file")
    return model.Affinity(**values)


_CERTIFICATE: Final = {
    "certificate_file": Key(file(files.chain)),
    "key_file": Key(file(files.private_key, private=True)),
    "pfx_file": Key(file(bytes, private=True)),
    "password_file": Key(file(files.password, private=True)),
}

_PIN: Final = {
    "certificate_file": Key(file(files.pinned_leaf)),
    "sha256": Key(text(scalars.sha256)),
    "spki_sha256": Key(text(scalars.spki_sha256)),
    "not_after": Key(text(scalars.date)),
    "allow_expired": Key(_FLAG),
}

_ROOT: Final = {
    "certificate_file": Key(file(files.roots), required=True, instead=()),
}

_POOL: Final = {
    "members": Key(listing(_any_member, at_least=0, instead=model.Member(address=""))),
}

_DRAINING: Final = {
    "enabled": Key(_FLAG),
    "drain_timeout": Key(text(scalars.duration("1s", "1h"))),
}

_SETTINGS: Final = {
    "protocol": Key(_PROTOCOL, required=True, instead="https"),
    "port": Key(_PORT),
    "pins": Key(_NAMES),
    "trusted_roots": Key(_NAMES),
    "verify_name": Key(_FLAG),
    "cookie_based_affinity": Key(_FLAG),
    "affinity_cookie_name": Key(text(scalars.cookie_name)),
    "request_timeout": Key(_DAY_LONG),
    "host_name": Key(text(addresses.host)),
    "pick_host_name_from_backend_address": Key(_FLAG),
    "path": Key(_PATH),
    "probe": Key(_NAME),
    "connection_draining": Key(group(_DRAINING, _plain(model.ConnectionDraining))),
}

_MATCH: Final = {
    "status_codes": Key(listing(text(scalars.status_range))),
    "body": Key(text(scalars.some_text(4090))),
}

_PROBE: Final = {
    "path": Key(_PATH, required=True, instead="/"),
    "host": Key(text(addresses.host)),
    "interval": Key(_DAY_LONG),
    "timeout": Key(_DAY_LONG),
    "unhealthy_threshold": Key(text(scalars.whole(1, 20))),
    "match": Key(group(_MATCH, _plain(model.ProbeMatch))),
}

_LISTENER: Final = {
    "protocol": Key(_PROTOCOL, required=True, instead="https"),
    "address": Key(text(addresses.ip_address)),
    "port": Key(_PORT),
    "host_names": Key(listing(text(addresses.site_name))),
    "certificate": Key(_NAME),
    "misdirected": Key(text(scalars.one_of("refuse", "route"))),
    "ambiguous_paths": Key(text(scalars.one_of("refuse", "allow"))),
}

_DESTINATION: Final = {
    "pool": Key(_NAME),
    "backend_settings": Key(_NAME),
    "redirect": Key(_NAME),
}

_PATH_RULE: Final = {
    "name": Key(_NAME, required=True, instead=""),
    "paths": Key(listing(text(addresses.path_pattern)), required=True, instead=()),
    **_DESTINATION,
}

_PATH_MAP: Final = {
    "default": Key(
        group(_DESTINATION, _plain(model.Destination)),
        required=True,
        instead=model.Destination(),
    ),
    "path_rules": Key(listing(group(_PATH_RULE, _path_rule), at_least=0)),
}

_RULE: Final = {
    "priority": Key(text(scalars.whole(1, 20000)), required=True, instead=0),
    "listener": Key(_NAME, required=True, instead=""),
    "url_path_map": Key(_NAME),
    **_DESTINATION,
}

_REDIRECT: Final = {
    "type": Key(
        text(scalars.one_of("Permanent", "Found", "SeeOther", "Temporary")),
        required=True,
        instead="Found",
    ),
    "target_listener": Key(_NAME),
    "target_url": Key(text(addresses.web_address)),
    "include_path": Key(_FLAG),
    "include_query_string": Key(_FLAG),
}

_ACCESS_LOG: Final = {
    "file": Key(_log_file, required=True),
    "format": Key(text(scalars.one_of("json", "combined"))),
}

_AFFINITY: Final = {
    "key_file": Key(file(files.secret, private=True)),
    "compat": Key(text(scalars.one_of("azure"))),
}

_CONFIG: Final = {
    "certificates": Key(section(_CERTIFICATE, _certificate)),
    "pins": Key(section(_PIN, _pin)),
    "trusted_roots": Key(section(_ROOT, _root)),
    "pools": Key(section(_POOL, _named(model.Pool))),
    "backend_settings": Key(section(_SETTINGS, _settings)),
    "probes": Key(section(_PROBE, _named(model.Probe))),
    "listeners": Key(section(_LISTENER, _listener), required=True, instead={}),
    "url_path_maps": Key(section(_PATH_MAP, _named(model.UrlPathMap))),
    "rules": Key(section(_RULE, _rule), required=True, instead={}),
    "redirects": Key(section(_REDIRECT, _named(model.Redirect))),
    "access_log": Key(group(_ACCESS_LOG, _access_log)),
    "trusted_proxies": Key(listing(text(addresses.network), at_least=0)),
    "forwarded_for_port": Key(_FLAG),
    "affinity": Key(group(_AFFINITY, _affinity)),
    "shutdown_timeout": Key(text(scalars.duration("0s", "24h"))),
    "resolve_interval": Key(_DAY_LONG),
    "max_request_body": Key(text(scalars.size("1B", "1024TiB"))),
}


def configuration(reader: Reader, top: yaml.Node) -> model.Config:
    """
    Take the mapping on top of the file.

    After an error, what comes back is fit for further checks and nothing else.
    """
    return model.Config(**reader.values(top, WHOLE_FILE, _CONFIG))
