from __future__ import annotations

import base64
import hashlib
import hmac

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.affinity import (
    cookie_pattern,
    cookie_value,
    cookie_values,
    set_cookies,
)

NAME = "ApplicationGatewayAffinity"
VALUE = b"abcdefghijklmnopqrst-_"
OTHER = b"0123456789ABCDEFGHIJKL"
FIELDS = ("pool", "setting", "orders.internal", "10.0.0.7:9443")
PATTERN = cookie_pattern(NAME)
AZURE = cookie_pattern(NAME, azure=True)
patient = settings(deadline=None, database=None)

PIECES = st.lists(
    st.sampled_from(
        [
            NAME.encode(),
            b"CORS",
            VALUE,
            OTHER,
            b"=",
            b";",
            b" ",
            b"\t",
            b'"',
            b"\x00",
            b"\xff",
            b"\n",
            b",",
        ]
    )
    | st.binary(max_size=3),
    max_size=30,
).map(b"".join)


def read_slowly(line: bytes) -> list[bytes]:
    """
    Read a Cookie field piece by piece, as the RFC tells it.
    """
    found = []
    for piece in line.split(b";"):
        name, equals, value = piece.partition(b"=")
        value = value.strip(b" \t")
        if len(value) == 24 and value[:1] == value[-1:] == b'"':
            value = value[1:-1]
        alphabet = value.replace(b"-", b"").replace(b"_", b"")
        ours = equals and name.strip(b" \t") == NAME.encode()
        if ours and len(value) == 22 and (alphabet.isalnum() or not alphabet):
            found.append(value)
    return found


class ValueTests(SynchronousTestCase):
    """
    What stands for a backend.
    """

    def test_is_the_hash_that_was_agreed(self) -> None:
        """
        The value is the first half of HMAC-SHA256 over the fields with lengths.
        """
        message = b""
        for field in (b"pool", b"setting", b"orders.internal", b"10.0.0.7:9443"):
            message += b"\x00\x00\x00" + bytes([len(field)]) + field
        digest = hmac.new(b"key", message, hashlib.sha256).digest()
        value = cookie_value(b"key", *FIELDS)
        self.assertEqual(digest[:16], base64.urlsafe_b64decode(value + b"=="))
        self.assertEqual(22, len(value))

    def test_every_field_counts(self) -> None:
        """
        Another key, pool, setting, member or port is another value.
        """
        values = {
            cookie_value(b"key", *FIELDS),
            cookie_value(b"yek", *FIELDS),
            cookie_value(b"key", "loop", *FIELDS[1:]),
            cookie_value(b"key", "pool", "other", *FIELDS[2:]),
            cookie_value(b"key", "pool", "setting", "other", FIELDS[3]),
            cookie_value(b"key", *FIELDS[:3], "10.0.0.7:9444"),
        }
        self.assertEqual(6, len(values))

    @patient
    @given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
    def test_fields_cannot_be_confused(self, one: list[str], two: list[str]) -> None:
        """
        Two lists of fields have the same value only if they are the same.
        """
        same = cookie_value(b"key", *one) == cookie_value(b"key", *two)
        self.assertEqual(one == two, same)

    def test_boundaries_count(self) -> None:
        """
        A letter that moves from one field to the next makes another value.
        """
        self.assertNotEqual(
            cookie_value(b"k", "ab", "c"), cookie_value(b"k", "a", "bc")
        )

    def test_empty_key(self) -> None:
        """
        Without a secret anybody could compute the values: refused.
        """
        self.assertRaises(ValueError, cookie_value, b"", *FIELDS)


class ReadingTests(SynchronousTestCase):
    """
    Finding the value among what clients send.
    """

    def test_found(self) -> None:
        """
        The value is found alone, quoted, with blanks, and among other cookies.
        """
        name = NAME.encode()
        for line in (
            name + b"=" + VALUE,
            name + b'="' + VALUE + b'"',
            b" \t" + name + b" = " + VALUE + b"\t ",
            b"a=b; " + name + b"=" + VALUE + b"; c=d",
            b"a=b;" + name + b"=" + VALUE + b";",
            b';;="; ' + name + b"=" + VALUE,
            b"broken; \xff\x00=\x80; " + name + b"=" + VALUE + b"; \xfe",
        ):
            self.assertEqual([VALUE], cookie_values(PATTERN, line), line)

    def test_not_found(self) -> None:
        """
        Other names, other forms and broken quotes are nothing of ours.
        """
        name = NAME.encode()
        for line in (
            b"",
            name,
            name + b"=",
            name + VALUE,
            name.lower() + b"=" + VALUE,
            b"x" + name + b"=" + VALUE,
            b"x " + name + b"=" + VALUE,
            name + b"x=" + VALUE,
            name + b"CORS=" + VALUE,
            name + b"=" + VALUE[:-1],
            name + b"=" + VALUE + b"A",
            name + b"=" + VALUE + b"==",
            name + b"=" + VALUE + b" x",
            name + b'="' + VALUE,
            name + b"=" + VALUE + b'"',
            name + b"=" + VALUE[:-1] + b"+",
            name + b"=" + VALUE + b"\n",
            name + b"=" + VALUE + b", a=b",
            name + b"=" + b"A" * 4096,
            name + b"=10.0.0.7:9443",
            name + b"=0",
        ):
            self.assertEqual([], cookie_values(PATTERN, line), line)

    def test_repeated(self) -> None:
        """
        Several are all found, in order.
        """
        name = NAME.encode()
        line = name + b"=" + OTHER + b"; " + name + b'="' + VALUE + b'"'
        self.assertEqual([OTHER, VALUE], cookie_values(PATTERN, line))

    def test_twin(self) -> None:
        """
        Azure's twin counts where it is issued.
        """
        line = NAME.encode() + b"CORS=" + VALUE
        self.assertEqual([VALUE], cookie_values(AZURE, line))

    def test_name_is_taken_literally(self) -> None:
        """
        A name with characters that mean something in patterns means itself.
        """
        pattern = cookie_pattern("a.b*c")
        self.assertEqual([VALUE], cookie_values(pattern, b"a.b*c=" + VALUE))
        self.assertEqual([], cookie_values(pattern, b"aXbbc=" + VALUE))

    @patient
    @given(PIECES)
    def test_reads_as_the_rfc_does(self, line: bytes) -> None:
        """
        Whatever bytes come, what is found is what a reader step by step finds.
        """
        self.assertEqual(read_slowly(line), cookie_values(PATTERN, line))

    @patient
    @given(PIECES, PIECES)
    def test_junk_hides_nothing(self, before: bytes, after: bytes) -> None:
        """
        A good cookie is found whatever else stands around it.
        """
        line = before + b"; " + NAME.encode() + b"=" + VALUE + b";" + after
        self.assertIn(VALUE, cookie_values(PATTERN, line))


class SetCookieTests(SynchronousTestCase):
    """
    What binds a client.
    """

    def test_on_http(self) -> None:
        """
        On http the cookie is HttpOnly and Lax.
        """
        self.assertEqual(
            ((b"Set-Cookie", b"stay=" + VALUE + b"; Path=/; HttpOnly; SameSite=Lax"),),
            set_cookies("stay", VALUE, secure=False),
        )

    def test_on_https(self) -> None:
        """
        On https it is Secure as well.
        """
        text = b"stay=" + VALUE + b"; Path=/; HttpOnly; SameSite=Lax; Secure"
        self.assertEqual(
            ((b"Set-Cookie", text),), set_cookies("stay", VALUE, secure=True)
        )

    def test_as_azure_does(self) -> None:
        """
        In Azure's manner there are two, the same on http and https.
        """
        expected = (
            (b"Set-Cookie", b"stay=" + VALUE + b"; Path=/"),
            (b"Set-Cookie", b"stayCORS=" + VALUE + b"; Path=/; SameSite=None; Secure"),
        )
        for secure in (False, True):
            made = set_cookies("stay", VALUE, secure=secure, azure=True)
            self.assertEqual(expected, made)

    def test_reads_what_it_wrote(self) -> None:
        """
        A value of ours that comes back is found.
        """
        value = cookie_value(b"key", *FIELDS)
        ((_, text),) = set_cookies(NAME, value, secure=True)
        sent_back = text.partition(b";")[0]
        self.assertEqual([value], cookie_values(PATTERN, sent_back))
