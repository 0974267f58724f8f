"""
The demo's folder: certificates, keys and a configuration, all made anew.

A list of what was written stays in the folder, so that a later demo can tell
its own files from somebody's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from appgw.testing import Issued, make_ca, make_certificate

SITES: Final = ("shop.example", "news.example")
"""The names that the gateway answers to; ``.example`` is nobody's (RFC 2606)."""

LISTED: Final = ("green", "blue")
"""Backends whose certificates are on the list."""

STRANGER: Final = "stray"
"""A backend like the others, but nobody has listed its certificate."""

BACKENDS: Final = (*LISTED, STRANGER)

_WRITTEN: Final = ".appgw-demo.json"
_LOG: Final = "access.log"

_CONFIG: Final = """\
# Written by `appgw demo`. What each key means: docs/configuration.md.

certificates:
  front: {{certificate_file: front.pem, key_file: front.key}}

pins:                         # the list: these leaf certificates and no others
  green: {{certificate_file: pins/green.pem}}
  blue: {{certificate_file: pins/blue.pem}}

pools:
  shop: {{members: ["127.0.0.1:{green}", "127.0.0.1:{blue}"]}}
  orders: {{members: ["127.0.0.1:{blue}"]}}
  news: {{members: ["127.0.0.1:{green}"]}}
  stray: {{members: ["127.0.0.1:{stray}"]}}    # its certificate is on no list

backend_settings:
  shop: {{protocol: https, pins: [green, blue], cookie_based_affinity: true}}
  orders: {{protocol: https, pins: [blue], path: /v2/}}
  news: {{protocol: https, pins: [green]}}
  # Without probes, which would soon have found out: each request meets the refusal.
  stray: {{protocol: https, pins: [green, blue], probe_enabled: false}}

listeners:                    # two sites on one port
  shop:
    protocol: https
    address: 127.0.0.1
    port: {gateway}
    host_names: [shop.example]
    certificate: front
  news:
    protocol: https
    address: 127.0.0.1
    port: {gateway}
    host_names: [news.example]
    certificate: front

url_path_maps:
  shop:
    default: {{pool: shop, backend_settings: shop}}
    path_rules:               # the first match wins
      - {{name: orders, paths: [/orders/*], pool: orders, backend_settings: orders}}
      - {{name: stray, paths: [/stray/*], pool: stray, backend_settings: stray}}

rules:
  shop: {{priority: 10, listener: shop, url_path_map: shop}}
  news: {{priority: 20, listener: news, pool: news, backend_settings: news}}

access_log: {{file: access.log}}
affinity: {{key_file: affinity.key}}
shutdown_timeout: 5s
"""


class ForeignFileError(Exception):
    """
    A file is in the way that the demo did not write, or that was changed since.
    """


@attrs.frozen(kw_only=True)
class Certificates:
    """
    Everybody's certificates, made in a moment.

    Attributes:
        ca: has signed the gateway's; what curl is told to trust.
        front: the gateway's, for every site.
        backends: self-signed, by name.
    """

    ca: Issued
    front: Issued
    backends: Mapping[str, Issued]

    @classmethod
    def make(cls) -> Certificates:
        """
        Make them all; none is ever used again.
        """
        ca = make_ca("appgw demo CA")
        return cls(
            ca=ca,
            front=make_certificate(SITES, issuer=ca),
            backends={
                name: make_certificate([f"{name}.internal"]) for name in BACKENDS
            },
        )


def configuration(ports: Mapping[str, int]) -> str:
    """
    Write the gateway's configuration.

    Args:
        ports: of each backend, and of the ``gateway``.
    """
    return _CONFIG.format_map(ports)


def contents(made: Certificates, ports: Mapping[str, int]) -> dict[str, bytes]:
    """
    Return what the folder will hold: bytes by relative path.
    """
    return {
        "gateway.yaml": configuration(ports).encode(),
        "ca.pem": made.ca.cert_pem,
        "front.pem": made.front.chain_pem,
        "front.key": made.front.key_pem,
        "affinity.key": secrets.token_bytes(32),
        **{f"pins/{name}.pem": made.backends[name].cert_pem for name in LISTED},
    }


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """
    Write *files* in place of those of an earlier demo.

    Raises:
        ForeignFileError: one of them is somebody else's; nothing was written.
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = _written_before(folder)
    for name in files:
        if not _is_ours(folder / name, before.get(name)):
            raise ForeignFileError(
                f"{folder / name} was not written by the demo, or was changed since"
            )
    if not before and os.path.lexists(folder / _LOG):
        raise ForeignFileError(f"{folder / _LOG} was not written by the demo")
    digests = {name: _digest(data) for name, data in files.items()}
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        _replace(folder / name, data)
    _replace(folder / _WRITTEN, json.dumps(digests, indent=1).encode())


def _written_before(folder: Path) -> dict[str, str]:
    """
    Return the digests of what an earlier demo has written here.
    """
    try:
        known = json.loads((folder / _WRITTEN).read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        known = None
    if not isinstance(known, dict) or not all(map(_is_digest, known.values())):
        raise ForeignFileError(f"{folder / _WRITTEN} was not written by the demo")
    return known


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_ours(path: Path, digest: str | None) -> bool:
    """
    Tell whether nothing is lost when *path* is written.
    """
    if not os.path.lexists(path):
        return True
    return path.is_file() and not path.is_symlink() and digest == _digest_of(path)


def _replace(path: Path, data: bytes) -> None:
    """
    Put a new file in the place of an old one; keys are for our eyes only.
    """
    path.unlink(missing_ok=True)
    mode = 0o600 if path.suffix == ".key" else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(data)


def _digest_of(path: Path) -> str:
    return _digest(path.read_bytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
