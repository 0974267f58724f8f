"""
One request's life, top to bottom.

    choose a backend -> send -> wait for its head -> answer -> record

``_live`` is that line, as a coroutine. What happens meanwhile reaches it as
events: the client's body and its end from one side, the backend's answer from
the other. Both sides are streams; no connection is known here.

Rules:
1. The next backend is tried only when nothing was sent to the last.
2. A kept connection that the backend closed as the request went out costs
   a request that may be repeated (RFC 9110, 9.2.2) nothing. No other request
   is ever sent twice.
3. Both only within the pool's budget of second attempts.
4. Whatever is doubtful about an answer ends the backend's connection.
5. Every exchange is recorded once, in a ``finally``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from twisted.logger import Logger

from appgw.backend.candidate import Candidate
from appgw.backend.pool import Pool
from appgw.backend.stream import Stream, StreamLost
from appgw.connecting import Connecting
from appgw.faults import note_answer, note_end, tried_again
from appgw.life import happening
from appgw.listen.request import Request
from appgw.means import (
    EXPECT,
    IDEMPOTENT,
    WEIGHT,
    WHY_LOST,
    Means,
    Refused,
    Valve,
    allowed,
    begun,
    fields_of_answer,
    fields_of_interim,
    fields_of_request,
    refuse,
)
from appgw.message import ResponseHead, value_of, values_of
from appgw.refusal import Refusal
from appgw.route.decide import Forward
from appgw.wire import BadField


class Exchange(Connecting):
    """
    One request on its way to a backend and back.

    Args:
        request: the client's side, as a stream.
        decision: where it goes.
        pool: who can take it.
    """

    log: ClassVar = Logger()

    __slots__ = (
        "_affinity",
        "_asked",
        "_body",
        "_excused",
        "_moved",
        "_stream",
        "_unsent",
        "decision",
    )

    _stream: Stream | None

    def __init__(
        self, request: Request, decision: Forward, pool: Pool, means: Means
    ) -> None:
        super().__init__(self._live())
        self.request = request
        self.decision = decision
        self.pool = pool
        self._means = means
        self._counted = self._waiter = self._stream = None
        self._affinity: bytes | None = None
        self._body = b""
        self._sent = self._excused = False
        self._moved = self._asked = request.began
        self._unsent = 0
        self.outcome = begun(request, means, decision.route)

    async def _live(self) -> None:
        try:
            await self._forward()
        except Refused as refused:
            self._refuse(refused.refusal)
        except BadField:
            self._refuse(Refusal.MALFORMED)
        except Exception:
            self.log.failure("An exchange failed; this is a bug.")
            self._refuse(Refusal.INTERNAL)
        finally:
            self._record()

    async def _forward(self) -> None:
        """
        Try the candidates in turn until one has been sent the request.
        """
        pool, outcome = self.pool, self.outcome
        refusal = blamed = verdict = None
        again = False
        for candidate in self._candidates():
            if again and not tried_again(pool, self._means):
                break
            outcome.candidate = candidate
            if pool.counts:
                self._count(candidate)
            while (stream := self._kept(candidate)) is not None:
                if await self._carried(stream):
                    return
            opened = await self._open(candidate)
            if isinstance(opened, Stream):
                await self._carried(opened)
                return
            if refusal is None or WEIGHT[opened] > WEIGHT[refusal]:
                refusal, blamed, verdict = opened, candidate, outcome.verdict
            # One that is full was not even asked.
            again = opened is not Refusal.BACKEND_FULL
        outcome.candidate, outcome.verdict = blamed, verdict
        if blamed is None or refusal is not Refusal.BACKEND_FULL:
            raise Refused(refusal or Refusal.NO_MEMBER)
        await self._in_line(blamed)

    def _candidates(self) -> Iterator[Candidate]:
        """
        Ask who can take the request, unless it is refused already.
        """
        request, pool = self.request, self.pool
        request.read(self)
        if request.refusal is not None:
            raise Refused(request.refusal)
        if pool.settings.cookie_based_affinity:
            cookies = values_of(request.head.headers, b"cookie")
            self._affinity = pool.affinity_in(cookies)
        source = self._source() if pool.by_source else None
        return pool.candidates(self._affinity, source)

    async def _in_line(self, candidate: Candidate) -> None:
        """
        Send the request to a backend that is full as soon as it is not.
        """
        if self.pool.counts:
            self._count(candidate)
        while isinstance(stream := await self._waited(candidate), Stream):
            if await self._carried(stream):
                return
        raise Refused(stream)

    async def _carried(self, stream: Stream) -> bool:
        """
        Send the request and pass on the answer.

        Returns:
            False if a kept connection was closed before anything had been sent,
            or, under a request that may be repeated, before anything came back.
        """
        kept = stream.reused
        repeatable = self._send(stream) and kept
        try:
            head, body, ended = await happening()
        except StreamLost as lost:
            self._stream = None
            self._sent = self._sent and not lost.unsent
            if lost.unsent or (
                repeatable and lost.untouched and tried_again(self.pool, self._means)
            ):
                return False
            raise Refused(WHY_LOST[lost.untouched]) from lost
        if self.pool.rests or self.pool.failing:
            note_answer(self.pool, self.outcome, head.status, self._asked, self._means)
        self._respond(stream, head, body, ended)
        if not ended:
            await self._stream_answer(stream)
        return True

    def _send(self, stream: Stream) -> bool:
        """
        Send the head with what there is of the body.

        Returns:
            Whether the request may be sent a second time.
        """
        request, outcome = self.request, self.outcome
        # From here on, whatever goes wrong ends the connection too.
        self._stream, head = stream, request.head
        headers = fields_of_request(self, self._means.forwarded_for_port)
        if request.expects_continue:
            headers.append(EXPECT)
        body = request.take()
        if body:
            self._body += body
            request.expects_continue = False
        last = self._sent = request.complete
        self._moved = self._asked = self._means.seconds()
        outcome.verdict = stream.verdict
        outcome.source_port = stream.source_port
        stream.send(
            self,
            head.method,
            outcome.upstream_target,
            headers,
            head.content_length,
            self._body,
            last and not request.trailers,
        )
        if not last:
            self._body = b""
            valve = Valve(request.pause, request.resume)
            stream.transport.registerProducer(valve, True)
            request.resume()
        elif request.trailers:
            stream.finish(request.trailers)
        return last and head.method in IDEMPOTENT

    async def _stream_answer(self, stream: Stream) -> None:
        """
        Pass on the rest of an answer whose head has gone out.
        """
        request = self.request
        request.registerProducer(Valve(stream.pause, stream.resume), True)
        try:
            await happening()
        except StreamLost as lost:
            self._stream = None
            self._excused = stream.resumed > self._asked
            raise Refused(Refusal.BACKEND_CLOSED) from lost
        finally:
            request.unregisterProducer()
        self._done_with(stream)
        request.finish(allowed(stream.trailers))

    def _respond(
        self, stream: Stream, head: ResponseHead, body: bytes, ended: bool
    ) -> None:
        """
        Write the head of the answer, with what came of its body.
        """
        means, outcome = self._means, self.outcome
        date, affinity = means.date(outcome.began_wall), self._affinity
        head.headers = fields_of_answer(self, head, date, affinity)
        now = means.seconds()
        outcome.server_status = outcome.status = head.status
        outcome.first_byte_time = now - self._asked
        outcome.answered = self._moved = now
        outcome.content_type = value_of(head.headers, b"content-type")
        trailers = allowed(stream.trailers) if ended else None
        if ended:
            self._done_with(stream)
        try:
            self.request.respond(head, body, ended and not trailers)
        except BadField as bad:
            outcome.status = 0
            stream.abort()
            raise Refused(Refusal.BAD_ANSWER) from bad
        if trailers:
            self.request.finish(trailers)

    def _done_with(self, stream: Stream) -> None:
        """
        The answer is whole: the connection may serve somebody else.
        """
        self._stream = None
        self.outcome.server_time = self._means.seconds() - self._asked
        stream.release()

    def _refuse(self, refusal: Refusal) -> None:
        """
        Answer by ourselves, or cut short what has begun.
        """
        outcome, request, stream = self.outcome, self.request, self._stream
        outcome.refusal, self._stream = refusal, None
        if stream is not None:
            stream.abort()
        if refusal is Refusal.CLIENT_CLOSED:
            outcome.status = outcome.status or refusal.status
        elif outcome.status:
            request.abort()
        else:
            outcome.status = refusal.status
            refuse(request, refusal, outcome.trace_id, self._means)

    def _record(self) -> None:
        self._life = None
        outcome, request = self.outcome, self.request
        outcome.ended = self._means.seconds()
        outcome.received, outcome.sent = request.received, request.sent
        if self.pool.counts:
            self._count(None)
        if self.pool.rests or outcome.refusal is not None:
            fair = self._sent and not self._excused
            note_end(self.pool, outcome, self._asked if fair else None, self._means)
        self._means.record(outcome)

    # Events from the client's side.

    def body_received(self) -> None:
        """
        More of the client's body is there, or its end.
        """
        stream, request = self._stream, self.request
        if stream is None or self._sent:
            return
        # An early answer may lie there: after a failed write it is out of reach.
        stream.poll()
        if self._stream is not stream:
            return
        request.expects_continue = False
        self._moved = self._means.seconds()
        data = request.take()
        if data:
            stream.write(data)
        if request.complete:
            self._sent = True
            stream.finish(request.trailers)

    def client_lost(self, refusal: Refusal) -> None:
        """
        The client is gone, or its body will never end.
        """
        self._throw(Refused(refusal))
        self._leave()

    def sweep(self, now: float) -> None:
        """
        End what the backend has kept waiting for too long.
        """
        stream, candidate = self._stream, self.outcome.candidate
        if stream is None or candidate is None:
            return
        late = self._late(stream, now)
        if now >= candidate.place.deadline(self.outcome.began):
            late = Refusal.DRAINED
        if late is not None:
            self._throw(Refused(late))

    def _late(self, stream: Stream, now: float) -> Refusal | None:
        unsent = stream.transport.unsent()
        if unsent != self._unsent:
            self._unsent, self._moved = unsent, now
        since = max(self._moved, stream.resumed)
        if stream.paused or now - since <= self.pool.settings.request_timeout:
            return None
        answered = self.outcome.server_status
        waited = self._sent or unsent or answered or self.request.expects_continue
        return Refusal.BACKEND_TIMEOUT if waited else None

    def cut(self) -> None:
        """
        End at once: the certificate behind the stream is not allowed any more.
        """
        self._throw(Refused(Refusal.PIN_REFUSED))

    # Events from the backend's side.

    def interim(self, head: ResponseHead) -> None:
        """
        Pass on an interim response; it stops no clock.
        """
        try:
            head.headers = fields_of_interim(self, head)
            self.request.inform(head)
        except (BadField, Refused):
            self._throw(Refused(Refusal.BAD_ANSWER))

    def answer(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """
        The final head has come, with the first of its body.
        """
        self._go_on((head, body, ended))

    def more(self, body: bytes, ended: bool) -> None:
        """
        A further piece of the answer's body has come, or its end.
        """
        self._moved = self._means.seconds()
        if body:
            self.request.write(body)
        if ended:
            self._go_on(None)

    def lost(self, error: StreamLost) -> None:
        """
        The backend's connection ended too early.
        """
        self._throw(error)
