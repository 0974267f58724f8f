from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.config.samples import (
    DAY,
    NOW,
    PIN,
    ConfigCase,
    certificate,
    key_pem,
    new_key,
    pem,
)

CERT = "certificates.shop.certificate_file"
KEY = "certificates.shop.key_file"


class PresentedTests(ConfigCase):
    def shop(self) -> str:
        """
        Write a configuration with the certificate's line marked.
        """
        shop = "shop: {certificate_file: shop.pem, key_file: shop.key}  # here"
        return self.text(certificates=shop)

    def test_key_of_another(self) -> None:
        """
        The key must belong to the certificate.
        """
        self.write("shop.key", key_pem(new_key()))
        self.assertIn("belongs to none", self.only(self.shop(), KEY).found)

    def test_leaf_not_first(self) -> None:
        """
        The key must belong to the first certificate of the file.
        """
        ca_key = new_key()
        ca = certificate(ca_key, name="ca", ca=True)
        leaf = certificate(self.key, issuer=("ca", ca_key))
        self.write("shop.pem", pem(ca, leaf))
        self.assertIn("certificate 2", self.only(self.shop(), KEY).found)
        self.write("shop.pem", pem(leaf, ca))
        self.sound(self.shop())

    def test_dates(self) -> None:
        """
        A certificate out of date is a warning.
        """
        old = certificate(self.key, first=NOW - 9 * DAY, last=NOW - DAY)
        self.write("shop.pem", pem(old))
        problem = self.only(self.shop(), CERT, "warning")
        self.assertIn("expired on 2026-05-31", problem.found)
        self.assertIn("CN=shop.example.com", problem.found)
        early = certificate(self.key, first=NOW + DAY, last=NOW + 9 * DAY)
        self.write("shop.pem", pem(early))
        problem = self.only(self.shop(), CERT, "warning")
        self.assertIn("isn't valid before 2026-06-02", problem.found)

    def test_dates_in_the_chain(self) -> None:
        """
        An intermediate certificate out of date is a warning too.
        """
        ca_key = new_key()
        ca = certificate(
            ca_key, name="ca", ca=True, first=NOW - 9 * DAY, last=NOW - DAY
        )
        leaf = certificate(self.key, issuer=("ca", ca_key))
        self.write("shop.pem", pem(leaf, ca))
        found = self.only(self.shop(), CERT, "warning").found
        self.assertTrue(found.startswith("certificate 2"), found)

    def test_what_openssl_refuses(self) -> None:
        """
        A key too weak to be served is an error, in OpenSSL's words.
        """
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        self.write("shop.pem", pem(certificate(weak)))
        self.write("shop.key", key_pem(weak))
        self.assertIn("too small", self.only(self.shop(), CERT).found)

    def test_hostile_subject(self) -> None:
        """
        A subject can't write to the terminal.
        """
        name = "a\x1b[31m\r\nb\u202e"
        old = certificate(self.key, name=name, first=NOW - 9 * DAY, last=NOW - DAY)
        self.write("shop.pem", pem(old))
        self.assertTrue(str(self.only(self.shop(), CERT, "warning")).isprintable())


class PinTests(ConfigCase):
    def pin(self, more: str = "") -> str:
        """
        Write a configuration with a pin from a file.
        """
        pins = f"orders: {{certificate_file: leaf.pem{more}}}  # here"
        return self.text(pins=pins)

    def test_dates(self) -> None:
        """
        A pinned certificate out of date is a warning, unless that is allowed.
        """
        key = "pins.orders.certificate_file"
        old = certificate(self.key, first=NOW - 9 * DAY, last=NOW - DAY)
        self.write("leaf.pem", pem(old))
        self.only(self.pin(), key, "warning")
        self.sound(self.pin(", allow_expired: true"))
        early = certificate(self.key, first=NOW + DAY, last=NOW + 9 * DAY)
        self.write("leaf.pem", pem(early))
        self.only(self.pin(), key, "warning")

    def test_authority(self) -> None:
        """
        A CA's certificate as a pin is a warning.
        """
        self.write("leaf.pem", pem(certificate(self.key, name="ca", ca=True)))
        problem = self.only(self.pin(), "pins.orders.certificate_file", "warning")
        self.assertIn("CN=ca", problem.found)

    def test_last_day(self) -> None:
        """
        A pin holds to the end of its last day; after it, a warning.
        """
        for day, over in (("2026-06-01", False), ("2026-05-31", True)):
            text = self.text(
                pins=f"orders: {{sha256: {PIN}, not_after: {day}}}  # here"
            )
            if over:
                self.only(text, "pins.orders.not_after", "warning")
            else:
                self.sound(text)


class RootTests(ConfigCase):
    text_of = "corp: {certificate_file: root.pem}  # here"
    key_of = "trusted_roots.corp.certificate_file"

    def test_dates(self) -> None:
        """
        A root out of date is a warning.
        """
        old = certificate(self.key, ca=True, first=NOW - 9 * DAY, last=NOW - DAY)
        self.write("root.pem", pem(old))
        self.only(self.text(trusted_roots=self.text_of), self.key_of, "warning")

    def test_leaf(self) -> None:
        """
        A leaf among the roots is a warning.
        """
        self.write("root.pem", pem(certificate(self.key)))
        problem = self.only(
            self.text(trusted_roots=self.text_of), self.key_of, "warning"
        )
        self.assertIn("no CA's", problem.found)
