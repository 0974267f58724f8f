"""
A backend's answers as llhttp parses them, and what we do not take from it.

The rules of RFC 9112, 6.3 for a response, in their order. Whatever leaves a
doubt about where an answer ends makes it a bad answer, or at least the last one
on its connection.
"""

from __future__ import annotations

import collections
import re
from typing import Final

import httptools

from appgw.message import Headers, ResponseHead, elements_of, values_of

MAX_HEAD: Final = 32768
MAX_FIELDS: Final = 100
MAX_LINES: Final = 8192
MAX_INTERIM: Final = 100
"""Bytes and fields of a head, bytes of chunk lines between two pieces of a
body, and interim responses before the final one."""

IDLE_TIMEOUT: Final = 60.0
"""Seconds, unless the backend names less (Keep-Alive: timeout)."""

_REMEMBERED: Final = 512


class _Framing(dict[bytes, bytes]):
    """
    Names as written on the wire -> the lower-case name of those that frame a
    message, empty for all others. Bounded, as a backend chooses the names.
    """

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        framing = (b"content-length", b"transfer-encoding", b"keep-alive")
        found = lower if lower in framing else b""
        if len(name) <= 64:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[name] = found
        return found


_FRAMING: Final = _Framing()
_CONTROL: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")
_TIMEOUT: Final = re.compile(rb"timeout=(\d{1,6})\b", re.IGNORECASE)


class BadAnswer(Exception):  # noqa: N818 - it is the answer that is bad
    """
    An answer that no client may see, or see any more of.
    """


class AnswerParser:
    """
    Collects what one feed completes; the caller takes it afterwards.

    Attributes:
        interim: interim heads (1xx) not taken yet.
        head: the final head, until taken.
        body: pieces not taken yet.
        trailers: fields behind the body; valid once complete.
        complete: the answer is whole.
        until_close: its end is the connection's end.
        untouched: not a byte of an answer has come.
        idle_timeout: how long the backend keeps the connection, in seconds.
        proposed: the Upgrade of the request; empty: 101 is no answer to it.
        switched: the final head is 101, and what follows is no HTTP.
    """

    switched = False

    def __init__(self) -> None:
        self.interim: collections.deque[ResponseHead] = collections.deque()
        self.idle_timeout = IDLE_TIMEOUT
        self._parser = httptools.HttpResponseParser(self)
        self._fresh = True
        self._cause: BadAnswer | None = None
        self.expect(False)

    def expect(self, head_only: bool) -> None:
        """
        Make ready for the answer to one request.

        Args:
            head_only: it answers HEAD.
        """
        self.head: ResponseHead | None = None
        self.body: list[bytes] = []
        self.trailers: Headers | None = None
        self.complete = self.until_close = False
        self.untouched = True
        self._head_only = head_only
        self._headers_done = self._surplus = self._keep_alive = False
        self._fields: Headers = []
        self._reason = b""
        self._pending = 0
        self._interims = 0
        self.proposed = b""
        self._chunked = False
        self._overhead = self._trailer_bytes = 0

    @property
    def reusable(self) -> bool:
        """
        Whether the connection may carry another request.
        """
        return self.complete and self._keep_alive and not self._surplus

    def reset(self) -> None:
        """
        Be ready for the next answer on the same connection.
        """
        if not self._fresh:
            self._parser = httptools.HttpResponseParser(self)
            self._fresh = True

    def take(self) -> bytes:
        """
        Return the body's pieces as one, which may be empty.
        """
        body = self.body
        if not body:
            return b""
        self.body = []
        return body[0] if len(body) == 1 else b"".join(body)

    def feed(self, data: bytes) -> None:
        """
        Parse *data*.

        Raises:
            BadAnswer: and the connection is of no more use.
        """
        self.untouched = False
        if self.complete:
            self._take_surplus(data)
            return
        if not self._headers_done and len(data) > MAX_HEAD - self._pending:
            self._feed_long_head(data)
            return
        pieces = len(self.body)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_surplus(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._stumbled(error)
        if not self._headers_done:
            self._pending += len(data)
        elif self._chunked and not self.complete:
            self._count_lines(len(data), self.body[pieces:])

    def _take_surplus(self, data: bytes) -> None:
        """
        Take what stands behind the answer: nobody's, or a tunnel's.
        """
        if not self.switched:
            self._surplus = True
        elif data:
            self.body.append(data)

    def _stumbled(self, error: httptools.HttpParserError) -> None:
        """
        Tell a bad answer from bytes behind a good one, and from our own bugs.
        """
        cause, self._cause = self._cause, None
        if self.complete:
            self._surplus = True
            return
        if cause is not None:
            raise cause from None
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error
        raise BadAnswer(str(error)) from None

    def _feed_long_head(self, data: bytes) -> None:
        """
        Of a head that does not end, llhttp shall see no more than the limit.
        """
        room = MAX_HEAD - self._pending
        if room:
            self.feed(data[:room])
        if not self._headers_done and self._pending >= MAX_HEAD:
            raise BadAnswer("a head past 32 KiB")
        self.feed(data[room:])

    def _count_lines(self, size: int, pieces: list[bytes]) -> None:
        body = sum(map(len, pieces))
        self._pending = 0 if body else self._pending + size
        self._overhead = max(0, self._overhead + size - 9 * body)
        if self._pending > MAX_LINES or self._overhead > 8 * MAX_LINES:
            raise BadAnswer("more chunk lines than body")

    # What llhttp calls.

    def _bad(self, why: str) -> BadAnswer:
        """
        Make what a callback raises, and remember it: httptools hands it on as the
        context of its own exception, where another one that is being handled at
        the time takes its place.
        """
        self._cause = BadAnswer(why)
        return self._cause

    def on_message_begin(self) -> None:
        """
        A status line begins; behind a complete answer it is one too many.
        """
        if self.complete:
            self._surplus = True
            raise self._bad("bytes behind the answer")
        self._headers_done = False
        self._fields = []
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        """
        A piece of the reason phrase.
        """
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        A field line, of a head or of the trailers.
        """
        value = value.rstrip(b" \t")
        if not self._headers_done:
            self._fields.append((name, value))
            return
        if self.trailers is None:
            self.trailers = []
        self.trailers.append((name, value))
        self._trailer_bytes += len(name) + len(value)
        if len(self.trailers) > MAX_FIELDS or self._trailer_bytes > MAX_LINES:
            raise self._bad("too many trailers")

    def on_headers_complete(self) -> None:
        """
        A head is whole: an interim one, or the final one.
        """
        self._headers_done = True
        self._pending = 0
        parser = self._parser
        status = parser.get_status_code()
        if self._reason != b"OK" and _CONTROL.search(self._reason):
            raise self._bad("control bytes in the reason phrase")
        if status < 200:
            self._take_interim(status)
            return
        version = parser.get_http_version()
        if status > 599 or version not in ("1.1", "1.0"):
            raise self._bad("no such status or version")
        length, chunked = self._framing(version)
        self._keep_alive = parser.should_keep_alive()
        if version == "1.0":
            # llhttp looks for keep-alive only, and a close may stand beside it.
            self._keep_alive = self._says_keep_alive(version)
        head_only = self._head_only
        bodiless = head_only or status in (204, 304)
        if bodiless:
            if head_only:
                # llhttp waits for a body that does not come.
                self._fresh = False
                self._keep_alive = self._says_keep_alive(version)
            self.complete = head_only
            if chunked or status == 204:
                length = None if status != 204 else 0
        elif length is None and not chunked:
            self.until_close = True
            self._keep_alive = False
        self._chunked = chunked
        self.head = ResponseHead(status, self._reason, self._fields, length)

    def _take_interim(self, status: int) -> None:
        if status == 101 and self.proposed:
            self._switch()
            return
        self._interims += 1
        if status < 100 or status == 101 or self._interims > MAX_INTERIM:
            raise self._bad("no such interim response")
        # Nothing of this counts against the final head, which may lie here too.
        self._headers_done = False
        self._pending = -MAX_HEAD
        self.interim.append(ResponseHead(status, self._reason, self._fields, 0))

    def _switch(self) -> None:
        """
        End HTTP, if the backend agrees to what was proposed and nothing else.
        """
        fields, version = self._fields, self._parser.get_http_version()
        length, chunked = self._framing(version)
        connection = elements_of(fields, b"connection")
        if version != "1.1" or length or chunked or b"upgrade" not in connection:
            raise self._bad("a switch that is none")
        agreed = elements_of(fields, b"upgrade")
        proposed = elements_of([(b"upgrade", self.proposed)], b"upgrade")
        if not agreed or not set(agreed).issubset(proposed):
            raise self._bad("a switch to what was not proposed")
        self.switched = self.complete = True
        self.head = ResponseHead(101, self._reason, fields)

    def _framing(self, version: str) -> tuple[int | None, bool]:
        """
        The length of the body, and whether it is chunked.
        """
        length = coding = None
        for name, value in self._fields:
            kind = _FRAMING[name]
            if not kind:
                continue
            if kind == b"content-length":
                if length is not None or not value.isdigit() or len(value) > 19:
                    raise self._bad("a Content-Length that is none")
                length = int(value)
            elif kind == b"transfer-encoding":
                if coding is not None or value.lower() != b"chunked":
                    raise self._bad("a transfer coding other than chunked")
                coding = value
            else:
                timeout = _TIMEOUT.search(value)
                if timeout is not None:
                    self.idle_timeout = min(IDLE_TIMEOUT, float(timeout[1]) - 0.5)
        if len(self._fields) > MAX_FIELDS:
            raise self._bad("too many fields")
        if coding is not None and (length is not None or version == "1.0"):
            raise self._bad("two kinds of framing")
        return length, coding is not None

    def _says_keep_alive(self, version: str) -> bool:
        tokens = b",".join(values_of(self._fields, b"connection")).lower()
        if version == "1.0" and b"keep-alive" not in tokens:
            return False
        return b"close" not in tokens

    def on_body(self, data: bytes) -> None:
        """
        A piece of the body; none may follow a head that has no body.
        """
        if self.complete:
            self._surplus = True
        else:
            self.body.append(data)

    def on_message_complete(self) -> None:
        """
        An answer is whole, or an interim one.
        """
        if self.complete:
            # Behind an answer to HEAD: a body that llhttp has seen end.
            self._surplus = self._chunked or self._surplus
        elif self._parser.get_status_code() >= 200:
            self.complete = True
