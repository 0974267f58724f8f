from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from tests.config.samples import (
    DAY,
    NOW,
    ConfigCase,
    certificate,
    key_pem,
    new_key,
    pem,
)

KEY = "trusted_client_certificates.clients.certificate_file"


class AuthorityTests(ConfigCase):
    """
    Files of CAs for clients: one root with its intermediates, and nothing else.
    """

    def setUp(self) -> None:
        """
        Make a root, an intermediate and a leaf.
        """
        super().setUp()
        self.keys = [new_key() for _ in range(3)]
        self.root = certificate(self.keys[0], name="root", ca=True)
        above = ("root", self.keys[0])
        self.middle = certificate(self.keys[1], name="middle", ca=True, issuer=above)
        self.leaf = certificate(self.keys[2], issuer=("middle", self.keys[1]))

    def trusting(self, data: bytes) -> str:
        """
        Write a configuration that trusts what is in a file.
        """
        self.write("clients.pem", data)
        clients = "clients: {certificate_file: clients.pem}  # here"
        return self.text(trusted_client_certificates=clients)

    def test_sound(self) -> None:
        """
        A root alone, with intermediates in any order, and in DER.
        """
        for data in (
            pem(self.root),
            pem(self.middle, self.root),
            self.root.public_bytes(Encoding.DER),
        ):
            config = self.sound(self.trusting(data))
        self.assertEqual(
            1, len(config.trusted_client_certificates["clients"].certificates)
        )

    def test_roots(self) -> None:
        """
        No root, and two, are errors.
        """
        other = certificate(new_key(), name="other", ca=True)
        for data, said in (
            (pem(self.middle), "no self-issued"),
            (pem(self.root, other), "2 self-issued"),
        ):
            self.assertIn(said, self.only(self.trusting(data), KEY).found)

    def test_leaves(self) -> None:
        """
        A certificate that is no CA's is an error, self-signed or not.
        """
        alone = certificate(new_key(), name="alone")
        problem = self.only(self.trusting(pem(self.root, self.middle, self.leaf)), KEY)
        self.assertIn("no CA's (CN=shop.example.com)", problem.found)
        self.assertIn("CN=alone", self.only(self.trusting(pem(alone)), KEY).found)

    def test_private_key(self) -> None:
        """
        A private key has no place there, whatever stands beside it.
        """
        for data in (
            pem(self.root) + key_pem(self.keys[0]),
            key_pem(self.keys[0], b"secret") + pem(self.root),
        ):
            self.assertIn("a private key", self.only(self.trusting(data), KEY).found)

    def test_nothing(self) -> None:
        """
        A file without a certificate is an error.
        """
        for data in (b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n"):
            self.only(self.trusting(data), KEY)

    def test_no_way_up(self) -> None:
        """
        An intermediate that leads to another root is a warning.
        """
        lost = certificate(new_key(), name="lost", ca=True, issuer=("x", new_key()))
        problem = self.only(self.trusting(pem(self.root, lost)), KEY, "warning")
        self.assertIn("CN=lost", problem.found)

    def test_dates(self) -> None:
        """
        A CA out of date is a warning.
        """
        old = certificate(
            new_key(), name="old", ca=True, first=NOW - 9 * DAY, last=NOW - DAY
        )
        self.only(self.trusting(pem(old)), KEY, "warning")
