"""
Plain TCP that writes at once: the half of a transport below TLS.

With ``appgw.transport`` the only file that touches Twisted's descriptors. What
stands here goes before ``tcp.Server`` or ``tcp.Client``, whose buffers and
producers stay as they are. ``connectionLost`` never runs inside ``write``, and
of several errors the first one is told.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet import main, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

READS: Final = 8
"""Pieces taken off a socket before other connections get their turn."""


class Immediate(tcp.Connection):
    """
    Writes at once what the socket takes, and lingers before it closes.

    ``linger`` ends a connection whose peer may still be sending: the answer
    is flushed, the way out closed, and what still comes in discarded, so
    that no reset overtakes the answer (RFC 9112, 9.6).
    """

    reactor: Any
    failed: Exception | None = None
    lingering = False
    _clean = False

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
        if not self._tempDataLen and self.offset == len(self.dataBuffer):
            sent: Any = self.writeSomeData(data)
            if sent.__class__ is not int:
                self._fail(sent)
                return
            if sent == len(data):
                # A pull producer is asked for more from doWrite only.
                if self.producer is not None and not self.streamingProducer:
                    self.startWriting()
                return
            if sent:
                data = memoryview(data)[sent:].tobytes()
        FileDescriptor.write(self, data)

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
        super().abortConnection()

    def startTLS(self, ctx: Any, normal: Any = True) -> None:
        """
        Refuse: what is spoken here was settled with the connection.
        """
        raise RuntimeError("this transport does not change what it speaks")

    def unsent(self) -> int:
        """
        Return how many bytes wait for the socket.
        """
        return self._tempDataLen + len(self.dataBuffer) - self.offset

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
