"""
All connections to one backend, and who waits for one.

A connection carries one request at a time. Those given back are kept for the next
request; where there are as many as there may be, requests can wait in line.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from typing import Any, Final

import attrs
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from appgw.backend.answer import IDLE_TIMEOUT
from appgw.backend.stream import Stream
from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, PinRefused
from appgw.backend.verdict import Verdict
from appgw.config.model import BackendSettings
from appgw.endpoints import ClientEndpoint
from appgw.transport import Alerted

_log = Logger()

MAX_IDLE: Final = 64
"""Connections per Target."""

MAX_AGE: Final = 3600.0
"""Seconds."""

FULL_TOLD: Final = 60.0
"""Seconds after which the log says again that a backend is full."""


Judged = Callable[[Target, Verdict], None]
"""Told of a verdict on a backend."""


class TooManyConnections(Exception):  # noqa: N818 - names the limit
    """
    There are as many connections to the Target as there may be, or as many
    requests that wait for one.
    """


class WaitedTooLong(Exception):  # noqa: N818 - says what happened
    """
    No connection to the Target became free in time.
    """


class CertificateWanted(SSL.Error):
    """
    A backend that had asked for a client certificate broke off the handshake.
    """

    def __str__(self) -> str:
        return f"it asks for a client certificate, and then: {super().__str__()}"


def not_told(target: Target, verdict: Verdict) -> None:
    """
    Keep a verdict to oneself.
    """


class PinnedTerms:
    """
    The pins of one target, as a transport asks for them.

    Args:
        judged: told of each verdict, once for each handshake.
    """

    def __init__(
        self, options: PinnedClientTLSOptions, judged: Judged = not_told
    ) -> None:
        self._options = options
        self._judged = judged
        self.context = options.context
        self.prepare = options.prepare

    def admit(self, connection: SSL.Connection) -> Verdict:
        """
        Judge a finished handshake.

        Raises:
            PinRefused: and nothing may be sent.
        """
        verdict = self._options.verdict(connection)
        self._judged(self._options.target, verdict)
        if not verdict.admitted:
            raise PinRefused(verdict, self._options.target)
        return verdict

    def failure(self, connection: SSL.Connection, error: Exception) -> Exception:
        """
        Tell a refused certificate from any other broken handshake.
        """
        if isinstance(error, PinRefused):
            return error
        refused = self._options.refusal(connection)
        if refused is not None:
            self._judged(self._options.target, refused)
            return PinRefused(refused, self._options.target)
        return CertificateWanted(*error.args) if _wants(connection) else error


def _wants(connection: SSL.Connection) -> bool:
    """
    Tell whether a backend has named CAs that a client's certificate may be from.
    """
    try:
        return bool(connection.get_client_ca_list(as_cryptography=True))
    except Exception:
        # It has, and nobody can read the names.
        return True


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
class Waiter:
    """
    A request that waits for a connection.

    Attributes:
        line: where it stands.
        granted: fires with one.
        until: how long it waits.
        limit: of connections, as its setting has it.
        fresh: it takes none that has been kept.
    """

    line: Kept
    granted: Deferred[Stream]
    until: float
    limit: int
    fresh: bool

    def withdraw(self) -> None:
        """
        Wait no longer; what was granted already stays granted.
        """
        if self in self.line.waiting:
            self.line.waiting.remove(self)


@attrs.define(eq=False)
class Kept:
    """
    All connections to one Target.

    Attributes:
        idle: those that wait for a request, the last used at the end.
        all: every one, idle or lent.
        dialling: attempts under way.
        retired: nothing new is sent to this Target; none is kept.
        waiting: who waits for a connection, in the order that they came.
        reserved: connections that were given back and are for them.
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
    waiting: collections.deque[Waiter] = attrs.field(factory=collections.deque)
    reserved: list[Stream] = attrs.field(factory=list)
    _serving: bool = False
    _told: float = -math.inf

    def connect(self, limit: int) -> Deferred[Stream]:
        """
        Open a connection; fires once a byte may be sent.

        Args:
            limit: of connections.
        """
        promised = self.waiting and self._count() < self.waiting[0].limit
        if promised or not self._room(limit):
            self._tell(limit)
            raise TooManyConnections(str(self.target))
        return self.dial()

    def _count(self) -> int:
        return len(self.all) + len(self.dialling)

    def _room(self, limit: int) -> bool:
        """
        Tell whether another connection may be made; where that is enough, an idle
        one makes room for it.
        """
        for spare in (self.idle, self.reserved):
            if self._count() == limit and spare:
                spare[0].abort()
        return self._count() < limit

    def _tell(self, limit: int) -> None:
        now = self.seconds()
        if now - self._told >= FULL_TOLD:
            self._told = now
            _log.warn(
                "{target}: all of {limit} connections are in use, and {waiting}"
                " requests wait for one",
                target=self.target,
                limit=limit,
                waiting=len(self.waiting),
            )

    def dial(self) -> Deferred[Stream]:
        """
        Open a connection, however many there are.
        """
        target = self.target
        endpoint = ClientEndpoint(self.reactor, target.address, target.port, self.terms)
        attempt: Deferred[Stream] = endpoint.connect(_Streams(self))
        self.dialling.add(attempt)
        return attempt.addBoth(self._dialled, attempt, self.seconds())

    def _dialled(self, outcome: Any, attempt: Deferred[Stream], began: float) -> Any:
        self.dialling.discard(attempt)
        if isinstance(outcome, Stream) and not outcome.silent():
            # Whoever speaks or hangs up before it was asked, is not asked.
            why = outcome.transport.failed
            outcome.transport.abortConnection()
            if not isinstance(why, Alerted):
                why = ConnectionLost("it did not wait for a request")
            outcome = Failure(why)
        if isinstance(outcome, Stream):
            self.all.add(outcome)
            self.attempts.made += 1
            self.attempts.seconds += self.seconds() - began
        else:
            self.attempts.failed += not outcome.check(PinRefused)
            self._serve_soon()
        return outcome

    def wait(self, settings: BackendSettings, fresh: bool) -> Waiter:
        """
        Wait for a connection; as Connections has it.
        """
        if len(self.waiting) >= settings.max_pending_requests:
            raise TooManyConnections(str(self.target))
        until = self.seconds() + settings.pending_timeout
        waiter = Waiter(self, Deferred(), until, settings.max_connections, fresh)
        self.waiting.append(waiter)
        self._serve_soon()
        return waiter

    def _serve_soon(self) -> None:
        """
        Let those who wait have what there is, once everybody has left the stack:
        a connection is given back in the middle of things.
        """
        if (self.waiting or self.reserved) and not self._serving:
            self._serving = True
            self.reactor.callLater(0, self._serve)

    def _serve(self) -> None:
        self._serving = False
        while self.waiting:
            first = self.waiting[0]
            stream = None if first.fresh else self._take()
            if stream is not None:
                self.waiting.popleft()
                first.granted.callback(stream)
            elif self._room(first.limit):
                self.waiting.popleft()
                self.dial().chainDeferred(first.granted)
            else:
                return
        reserved, self.reserved = self.reserved, []
        for stream in reserved:
            self.put_back(stream, stream.idle_until - self.seconds())

    def _take(self) -> Stream | None:
        """
        Take a connection that has been kept and can carry a request.
        """
        for source in (self.reserved, self.idle):
            while source:
                stream = source.pop()
                transport = stream.transport
                if not transport.connected or transport.failed is not None:
                    continue
                if stream.idle_until <= self.seconds():
                    transport.loseConnection()
                elif stream.ready(False):
                    return stream
        return None

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
        stream.reused = True
        if len(self.reserved) < len(self.waiting):
            self.reserved.append(stream)
            self._serve_soon()
        else:
            self.idle.append(stream)

    def spend(self, stream: Stream) -> None:
        """
        Send nothing new over *stream*; a request that it carries may end.
        """
        # Whoever gives it back is told that it is too old to be kept.
        stream.born = -math.inf
        for spare in (self.idle, self.reserved):
            if stream in spare:
                spare.remove(stream)
                stream.transport.loseConnection()

    def discard(self, stream: Stream) -> None:
        """
        Forget a connection that is gone.
        """
        self.all.discard(stream)
        if stream.user is None and stream in self.idle:
            self.idle.remove(stream)
        if stream in self.reserved:
            self.reserved.remove(stream)
        if self.waiting:
            self._serve_soon()

    def empty(self) -> bool:
        """
        Tell whether nobody has or wants a connection.
        """
        return not (self.all or self.dialling or self.waiting)

    def sweep(self, now: float) -> None:
        """
        Close what has been idle too long, and let go who has waited too long.

        Args:
            now: on the same clock.
        """
        for waiter in [waiter for waiter in self.waiting if waiter.until <= now]:
            self.waiting.remove(waiter)
            waiter.granted.errback(WaitedTooLong(str(self.target)))
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
