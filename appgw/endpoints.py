"""
Endpoints over our transports: how the rest of the code listens and connects.
"""

from __future__ import annotations

import socket
from typing import Any, Final

import attrs
from twisted.internet import error, tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from appgw.transport import (
    HANDSHAKE_TIMEOUT,
    ClientTerms,
    PlainClient,
    PlainServer,
    ServerTerms,
    TLSClient,
    TLSServer,
)

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for TCP alone."""

BACKLOG: Final = 1024


class _Mute:
    """
    Stands in for a protocol while the handshake runs.
    """

    def makeConnection(self, transport: Any) -> None:
        """
        Keep nothing: one of these serves every handshake.
        """

    def connectionLost(self, reason: Failure) -> None:
        """
        Nothing was begun, so nothing ends.
        """


_MUTE: Final = _Mute()


class _Handshakes(Factory):
    """
    What a TLS port hands out before there is a protocol.
    """

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        """
        Return the protocol that says nothing.
        """
        return _MUTE


class ServerPort(tcp.Port):
    """
    A listening socket whose connections are ours.

    Args:
        listening: bound, listening, non-blocking; the port owns it.
        factory: builds a protocol for each connection that may speak.
        tls: the terms of TLS; None for plain http.
    """

    def __init__(
        self,
        reactor: Any,
        listening: socket.socket,
        factory: Factory,
        tls: ServerTerms | None,
    ) -> None:
        interface = listening.getsockname()[0]
        shown = factory if tls is None else _Handshakes()
        super().__init__(0, shown, interface=interface, reactor=reactor)
        self._preexistingSocket = listening
        self.speaking = factory
        self.tls: Any = tls
        self.transport = PlainServer if tls is None else TLSServer
        self.handshaking: dict[TLSServer, float] = {}

    def sweep(self, now: float) -> None:
        """
        End the handshakes whose time is up; *now* in reactor seconds.
        """
        late = []
        for transport, deadline in self.handshaking.items():
            if deadline > now:
                break
            late.append(transport)
        for transport in late:
            transport.abortConnection()


@implementer(IStreamServerEndpoint)
@attrs.frozen(eq=False)
class ServerEndpoint:
    """
    Serves one listening socket.

    Args:
        listening: a bound and listening socket.
        tls: the terms of TLS; None for plain http.
    """

    reactor: Any
    listening: socket.socket
    tls: ServerTerms | None = None

    def listen(self, protocolFactory: Factory) -> Deferred[ServerPort]:
        """
        Begin to accept; fires at once with the port.
        """
        port = ServerPort(self.reactor, self.listening, protocolFactory, self.tls)
        port.startListening()
        return succeed(port)


class _Dialer(tcp.Connector):
    """
    One attempt to connect, its time-outs included.
    """

    terms: Any = None

    def _makeTransport(self) -> Any:
        kind = PlainClient if self.terms is None else TLSClient
        return kind(self.host, self.port, self.bindAddress, self, self.reactor)

    def await_handshake(self, transport: TLSClient) -> None:
        """
        Give the handshake its own time once TCP is connected.
        """
        self.cancelTimeout()
        late = error.TimeoutError(string="the TLS handshake took too long")
        self.timeoutID = self.reactor.callLater(
            HANDSHAKE_TIMEOUT, transport.failIfNotConnected, late
        )


class _Attempt(ClientFactory):
    """
    Turns the outcome of an attempt into a Deferred.
    """

    noisy = False

    def __init__(self, factory: Factory) -> None:
        self.inner = factory
        self.outcome: Deferred[Any] = Deferred(self._cancel)
        self.connector: Any = None

    def _cancel(self, outcome: Deferred[Any]) -> None:
        self.connector.stopConnecting()

    def buildProtocol(self, addr: Any) -> Any:
        """
        Build the inner protocol; it is handed out once it is connected.
        """
        protocol = self.inner.buildProtocol(addr)
        if protocol is not None:
            self.connector.reactor.callLater(0, self._hand_out, protocol)
        return protocol

    def _hand_out(self, protocol: Any) -> None:
        if not self.outcome.called:
            self.outcome.callback(protocol)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """
        Hand out why there is no connection.
        """
        if not self.outcome.called:
            self.outcome.errback(reason)


@implementer(IStreamClientEndpoint)
@attrs.frozen(eq=False)
class ClientEndpoint:
    """
    Connects to one IP address.

    Args:
        address: an IP address, without brackets.
        terms: who decides on trust; None for plain TCP.
    """

    reactor: Any
    address: str
    port: int
    terms: ClientTerms | None = None

    def connect(self, protocolFactory: Factory) -> Deferred[Any]:
        """
        Fire with the protocol once a byte may be sent, or fail.
        """
        attempt = _Attempt(protocolFactory)
        dialer = _Dialer(
            self.address, self.port, attempt, CONNECT_TIMEOUT, None, self.reactor
        )
        dialer.terms = self.terms
        attempt.connector = dialer
        dialer.connect()
        return attempt.outcome
