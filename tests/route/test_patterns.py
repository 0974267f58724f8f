from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.route.patterns import (
    MAX_PATTERN,
    MAX_STEPS,
    BadPattern,
    Pattern,
    Steps,
    TooManySteps,
)

HEADER = 32768
"""Bytes of the longest value that a head has room for."""


class ParseTests(SynchronousTestCase):
    def test_invalid(self) -> None:
        """
        What RE2 doesn't take is refused with RE2's reason.
        """
        for text, reason in (
            ("(", "missing )"),
            ("[z-a]", "character class range"),
            ("(?=x)", "(?="),
            (r"\1", r"\1"),
            ("x**", "**"),
            ("*a", "repetition operator"),
        ):
            with self.assertRaises(BadPattern) as caught:
                Pattern.parse(text)
            self.assertIn(reason, str(caught.exception))

    def test_too_large(self) -> None:
        """
        So is what is long, and what is short but would take much memory.
        """
        for text in (
            "",
            "x" * (MAX_PATTERN + 1),
            "x{1001}",
            "((((x{30}){30}){30}){30})",
            "(((([a-z]{1,9}){1,9}){1,9}){1,9}){1,99}",
        ):
            with self.assertRaises(BadPattern):
                Pattern.parse(text)

    def test_bytes(self) -> None:
        """
        A pattern is ASCII and about bytes: none of them is where nothing matches.
        """
        with self.assertRaises(BadPattern):
            Pattern.parse("caf\xe9")
        for pattern in (r"^a(.*)b$", r"^a([^/]+)b$", r"^a(\xff.)b$"):
            found = Pattern.parse(pattern).search(b"a\xff\xfeb", Steps())
            self.assertEqual((b"\xff\xfe",), found)

    def test_equal(self) -> None:
        """
        Patterns are the same if their texts and their cases are.
        """
        self.assertEqual(Pattern.parse("a"), Pattern.parse("a"))
        self.assertNotEqual(Pattern.parse("a"), Pattern.parse("a", ignore_case=True))


class SearchTests(SynchronousTestCase):
    def test_anywhere(self) -> None:
        """
        A pattern is found anywhere, but for its anchors; case counts or not.
        """
        for text, value, ignore_case, found in (
            ("b", b"abc", False, ()),
            ("^b", b"abc", False, None),
            ("B", b"abc", False, None),
            ("B", b"abc", True, ()),
            ("(?i)B", b"abc", False, ()),
            ("(a)|(x)", b"abc", False, (b"a", None)),
            ("(b*)", b"abc", False, (b"",)),
            ("^$", b"", False, ()),
            (".", b"\r\n", False, ()),
        ):
            pattern = Pattern.parse(text, ignore_case=ignore_case)
            self.assertEqual(found, pattern.search(value, Steps()), text)

    def test_bounded(self) -> None:
        """
        What would make other engines try for ever is counted like anything else.
        """
        for text in (
            r"^(a+)+$",
            r"(a*)*b",
            r"(x+x+)+y",
            r"(?:a?){30}a{30}",
            r"(.*)(.*)(.*)(.*)(.*)x",
            r"(\w+\s?)*$",
        ):
            pattern = Pattern.parse(text)
            value = b"a" * (MAX_STEPS // pattern.size - 1)
            steps = Steps()
            pattern.search(value, steps)
            self.assertEqual(MAX_STEPS - (len(value) + 1) * pattern.size, steps.left)
            with self.assertRaises(TooManySteps):
                pattern.search(value, steps)

    def test_large_pattern_on_large_value(self) -> None:
        """
        A pattern of many instructions is not even tried on a value of many bytes.
        """
        pattern = Pattern.parse("(.*[ab]){99}")
        self.assertGreater(pattern.size * HEADER, MAX_STEPS)
        with self.assertRaises(TooManySteps):
            pattern.search(b"ab" * (HEADER // 2), Steps())
        self.assertIsNone(pattern.search(b"x" * 100, Steps()))


class ForeseenTests(SynchronousTestCase):
    """
    What can be said of a pattern before there is a value.
    """

    def test_begins_with(self) -> None:
        """
        An anchored pattern tells what its matches begin with.
        """
        for text, some, none in (
            ("^images/", b"i", b"/I"),
            ("^/images", b"/", b"i"),
            ("^(a|b)", b"ab", b"c/"),
            ("^[|]a", b"|", b"a"),
            ("images/", b"i/I", b""),
            ("^a|b", b"abc", b""),
            ("^.*", b"abc", b""),
            ("^$", b"abc", b""),
            (r"^\Qa|b\E", b"abc", b""),
        ):
            begins = Pattern.parse(text).begins_with()
            for byte in some:
                self.assertIn(byte, begins, text)
            for byte in none:
                self.assertNotIn(byte, begins, text)
        self.assertIn(ord("I"), Pattern.parse("^i", ignore_case=True).begins_with())

    def test_needs(self) -> None:
        """
        A character that every match must have is found, an optional one is not.
        """
        for text, needed in (
            (r"/x\?a=1", True),
            (r"/x[?]a=1", True),
            (r"(/a#|/b\?c)", True),
            (r"(/a|/b\?c)", False),
            (r"/x\??a", False),
            (r"(?:\?a)*", False),
            (r"a[?&]b", False),
            (r"a?", False),
            (r"[]?]x", False),
            (r"\\?", False),
            (r"\Q?\E", False),
        ):
            self.assertEqual(needed, Pattern.parse(text).needs("?#"), text)

    def test_hopeless(self) -> None:
        """
        A pattern that nothing matches is found, too.
        """
        for text, nothing in (
            (r"[^\x00-\xff]", True),
            (r"a[^\x00-\xff]", True),
            (r"a|[^\x00-\xff]", False),
            ("a", False),
        ):
            self.assertEqual(nothing, Pattern.parse(text).needs(""), text)
