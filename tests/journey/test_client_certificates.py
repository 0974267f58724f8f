from __future__ import annotations

import hashlib
import socket
import ssl
from typing import Any

import attrs
from twisted.internet.threads import deferToThread

from appgw.config import model
from appgw.refusal import Refusal
from appgw.route.client_certificate import client_certificate_variables
from appgw.testing import make_ca, make_certificate
from tests.journey.certificates import CLIENT, PASSING, CertificateJourneys
from tests.journey.kit import GET, OK, SECURE, answering
from tests.route.rewriting import field, rule, rule_set, with_sets
from tests.sites import TLS12, TLS13, Peer
from tests.wire import trusting

STRANGER = make_certificate(common_name="stranger", issuer=make_ca("elsewhere"))
OPEN = GET.replace(b"shop.", b"open.")
VERSIONS = TLS12, TLS13


def visit(
    port: int, name: str, wire: bytes, context: ssl.SSLContext, session: Any = None
) -> tuple[int, Any, bool]:
    """
    Ask once; return the status, the session, and whether one was resumed.
    """
    with socket.create_connection((SECURE, port), 15) as plain:
        peer = context.wrap_socket(plain, server_hostname=name, session=session)
        with peer:
            peer.sendall(wire)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += peer.recv(1 << 16)
            return int(answer.split()[1]), peer.session, bool(peer.session_reused)


class StrictTests(CertificateJourneys):
    """
    Requests without a certificate that holds are answered here.
    """

    async def test_none(self) -> None:
        """
        Without one: 400, the connection ends, and the backend hears nothing.
        """
        backend = self.backend(answering(OK))
        self.serve(self.configured(backend))
        for version in VERSIONS:
            answer, closed = await self.got(None, version)
            self.assertEqual((400, True), (answer.status, closed))
            self.assertIn(b"asks for a client certificate", answer.body)
        self.assertEqual([], backend.conversations)
        await self.recorded(2)
        for line in self.lines():
            self.assertEqual("ERRORINFO_HTTPS_NO_CERT", line["error_info"])
            self.assertEqual("NONE", line["sslClientVerify"])
            self.assertEqual("", line["sslClientCertificateFingerprint"])
            self.assertEqual("shop", line["listenerName"])

    async def test_one_that_fails(self) -> None:
        """
        With one that nobody trusts: 400, and the log says why and whose.
        """
        backend = self.backend(answering(OK))
        self.serve(self.configured(backend))
        for version in VERSIONS:
            answer, closed = await self.got(STRANGER, version)
            self.assertEqual((400, True), (answer.status, closed))
            self.assertIn(b"was not accepted", answer.body)
        self.assertEqual([], backend.conversations)
        outcomes = await self.recorded(2)
        self.assertIs(Refusal.BAD_CLIENT_CERTIFICATE, outcomes[0].refusal)
        for line in self.lines():
            self.assertIn("FAILED:unable to get local issuer", line["sslClientVerify"])
            self.assertEqual("CN=elsewhere", line["sslClientCertificateIssuerName"])
            self.assertEqual(40, len(line["sslClientCertificateFingerprint"]))

    async def test_one_that_holds(self) -> None:
        """
        With one that holds the request goes its way, and the next one, too.
        """
        backend = self.backend(answering(OK))
        self.serve(self.configured(backend))
        for version in VERSIONS:
            client = await self.visitor(CLIENT, version)
            for _ in range(2):
                self.assertEqual(200, (await client.ask(GET)).status)
        await self.recorded(4)
        for line in self.lines():
            self.assertEqual("SUCCESS", line["sslClientVerify"])
            self.assertEqual("CN=root", line["sslClientCertificateIssuerName"])
        self.assertNotIn(b"client", backend.received.lower())

    async def test_with_a_body(self) -> None:
        """
        What is refused is refused with its body unread.
        """
        backend = self.backend(answering(OK))
        self.serve(self.configured(backend))
        wire = GET.replace(b"GET", b"POST").replace(
            b"\r\n\r\n", b"\r\nContent-Length: 999999\r\n\r\nbegun"
        )
        answer, closed = await self.got(None, wire=wire)
        self.assertEqual((400, True), (answer.status, closed))
        self.assertEqual([], backend.conversations)

    async def test_the_neighbour(self) -> None:
        """
        The other listener of the port is as open as before.
        """
        backend = self.backend(answering(OK))
        self.serve(self.configured(backend))
        client = await self.visitor(CLIENT, name=b"open.example")
        self.assertEqual(200, (await client.ask(OPEN)).status)
        [outcome] = await self.recorded(1)
        self.assertIsNone(outcome.arrival.client_certificate)
        self.assertEqual("NONE", self.lines()[0]["sslClientVerify"])


class DetourTests(CertificateJourneys):
    """
    There is no way around a listener's demands.
    """

    async def test_another_name(self) -> None:
        """
        SNI open and Host shop is 421, with a certificate or without, and also
        where detours are allowed; so is the other way round.
        """
        backend = self.backend(answering(OK))
        config = self.configured(backend)
        for detours in ("refuse", "route"):
            listeners = {
                name: attrs.evolve(listener, misdirected=detours)
                for name, listener in config.listeners.items()
            }
            gateway = self.serve(attrs.evolve(config, listeners=listeners))
            for name, wire in ((b"open.example", GET), (b"shop.example", OPEN)):
                for shown in (None, CLIENT):
                    client = await self.visitor(shown, name=name)
                    self.assertEqual(421, (await client.ask(wire)).status)
                    await client.ended()
            await gateway.stopService()
        self.assertEqual([], backend.conversations)

    async def test_no_name(self) -> None:
        """
        Without SNI the first listener has made its demands; only it is served.
        """
        backend = self.backend(answering(OK))
        self.serve(self.configured(backend))
        for shown, wire, status in (
            (CLIENT, GET, 200),
            (None, GET, 400),
            (CLIENT, OPEN, 421),
        ):
            context = Peer(shown=shown).context([])
            client = await self.client(True, None, context=context)
            self.assertEqual(status, (await client.ask(wire)).status)

    async def test_a_ticket(self) -> None:
        """
        A session from the open listener is taken up nowhere, and what it is
        offered for is refused.
        """
        self.serve(self.configured(self.backend(answering(OK))))
        _, port = self.gateway.addresses()[SECURE, 0]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(maximum_version=version)
            status, session, _ = await deferToThread(
                visit, port, "open.example", OPEN, context
            )
            self.assertEqual(200, status)
            for name, wire, wanted in (
                ("shop.example", GET, 400),
                ("open.example", GET, 421),
                ("open.example", OPEN, 200),
            ):
                status, _, resumed = await deferToThread(
                    visit, port, name, wire, context, session
                )
                self.assertEqual((wanted, False), (status, resumed))


class PassthroughTests(CertificateJourneys):
    """
    Whatever is shown is let through, and told.
    """

    async def test_each(self) -> None:
        """
        None, one that fails and one that holds all reach the backend.
        """
        self.serve(self.configured(self.backend(answering(OK)), PASSING))
        for shown, said in (
            (None, b"NONE"),
            (STRANGER, b"FAILED:unable to get local issuer certificate"),
            (CLIENT, b"SUCCESS"),
        ):
            for version in VERSIONS:
                self.gateway.outcomes.clear()
                answer, closed = await self.got(shown, version)
                self.assertEqual((200, False), (answer.status, closed))
                [outcome] = await self.recorded(1)
                told = client_certificate_variables(outcome.arrival)
                self.assertEqual(said, told["client_certificate_verification"])
                self.assertEqual(shown is None, not told["client_certificate"])

    async def test_without_authorities(self) -> None:
        """
        It needs no CA, and then believes nobody.
        """
        profile = model.SslProfile(name="asking", client_auth_configuration=PASSING)
        backend = self.backend(answering(OK))
        config = self.configured(backend, ssl_profiles={"asking": profile})
        self.serve(config)
        answer, _ = await self.got(CLIENT)
        self.assertEqual(200, answer.status)
        [outcome] = await self.recorded(1)
        shown = outcome.arrival.client_certificate
        assert shown is not None
        self.assertFalse(shown.verified)

    async def test_told_to_the_backend(self) -> None:
        """
        Rewrite rules can tell the backend what was shown, whatever clients claim.
        """
        backend = self.backend(answering(OK))
        facts = ("verification", "subject", "fingerprint")
        told = [
            field(f"X-Client-{fact}", f"{{var_client_certificate_{fact}}}")
            for fact in facts
        ]
        config = self.configured(backend, PASSING)
        self.serve(with_sets(config, rule_set(rule(request=told)), shop="set"))
        claimed = GET.replace(b"\r\n\r\n", b"\r\nX-Client-Subject: CN=root\r\n\r\n")
        for shown in (None, CLIENT):
            await self.got(shown, wire=claimed)
            fingerprint = hashlib.sha1(shown.der).hexdigest() if shown else ""
            got = [backend.seen[-1].get(f"x-client-{one}".encode()) for one in facts]
            self.assertEqual(
                [
                    [b"SUCCESS" if shown else b"NONE"],
                    [b"CN=client"] if shown else [],
                    [fingerprint.encode()] if shown else [],
                ],
                got,
            )
