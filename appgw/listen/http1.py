"""
HTTP/1.1 and HTTP/1.0 with one client (RFC 9112).

A channel hands each request to the root resource of its port, one after the
other, and looks at what follows only when the answer is written: so answers are
in order, and a client that asks without reading is not read from. After any
doubt about framing, or with a body left unread, the connection closes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from appgw.listen.messages import Door, Messages
from appgw.listen.request import Request
from appgw.raw import Raw
from appgw.refusal import Refusal

HEAD_TIMEOUT: Final = 60.0
BODY_TIMEOUT: Final = 60.0
IDLE_TIMEOUT: Final = 75.0
HALF_CLOSED_TIMEOUT: Final = 2.0
LINGER_TIMEOUT: Final = 5.0
"""
Seconds: for a whole head; for a body, or an answer that waits for the client,
without progress; between requests; until an answer begins for a client that has
closed its side; and for an unread rest after the answer.
"""

DRAIN_GRACE: Final = 0.5
"""Seconds for a request that was on its way when draining began."""

MAX_UNSENT: Final = 65536
"""Bytes of answers that wait for the client before its next request may wait."""

MAX_TURN: Final = 64
"""
Requests of one client that are begun, and empty lines before them that are read,
before other clients get their turn.
"""


class Channel(Messages):
    """
    One client's connection.

    Args:
        door: the port's root resource and limits.
    """

    log: ClassVar = Logger()

    transport: Any = None

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._current: Request | None = None
        self._rest = b""
        self._consuming = False
        self._paused = False
        self._stopped = False
        self._unread = False
        self._half_closed = False
        self._switched = False
        self._since = door.seconds()
        self._progress = (0, 0)

    # What the transport calls.

    def makeConnection(self, transport: Any) -> None:
        """
        Begin to wait for the first request.
        """
        self.transport = transport
        self.arrival = self.door.arrival(transport)
        self.door.channels.add(self)

    def connectionLost(self, reason: Failure) -> None:
        """
        The client is gone: whoever works for it stops.
        """
        self.door.channels.discard(self)
        self._lose()

    def readConnectionLost(self) -> None:
        """
        The client has closed its side; what it asked whole is still answered.
        """
        self._half_closed = True
        self._since = self.door.seconds()
        self._end_if_nothing_is_owed()

    def _end_if_nothing_is_owed(self) -> None:
        """
        Look whether anything is, now that the client sends nothing more.
        """
        current = self._current
        if current is not None and current is self._reading:
            begun = current.sent
            self._lose()
            if begun:
                # To HTTP/1.0 a clean end could be the end of the answer.
                self.transport.abortConnection()
            else:
                self._end()
        elif current is None and not self._rest and not self._deaf:
            self._end()

    def writeConnectionLost(self) -> None:
        """
        Nothing is owed when our own side is closed.
        """

    def dataReceived(self, data: bytes) -> None:
        """
        Parse what came, and let the requests in it proceed.
        """
        if self._deaf:
            self._unread = True
        elif self._rest:
            self._rest += data
        else:
            self._consume(data)

    def resumeProducing(self) -> None:
        """
        All answers so far are sent: on with what waited for that.
        """
        if not self.transport.unsent():
            self.transport.unregisterProducer()
            self._go_on()

    def stopProducing(self) -> None:
        """
        Nothing: ``connectionLost`` follows.
        """

    # Requests, in order.

    def _consume(self, data: bytes) -> None:
        at, size, begun = 0, len(data), 0
        self._consuming = True
        try:
            while at < size and not self._deaf:
                if self._reading is None:
                    if self._must_wait(begun):
                        self._rest = data[at:]
                        self._hold()
                        return
                    begun += 1
                    at = self._take_head(data, at)
                    if at < size and self._expects_body():
                        continue
                else:
                    at = self._take_body(data, at)
                if at < size:
                    self._unread = self._deaf
                self._advance()
        finally:
            self._consuming = False
        if at == size and self._stopped and not self._paused:
            self._let_go()

    def _expects_body(self) -> bool:
        return self._reading is not None

    def _must_wait(self, begun: int) -> bool:
        """
        Whether the next request has to wait, and if so, see to its turn.
        """
        if self._current is not None:
            return True
        transport = self.transport
        if transport.unsent() > MAX_UNSENT:
            transport.registerProducer(self, False)
            return True
        if begun < MAX_TURN:
            return False
        transport.reactor.callLater(0, self._go_on)
        return True

    def _advance(self) -> None:
        """
        Start the request whose head has come, or pass on what came of its body.
        """
        request, self._fresh = self._fresh, None
        try:
            if request is not None:
                self._current = request
                if request.broken is not None:
                    # Known before anybody has been bothered with it.
                    request.refusal = request.refusal or request.broken
                request.start(self.door.root)
            elif self._current is not None:
                self._current.deliver()
        except Exception:
            self.log.failure("A request was left unanswered; this is a bug.")
            self._deaf = True
            self.transport.abortConnection()

    def _go_on(self) -> None:
        """
        Look at what has waited for its turn.
        """
        if self._deaf or self._consuming or self._current is not None:
            return
        rest, self._rest = self._rest, b""
        self._let_go()
        if rest:
            self._consume(rest)
        if self._half_closed:
            self._end_if_nothing_is_owed()

    def answered(self, request: Request) -> None:
        """
        The answer to *request* is written whole: the next one, or the end.
        """
        if request is not self._current:
            return
        self._current = None
        self._paused = False
        self._since = self.door.seconds()
        if not request.complete:
            self._reading = None
            self._unread = True
            self._end()
        elif not request.keep_alive or self.closing():
            # Who has not asked for the end may have sent its next request.
            self._unread = self._unread or not (self._deaf or self._half_closed)
            self._end()
        elif self._rest or self._stopped:
            self._go_on()

    def _end(self) -> None:
        """
        Close, so that what was written arrives though more came than was read.
        """
        self._deaf = True
        self._since = self.door.seconds()
        if self._rest or self._unread:
            self._rest = b""
            self.transport.linger()
        else:
            self.transport.loseConnection()

    def _lose(self) -> None:
        self._deaf = True
        self._rest = b""
        self._reading = self._fresh = None
        current, self._current = self._current, None
        if current is not None:
            current.lose(Refusal.CLIENT_CLOSED)

    # For requests.

    def pause(self, request: Request) -> None:
        """
        Stop reading *request*'s body until ``resume``.
        """
        if request is self._reading:
            self._paused = True
            self._hold()

    def resume(self, request: Request) -> None:
        """
        Read on.
        """
        if self._paused and request is self._current:
            self._paused = False
            request.moved = self.door.seconds()
            if not self._rest:
                self._let_go()

    def _hold(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.transport.pauseProducing()

    def _let_go(self) -> None:
        if self._stopped and not self._deaf:
            self._stopped = False
            self.transport.resumeProducing()

    def switch(self, request: Request) -> Raw:
        """
        Leave the connection to a tunnel: what came behind *request*, and all that
        comes, is no HTTP.
        """
        self._switched = self._deaf = True
        early, self._rest = self._rest, b""
        if self._stopped and not self._half_closed:
            self.transport.resumeProducing()
        return Raw(self.transport, self, early, self._half_closed)

    def abort(self, request: Request) -> None:
        """
        Close without a clean end: the client sees a truncation.
        """
        self._deaf = True
        self._current = None
        self.transport.abortConnection()

    def closing(self) -> bool:
        """
        Whether no further request will be taken from this connection.
        """
        return self.door.draining or (self._half_closed and not self._rest)

    # Leaving.

    def move(self, door: Door) -> None:
        """
        Belong to another port from the next request on.
        """
        self.door.channels.discard(self)
        self.door = door
        door.channels.add(self)

    def drain(self, now: float) -> None:
        """
        End where nothing is under way, and nothing has come for a moment.
        """
        quiet = now - max(self._since, self.door.drained_since)
        busy = self._deaf or self._current or self._begun or self._rest
        if not busy and quiet >= DRAIN_GRACE:
            self._end()

    # Time.

    def sweep(self, now: float) -> None:
        """
        End what has waited too long; *now* in seconds of the door's clock.
        """
        transport, current = self.transport, self._current
        if self._switched:
            # A tunnel has no time-outs but its own.
            if current is not None:
                current.sweep(now)
            return
        waited = now - self._waiting_since(now)
        if self._progress[0] or transport.lingering or transport.disconnecting:
            longest = BODY_TIMEOUT if self._progress[0] else LINGER_TIMEOUT
            if waited > longest:
                transport.abortConnection()
        elif current is not None:
            self._sweep_request(current, now, waited)
        elif self._head_since is not None:
            if now - self._head_since > HEAD_TIMEOUT:
                self._doubt(Refusal.REQUEST_TIMEOUT)
                self._advance()
        elif waited > IDLE_TIMEOUT:
            self._end()

    def _waiting_since(self, now: float) -> float:
        """
        Note what the client has taken of its answer since the last look.
        """
        sent = 0 if self._current is None else self._current.sent
        unsent: int = self.transport.unsent()
        if (unsent, sent) != self._progress:
            if unsent or self._progress[0]:
                self._since = now
            self._progress = unsent, sent
        return self._since

    def _sweep_request(self, request: Request, now: float, waited: float) -> None:
        if self._half_closed and not request.sent and waited > HALF_CLOSED_TIMEOUT:
            self.transport.abortConnection()
        elif request is self._reading and not self._paused:
            late = now - max(request.moved, self._since) > BODY_TIMEOUT
            if late and (request.received or not request.expects_continue):
                self._doubt(Refusal.REQUEST_TIMEOUT)
                request.deliver()
        request.sweep(now)


# Not as a decorator: mypyc compiles plain classes only.
classImplements(Channel, IHalfCloseableProtocol, IPullProducer)
