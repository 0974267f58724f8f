"""
Connections to backends, kept per Target and never shared across two.

A connection carries one request at a time and offers it as a stream: head,
body, trailers, pause, resume, abort. Whatever is doubtful about an answer ends
the connection, so that no byte of it can reach another client.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from appgw.backend.answer import AnswerParser, BadAnswer
from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, PinRefused
from appgw.backend.verdict import Verdict
from appgw.endpoints import ClientEndpoint
from appgw.message import Headers

MAX_IDLE: Final = 64
MAX_CONNECTIONS: Final = 1024
"""Connections per Target."""

IDLE_TIMEOUT: Final = 60.0
MAX_AGE: Final = 3600.0
"""Seconds."""

_BODILESS: Final = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"))


class TooManyConnections(Exception):  # noqa: N818 - names the limit
    """
    The Target's limit of connections is reached.
    """


class StreamLost(Exception):  # noqa: N818 - says what happened
    """
    The backend's connection ended before its answer did.

    Attributes:
        untouched: not a byte of an answer had come.
    """

    def __init__(self, why: str, untouched: bool) -> None:
        super().__init__(why)
        self.untouched = untouched


class Stream:
    """
    One connection to a backend, lent to one exchange at a time.

    The user is told by ``interim(head)``, ``answer(head, body, ended)``,
    ``more(body, ended)`` and ``lost(error)``; ``trailers`` is valid once ended.

    Attributes:
        target: what it is connected to.
        verdict: why its certificate was admitted; None over plain TCP.
        reused: it has carried a request before.
    """

    transport: Any = None
    user: Any = None
    reused = False
    verdict: Any = None
    source_port = 0

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.target = kept.target
        self.born = kept.seconds()
        self.idle_until = self.born + IDLE_TIMEOUT
        self._parser = AnswerParser()
        self._sent = True
        self._chunked = self._paused = self._spoilt = False
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
        if user is None:
            # Nothing was asked: nothing of this is an answer (RFC 9112, 9.2).
            self._spoilt = True
            self.kept.discard(self)
            self.transport.abortConnection()
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
        user, self.user = self.user, None
        if user is None:
            return
        parser = self._parser
        if parser.until_close and reason.check(ConnectionDone):
            parser.complete = True
            user.more(b"", True)
            return
        user.lost(StreamLost("the backend closed the connection", parser.untouched))

    # For the user.

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
        """
        self.user = user
        self._sent = last
        self._chunked = content_length is None
        self.trailers = None
        self._parser.expect(method == b"HEAD")
        if content_length is None:
            framing = b"Transfer-Encoding: chunked\r\n"
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if last:
                body += b"0\r\n\r\n"
        elif content_length or method not in _BODILESS:
            framing = b"Content-Length: %d\r\n" % content_length
        else:
            framing = b""
        wire = b"%b %b HTTP/1.1\r\n%b\r\n%b\r\n%b" % (
            method,
            target,
            b"\r\n".join([b": ".join(field) for field in headers]),
            framing,
            body,
        )
        self.transport.write(wire)

    def write(self, data: bytes) -> None:
        """
        Send a further piece of the body; never empty.
        """
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.transport.write(data)

    def finish(self, trailers: Headers | None) -> None:
        """
        The request is whole.
        """
        self._sent = True
        if not self._chunked:
            return
        lines = b"".join([b"%b: %b\r\n" % field for field in trailers or ()])
        self.transport.write(b"0\r\n" + lines + b"\r\n")

    def release(self) -> None:
        """
        Give the connection back once its answer is complete.

        It is kept only if nothing about the exchange leaves a doubt.
        """
        self.user = None
        parser, transport = self._parser, self.transport
        if self._paused:
            self.resume()
        if (
            self._sent
            and parser.reusable
            and transport.connected
            # An answer to what has not left yet: the rest would never be read.
            and not transport.unsent()
        ):
            parser.reset()
            self.reused = True
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
        """
        self.transport.poll()

    def silent(self) -> bool:
        """
        Tell whether nothing has come since it was asked last, nor its end.
        """
        transport = self.transport
        transport.poll()
        return bool(
            transport.connected and transport.failed is None and not self._spoilt
        )

    def pause(self) -> None:
        """
        Read no more of the answer until ``resume``.
        """
        self._paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        """
        Read on.
        """
        self._paused = False
        self.transport.resumeProducing()

    def _fail(self, error: StreamLost) -> None:
        user = self.user
        self.abort()
        if user is not None:
            user.lost(error)


class PinnedTerms:
    """
    The pins of one target, as a transport asks for them.
    """

    def __init__(self, options: PinnedClientTLSOptions) -> None:
        self._options = options
        self.context = options.context
        self.prepare = options.prepare

    def admit(self, connection: SSL.Connection) -> Verdict:
        """
        Judge a finished handshake.

        Raises:
            PinRefused: and nothing may be sent.
        """
        verdict = self._options.verdict(connection)
        if not verdict.admitted:
            raise PinRefused(verdict, self._options.target)
        return verdict

    def failure(self, connection: SSL.Connection, error: Exception) -> Exception:
        """
        Tell a refused certificate from any other broken handshake.
        """
        refused = self._options.refusal(connection)
        if refused is None:
            return error
        return PinRefused(refused, self._options.target)


@attrs.define(eq=False)
class Attempts:
    """
    How connecting to backends went so far.

    Attributes:
        made: connections that came about.
        failed: refused, timed out, or broken in TLS; not those whose
            certificate was refused.
        seconds: spent on those made.
    """

    made: int = 0
    failed: int = 0
    seconds: float = 0.0


@attrs.define(eq=False)
class Kept:
    """
    All connections to one Target.

    Attributes:
        idle: those that wait for a request, the last used at the end.
        all: every one, idle or lent.
        dialling: attempts under way.
        retired: nothing new is sent to this Target; none is kept.
    """

    target: Target
    reactor: Any
    seconds: Callable[[], float]
    terms: PinnedTerms | None
    attempts: Attempts
    idle: collections.deque[Stream] = attrs.field(factory=collections.deque)
    all: set[Stream] = attrs.field(factory=set)
    dialling: set[Deferred[Stream]] = attrs.field(factory=set)
    retired: bool = False

    def connect(self) -> Deferred[Stream]:
        """
        Open a connection; fires once a byte may be sent.
        """
        if len(self.all) + len(self.dialling) >= MAX_CONNECTIONS:
            raise TooManyConnections(str(self.target))
        target = self.target
        endpoint = ClientEndpoint(self.reactor, target.address, target.port, self.terms)
        attempt: Deferred[Stream] = endpoint.connect(_Streams(self))
        self.dialling.add(attempt)
        return attempt.addBoth(self._dialled, attempt, self.seconds())

    def _dialled(self, outcome: Any, attempt: Deferred[Stream], began: float) -> Any:
        self.dialling.discard(attempt)
        if isinstance(outcome, Stream) and not outcome.silent():
            # Whoever speaks or hangs up before it was asked, is not asked.
            outcome.transport.abortConnection()
            outcome = Failure(ConnectionLost("it did not wait for a request"))
        if isinstance(outcome, Stream):
            self.all.add(outcome)
            self.attempts.made += 1
            self.attempts.seconds += self.seconds() - began
        elif not outcome.check(PinRefused):
            self.attempts.failed += 1
        return outcome

    def put_back(self, stream: Stream, seconds: float = IDLE_TIMEOUT) -> None:
        """
        Keep *stream* for the next request, or close it when there are enough.

        Args:
            seconds: how long it may wait.
        """
        now = self.seconds()
        stream.idle_until = min(now + seconds, stream.born + MAX_AGE)
        if self.retired or stream.idle_until <= now or len(self.idle) >= MAX_IDLE:
            stream.transport.loseConnection()
            return
        self.idle.append(stream)

    def discard(self, stream: Stream) -> None:
        """
        Forget a connection that is gone.
        """
        self.all.discard(stream)
        if stream.user is None and stream in self.idle:
            self.idle.remove(stream)

    def sweep(self, now: float) -> None:
        """
        Close what has been idle too long; *now* on the same clock.
        """
        for stream in list(self.idle):
            if stream.idle_until <= now:
                self.idle.remove(stream)
                stream.transport.loseConnection()


class _Streams(Factory):
    noisy = False

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def buildProtocol(self, addr: Any) -> Any:
        """
        Build the stream of a new connection.
        """
        return Stream(self.kept)


@attrs.define(eq=False)
class Connections:
    """
    Every connection to every backend of a gateway.

    Args:
        seconds: a monotonic clock.

    Attributes:
        attempts: how connecting went so far.
    """

    reactor: Any
    seconds: Callable[[], float]
    kept: dict[Target, Kept] = attrs.field(factory=dict)
    attempts: Attempts = attrs.field(factory=Attempts)
    _retained: set[Target] | None = None

    def idle(self, target: Target) -> Stream | None:
        """
        Take a kept connection, the last used first; None when there is none.
        """
        kept = self.kept.get(target)
        if kept is None:
            return None
        idle = kept.idle
        while idle:
            stream = idle.pop()
            transport = stream.transport
            if transport.connected and transport.failed is None:
                if stream.idle_until > self.seconds():
                    return stream
                transport.loseConnection()
        return None

    def connect(self, target: Target) -> Deferred[Stream]:
        """
        Open a connection to *target*.

        Fires with the stream, or fails with PinRefused or one of Twisted's
        connection errors.

        Raises:
            TooManyConnections: at once.
        """
        kept = self.kept.get(target)
        if kept is None:
            terms = None
            if target.protocol == "https":
                terms = PinnedTerms(PinnedClientTLSOptions(target))
            kept = Kept(target, self.reactor, self.seconds, terms, self.attempts)
            kept.retired = self._retained is not None and target not in self._retained
            self.kept[target] = kept
        return kept.connect()

    def streams(self) -> Iterable[Stream]:
        """
        Every connection there is, idle or lent.
        """
        return [stream for kept in self.kept.values() for stream in kept.all]

    def busy(self) -> bool:
        """
        Whether any connection stands or is under way.
        """
        return any(kept.all or kept.dialling for kept in self.kept.values())

    def retain(self, targets: set[Target]) -> None:
        """
        Close what is idle to any other target, and keep no more of those.
        """
        self._retained = targets
        for target, kept in list(self.kept.items()):
            if target in targets:
                kept.retired = False
                continue
            kept.retired = True
            for stream in list(kept.idle):
                kept.idle.remove(stream)
                stream.transport.loseConnection()
            if not kept.all and not kept.dialling:
                del self.kept[target]

    def sweep(self, now: float) -> None:
        """
        Close what has been idle for too long.
        """
        for target, kept in list(self.kept.items()):
            kept.sweep(now)
            if kept.retired and not kept.all and not kept.dialling:
                del self.kept[target]

    def close(self) -> None:
        """
        End every connection and every attempt.
        """
        for kept in self.kept.values():
            for attempt in list(kept.dialling):
                attempt.cancel()
        for stream in self.streams():
            stream.transport.abortConnection()
