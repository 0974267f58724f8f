"""
What a field's name says about who the field is for.

Field names come from outside and are looked up for every line of every
request, so each table remembers the answers, up to a bound.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final


class Kind(enum.Enum):
    """
    What an intermediary does with a field.
    """

    KEEP = enum.auto()
    """It is meant for the other end."""

    DROP = enum.auto()
    """It ends here, or is written anew."""

    CONNECTION = enum.auto()
    """It names others that end here (RFC 9110, 7.6.1)."""

    IDENTITY = enum.auto()
    """It says where a request came from: believed from a trusted peer only."""

    FORWARDED_FOR = enum.auto()
    FORWARDED_PROTO = enum.auto()
    FORWARDED_PORT = enum.auto()

    MAX_FORWARDS = enum.auto()
    UPGRADE = enum.auto()
    VIA = enum.auto()
    DATE = enum.auto()


_SMALL: Final = 64
_REMEMBERED: Final = 2048

HOP_BY_HOP: Final = frozenset(
    (
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields of one connection, whether or not Connection names them."""

_REQUEST: Final = {
    **dict.fromkeys(HOP_BY_HOP, Kind.DROP),
    # Framing, and what is written anew for each backend connection.
    b"content-length": Kind.DROP,
    b"expect": Kind.DROP,
    b"host": Kind.DROP,
    # Says the same as X-Forwarded-*, or else contradicts them.
    b"forwarded": Kind.DROP,
    # CVE-2016-5385: CGI programs take it for a setting.
    b"proxy": Kind.DROP,
    # Ours, always.
    b"x-original-host": Kind.DROP,
    b"x-original-url": Kind.DROP,
    b"x-appgw-trace-id": Kind.DROP,
    b"connection": Kind.CONNECTION,
    b"x-forwarded-for": Kind.FORWARDED_FOR,
    b"x-forwarded-port": Kind.FORWARDED_PORT,
    b"x-forwarded-proto": Kind.FORWARDED_PROTO,
    b"x-client-ip": Kind.IDENTITY,
    b"x-host": Kind.IDENTITY,
    b"x-real-ip": Kind.IDENTITY,
    # Some servers take it for the path, past every path rule.
    b"x-rewrite-url": Kind.IDENTITY,
    b"max-forwards": Kind.MAX_FORWARDS,
    b"upgrade": Kind.UPGRADE,
    b"via": Kind.VIA,
}
_IDENTITY_PREFIXES: Final = (b"x-forwarded-", b"x-original-", b"x-appgw-")
_REQUEST_NAME: Final = re.compile(rb"[A-Za-z0-9-]+")

_RESPONSE: Final = {
    **dict.fromkeys(HOP_BY_HOP, Kind.DROP),
    b"content-length": Kind.DROP,
    b"connection": Kind.CONNECTION,
    b"date": Kind.DATE,
    b"upgrade": Kind.UPGRADE,
}
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def request_kind(name: bytes) -> Kind:
    """
    Return what becomes of a request's field.

    Names outside ``[A-Za-z0-9-]`` are dropped, as Azure does: to many servers
    ``X_Forwarded_For`` is ``X-Forwarded-For``.
    """
    if _REQUEST_NAME.fullmatch(name) is None:
        return Kind.DROP
    lower = name.lower()
    kind = _REQUEST.get(lower)
    if kind is not None:
        return kind
    if lower.startswith(_IDENTITY_PREFIXES):
        return Kind.IDENTITY
    return Kind.KEEP


def response_kind(name: bytes) -> Kind:
    """
    Return what becomes of a response's field (RFC 9110, 5.1 and 7.6.1).
    """
    if _TOKEN.fullmatch(name) is None:
        return Kind.DROP
    return _RESPONSE.get(name.lower(), Kind.KEEP)


class Kinds(dict[bytes, Kind]):
    """
    The kinds of names as they are written on the wire: ``kinds[name]``.

    Of the names that nobody foresaw it remembers the short ones, up to a
    bound, and then starts anew: a client cannot make it grow.
    """

    __slots__ = ("_judge",)

    def __init__(self, judge: Callable[[bytes], Kind]) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, name: bytes) -> Kind:
        kind = self._judge(name)
        if len(name) <= _SMALL:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[name] = kind
        return kind


REQUEST: Final = Kinds(request_kind)
RESPONSE: Final = Kinds(response_kind)
