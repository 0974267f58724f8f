from __future__ import annotations

import socket
import ssl
from typing import Any

import attrs
from OpenSSL import SSL

from appgw.config.demands import Demands
from appgw.listen.clients import NOT_SHOWN, Verification
from appgw.listen.contexts import SiteTLS
from appgw.listen.tls import _Chosen
from tests.listen.test_tls_clients import CLIENT, ROOT, SERVER, ClientCase
from tests.listen.test_tls_tickets import Greeting, visit
from tests.sites import DEFAULT, TLS12, TLS13, Peer, asking, port_of, showing, site
from tests.wire import trusting


class ResumptionTests(ClientCase):
    """
    A session carries what its first handshake proved: here none is taken up.
    """

    versions = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

    async def test_a_ticket_from_next_door(self) -> None:
        """
        What a listener without demands gave opens nothing at one that asks.
        """
        port = self.serving()
        for version in self.versions:
            context = trusting(maximum_version=version)
            session, _ = await self.peer(visit, port, context, None, "open.example")
            for name in ("a.example", "open.example", None):
                _, resumed = await self.peer(visit, port, context, session, name)
                self.assertFalse(resumed)
            facts = [talker.transport.facts for talker in self.talkers.made[-3:]]
            shown = [one.client_certificate for one in facts]
            self.assertEqual([NOT_SHOWN, None, NOT_SHOWN], shown)
            await self.until(lambda: all(one.lost for one in self.talkers.made))
            self.talkers.made.clear()

    async def test_a_ticket_of_its_own(self) -> None:
        """
        Nor does one of the listener itself: a certificate is judged each time.
        """
        for beside in (True, False):
            port = self.serving(beside=beside)
            for version in self.versions:
                context = showing(trusting(maximum_version=version), CLIENT)
                for session in (None, (await self.peer(visit, port, context))[0]):
                    _, resumed = await self.peer(visit, port, context, session)
                    self.assertFalse(resumed)
                    facts = self.talkers.made[-1].transport.facts
                    self.assertTrue(facts.client_certificate.verified)
            await self._stop(self.port)

    async def test_a_ticket_from_before(self) -> None:
        """
        A ticket from before the listener asked for anything is of no use, as
        the terms are other ones then.
        """
        before = port_of({"a.example": site(SERVER)})
        port = self.serve(Greeting, before)
        for version in self.versions:
            context = trusting(maximum_version=version)
            self.port.tls = before
            session, _ = await self.peer(visit, port, context)
            self.port.tls = port_of({"a.example": site(SERVER, demands=asking(ROOT))})
            _, resumed = await self.peer(visit, port, context, session)
            self.assertFalse(resumed)
            facts = self.talkers.made[-1].transport.facts
            self.assertEqual(NOT_SHOWN, facts.client_certificate)

    async def test_renegotiation(self) -> None:
        """
        A client that would show another certificate later can't.
        """
        port = self.serving()
        refused = await self.peer(self._renegotiated, port)
        self.assertTrue(refused)

    @staticmethod
    def _renegotiated(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.settimeout(None)
            peer = Peer(version=TLS12, shown=CLIENT)
            connection = SSL.Connection(peer.context([]), plain)
            connection.set_connect_state()
            connection.set_tlsext_host_name(b"a.example")
            connection.do_handshake()
            try:
                connection.renegotiate()
                connection.do_handshake()
            except SSL.Error:
                return True
            return False


class NotedTests(ClientCase):
    """
    A handshake that nobody has judged is refused.
    """

    async def test_no_choice(self) -> None:
        """
        Where listeners differ, one that came past the choice of its name.
        """
        self.serving()
        connection = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD), None)
        with self.assertRaises(SSL.Error):
            self.tls.established(connection)

    async def test_another_version(self) -> None:
        """
        One in a version that its listener does not speak.
        """
        newest = Demands(attrs.evolve(DEFAULT, versions=("TLSv1_3",)))
        other = site(SERVER, demands=newest)
        port = self.serving()
        self.tls.site_now = lambda _: other
        self.patch(
            self.tls,
            "_demand",
            lambda connection, name, _: connection.set_app_data(
                _Chosen(name, other, None)
            ),
        )
        for version, refused in ((TLS12, True), (TLS13, False)):
            met = await self.peer(Peer(version=version).meet, port)
            self.assertEqual(refused, met.data != b"hello")

    async def test_not_verified(self) -> None:
        """
        A certificate whose leaf OpenSSL has said nothing about has failed.
        """
        port = self.serving()
        self.patch(Verification, "verify", self._only_the_issuer)
        shown = await self.shown(port, CLIENT)
        assert shown is not None
        self.assertEqual("FAILED:not verified", shown.verification)

    _verify = Verification.verify

    @staticmethod
    def _only_the_issuer(verification: Verification, *found: Any) -> bool:
        *_, depth, _ = found
        return not depth or NotedTests._verify(verification, *found)

    async def test_a_name_that_changes(self) -> None:
        """
        One whose name at the end is not the one that was chosen by.
        """
        port = self.serving()
        chosen = self.tls._demand

        def otherwise(connection: Any, name: str | None, where: SiteTLS) -> None:
            chosen(connection, "open.example", where)

        self.patch(self.tls, "_demand", otherwise)
        met = await self.peer(Peer().meet, port)
        self.assertNotEqual(b"hello", met.data)
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual([], self.talkers.made)
