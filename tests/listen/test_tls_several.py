from __future__ import annotations

import datetime
import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from twisted.logger import globalLogPublisher

from appgw.config.demands import Demands
from appgw.listen.contexts import SiteTLS
from appgw.testing import Issued, make_ca, make_certificate
from tests.listen.test_tls_tickets import Greeting
from tests.sites import (
    DEFAULT,
    TLS12,
    TLS13,
    Met,
    Peer,
    asking,
    held,
    name_of,
    port_of,
    site,
)
from tests.wire import WireTestCase, dial

ROOT = make_ca("root")
KINDS = ("rsa", "ecdsa", "ed25519")
MIDDLES = {kind: make_ca(f"middle-{kind}", ROOT, key=kind) for kind in KINDS}
LEAVES = {
    kind: make_certificate(
        ["a.example"], common_name=kind, issuer=MIDDLES[kind], key=kind
    )
    for kind in KINDS
}
SIGNATURES = {
    "rsa": b"rsa_pss_rsae_sha256:rsa_pkcs1_sha256",
    "ecdsa": b"ecdsa_secp256r1_sha256",
    "ed25519": b"ed25519",
}
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def said(
    issued: Issued,
    *,
    since: datetime.datetime = NOW - DAY,
    until: datetime.datetime | None = NOW + DAY,
) -> bytes:
    """
    Let a certificate's CA call it good.
    """
    assert issued.issuer is not None
    ca = issued.issuer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=issued.certificate,
        issuer=ca.certificate,
        algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=since,
        next_update=until,
        revocation_time=None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ca.certificate)
    digest = None if "ed25519" in name_of(ca) else hashes.SHA256()
    return builder.sign(ca.key, digest).public_bytes(Encoding.DER)


class SeveralCase(WireTestCase):
    """
    Listeners with more than one certificate.
    """

    def tearDown(self) -> None:
        """
        Nothing that a peer does in a handshake is worth a log line.
        """
        self.assertEqual([], self.flushLoggedErrors())

    async def meet(self, port: int, **how: Any) -> Met:
        """
        Let a peer meet the port.
        """
        met: Met = await self.peer(Peer(**how).meet, port)
        return met


class KindTests(SeveralCase):
    """
    The client's signature algorithms choose.
    """

    async def test_by_signature(self) -> None:
        """
        Who takes one kind of key only is shown that, with its own chain.
        """
        for order in (KINDS, KINDS[::-1]):
            port = self.serve(
                Greeting, port_of({"a": site(*(LEAVES[kind] for kind in order))})
            )
            for kind, signatures in SIGNATURES.items():
                for version in (TLS12, TLS13):
                    met = await self.meet(port, version=version, signatures=signatures)
                    self.assertEqual((kind, f"middle-{kind}"), met.chain, met.refusal)
            await self._stop(self.port)

    async def test_verified(self) -> None:
        """
        A client that verifies finds its way up from either.
        """
        pair = site(LEAVES["rsa"], LEAVES["ecdsa"])
        port = self.serve(Greeting, port_of({"a.example": pair}))
        for suite, wanted in (("aRSA", "rsa"), ("ECDHE+aECDSA", "ecdsa")):
            context = ssl.create_default_context(cadata=ROOT.cert_pem.decode())
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suite)
            with await self.peer(dial, port, context) as peer:
                leaf = x509.load_der_x509_certificate(peer.getpeercert(True))
                subject = leaf.subject.rfc4514_string()
                self.assertEqual(f"CN={wanted}", subject)

    async def test_by_name(self) -> None:
        """
        The name counts first, also where listeners differ in their demands.
        """
        alone = make_certificate(["b.example"], key="rsa")
        pair = site(LEAVES["rsa"], LEAVES["ecdsa"], demands=asking(ROOT))
        tls = port_of({"b.example": site(alone), "a.example": pair})
        port = self.serve(Greeting, tls)
        for name, kind, chain in (
            (b"a.example", "ecdsa", ("ecdsa", "middle-ecdsa")),
            (b"a.example", "rsa", ("rsa", "middle-rsa")),
            (b"b.example", "rsa", ("b.example",)),
            (b"b.example", "ecdsa", ()),
        ):
            met = await self.meet(port, name=name, signatures=SIGNATURES[kind])
            self.assertEqual(chain, met.chain)


class StapleTests(SeveralCase):
    """
    OCSP responses beside the certificate.
    """

    def stapling(self, **more: Any) -> int:
        """
        Serve two certificates, each with its response.
        """
        certificates = tuple(
            held(LEAVES[kind], ocsp_response=said(LEAVES[kind], **more))
            for kind in ("rsa", "ecdsa")
        )
        self.now = NOW.timestamp()
        tls = port_of(
            {"a": SiteTLS(certificates, Demands(DEFAULT))}, wall=lambda: self.now
        )
        return self.serve(Greeting, tls)

    async def staple(self, port: int, kind: str, version: int) -> bytes | None:
        """
        Ask for it.
        """
        met = await self.meet(
            port, signatures=SIGNATURES[kind], version=version, stapling=True
        )
        self.assertEqual(b"hello", met.data)
        return met.staple

    async def test_for_the_certificate_shown(self) -> None:
        """
        Each certificate has its own response beside it.
        """
        port = self.stapling()
        for kind in ("rsa", "ecdsa"):
            for version in (TLS12, TLS13):
                found = await self.staple(port, kind, version)
                assert found
                response = ocsp.load_der_ocsp_response(found)
                serial = LEAVES[kind].certificate.serial_number
                self.assertEqual(serial, response.serial_number)

    async def test_only_when_asked(self) -> None:
        """
        Who doesn't ask gets none, and who asks where there is none is served.
        """
        port = self.stapling()
        self.assertIsNone((await self.meet(port)).staple)
        await self._stop(self.port)
        port = self.serve(Greeting, port_of({"a": site(LEAVES["ecdsa"])}))
        self.assertEqual(b"", await self.staple(port, "ecdsa", TLS13))

    async def test_only_in_time(self) -> None:
        """
        One that has expired meanwhile, or is not valid yet, is left out.
        """
        port = self.stapling()
        for days, there in ((0, True), (2, False), (-2, False), (0.5, True)):
            self.now = (NOW + days * DAY).timestamp()
            found = await self.staple(port, "ecdsa", TLS13)
            self.assertEqual(there, bool(found))

    def test_said_in_the_log(self) -> None:
        """
        Whoever makes contexts anew is told what is not stapled any more.
        """
        told: list[str] = []
        observer = lambda event: told.append(event.get("name", ""))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        rsa = held(LEAVES["rsa"], ocsp_response=said(LEAVES["rsa"]))
        self.now = NOW.timestamp()
        tls = port_of({"a": SiteTLS((rsa,), Demands(DEFAULT))}, wall=lambda: self.now)
        self.assertNotIn("rsa", told)
        self.now = (NOW + 2 * DAY).timestamp()
        tls.renew()
        self.assertIn("rsa", told)

    async def test_without_an_end(self) -> None:
        """
        One that names no end is shown until there is another.
        """
        port = self.stapling(until=None)
        self.now = (NOW + 99 * DAY).timestamp()
        self.assertTrue(await self.staple(port, "rsa", TLS12))

    async def test_one_of_two(self) -> None:
        """
        A certificate without a response has none, not its neighbour's.
        """
        rsa = held(LEAVES["rsa"], ocsp_response=said(LEAVES["rsa"]))
        pair = SiteTLS((rsa, held(LEAVES["ecdsa"])), Demands(DEFAULT))
        port = self.serve(Greeting, port_of({"a": pair}))
        self.assertTrue(await self.staple(port, "rsa", TLS13))
        self.assertEqual(b"", await self.staple(port, "ecdsa", TLS13))

    def test_of_another(self) -> None:
        """
        A response about another certificate is never served.
        """
        wrong = held(LEAVES["rsa"], ocsp_response=said(LEAVES["ecdsa"]))
        with self.assertRaises(ValueError):
            port_of({"a": SiteTLS((wrong,), Demands(DEFAULT))})
