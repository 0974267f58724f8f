from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.clients import LARGEST, read_client_certificate, written
from appgw.testing import make_ca, make_certificate, make_key

ROOT = make_ca("root")
MIDDLE = make_ca("middle", ROOT)
CLIENT = make_certificate(common_name="client", issuer=ROOT)


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(*one) for one in attributes])


class ReadingTests(SynchronousTestCase):
    """
    What is told of a certificate, which its owner may have made up.
    """

    def test_facts(self) -> None:
        """
        Names, serial number, fingerprint and dates.
        """
        client = make_certificate(common_name="client", issuer=ROOT, serial=0xABC)
        shown = read_client_certificate(client.der, None, None)
        certificate = client.certificate
        self.assertEqual("SUCCESS", shown.verification)
        self.assertEqual(("CN=client", "CN=root"), (shown.subject, shown.issuer))
        self.assertEqual("0ABC", shown.serial)
        sha1 = certificate.fingerprint(hashes.SHA1()).hex()
        self.assertEqual(sha1, shown.fingerprint)
        self.assertEqual(certificate.not_valid_before_utc, shown.not_before)
        self.assertEqual(certificate.not_valid_after_utc, shown.not_after)

    def test_failures(self) -> None:
        """
        The first failure is told, and a mismatch only where nothing else is.
        """
        for failed, issuers, verification in (
            (None, frozenset([ROOT.certificate.subject]), "SUCCESS"),
            (
                None,
                frozenset([MIDDLE.certificate.subject]),
                "FAILED:issuer DN mismatch",
            ),
            (None, frozenset(), "FAILED:issuer DN mismatch"),
            ("late", frozenset(), "FAILED:late"),
        ):
            shown = read_client_certificate(CLIENT.der, failed, issuers)
            self.assertEqual(verification, shown.verification)
            self.assertEqual("CN=client", shown.subject)

    def test_bytes_that_are_none(self) -> None:
        """
        What can't be read has failed, and raises nothing.
        """
        for der in (b"", b"\x30\x03abc", CLIENT.der[:-9]):
            shown = read_client_certificate(der, None, None)
            self.assertEqual("FAILED:unreadable certificate", shown.verification)
            self.assertEqual("", shown.subject)

    def test_too_large(self) -> None:
        """
        What is larger than any certificate is not read, but has a fingerprint.
        """
        names = [f"{number}.{'a' * 60}.example" for number in range(300)]
        large = make_certificate(names, issuer=ROOT)
        self.assertGreater(len(large.der), LARGEST)
        shown = read_client_certificate(large.der, None, None)
        self.assertEqual("FAILED:certificate too large", shown.verification)
        self.assertEqual(("", 40), (shown.subject, len(shown.fingerprint)))

    def test_names_in_one_line(self) -> None:
        """
        A name is printable ASCII, and its parts can't be mistaken.
        """
        evil = named(
            (NameOID.ORGANIZATION_NAME, "a\r\nX-Admin: yes"),
            (NameOID.COMMON_NAME, "Zoë, CN=admin\x1b\u202e"),
        )
        self.assertEqual(
            "CN=Zo\\C3\\AB\\, CN=admin\\1B\\E2\\80\\AE,O=a\\0D\\0AX-Admin: yes",
            written(evil),
        )
        self.assertEqual("", written(named()))

    def test_serial_numbers(self) -> None:
        """
        They have an even number of digits, however large.
        """
        key = make_key()
        for serial, told in ((1, "01"), (0xFF, "FF"), (1 << 150, "40" + "00" * 18)):
            issued = make_certificate(["a"], key=key, serial=serial)
            shown = read_client_certificate(issued.der, None, None)
            self.assertEqual(told, shown.serial)
