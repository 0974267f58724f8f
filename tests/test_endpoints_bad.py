from __future__ import annotations

import os
import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost

from appgw.endpoints import ServerEndpoint
from appgw.listen.sockets import bind
from appgw.testing import Issued, make_certificate, server_context
from appgw.transport import TLSClient
from tests.dialling import SECRET, ClientTestCase
from tests.wire import BackendTerms, Talker, Talkers, read_all


class _Wrapped:
    """
    Terms of a port that any context will do for.
    """

    curious = False

    def __init__(self, issued: Issued) -> None:
        self._context = server_context(issued)

    def context(self) -> SSL.Context:
        """
        Return it.
        """
        return self._context

    def established(self, connection: SSL.Connection) -> object:
        """
        Be content.
        """
        return connection.get_cipher_name()

    def refused(self, error: Exception) -> bytes:
        """
        Say nothing.
        """
        return b""


class BadBackendTests(ClientTestCase):
    """
    Backends that do not shake hands as they should.
    """

    async def test_noise(self) -> None:
        """
        A banner, plain http, an alert, garbage or an end: a failed attempt each.
        """
        for said in (
            b"",
            b"SSH-2.0-OpenSSH_9.0\r\n",
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x15\x03\x03\x00\x02\x01\x00",
            b"\x16\x03\x03\x40\x00" + bytes(16384),
            os.urandom(5000),
        ):
            terms = BackendTerms()

            def speak(connection: socket.socket, said: bytes = said) -> bytes:
                try:
                    connection.sendall(said)
                    connection.shutdown(socket.SHUT_WR)
                    return read_all(connection)
                except OSError:
                    return b""

            told = self.backend(speak)
            await self.assertFailure(self.connect(terms), SSL.Error)
            self.assertEqual(1, len(terms.failures))
            self.assertNotIn(SECRET, await told)
        self.assertEqual([], self.talkers.made)

    async def test_told_twice(self) -> None:
        """
        A reactor that has one more event for a failed attempt does no harm.
        """
        transports: list[Any] = []

        class Watched(BackendTerms):
            def failure(self, connection: Any, error: Exception) -> Exception:
                readers = reactor.getReaders()
                transports.extend(r for r in readers if isinstance(r, TLSClient))
                return super().failure(connection, error)

        told = self.backend(lambda connection: connection.sendall(b"220 hello\r\n"))
        await self.assertFailure(self.connect(Watched()), SSL.Error)
        await told
        (transport,) = transports
        self.assertIsNone(transport.tls)
        self.assertIsNone(transport.doRead())
        self.assertIsNone(transport.doWrite())

    async def test_a_reset_after_the_handshake(self) -> None:
        """
        A backend that goes away later is a loss, told to the protocol once.
        """
        self.talkers.kind = Talker
        port = ServerEndpoint(
            reactor, bind("127.0.0.1", 0), _Wrapped(make_certificate(["a.example"]))
        )
        far = Talkers(Talker)
        listening = await port.listen(far)
        self.addCleanup(listening.stopListening)
        self.address = listening.getHost().port
        talker = await self.connect(BackendTerms())
        await self.until(lambda: far.made and far.made[0].transport)
        far.made[0].transport.abortConnection()
        self.assertIsInstance(await self.told(talker), ConnectionLost)
