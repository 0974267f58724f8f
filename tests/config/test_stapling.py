from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from appgw.config.stapling import NoStaple, Staple, read_staple
from tests.config.samples import (
    DAY,
    NOW,
    SOUND,
    ConfigCase,
    certificate,
    new_key,
    pem,
    said_by,
)

KEY = "certificates.shop.ocsp_response_file"
GOOD = ocsp.OCSPCertStatus.GOOD
REVOKED = ocsp.OCSPCertStatus.REVOKED


class StapleCase(ConfigCase):
    """
    A leaf, its CA, and what the CA says about it.
    """

    def setUp(self) -> None:
        """
        Make both.
        """
        super().setUp()
        self.ca_key = new_key()
        self.ca = certificate(self.ca_key, name="ca", ca=True)
        self.leaf = certificate(self.key, issuer=("ca", self.ca_key))

    def said(
        self,
        leaf: x509.Certificate | None = None,
        ca: x509.Certificate | None = None,
        status: ocsp.OCSPCertStatus = GOOD,
        since: datetime.datetime = NOW - DAY,
        until: datetime.datetime | None = NOW + DAY,
        digest: Any = hashes.SHA1,
    ) -> bytes:
        """
        Let the CA say something about a certificate.
        """
        return said_by(
            self.ca_key,
            self.ca,
            cert=leaf or self.leaf,
            issuer=ca or self.ca,
            algorithm=digest(),
            cert_status=status,
            this_update=since,
            next_update=until,
        )


class ReadTests(StapleCase):
    """
    What a response says about a leaf.
    """

    def test_about_the_leaf(self) -> None:
        """
        It is found with and without the issuer's certificate, by any digest.
        """
        for digest in (hashes.SHA1, hashes.SHA256):
            for chain in ([self.leaf], [self.leaf, self.ca]):
                staple = read_staple(self.said(digest=digest), chain)
                self.assertEqual(Staple(True, NOW - DAY, NOW + DAY), staple)

    def test_about_others(self) -> None:
        """
        Another serial number, another issuer, and another key of an issuer with
        the same name.
        """
        other = certificate(new_key(), issuer=("ca", self.ca_key))
        serial = self.leaf.serial_number
        namesake = certificate(new_key(), issuer=("x", new_key()), serial=serial)
        twin = certificate(new_key(), name="ca", ca=True)
        for response, chain in (
            (self.said(leaf=other), [self.leaf]),
            (self.said(leaf=namesake), [self.leaf]),
            (self.said(ca=twin), [self.leaf, self.ca]),
        ):
            with self.assertRaises(NoStaple):
                read_staple(response, chain)

    def test_nothing_said(self) -> None:
        """
        A responder's refusal, and bytes that are no response.
        """
        refused = ocsp.OCSPResponseBuilder.build_unsuccessful(
            ocsp.OCSPResponseStatus.TRY_LATER
        )
        for data in (refused.public_bytes(Encoding.DER), b"", b"nothing"):
            with self.assertRaises(NoStaple):
                read_staple(data, [self.leaf])

    def test_fresh(self) -> None:
        """
        It may be shown from the first moment to the last, and if it is good.
        """
        staple = Staple(True, NOW, NOW + DAY)
        second = datetime.timedelta(seconds=1)
        for moment, fresh in (
            (NOW - second, False),
            (NOW, True),
            (NOW + DAY, True),
            (NOW + DAY + second, False),
        ):
            self.assertEqual(fresh, staple.fresh(moment))
        self.assertTrue(Staple(True, NOW, None).fresh(NOW + 9 * DAY))
        self.assertFalse(Staple(False, NOW, NOW + DAY).fresh(NOW))


class LoadedTests(StapleCase):
    """
    The file beside a certificate.
    """

    def stapling(self, response: bytes, *chain: x509.Certificate) -> str:
        """
        Write a configuration with a response beside the certificate.
        """
        self.write("shop.pem", pem(*(chain or (self.leaf, self.ca))))
        self.write("shop.ocsp", response)
        shop = SOUND["certificates"].replace("}", ", ocsp_response_file: shop.ocsp}")
        return self.text(certificates=f"{shop}  # here")

    def test_sound(self) -> None:
        """
        A response about the leaf is kept as it is.
        """
        response = self.said()
        config = self.sound(self.stapling(response))
        self.assertEqual(response, config.certificates["shop"].ocsp_response)

    def test_another(self) -> None:
        """
        One about another certificate is an error, and so is what is none.
        """
        other = certificate(new_key(), issuer=("ca", self.ca_key))
        for response in (self.said(leaf=other), b"nothing", pem(self.leaf)):
            self.only(self.stapling(response), KEY)

    def test_late(self) -> None:
        """
        One out of date is a warning, and so is one that calls the leaf revoked.
        """
        for response, said in (
            (self.said(until=NOW - DAY / 2), "expired on 2026-06-01 00:00"),
            (self.said(since=NOW + DAY / 2), "isn't valid before 2026-06-02 00:00"),
            (self.said(status=REVOKED), "isn't stapled"),
        ):
            problem = self.only(self.stapling(response), KEY, "warning")
            self.assertIn(said, problem.found)

    def test_must_staple(self) -> None:
        """
        A certificate that must be stapled (RFC 7633) and is not is a warning.
        """
        must = x509.TLSFeature([x509.TLSFeatureType.status_request])
        leaf = certificate(self.key, issuer=("ca", self.ca_key), extensions=[must])
        self.write("shop.pem", pem(leaf, self.ca))
        shop = f"{SOUND['certificates']}  # here"
        self.only(self.text(certificates=shop), KEY, "warning")
        self.sound(self.stapling(self.said(leaf=leaf), leaf, self.ca))
