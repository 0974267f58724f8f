"""
Requests out of a client's bytes (RFC 9112).

llhttp parses. What it is given ends where a head or a body ends: so the limits
hold to the byte, however the bytes were cut on their way, and no byte behind a
request is looked at before its turn. Where llhttp and we see different ends,
nothing more is taken from the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools
from twisted.web.resource import IResource

from appgw.listen.chunks import Chunks
from appgw.listen.heads import (
    MAX_HEAD,
    BadHead,
    read_head,
    says_close,
    too_large,
    upgrade_of,
)
from appgw.listen.request import Request
from appgw.message import Arrival, Headers, RequestHead
from appgw.refusal import Refusal

_LONGEST_METHOD: Final = 32


class Door(Protocol):
    """
    What a channel knows of the port it came through.
    """

    root: IResource
    max_request_body: int
    draining: bool
    drained_since: float
    seconds: Callable[[], float]
    channels: set[Any]

    def arrival(self, transport: Any) -> Arrival:
        """
        Put together what is known of a connection.
        """


class Messages:
    """
    One client's side of a connection, read request by request.

    Args:
        door: the port's root resource and limits.

    Attributes:
        arrival: the facts of this connection.
    """

    arrival: Arrival

    def __init__(self, door: Door) -> None:
        self.door = door
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields: Headers = []
        self._line = b""
        self._bad: Refusal | None = None
        self._begun = bytearray()
        self._head_since: float | None = None
        self._heading = False
        self._chunks: Chunks | None = None
        self._left = 0
        self._reading: Request | None = None
        self._fresh: Request | None = None
        self._deaf = False

    def _take_head(self, data: bytes, at: int) -> int:
        """
        Read on in a head; return where in *data* to go on.
        """
        end = data.find(b"\r\n\r\n", at) + 4
        if end == 3 or self._begun or end - at > MAX_HEAD:
            return self._take_part_of_head(data, at)
        stop = data.find(b"\r\n", at)
        if stop == at:
            return at + 2  # an empty line before the request (RFC 9112, 2.2)
        self._line = data[at:stop]
        self._feed_end_of_head(data if end - at == len(data) else data[at:end])
        return end

    def _take_part_of_head(self, data: bytes, at: int) -> int:
        begun = self._begun
        before = len(begun)
        if not before:
            self._head_since = self.door.seconds()
        begun += data[at : at + MAX_HEAD - before]
        if begun.startswith(b"\r\n"):
            begun.clear()
            self._head_since = None
            return at + 2 - before
        found = begun.find(b"\r\n\r\n", max(before - 3, 0))
        end = at - before + (len(begun) if found < 0 else found + 4)
        if found < 0:
            self._feed(data[at:end])
            if len(begun) == MAX_HEAD and not self._deaf:
                self._doubt(too_large(self._target))
        else:
            self._line = bytes(begun[: begun.index(b"\r\n")])
            begun.clear()
            self._feed_end_of_head(data[at:end])
        return end

    def _feed_end_of_head(self, data: bytes) -> None:
        self._heading = True
        self._feed(data)
        self._heading = False
        self._head_since = None
        reading = self._reading
        if reading is not None:
            length = reading.head.content_length
            if length is None:
                self._chunks = Chunks()
            elif length:
                self._left = length
            else:
                self._doubt(Refusal.MALFORMED)
        elif self._fresh is None:
            # Such as HTTP/2's preface without its second half.
            self._doubt(Refusal.UNKNOWN_VERSION)

    def _take_body(self, data: bytes, at: int) -> int:
        """
        Read on in the body of ``_reading``; return where in *data* to go on.
        """
        reading, chunks = self._reading, self._chunks
        assert reading is not None  # noqa: S101 - the caller has looked
        if chunks is None:
            end = min(at + self._left, len(data))
            self._left -= end - at
            done, refusal = not self._left, None
        else:
            end = chunks.end_in(data, at)
            done, refusal = chunks.done, chunks.refusal
        reading.moved = self.door.seconds()
        self._feed(data if end - at == len(data) else data[at:end])
        if self._reading is None and not reading.complete:
            return end  # llhttp has refused it
        if refusal is None and done is not reading.complete:
            refusal = Refusal.MALFORMED
        if refusal is not None:
            reading.complete = False
            self._reading = reading
            self._doubt(refusal)
        return end

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._after_upgrade()
        except httptools.HttpParserCallbackError:
            bad, self._bad = self._bad, None
            if bad is None:
                raise
            self._doubt(bad)
        except httptools.HttpParserInvalidMethodError:
            self._doubt(Refusal.UNKNOWN_METHOD)
        except httptools.HttpParserError as error:
            self._doubt(_meaning(str(error)))

    def _after_upgrade(self) -> None:
        """
        Go on after a head that asks for an upgrade.

        llhttp leaves the body of such a request unread, so a fresh parser is
        told of the body by a head of the same framing. What follows a request
        without a body is the next one, unless the backend agrees to the upgrade.
        """
        self._parser = httptools.HttpRequestParser(self)
        if self._reading is None:
            if self._fresh is not None:
                self._fresh.head.upgrade = upgrade_of(self._fresh.head)
            return
        length = self._reading.head.content_length
        framing = (
            b"Transfer-Encoding: chunked"
            if length is None
            else b"Content-Length: %d" % length
        )
        self._parser.feed_data(
            b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
        )

    def _doubt(self, refusal: Refusal) -> None:
        """
        Take nothing more from this connection; say why once it is its turn.
        """
        self._deaf = True
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.keep_alive = False
            reading.broken = reading.broken or refusal
            return
        head = RequestHead(
            self._method(),
            self.arrival.scheme.encode(),
            b"",
            self._target[:1024],
            None,
            (1, 1),
            [],
        )
        self._fresh = Request(self, head, False, refusal)

    def _method(self) -> bytes:
        """
        The method of a head that is not complete, empty if not even that is.
        """
        line = self._line or bytes(self._begun[: _LONGEST_METHOD + 1])
        method, space, _ = line.partition(b" ")
        return method if space and len(method) <= _LONGEST_METHOD else b""

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """
        A piece of the target.
        """
        if self._reading is None:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        A field line, of the head or of the trailers.
        """
        if self._reading is None:
            self._fields.append((name, value.rstrip(b" \t")))
        elif not self._heading:
            self._reading.add_trailer(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """
        The head is whole: from here on there is a request.
        """
        if self._reading is not None:
            return
        parser = self._parser
        try:
            head, waits = read_head(
                self._line,
                parser.get_method(),
                self._target,
                self._fields,
                self.arrival.scheme,
            )
        except BadHead as bad:
            # httptools hands an exception on as the context of its own, which
            # is another one if we are called while any exception is handled.
            self._bad = bad.refusal
            raise
        keep_alive = parser.should_keep_alive()
        if keep_alive and head.version == (1, 0):
            keep_alive = not says_close(head.headers)
        request = Request(self, head, keep_alive, None)
        request.expects_continue = waits
        self._target, self._fields = b"", []
        length = head.content_length
        if length is not None and length > self.door.max_request_body:
            request.refusal = Refusal.BODY_TOO_LARGE
        self._fresh = self._reading = request

    def on_body(self, data: bytes) -> None:
        """
        A piece of a body.
        """
        if self._reading is not None:
            self._reading.add_body(data, self.door.max_request_body)

    def on_message_complete(self) -> None:
        """
        The request is whole, body and trailers included.
        """
        request = self._reading
        if request is None or (self._heading and request.head.content_length != 0):
            return
        request.complete = True
        self._reading = None
        if self._chunks is not None:
            self._chunks = None
            if not self._parser.should_keep_alive():
                # The trailers said so; llhttp takes nothing more.
                request.keep_alive = False
        if not request.keep_alive:
            self._deaf = True


_OTHER_VERSION: Final = frozenset(
    (
        "Invalid HTTP version",
        "Invalid major version",
        "Invalid minor version",
        "Expected dot",
        "Expected HTTP/, RTSP/ or ICE/",
        "Expected HTTP/2 Connection Preface",
        "Pause on PRI/Upgrade",
    )
)


def _meaning(words: str) -> Refusal:
    """
    What llhttp's words for a bad request mean.
    """
    if words in _OTHER_VERSION:
        return Refusal.UNKNOWN_VERSION
    if words.startswith("Invalid method"):
        return Refusal.UNKNOWN_METHOD
    if "Content-Length" in words:
        return Refusal.BAD_CONTENT_LENGTH
    if " url" in words:
        return Refusal.BAD_TARGET
    return Refusal.MALFORMED
