"""
How an exchange comes by a connection to a backend.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from appgw.backend.candidate import Candidate
from appgw.backend.connections import TooManyConnections
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

    __slots__ = ("_counted", "_means", "outcome", "pool", "request")

    request: Request
    pool: Pool
    outcome: Outcome
    _means: Means
    _counted: Place | None

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

    def _kept(self, candidate: Candidate) -> Stream | None:
        """
        A kept connection, unless losing it could lose the request: a body
        that still comes cannot be sent again.
        """
        request = self.request
        if not request.complete and request.head.method in IDEMPOTENT:
            return None
        while (stream := self._means.connections.idle(candidate.target)) is not None:
            if stream.ready(request.complete):
                return stream
        return None

    async def _open(self, candidate: Candidate) -> Stream | Refusal:
        """
        Open a connection; why not, if none came about.
        """
        means = self._means
        began = means.seconds()
        self.outcome.verdict = None
        try:
            attempt = means.connections.connect(candidate.target)
        except TooManyConnections:
            return Refusal.OVERLOADED
        self.request.pause()
        attempt.addBoth(self._connected)
        stream = await happening()
        if isinstance(stream, Stream):
            if means.revoked(self.pool, candidate, stream):
                stream.abort()
                return Refusal.PIN_REFUSED
            self.outcome.connect_time = means.seconds() - began
            return stream
        return why_not(stream, self.outcome, self.pool, means)

    def _connected(self, outcome: Stream | Failure) -> None:
        if self._life is not None:
            self._go_on(outcome)
        elif isinstance(outcome, Stream):
            # Whoever wanted it is gone; the next one will.
            outcome.kept.put_back(outcome)
