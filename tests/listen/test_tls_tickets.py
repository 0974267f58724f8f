from __future__ import annotations

import contextlib
import ssl
from typing import Any

from appgw.testing import make_certificate
from tests.wire import Talker, WireTestCase, dial, terms, trusting

VERSIONS = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Greeting(Talker):
    """
    Speaks first, so that whoever reads has the tickets too.
    """

    def makeConnection(self, transport: Any) -> None:
        """
        Greet.
        """
        super().makeConnection(transport)
        transport.write(b"hello")


def visit(
    port: int,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    name: str | None = "a.example",
) -> tuple[ssl.SSLSession | None, bool | None]:
    """
    Connect; return the session to come back with, and whether one was resumed.
    """
    with dial(port, context, name, session) as peer:
        assert peer.recv(100) == b"hello"
        found = peer.session, peer.session_reused
        with contextlib.suppress(OSError):
            peer.unwrap()
        return found


class TicketTests(WireTestCase):
    """
    Clients come back without a whole handshake, for a time, to the same port.
    """

    def begin(self) -> int:
        """
        Serve two names on a port of its own.
        """
        held = [make_certificate([name]) for name in ("a.example", "b.example")]
        self.terms = terms(*held)
        return self.serve(Greeting, self.terms)

    async def test_resumed(self) -> None:
        """
        A ticket is good on its port, for either certificate.
        """
        port = self.begin()
        for version in VERSIONS:
            for name in ("a.example", "b.example"):
                context = trusting(maximum_version=version)
                session, resumed = await self.peer(visit, port, context, None, name)
                self.assertFalse(resumed)
                _, resumed = await self.peer(visit, port, context, session, name)
                self.assertTrue(resumed)
                facts = self.talkers.made[-1].transport.facts
                self.assertEqual(name, facts.server_name)

    async def test_renewed(self) -> None:
        """
        After the renewal of the keys old tickets mean a whole handshake.
        """
        port = self.begin()
        for version in VERSIONS:
            context = trusting(maximum_version=version)
            session, _ = await self.peer(visit, port, context)
            self.terms.renew()
            session, resumed = await self.peer(visit, port, context, session)
            self.assertFalse(resumed)
            _, resumed = await self.peer(visit, port, context, session)
            self.assertTrue(resumed)

    async def test_a_connection_outlives_the_renewal(self) -> None:
        """
        Who is connected stays so when the contexts are made anew.
        """
        port = self.begin()
        peer = await self.dialled(port, trusting())
        talker = await self.talker()
        self.terms.renew()
        await self.peer(peer.sendall, b"still here")
        await self.until(lambda: talker.received == b"still here")

    async def test_a_handshake_outlives_the_renewal(self) -> None:
        """
        A handshake that began before the renewal ends well, also by its name.
        """
        port = self.begin()
        peer = await self.dialled(port)
        await self.until(lambda: self.port.handshaking)
        self.terms.renew()
        safe = await self.peer(self._wrapped, peer)
        self.addCleanup(safe.close)
        self.assertEqual(b"hello", await self.peer(safe.recv, 100))

    @staticmethod
    def _wrapped(peer: Any) -> ssl.SSLSocket:
        return trusting().wrap_socket(peer, server_hostname="b.example")

    async def test_elsewhere(self) -> None:
        """
        A ticket of one port is nothing on another, though the names are equal.
        """
        first = self.begin()
        second = self.begin()
        for version in VERSIONS:
            context = trusting(maximum_version=version)
            session, _ = await self.peer(visit, first, context)
            _, resumed = await self.peer(visit, second, context, session)
            self.assertFalse(resumed)
            _, resumed = await self.peer(visit, first, context, session)
            self.assertTrue(resumed)

    async def test_another_name(self) -> None:
        """
        In TLS 1.2 a session keeps the name that it was made for.
        """
        port = self.begin()
        context = trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        session, _ = await self.peer(visit, port, context, None, "a.example")
        await self.peer(visit, port, context, session, "b.example")
        facts = self.talkers.made[-1].transport.facts
        self.assertEqual("a.example", facts.server_name)
