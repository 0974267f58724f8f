from __future__ import annotations

import contextlib
import socket
import struct

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, PinRefused, presented_by
from appgw.backend.verdict import Verdict
from appgw.config.model import Pin
from appgw.testing import make_ca, make_certificate, server_context
from tests.backend.loopback import SECRET, Backend, Pair, hurry, pin, target

ISSUED = make_certificate(["a.example"])


class Watched:
    """
    Counts the certificates that a server's context sends, and notes SNI.
    """

    def __init__(self, context: SSL.Context) -> None:
        self.certificates = 0
        self.names: list[bytes | None] = []
        context.set_info_callback(self._moved)
        context.set_tlsext_servername_callback(
            lambda connection: self.names.append(connection.get_servername())
        )

    def _moved(self, connection: SSL.Connection, where: int, _: int) -> None:
        if where & SSL.SSL_CB_LOOP:
            state = connection.get_state_string()
            self.certificates += state.endswith(b"write certificate")


class HandshakeTests(SynchronousTestCase):
    def shaken(self, wanted: Target, context: SSL.Context) -> tuple[Pair, Verdict]:
        """
        Shake hands; return both ends and the verdict.
        """
        options = PinnedClientTLSOptions(wanted)
        pair = Pair.of(options, context)
        pair.shake()
        return pair, options.verdict(pair.client)

    def test_server_name(self) -> None:
        """
        SNI is the configured name, without a last dot, and never an address.
        """
        context = server_context(ISSUED)
        watched = Watched(context)
        for name in ("a.example", "a.example.", None, "", "127.0.0.1", "::1"):
            _, verdict = self.shaken(target(pin(ISSUED), server_name=name), context)
            self.assertTrue(verdict.admitted)
        self.assertEqual(watched.names, [b"a.example"] * 2 + [None] * 4)

    def test_what_cannot_be_used(self) -> None:
        """
        A name that cannot be sent, and a root that is none, show at once.
        """
        with self.assertRaises(ValueError):
            PinnedClientTLSOptions(target(pin(ISSUED), server_name="\xfc.example"))
        with self.assertRaises(ValueError):
            PinnedClientTLSOptions(target(roots=(b"no certificate",)))

    def test_alpn(self) -> None:
        """
        The target's protocols are offered, in its order.
        """
        for offered in ((b"http/1.1",), (b"h2", b"http/1.1"), ()):
            context = server_context(ISSUED, alpn=offered)
            pair, _ = self.shaken(target(pin(ISSUED), alpn=offered), context)
            expected = offered[0] if offered else b""
            self.assertEqual(pair.client.get_alpn_proto_negotiated(), expected)

    def test_versions(self) -> None:
        """
        TLS 1.2 and 1.3 are spoken, older versions are not.
        """
        for tls12, version in ((True, "TLSv1.2"), (False, "TLSv1.3")):
            pair, _ = self.shaken(target(pin(ISSUED)), server_context(ISSUED, tls12))
            self.assertEqual(pair.client.get_protocol_version_name(), version)
        hello = Pair.of(PinnedClientTLSOptions(target()), server_context(ISSUED))
        with contextlib.suppress(SSL.WantReadError):
            hello.client.do_handshake()
        offered = hello.client.bio_read(4096)
        # RFC 8446, 4.2.1: extension 43, 5 bytes, a list of 4: TLS 1.3 and 1.2.
        self.assertIn(bytes.fromhex("002b 0005 04 0304 0303"), offered)

    def test_context(self) -> None:
        """
        No sessions are kept, no tickets asked for, nothing is renegotiated or
        compressed, and a missing end is an error.
        """
        context = PinnedClientTLSOptions(target(pin(ISSUED))).context
        self.assertEqual(context.get_session_cache_mode(), SSL.SESS_CACHE_OFF)
        options = context.set_options(0)
        wanted = (SSL.OP_NO_TICKET, SSL.OP_NO_RENEGOTIATION, SSL.OP_NO_COMPRESSION)
        for option in wanted:
            self.assertTrue(options & option)
        self.assertFalse(options & SSL.OP_IGNORE_UNEXPECTED_EOF)
        self.assertTrue(context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS)

    def test_chain_of_no_use(self) -> None:
        """
        Who signed a pinned leaf is not even looked up, unless roots matter.
        """
        pinned = PinnedClientTLSOptions(target(pin(ISSUED)))
        rooted = PinnedClientTLSOptions(target(roots=(make_ca().der,)))
        self.assertEqual(pinned.context.get_verify_depth(), 0)
        self.assertNotIn(rooted.context.get_verify_depth(), (0, 1))

    def test_second_look_at_the_chain(self) -> None:
        """
        After the handshake, the chain must still end at one of our roots.
        """
        root, other = make_ca(), make_ca()
        issued = make_certificate(["a.example"], issuer=root)
        options = PinnedClientTLSOptions(target(pins=None, roots=(root.der,)))
        pair = Pair.of(options, server_context(issued))
        self.assertIsNone(pair.shake())
        self.assertEqual(options.verdict(pair.client).reason, "admitted")
        options._roots = frozenset([other.der])
        self.assertEqual(options.verdict(pair.client).reason, "chain")

    def test_unfinished(self) -> None:
        """
        Nobody is admitted before the handshake is over: only its end proves
        that the key belongs to whoever shows the certificate.
        """
        for tls12 in (True, False):
            options = PinnedClientTLSOptions(target(pin(ISSUED)))
            pair = Pair.of(options, server_context(ISSUED, tls12))
            reasons = [options.verdict(pair.client).reason]
            flights = 0
            while reasons[-1] == "unfinished":
                flights += 1
                for end in (pair.client, pair.server):
                    with contextlib.suppress(SSL.WantReadError):
                        end.do_handshake()
                    reasons.append(options.verdict(pair.client).reason)
                pair.carry()
            self.assertGreater(flights, 1)
            self.assertEqual(reasons[-1], "admitted")

    def test_stolen_certificate(self) -> None:
        """
        Who shows the pinned certificate without having its key is refused.
        """
        other = make_certificate(["a.example"])
        while len(other.der) != len(ISSUED.der):
            other = make_certificate(["a.example"])
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        pair = Pair.of(options, server_context(other, tls12_only=True))
        pair.disguised(other, ISSUED)
        with self.assertRaises(SSL.Error):
            pair.client.do_handshake()
        self.assertIsNone(options.refusal(pair.client))
        self.assertFalse(options.verdict(pair.client).admitted)

    def test_refused_stays_refused(self) -> None:
        """
        After a no of the first check the second one says the same.
        """
        options = PinnedClientTLSOptions(target())
        pair = Pair.of(options, server_context(ISSUED))
        self.assertIsNone(options.refusal(pair.client))
        self.assertIsInstance(pair.shake(), SSL.Error)
        verdict = options.verdict(pair.client)
        self.assertEqual(verdict.reason, "not-pinned")
        self.assertIs(options.refusal(pair.client), verdict)

    def test_other_failures_are_no_refusals(self) -> None:
        """
        A handshake that fails for another reason is not called a refusal.
        """
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        pair = Pair.of(options, server_context(ISSUED))
        pair.client.bio_write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with self.assertRaises(SSL.Error):
            pair.client.do_handshake()
        self.assertIsNone(options.refusal(pair.client))
        self.assertFalse(options.verdict(pair.client).admitted)

    def test_renegotiation(self) -> None:
        """
        A backend that asks to renegotiate, to show another certificate then,
        gets nowhere; without our option it would.
        """
        for guarded in (True, False):
            context = server_context(ISSUED, tls12_only=True, tickets=False)
            watched = Watched(context)
            options = PinnedClientTLSOptions(target(pin(ISSUED)))
            if not guarded:
                bare = SSL.Context(SSL.TLS_CLIENT_METHOD)
                bare.set_options(SSL.OP_NO_TICKET)
                options.context = bare
            pair = Pair.of(options, context)
            pair.shake()
            self.assertEqual(watched.certificates, 1)
            self.assertTrue(pair.server.renegotiate())
            with contextlib.suppress(SSL.Error):
                pair.server.do_handshake()
            for _ in range(6):
                pair.carry()
                for end in (pair.client, pair.server):
                    with contextlib.suppress(SSL.Error):
                        end.recv(1024)
            self.assertEqual(watched.certificates, 1 if guarded else 2)


class DoubtTests(SynchronousTestCase):
    """
    Whatever goes wrong while judging: a no, and nothing raised.
    """

    def doubted(self, options: PinnedClientTLSOptions, pair: Pair) -> str:
        """
        Shake hands that must fail, with nothing but OpenSSL's own error.
        """
        told = pair.shake()
        self.assertIs(type(told), SSL.Error)
        verdict = options.verdict(pair.client)
        self.assertFalse(verdict.admitted)
        return verdict.reason

    def test_clock_that_fails(self) -> None:
        """
        A clock that raises admits nobody, neither first nor second.
        """
        options = PinnedClientTLSOptions(target(pin(ISSUED)), lambda: 1 // 0)
        pair = Pair.of(options, server_context(ISSUED))
        self.assertEqual(self.doubted(options, pair), "error")
        options = PinnedClientTLSOptions(target(pin(ISSUED)), lambda: 1 // 0)
        options.context.set_verify(SSL.VERIFY_NONE)
        pair = Pair.of(options, server_context(ISSUED))
        self.assertIsNone(pair.shake())
        self.assertEqual(options.verdict(pair.client).reason, "error")

    def test_pin_of_a_wrong_kind(self) -> None:
        """
        An exception within the judgement admits nobody.
        """
        for broken in (None, "leaf"):
            options = PinnedClientTLSOptions(target(pins=(broken,)))
            pair = Pair.of(options, server_context(ISSUED))
            self.assertEqual(self.doubted(options, pair), "error")

    def test_certificate_that_only_openssl_reads(self) -> None:
        """
        A certificate that we cannot read is refused, though its digest is on
        the list and OpenSSL shakes hands with it.
        """
        # Version 3 becomes a version that does not exist.
        start = ISSUED.der.index(bytes.fromhex("a003020102"))
        odd = bytearray(ISSUED.der)
        odd[start + 4] = 6
        certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, bytes(odd))
        presented = presented_by(certificate)
        self.assertFalse(presented.readable)
        context = server_context(ISSUED)
        self.flushWarnings()
        context.use_certificate(certificate)
        self.flushWarnings()  # pyOpenSSL prefers what cryptography can read
        wanted = target(Pin(name="odd", sha256=presented.sha256))
        options = PinnedClientTLSOptions(wanted)
        pair = Pair.of(options, context)
        self.assertEqual(self.doubted(options, pair), "unreadable")

    def test_foreign_connection(self) -> None:
        """
        A connection that is none of ours is refused.
        """
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        other = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.assertFalse(options.verdict(other).admitted)
        self.assertEqual(options.verdict(None).reason, "error")

    def test_memory_of_the_last_leaf(self) -> None:
        """
        Options meet many leaves in turn, and judge each one by itself.
        """
        root = make_ca()
        right = make_certificate(["a.example"], issuer=root)
        wrong = make_certificate(["b.example"], issuer=root)
        options = PinnedClientTLSOptions(target(pins=None, roots=(root.der,)))
        reasons = []
        for issued in (right, wrong, wrong, right, right, wrong):
            pair = Pair.of(options, server_context(issued))
            pair.shake()
            reasons.append(options.verdict(pair.client).reason)
        expected = ["admitted", "name", "name", "admitted", "admitted", "name"]
        self.assertEqual(reasons, expected)


class LoopbackTests(TestCase):
    async def test_no_resumption(self) -> None:
        """
        Against a server that offers tickets, each connection is a whole
        handshake with a certificate to judge.
        """
        for tls12 in (True, False):
            context = server_context(ISSUED, tls12, tickets=True)
            watched = Watched(context)
            backend = Backend(self, context)
            options = PinnedClientTLSOptions(target(pin(ISSUED)))
            for _ in range(5):
                await hurry(backend.port, options)
            await backend.ended(5)
            self.assertEqual(watched.certificates, 5)

    def test_control_of_no_resumption(self) -> None:
        """
        The count of certificates would show a resumption: a client that wants
        one gets it from the same server.
        """
        context = server_context(ISSUED, tls12_only=True, tickets=True)
        watched = Watched(context)
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        options.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        first = Pair.of(options, context)
        first.shake()
        second = Pair.of(options, context)
        second.client.set_session(first.client.get_session())
        self.assertIsNone(second.shake())
        self.assertEqual(watched.certificates, 1)

    async def test_swapped_certificate(self) -> None:
        """
        A backend that changes to another certificate is refused at once, its
        tickets notwithstanding.
        """
        first = server_context(ISSUED)
        now = [first, server_context(make_certificate(["a.example"]))]
        first.set_tlsext_servername_callback(
            lambda connection: connection.set_context(now[0])
        )
        backend = Backend(self, first)
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        await hurry(backend.port, options)
        await backend.ended()
        del now[0]
        with self.assertRaises(PinRefused):
            await hurry(backend.port, options)
        await backend.ended(2)
        self.assertEqual(b"".join(backend.received), SECRET * 2)

    async def test_over_a_socket(self) -> None:
        """
        The way of the data path: a connection on the socket, the handshake,
        the verdict, and only then the request.
        """
        other = make_certificate()
        for tls12 in (True, False):
            backend = Backend(self, server_context(ISSUED, tls12))
            for allowed in (ISSUED, other):
                options = PinnedClientTLSOptions(target(pin(allowed)))
                verdict = await deferToThread(blocking, backend.port, options)
                self.assertEqual(verdict.admitted, allowed is ISSUED)
            await backend.ended(2)
            self.assertEqual(b"".join(backend.received), SECRET)

    def test_interface(self) -> None:
        """
        The options are what Twisted's TLS asks for.
        """
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        verifyObject(IOpenSSLClientConnectionCreator, options)


def blocking(port: int, options: PinnedClientTLSOptions) -> Verdict:
    """
    Connect over a blocking socket, and send the secret to whom it is due.
    """
    with socket.create_connection(("127.0.0.1", port)) as plain:
        limit = struct.pack("ll", 20, 0)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connection = SSL.Connection(options.context, plain)
        options.prepare(connection)
        with contextlib.suppress(SSL.Error):
            connection.do_handshake()
        verdict = options.verdict(connection)
        if verdict.admitted:
            connection.sendall(SECRET)
            connection.recv(1024)
            connection.shutdown()
        return verdict
