"""
The variables of rewrite rules: what each is called, and where its value is from.

Server variables tell what the client asked; fields are as the rules before have
left them. What is not there is empty.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from appgw.message import Arrival, Headers, RequestHead, value_of, values_of
from appgw.route.client_certificate import client_certificate_variables
from appgw.route.fields import Kind, request_kind, response_kind
from appgw.route.forwarded import forwarded_for
from appgw.route.listeners import host_of
from appgw.route.patterns import Steps

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_FIELD: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_NOT_BELIEVED: Final = frozenset(
    (b"forwarded", b"proxy", b"x-original-host", b"x-original-url", b"x-appgw-trace-id")
)
"""Claims that are dropped from every request (see ``fields``)."""

_FORESEEN: Final = {
    Kind.DROP: frozenset((b"",)),
    Kind.CONNECTION: frozenset((b"", b"Upgrade")),
}

OF_SOCKETS: Final = frozenset(("var_ciphers_supported", "var_client_tcp_rtt"))
"""What costs something to know: it is only looked up where it is asked."""


class BadVariable(ValueError):  # noqa: N818 - it is the variable that is bad
    """
    There is no such variable.
    """


@attrs.define(eq=False)
class Seen:
    """
    What a rule sees.

    Attributes:
        path: of the request as read, before any rewrite; ``*`` for none.
        edits: the request's fields that rules before have set, by their name in
            lower case; an empty value means that it is deleted.
        lines: the answer's fields, as the rules before have left them.
        status: of the answer, 0 as long as there is none.
        length: of the answer, None where it is not known.
    """

    head: RequestHead
    arrival: Arrival
    path: bytes
    steps: Steps
    edits: Mapping[bytes, tuple[bytes, bytes]]
    lines: Headers = attrs.field(factory=list)
    status: int = 0
    length: int | None = None


Read = Callable[[Seen], bytes]


@attrs.frozen
class Variable:
    """
    Something that can be asked of a request or of its answer.

    Attributes:
        name: as it is written, of a field in lower case.
        of_answer: there is no value before the answer.
        field: of the answer, in lower case, where it stands for one.
        values: all that it can be, where they are few.
        begins: the bytes that it can begin with; none: any, or it can be empty.
        lacks: characters that it never has.
    """

    name: str
    read: Read = attrs.field(eq=False, repr=False)
    of_answer: bool = False
    field: bytes | None = None
    values: frozenset[bytes] = frozenset()
    begins: bytes = b""
    lacks: str = ""

    def all_values(self, seen: Seen) -> list[bytes]:
        """
        Return what a pattern is compared with: each line of an answer's field.
        """
        if self.field is None or self.field == _LENGTH:
            return [self.read(seen)]
        return values_of(seen.lines, self.field) or [b""]


def variable(name: str) -> Variable:
    """
    Return the variable of this name, without braces.

    Raises:
        BadVariable: there is none.
    """
    if name.startswith("http_req_") and _FIELD.fullmatch(name[9:]):
        return _request_field(name[9:])
    if name.startswith("http_resp_") and _FIELD.fullmatch(name[10:]):
        return _answer_field(name[10:])
    if name.startswith("var_cookie_") and _TOKEN.fullmatch(name[11:]):
        return Variable(name, _cookie(name[11:].encode()))
    if name.startswith("var_") and name[4:] in _SERVER:
        return _SERVER[name[4:]]
    raise BadVariable(
        "http_req_NAME, http_resp_NAME, var_cookie_NAME or var_ with a server variable"
    )


def _request_field(text: str) -> Variable:
    """
    A field of the request; an underscore in its name stands for a hyphen.

    Claims that are not believed are not there, whoever makes them.
    """
    lower = text.replace("_", "-").lower().encode()
    name = f"http_req_{lower.decode()}"
    if lower in _NOT_BELIEVED:
        return Variable(name, _edited(lower))
    claim = request_kind(lower) in (
        Kind.IDENTITY,
        Kind.FORWARDED_FOR,
        Kind.FORWARDED_PORT,
        Kind.FORWARDED_PROTO,
    )
    joint = b"; " if lower == b"cookie" else b", "

    def read(seen: Seen) -> bytes:
        edit = seen.edits.get(lower)
        if edit is not None:
            return edit[1]
        if claim and not seen.arrival.trusted:
            return b""
        return joint.join(values_of(seen.head.headers, lower))

    return Variable(name, read)


def _edited(lower: bytes) -> Read:
    return lambda seen: seen.edits.get(lower, (b"", b""))[1]


_LENGTH: Final = b"content-length"


def _answer_field(text: str) -> Variable:
    lower = text.replace("_", "-").lower().encode()
    name = f"http_resp_{lower.decode()}"

    def read(seen: Seen) -> bytes:
        return b", ".join(values_of(seen.lines, lower))

    if lower == _LENGTH:
        return Variable(name, _length, of_answer=True, field=lower)
    values = _FORESEEN.get(response_kind(lower), frozenset[bytes]())
    return Variable(name, read, of_answer=True, field=lower, values=values)


def _length(seen: Seen) -> bytes:
    return b"" if seen.length is None else b"%d" % seen.length


def _cookie(name: bytes) -> Read:
    def read(seen: Seen) -> bytes:
        for line in values_of(seen.head.headers, b"cookie"):
            for pair in line.split(b";"):
                key, mark, value = pair.partition(b"=")
                if mark and key.strip() == name:
                    return value.strip()
        return b""

    return read


def _host(seen: Seen) -> bytes:
    name = host_of(seen.head.authority)
    return (f"[{name}]" if ":" in name else name).encode()


def _client_user(seen: Seen) -> bytes:
    """
    The user of HTTP's basic authentication (RFC 7617, 2), whatever bytes it has.
    """
    given = value_of(seen.head.headers, b"authorization").strip()
    scheme, _, credentials = given.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        plain = base64.b64decode(credentials.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
    user, mark, _ = plain.partition(b":")
    return user if mark else b""


def _received_bytes(seen: Seen) -> bytes:
    """
    The length of request line, fields and declared body.
    """
    head = seen.head
    size = len(head.method) + len(head.target) + len(" HTTP/1.1\r\n") + 1
    size += sum(len(name) + len(value) + 4 for name, value in head.headers) + 2
    return b"%d" % (size + (head.content_length or 0))


# A connection's facts, however many rules ask for them and how often.
_certificate_facts: Final = functools.lru_cache(256)(client_certificate_variables)


def _certificate(fact: str) -> Variable:
    name = f"client_certificate{fact}"
    return Variable(f"var_{name}", lambda seen: _certificate_facts(seen.arrival)[name])


_VERSIONS: Final = {(1, 0): b"HTTP/1.0", (1, 1): b"HTTP/1.1", (2, 0): b"HTTP/2.0"}
_NO_PATH: Final = "?# "
_DIGITS: Final = b"0123456789"


def _query(seen: Seen) -> bytes:
    return seen.head.query or b""


_SERVER: Final = {
    known.name.removeprefix("var_"): known
    for known in (
        Variable(
            "var_add_x_forwarded_for_proxy",
            lambda seen: forwarded_for(seen.head.headers, seen.arrival),
        ),
        Variable("var_ciphers_supported", lambda seen: seen.arrival.offered.encode()),
        Variable("var_ciphers_used", lambda seen: seen.arrival.cipher.encode()),
        Variable("var_client_ip", lambda seen: seen.arrival.address.encode()),
        Variable(
            "var_client_port", lambda seen: b"%d" % seen.arrival.port, begins=_DIGITS
        ),
        Variable(
            "var_client_tcp_rtt",
            lambda seen: b"%d" % seen.arrival.round_trip,
            begins=_DIGITS,
        ),
        Variable("var_client_user", _client_user),
        Variable("var_host", _host),
        Variable("var_http_method", lambda seen: seen.head.method),
        Variable(
            "var_http_status",
            lambda seen: b"%d" % seen.status,
            of_answer=True,
            begins=b"12345",
        ),
        Variable(
            "var_http_version",
            lambda seen: _VERSIONS.get(seen.head.version, b""),
            values=frozenset(_VERSIONS.values()),
        ),
        Variable("var_query_string", _query, lacks="# "),
        Variable("var_received_bytes", _received_bytes, begins=_DIGITS),
        Variable("var_request_query", _query, lacks="# "),
        Variable(
            "var_request_scheme",
            lambda seen: seen.head.scheme,
            values=frozenset((b"http", b"https")),
        ),
        Variable("var_request_uri", lambda seen: seen.head.target, lacks="# "),
        # None have been when its head is written.
        Variable(
            "var_sent_bytes",
            lambda _: b"0",
            of_answer=True,
            values=frozenset((b"0",)),
        ),
        Variable(
            "var_server_port",
            lambda seen: b"%d" % seen.arrival.local_port,
            begins=_DIGITS,
        ),
        Variable(
            "var_ssl_connection_protocol",
            lambda seen: seen.arrival.tls_version.encode(),
        ),
        Variable(
            "var_ssl_enabled",
            lambda seen: b"On" if seen.arrival.scheme == "https" else b"",
            values=frozenset((b"", b"On")),
        ),
        # Of an OPTIONS about the server as a whole it is an asterisk.
        Variable("var_uri_path", lambda seen: seen.path, begins=b"/*", lacks=_NO_PATH),
        _certificate(""),
        _certificate("_end_date"),
        _certificate("_fingerprint"),
        _certificate("_issuer"),
        _certificate("_serial"),
        _certificate("_start_date"),
        _certificate("_subject"),
        _certificate("_verification"),
    )
}
"""Azure's server variables."""
