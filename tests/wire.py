"""
Ports on loopback, protocols that remember, and peers in threads.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from appgw.endpoints import ServerPort
from appgw.listen.sockets import bind
from appgw.listen.tls import PortTLS
from appgw.poller import poller
from appgw.testing import Issued, make_certificate
from tests.sites import name_of, port_of, site

PATIENCE = 15.0
"""Seconds after which a peer in a thread gives up, so that no run hangs."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() reset the connection."""


class Talker:
    """
    Remembers all that its connection tells.
    """

    def __init__(self) -> None:
        self.transport: Any = None
        self.received = b""
        self.lost: list[BaseException] = []
        self.at_loss: list[object] = []
        self.writing = False

    def makeConnection(self, transport: Any) -> None:
        """
        Keep the transport.
        """
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the data.
        """
        self.received += data

    def connectionLost(self, reason: Failure) -> None:
        """
        Keep why, and what was left of TLS then.
        """
        assert not self.writing, "connectionLost inside write"
        self.lost.append(reason.value)
        self.at_loss.append(getattr(self.transport, "tls", None))


class Echo(Talker):
    """
    Gives everything back, and reads no faster than that goes.
    """

    highest = 0
    total = 0

    def makeConnection(self, transport: Any) -> None:
        """
        Let the way out hold up the way in.
        """
        super().makeConnection(transport)
        transport.registerProducer(transport, True)

    def dataReceived(self, data: bytes) -> None:
        """
        Give it back; note how much has queued.
        """
        self.total += len(data)
        self.transport.write(data)
        self.highest = max(self.highest, self.transport.unsent())


@implementer(IHalfCloseableProtocol)
class HalfClosed(Talker):
    """
    Goes on when its peer has sent everything.
    """

    ended = 0
    closed_ours = 0

    def readConnectionLost(self) -> None:
        """
        Count it.
        """
        self.ended += 1

    def writeConnectionLost(self) -> None:
        """
        Count it.
        """
        self.closed_ours += 1


class Talkers(Factory):
    """
    Makes them, and keeps them in order.
    """

    noisy = False

    def __init__(self, kind: Callable[[], Any] = Talker) -> None:
        self.kind = kind
        self.made: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        """
        Make one more.
        """
        self.made.append(self.kind())
        return self.made[-1]


def terms(*issued: Issued, failed: Callable[[], None] = lambda: None) -> PortTLS:
    """
    Make the terms of a port: each certificate for its own name, else the first.
    """
    held = issued or (make_certificate(["a.example"]),)
    return port_of({name_of(one): site(one) for one in held}, failed)


def trusting(**more: Any) -> ssl.SSLContext:
    """
    Make a peer's context that believes everybody.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Debian 12's Python takes a mere end for a clean one unless told otherwise.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    for name, value in more.items():
        setattr(context, name, value)
    return context


def dial(
    port: int,
    context: ssl.SSLContext | None = None,
    name: str | None = "a.example",
    session: ssl.SSLSession | None = None,
) -> Any:
    """
    Connect a blocking peer, in the thread that calls; no context, no TLS.
    """
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    if context is None:
        return connection
    with closing_on_error(connection):
        return context.wrap_socket(
            connection,
            server_hostname=name,
            session=session,
            suppress_ragged_eofs=False,
        )


@contextlib.contextmanager
def closing_on_error(connection: socket.socket) -> Any:
    """
    Leave no socket behind.
    """
    try:
        yield
    except BaseException:
        connection.close()
        raise


def read_all(peer: Any) -> bytes:
    """
    Read until the clean end.
    """
    pieces = []
    while data := peer.recv(1 << 20):
        pieces.append(data)
    return b"".join(pieces)


def reset(peer: Any) -> None:
    """
    Close with a reset.
    """
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.close()


class WireTestCase(TestCase):
    """
    A port of ours, and peers who live in threads.
    """

    timeout = 30
    talkers: Talkers

    def reactor(self) -> Any:
        """
        Return what our transports take for their reactor.
        """
        return reactor

    def serve(self, kind: Callable[[], Any], tls: Any = None) -> int:
        """
        Serve protocols of *kind* until the test is over; return the port.
        """
        self.talkers = Talkers(kind)
        return self.open(self.talkers, tls)

    def open(
        self,
        factory: Factory,
        tls: Any = None,
        proxies: Any = None,
        address: str = "127.0.0.1",
    ) -> int:
        """
        Serve what *factory* makes until the test is over; return the port.
        """
        listening = bind(address, 0)
        self.port = ServerPort(self.reactor(), listening, factory, tls, proxies)
        self.port.startListening()
        self.addCleanup(self._stop, self.port)
        return int(listening.getsockname()[1])

    async def _stop(self, port: ServerPort) -> None:
        await maybeDeferred(port.stopListening)
        for transport in list(port.handshaking):
            transport.abortConnection()
        for talker in self.talkers.made:
            if talker.transport is not None:
                talker.transport.abortConnection()
        await self.until(
            lambda: (
                not port.handshaking
                and all(one.lost or one.transport is None for one in self.talkers.made)
            )
        )

    async def until(self, condition: Callable[[], Any]) -> None:
        """
        Let the reactor turn until *condition* holds.
        """
        while not condition():
            await deferLater(reactor, 0.001)

    async def told(self, talker: Any) -> BaseException:
        """
        Wait until *talker* has lost its connection, once; return why.
        """
        await self.until(lambda: talker.lost)
        await self.turns()
        (why,) = talker.lost
        return why  # type: ignore[no-any-return]

    async def turns(self, count: int = 5) -> None:
        """
        Let the reactor turn a few times.
        """
        for _ in range(count):
            await deferLater(reactor, 0)

    def peer(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Let a peer work in a thread from now on; fires with its result.
        """
        return deferToThread(work, *arguments)

    async def dialled(self, port: int, *arguments: Any) -> Any:
        """
        Connect a peer in a thread, and close it with the test.
        """
        peer = await deferToThread(dial, port, *arguments)
        self.addCleanup(peer.close)
        return peer

    async def talker(self, index: int = 0) -> Any:
        """
        Wait for a protocol of ours to be connected.
        """
        await self.until(lambda: len(self.talkers.made) > index)
        await self.until(lambda: self.talkers.made[index].transport)
        return self.talkers.made[index]


class OwnTestCase(WireTestCase):
    """
    The same in the turns of our own epoll.
    """

    def reactor(self) -> Any:
        """
        Return it.
        """
        if not hasattr(self, "_own"):
            self._own = poller(reactor)
        return self._own


class BackendTerms:
    """
    The terms of a client that a test decides on.
    """

    def __init__(self, verdict: object = "fine") -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.verdict = verdict
        self.failures: list[Exception] = []

    def prepare(self, connection: SSL.Connection) -> None:
        """
        Ask for a name.
        """
        connection.set_tlsext_host_name(b"a.example")
        connection.set_alpn_protos([b"http/1.1"])

    def admit(self, connection: SSL.Connection) -> object:
        """
        Decide as the test wants it.
        """
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    def failure(self, connection: SSL.Connection, error: Exception) -> Exception:
        """
        Keep the error, and pass it on.
        """
        self.failures.append(error)
        return error
