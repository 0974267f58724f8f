"""
One request as a stream, whatever carries it.

Whoever answers sees a head, pieces of a body, its end, and a way to write an
answer; never the connection. It is also the slice of ``IRequest`` that the
resource tree needs.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any, Final, Protocol

from twisted.web.resource import IResource

from appgw.message import Arrival, Headers, RequestHead, ResponseHead
from appgw.raw import Raw
from appgw.refusal import Refusal
from appgw.wire import head_of, trailers_of

_NO_TRAILER: Final = frozenset(
    b"authorization cache-control connection content-encoding content-length "
    b"content-range content-type cookie expect forwarded host keep-alive "
    b"max-forwards proxy-authenticate proxy-authorization proxy-connection range "
    b"set-cookie te trailer transfer-encoding upgrade via www-authenticate".split()
)
"""Fields that would mean something before the body (RFC 9110, 6.5.1)."""

_NO_TRAILER_BEGINS: Final = (
    *(b"x-forwarded-", b"x-original-", b"x-appgw-", b"x-real-ip", b"x-client-ip"),
    b"proxy",
)
_NAME_BYTES: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-"


class Reader(Protocol):
    """
    Who answers a request, told of what the client does.
    """

    def body_received(self) -> None:
        """
        ``take`` has more, or the body is complete.
        """

    def client_lost(self, refusal: Refusal) -> None:
        """
        Nobody waits for the answer any more, or the body will never end.
        """

    def sweep(self, now: float) -> None:
        """
        See to deadlines.
        """


class Request:
    """
    One request and the answer to it.

    Attributes:
        head: what was asked.
        arrival: the facts of the client's connection.
        refusal: what the parser already refuses it for, or None.
        complete: the whole body has been received.
        received, sent: bytes of the request's body and of the answer so far.
        trailers: fields after the body; valid once complete.
        expects_continue: the client waits for ``100 Continue``.
        began: when its head was complete, in seconds of the door's clock.
    """

    __slots__ = (
        "_chunked",
        "_chunks",
        "_mute",
        "_reader",
        "_told",
        "arrival",
        "began",
        "broken",
        "channel",
        "complete",
        "decision",
        "expects_continue",
        "head",
        "keep_alive",
        "moved",
        "postpath",
        "prepath",
        "received",
        "refusal",
        "sent",
        "trailers",
    )

    def __init__(
        self,
        channel: Any,
        head: RequestHead,
        keep_alive: bool,
        refusal: Refusal | None,
    ) -> None:
        self.channel = channel
        self.head = head
        self.arrival: Arrival = channel.arrival
        self.keep_alive = keep_alive
        self.refusal = refusal
        self.broken: Refusal | None = None
        self.began = self.moved = channel.door.seconds()
        self.complete = False
        self.received = self.sent = 0
        self.trailers: Headers | None = None
        self.expects_continue = False
        self.decision: Any = None
        self._chunks: list[bytes] = []
        self._chunked = self._mute = False
        self._reader: Reader | None = None
        self._told = False

    # From the channel.

    def add_body(self, data: bytes, limit: int) -> None:
        """
        Keep a piece of the body until ``take``.
        """
        self.received += len(data)
        if self.received > limit:
            self.broken = Refusal.BODY_TOO_LARGE
            self.keep_alive = False
        elif self.broken is None:
            self._chunks.append(data)

    def add_trailer(self, name: bytes, value: bytes) -> None:
        """
        Keep a trailer, unless it is one that must stand before the body.
        """
        if trailer_allowed(name):
            if self.trailers is None:
                self.trailers = []
            self.trailers.append((name, value))

    def start(self, root: IResource) -> None:
        """
        Walk the resource tree to a leaf and let it answer.
        """
        resource: Any = root
        while not resource.isLeaf:
            resource = resource.getChildWithDefault(b"", self)
        resource.render(self)

    def deliver(self) -> None:
        """
        Tell the reader what is new.
        """
        reader = self._reader
        if reader is None:
            return
        if self.broken is not None:
            self._reader = None
            reader.client_lost(self.broken)
        elif self._chunks or (self.complete and not self._told):
            reader.body_received()

    def lose(self, refusal: Refusal) -> None:
        """
        The client is gone.
        """
        reader, self._reader = self._reader, None
        self.keep_alive = False
        if reader is not None:
            reader.client_lost(refusal)

    def sweep(self, now: float) -> None:
        """
        Pass the time on to whoever answers.
        """
        if self._reader is not None:
            self._reader.sweep(now)

    # For whoever answers.

    def read(self, reader: Reader) -> None:
        """
        Tell *reader* from now on; what has come already is there to take.
        """
        self._reader = reader

    def take(self) -> bytes:
        """
        Return what of the body has come since, which may be nothing.
        """
        chunks = self._chunks
        self._told = self.complete
        if not chunks:
            return b""
        self._chunks = []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def pause(self) -> None:
        """
        Read no more of the body until ``resume``.
        """
        self.channel.pause(self)

    def resume(self) -> None:
        """
        Read on.
        """
        self.channel.resume(self)

    def inform(self, head: ResponseHead) -> None:
        """
        Send an interim response (RFC 9110, 15.2), to HTTP/1.1 clients only.

        Raises:
            BadField: nothing was written.
        """
        if self.head.version == (1, 1):
            if head.status == 100:
                self.expects_continue = False
                self.moved = self.channel.door.seconds()
            self._write(head_of(_status_line(head), head.headers, b""))

    def respond(self, head: ResponseHead, body: bytes, last: bool) -> None:
        """
        Write the final head with the first piece of the body.

        Args:
            last: the body is whole; there is nothing more to come.

        Raises:
            BadField: nothing was written, and another head may be.
        """
        if not self.complete and last:
            self.keep_alive = False
        framing = self._framing(head)
        if self._mute:
            body = b""
        wire = head_of(_status_line(head), head.headers, framing)
        if self._chunked:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if last:
                body += b"0\r\n\r\n"
        self._write(wire + body if body else wire)
        if last:
            self._done()

    def _framing(self, head: ResponseHead) -> bytes:
        """
        Decide how the client will see the end of the answer (RFC 9112, 6.3).
        """
        request = self.head
        length, status = head.content_length, head.status
        self._chunked = self._mute = False
        framing = b""
        if request.method == b"HEAD" or status in (101, 204, 304):
            if status == 101:
                return b""  # what follows is no HTTP
            self._mute = True
            if length is not None and status != 204:
                framing = b"Content-Length: %d\r\n" % length
        elif length is not None:
            framing = b"Content-Length: %d\r\n" % length
        elif request.version == (1, 1):
            self._chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            self.keep_alive = False
        if not self.keep_alive or self.channel.closing():
            self.keep_alive = False
            return framing + b"Connection: close\r\n"
        if request.version == (1, 0):
            return framing + b"Connection: keep-alive\r\n"
        return framing

    def write(self, data: bytes) -> None:
        """
        Write a further piece of the body; never empty.
        """
        if self._mute:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(data)

    def finish(self, trailers: Headers | None = None) -> None:
        """
        The answer is whole.
        """
        if self._chunked:
            if trailers:
                self._write(b"0\r\n" + trailers_of(trailers))
            else:
                self._write(b"0\r\n\r\n")
        self._done()

    def switch(self) -> Raw:
        """
        Leave the connection, whose answer was 101, to whoever answers.
        """
        raw: Raw = self.channel.switch(self)
        return raw

    def abort(self) -> None:
        """
        Cut the answer short in a way that no client takes for its end.
        """
        self._reader = None
        self.keep_alive = False
        self.channel.abort(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Pause and resume *producer* as the client takes the answer.
        """
        self.channel.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        Nothing more comes from the producer.
        """
        self.channel.transport.unregisterProducer()

    def _write(self, data: bytes) -> None:
        self.sent += len(data)
        self.channel.transport.write(data)

    def _done(self) -> None:
        self._reader = None
        self.channel.answered(self)


def trailer_allowed(name: bytes) -> bool:
    """
    Whether *name* may be forwarded behind a body.
    """
    lower = name.lower()
    return (
        lower not in _NO_TRAILER
        and not lower.startswith(_NO_TRAILER_BEGINS)
        and not lower.translate(None, _NAME_BYTES)
    )


def _status_line(head: ResponseHead) -> bytes:
    return b"HTTP/1.1 %d %b" % (head.status, head.reason)


class Today:
    """
    The Date of an answer that has none (RFC 9110, 6.6.1), made once a second.
    """

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def at(self, now: float) -> bytes:
        """
        Return the field value for *now*, seconds since the epoch.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text
