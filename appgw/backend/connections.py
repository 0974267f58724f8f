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
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from appgw.backend.answer import IDLE_TIMEOUT
from appgw.backend.stream import Stream
from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, PinRefused
from appgw.backend.verdict import Verdict
from appgw.endpoints import ClientEndpoint
from appgw.transport import Alerted

MAX_IDLE: Final = 64
MAX_CONNECTIONS: Final = 1024
"""Connections per Target."""

MAX_AGE: Final = 3600.0
"""Seconds."""


class TooManyConnections(Exception):  # noqa: N818 - names the limit
    """
    The Target's limit of connections is reached.
    """


class CertificateWanted(SSL.Error):
    """
    A backend that had asked for a client certificate broke off the handshake.
    """

    def __str__(self) -> str:
        return f"it asks for a client certificate, and then: {super().__str__()}"


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
        if refused is not None:
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
            why = outcome.transport.failed
            outcome.transport.abortConnection()
            if not isinstance(why, Alerted):
                why = ConnectionLost("it did not wait for a request")
            outcome = Failure(why)
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
        return self._kept_for(target).connect()

    def apart(self, target: Target) -> Kept:
        """
        Prepare for connections to *target* that serve no requests.

        They are judged like all others, but not counted, and none is kept.
        """
        terms = self._kept_for(target).terms
        return Kept(target, self.reactor, self.seconds, terms, Attempts(), retired=True)

    def _kept_for(self, target: Target) -> Kept:
        kept = self.kept.get(target)
        if kept is None:
            terms = None
            if target.protocol == "https":
                terms = PinnedTerms(PinnedClientTLSOptions(target))
            kept = Kept(target, self.reactor, self.seconds, terms, self.attempts)
            kept.retired = self._retained is not None and target not in self._retained
            self.kept[target] = kept
        return kept

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
