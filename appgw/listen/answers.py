"""
The pages that we answer with by ourselves.

They say what went wrong for the client and the trace id, and nothing about
the inside: which backend, which pin, which address.
"""

from __future__ import annotations

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
_ALLOW: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def page(refusal: Refusal, trace_id: str, date: bytes) -> tuple[ResponseHead, bytes]:
    """
    Make the answer for *refusal*.

    Args:
        trace_id: 32 hexadecimal digits, as in the access log.
        date: the value of the Date field.

    Returns:
        Its head and its body.
    """
    status = refusal.status
    body = _PAGE.format(
        status=status,
        phrase=refusal.phrase,
        sentence=_SENTENCES.get(status, ""),
        trace_id=trace_id,
    ).encode("ascii")
    headers = Headers(
        (
            (b"Date", date),
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Cache-Control", b"no-store"),
            (b"X-AppGW-Trace-Id", trace_id.encode("ascii")),
        )
    )
    if refusal is Refusal.TRACE:
        # RFC 9110, 15.5.6: a 405 says what is allowed.
        headers.append((b"Allow", _ALLOW))
    if status == 503:
        headers.append((b"Retry-After", b"1"))
    head = ResponseHead(status, refusal.phrase.encode("ascii"), headers, len(body))
    return head, body
