"""
A connection to a backend as a stream: head, body, trailers, pause, resume, abort.

It carries one request at a time. Whatever is doubtful about an answer ends the
connection, so that no byte of it can reach another client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionDone
from twisted.logger import Logger

from appgw.backend.answer import IDLE_TIMEOUT, AnswerParser, BadAnswer
from appgw.backend.target import Target
from appgw.message import Headers
from appgw.raw import Raw
from appgw.transport import Alerted
from appgw.wire import head_of, trailers_of

_log = Logger()

_LAST: Final = b"0\r\n\r\n"
_BODILESS: Final = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"))


class Keeper(Protocol):
    """
    Who a connection goes back to.
    """

    target: Target
    seconds: Callable[[], float]

    def put_back(self, stream: Stream, seconds: float = IDLE_TIMEOUT) -> None:
        """
        Keep *stream* for the next request, for so long.
        """

    def discard(self, stream: Stream) -> None:
        """
        Forget *stream*.
        """


class StreamLost(Exception):  # noqa: N818 - says what happened
    """
    The backend's connection ended before its answer did.

    Attributes:
        untouched: not a byte of an answer had come.
        unsent: not a byte of the request had left.
    """

    def __init__(self, why: str, untouched: bool, unsent: bool = False) -> None:
        super().__init__(why)
        self.untouched = untouched
        self.unsent = unsent


class Stream:
    """
    One connection to a backend, lent to one exchange at a time.

    The user is told by ``interim(head)``, ``answer(head, body, ended)``,
    ``more(body, ended)`` and ``lost(error)``; ``trailers`` is valid once ended.

    Attributes:
        target: what it is connected to.
        verdict: why its certificate was admitted; None over plain TCP.
        reused: it has been kept, and its backend may have left since.
        paused: its answer is not read on.
        resumed: when that was over the last time.
        switched: it is one half of a tunnel.
    """

    transport: Any = None
    user: Any = None
    reused = False
    resumed = 0.0
    paused = False
    switched = False
    verdict: Any = None
    source_port = 0

    def __init__(self, kept: Keeper) -> None:
        self.kept = kept
        self.target = kept.target
        self.born = kept.seconds()
        self.idle_until = self.born + IDLE_TIMEOUT
        self._parser = AnswerParser()
        self._sent = True
        self._chunked = self._spoilt = self._waits = False
        self.trailers: Headers | None = None

    # What the transport calls.

    def makeConnection(self, transport: Any) -> None:
        """
        Take note of the connection; nothing is sent before a request.
        """
        self.transport = transport
        self.verdict = transport.verdict
        self.source_port = transport.getHost().port

    def dataReceived(self, data: bytes) -> None:
        """
        Parse a piece of an answer and pass on what it completes.
        """
        user = self.user
        if user is None or (self._waits and self.transport.held):
            # Nothing was asked: nothing of this is an answer (RFC 9112, 9.2).
            self._spoilt = True
            self._fail(StreamLost("it spoke unasked", untouched=True, unsent=True))
            return
        parser = self._parser
        try:
            parser.feed(data)
        except BadAnswer as bad:
            self._fail(StreamLost(str(bad), untouched=False))
            return
        while parser.interim:
            user.interim(parser.interim.popleft())
            if self.user is not user:
                return
        head = parser.head
        if head is not None:
            parser.head = None
            self.trailers = parser.trailers
            user.answer(head, parser.take(), parser.complete)
        elif parser.body or parser.complete:
            self.trailers = parser.trailers
            user.more(parser.take(), parser.complete)

    def connectionLost(self, reason: Any) -> None:
        """
        The connection is gone, which may be the end of an answer.
        """
        self.kept.discard(self)
        why = "the backend closed the connection"
        if reason.check(Alerted):
            why = f"the backend ended TLS: {reason.value.said}"
            _log.warn("{to}: {why}", to=str(self.target), why=why)
        user, self.user = self.user, None
        if user is None:
            return
        parser = self._parser
        if parser.until_close and reason.check(ConnectionDone):
            parser.complete = True
            user.more(b"", True)
            return
        unsent = self._waits and bool(self.transport.held)
        user.lost(StreamLost(why, parser.untouched, unsent))

    # For the user.

    def ready(self, whole: bool) -> bool:
        """
        Tell whether a request may be sent over this kept connection, since the
        backend has neither hung up nor said anything: that would pass for the
        answer. Where it can be, this is looked at when the request leaves.

        Args:
            whole: all of the request is there.
        """
        self._waits = whole and self.transport.holding()
        return self._waits or self.silent()

    def send(
        self,
        user: Any,
        method: bytes,
        target: bytes,
        headers: Headers,
        content_length: int | None,
        body: bytes,
        last: bool,
    ) -> None:
        """
        Send a request's head with the first piece of its body.

        Args:
            content_length: None: chunked.
            last: there is no more of the body.

        Raises:
            BadField: nothing was sent.
        """
        framing, body = _framed(method, content_length, body, last)
        wire = head_of(b"%b %b HTTP/1.1" % (method, target), headers, framing)
        self.user = user
        self._sent = last
        self._chunked = content_length is None
        self.trailers = None
        self._parser.expect(method == b"HEAD")
        wire += body
        if self._waits:
            self.transport.ask(wire)
        else:
            self._write(wire)

    def _write(self, data: bytes) -> None:
        # Not at the end of the turn: an answer that comes until then, and the
        # backend's end after it, could not be read after a failed write.
        self.transport.write(data)
        self.transport.flush()

    def write(self, data: bytes) -> None:
        """
        Send a further piece of the body; never empty.
        """
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._write(data)

    def finish(self, trailers: Headers | None) -> None:
        """
        The request is whole.
        """
        self._sent = True
        self.transport.unregisterProducer()
        if not self._chunked:
            return
        wire = b"0\r\n" + trailers_of(trailers or [])
        if self._waits:
            self.transport.write(wire)
        else:
            self._write(wire)

    def propose(self, upgrade: bytes) -> None:
        """
        Take 101 for an answer to the request just sent, if it agrees to *upgrade*.
        """
        self._parser.proposed = upgrade

    def switch(self) -> Raw:
        """
        Leave the connection, whose answer was 101, to the user.
        """
        self.switched = True
        return Raw(self.transport, self)

    def release(self) -> None:
        """
        Give the connection back once its answer is complete.

        It is kept only if nothing about the exchange leaves a doubt.
        """
        self.user = None
        parser, transport = self._parser, self.transport
        if self.paused:
            self.resume()
        if (
            self._sent
            and parser.reusable
            and transport.connected
            # An answer to what has not left yet: the rest would never be read.
            and not transport.unsent()
        ):
            parser.reset()
            self.kept.put_back(self, parser.idle_timeout)
        else:
            self.abort()

    def abort(self) -> None:
        """
        End the connection, and with it the backend's work.
        """
        self.user = None
        self.kept.discard(self)
        self.transport.abortConnection()

    def poll(self) -> None:
        """
        Read what has come already, before a write that may fail.

        Not while paused: who takes no answer shall not fill our memory by
        going on with the request.
        """
        if not self.paused:
            self.transport.poll()

    def silent(self) -> bool:
        """
        Tell whether nothing has come since it was asked last, nor its end.
        """
        transport = self.transport
        return transport.quiet() or (transport.poll() and not self._spoilt)

    def pause(self) -> None:
        """
        Read no more of the answer until ``resume``.
        """
        self.paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        """
        Read on.
        """
        self.paused = False
        self.resumed = self.kept.seconds()
        self.transport.resumeProducing()

    def _fail(self, error: StreamLost) -> None:
        user = self.user
        self.abort()
        if user is not None:
            user.lost(error)


def _framed(
    method: bytes, content_length: int | None, body: bytes, last: bool
) -> tuple[bytes, bytes]:
    """
    Return what says where a body ends, and its first piece accordingly.
    """
    if content_length is None:
        if body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        return b"Transfer-Encoding: chunked\r\n", body + _LAST if last else body
    if content_length or method not in _BODILESS:
        return b"Content-Length: %d\r\n" % content_length, body
    return b"", body
