"""
What a request's head must be, beyond what llhttp demands (RFC 9112).

Each rule answers for one kind of request that would mean different things
to different readers.
"""

from __future__ import annotations

import re
from typing import Final

from appgw.message import Headers, RequestHead, elements_of, values_of
from appgw.refusal import Refusal

MAX_HEAD: Final = 32768
"""Bytes of a head, request line included."""

MAX_FIELDS: Final = 100

_JUDGED: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"expect"),
)


class BadHead(Exception):  # noqa: N818 - it is the head that is bad
    """
    A head that is answered with *refusal*, and the connection closed.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def read_head(
    line: bytes, method: bytes, target: bytes, fields: Headers, scheme: str
) -> tuple[RequestHead, bool]:
    """
    Build the head that llhttp has just completed.

    Args:
        line: the request line as received, without its end; llhttp has made
            *method*, *target* and *fields* of the head.

    Returns:
        The head, and whether the client waits for ``100 Continue``.

    Raises:
        BadHead: with what to answer.
    """
    host, length, coding, expect = _judged(fields)
    version = _VERSIONS.get(line[-9:])
    if version is None:
        raise BadHead(Refusal.UNKNOWN_VERSION)
    if len(line) != len(method) + len(target) + 10:
        # More than one space between the three (RFC 9112, 3).
        raise BadHead(Refusal.MALFORMED)
    if len(fields) > MAX_FIELDS:
        raise BadHead(Refusal.HEAD_TOO_LARGE)
    if host is None:
        if version == (1, 1):
            raise BadHead(Refusal.NO_HOST)
        host = b""
    authority, path, query = _read_target(method, target, host)
    return RequestHead(
        method,
        _SCHEMES[scheme],
        authority,
        path,
        query,
        version,
        fields,
        _body_length(version, length, coding),
    ), expect is not None and _expects_continue(expect, version)


def _judged(
    fields: Headers,
) -> tuple[bytes | None, bytes | None, bytes | None, bytes | None]:
    """
    Pick Host, Content-Length, Transfer-Encoding and Expect.
    """
    host = length = coding = expect = None
    for name, value in fields:
        lower = name.lower()
        if lower in _JUDGED:
            if lower == b"host":
                if host is not None:
                    raise BadHead(Refusal.BAD_HOST)
                host = value
            elif lower == b"content-length":
                length = value
            elif lower == b"transfer-encoding":
                coding = value if coding is None else b"twice"
            else:
                expect = value if expect is None else b"twice"
    return host, length, coding, expect


# llhttp reads RTSP/1.0 and ICE/1.0 too, and 0.9 where nothing stands.
_VERSIONS: Final = {b" HTTP/1.1": (1, 1), b" HTTP/1.0": (1, 0)}
_SCHEMES: Final = {"http": b"http", "https": b"https"}


def too_large(target: bytes) -> Refusal:
    """
    Say which part of a head of more than MAX_HEAD bytes is to blame.
    """
    if len(target) > MAX_HEAD // 2:
        return Refusal.TARGET_TOO_LONG
    return Refusal.HEAD_TOO_LARGE


def says_close(fields: Headers) -> bool:
    """
    Tell whether Connection has the option ``close``, whatever stands beside it:
    in HTTP/1.0, llhttp looks for ``keep-alive`` only (RFC 9112, 9.3).
    """
    return b"close" in elements_of(fields, b"connection")


_PROTOCOL: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+(/[!#$%&'*+.^_`|~0-9a-z-]+)?")
_UNSEEN: Final = frozenset((b"h2c", b"h2", b"http", b"tls"))
"""Within these there would be further requests, past everything that judges them."""


def upgrade_of(head: RequestHead) -> bytes:
    """
    Return the Upgrade that goes on to a backend (RFC 9110, 7.8), or nothing.

    A request with a body, or one that ends its connection, asks for none, nor one
    with a protocol in its list that would carry requests of its own.
    """
    fields = head.headers
    connection = elements_of(fields, b"connection")
    protocols = elements_of(fields, b"upgrade")
    if (
        not protocols
        or head.version != (1, 1)
        or head.content_length != 0
        or b"upgrade" not in connection
        or b"close" in connection
        or values_of(fields, b"http2-settings")
    ):
        return b""
    for protocol in protocols:
        name = protocol.partition(b"/")[0]
        if name in _UNSEEN or _PROTOCOL.fullmatch(protocol) is None:
            return b""
    return b", ".join(values_of(fields, b"upgrade"))


def _body_length(
    version: tuple[int, int], length: bytes | None, coding: bytes | None
) -> int | None:
    """
    RFC 9112, 6.3: llhttp has refused both at once, repeated and odd lengths.
    """
    if coding is not None:
        if version == (1, 0) or length is not None:
            raise BadHead(Refusal.MALFORMED)
        if coding.lower() != b"chunked":
            raise BadHead(Refusal.UNKNOWN_CODING)
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 19:
        raise BadHead(Refusal.BAD_CONTENT_LENGTH)
    return int(length)


def _expects_continue(expect: bytes, version: tuple[int, int]) -> bool:
    """
    RFC 9110, 10.1.1: one expectation is known, and not to HTTP/1.0.
    """
    if version == (1, 0):
        return False
    if expect.lower() != b"100-continue":
        raise BadHead(Refusal.UNKNOWN_EXPECTATION)
    return True


def _read_target(
    method: bytes, target: bytes, host: bytes
) -> tuple[bytes, bytes, bytes | None]:
    """
    RFC 9112, 3.2: origin, absolute or asterisk form.
    """
    if target[:1] != b"/" or target.find(b"#") >= 0 or method == b"CONNECT":
        return _read_other_form(method, target, host)
    path, mark, query = target.partition(b"?")
    return host, path, query if mark else None


def _read_other_form(
    method: bytes, target: bytes, host: bytes
) -> tuple[bytes, bytes, bytes | None]:
    if method == b"CONNECT":
        raise BadHead(Refusal.UNKNOWN_METHOD)
    if target == b"*" and method == b"OPTIONS":
        return host, target, None
    scheme, mark, rest = target.partition(b"://")
    if b"#" in target or not mark or scheme.lower() not in (b"http", b"https"):
        raise BadHead(Refusal.BAD_TARGET)
    end = min(
        (i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest)
    )
    authority, rest = rest[:end], rest[end:]
    path, mark, query = rest.partition(b"?")
    if not path:
        path = b"*" if method == b"OPTIONS" and not mark else b"/"
    return authority, path, query if mark else None
