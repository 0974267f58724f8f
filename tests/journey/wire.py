"""
Both ends of a connection as tests hold them: every byte is kept, and what is
waited for is a fact, never an amount of time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import h11
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

Fields = list[tuple[bytes, bytes]]


class Truncated(Exception):  # noqa: N818 - says what happened
    """
    The connection ended before the message did.
    """


@attrs.define
class Message:
    """
    A request or an answer as h11 has read it.
    """

    method: bytes = b""
    target: bytes = b""
    status: int = 0
    reason: bytes = b""
    headers: Fields = attrs.field(factory=list)
    body: bytes = b""
    trailers: Fields = attrs.field(factory=list)
    interim: list[Message] = attrs.field(factory=list)

    def get(self, name: bytes) -> list[bytes]:
        """
        Return the values of *name*, in lower case.
        """
        return [value for field, value in self.headers if field == name]


class Wire(Protocol):
    """
    One end of a connection; ``unread`` is what nobody has asked for yet.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.unread = b""
        self.lost: Failure | None = None
        self._waiting: list[Deferred[None]] = []

    def connectionMade(self) -> None:
        """
        Let no small write wait for an acknowledgement.
        """
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it, and let those who wait look again.
        """
        self.received += data
        self.unread += data
        self._stir()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Keep why.
        """
        self.lost = reason
        self._stir()

    def _stir(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def until(self, true: Callable[[], Any]) -> None:
        """
        Wait until *true* is; raise Truncated if it cannot become so any more.
        """
        while not true():
            if self.lost is not None:
                raise Truncated(bytes(self.received[-200:]))
            await self.stirred()

    async def stirred(self) -> None:
        """
        Wait until something comes, or the connection ends.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting

    async def ended(self) -> bool:
        """
        Wait for the end; tell whether it was a clean one.
        """
        while self.lost is None:
            await self.stirred()
        return self.clean

    @property
    def clean(self) -> bool:
        """
        The other end has closed in the way that its protocol foresees.
        """
        return self.lost is not None and self.lost.check(ConnectionDone) is not None

    async def upto(self, mark: bytes) -> bytes:
        """
        Wait for *mark* and take everything up to its end.
        """
        await self.until(lambda: mark in self.unread)
        found, _, self.unread = self.unread.partition(mark)
        return found + mark

    async def take(self, size: int) -> bytes:
        """
        Wait for *size* bytes and take them.
        """
        await self.until(lambda: len(self.unread) >= size)
        found, self.unread = self.unread[:size], self.unread[size:]
        return found

    def write(self, data: bytes) -> None:
        """
        Send *data*.
        """
        self.transport.write(data)

    def close(self) -> None:
        """
        End in the way that the protocol foresees.
        """
        self.transport.loseConnection()

    def reset(self) -> None:
        """
        End with a reset, if it has not ended.
        """
        if self.lost is None:
            self.transport.abortConnection()

    def hang_up(self) -> None:
        """
        End TCP, and say nothing to TLS.
        """
        self.transport.transport.loseConnection()

    async def _message(self, parser: h11.Connection) -> Message:
        """
        Let *parser* read until the end of a message.
        """
        message = Message()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                if not self.unread and self.lost is None:
                    await self.stirred()
                if not self.unread and self.lost is not None and not self.clean:
                    raise Truncated(message)
                data, self.unread = self.unread, b""
                try:
                    parser.receive_data(data)
                    if not data:
                        event = parser.next_event()
                except h11.RemoteProtocolError as error:
                    if self.lost is not None:
                        raise Truncated(message) from error
                    raise
                if not data and isinstance(event, h11.ConnectionClosed):
                    raise Truncated(message)
            if event is not h11.NEED_DATA and _took(message, event):
                self.unread = parser.trailing_data[0] + self.unread
                return message


def _took(message: Message, event: Any) -> bool:
    """
    Put *event* into *message*; tell whether it was the last.
    """
    if isinstance(event, h11.InformationalResponse):
        message.interim.append(
            Message(status=event.status_code, headers=list(event.headers))
        )
    elif isinstance(event, h11.Response):
        message.status, message.reason = event.status_code, event.reason
        message.headers = list(event.headers)
    elif isinstance(event, h11.Request):
        message.method, message.target = event.method, event.target
        message.headers = list(event.headers)
    elif isinstance(event, h11.Data):
        message.body += event.data
    elif isinstance(event, h11.EndOfMessage):
        message.trailers = list(event.headers)
        return True
    return False


class Client(Wire):
    """
    A client of the gateway.
    """

    async def answer(self, method: bytes = b"GET") -> Message:
        """
        Read the answer to a request of *method*.

        Raises:
            Truncated: it did not come, or not all of it.
        """
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        parser.send(h11.Request(method=method, target=b"/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        return await self._message(parser)

    async def ask(self, wire: bytes) -> Message:
        """
        Send *wire* and read the answer to it.
        """
        self.write(wire)
        return await self.answer(wire.partition(b" ")[0])


class Conversation(Wire):
    """
    A backend's end of one connection.
    """

    async def request(self) -> Message:
        """
        Read a whole request.
        """
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        return await self._message(parser)

    async def head(self) -> bytes:
        """
        Read a request's head.
        """
        return await self.upto(b"\r\n\r\n")


End = Callable[[Conversation], None]
ENDS: tuple[End, ...] = (
    Conversation.close,
    Conversation.reset,
    Conversation.hang_up,
)
"""How a backend may end a connection."""
