"""
HTTP/1.1 and HTTP/1.0 from one client (RFC 9112).

The parser is llhttp; what it lets pass and we do not is judged in ``heads``.
A channel hands each request to the root resource of its port, one after the
other, and answers in order. After any doubt about framing, or with a body left
unread, the connection closes.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from zope.interface import implementer

from appgw.listen.heads import MAX_HEAD, BadHead, read_head
from appgw.listen.request import Request
from appgw.message import Arrival, Headers, RequestHead
from appgw.refusal import Refusal

MAX_LINES: Final = 8192
"""Bytes of chunk lines or trailers between two pieces of a body."""

HEAD_TIMEOUT: Final = 60.0
BODY_TIMEOUT: Final = 60.0
IDLE_TIMEOUT: Final = 75.0
HALF_CLOSED_TIMEOUT: Final = 2.0
LINGER_TIMEOUT: Final = 5.0
"""Seconds: a whole head, a body without progress, between requests, an answer
to a client that has closed its side, and an unread rest after the answer."""


class Door(Protocol):
    """
    What a channel knows of the port it came through.
    """

    root: IResource
    max_request_body: int
    draining: bool
    seconds: Callable[[], float]
    channels: set[Any]

    def arrival(self, transport: Any) -> Arrival:
        """
        Put together what is known of a connection.
        """


@implementer(IHalfCloseableProtocol)
class Channel:
    """
    One client's connection.

    Args:
        door: the port's root resource and limits.

    Attributes:
        arrival: the facts of this connection.
    """

    transport: Any = None

    arrival: Arrival

    def __init__(self, door: Door) -> None:
        self.door = door
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields = Headers()
        self._began = False
        self._head_bytes = 0
        self._head_since: float | None = None
        self._reading: Request | None = None
        self._synthetic = False
        self._lines = self._overhead = 0
        self._current: Request | None = None
        self._waiting: collections.deque[Request] = collections.deque()
        self._advancing = False
        self._deaf = False
        self._paused = False
        self._since = door.seconds()
        self._unsent = 0
        self._half_closed = False

    # What the transport calls.

    def makeConnection(self, transport: Any) -> None:
        """
        Begin to wait for the first request.
        """
        self.transport = transport
        self.arrival = self.door.arrival(transport)
        self.door.channels.add(self)

    def connectionLost(self, reason: Failure) -> None:
        """
        The client is gone: whoever works for it stops.
        """
        self.door.channels.discard(self)
        self._deaf = True
        current, self._current = self._current, None
        self._waiting.clear()
        self._reading = None
        if current is not None:
            current.lose(Refusal.CLIENT_CLOSED)

    def readConnectionLost(self) -> None:
        """
        The client has closed its side; what it asked whole is still answered.
        """
        if self._current is None or self._reading is not None:
            self._end()
            return
        self._half_closed = True
        self._since = self.door.seconds()

    def writeConnectionLost(self) -> None:
        """
        Nothing is owed when our own side is closed.
        """

    def dataReceived(self, data: bytes) -> None:
        """
        Parse what came, then let the requests in it proceed.
        """
        if self._deaf:
            return
        if self._reading is None:
            room = MAX_HEAD - self._head_bytes
            if len(data) <= room:
                self._feed(data)
                self._advance()
                return
            data, rest = data[:room], data[room:]
            self._feed(data)
            if self._reading is None and not self._deaf and not self._began:
                self._refuse_long_head()
            self._advance()
            self.dataReceived(rest)
            return
        self._feed(data)
        self._advance()

    def _feed(self, data: bytes) -> None:
        reading = self._reading
        before = 0 if reading is None else reading.received
        self._began = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade(data[upgrade.args[0] :])
        except BadHead as bad:  # pragma: no cover - wrapped by the parser
            self._doubt(bad.refusal)
        except httptools.HttpParserCallbackError as error:
            bad_head = error.__context__
            if not isinstance(bad_head, BadHead):
                raise
            self._doubt(bad_head.refusal)
        except httptools.HttpParserInvalidMethodError:
            self._doubt(Refusal.UNKNOWN_METHOD)
        except httptools.HttpParserError as error:
            self._doubt(_meaning(str(error)))
        if self._reading is None:
            # The usual request comes whole, and leaves nothing to count.
            if self._target or self._fields or self._head_since is not None:
                self._count_head(len(data))
        elif self._reading is reading and reading is not None:
            self._count_lines(len(data), reading.received - before)

    def _count_head(self, size: int) -> None:
        if self._target or self._fields:
            self._head_bytes = 0 if self._began else self._head_bytes + size
            if self._head_since is None:
                self._head_since = self.door.seconds()
        elif self._head_since is not None:
            self._head_bytes, self._head_since = 0, None

    def _count_lines(self, size: int, body: int) -> None:
        if self._reading is None or self._reading.head.content_length is not None:
            return
        self._overhead += size - 9 * body
        self._lines = 0 if body else self._lines + size
        if self._lines > MAX_LINES or self._overhead > 8 * MAX_LINES:
            self._doubt(Refusal.MALFORMED)

    def _refuse_long_head(self) -> None:
        named = bool(self._fields)
        self._doubt(Refusal.HEAD_TOO_LARGE if named else Refusal.TARGET_TOO_LONG)

    def _doubt(self, refusal: Refusal) -> None:
        """
        Take nothing more from this connection; say why once it is its turn.
        """
        self._deaf = True
        self.transport.stopReading()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.keep_alive = False
            reading.broken = refusal
            return
        head = RequestHead(
            _method(self._parser),
            self.arrival.scheme.encode(),
            b"",
            self._target[:1024],
            None,
            (1, 1),
            Headers(),
        )
        self._waiting.append(Request(self, head, False, refusal))

    def _after_upgrade(self, rest: bytes) -> None:
        """
        Go on after a head that asked for an upgrade: there is no tunnel.

        llhttp leaves the body of such a request unread, so a fresh parser is
        told of the body by a head of the same framing.
        """
        self._parser = httptools.HttpRequestParser(self)
        reading = self._reading
        if reading is None:
            if rest and not self._deaf:
                self._parser.feed_data(rest)
            return
        length = reading.head.content_length
        framing = (
            b"Transfer-Encoding: chunked"
            if length is None
            else b"Content-Length: %d" % length
        )
        self._synthetic = True
        self._parser.feed_data(
            b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
        )
        if rest:
            self._parser.feed_data(rest)

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """
        A piece of the target.
        """
        if not self._synthetic:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        A field line, of the head or of the trailers.
        """
        if self._reading is None:
            self._fields.append((name, value.rstrip(b" \t")))
        elif not self._synthetic:
            self._reading.add_trailer(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """
        The head is whole: from here on there is a request.
        """
        if self._synthetic:
            self._synthetic = False
            return
        parser = self._parser
        head, fields = read_head(
            parser, self._target, self._fields, self.arrival.scheme
        )
        request = Request(self, head, parser.should_keep_alive(), None)
        request.expects_continue = fields
        self._target, self._fields = b"", Headers()
        self._began = True
        self._lines = self._overhead = 0
        length = head.content_length
        if length is not None and length > self.door.max_request_body:
            request.refusal = Refusal.BODY_TOO_LARGE
        self._waiting.append(request)
        self._reading = request

    def on_body(self, data: bytes) -> None:
        """
        A piece of a body.
        """
        request = self._reading
        if request is not None:
            request.add_body(data, self.door.max_request_body)

    def on_message_complete(self) -> None:
        """
        The request is whole, body and trailers included.
        """
        request = self._reading
        if request is None:
            return
        if self._parser.should_upgrade() and request.head.content_length != 0:
            return
        request.complete = True
        self._reading = None
        if not request.keep_alive:
            self._deaf = True

    # Requests, in order.

    def _advance(self) -> None:
        """
        Start the next request, or pass on what came for the one under way.
        """
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._current is None and self._waiting:
                request = self._current = self._waiting.popleft()
                request.start(self.door.root)
            current = self._current
            if current is not None:
                current.deliver()
        finally:
            self._advancing = False
        if self._waiting and not self._paused and not self._deaf:
            self._paused = True
            self.transport.pauseProducing()

    def answered(self, request: Request) -> None:
        """
        The answer to *request* is written whole: the next one, or the end.
        """
        if request is not self._current:
            return
        self._current = None
        self._since = self.door.seconds()
        if not request.complete:
            self._deaf = True
            self._reading = None
            self._waiting.clear()
            self.transport.linger()
        elif not request.keep_alive or self._half_closed or self.door.draining:
            self._end()
        else:
            if self._paused and not self._waiting:
                self._paused = False
                self.transport.resumeProducing()
            self._advance()

    def _end(self) -> None:
        self._deaf = True
        self._waiting.clear()
        self.transport.loseConnection()

    def pause(self, request: Request) -> None:
        """
        Stop reading *request*'s body until ``resume``.
        """
        if request is self._reading and not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self, request: Request) -> None:
        """
        Read on.
        """
        if self._paused and not self._waiting and request is self._current:
            self._paused = False
            self._since = self.door.seconds()
            if not self._deaf:
                self.transport.resumeProducing()

    def abort(self, request: Request) -> None:
        """
        Close without a clean end: the client sees a truncation.
        """
        self._deaf = True
        self._current = None
        self.transport.abortConnection()

    def closing(self) -> bool:
        """
        Whether no further request will be taken from this connection.
        """
        return self._half_closed or self.door.draining

    def drain(self) -> None:
        """
        End after the request under way; at once when there is none.
        """
        if self._current is None and not self._waiting:
            self._end()

    def sweep(self, now: float) -> None:
        """
        End what has waited too long; *now* in seconds of the door's clock.
        """
        transport = self.transport
        unsent = transport.unsent()
        if unsent != self._unsent:
            self._unsent, self._since = unsent, max(self._since, now)
        waited = now - self._since
        if transport.lingering or transport.disconnecting:
            if waited > LINGER_TIMEOUT:
                transport.abortConnection()
        elif unsent:
            if waited > BODY_TIMEOUT:
                transport.abortConnection()
        elif self._current is not None:
            self._sweep_request(self._current, now, waited)
        elif self._head_since is not None:
            if now - self._head_since > HEAD_TIMEOUT:
                self._doubt(Refusal.REQUEST_TIMEOUT)
                self._advance()
        elif waited > IDLE_TIMEOUT:
            self._end()

    def _sweep_request(self, request: Request, now: float, waited: float) -> None:
        if self._half_closed and waited > HALF_CLOSED_TIMEOUT:
            self.transport.abortConnection()
        elif request is self._reading and not self._paused:
            if now - max(request.moved, self._since) > BODY_TIMEOUT:
                self._doubt(Refusal.REQUEST_TIMEOUT)
                request.deliver()
        request.sweep(now)


def _meaning(words: str) -> Refusal:
    """
    What llhttp's words for a bad request mean.
    """
    if "version" in words or "PRI" in words:
        return Refusal.UNKNOWN_VERSION
    if "method" in words.lower():
        return Refusal.UNKNOWN_METHOD
    if "Content-Length" in words:
        return Refusal.BAD_CONTENT_LENGTH
    if "URL" in words.upper():
        return Refusal.BAD_TARGET
    return Refusal.MALFORMED


def _method(parser: Any) -> bytes:
    method: bytes = parser.get_method()
    return method
