"""
Plain TCP that writes at once: the half of a transport below TLS.

With ``appgw.transport`` and ``appgw.introduction`` the only file that touches
Twisted's descriptors. What stands here goes before ``tcp.Server`` or
``tcp.Client``, whose buffers and producers stay as they are. ``connectionLost``
never runs inside ``write``, and of several errors the first one is told.
"""

from __future__ import annotations

import socket
from collections.abc import Container
from typing import Any, Final

from twisted.internet import main, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

READS: Final = 8
"""Pieces taken off a socket before other connections get their turn."""

MOST_HELD: Final = 16384
"""Bytes that may wait for the end of a turn: a TLS record's."""


class Immediate(tcp.Connection):
    """
    Writes what the socket takes without waiting for its readiness, and lingers
    before it closes.

    In a turn of our ``Poller`` small pieces are held back until everybody has
    been read from, and then leave as one; elsewhere they leave at once.

    ``linger`` ends a connection whose peer may still be sending: the answer
    is flushed, the way out closed, and what still comes in discarded, so
    that no reset overtakes the answer (RFC 9112, 9.6).

    Attributes:
        held: what leaves at the end of the turn.
        hung_up: the peer has ended TCP in order, and said nothing to TLS.
    """

    reactor: Any
    failed: Exception | None = None
    held = b""
    lingering = hung_up = False
    _clean = _silent = False
    _asking = False

    def write(self, data: bytes) -> None:
        """
        Send *data*, queueing what the socket does not take now.
        """
        if not data or not self.connected or self.failed is not None:
            return
        if (self.disconnecting or self._writeDisconnecting) and (
            # As Twisted promises, a producer may finish before the end.
            self.producer is None or self._writeDisconnected
        ):
            return
        if self._tempDataLen or self.offset != len(self.dataBuffer):
            FileDescriptor.write(self, data)
        elif self.held:
            self.held += data
            if len(self.held) > MOST_HELD and not self._asking:
                self.flush()
        elif len(data) > MOST_HELD or not self.holding():
            self._send(data)
        else:
            self.held = data
            self.reactor.turn.append(self)

    def holding(self) -> bool:
        """
        Tell whether a small piece that is written now is held back.
        """
        return getattr(self.reactor, "turn", None) is not None

    def ask(self, data: bytes) -> None:
        """
        Write a whole request to somebody who is silent, while ``holding``.

        What has come by the time that it would leave is no answer to it: the
        protocol is told of that as ever while the request is still in ``held``,
        and none of it leaves if the connection ends then.
        """
        self.held = data
        self._asking = True
        self.reactor.turn.append(self)

    def leave(self, ready: Container[int]) -> None:
        """
        Send what was held back.

        Args:
            ready: descriptors where something may lie to be read.
        """
        if self._asking:
            asks = self.held and self.fileno() in ready
            if asks and not (self.quiet() or self.poll()):
                return
            self._asking = False
        self.flush()

    def flush(self) -> None:
        """
        Send what is held back, without waiting for the end of the turn.
        """
        held, self.held = self.held, b""
        if held and self.connected and self.failed is None:
            self._send(held)

    def _send(self, data: bytes) -> None:
        sent: Any = self.writeSomeData(data)
        if sent.__class__ is not int:
            self._fail(sent)
        elif sent < len(data):
            FileDescriptor.write(self, data[sent:])
        elif self.producer is not None and not self.streamingProducer:
            # A pull producer is asked for more from doWrite only.
            self.startWriting()

    def writeSequence(self, iovec: Any) -> None:
        """
        Send all of *iovec* as one piece.
        """
        self.write(b"".join(iovec))

    def doWrite(self) -> Exception | None:
        """
        Flush the queue, unless the connection has failed or ended already.
        """
        if self.failed is not None or self.disconnected:
            return self.failed
        result: Exception | None = FileDescriptor.doWrite(self)
        return result

    def abortConnection(self) -> None:
        """
        Close with a reset; nothing that is written after this leaves.
        """
        self.failed = self.failed or ConnectionAborted()
        self.held = b""
        super().abortConnection()

    def loseConnection(self) -> None:
        """
        Close once everything that was written has left.
        """
        self.flush()
        super().loseConnection()

    def loseWriteConnection(self) -> None:
        """
        Close the way out once everything that was written has left.
        """
        self.flush()
        super().loseWriteConnection()

    def startTLS(self, ctx: Any, normal: Any = True) -> None:
        """
        Refuse: what is spoken here was settled with the connection.
        """
        raise RuntimeError("this transport does not change what it speaks")

    def unsent(self) -> int:
        """
        Return how many bytes wait for the socket, or for the end of the turn.
        """
        waiting = self._tempDataLen + len(self.dataBuffer) - self.offset
        return waiting + len(self.held)

    def quiet(self) -> bool:
        """
        Tell whether the connection goes on and nothing lies there to be read.

        A third of the price of ``poll``, which tells what it is otherwise.
        """
        if not self.connected or self.failed is not None:
            return False
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def poll(self) -> bool:
        """
        Read now what has come already, as the reactor would in its turn.

        Returns:
            Whether the connection goes on.
        """
        if not self.connected or self.failed is not None:
            return False
        result = self.doRead()
        if result is main.CONNECTION_DONE:
            self.reactor.callLater(0, self._end)
        elif result is not None:
            self._fail(result)
        return result is None and self.failed is None

    def _fail(self, error: Exception) -> None:
        self.failed = self.failed or error
        self.reactor.callLater(0, self._end)

    def _end(self) -> None:
        """
        Do what a reactor does with the result of doRead: lost, or half closed.
        """
        if self.disconnected:
            return
        self.stopReading()
        if self.failed is None:
            self.readConnectionLost(Failure(main.CONNECTION_DONE))
        else:
            self.connectionLost(Failure(self.failed))

    def readConnectionLost(self, reason: Failure) -> None:
        """
        Tell the protocol that its peer is done, if the peer has said so.

        A reactor takes any hang-up for that, and a reset may look like one.
        """
        if self.disconnected:
            return
        if self._clean:
            super().readConnectionLost(reason)
        else:
            self.connectionLost(Failure(main.CONNECTION_LOST))

    def connectionLost(self, reason: Failure) -> None:
        """
        Tell the protocol, which may look at what is held back; none of it leaves.
        """
        super().connectionLost(reason)
        self.held = b""

    def linger(self) -> None:
        """
        Flush, half-close, then discard until the peer closes too.

        Whoever calls this bounds the wait with ``abortConnection``.
        """
        if not self.connected or self.disconnecting or self.lingering:
            return
        self.lingering = True
        self.startReading()
        self.loseWriteConnection()

    def hang_up(self) -> None:
        """
        Close once everything that was written has left, and say nothing to TLS;
        linger if the peer may still be sending.
        """
        self._silent = True
        if self._clean:
            self.loseConnection()
        else:
            self.linger()

    def _discard(self) -> Exception | None:
        try:
            for _ in range(READS):
                if not self.socket.recv(65536):
                    return self._discarded()
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        return None

    def _discarded(self) -> Exception | None:
        if self._writeDisconnected:
            return main.CONNECTION_LOST
        # The peer sends no more and may still read: flush, then close.
        self.loseConnection()
        return None


class Plain(Immediate):
    """
    The half in clear text, mixed in before ``tcp.Server`` or ``tcp.Client``.
    """

    def doRead(self) -> Exception | None:
        """
        Hand what has come to the protocol.
        """
        if self.lingering:
            return self._discard()
        result: Exception | None = tcp.Connection.doRead(self)
        return result

    def _dataReceived(self, data: bytes) -> Exception | None:
        if not data:
            self._clean = True
            return main.CONNECTION_DONE
        self.protocol.dataReceived(data)
        return self.failed
