from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

from twisted.internet import error, reactor
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface.verify import verifyObject

from appgw.endpoints import ClientEndpoint, ServerEndpoint
from appgw.listen.sockets import bind
from appgw.testing import make_certificate
from appgw.transport import TLSClient
from tests.dialling import SECRET, Asking, ClientTestCase, served
from tests.wire import (
    PATIENCE,
    BackendTerms,
    Echo,
    Talker,
    Talkers,
    WireTestCase,
    read_all,
    terms,
)


class Stranger(Exception):  # noqa: N818 - says who it is
    """
    Not the one that was expected.
    """


class ClientTests(ClientTestCase):
    """
    What becomes of an attempt.
    """

    def test_interfaces(self) -> None:
        """
        They are endpoints as Twisted knows them.
        """
        client = ClientEndpoint(reactor, "127.0.0.1", 1)
        verifyObject(IStreamClientEndpoint, client)
        verifyObject(IStreamServerEndpoint, ServerEndpoint(reactor, self.listening))

    async def test_plain(self) -> None:
        """
        Without terms the connection is in clear text.
        """
        told = self.backend(lambda connection: connection.recv(1000))
        talker = await self.connect()
        self.assertTrue(talker.transport.getTcpNoDelay())
        self.assertIs(self.talkers.made[0], talker)
        self.assertEqual(SECRET, await told)
        self.assertIsNone(talker.transport.verdict)
        await self.told(talker)

    async def test_tls(self) -> None:
        """
        With terms: TLS, the verdict and the protocol are known, the end is clean.
        """
        asked = self.tls_backend()
        talker = await self.connect(BackendTerms("admitted"))
        transport = talker.transport
        self.assertEqual("admitted", transport.verdict)
        self.assertEqual(b"http/1.1", transport.negotiatedProtocol)
        self.assertIsNotNone(transport.getPeerCertificate())
        self.assertTrue(transport.getTcpNoDelay())
        self.assertEqual(SECRET, await asked)
        await self.told(talker)
        self.assertEqual(b"answer", talker.received)

    async def test_refused_by_us(self) -> None:
        """
        A backend that is not admitted gets not one byte, and we learn why.
        """
        trust = BackendTerms(Stranger())
        asked = self.tls_backend()
        await self.assertFailure(self.connect(trust), Stranger)
        self.assertEqual(b"", await asked)
        self.assertEqual([], self.talkers.made)

    async def test_nothing_leaves_early(self) -> None:
        """
        A write in the middle of the handshake never leaves.
        """
        go_on = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(
            *make_certificate(["a.example"]).write(self.mktemp(), "leaf")
        )

        def hesitant(connection: socket.socket) -> bytes:
            go_on.wait(PATIENCE)
            return served(context, connection)

        self.talkers.kind = Talker
        asked = self.backend(hesitant)
        attempt = self.connect(BackendTerms())
        transport = await self._dialling()
        transport.write(SECRET)
        transport.writeSequence([SECRET])
        self.assertEqual(0, transport.unsent())
        go_on.set()
        talker = await attempt
        talker.transport.write(b"now")
        self.assertEqual(b"now", await asked)
        await self.told(talker)

    async def _dialling(self) -> TLSClient:
        def found() -> list[TLSClient]:
            readers = reactor.getReaders()
            return [one for one in readers if isinstance(one, TLSClient) and one.tls]

        await self.until(found)
        return found()[0]

    async def test_nobody_there(self) -> None:
        """
        A port where nobody listens refuses.
        """
        self.listening.close()
        for trust in (None, BackendTerms()):
            await self.assertFailure(self.connect(trust), error.ConnectionRefusedError)

    async def test_mute(self) -> None:
        """
        A backend that never shakes hands is given up when the time is up.
        """
        told = self.backend(read_all)
        late = self.connect(BackendTerms(), handshake_timeout=0.05)
        why = await self.assertFailure(late, error.TimeoutError)
        self.assertIn("handshake", str(why))
        hello = await told
        self.assertEqual((b"\x16\x03", False), (hello[:2], SECRET in hello))

    async def test_no_protocol(self) -> None:
        """
        A factory that makes no protocol, or raises, fails the attempt.
        """

        def broken(_: object) -> None:
            raise ZeroDivisionError

        for build, why in (
            (lambda _: None, error.NoProtocol),
            (broken, ZeroDivisionError),
        ):
            self.talkers.buildProtocol = build  # type: ignore[method-assign]
            for trust in (None, BackendTerms()):
                ended = self.backend(read_all) if trust is None else self.tls_backend()
                await self.assertFailure(self.connect(trust), why)
                self.assertEqual(b"", await ended)

    async def test_cancelled(self) -> None:
        """
        A cancelled attempt ends at once, wherever it is.
        """
        for trust in (None, BackendTerms()):
            told = self.backend(read_all)
            attempt = self.connect(trust)
            if trust is not None:
                await self._dialling()
            attempt.cancel()
            await self.assertFailure(attempt, error.ConnectingCancelledError)
            if trust is None:
                # It had not even begun: somebody else keeps the backend busy.
                socket.create_connection(("127.0.0.1", self.address)).close()
            self.assertNotIn(SECRET, await told)
        self.assertEqual([], self.talkers.made)

    async def test_cancelled_at_the_last_moment(self) -> None:
        """
        A connection that nobody waits for any more is cut, not forgotten.
        """
        told = self.backend(self._until_reset)
        attempts = []

        class Impatient(Talker):
            def makeConnection(self, transport: Any) -> None:
                super().makeConnection(transport)
                attempts[0].cancel()

        self.talkers.kind = Impatient
        attempts.append(self.connect())
        await self.assertFailure(attempts[0], error.ConnectingCancelledError)
        (talker,) = self.talkers.made
        self.assertIsInstance(await self.told(talker), error.ConnectionAborted)
        self.assertEqual(b"reset", await told)

    @staticmethod
    def _until_reset(connection: socket.socket) -> bytes:
        try:
            return connection.recv(1)
        except ConnectionResetError:
            return b"reset"


class ServerEndpointTests(WireTestCase):
    """
    Both endpoints with each other.
    """

    async def test_both(self) -> None:
        """
        What one serves the other reaches, in clear text and over TLS, both families.
        """
        for address in ("127.0.0.1", "::1"):
            for ours, theirs in ((None, None), (terms(), BackendTerms())):
                self.talkers = Talkers(Echo)
                try:
                    listening = bind(address, 0)
                except OSError:
                    continue  # a machine without IPv6
                port = await ServerEndpoint(reactor, listening, ours).listen(
                    self.talkers
                )
                number = listening.getsockname()[1]
                endpoint = ClientEndpoint(reactor, address, number, theirs)
                client = await endpoint.connect(Talkers(Asking))
                await self.until(lambda client=client: client.received == SECRET)
                self.assertEqual(address, client.transport.getPeer().host)
                client.transport.loseConnection()
                await self.told(await self.talker())
                await port.stopListening()
