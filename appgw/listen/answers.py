"""
The pages that we answer with by ourselves.

They say what went wrong for the client and the trace id, and nothing about
the inside: which backend, which pin, which address.
"""

from __future__ import annotations

import html
from http import HTTPStatus
from typing import Final

from appgw.message import Headers, ResponseHead
from appgw.refusal import Refusal

_SENTENCES: Final = {
    400: "The request could not be understood.",
    404: "There is no such site here.",
    405: "This method is not allowed.",
    408: "The request took too long to arrive.",
    413: "The request is larger than this site takes.",
    414: "The address is longer than this site takes.",
    417: "The expectation of this request cannot be met.",
    421: "This site is not served on this connection.",
    431: "The header of the request is larger than this site takes.",
    500: "Something went wrong here.",
    501: "This kind of request is not known here.",
    502: "The site could not be reached safely.",
    503: "The site is busy. Please try again in a moment.",
    504: "The site did not answer in time.",
    505: "This version of HTTP is not known here.",
    508: "The request came back to where it had been.",
}
_SAID_BETTER: Final = {
    Refusal.NO_CLIENT_CERTIFICATE: "This site asks for a client certificate.",
    Refusal.BAD_CLIENT_CERTIFICATE: "The client certificate was not accepted.",
}
"""Where the status alone would mislead."""

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{status} {phrase}</title></head>
<body>
<h1>{status} {phrase}</h1>
<p>{sentence}</p>
<p><small>Trace id: {trace_id}</small></p>
</body>
</html>
"""
_CONTENT_TYPE: Final = (b"Content-Type", b"text/html; charset=utf-8")
_ALLOW: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def page(
    refusal: Refusal, trace_id: str, date: bytes, custom: bytes | None = None
) -> tuple[ResponseHead, bytes]:
    """
    Make the answer for *refusal*.

    Args:
        trace_id: 32 hexadecimal digits, as in the access log.
        date: the value of the Date field.
        custom: HTML to show instead of our own page, UTF-8.

    Returns:
        Its head and its body.
    """
    status, phrase = refusal.status, refusal.phrase
    body = custom
    if body is None:
        sentence = _SAID_BETTER.get(refusal) or _SENTENCES.get(status, "")
        body = _body(status, phrase, sentence, trace_id)
    headers: Headers = [
        (b"Date", date),
        _CONTENT_TYPE,
        (b"Cache-Control", b"no-store"),
        _trace(trace_id),
    ]
    if refusal is Refusal.TRACE:
        # RFC 9110, 15.5.6: a 405 says what is allowed.
        headers.append((b"Allow", _ALLOW))
    if status == 503:
        headers.append((b"Retry-After", b"1"))
    return ResponseHead(status, phrase.encode("ascii"), headers, len(body)), body


def redirection(
    status: int, location: bytes, trace_id: str, date: bytes
) -> tuple[ResponseHead, bytes]:
    """
    Make the answer that sends a client elsewhere (RFC 9110, 15.4).

    Args:
        location: a whole URL, of visible ASCII.
        trace_id: 32 hexadecimal digits, as in the access log.
        date: the value of the Date field.

    Returns:
        Its head and its body.
    """
    phrase = HTTPStatus(status).phrase
    link = html.escape(location.decode("ascii"))
    sentence = f'What you want is <a href="{link}">elsewhere</a>.'
    body = _body(status, phrase, sentence, trace_id)
    headers: Headers = [
        (b"Date", date),
        (b"Location", location),
        _CONTENT_TYPE,
        _trace(trace_id),
    ]
    return ResponseHead(status, phrase.encode("ascii"), headers, len(body)), body


def _body(status: int, phrase: str, sentence: str, trace_id: str) -> bytes:
    return _PAGE.format(
        status=status, phrase=phrase, sentence=sentence, trace_id=trace_id
    ).encode("ascii")


def _trace(trace_id: str) -> tuple[bytes, bytes]:
    return b"X-AppGW-Trace-Id", trace_id.encode("ascii")
