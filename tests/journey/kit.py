"""
A gateway between backends that follow a script and clients that send bytes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.logger import LogEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from appgw import service
from appgw.backend import kept
from appgw.config import model
from appgw.endpoints import ClientEndpoint
from appgw.record import Outcome
from appgw.testing import Issued, ServerTLS, make_certificate, server_context
from tests.journey.recorded import Clock, Recorded
from tests.journey.wire import Client, Conversation, Message, Truncated
from tests.proxying import Introducing

FRONT = make_certificate(["shop.example"])
LEAF = make_certificate(["orders.internal"], ["127.0.0.1"])
STRANGER = make_certificate(["orders.internal"], ["127.0.0.1"])
PLAIN, SECURE = "127.0.0.1", "127.0.0.2"
"""Of the two listeners: where the port is 0, the address tells them apart."""

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

_CERTIFICATE = model.Certificate(name="front", chain=FRONT.cert_pem, key=FRONT.key_pem)
_PLAIN = model.Listener(name="plain", protocol="http", address=PLAIN, port=0)
_SECURE = model.Listener(
    name="secure", protocol="https", address=SECURE, port=0, certificate="front"
)

Script = Callable[[Conversation], Awaitable[None]]


def get(path: bytes = b"/", *lines: bytes) -> bytes:
    """
    Return a GET with more field lines.
    """
    more = b"".join(line + b"\r\n" for line in lines)
    return b"GET %b HTTP/1.1\r\nHost: shop.example\r\n%b\r\n" % (path, more)


def put(body: bytes, method: bytes = b"PUT") -> bytes:
    """
    Return a request with a body.
    """
    return b"%b / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: %d\r\n\r\n%b" % (
        method,
        len(body),
        body,
    )


def answering(answer: bytes) -> Script:
    """
    Answer every request of a connection with the same bytes.
    """

    async def script(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            conversation.write(answer)

    return script


def pin(issued: Issued, name: str = "leaf", **more: Any) -> model.Pin:
    """
    Pin a leaf.
    """
    return model.Pin(name=name, sha256=bytes.fromhex(issued.sha256), **more)


class Backend(Factory):
    """
    Listens on loopback; each connection runs a script.

    Attributes:
        conversations: every connection that was accepted, in order; over TLS
            they begin with the handshake.
    """

    noisy = False

    def __init__(self, test: TestCase, script: Script) -> None:
        self.test = test
        self.script = script
        self.conversations: list[Conversation] = []
        self.seen: list[Message] = []
        self.port = 0
        self._running: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> Any:
        """
        Begin a conversation.
        """
        conversation = _Scripted(self)
        self.conversations.append(conversation)
        return conversation

    @property
    def received(self) -> bytes:
        """
        Every byte that any connection was sent.
        """
        return b"".join(bytes(one.received) for one in self.conversations)


class _Scripted(Conversation):
    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend

    def connectionMade(self) -> None:
        """
        Follow the script; what the gateway breaks off ends it.
        """
        super().connectionMade()
        running = Deferred.fromCoroutine(self._follow())
        running.addErrback(self.backend.test.broken.append)  # type: ignore[attr-defined]

    async def _follow(self) -> None:
        with contextlib.suppress(Truncated):
            await self.backend.script(self)

    async def request(self) -> Message:
        """
        Read a whole request, and keep it.
        """
        message = await super().request()
        self.backend.seen.append(message)
        return message


class JourneyTests(TestCase):
    """
    One gateway with a listener in clear text and one over TLS.
    """

    timeout = 30
    fields: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        """
        Watch the log, and what goes wrong in a backend's script.
        """
        self.broken: list[Any] = []
        self.said: list[LogEvent] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)
        self.addCleanup(lambda: self.assertEqual([], self.broken))
        self.file = Path(self.mktemp()).absolute()

    def backend(
        self,
        script: Script,
        issued: Issued | None = LEAF,
        interface: str = "127.0.0.1",
        context: SSL.Context | None = None,
    ) -> Backend:
        """
        Start a backend; without a certificate it speaks plain http.
        """
        backend = Backend(self, script)
        factory: Factory = backend
        if context is None and issued is not None:
            context = server_context(issued)
        if context is not None:
            factory = TLSMemoryBIOFactory(ServerTLS(context), False, backend)
        port = reactor.listenTCP(0, factory, interface=interface)
        backend.port = port.getHost().port

        async def stop() -> None:
            await port.stopListening()
            for one in backend.conversations:
                one.reset()
            for one in backend.conversations:
                await one.ended()

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return backend

    def dead(self) -> model.Member:
        """
        Return a member whose port refuses connections.
        """
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        # Nobody listens on that port of this address.
        return model.Member(address="127.0.0.9", port=port.getHost().port)

    def free_port(self, address: str) -> int:
        """
        Return a port that nobody else is given while the test runs.
        """
        held = socket.socket()
        self.addCleanup(held.close)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((address, 0))
        port: int = held.getsockname()[1]
        return port

    def config(
        self, *backends: Backend | model.Member | None, **settings: Any
    ) -> model.Config:
        """
        Put *backends* in one pool, behind both listeners.
        """
        members = tuple(
            model.Member(address="127.0.0.1", port=one.port)
            if isinstance(one, Backend)
            else one
            for one in backends
            if one is not None
        )
        # Unless the test is about probes, what backends see is the test's own.
        settings = {"protocol": "https", "port": 1, "probe_enabled": False} | settings
        if settings["protocol"] == "https":
            settings = {"pins": ("leaf",)} | settings
        to = model.Destination(pool="web", backend_settings="web")
        return model.Config(
            listeners={"plain": _PLAIN, "secure": _SECURE},
            rules={
                name: model.Rule(
                    name=name, priority=number, listener=name, destination=to
                )
                for number, name in enumerate(("plain", "secure"), 1)
            },
            certificates={"front": _CERTIFICATE},
            pins={"leaf": pin(LEAF)},
            pools={"web": model.Pool(name="web", members=members)},
            backend_settings={"web": model.BackendSettings(name="web", **settings)},
            access_log=model.AccessLog(file=str(self.file)),
            shutdown_timeout=0.0,
        )

    def serve(self, config: model.Config, **changes: Any) -> Recorded:
        """
        Start a gateway; it is stopped when the test is over.
        """
        clock = Clock()
        self.patch(service, "time", clock)
        self.gateway = gateway = Recorded(attrs.evolve(config, **changes), clock)
        gateway.startService()
        self.addCleanup(gateway.stopService)
        return gateway

    def before(self, *backends: Backend, **settings: Any) -> Recorded:
        """
        Start a gateway before *backends*.
        """
        return self.serve(self.config(*backends, **settings))

    def hurry(self, **seconds: float) -> None:
        """
        Give connections to backends less time: ``connect_timeout`` and others.
        """
        hasty = functools.partial(ClientEndpoint, **seconds)
        self.patch(kept, "ClientEndpoint", hasty)

    async def client(
        self,
        secure: bool = False,
        name: bytes | None = None,
        address: str | None = None,
        port: int = 0,
        header: bytes = b"",
        context: SSL.Context | None = None,
    ) -> Client:
        """
        Connect to the gateway, over TLS or in clear text.

        Args:
            port: as configured.
            header: what a proxy between us says before all else.
        """
        address = address or (SECURE if secure else PLAIN)
        _, port = self.gateway.addresses()[address, port]
        client = Client()
        factory: Factory = Factory.forProtocol(lambda: client)
        factory.noisy = False
        if secure:
            factory = TLSMemoryBIOFactory(_Trusting(name, context), True, factory)
        endpoint = TCP4ClientEndpoint(reactor, address, port)
        await endpoint.connect(Introducing(header, factory))

        async def leave() -> None:
            client.reset()
            await client.ended()

        self.addCleanup(lambda: Deferred.fromCoroutine(leave()))
        return client

    async def ask(self, wire: bytes = GET, secure: bool = False) -> Message:
        """
        Ask on a connection of its own.
        """
        return await (await self.client(secure)).ask(wire)

    async def recorded(self, count: int) -> list[Outcome]:
        """
        Wait until so many exchanges were recorded; no more must be.
        """
        while len(self.gateway.outcomes) < count:
            await turn()
        await turn()
        self.assertEqual(count, len(self.gateway.outcomes))
        return self.gateway.outcomes

    def lines(self) -> list[dict[str, Any]]:
        """
        Read the access log, each line's properties along with the rest.
        """
        log = self.gateway._access_log
        assert log is not None
        log._flush()
        read = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [line | line["properties"] for line in read]

    def count(self, name: str, **labels: str) -> float | None:
        """
        Read a metric.
        """
        return self.gateway.registry.get_sample_value(name, labels)

    def messages(self) -> str:
        """
        Return what was logged.
        """
        return "\n".join(str(e.get("log_format", "")).format(**e) for e in self.said)


@implementer(IOpenSSLClientConnectionCreator)
class _Trusting:
    """
    TLS of a client that takes any certificate: tests of the front are elsewhere.
    """

    def __init__(self, name: bytes | None, context: SSL.Context | None) -> None:
        self.name = name
        self.context = context or SSL.Context(SSL.TLS_CLIENT_METHOD)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """
        Make a connection over memory.
        """
        connection = SSL.Connection(self.context, None)
        if self.name is not None:
            connection.set_tlsext_host_name(self.name)
        return connection


async def turn() -> None:
    """
    Let the reactor go round once.
    """
    waiting: Deferred[None] = Deferred()
    reactor.callLater(0, waiting.callback, None)
    await waiting


async def both(*these: Awaitable[Any]) -> list[Any]:
    """
    Wait for all of *these* at once.
    """
    running = [Deferred.fromCoroutine(_awaited(one)) for one in these]
    results = await DeferredList(running, fireOnOneErrback=True, consumeErrors=True)
    return [result for _, result in results]


async def _awaited(one: Awaitable[Any]) -> Any:
    return await one
