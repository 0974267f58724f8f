"""
Where a chunked body ends, found without decoding it (RFC 9112, 7.1).

llhttp decodes. It has no limits and does not say where in its input a message
ends; this counts along, so that limits hold to the byte however the input was
cut, and so that nothing behind the body is read as a part of it. Where the two
disagree, the connection is given up.
"""

from __future__ import annotations

import re
from typing import Final

from appgw.refusal import Refusal

MAX_LINE: Final = 8192
"""Bytes of one chunk line, and of all trailers together, line ends included."""

MAX_EXTENSIONS: Final = 65536
"""Bytes of chunk extensions in all, above one for each byte of the body."""

_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(;[^\r\n]*+)?\r\n")


class Chunks:
    """
    One chunked body, followed piece by piece.

    Attributes:
        done: the body is whole, trailers included.
        refusal: why nothing behind the last end may be read; or None.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_extensions",
        "_left",
        "_trailers",
        "done",
        "refusal",
    )

    def __init__(self) -> None:
        self._begun = b""
        self._left = 0
        self._body = self._extensions = 0
        self._trailers: int | None = None
        self.done = False
        self.refusal: Refusal | None = None

    def end_in(self, data: bytes, at: int) -> int:
        """
        Return how far *data* belongs to the body, from *at* on.
        """
        size = len(data)
        while at < size and not self.done and self.refusal is None:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
            else:
                at = self._line_in(data, at)
        return at

    def _line_in(self, data: bytes, at: int) -> int:
        room = MAX_LINE - len(self._begun) - (self._trailers or 0)
        end = data.find(b"\n", at, at + room) + 1
        if not end:
            end = min(at + room, len(data))
            self._begun += data[at:end]
            if end == at + room:
                self._refuse_length()
            return end
        line, self._begun = self._begun + data[at:end], b""
        if self._trailers is None:
            self._read_size(line)
        elif line == b"\r\n":
            self.done = True
        else:
            self._trailers += len(line)
            if self._trailers == MAX_LINE:
                # Without room for the empty line at the end.
                self._refuse_length()
        return end

    def _refuse_length(self) -> None:
        self.refusal = (
            Refusal.MALFORMED if self._trailers is None else Refusal.HEAD_TOO_LARGE
        )

    def _read_size(self, line: bytes) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            self.refusal = Refusal.MALFORMED
            return
        digits = match[1]
        self._extensions += len(line) - len(digits) - 2
        if self._extensions > MAX_EXTENSIONS + self._body:
            self.refusal = Refusal.MALFORMED
            return
        size = int(digits, 16)
        if size:
            self._body += size
            self._left = size + 2
        else:
            self._trailers = 0
