"""
A request with Upgrade, and the tunnel that comes of it (RFC 9110, 7.8).

Until the backend has agreed this is an exchange like any other: what the client
sends behind its request waits unread, and is its next request if the backend
answers with anything but 101. With 101 HTTP is over on both connections, and what
comes from one of them goes to the other:

1. As fast as the other one takes it: each side's pressure stops the other's flow.
2. Its end is passed on behind what was sent before; after both ends both close.
3. What ends without a word to TLS ends the other side likewise. Who is lost before
   its end takes the other one with it, in a way that nobody takes for an end.
4. While both are there it ends by its own time-out, or with its member's draining;
   neither by a reload nor by the time-outs of requests.
"""

from __future__ import annotations

from appgw.backend.pool import Pool
from appgw.backend.stream import Stream, StreamLost
from appgw.exchange import Exchange
from appgw.life import happening
from appgw.listen.request import Request
from appgw.means import Means, Refused
from appgw.message import ResponseHead
from appgw.raw import Raw
from appgw.refusal import Refusal
from appgw.route.decide import Forward


class Tunnel(Exchange):
    """
    An exchange that becomes a tunnel where the backend agrees.
    """

    __slots__ = ("_backend", "_client", "_seen")

    def __init__(
        self, request: Request, decision: Forward, pool: Pool, means: Means
    ) -> None:
        super().__init__(request, decision, pool, means)
        self._client: Raw | None = None
        self._backend: Raw | None = None
        self._seen = (0, 0, 0)

    def _send(self, stream: Stream) -> bool:
        repeatable = super()._send(stream)
        stream.propose(self.request.head.upgrade)
        return repeatable

    async def _stream_answer(self, stream: Stream) -> None:
        if self.outcome.status != 101:
            await super()._stream_answer(stream)
            return
        self._begin(stream)
        await happening()
        self._stream = None

    def _begin(self, stream: Stream) -> None:
        """
        Take over both connections.
        """
        outcome = self.outcome
        outcome.server_time = outcome.first_byte_time
        # How a tunnel ends says nothing about how requests are answered.
        self._excused = True
        self._client = client = self.request.switch()
        self._backend = backend = stream.switch()
        client.hearer = backend.hearer = self
        client.listen_to(backend)
        backend.listen_to(client)
        if client.early:
            self.received(client, client.early)
            client.early = b""
        if client.ended:
            self.ended(client)

    @property
    def over(self) -> bool:
        """
        Whether nothing is left of it.
        """
        return self._life is None

    def close(self) -> None:
        """
        End a tunnel as soon as what it holds has left.
        """
        client, backend = self._client, self._backend
        if client is not None and backend is not None:
            client.ended = backend.ended = True
            client.close()
            backend.close()

    # Events from both connections.

    def received(self, end: Raw, data: bytes) -> None:
        """
        Pass on what one side says.
        """
        other, request = self._other(end), self.request
        if other.gone:
            return
        if other is self._backend:
            request.received += len(data)
        else:
            request.sent += len(data)
        other.write(data)

    def ended(self, end: Raw) -> None:
        """
        Pass on that one side has said everything.
        """
        other = self._other(end)
        if other.ended:
            self.close()
        else:
            other.finish()

    def _gone(self, end: Raw, refusal: Refusal) -> None:
        """
        End the other side likewise.
        """
        other = self._other(end)
        if other.gone:
            self._go_on(None)
        elif end.hung_up:
            # Many do so who have said everything in the tunnel's own way.
            other.hang_up()
        elif not end.ended:
            # What was said before leaves, as far as it does so at once.
            other.flush()
            self._throw(Refused(refusal))
        else:
            # It has not heard everything yet; what it says itself is lost.
            other.resumeProducing()

    def _other(self, end: Raw) -> Raw:
        other = self._backend if end is self._client else self._client
        assert other is not None  # noqa: S101 - both are there, or none is
        return other

    # Events from the client's side.

    def client_lost(self, refusal: Refusal) -> None:
        """
        The client is gone.
        """
        if self._client is None:
            super().client_lost(refusal)
        else:
            self._gone(self._client, refusal)

    def _late(self, stream: Stream, now: float) -> Refusal | None:
        client, backend, request = self._client, self._backend, self.request
        if client is None or backend is None:
            return super()._late(stream, now)
        seen = (request.received, request.sent, client.unsent() + backend.unsent())
        if seen != self._seen:
            self._seen, self._moved = seen, now
        idle = now - self._moved > self.pool.settings.tunnel_idle_timeout
        return Refusal.TUNNEL_IDLE if idle else None

    # Events from the backend's side.

    def answer(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """
        The final head has come; what follows 101 is no body, and has no end yet.
        """
        super().answer(head, body, ended and head.status != 101)

    def lost(self, error: StreamLost) -> None:
        """
        The backend's connection is gone.
        """
        if self._backend is None:
            super().lost(error)
        else:
            self._gone(self._backend, Refusal.BACKEND_CLOSED)
