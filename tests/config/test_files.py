from __future__ import annotations

import hashlib
import os

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from appgw.config import files
from appgw.config.scalars import UnfitError
from tests.config.samples import (
    ConfigCase,
    certificate,
    key_pem,
    new_key,
    pem,
    pfx,
)

CERT = "certificates.shop.certificate_file"
KEY = "certificates.shop.key_file"
PFX = "certificates.shop.pfx_file"


class CertificateFileTests(ConfigCase):
    def shop(
        self, content: str = "certificate_file: shop.pem, key_file: shop.key"
    ) -> str:
        """
        Write the certificate of the listener in some other way.
        """
        return self.text(certificates=f"shop: {{{content}}}  # here")

    def test_absent(self) -> None:
        """
        Files that aren't there are errors, each with the system's reason.
        """
        problem = self.only(
            self.shop("certificate_file: none, key_file: shop.key"), CERT
        )
        self.assertIn("No such file", problem.found)
        self.only(self.shop("certificate_file: shop.pem, key_file: none"), KEY)

    def test_other_than_files(self) -> None:
        """
        Folders, pipes and devices are not read.
        """
        os.mkfifo(self.folder / "pipe")
        for name, said in (
            (".", "Is a directory"),
            ("pipe", "which is no file"),
            ("/dev/zero", "which is no file"),
            ("/dev/null", "which is no file"),
        ):
            text = self.shop(f"certificate_file: {name}, key_file: shop.key")
            self.assertIn(said, self.only(text, CERT).found)

    def test_too_large(self) -> None:
        """
        A file has a most size.
        """
        self.write("shop.pem", b" " * (files.LARGEST + 1))
        self.assertIn("larger", self.only(self.shop(), CERT).found)

    def test_strange_paths(self) -> None:
        """
        A path that can't be one is an error.
        """
        for path in ("''", '"a\\0b"', "a" * 5000):
            self.only(self.shop(f"certificate_file: {path}, key_file: shop.key"), CERT)

    def test_no_certificate(self) -> None:
        """
        A file without certificates, a DER file or a broken one is refused.
        """
        broken = pem(certificate(self.key)).replace(b"A", b"B")
        der = certificate(self.key).public_bytes(Encoding.DER)
        for data in (b"", b"hello", key_pem(self.key), broken, der):
            self.write("shop.pem", data)
            self.only(self.shop(), CERT)

    def test_no_key(self) -> None:
        """
        What is there instead of a key is named.
        """
        der = self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        for data, found in (
            (key_pem(self.key, b"secret"), "an encrypted private key"),
            (der, "a private key in DER"),
            (pem(certificate(self.key)), "a certificate"),
            (b"hello", "a file without one"),
            (b"", "a file without one"),
        ):
            self.write("shop.key", data)
            self.assertEqual(self.only(self.shop(), KEY).found, found)

    def test_one_file_for_both(self) -> None:
        """
        Certificate and key may share a file.
        """
        self.write("both.pem", key_pem(self.key) + pem(certificate(self.key)))
        self.sound(self.shop("certificate_file: both.pem, key_file: both.pem"))

    def test_public_key_file(self) -> None:
        """
        A key that every user may read is a warning; one for a group is not.
        """
        self.write("shop.key", key_pem(self.key), mode=0o644)
        self.only(self.shop(), KEY, "warning")
        self.write("shop.key", key_pem(self.key), mode=0o640)
        self.sound(self.shop())

    def test_which_files(self) -> None:
        """
        It is certificate and key, or a PFX file.
        """
        self.write("shop.pfx", pfx(self.key, certificate(self.key), [], None))
        self.write("secret", b"x")
        for content in (
            "",
            "certificate_file: shop.pem",
            "key_file: shop.key",
            "password_file: secret",
            "pfx_file: shop.pfx, key_file: shop.key",
            "certificate_file: shop.pem, key_file: shop.key, password_file: secret",
        ):
            self.only(self.shop(content), "certificates.shop")


class PfxTests(ConfigCase):
    text_of = "shop: {pfx_file: shop.pfx, password_file: secret}  # here"

    def setUp(self) -> None:
        """
        Make a chain of three.
        """
        super().setUp()
        root_key, middle_key = new_key(), new_key()
        self.root = certificate(root_key, name="root", ca=True)
        self.middle = certificate(
            middle_key, name="middle", issuer=("root", root_key), ca=True
        )
        self.leaf = certificate(self.key, issuer=("middle", middle_key))
        self.write("secret", b"open sesame\n")

    def test_chain(self) -> None:
        """
        The chain comes out leaf first, without its root and without strangers.
        """
        stranger = certificate(new_key(), name="stranger")
        others = [self.root, stranger, self.middle]
        self.write("shop.pfx", pfx(self.key, self.leaf, others, b"open sesame"))
        config = self.sound(self.text(certificates=self.text_of))
        got = config.certificates["shop"]
        self.assertEqual(got.chain, pem(self.leaf, self.middle))
        self.assertEqual(got.key, key_pem(self.key))

    def test_without_password(self) -> None:
        """
        A PFX file need not be encrypted.
        """
        self.write("shop.pfx", pfx(self.key, self.leaf, [], None))
        self.sound(self.text(certificates="shop: {pfx_file: shop.pfx}"))

    def test_public_file(self) -> None:
        """
        A PFX file or a password that every user may read is a warning.
        """
        data = pfx(self.key, self.leaf, [], b"open sesame")
        self.write("shop.pfx", data, mode=0o644)
        self.only(self.text(certificates=self.text_of), PFX, "warning")
        self.write("shop.pfx", data)
        self.write("secret", b"open sesame", mode=0o644)
        text = self.text(certificates=self.text_of)
        self.only(text, "certificates.shop.password_file", "warning")

    def test_wrong_password(self) -> None:
        """
        A wrong or a missing password is an error.
        """
        self.write("shop.pfx", pfx(self.key, self.leaf, [], b"other"))
        problem = self.only(self.text(certificates=self.text_of), PFX)
        self.assertIn("with this password", problem.found)
        text = self.text(certificates="shop: {pfx_file: shop.pfx}  # here")
        self.assertIn("without a password", self.only(text, PFX).found)

    def test_empty_password_file(self) -> None:
        """
        A password has a character at least.
        """
        self.write("shop.pfx", pfx(self.key, self.leaf, [], b"open sesame"))
        for data in (b"", b"\n"):
            self.write("secret", data)
            text = self.text(certificates=self.text_of)
            self.only(text, "certificates.shop.password_file")

    def test_no_pfx(self) -> None:
        """
        Another kind of file is an error.
        """
        for data in (b"", b"hello", pem(self.leaf)):
            self.write("shop.pfx", data)
            self.only(self.text(certificates=self.text_of), PFX)

    def test_half(self) -> None:
        """
        A PFX file without certificate or without key is an error.
        """
        for key, leaf in ((None, self.leaf), (self.key, None)):
            how = NoEncryption()
            data = pkcs12.serialize_key_and_certificates(None, key, leaf, None, how)
            self.write("shop.pfx", data)
            text = self.text(certificates="shop: {pfx_file: shop.pfx}  # here")
            self.assertIn("no such pair", self.only(text, PFX).found)

    def test_circle(self) -> None:
        """
        Certificates that issue one another don't make an endless chain.
        """
        one_key, two_key = new_key(), new_key()
        one = certificate(one_key, name="one", issuer=("two", two_key), ca=True)
        two = certificate(two_key, name="two", issuer=("one", one_key), ca=True)
        leaf = certificate(self.key, issuer=("one", one_key))
        data = pfx(self.key, leaf, [one, two], b"x")
        chain, _ = files.unpacked(data, b"x")
        self.assertEqual(chain, pem(leaf, one, two))


class PinFileTests(ConfigCase):
    def pin(self) -> str:
        """
        Write a pin that comes from a file.
        """
        return self.text(pins="orders: {certificate_file: leaf}  # here")

    def test_forms(self) -> None:
        """
        A pin's file is PEM or DER; the pin is the digest of its DER.
        """
        leaf = certificate(self.key, name="orders")
        der = leaf.public_bytes(Encoding.DER)
        for data in (pem(leaf), der):
            self.write("leaf", data)
            pin = self.sound(self.pin()).pins["orders"]
            self.assertEqual(pin.certificate, der)
            self.assertEqual(pin.sha256, hashlib.sha256(der).digest())
            self.assertIsNone(pin.spki_sha256)

    def test_several(self) -> None:
        """
        Which of several certificates is the leaf is not guessed.
        """
        leaf = certificate(self.key)
        self.write("leaf", pem(leaf, leaf))
        problem = self.only(self.pin(), "pins.orders.certificate_file")
        self.assertEqual(problem.found, "2 certificates")

    def test_none(self) -> None:
        """
        Other files are errors.
        """
        der = certificate(self.key).public_bytes(Encoding.DER)
        for data in (b"", b"hello", key_pem(self.key), der[:-1], der + b"x"):
            self.write("leaf", data)
            self.only(self.pin(), "pins.orders.certificate_file")

    def test_one_form(self) -> None:
        """
        A pin has exactly one form.
        """
        self.write("leaf", pem(certificate(self.key)))
        for content in (
            "",
            "allow_expired: true",
            f"sha256: {'ab' * 32}, spki_sha256: {'ab' * 32}",
            f"certificate_file: leaf, sha256: {'ab' * 32}",
        ):
            text = self.text(pins=f"orders: {{{content}}}  # here")
            self.only(text, "pins.orders")

    def test_odd_values(self) -> None:
        """
        Digests and dates of other forms are errors.
        """
        for key, value in (
            ("sha256", "abcd"),
            ("spki_sha256", "abcd"),
            ("not_after", "tomorrow"),
            ("allow_expired", "maybe"),
        ):
            more = "" if "sha256" in key else f", sha256: {'ab' * 32}"
            text = self.text(pins=f"orders: {{{key}: {value}{more}}}  # here")
            self.only(text, f"pins.orders.{key}")


class RootFileTests(ConfigCase):
    def test_bundle(self) -> None:
        """
        A file of roots may have several.
        """
        one = certificate(self.key, name="one", ca=True)
        two = certificate(self.key, name="two", ca=True)
        self.write("roots", pem(one, two))
        config = self.sound(self.text(trusted_roots="corp: {certificate_file: roots}"))
        got = config.trusted_roots["corp"].certificates
        self.assertEqual(
            [x509.load_der_x509_certificate(der) for der in got], [one, two]
        )

    def test_none(self) -> None:
        """
        A file without certificates is an error.
        """
        self.write("roots", b"")
        text = self.text(trusted_roots="corp: {certificate_file: roots}  # here")
        self.only(text, "trusted_roots.corp.certificate_file")


class KeyTests(ConfigCase):
    def test_older_format(self) -> None:
        """
        Keys in OpenSSL's older format are brought to the newer.
        """
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        older = key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        again = load_pem_private_key(files.private_key(older), None)
        assert isinstance(again, rsa.RSAPrivateKey)
        self.assertEqual(again.private_numbers(), key.private_numbers())

    def test_not_shown(self) -> None:
        """
        Neither keys nor passwords appear in what is printed of values.
        """
        config = self.sound(self.text())
        opened = files.load(self.folder / "shop.key")
        self.assertNotIn("PRIVATE", repr(config) + repr(opened))

    def test_raises_one_thing(self) -> None:
        """
        Whatever is cut off a file, it is taken or refused by UnfitError.
        """
        sound = key_pem(self.key) + pem(certificate(self.key))
        for parse in (files.chain, files.private_key, files.pinned_leaf, files.roots):
            for end in range(0, len(sound), 7):
                try:
                    parse(sound[:end])
                except UnfitError as unfit:
                    self.assertTrue(unfit.expected)
