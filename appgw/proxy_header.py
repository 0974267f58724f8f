"""
The header of the PROXY protocol, versions 1 and 2: whose connection this is.

What a proxy below HTTP says first, before the client's own bytes (haproxy.org,
proxy-protocol.txt, section 2). Pure.

Twisted has private parsers of it, and these are not built on. Its reading of
version 2 raises where the first piece is shorter than 16 bytes (its issue 8287).
That of version 1 knows no short ``PROXY UNKNOWN``, takes lines of any length and
words at their end, takes ``TCP4 nonsense nonsense -5 99999999`` for an address,
and raises what nobody catches where one is no ASCII.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import Final

MAX_LINE: Final = 107
"""Bytes of a header of version 1, its CRLF included."""

MAX_HEADER: Final = 4096
"""Bytes of a header of version 2. Senders keep within a segment of TCP."""

_VERSION_1: Final = b"PROXY "
_PORT: Final = rb"(0|[1-9][0-9]{0,4})"
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) %b %b)\r\n" % (_PORT, _PORT)
)

_VERSION_2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16
_LOCAL, _PROXY = 0x20, 0x21
_LAST_FAMILY, _LAST_TRANSPORT = 3, 2
_FAMILIES: Final = {b"4": socket.AF_INET, b"6": socket.AF_INET6}
_OVER_TCP: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}


class BadHeader(ValueError):  # noqa: N818 - it is the header that is bad
    """
    Bytes that begin no connection of a proxy.
    """


def size_of(beginning: bytes) -> int | None:
    """
    Return how many bytes the header has; None: that cannot be told yet.

    The whole header, and anything behind it, is not needed for that. However
    it is cut, the answer is never another number.

    Args:
        beginning: what a connection has said so far.

    Raises:
        BadHeader: it says something else than a header.
    """
    if beginning.startswith(_VERSION_1[: len(beginning)]):
        return _size_of_line(beginning)
    if not beginning.startswith(_VERSION_2[: len(beginning)]):
        raise BadHeader("neither version 1 nor version 2")
    known = len(beginning)
    if known > len(_VERSION_2) and beginning[12] not in {_LOCAL, _PROXY}:
        raise BadHeader("an unknown version or command")
    if known < _FIXED:
        return None
    size = _FIXED + int.from_bytes(beginning[14:_FIXED], "big")
    if size > MAX_HEADER:
        raise BadHeader("too long")
    return size


def _size_of_line(beginning: bytes) -> int | None:
    end = beginning.find(b"\n", 0, MAX_LINE) + 1
    if end:
        return end
    if len(beginning) >= MAX_LINE:
        raise BadHeader("no end of the line")
    return None


def client_of(header: bytes) -> tuple[str, int] | None:
    """
    Return the address and port that a connection comes from.

    Where it was bound for is not told: that is the proxy's address.

    Args:
        header: as long as ``size_of`` says.

    Returns:
        The address as the system would write it; None: the proxy speaks for
        itself, or cannot say for whom.

    Raises:
        BadHeader: it is none.
    """
    if header.startswith(_VERSION_1):
        return _client_of_line(header)
    # What is behind the addresses (TLVs) says nothing that is asked for here.
    if header[12] == _LOCAL:
        return None
    if header[13] >> 4 > _LAST_FAMILY or header[13] & 15 > _LAST_TRANSPORT:
        raise BadHeader("an unknown family or transport")
    if header[13] not in _OVER_TCP:
        return None  # a UNIX socket, UDP, or not known to the proxy either
    family, width = _OVER_TCP[header[13]]
    try:
        packed, port = struct.unpack_from(f"!{width}s{width}xH", header, _FIXED)
        # The second port belongs there as well.
        struct.unpack_from("!H", header, _FIXED + 2 * width + 2)
    except struct.error:
        raise BadHeader("shorter than its addresses") from None
    return socket.inet_ntop(family, packed), port


def _client_of_line(line: bytes) -> tuple[str, int] | None:
    found = _LINE.fullmatch(line)
    if found is None:
        raise BadHeader("a line of another form")
    version, *addresses, port, own_port = found.groups()
    if version is None:
        return None
    if int(port) > 65535 or int(own_port) > 65535:
        raise BadHeader("a port that is none")
    family = _FAMILIES[version]
    try:
        packed, _ = (socket.inet_pton(family, one.decode()) for one in addresses)
    except OSError:
        raise BadHeader("an address that is none") from None
    return socket.inet_ntop(family, packed), int(port)
