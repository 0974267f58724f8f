"""
A TLS backend on loopback that remembers all, and a client in a hurry.
"""

from __future__ import annotations

import contextlib

import attrs
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions
from appgw.config.model import Pin
from appgw.testing import Issued, ServerTLS

SECRET = b"GET /secret HTTP/1.1\r\nHost: a.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Recording(Protocol):
    """
    Answers what it takes for a request, and keeps every byte.
    """

    factory: Backend

    def connectionMade(self) -> None:
        """
        Be there to be closed.
        """
        self.factory.live.append(self)

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it; answer at the end of a request.
        """
        self.factory.received.append(data)
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Keep why, and tell those who wait.
        """
        self.factory.lost.append(reason.value)
        waiting, self.factory.waiting = self.factory.waiting, []
        for each in waiting:
            each.callback(None)


class Backend(Factory):
    """
    Listens on loopback until the test is over.
    """

    protocol = Recording
    noisy = False

    def __init__(self, test: TestCase, context: SSL.Context) -> None:
        self.received: list[bytes] = []
        self.live: list[Recording] = []
        self.lost: list[BaseException] = []
        self.waiting: list[Deferred[None]] = []
        port = reactor.listenSSL(0, self, ServerTLS(context), interface="127.0.0.1")
        test.addCleanup(port.stopListening)
        self.port = port.getHost().port

    async def ended(self, connections: int = 1) -> None:
        """
        Wait until so many connections have been lost.
        """
        while len(self.lost) < connections:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting


class Hasty(Protocol):
    """
    Writes its request at once, long before any handshake is over.
    """

    def __init__(self) -> None:
        self.received = b""
        self.answered: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """
        Do not wait.
        """
        self.transport.write(SECRET)
        self.transport.write(SECRET)

    def dataReceived(self, data: bytes) -> None:
        """
        Close at the end of the answer.
        """
        self.received += data
        if self.received.endswith(b"hello"):
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Give what came, or why nothing did.
        """
        if self.received.endswith(b"hello"):
            self.answered.callback(self.received)
        else:
            self.answered.errback(reason)


async def hurry(port: int, options: IOpenSSLClientConnectionCreator) -> bytes:
    """
    Send the secret through Twisted's own TLS; raise what ended the connection.
    """
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    wrapped = wrapClientTLS(options, endpoint)
    hasty = await wrapped.connect(Factory.forProtocol(Hasty))
    return await hasty.answered


@attrs.frozen
class Pair:
    """
    Both ends of a connection in memory, for what no socket shows.
    """

    client: SSL.Connection
    server: SSL.Connection

    @classmethod
    def of(cls, options: PinnedClientTLSOptions, context: SSL.Context) -> Pair:
        """
        Make both ends, before the handshake.
        """
        client = SSL.Connection(options.context, None)
        options.prepare(client)
        server = SSL.Connection(context, None)
        server.set_accept_state()
        return cls(client, server)

    def carry(self) -> bool:
        """
        Carry what lies in the memory to the other end; tell if there was any.
        """
        moved = False
        ways = ((self.client, self.server), (self.server, self.client))
        for source, sink in ways:
            with contextlib.suppress(SSL.WantReadError):
                sink.bio_write(source.bio_read(1 << 20))
                moved = True
        return moved

    def disguised(self, leaf: Issued, as_leaf: Issued) -> None:
        """
        Shake hands up to the server's first flight, and put another certificate
        of the same size in the place of its own.
        """
        for end in (self.client, self.server):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            if end is self.client:
                self.carry()
        flight = self.server.bio_read(1 << 16)
        assert leaf.der in flight
        self.client.bio_write(flight.replace(leaf.der, as_leaf.der))

    def shake(self) -> SSL.Error | None:
        """
        Shake hands until nothing moves; return what the client was told.
        """
        told = None
        moved = True
        while moved:
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    pass
                except SSL.Error as error:
                    told = told or (error if end is self.client else None)
            moved = self.carry()
        return told


def pin(issued: Issued, **more: object) -> Pin:
    """
    Pin a leaf.
    """
    return Pin(name="leaf", sha256=bytes.fromhex(issued.sha256), **more)


def key_pin(issued: Issued) -> Pin:
    """
    Pin a key.
    """
    return Pin(name="key", spki_sha256=bytes.fromhex(issued.spki_sha256))


def target(*pins: Pin, **more: object) -> Target:
    """
    Make a target on loopback: any of these pins, or what else is said.
    """
    more.setdefault("pins", pins)
    more.setdefault("name", "a.example")
    return Target(address="127.0.0.1", port=443, **more)
