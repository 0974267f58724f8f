from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.presented import (
    Presented,
    is_address,
    name_error,
    printable,
    public_key_info,
)
from appgw.testing import KeyType, make_ca, make_certificate

KINDS: tuple[KeyType, ...] = ("ecdsa", "rsa", "ed25519")
LEAF = make_certificate(["a.example"], ["192.0.2.1"])


class PresentedTests(SynchronousTestCase):
    def test_digests(self) -> None:
        """
        Both digests are those of the whole leaf and of its public key.
        """
        for kind in KINDS:
            issued = make_certificate(["a.example"], key=kind)
            presented = Presented.from_der(issued.der)
            self.assertEqual(presented.sha256.hex(), issued.sha256)
            self.assertEqual(presented.spki_sha256.hex(), issued.spki_sha256)

    def test_facts(self) -> None:
        """
        Names, dates and the right to sign are read from the certificate.
        """
        root = make_ca("the root")
        presented = Presented.from_der(make_certificate(["a"], issuer=root).der)
        self.assertEqual(presented.subject, "CN=a")
        self.assertEqual(presented.issuer, "CN=the root")
        self.assertFalse(presented.is_ca)
        self.assertTrue(Presented.from_der(root.der).is_ca)
        certificate = root.certificate
        self.assertEqual(
            (Presented.from_der(root.der).not_before, certificate.not_valid_after_utc),
            (certificate.not_valid_before_utc, Presented.from_der(root.der).not_after),
        )

    def test_version_1(self) -> None:
        """
        A certificate of version 1, which has no version field, has a key too.
        """
        tbs = LEAF.certificate.tbs_certificate_bytes
        spki = public_key_info(tbs)
        start = tbs.index(bytes.fromhex("a003020102"))
        body = tbs[start + 5 :]
        old = b"\x30\x82" + len(body).to_bytes(2, "big") + body
        self.assertEqual(public_key_info(old), spki)

    def test_hostile_subject(self) -> None:
        """
        A subject cannot write to a terminal, nor fill a log.
        """
        name = "\x1b[2J\r\n\u202e\x00" + "x" * 50
        presented = Presented.from_der(make_certificate(common_name=name).der)
        self.assertTrue(presented.subject.isprintable(), presented.subject)
        self.assertIn("x" * 50, presented.subject)
        self.assertLess(len(printable("y" * 10**6)), 250)
        self.assertLess(len(printable("\n" * 10**6)), 250)

    @given(st.binary(max_size=64))
    def test_garbage(self, der: bytes) -> None:
        """
        Any bytes at all are read without an exception.
        """
        self.assertFalse(Presented.from_der(der).readable)

    @given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
    def test_damage(self, at: int, flip: int) -> None:
        """
        A damaged certificate is read without an exception, and is another one.
        """
        damaged = bytearray(LEAF.der)
        damaged[at] ^= flip
        presented = Presented.from_der(bytes(damaged))
        self.assertNotEqual(presented.sha256.hex(), LEAF.sha256)
        self.assertIsInstance(name_error("a.example", bytes(damaged)), str | None)

    @given(st.binary(max_size=64))
    def test_no_key_in_garbage(self, tbs: bytes) -> None:
        """
        The walk over a certificate's fields ends, whatever it meets.
        """
        try:
            found = public_key_info(tbs)
        except (ValueError, IndexError):
            return
        self.assertIn(found, tbs)


class NameTests(SynchronousTestCase):
    def holds(self, name: str, *names: str, ips: tuple[str, ...] = ()) -> bool:
        """
        Ask for *name* of a certificate that has these.
        """
        issued = make_certificate(names, ips, common_name="cn.example")
        return name_error(name, issued.der) is None

    def test_dns_names(self) -> None:
        """
        A DNS name must be among the names, case and last dot aside.
        """
        self.assertTrue(self.holds("a.example", "b.example", "a.example"))
        self.assertTrue(self.holds("A.Example.", "a.example"))
        self.assertFalse(self.holds("a.example", "b.example"))
        self.assertFalse(self.holds("a.example", "a.example.net"))

    def test_wildcards(self) -> None:
        """
        A wildcard stands for one whole label (RFC 9525, 6.3).
        """
        self.assertTrue(self.holds("x.a.example", "*.a.example"))
        self.assertFalse(self.holds("a.example", "*.a.example"))
        self.assertFalse(self.holds("y.x.a.example", "*.a.example"))

    def test_common_name_never_counts(self) -> None:
        """
        The common name is not a name, not even without any other.
        """
        self.assertFalse(self.holds("cn.example"))
        self.assertFalse(self.holds("cn.example", "a.example"))

    def test_addresses(self) -> None:
        """
        An IP address must be there as an address, in whatever spelling.
        """
        self.assertTrue(self.holds("192.0.2.1", ips=("192.0.2.1",)))
        self.assertTrue(self.holds("2001:db8:0:0::1", ips=("2001:db8::1",)))
        self.assertFalse(self.holds("192.0.2.2", ips=("192.0.2.1",)))
        self.assertFalse(self.holds("192.0.2.1", "192.0.2.1"))
        self.assertFalse(self.holds("a.example", ips=("192.0.2.1",)))

    def test_no_name(self) -> None:
        """
        Where a name is demanded and there is none, none is right.
        """
        self.assertFalse(self.holds("", "a.example"))

    def test_unreadable_names(self) -> None:
        """
        Names that cannot be read are no names.
        """
        self.assertIsNotNone(name_error("a.example", b"no certificate"))
        issued = make_certificate(["\x00.example"], common_name="x")
        self.assertIsNotNone(name_error("a.example", issued.der))

    def test_is_address(self) -> None:
        """
        Addresses of both families are told from names.
        """
        for text, answer in (
            ("127.0.0.1", True),
            ("::1", True),
            ("fe80::1%eth0", True),
            ("a.example", False),
            ("", False),
            ("127.0.0.1.example", False),
        ):
            self.assertIs(is_address(text), answer, text)
