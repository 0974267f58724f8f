from __future__ import annotations

import itertools
import ssl
import time
from typing import Any

from cryptography import x509
from OpenSSL import SSL

from appgw.config.demands import Demands
from appgw.config.model import Certificate
from appgw.listen.contexts import NoProtocol, SiteTLS, site_context
from appgw.testing import make_ca, make_certificate
from tests.sites import DEFAULT, site
from tests.wire import Talker, WireTestCase, dial, read_all, terms, trusting

SUITES = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    *(
        f"ECDHE-{kind}-{suite}"
        for kind in ("RSA", "ECDSA")
        for suite in (
            "AES256-GCM-SHA384",
            "AES128-GCM-SHA256",
            "AES256-SHA384",
            "AES128-SHA256",
        )
    ),
}
"""Azure's AppGwSslPolicy20220101."""

TLS13_SUITES = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
)
"""Python's ssl cannot choose among them."""

BEFORE = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1


def leaf(peer: ssl.SSLSocket) -> str:
    """
    Tell whose certificate a peer was shown, and let the peer go.
    """
    with peer:
        der = peer.getpeercert(binary_form=True)
        assert der is not None
        certificate = x509.load_der_x509_certificate(der)
        return certificate.subject.rfc4514_string().removeprefix("CN=")


def refusal(port: int, context: ssl.SSLContext, name: str | None) -> str:
    """
    Return what a peer is told that must not get in.
    """
    try:
        with dial(port, context, name) as peer:
            # TLS 1.3's client learns of it with its first read.
            peer.recv(1)
    except ssl.SSLError as error:
        return f"{error}".lower().replace("_", " ")
    return ""


def raw_name(port: int, name: bytes) -> str:
    """
    Send *name* as it is; return what became of it.
    """
    with dial(port) as connection:
        connection.settimeout(None)
        peer = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), connection)
        peer.set_connect_state()
        peer.set_tlsext_host_name(name)
        try:
            peer.do_handshake()
            peer.recv(1)
        except SSL.ZeroReturnError:
            return "served"
        except SSL.Error as error:
            return str(error)
    return ""


class Closing(Talker):
    """
    Says goodbye at once.
    """

    def makeConnection(self, transport: Any) -> None:
        """
        Close.
        """
        super().makeConnection(transport)
        transport.loseConnection()


class TermsTestCase(WireTestCase):
    """
    One port with two certificates.
    """

    failed = 0

    def count(self) -> None:
        """
        Count a handshake that failed.
        """
        self.failed += 1

    def begin(self, *kinds: Any) -> int:
        """
        Serve a.example, which is the default, and b.example.
        """
        held = [make_certificate([name]) for name in ("a.example", "b.example")]
        self.terms = terms(*held, failed=self.count)
        return self.serve(Closing, self.terms)

    def tearDown(self) -> None:
        """
        Nothing that a peer does in a handshake is worth a log line.
        """
        self.assertEqual([], self.flushLoggedErrors())

    async def facts(self, index: int = -1) -> Any:
        """
        Return what the last handshake settled.
        """
        await self.until(lambda: self.talkers.made)
        return self.talkers.made[index].transport.facts


class NameTests(TermsTestCase):
    """
    Which certificate for which name.
    """

    async def test_by_name(self) -> None:
        """
        The SNI chooses, whatever its case; without one, or unknown: the default.
        """
        port = self.begin()
        for name, wanted, told in (
            ("a.example", "a.example", "a.example"),
            ("b.example", "b.example", "b.example"),
            ("B.Example", "b.example", "b.example"),
            ("c.example", "a.example", "c.example"),
            (None, "a.example", None),
            # The standard library sends no address as a name (RFC 6066, 3).
            ("127.0.0.1", "a.example", None),
        ):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = trusting(maximum_version=version)
                peer = await self.peer(dial, port, context, name)
                self.assertEqual(wanted, leaf(peer))
                self.assertEqual(told, (await self.facts()).server_name)
        self.assertEqual(0, self.failed)

    async def test_odd_names(self) -> None:
        """
        A name that is none gets the default or an alert, never a crash.
        """
        port = self.begin()
        for name, wanted in (
            (b"b.example.", "served"),
            (b"127.0.0.1", "served"),
            (b"::1", "served"),
            (b"*.example", "served"),
            (b"x" * 255, "served"),
            (b"a b\r\nc", "served"),
        ):
            self.assertEqual(wanted, await self.peer(raw_name, port, name))
        self.assertEqual("a b\r\nc", (await self.facts()).server_name)

    async def test_a_name_that_is_not_ascii(self) -> None:
        """
        Bytes that are no name lead nowhere: the connection ends, nothing is said.
        """
        port = self.begin()
        told = await self.peer(raw_name, port, b"\xff\xfe.example")
        self.assertNotIn("served", told)
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual((1, []), (self.failed, self.talkers.made))

    async def test_a_name_that_leads_nowhere(self) -> None:
        """
        Whatever goes wrong in the choice ends the connection, without a traceback.
        """

        def choose(name: str | None) -> SiteTLS:
            if name == "b.example":
                raise ZeroDivisionError
            return missing if name == "c.example" else there(name)

        port = self.begin()
        missing, there = site(make_certificate()), self.terms.site_for
        self.terms.site_for = choose
        for name in ("b.example", "c.example"):
            told = await self.peer(refusal, port, trusting(), name)
            self.assertNotEqual("", told)
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual((2, []), (self.failed, self.talkers.made))
        self.assertEqual(
            "a.example", leaf(await self.peer(dial, port, trusting(), "d.example"))
        )

    async def test_the_chain(self) -> None:
        """
        The intermediates go with the leaf.
        """
        root = make_ca("root")
        middle = make_ca("middle", root)
        chained = make_certificate(["a.example"], issuer=middle)
        port = self.serve(Closing, terms(chained))
        context = ssl.create_default_context(cadata=root.cert_pem.decode())
        peer = await self.peer(dial, port, context)
        self.assertEqual("a.example", leaf(peer))

    async def test_every_kind_of_key(self) -> None:
        """
        RSA and Ed25519 serve as well as P-256.
        """
        for kind in ("rsa", "ecdsa", "ed25519"):
            port = self.serve(Closing, terms(make_certificate(["a.example"], key=kind)))
            peer = await self.peer(dial, port, trusting())
            self.assertEqual("a.example", leaf(peer))
            await self._stop(self.port)


class ProtocolTests(TermsTestCase):
    """
    Versions, suites and ALPN.
    """

    async def test_alpn(self) -> None:
        """
        http/1.1 is chosen from what is offered; offering nothing is fine.
        """
        port = self.begin()
        for offered, wanted in (
            (["http/1.1"], b"http/1.1"),
            (["h2", "http/1.1"], b"http/1.1"),
            (["x" * 255, "http/1.1", "h2"], b"http/1.1"),
            ([], None),
        ):
            context = trusting()
            if offered:
                context.set_alpn_protocols(offered)
            peer = await self.peer(dial, port, context, "b.example")
            said = peer.selected_alpn_protocol()
            self.assertEqual(wanted, said and said.encode())
            self.assertEqual("b.example", leaf(peer))
            transport = self.talkers.made[-1].transport
            self.assertEqual(wanted, transport.negotiatedProtocol)

    async def test_no_protocol_in_common(self) -> None:
        """
        Only h2 offered: the fatal alert no_application_protocol (RFC 7301, 3.2).
        """
        port = self.begin()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name in ("a.example", "b.example", None):
                context = trusting(maximum_version=version)
                context.set_alpn_protocols(["h2"])
                told = await self.peer(refusal, port, context, name)
                self.assertIn("no application protocol", told)
        self.assertEqual(6, self.failed)
        peer = await self.peer(dial, port, trusting())
        self.assertEqual(b"", await self.peer(read_all, peer))
        peer.close()
        self.assertEqual(1, len(self.talkers.made))

    async def test_old_versions(self) -> None:
        """
        TLS 1.0 and 1.1 are refused with the alert that says so.
        """
        port = self.begin()
        for version in BEFORE:
            context = trusting()
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = version
            context.maximum_version = version
            told = await self.peer(refusal, port, context, "a.example")
            self.assertIn("protocol version", told)
        self.assertEqual(2, self.failed)

    async def test_suites(self) -> None:
        """
        What a client can agree on with us is AppGwSslPolicy20220101, no more.
        """
        agreed = set()
        for kind in ("rsa", "ecdsa"):
            port = self.serve(Closing, terms(make_certificate(["a.example"], key=kind)))
            context = trusting()
            context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
            for suite in context.get_ciphers():
                if suite["protocol"] != "TLSv1.3":
                    agreed.add(await self.peer(self._agreed, port, suite["name"]))
            await self._stop(self.port)
        port = self.begin()
        for suite in TLS13_SUITES:
            agreed.add(await self.peer(self._agreed13, port, suite.encode()))
        self.assertEqual(SUITES, agreed - {""})

    @staticmethod
    def _agreed(port: int, suite: str) -> str:
        context = trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(suite + ":@SECLEVEL=0")
        try:
            with dial(port, context) as peer:
                return str(peer.cipher()[0])
        except ssl.SSLError:
            return ""

    @staticmethod
    def _agreed13(port: int, suite: bytes) -> str:
        with dial(port) as connection:
            connection.settimeout(None)
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_min_proto_version(SSL.TLS1_3_VERSION)
            context.set_tls13_ciphersuites(suite)
            peer = SSL.Connection(context, connection)
            peer.set_connect_state()
            try:
                peer.do_handshake()
            except SSL.Error:
                return ""
            return peer.get_cipher_name() or ""

    async def test_our_order(self) -> None:
        """
        Of the suites in common ours come first: 256 bits of GCM.
        """
        port = self.begin()
        context = trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
        with await self.peer(dial, port, context) as peer:
            self.assertEqual("ECDHE-ECDSA-AES256-GCM-SHA384", peer.cipher()[0])
        self.assertEqual("ECDHE-ECDSA-AES256-GCM-SHA384", (await self.facts()).cipher)


class MaterialTests(TermsTestCase):
    """
    What cannot be served is refused when it is loaded.
    """

    def served(self, chain: bytes, key: bytes) -> None:
        """
        Make a context of these.
        """
        certificate = Certificate(name="a", chain=chain, key=key)
        site_context(
            SiteTLS((certificate,), Demands(DEFAULT)), time.time, resuming=True
        )

    def test_not_its_key(self) -> None:
        """
        A key of another certificate is refused.
        """
        one, other = make_certificate(["a.example"]), make_certificate(["b.example"])
        with self.assertRaises(SSL.Error):
            self.served(one.chain_pem, other.key_pem)

    def test_no_pem(self) -> None:
        """
        So is what is neither certificate nor key.
        """
        one = make_certificate(["a.example"])
        for chain, key in itertools.product((b"", one.chain_pem), (b"", one.key_pem)):
            if not (chain and key):
                with self.assertRaises(ValueError):
                    self.served(chain, key)

    def test_what_is_no_handshake(self) -> None:
        """
        An error without reasons counts, and is answered with nothing.
        """
        port = terms(failed=self.count)
        for error in (SSL.Error(), SSL.Error([]), NoProtocol("none"), ValueError(1)):
            self.assertEqual(b"", port.refused(error))
        self.assertEqual(4, self.failed)
