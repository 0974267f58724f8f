from __future__ import annotations

import contextlib
import datetime
import ssl
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from appgw.testing import (
    Issued,
    ServerTLS,
    make_ca,
    make_certificate,
    make_key,
    server_context,
)


def meet(server: SSL.Context, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """
    Shake hands in memory with the standard library's client.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = SSL.Connection(server, None)
    ours.set_accept_state()
    theirs = client.wrap_bio(incoming, outgoing, server_hostname=name)
    for _ in range(10):
        try:
            theirs.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return theirs
        ours.bio_write(outgoing.read())
        with contextlib.suppress(SSL.WantReadError):
            ours.do_handshake()
        incoming.write(ours.bio_read(65536))
    raise AssertionError("the handshake does not end")


def trusting(root: Issued) -> ssl.SSLContext:
    """
    Make a client that demands a chain to *root* and the right name.
    """
    context = ssl.create_default_context(cadata=root.cert_pem.decode())
    context.set_alpn_protocols(["http/1.1"])
    return context


class CertificateTests(SynchronousTestCase):
    def test_chain_is_accepted_by_another_tls(self) -> None:
        """
        A leaf under an intermediate satisfies the standard library's checks.
        """
        root = make_ca()
        middle = make_ca("middle", root)
        for kind in ("ecdsa", "rsa", "ed25519"):
            leaf = make_certificate(["a.example"], key=kind, issuer=middle)
            met = meet(server_context(leaf), trusting(root), "a.example")
            self.assertEqual(met.getpeercert(True), leaf.der)
            self.assertEqual(met.selected_alpn_protocol(), "http/1.1")

    def test_wrong_name_is_refused_by_another_tls(self) -> None:
        """
        The certificate is good for the names that were asked for, only.
        """
        root = make_ca()
        leaf = make_certificate(["a.example"], issuer=root)
        with self.assertRaises(ssl.SSLCertVerificationError):
            meet(server_context(leaf), trusting(root), "b.example")

    def test_address_is_a_name(self) -> None:
        """
        An IP address goes into the subjectAltName as one.
        """
        root = make_ca()
        leaf = make_certificate(ips=["127.0.0.1"], issuer=root)
        met = meet(server_context(leaf), trusting(root), "127.0.0.1")
        self.assertEqual(met.getpeercert(True), leaf.der)

    def test_no_names_no_extension(self) -> None:
        """
        Without names and addresses there is no subjectAltName at all.
        """
        leaf = make_certificate(common_name="a.example")
        with self.assertRaises(x509.ExtensionNotFound):
            leaf.certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )

    def test_fingerprints(self) -> None:
        """
        The fingerprints are those that the certificate itself gives.
        """
        leaf = make_certificate(["a.example"])
        again = x509.load_pem_x509_certificate(leaf.cert_pem)
        self.assertEqual(again.public_bytes(serialization.Encoding.DER), leaf.der)
        self.assertEqual(len(leaf.sha256), 64)
        renewed = make_certificate(["a.example"], key=leaf.key)
        self.assertEqual(renewed.spki_sha256, leaf.spki_sha256)
        self.assertNotEqual(renewed.sha256, leaf.sha256)

    def test_dates_and_serial_are_taken_over(self) -> None:
        """
        Dates and serial number are those that were asked for.
        """
        day = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        later = day + datetime.timedelta(days=3)
        leaf = make_certificate(not_before=day, not_after=later, serial=7)
        self.assertEqual(leaf.certificate.not_valid_before_utc, day)
        self.assertEqual(leaf.certificate.not_valid_after_utc, later)
        self.assertEqual(leaf.certificate.serial_number, 7)

    def test_files(self) -> None:
        """
        ``write`` leaves a chain without its root, and a key for its owner.
        """
        root = make_ca()
        leaf = make_certificate(["a.example"], issuer=make_ca("middle", root))
        folder = self.mktemp()
        certificate, key = leaf.write(folder, "shop")
        self.assertEqual(certificate, str(Path(folder, "shop.pem")))
        found = x509.load_pem_x509_certificates(Path(certificate).read_bytes())
        self.assertEqual(found, [leaf.certificate, leaf.intermediates[0].certificate])
        self.assertEqual(stat.S_IMODE(Path(key).stat().st_mode), 0o600)
        private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
        self.assertEqual(private.public_key(), leaf.key.public_key())


class ServerContextTests(SynchronousTestCase):
    def test_version(self) -> None:
        """
        A backend can be held to TLS 1.2.
        """
        root = make_ca()
        leaf = make_certificate(["a.example"], issuer=root)
        old = meet(server_context(leaf, tls12_only=True), trusting(root), "a.example")
        new = meet(server_context(leaf), trusting(root), "a.example")
        self.assertEqual((old.version(), new.version()), ("TLSv1.2", "TLSv1.3"))

    def test_tickets(self) -> None:
        """
        A backend with tickets resumes a session, one without does not.
        """
        root = make_ca()
        leaf = make_certificate(["a.example"], issuer=root)
        for offered in (True, False):
            context = server_context(leaf, tls12_only=True, tickets=offered)
            client = trusting(root)
            first = meet(context, client, "a.example")
            self.assertEqual(first.session.has_ticket, offered)

    def test_extra_certificates(self) -> None:
        """
        A backend can send whatever it likes after its leaf.
        """
        stranger, other = make_certificate(["a.example"]), make_certificate()
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        server = SSL.Connection(server_context(stranger, extra=[other]), None)
        server.set_accept_state()
        for left, right in ((client, server), (server, client)):
            with self.assertRaises(SSL.WantReadError):
                left.do_handshake()
            right.bio_write(left.bio_read(65536))
        client.do_handshake()
        chain = client.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual(chain, [stranger.certificate, other.certificate])

    def test_for_twisted(self) -> None:
        """
        The context goes to Twisted inside a maker of connections.
        """
        context = server_context(make_certificate())
        creator = ServerTLS(context)
        verifyObject(IOpenSSLServerConnectionCreator, creator)
        self.assertIs(creator.serverConnectionForTLS(None).get_context(), context)

    def test_keys_are_fresh(self) -> None:
        """
        Two keys are never the same.
        """
        self.assertNotEqual(make_key().public_key(), make_key().public_key())
