"""
What a client's first TLS message says of what it would take.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL._util import ffi, lib

_HANDSHAKE: Final = b"\x16"
_CLIENT_HELLO: Final = b"\x01"
_BEFORE_SESSION: Final = 5 + 4 + 2 + 32
"""Bytes of the record's head, the message's head, the version and the random."""


def offered(data: bytes) -> list[bytes]:
    """
    Return the codes of the suites in a ClientHello (RFC 8446, 4.1.2).

    Args:
        data: a connection's first bytes; where they are something else, or too
            few, there are no codes.
    """
    if data[:1] != _HANDSHAKE or data[5:6] != _CLIENT_HELLO:
        return []
    start = _BEFORE_SESSION + 1 + int.from_bytes(data[_BEFORE_SESSION:][:1], "big")
    size = int.from_bytes(data[start : start + 2], "big")
    codes = data[start + 2 : start + 2 + size]
    if len(codes) != size:
        return []
    return [codes[at : at + 2] for at in range(0, size - 1, 2)]


def names(codes: list[bytes], connection: Any) -> str:
    """
    Return OpenSSL's names of suites, with colons between them; of those that it
    does not know, the code.

    Args:
        connection: an ``SSL.Connection``; OpenSSL looks names up by one.
    """
    return ":".join(_name(code, connection) for code in codes)


def _name(code: bytes, connection: Any) -> str:
    found = lib.SSL_CIPHER_find(connection._ssl, code)  # noqa: SLF001 - no other way
    if found == ffi.NULL:
        return f"0x{code.hex()}"
    name: bytes = ffi.string(lib.SSL_CIPHER_get_name(found))
    return name.decode("ascii")
