from __future__ import annotations

from typing import Any

import attrs
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.kept import CertificateWanted, PinnedTerms
from appgw.backend.target import Target
from appgw.backend.targets import target_for
from appgw.backend.trust import PinnedClientTLSOptions
from appgw.config.model import BackendSettings, Certificate, Member
from appgw.testing import Issued, make_ca, make_certificate, server_context
from tests.backend.loopback import Pair, pin, target

ISSUED = make_certificate(["a.example"])
STRANGER = make_certificate(["a.example"])
ROOT = make_ca("root")
MIDDLE = make_ca("middle", ROOT)
US = make_certificate(common_name="us", issuer=MIDDLE)


def held(issued: Issued, name: str = "us") -> Certificate:
    return Certificate(name=name, chain=issued.chain_pem, key=issued.key_pem)


class Asking:
    """
    A server's context that asks for certificates, and what it was shown.
    """

    def __init__(self, issued: Issued, *, tls12: bool, suites: bytes = b"") -> None:
        self.seen: list[str] = []
        self.context = server_context(issued, tls12)
        self.context.set_verify(SSL.VERIFY_PEER, self._verify)
        self.context.add_client_ca(ROOT.certificate)
        if suites:
            self.context.set_cipher_list(suites)

    def _verify(self, connection: Any, certificate: Any, *_: int) -> bool:
        name = certificate.to_cryptography().subject.rfc4514_string()
        if name not in self.seen:
            self.seen.append(name)
        return True


def presenting(*pins: Any, **more: Any) -> Target:
    return target(*pins, client_certificate=held(US), **more)


class HandshakeTests(SynchronousTestCase):
    """
    Who is shown our certificate.
    """

    def shaken(self, wanted: Target, asking: Asking) -> tuple[Pair, str]:
        """
        Shake hands; return both ends and the verdict's reason.
        """
        options = PinnedClientTLSOptions(wanted)
        pair = Pair.of(options, asking.context)
        pair.shake()
        return pair, options.verdict(pair.client).reason

    def test_shown(self) -> None:
        """
        A backend whose leaf is pinned sees our certificate with its chain.
        """
        for tls12 in (True, False):
            asking = Asking(ISSUED, tls12=tls12)
            pair, reason = self.shaken(presenting(pin(ISSUED)), asking)
            self.assertEqual("admitted", reason)
            self.assertEqual(["CN=us"], asking.seen[-1:])
            sent = pair.server.get_peer_cert_chain(as_cryptography=True)
            self.assertEqual([MIDDLE.certificate], sent)

    def test_a_stranger(self) -> None:
        """
        One whose leaf isn't gets an alert, and sees nothing of ours; it is the
        same with roots.
        """
        elsewhere = make_ca("elsewhere")
        for tls12 in (True, False):
            for wanted in (
                presenting(pin(ISSUED)),
                presenting(),
                presenting(pins=None, roots=(elsewhere.der,)),
            ):
                asking = Asking(STRANGER, tls12=tls12)
                pair, reason = self.shaken(wanted, asking)
                self.assertIn(reason, ("not-pinned", "chain", "unfinished"))
                self.assertEqual([], asking.seen)
                self.assertIsNone(pair.server.get_peer_certificate())

    def test_not_asked(self) -> None:
        """
        Who doesn't ask isn't shown anything.
        """
        for tls12 in (True, False):
            options = PinnedClientTLSOptions(presenting(pin(ISSUED)))
            pair = Pair.of(options, server_context(ISSUED, tls12))
            pair.shake()
            self.assertTrue(options.verdict(pair.client).admitted)
            self.assertIsNone(pair.server.get_peer_certificate())

    def test_nothing_to_show(self) -> None:
        """
        Without a certificate the handshake comes about all the same.
        """
        for tls12 in (True, False):
            asking = Asking(ISSUED, tls12=tls12)
            _, reason = self.shaken(target(pin(ISSUED)), asking)
            self.assertEqual(("admitted", []), (reason, asking.seen))

    def test_our_chain_is_the_files(self) -> None:
        """
        Trusted roots lend our certificate no issuers.
        """
        alone = attrs.evolve(US, issuer=None)
        server = make_certificate(["a.example"], issuer=ROOT)
        asking = Asking(server, tls12=False)
        wanted = target(
            pins=None,
            roots=(ROOT.der, MIDDLE.der),
            client_certificate=held(alone),
        )
        pair, reason = self.shaken(wanted, asking)
        self.assertEqual("admitted", reason)
        sent = pair.server.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual((["CN=us"], []), (asking.seen, sent))

    def test_a_key_not_proven(self) -> None:
        """
        A key exchange in which a server proves its key after it has seen our
        certificate is not offered; without a certificate it is.
        """
        rsa = make_certificate(["a.example"], key="rsa")
        for wanted, reason in (
            (presenting(pin(rsa)), "unfinished"),
            (target(pin(rsa)), "admitted"),
        ):
            asking = Asking(rsa, tls12=True, suites=b"kRSA")
            _, found = self.shaken(wanted, asking)
            self.assertEqual((reason, []), (found, asking.seen))

    def test_a_stolen_certificate(self) -> None:
        """
        Who shows the pinned certificate without its key sees nothing of ours.
        """
        thief = make_certificate(["a.example"])
        while len(thief.der) != len(ISSUED.der):
            thief = make_certificate(["a.example"])
        asking = Asking(thief, tls12=True)
        options = PinnedClientTLSOptions(presenting(pin(ISSUED)))
        pair = Pair.of(options, asking.context)
        pair.disguised(thief, ISSUED)
        with self.assertRaises(SSL.Error):
            pair.client.do_handshake()
        self.assertNotIn(US.der, pair.client.bio_read(1 << 16))

    def test_why_it_failed(self) -> None:
        """
        A handshake that fails after we were asked is called so; also where nobody
        can read whose certificates are wanted.
        """

        class Unreadable(SSL.Connection):
            def get_client_ca_list(self, **_: bool) -> Any:
                raise ValueError("no names")

        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        terms = PinnedTerms(options)
        error = SSL.Error([("SSL routines", "", "tls alert handshake failure")])
        asking = Asking(ISSUED, tls12=True)
        asked = Pair.of(options, asking.context)
        asked.shake()
        other = Pair.of(options, server_context(ISSUED))
        self.assertIs(error, terms.failure(other.client, error))
        for connection in (asked.client, Unreadable(options.context, None)):
            failure = terms.failure(connection, error)
            self.assertIsInstance(failure, CertificateWanted)
            self.assertIn("tls alert handshake failure", str(failure))

    def test_what_cannot_be_presented(self) -> None:
        """
        A key of another certificate shows at once.
        """
        wrong = attrs.evolve(held(US), key=ISSUED.key_pem)
        with self.assertRaises(SSL.Error):
            PinnedClientTLSOptions(target(client_certificate=wrong))


class IdentityTests(SynchronousTestCase):
    """
    It is part of what a connection is known by.
    """

    SETTINGS = BackendSettings(
        name="s", protocol="https", port=443, pins=("leaf",), client_certificate="us"
    )

    def target(self, settings: BackendSettings, **certificates: Certificate) -> Target:
        """
        Return the target under a setting.
        """
        member = Member(address="a.example")
        pins = {"leaf": pin(ISSUED)}
        return target_for(settings, member, "127.0.0.1", pins, {}, certificates)

    def test_by_content(self) -> None:
        """
        Another certificate is another target, and a renewed one, too; what
        clients are stapled is none of it.
        """
        one = self.target(self.SETTINGS, us=held(US))
        self.assertEqual(held(US), one.client_certificate)
        renewed = make_certificate(common_name="us", issuer=MIDDLE)
        none = attrs.evolve(self.SETTINGS, client_certificate=None)
        others = {
            self.target(self.SETTINGS, us=held(renewed)),
            self.target(none, us=held(US)),
        }
        self.assertNotIn(one, others)
        stapled = attrs.evolve(held(US), ocsp_response=b"response")
        self.assertEqual(one, self.target(self.SETTINGS, us=stapled))

    def test_never_lost(self) -> None:
        """
        A name that leads nowhere is never taken for none.
        """
        with self.assertRaises(KeyError):
            self.target(self.SETTINGS)

    def test_secret(self) -> None:
        """
        A target that is printed shows no private key.
        """
        one = self.target(self.SETTINGS, us=held(US))
        self.assertNotIn("PRIVATE KEY", repr(one))
