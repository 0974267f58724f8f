"""
Endpoints over our transports: how the rest of the code listens and connects.
"""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

import attrs
from OpenSSL import SSL
from twisted.internet import error, tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from appgw.introduction import Introduction
from appgw.transport import PlainClient, PlainServer, TLSClient, TLSServer

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for TCP alone."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds, on either side, a PROXY header before it included."""


class ServerTerms(Protocol):
    """
    What a port asks of whoever decides on TLS for its clients.

    Attributes:
        curious: what clients begin with is kept.
    """

    curious: bool

    def context(self) -> SSL.Context:
        """
        The context to begin a handshake with.
        """

    def established(self, connection: SSL.Connection) -> Any:
        """
        Judge a finished handshake: the facts of it, or an exception.
        """

    def refused(self, error: Exception) -> bytes:
        """
        Note a failed handshake; plain text to answer it with, or nothing.
        """


class ProxyTerms(Protocol):
    """
    What a port with PROXY protocol asks of whoever decides on trust.
    """

    def trusts(self, address: str) -> bool:
        """
        Tell whether who connects from there may say whose connection it is.
        """

    def refused(self, why: str, address: str) -> None:
        """
        Note a connection that was ended: ``untrusted``, ``malformed``, ``late``
        or ``unfinished``.
        """


class ClientTerms(Protocol):
    """
    What a connection to a backend asks of whoever decides on trust.
    """

    context: SSL.Context

    def prepare(self, connection: SSL.Connection) -> None:
        """
        Set what is the connection's own, such as the SNI.
        """

    def admit(self, connection: SSL.Connection) -> Any:
        """
        Judge the peer after its handshake: a verdict, or an exception.
        """

    def failure(self, connection: SSL.Connection, error: Exception) -> Exception:
        """
        Say why a handshake failed.
        """


class _Mute:
    """
    Stands in for a protocol while the handshake runs, or a header is awaited.
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
    What a port hands out before there is a protocol.
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
        proxies: each connection is a proxy's and begins with a PROXY header;
            None: it is the client's own.
    """

    reactor: Any

    def __init__(
        self,
        reactor: Any,
        listening: socket.socket,
        factory: Factory,
        tls: ServerTerms | None,
        proxies: ProxyTerms | None = None,
    ) -> None:
        interface = listening.getsockname()[0]
        shown = factory if tls is None and proxies is None else _Handshakes()
        kind: Any = Introduction
        if proxies is None:
            kind = PlainServer if tls is None else TLSServer
        super().__init__(0, shown, interface=interface, reactor=reactor)
        self._preexistingSocket = listening
        self.speaking = factory
        self.tls: Any = tls
        self.proxies: Any = proxies
        self.transport = kind
        self.handshaking: dict[TLSServer | Introduction, float] = {}

    def began(self, transport: TLSServer | Introduction) -> None:
        """
        Note a handshake that begins.
        """
        self.handshaking[transport] = self.reactor.seconds() + HANDSHAKE_TIMEOUT

    def settled(self, transport: TLSServer | Introduction) -> None:
        """
        Forget a handshake that is over.
        """
        self.handshaking.pop(transport, None)

    def sweep(self, now: float) -> None:
        """
        End the handshakes whose time is up; *now* in reactor seconds.
        """
        late = [one for one, deadline in self.handshaking.items() if deadline <= now]
        for transport in late:
            transport.give_up()


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

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
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
    handshake_timeout = HANDSHAKE_TIMEOUT

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
            self.handshake_timeout, transport.failIfNotConnected, late
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
        dialer = self.connector
        outcome.errback(error.ConnectingCancelledError(dialer.getDestination()))
        if dialer.state == "connecting":
            dialer.stopConnecting()
        elif dialer.state == "connected":
            # In the moment before it would have been handed out.
            dialer.transport.abortConnection()

    def buildProtocol(self, addr: Any) -> Any:
        """
        Build the inner protocol; it is handed out once it is connected.
        """
        try:
            protocol = self.inner.buildProtocol(addr)
        except Exception:
            protocol = None
            self.outcome.errback()
        if protocol is not None:
            self.connector.reactor.callLater(0, self._hand_out, protocol)
        elif not self.outcome.called:
            self.outcome.errback(error.NoProtocol())
        # Twisted closes a connection that has no protocol.
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
        connect_timeout, handshake_timeout: seconds.
    """

    reactor: Any
    address: str
    port: int
    terms: ClientTerms | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    handshake_timeout: float = HANDSHAKE_TIMEOUT

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        Fire with the protocol once a byte may be sent, or fail.
        """
        attempt = _Attempt(protocolFactory)
        dialer = _Dialer(
            self.address,
            self.port,
            attempt,
            self.connect_timeout,
            None,
            self.reactor,
        )
        dialer.terms = self.terms
        dialer.handshake_timeout = self.handshake_timeout
        attempt.connector = dialer
        dialer.connect()
        return attempt.outcome
