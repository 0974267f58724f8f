"""
The field lines that cross the gateway, in either direction.

The order is what keeps others out of the fields that we answer for: first the
claims of peers that are not trusted go, then what Connection names, and only
then our own are written.
"""

from __future__ import annotations

import re
from typing import Final

from appgw.message import Arrival, Headers, RequestHead, ResponseHead
from appgw.route.fields import REQUEST, RESPONSE, Kind, Kinds

PSEUDONYM: Final = b"appgw"
"""Our name in Via (RFC 9110, 7.6.3)."""

MAX_FORWARDED_FOR: Final = 4096
"""
Bytes of X-Forwarded-For that are taken over from a trusted peer.

Of a longer list the rightmost whole entries stay: they are the ones that the
proxies nearest to us have written. Servers allow some 8 KiB for a field.
"""

_KEEP: Final = Kind.KEEP
_DROP: Final = Kind.DROP
_CONNECTION: Final = Kind.CONNECTION
_DATE: Final = Kind.DATE
_HARMLESS: Final = frozenset(
    (name, value)
    for name in (b"Connection", b"connection")
    for value in (b"keep-alive", b"Keep-Alive", b"close", b"upgrade", b"Upgrade")
)
"""What Connection nearly always says; it names no field that is forwarded."""

_UPGRADES: Final = (b"Connection", b"Upgrade")
_SCHEMES: Final = {"http": b"http", "https": b"https"}
_VIA: Final = {
    (1, 0): (b"Via", b"1.0 " + PSEUDONYM),
    (1, 1): (b"Via", b"1.1 " + PSEUDONYM),
}

_WITH_PORT: Final = re.compile(
    rb"\A(?:([0-9]+(?:\.[0-9]+){3}):[0-9]+|\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?)\Z"
)

_Apart = list[tuple[Kind, tuple[bytes, bytes]]]


def request_headers(
    head: RequestHead, arrival: Arrival, host: bytes, trace_id: bytes, for_port: bool
) -> Headers:
    """
    Return the field lines of the request to the backend, ``Host`` first.

    Without framing and Expect: who sends it writes those; Connection and Upgrade
    are there where the request may be upgraded.

    Args:
        head: of the client's request.
        arrival: of its connection; what it claims is believed if trusted.
        host: for the Host field.
        trace_id: for X-AppGW-Trace-Id.
        for_port: X-Forwarded-For says the client's port too.
    """
    lines = [(b"Host", host)]
    apart: _Apart = []
    for line in head.headers:
        kind = REQUEST[line[0]]
        if kind is _KEEP:
            lines.append(line)
        elif kind is not _DROP and line not in _HARMLESS:
            apart.append((kind, line))
    if apart:
        lines = _without(lines, apart, REQUEST)
        lines += _kept(apart, head.method, arrival.trusted)
        if head.upgrade:
            lines += (_UPGRADES, (b"Upgrade", head.upgrade))
    chain, scheme, port = _origin(arrival, apart, for_port)
    lines += (
        _VIA[head.version],
        (b"X-Forwarded-For", chain),
        (b"X-Forwarded-Proto", scheme),
        (b"X-Forwarded-Port", port),
        (b"X-Original-Host", head.authority),
        (b"X-Original-URL", head.target),
        (b"X-AppGW-Trace-Id", trace_id),
    )
    return lines


def response_headers(head: ResponseHead, date: bytes = b"") -> Headers:
    """
    Return the field lines of a backend's response for the client.

    Without framing and hop-by-hop fields; whoever writes them adds its own. What
    Upgrade says goes on where it is part of the answer.

    Args:
        head: of the backend's response.
        date: written as Date where the backend sent none (RFC 9110, 6.6.1);
            empty: none is written.

    """
    lines = []
    apart: _Apart = []
    for line in head.headers:
        kind = RESPONSE[line[0]]
        if kind is _KEEP:
            lines.append(line)
        elif kind is _DATE:
            date = b""
            lines.append(line)
        elif kind is not _DROP and line not in _HARMLESS:
            apart.append((kind, line))
    if apart:
        lines = _without(lines, apart, RESPONSE)
        lines += _upgrade(apart, head.status)
    if date:
        lines.append((b"Date", date))
    return lines


def forwarded_for(headers: Headers, arrival: Arrival) -> bytes:
    """
    Return what X-Forwarded-For says of a request, all ports left out.
    """
    client = _address(arrival, with_port=False)
    if not arrival.trusted:
        return client
    before = [value for name, value in headers if REQUEST[name] is Kind.FORWARDED_FOR]
    entries = [entry.strip() for entry in _chain(before, client).split(b",")]
    return b", ".join(_WITH_PORT.sub(rb"\1\2", entry) for entry in entries)


def hops_left(headers: Headers) -> int | None:
    """
    Return the smallest Max-Forwards, None without a valid one (RFC 9110, 7.6.2).
    """
    return min(
        (
            _count(value)
            for name, value in headers
            if REQUEST[name] is Kind.MAX_FORWARDS and value.isdigit()
        ),
        default=None,
    )


def _count(digits: bytes) -> int:
    """
    Read a number of any length; beyond nine digits they are all the same.
    """
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) < 10 else 10**9


def _without(lines: Headers, apart: _Apart, kinds: Kinds) -> Headers:
    """
    Take out what Connection names (RFC 9110, 7.6.1).

    It can name away nothing else than what would simply go on: a client could
    otherwise undo what a trusted proxy has said about it (as in Fabio and
    Traefik).
    """
    named = b",".join([line[1] for kind, line in apart if kind is _CONNECTION])
    if not named:
        return lines
    options = {name.strip() for name in named.lower().split(b",")}
    gone = {name for name in options if kinds[name] is _KEEP}
    return [line for line in lines if line[0].lower() not in gone]


def _kept(apart: _Apart, method: bytes, trusted: bool) -> Headers:
    """
    Those of the lines set apart that go on as single lines.
    """
    lines = []
    for kind, line in apart:
        if kind is Kind.VIA or (kind is Kind.IDENTITY and trusted):
            lines.append(line)
        elif kind is Kind.MAX_FORWARDS and method == b"OPTIONS":
            lines += _one_hop_less(line)
        elif kind is Kind.MAX_FORWARDS:
            lines.append(line)
    return lines


def _one_hop_less(line: tuple[bytes, bytes]) -> Headers:
    """
    Count this hop (RFC 9110, 7.6.2); what is no number counts nothing.
    """
    name, value = line
    if not value.isdigit():
        return []
    return [(name, b"%d" % max(_count(value) - 1, 0))]


def _upgrade(apart: _Apart, status: int) -> Headers:
    """
    Those of the lines set apart that say what is spoken now, or what would have to
    be (RFC 9110, 15.2.2 and 15.5.22).
    """
    lines = [line for kind, line in apart if kind is Kind.UPGRADE]
    return [_UPGRADES, *lines] if lines and status in (101, 426) else []


def _address(arrival: Arrival, with_port: bool) -> bytes:
    if not with_port:
        return arrival.address.encode()
    if ":" in arrival.address:
        return f"[{arrival.address}]:{arrival.port}".encode()
    return f"{arrival.address}:{arrival.port}".encode()


def _origin(
    arrival: Arrival, apart: _Apart, for_port: bool
) -> tuple[bytes, bytes, bytes]:
    """
    Return X-Forwarded-For, -Proto and -Port.

    What a trusted peer sent is extended, or kept.
    """
    client = _address(arrival, for_port)
    scheme, port = _SCHEMES[arrival.scheme], b"%d" % arrival.local_port
    if not apart or not arrival.trusted:
        return client, scheme, port
    before = [line[1] for kind, line in apart if kind is Kind.FORWARDED_FOR]
    schemes = [line[1] for kind, line in apart if kind is Kind.FORWARDED_PROTO]
    if len(schemes) == 1 and schemes[0].lower() in (b"http", b"https"):
        scheme = schemes[0].lower()
    ports = [line[1] for kind, line in apart if kind is Kind.FORWARDED_PORT]
    if len(ports) == 1 and ports[0].isdigit() and 1 <= _count(ports[0]) <= 65535:
        port = b"%d" % _count(ports[0])
    return _chain(before, client), scheme, port


def _chain(before: list[bytes], client: bytes) -> bytes:
    """
    Extend what a trusted peer has sent as X-Forwarded-For.
    """
    text = _shortened(b", ".join(value for value in before if value))
    return text + b", " + client if text else client


def _shortened(chain: bytes) -> bytes:
    if len(chain) <= MAX_FORWARDED_FOR:
        return chain
    _, _, whole = chain[-MAX_FORWARDED_FOR - 1 :].partition(b",")
    return whole.lstrip()
