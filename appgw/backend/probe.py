"""
One probe: connect, ask, judge the answer, all of it in the time that it has.

The way is the requests' own, the same judge of the certificate and the same
strict reader of answers, over a connection made for this one question: those that
are kept for requests are never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from appgw.backend import diagnosis
from appgw.backend.connections import Connections
from appgw.backend.kept import Kept
from appgw.backend.question import Question
from appgw.backend.stream import Stream, StreamLost
from appgw.backend.trust import PinRefused
from appgw.backend.verdict import Verdict
from appgw.message import ResponseHead

MAX_BODY: Final = 65536
"""Bytes of an answer's body that are looked at; a longer one is cut short."""

_FIELDS: Final = (
    (b"User-Agent", b"appgw-probe"),
    (b"Accept", b"*/*"),
    (b"Connection", b"close"),
)
_log = Logger()


@attrs.frozen
class Result:
    """
    What a probe has found out.

    Attributes:
        told: a sentence for the operator.
        refusal: the verdict on a certificate that was refused.
    """

    healthy: bool
    told: str
    refusal: Verdict | None = None


class _Late(Exception):  # noqa: N818 - says what happened
    """
    The probe's time is up.
    """


class _NotConnected(Exception):  # noqa: N818 - says what happened
    """
    No connection came about.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class Attempt:
    """
    A question that is under way.

    Args:
        deadline: when there must be an answer, in seconds of the connections'
            clock.
        tell: called once with the result; None: nothing was found out, through
            a fault of our own.

    Attributes:
        over: nothing of it is left.
    """

    def __init__(
        self,
        question: Question,
        connections: Connections,
        deadline: float,
        tell: Callable[[Result | None], None],
    ) -> None:
        self._question = question
        self._connections = connections
        self._deadline = deadline
        self._tell = tell
        self.over = False
        self._waiting: Deferred[Any] | None = None
        self._kept: Kept | None = None
        self._stream: Stream | None = None
        self._told = self._ended = False
        self._found = question.body is None
        self._size = 0
        self._tail = b""

    def start(self) -> None:
        """
        Begin; everything else happens by events.
        """
        Deferred.fromCoroutine(self._live())

    def sweep(self, now: float) -> None:
        """
        Give up once the time is up.
        """
        if now >= self._deadline:
            self._throw(_Late())

    def abandon(self) -> None:
        """
        End at once; nobody is told anything any more.
        """
        self._throw(CancelledError())

    async def _live(self) -> None:
        try:
            await self._asking()
        except (_Late, _NotConnected, StreamLost) as error:
            if not self._told:
                self._say(self._why(error))
        except CancelledError:
            pass
        except Exception:
            _log.failure("A probe failed; this is a bug.")
            if not self._told:
                self._say(None)
        finally:
            self.over = True
            self._close()

    async def _asking(self) -> None:
        stream = await self._connected()
        head = await self._asked(stream)
        found = await self._judged(head)
        target, verdict = self._question.target, stream.verdict
        told = diagnosis.overlooked(found.told, verdict, target)
        self._say(attrs.evolve(found, told=told))
        # To close on a backend that still writes would look like a fault to it.
        while not self._ended and self._size <= MAX_BODY:
            await self._event()

    async def _connected(self) -> Stream:
        """
        Wait for a connection over which a byte may be sent.
        """
        self._kept = kept = self._connections.apart(self._question.target)
        opened = self._event()
        kept.dial().addCallbacks(self._go_on, self._not_opened)
        stream: Stream = await opened
        self._stream = stream
        return stream

    async def _asked(self, stream: Stream) -> ResponseHead:
        """
        Send the request and wait for the head of the answer.
        """
        fields = [(b"Host", self._question.host), *_FIELDS]
        stream.send(self, b"GET", self._question.path, fields, 0, b"", True)
        head: ResponseHead = await self._event()
        return head

    async def _judged(self, head: ResponseHead) -> Result:
        """
        Wait for as much of the body as tells.
        """
        question = self._question
        if not question.takes(head.status):
            return Result(False, diagnosis.wrong_status(question, head.status))
        while not self._found and not self._ended and self._size <= MAX_BODY:
            await self._event()
        if self._found:
            return Result(True, diagnosis.success(head.status))
        looked_at = MAX_BODY if self._size > MAX_BODY else None
        return Result(False, diagnosis.wrong_body(question, looked_at))

    def _say(self, result: Result | None) -> None:
        self._told = True
        self._tell(result)

    def _why(self, error: Exception) -> Result | None:
        if isinstance(error, _NotConnected):
            return self._why_not_connected(error.failure)
        if not isinstance(error, StreamLost):
            return Result(False, diagnosis.TOO_SLOW)
        said = diagnosis.no_connection if error.untouched else diagnosis.bad_answer
        return Result(False, said(str(error)))

    def _why_not_connected(self, failure: Failure) -> Result | None:
        error = failure.value
        if isinstance(error, PinRefused):
            told = diagnosis.refused(error.verdict, self._question.target)
            return Result(False, told, error.verdict)
        if getattr(error, "osError", None) in diagnosis.OUR_OWN:
            _log.warn("No connection for a probe: {error}", error=error)
            return None
        return Result(False, diagnosis.no_connection(failure.getErrorMessage()))

    def _event(self) -> Deferred[Any]:
        """
        Wait for the next event.
        """
        waiting: Deferred[Any] = Deferred()
        self._waiting = waiting
        return waiting

    def _go_on(self, event: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(event)

    def _throw(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(error)

    def _not_opened(self, failure: Failure) -> None:
        self._throw(_NotConnected(failure))

    def _close(self) -> None:
        """
        Leave nothing behind: in order if the answer is whole.
        """
        stream, kept = self._stream, self._kept
        if stream is None:
            for attempt in list(kept.dialling if kept is not None else ()):
                attempt.cancel()
        elif self._ended:
            stream.user = None
            stream.transport.loseConnection()
        else:
            stream.abort()

    def _take(self, body: bytes, ended: bool) -> None:
        """
        Look through a piece of the body; of what was before, only a tail is kept.
        """
        wanted = self._question.body
        room = MAX_BODY - self._size
        self._size += len(body)
        self._ended = ended
        if wanted is not None and not self._found:
            window = self._tail + body[: max(0, room)]
            self._found = wanted in window
            self._tail = window[max(0, len(window) - len(wanted) + 1) :]

    # Events from the backend's side.

    def interim(self, head: ResponseHead) -> None:
        """
        Wait on: this is no answer yet.
        """

    def answer(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """
        The head has come, with the first of the body.
        """
        self._take(body, ended)
        self._go_on(head)

    def more(self, body: bytes, ended: bool) -> None:
        """
        A further piece of the body has come, or its end.
        """
        self._take(body, ended)
        self._go_on(None)

    def lost(self, error: StreamLost) -> None:
        """
        The connection ended too early.
        """
        self._throw(error)
