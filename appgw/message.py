"""
The values that travel: field lines, a request's head and a response's head.

No I/O and no rules here. Whoever parses a wire format builds these, whoever
writes one serialises them anew; nothing is ever copied from wire to wire.
"""

from __future__ import annotations

import datetime

import attrs

Headers = list[tuple[bytes, bytes]]
"""
Field lines in the order they came, repeated ones kept (RFC 9110, 5.3): names and
values. Names keep the case they came in and are compared without it.
"""


def value_of(headers: Headers, name: bytes) -> bytes:
    """
    Return the first value of *name* (given in lower case), or nothing.
    """
    length = len(name)
    for field, value in headers:
        if len(field) == length and field.lower() == name:
            return value
    return b""


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """
    Return every value of *name* (given in lower case), in order.
    """
    return [value for field, value in headers if field.lower() == name]


def elements_of(headers: Headers, name: bytes) -> list[bytes]:
    """
    Return the elements of a list field, over all its lines, in lower case
    (RFC 9110, 5.6.1).
    """
    whole = b",".join(values_of(headers, name)).lower()
    return [one for part in whole.split(b",") if (one := part.strip(b" \t"))]


# Plain classes, here and in record.py: one is made per request, and compiled they
# take a third of the time of what attrs makes.
class RequestHead:
    """
    A request's head as a way in has read it, before any routing.

    Attributes:
        method: as received, case kept (RFC 9110, 9.1).
        scheme: ``http`` or ``https``, of the connection it came over.
        authority: the Host, or the authority of an absolute target, as
            received (RFC 9112, 3.2.2).
        path: the path of the target as received, not yet normalised.
        query: what follows the first ``?``, byte for byte; None without one.
        version: ``(1, 0)`` or ``(1, 1)``.
        headers: all field lines, framing and hop-by-hop ones included.
        content_length: bytes of the body, 0 for none, None when only the
            end of a chunked body tells.
        upgrade: what the client would rather speak, as its Upgrade says; empty
            where it asks for nothing, or for nothing that may go to a backend.
    """

    upgrade: bytes = b""

    def __init__(  # noqa: PLR0913, PLR0917 - a request has so many parts
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        query: bytes | None,
        version: tuple[int, int],
        headers: Headers,
        content_length: int | None = 0,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers
        self.content_length = content_length

    @property
    def target(self) -> bytes:
        """
        The path with its query, as received.
        """
        if self.query is None:
            return self.path
        return self.path + b"?" + self.query


class ResponseHead:
    """
    A response's head as a backend has sent it, or as we make one.

    Attributes:
        status: 100 to 599.
        reason: the reason phrase, may be empty.
        headers: all field lines that are meant for the client; framing is
            told by content_length alone.
        content_length: bytes of the body, 0 for none, None when only its
            end tells. For an answer to HEAD, and for 304, the length that
            the field declared (None if it had none).
    """

    def __init__(
        self,
        status: int,
        reason: bytes,
        headers: Headers,
        content_length: int | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.content_length = content_length


@attrs.frozen(eq=False, kw_only=True)
class ClientCertificate:
    """
    What a client that was asked for a certificate has shown.

    Names are printable ASCII, whatever the certificate holds.

    Attributes:
        verification: ``SUCCESS``, ``FAILED:`` with a reason, or ``NONE``.
        der: the whole certificate; empty for none.
        subject, issuer: as RFC 4514 writes names.
        serial: upper-case hexadecimal digits.
        fingerprint: SHA-1 of the DER, lower-case hexadecimal digits.
        not_before, not_after: UTC; None where there is nothing to read.
    """

    verification: str = "NONE"
    der: bytes = b""
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    fingerprint: str = ""
    not_before: datetime.datetime | None = None
    not_after: datetime.datetime | None = None

    @property
    def verified(self) -> bool:
        """
        It holds by all that the listener demands.
        """
        return self.verification == "SUCCESS"


@attrs.frozen(eq=False)
class Arrival:
    """
    What is known of a client's connection, for as long as it lasts.

    Attributes:
        address: the client's IP address as text, without brackets.
        port: the client's port.
        local_port: the port it reached us at, as configured.
        scheme: ``http`` or ``https``.
        server_name: the SNI in lower case, None without.
        tls_version: for the log, ``TLSv1.3``; empty for plain http.
        cipher: OpenSSL's name of the suite; empty for plain http.
        trusted: the address is among ``trusted_proxies``, and known to be
            the client's.
        client_certificate: None where the client was not asked for one.
        offered: OpenSSL's names of the suites that the client has offered, in its
            order, with colons between them; only where a rewrite asks for them.
        round_trip: of TCP, in microseconds; only where a rewrite asks for it.
    """

    address: str
    port: int
    local_port: int
    scheme: str
    server_name: str | None = None
    tls_version: str = ""
    cipher: str = ""
    trusted: bool = False
    client_certificate: ClientCertificate | None = None
    offered: str = ""
    round_trip: int = 0
