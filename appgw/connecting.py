"""
How an exchange comes by a connection to a backend.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from appgw.backend.candidate import Candidate
from appgw.backend.kept import TooManyConnections, Waiter
from appgw.backend.place import Place
from appgw.backend.pool import Pool
from appgw.backend.stream import Stream
from appgw.faults import why_not
from appgw.life import Life, happening
from appgw.listen.request import Request
from appgw.means import IDEMPOTENT, Means
from appgw.record import Outcome
from appgw.refusal import Refusal
from appgw.route.source import source_of


class Connecting(Life):
    """
    A request that needs a connection.

    Attributes:
        request: the client's side, as a stream.
        pool: who can take it.
        outcome: what is known of it so far.
    """

    __slots__ = ("_counted", "_means", "_sent", "_waiter", "outcome", "pool", "request")

    request: Request
    pool: Pool
    outcome: Outcome
    _means: Means
    _counted: Place | None
    _sent: bool
    _waiter: Waiter | None

    def _source(self) -> str:
        """
        The address that the request comes from, as far as it can be trusted.
        """
        request = self.request
        return source_of(request.head, request.arrival, self._means.trusted_proxies)

    def _count(self, candidate: Candidate | None) -> None:
        """
        Count the request where it is now, and no longer where it was.
        """
        if self._counted is not None:
            self._counted.busy -= 1
        self._counted = None if candidate is None else candidate.place
        if self._counted is not None:
            self._counted.busy += 1

    def _fresh(self) -> bool:
        """
        Tell whether only a new connection will do, since losing a kept one could
        lose the request: a body that still comes cannot be sent again, and what
        was sent once already is not sent a third time.
        """
        request = self.request
        coming = not request.complete and request.head.method in IDEMPOTENT
        return coming or self._sent

    def _kept(self, candidate: Candidate) -> Stream | None:
        """
        A kept connection, where one will do.
        """
        if self._fresh():
            return None
        connections, whole = self._means.connections, self.request.complete
        while (stream := connections.idle(candidate.target)) is not None:
            if stream.ready(whole):
                return stream
        return None

    async def _open(self, candidate: Candidate) -> Stream | Refusal:
        """
        Open a connection; why not, if none came about.
        """
        limit = self.pool.settings.max_connections
        try:
            attempt = self._means.connections.connect(candidate.target, limit)
        except TooManyConnections:
            return Refusal.BACKEND_FULL
        return await self._came(attempt, candidate)

    async def _waited(self, candidate: Candidate) -> Stream | Refusal:
        """
        Wait until a connection is free, or there is room for a new one; why not,
        if there was none in time.
        """
        settings = self.pool.settings
        try:
            self._waiter = self._means.connections.wait(
                candidate.target, settings, self._fresh()
            )
        except TooManyConnections:
            return Refusal.BACKEND_FULL
        return await self._came(self._waiter.granted, candidate)

    async def _came(
        self, attempt: Deferred[Stream], candidate: Candidate
    ) -> Stream | Refusal:
        """
        Wait for a connection that was asked for.
        """
        means = self._means
        began = means.seconds()
        self.outcome.verdict = None
        self.request.pause()
        attempt.addBoth(self._connected)
        stream = await happening()
        self._waiter = None
        if isinstance(stream, Stream):
            if means.revoked(self.pool, candidate, stream):
                stream.abort()
                return Refusal.PIN_REFUSED
            if not stream.reused:
                self.outcome.connect_time = means.seconds() - began
            return stream
        return why_not(stream, self.outcome, self.pool, means)

    def _leave(self) -> None:
        """
        Want no connection any more.
        """
        if self._waiter is not None:
            self._waiter.withdraw()

    def _connected(self, outcome: Stream | Failure) -> None:
        if self._life is not None:
            self._go_on(outcome)
        elif isinstance(outcome, Stream):
            # Whoever wanted it is gone; the next one will.
            outcome.kept.put_back(outcome)
