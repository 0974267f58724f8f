"""
A relay that knows TLS's records, and cuts a connection before one of them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

HEADER = 5


class _Side(Protocol):
    """
    One side of a relayed connection.
    """

    def __init__(self, relay: Relay, peer: _Side | None = None) -> None:
        self.relay = relay
        self.peer = peer
        self.waiting = b""
        self.passed = 0
        if peer is not None:
            peer.peer = self

    @property
    def limit(self) -> int | None:
        """
        How many records of this side are passed on.
        """
        relay = self.relay
        return relay.of_backend if self in relay.backends else relay.of_gateway

    def connectionMade(self) -> None:
        """
        Connect to the backend, if this is the gateway.
        """
        self.relay.live.append(self)
        if self.peer is not None:
            self.relay.backends.append(self)
            self.peer.pass_on()
            return
        self.transport.setTcpNoDelay(True)
        to = TCP4ClientEndpoint(reactor, "127.0.0.1", self.relay.port_behind)
        side = _Side(self.relay, self)
        factory = Factory.forProtocol(lambda: side)
        factory.noisy = False
        to.connect(factory).addErrback(lambda _: self.transport.abortConnection())

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it until it makes whole records.
        """
        self.waiting += data
        self.pass_on()

    def pass_on(self) -> None:
        """
        Pass on the whole records that there are, up to the one to cut before.
        """
        peer = self.peer
        if peer is None or peer.transport is None:
            return
        while len(self.waiting) >= HEADER:
            end = HEADER + int.from_bytes(self.waiting[3:HEADER], "big")
            if len(self.waiting) < end:
                return
            if self.limit is not None and self.passed >= self.limit:
                self.transport.abortConnection()
                peer.transport.abortConnection()
                return
            self.passed += 1
            peer.transport.write(self.waiting[:end])
            self.waiting = self.waiting[end:]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End the other side, too.
        """
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.loseConnection()


class Relay(Factory):
    """
    Stands between a gateway and a backend.

    Attributes:
        of_backend, of_gateway: how many records of each are passed on; None: all.
    """

    noisy = False

    def __init__(self, test: TestCase, port_behind: int) -> None:
        self.port_behind = port_behind
        self.of_backend: int | None = None
        self.of_gateway: int | None = None
        self.live: list[_Side] = []
        self.backends: list[_Side] = []
        port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port: int = port.getHost().port

        async def stop() -> None:
            await port.stopListening()
            for side in self.live:
                side.transport.abortConnection()

        test.addCleanup(lambda: Deferred.fromCoroutine(stop()))

    def buildProtocol(self, addr: Any) -> Any:
        """
        Take a connection of the gateway's.
        """
        return _Side(self)
