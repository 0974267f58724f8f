"""
A channel without a socket: what goes in, cut anyhow, and what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import attrs
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from appgw.listen.answers import page
from appgw.listen.door import Door
from appgw.listen.http1 import Channel
from appgw.listen.request import Request
from appgw.message import Headers, ResponseHead
from appgw.refusal import Refusal

NO_ID = "0" * 32
HOST = b"Host: shop.example\r\n"
End = Literal["open", "closed", "lingering", "aborted", "ended"]


def get(path: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    """
    Return a request without a body.
    """
    more = b"".join(line + b"\r\n" for line in lines)
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, path, HOST, more)


def post(body: bytes, *lines: bytes, path: bytes = b"/") -> bytes:
    """
    Return a request with a body of known length.
    """
    more = b"".join(line + b"\r\n" for line in lines)
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (
        path,
        HOST,
        len(body),
        more,
        body,
    )


def chunked(wire: bytes, *lines: bytes, path: bytes = b"/") -> bytes:
    """
    Return a request with *wire* behind its head, as a chunked body.
    """
    return (
        get(path, b"Transfer-Encoding: chunked", *lines, method=b"POST")[:-2]
        + b"\r\n"
        + wire
    )


class Transport(StringTransport):
    """
    What ours offer beyond Twisted's, with a client that reads when told to.
    """

    lingering = aborted = False
    slow = False

    def __init__(self, reactor: Clock) -> None:
        super().__init__()
        self.reactor = reactor
        self.client = ("192.0.2.7", 45123)
        self.held = 0

    def write(self, data: bytes) -> None:
        """
        Take it, unless the end has begun.
        """
        if self.disconnecting or self.lingering or self.aborted:
            return
        super().write(data)
        if self.slow:
            self.held += len(data)
            if self.held > 65536 and self.producer is not None and self.streaming:
                self.producer.pauseProducing()

    def unsent(self) -> int:
        """
        Return what the client has not taken.
        """
        return self.held

    def drain(self, size: int | None = None) -> None:
        """
        Let the client take so much, or everything.
        """
        self.held -= self.held if size is None else size
        if not self.held and self.producer is not None:
            self.producer.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        As Twisted's own: a pull producer is asked at once.
        """
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()

    def linger(self) -> None:
        """
        Note it.
        """
        self.lingering = True

    def abortConnection(self) -> None:
        """
        Note it.
        """
        self.aborted = True

    @property
    def end(self) -> End:
        """
        How far the connection is from its end.
        """
        if self.aborted:
            return "aborted"
        if self.lingering:
            return "lingering"
        return "closed" if self.disconnecting else "open"

    @property
    def reads(self) -> bool:
        """
        Whether the channel wants to be given more.
        """
        return self.producerState == "producing"


@attrs.frozen
class Seen:
    """
    One request as a resource got it; of a refused one, only why.
    """

    refusal: Refusal | None
    method: bytes = b""
    authority: bytes = b""
    path: bytes = b""
    query: bytes | None = None
    version: tuple[int, int] = (1, 1)
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()


class Visit:
    """
    One request at the root: answered when it is whole.
    """

    def __init__(self, request: Request, *, answers: bool) -> None:
        self.request = request
        self.answers = answers
        self.body = b""
        self.lost: list[Refusal] = []
        self.done = False
        request.read(self)
        if request.refusal is not None:
            self.refuse(request.refusal)
        else:
            self.body_received()

    def body_received(self) -> None:
        """
        Answer at the end of the body.
        """
        self.body += self.request.take()
        if self.request.complete and self.answers and not self.done:
            self.answer()

    def client_lost(self, refusal: Refusal) -> None:
        """
        Answer what can be answered.
        """
        self.lost.append(refusal)
        if refusal is not Refusal.CLIENT_CLOSED:
            self.refuse(refusal)

    def sweep(self, now: float) -> None:
        """
        Nothing is late here.
        """

    def refuse(self, refusal: Refusal) -> None:
        """
        Answer with our page.
        """
        self.done = True
        self.lost.append(refusal)
        head, body = page(refusal, NO_ID, b"today")
        if self.request.sent:
            self.request.abort()
        else:
            self.request.respond(head, body, True)

    def answer(self, body: bytes | None = None) -> None:
        """
        Answer with the path, or with *body*.
        """
        self.done = True
        body = self.request.head.path if body is None else body
        self.request.respond(ok(len(body)), body, True)

    @property
    def seen(self) -> Seen:
        """
        What there was to see, whatever the order it came in.
        """
        if self.lost:
            return Seen(self.lost[0])
        head, request = self.request.head, self.request
        return Seen(
            None,
            head.method,
            head.authority,
            head.path,
            head.query,
            head.version,
            tuple(head.headers),
            self.body,
            tuple(request.trailers or ()),
        )


def ok(length: int | None, status: int = 200, *fields: tuple[bytes, bytes]) -> Any:
    """
    Return the head of an answer.
    """
    return ResponseHead(status, b"OK", Headers(fields), length)


class Root:
    """
    Where every request ends up.
    """

    isLeaf = True

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.visits: list[Visit] = []

    def render(self, request: Request) -> int:
        """
        Keep it.
        """
        self.visits.append(Visit(request, answers=self.answers))
        return NOT_DONE_YET


@attrs.frozen
class Played:
    """
    What came of some bytes.
    """

    seen: tuple[Seen, ...]
    written: bytes
    end: End

    @property
    def statuses(self) -> list[int]:
        """
        The status of each answer.
        """
        lines = self.written.split(b"HTTP/1.1 ")[1:]
        return [int(line[:3]) for line in lines]

    @property
    def bodies(self) -> list[bytes]:
        """
        The body of each request.
        """
        return [seen.body for seen in self.seen]


class Line:
    """
    A client's connection in memory.
    """

    def __init__(self, *, answers: bool = True, limit: int = 1 << 20) -> None:
        self.clock = Clock()
        self.root = Root(answers=answers)
        self.door = Door(self.root, 80, "http", self.clock.seconds)
        self.door.max_request_body = limit
        self.channel: Channel = self.door.buildProtocol(None)
        self.transport = Transport(self.clock)
        self.channel.makeConnection(self.transport)

    def feed(self, *pieces: bytes) -> Line:
        """
        Receive *pieces*, as far as the channel reads.
        """
        for piece in pieces:
            if not self.transport.aborted and not self.transport.lingering:
                self.channel.dataReceived(piece)
            self.clock.advance(0)
        return self

    def lose(self) -> None:
        """
        Let the client be gone.
        """
        self.channel.connectionLost(Failure(ConnectionDone()))

    def wait(self, seconds: float) -> Line:
        """
        Let time pass, with a sweep each half second as the gateway makes them.
        """
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            if self.channel in self.door.channels:
                self.channel.sweep(self.clock.seconds())
        return self

    @property
    def written(self) -> bytes:
        """
        Everything that was sent to the client.
        """
        return self.transport.value()

    @property
    def visits(self) -> list[Visit]:
        """
        The requests so far.
        """
        return self.root.visits

    def played(self) -> Played:
        """
        Return what came of it; whether an end lingers depends on the pieces.
        """
        seen = tuple(visit.seen for visit in self.visits)
        end = self.transport.end
        ended = end in ("closed", "lingering")
        return Played(seen, self.written, "ended" if ended else end)


def play(pieces: Iterable[bytes], limit: int = 1 << 20) -> Played:
    """
    Return what comes of *pieces* on a fresh connection.
    """
    return Line(limit=limit).feed(*pieces).played()


def each(data: bytes, size: int = 1) -> list[bytes]:
    """
    Return *data* in pieces of *size* bytes.
    """
    return [data[at : at + size] for at in range(0, len(data), size)]


def cuts(data: bytes) -> Iterable[Sequence[bytes]]:
    """
    Yield *data* in two pieces, cut at every offset.
    """
    return ([data[:at], data[at:]] for at in range(1, len(data)))


class LineTestCase(SynchronousTestCase):
    """
    Feeds samples whole and in pieces, and wants the same to come of it.
    """

    def played(self, data: bytes, limit: int = 1 << 20) -> Played:
        """
        Feed *data* whole, by single bytes, and in two at every offset.
        """
        whole = play([data], limit)
        self.assertEqual(whole, play(each(data), limit))
        if len(data) <= 1000:
            for cut in cuts(data):
                self.assertEqual(whole, play(cut, limit), cut)
        return whole

    def refused(self, data: bytes, refusal: Refusal) -> None:
        """
        Want one refusal, and the end of the connection.
        """
        played = self.played(data)
        self.assertEqual((Seen(refusal),), played.seen, data[:200])
        self.assertEqual([refusal.status], played.statuses)
        self.assertEqual("ended", played.end)
        self.assertEqual("lingering", Line().feed(data).transport.end)
