"""
A connection on which HTTP is over: bytes, and an end of each direction by itself.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import classImplements


class Hearer(Protocol):
    """
    Who is told of what comes.
    """

    def received(self, end: Raw, data: bytes) -> None:
        """
        More bytes are there.
        """

    def ended(self, end: Raw) -> None:
        """
        The peer has said everything; it may go on listening.
        """


class Raw:
    """
    Stands in the place of the protocol that spoke HTTP, which is still told when
    the connection is gone.

    Args:
        was: that protocol.
        early: what came before there was anybody to hear it.
        ended: the peer has said everything already.

    Attributes:
        hearer: set before the reactor's next turn.
        gone: there is no connection any more.
    """

    hearer: Hearer

    def __init__(
        self, transport: Any, was: Any, early: bytes = b"", ended: bool = False
    ) -> None:
        self.transport = transport
        self.was = was
        self.early = early
        self.ended = ended
        self.gone = False
        transport.protocol = self

    # What the transport calls.

    def dataReceived(self, data: bytes) -> None:
        """
        Pass it on.
        """
        self.hearer.received(self, data)

    def readConnectionLost(self) -> None:
        """
        The peer has closed its side.
        """
        self.ended = True
        self.hearer.ended(self)

    def writeConnectionLost(self) -> None:
        """
        Nothing: we have closed ours.
        """

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone.
        """
        self.gone = True
        self.was.connectionLost(reason)

    # For the hearer.

    def listen_to(self, other: Raw) -> None:
        """
        Let *other* be read from only as fast as this peer takes it.
        """
        self.transport.registerProducer(other, True)

    def write(self, data: bytes) -> None:
        """
        Send *data*, never empty.
        """
        self.transport.write(data)

    def unsent(self) -> int:
        """
        Return how many bytes the peer has not taken.
        """
        waiting: int = self.transport.unsent()
        return waiting

    def finish(self) -> None:
        """
        Close our side once everything that was written has left.
        """
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """
        Close both sides once everything that was written has left.
        """
        self.ended = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    @property
    def hung_up(self) -> bool:
        """
        Whether the peer has ended TCP in order, and said nothing to TLS.
        """
        ended: bool = self.transport.hung_up
        return ended

    def hang_up(self) -> None:
        """
        End likewise once everything that was written has left; hear nothing more.
        """
        self.ended = True
        self.transport.unregisterProducer()
        self.transport.hang_up()

    def flush(self) -> None:
        """
        Send now what waits for the end of the turn.
        """
        self.transport.flush()

    # For the transport at the other end.

    def pauseProducing(self) -> None:
        """
        Read no more until ``resumeProducing``.
        """
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Read on, unless everything was read.
        """
        if not self.ended:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        Nothing: whoever lost its connection is told so by itself.
        """


# Not as a decorator: mypyc compiles plain classes only.
classImplements(Raw, IHalfCloseableProtocol, IPushProducer)
