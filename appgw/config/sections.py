"""
The configuration file as a whole: which keys it has, what they take.

A table per section, those of one area in a file of their own; the defaults are
the model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from appgw.config import addresses, files, model, scalars
from appgw.config.problems import WHOLE_FILE, KeyPath, quoted
from appgw.config.sections_backends import BACKENDS
from appgw.config.sections_frontend import FRONTEND
from appgw.config.sections_rewrites import REWRITES
from appgw.config.sections_routing import ROUTING
from appgw.config.sections_tls import TLS
from appgw.config.shapes import (
    BROKEN,
    Key,
    Reader,
    file,
    group,
    listing,
    some_path,
    text,
)
from appgw.config.vocabulary import DAY_LONG, FLAG, PORT, plain


def _written_file(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
    """
    Take the path of a file that is made here, absolute.
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


def _pin_state(_reader: Reader, _path: KeyPath, values: dict[str, Any]) -> str | None:
    return values.get("file")


def _admin(
    reader: Reader, _path: KeyPath, values: dict[str, Any]
) -> model.Admin | None:
    if not values.pop("enabled", True):
        return None
    return model.Admin(**{"socket": _socket_beside(reader)} | values)


def _socket_beside(reader: Reader) -> str:
    """
    Choose the socket that both the gateway and its operator will look for.
    """
    return str(reader.folder / f"{Path(reader.places.file).stem}.sock")


def _affinity(
    _reader: Reader, _path: KeyPath, values: dict[str, Any]
) -> model.Affinity:
    if "key_file" in values:
        values["key"] = values.pop("key_file")
    return model.Affinity(**values)


_ACCESS_LOG: Final = {
    "file": Key(_written_file, required=True),
    "format": Key(text(scalars.one_of("json", "combined"))),
}
_PIN_STATE: Final = {
    "file": Key(_written_file, required=True),
}
_ADMIN: Final = {
    "enabled": Key(FLAG),
    "socket": Key(_written_file),
}
_STATUS: Final = {
    "address": Key(text(addresses.ip_address)),
    "port": Key(PORT),
}
_AFFINITY: Final = {
    "key_file": Key(file(files.secret, private=True)),
    "compat": Key(text(scalars.one_of("azure"))),
}

_CONFIG: Final = {
    **BACKENDS,
    **FRONTEND,
    **ROUTING,
    **REWRITES,
    **TLS,
    "access_log": Key(group(_ACCESS_LOG, _access_log)),
    "pin_state": Key(group(_PIN_STATE, _pin_state)),
    "admin": Key(group(_ADMIN, _admin)),
    "status": Key(group(_STATUS, plain(model.Status))),
    "trusted_proxies": Key(listing(text(addresses.network), at_least=0)),
    "forwarded_for_port": Key(FLAG),
    "affinity": Key(group(_AFFINITY, _affinity)),
    "shutdown_timeout": Key(text(scalars.duration("0s", "24h"))),
    "resolve_interval": Key(DAY_LONG),
    "max_request_body": Key(text(scalars.size("1B", "1024TiB"))),
}


def admin_of(reader: Reader, top: yaml.Node) -> model.Admin | None:
    """
    Take of the file only where the admin socket is, whatever else is wrong.
    """
    asked = model.Admin(socket=_socket_beside(reader), asked_for=False)
    for name, node in reader.pairs(top, WHOLE_FILE, "a mapping"):
        if name == "admin":
            taken = _CONFIG[name].take(reader, node, (name,))
            return taken if isinstance(taken, model.Admin) else None
    return asked


def configuration(reader: Reader, top: yaml.Node) -> model.Config:
    """
    Take the mapping on top of the file.

    After an error, what comes back is fit for further checks and nothing else.
    """
    values = reader.values(top, WHOLE_FILE, _CONFIG)
    values.setdefault(
        "admin", model.Admin(socket=_socket_beside(reader), asked_for=False)
    )
    return model.Config(**values)
