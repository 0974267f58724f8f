"""
The sections about clients: certificates, listeners, error pages.
"""

from __future__ import annotations

from typing import Any, Final

from appgw.config import addresses, files, model, scalars
from appgw.config.problems import KeyPath
from appgw.config.scalars import UnfitError
from appgw.config.shapes import Key, Reader, file, listing, mapping, section, text
from appgw.config.vocabulary import (
    DEFAULT_PORTS,
    FLAG,
    NAME,
    NAMES,
    PORT,
    PROTOCOL,
    name_of,
)
from appgw.refusal import Refusal

_PEM_KEYS = ("certificate_file", "key_file")
_PFX_KEYS = ("pfx_file", "password_file")


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
    return model.Certificate(
        name=name_of(path),
        chain=chain,
        key=key,
        ocsp_response=values.get("ocsp_response_file"),
    )


# 499 is for the log alone; 403 is among Azure's, for its firewall.
_WITH_PAGE = sorted({refusal.status for refusal in Refusal} - {499} | {403})


def _status(text: str) -> int:
    """
    Read the status of an answer of our own that has a page.
    """
    if text not in map(str, _WITH_PAGE):
        raise UnfitError(f"a status: {', '.join(map(str, _WITH_PAGE))}")
    return int(text)


def _listener(_reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.Listener:
    values.setdefault("address", "0.0.0.0")  # noqa: S104 (the documented default)
    values.setdefault("port", DEFAULT_PORTS[values["protocol"]])
    return model.Listener(name=name_of(path), **values)


_CERTIFICATE: Final = {
    "certificate_file": Key(file(files.chain)),
    "key_file": Key(file(files.private_key, private=True)),
    "pfx_file": Key(file(bytes, private=True)),
    "password_file": Key(file(files.password, private=True)),
    "ocsp_response_file": Key(file(files.ocsp_response)),
}
_ERROR_PAGES = mapping(
    _status,
    "a mapping from statuses to files",
    file(files.page, endings=(".html", ".htm")),
)
_LISTENER: Final = {
    "protocol": Key(PROTOCOL, required=True, instead="https"),
    "address": Key(text(addresses.ip_address)),
    "port": Key(PORT),
    "host_names": Key(listing(text(addresses.site_name))),
    "certificate": Key(NAME),
    "certificates": Key(NAMES),
    "ssl_profile": Key(NAME),
    "proxy_protocol": Key(FLAG),
    "misdirected": Key(text(scalars.one_of("refuse", "route"))),
    "ambiguous_paths": Key(text(scalars.one_of("refuse", "allow"))),
    "custom_error_pages": Key(_ERROR_PAGES),
}

FRONTEND: Final = {
    "certificates": Key(section(_CERTIFICATE, _certificate)),
    "listeners": Key(section(_LISTENER, _listener), required=True, instead={}),
    "custom_error_pages": Key(_ERROR_PAGES),
}
