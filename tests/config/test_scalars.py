from __future__ import annotations

import base64
import datetime
import string
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config import scalars
from appgw.config.scalars import UnfitError

DIGEST = bytes(range(200, 232))
HEX = DIGEST.hex()


class ScalarTests(SynchronousTestCase):
    def refused(self, parse: Callable[[str], object], *texts: str) -> None:
        """
        Demand that each text is refused, and that it is said what would do.
        """
        taken = []
        for text in texts:
            try:
                taken.append((text, parse(text)))
            except UnfitError as unfit:
                self.assertTrue(unfit.expected)
        self.assertEqual(taken, [])

    def test_durations(self) -> None:
        """
        Durations have a unit, or are seconds.
        """
        parse = scalars.duration("0s", "24h")
        given = ("20s", "5m", "1h", "500ms", "90", "1.5s", "0", "24h")
        self.assertEqual(
            [parse(text) for text in given], [20, 300, 3600, 0.5, 90, 1.5, 0, 86400]
        )

    def test_no_durations(self) -> None:
        """
        What has another unit, a sign, a space or a wild number is no duration.
        """
        parse = scalars.duration("1s", "24h")
        odd = ("", "s", "20 s", "-1s", "+1s", "1d", "1m30s", "inf", "nan", "1e3", "٣s")
        self.refused(parse, *odd, "999ms", "25h", "9" * 5000, "1_0s", "0x10", "20S")

    def test_sizes(self) -> None:
        """
        Sizes have a binary unit, or are bytes.
        """
        parse = scalars.size("1B", "4GiB")
        given = ("32KiB", "10MiB", "4GiB", "512", "512B", "1")
        expected = [32768, 10 << 20, 4 << 30, 512, 512, 1]
        self.assertEqual([parse(text) for text in given], expected)

    def test_no_sizes(self) -> None:
        """
        Decimal units, fractions and what lies outside the range are refused.
        """
        parse = scalars.size("1B", "4GiB")
        self.refused(parse, "", "0", "5GiB", "32KB", "32k", "1.5MiB", "-1", "9" * 5000)

    def test_whole_numbers(self) -> None:
        """
        Whole numbers are decimal and lie within their range, ends included.
        """
        parse = scalars.whole(1, 20000)
        self.assertEqual([parse("1"), parse("20000"), parse("0010")], [1, 20000, 10])
        odd = (
            "",
            "0",
            "20001",
            "-1",
            "+1",
            "1.0",
            "1e3",
            "0x1",
            "1_0",
            "²",
            "9" * 9999,
        )
        self.refused(parse, *odd)

    def test_booleans(self) -> None:
        """
        True and false are the only words for truth.
        """
        words = ("true", "True", "FALSE")
        self.assertEqual([scalars.boolean(w) for w in words], [True, True, False])
        self.refused(scalars.boolean, "", "yes", "on", "1", "enabled")

    def test_fingerprints(self) -> None:
        """
        A SHA-256 is hex of any case, with colons or without.
        """
        colons = ":".join(f"{byte:02X}" for byte in DIGEST)
        for text in (HEX, HEX.upper(), colons, colons.lower()):
            self.assertEqual(scalars.sha256(text), DIGEST)

    def test_no_fingerprints(self) -> None:
        """
        Digests of another length, in base64, or with stray signs are refused.
        """
        base = base64.b64encode(DIGEST).decode()
        odd = ("", HEX[2:], HEX + "00", base, f":{HEX}", f"{HEX}:", HEX[:-1] + "g")
        self.refused(scalars.sha256, *odd, f" {HEX}", HEX.replace("c8", "c:8", 1))

    def test_key_fingerprints(self) -> None:
        """
        The SHA-256 of a key is base64 or hex.
        """
        for text in (base64.b64encode(DIGEST).decode(), HEX, HEX.upper()):
            self.assertEqual(scalars.spki_sha256(text), DIGEST)

    def test_no_key_fingerprints(self) -> None:
        """
        Base64 of another length, unpadded, or not as it would be written is
        refused.
        """
        base = base64.b64encode(DIGEST).decode()
        stray = base[:-2] + chr(ord(base[-2]) + 1) + "="
        short = base64.b64encode(DIGEST[1:]).decode()
        odd = ("", base[:-1], short, f"sha256/{base}", stray, f"{base}\n", "é" * 44)
        self.refused(scalars.spki_sha256, *odd)

    def test_dates(self) -> None:
        """
        A date is a day that the calendar has, written with dashes.
        """
        self.assertEqual(scalars.date("2028-02-29"), datetime.date(2028, 2, 29))
        odd = ("", "2027-02-29", "20270501", "2027-W01-1", "2027-5-1", "1.5.2027")
        self.refused(scalars.date, *odd, "2027-05-01T00:00:00Z", "0000-01-01")

    def test_names(self) -> None:
        """
        Names have no characters that logs or metrics would stumble over.
        """
        for text in ("shop", "a", "orders-2026", "v2.shop_x", "9", "a" * 80):
            self.assertEqual(scalars.name(text), text)
        self.refused(scalars.name, "", "a" * 81, "-a", ".a", "a b", "a\n", "é", "a/b")

    def test_cookie_names(self) -> None:
        """
        A cookie's name is a token.
        """
        self.assertEqual(scalars.cookie_name("SRV_1"), "SRV_1")
        self.refused(scalars.cookie_name, "", "a=b", "a;b", "a b", "a,b", 'a"', "é")

    def test_status_ranges(self) -> None:
        """
        A status stands for itself, a range for all between its ends.
        """
        self.assertEqual(scalars.status_range("200-399"), (200, 399))
        self.assertEqual(scalars.status_range("401"), (401, 401))
        self.refused(scalars.status_range, "", "2xx", "99", "600", "399-200", "200-")

    def test_words(self) -> None:
        """
        A choice takes its words as written and says which they are.
        """
        parse = scalars.one_of("http", "https")
        self.assertEqual(parse("https"), "https")
        self.refused(parse, "", "HTTPS", "http ")

    @settings(deadline=None)
    @given(st.text(string.printable, max_size=80) | st.text(max_size=80))
    def test_any_text(self, text: str) -> None:
        """
        Whatever the text, a parser takes it or says what it would have taken.
        """
        for parse in (
            scalars.boolean,
            scalars.cookie_name,
            scalars.date,
            scalars.duration("1s", "1h"),
            scalars.name,
            scalars.port,
            scalars.sha256,
            scalars.size("1B", "1TiB"),
            scalars.spki_sha256,
            scalars.status_range,
        ):
            try:
                parse(text)
            except UnfitError as unfit:
                self.assertTrue(unfit.expected)
