"""
Heads and trailers as bytes: the one place where they are written.
"""

from __future__ import annotations

from appgw.message import Headers


class BadField(ValueError):  # noqa: N818 - it is the field that is bad
    """
    A CR, LF or NUL where none may be (RFC 9110, 5.5): no parser of ours lets one
    through, and none is ever written.
    """


def head_of(line: bytes, fields: Headers, framing: bytes) -> bytes:
    """
    Return a head, its empty line included.

    Args:
        line: request line or status line, without its end.
        framing: lines with their ends.

    Raises:
        BadField: a line would be two.
    """
    parts = [line]
    for name, value in fields:
        parts.append(b"%b: %b" % (name, value))
    text = b"\r\n".join(parts)
    _check(text, len(fields))
    return b"%b\r\n%b\r\n" % (text, framing)


def trailers_of(fields: Headers) -> bytes:
    """
    Return what stands behind the last chunk, the empty line included.

    Raises:
        BadField: a line would be two.
    """
    text = b"".join([b"%b: %b\r\n" % field for field in fields])
    _check(text, len(fields))
    return text + b"\r\n"


def _check(text: bytes, breaks: int) -> None:
    # One pass: counting each of them would take three times as long.
    if len(text) - len(text.translate(None, b"\r\n\0")) != 2 * breaks:
        raise BadField("a line break or NUL in a field value")
