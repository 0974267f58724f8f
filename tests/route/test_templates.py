from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from appgw.route.patterns import Pattern
from appgw.route.templates import (
    MAX_TEXT,
    MAX_VALUE,
    BadTemplate,
    Condition,
    Template,
    Unrewritable,
)
from appgw.route.variables import Seen, variable
from tests.route.rewriting import seen
from tests.route.values import head


def condition(name: str, pattern: str, *, negate: bool = False) -> Condition:
    return Condition(variable(name), Pattern.parse(pattern), negate)


def filled(text: str, given: Seen, *conditions: Condition) -> bytes:
    """
    Fill in a value whose conditions hold.
    """
    groups = [each.groups(given) or () for each in conditions]
    return Template.parse(text, conditions).filled(given, groups)


PATH = condition("var_uri_path", r"^/([^/]+)/(\d+)?")


class ConditionTests(SynchronousTestCase):
    def test_negate(self) -> None:
        """
        A condition holds where its pattern matches, or else where it does not.
        """
        for path, found, contrary in (
            (b"/a/1", (b"a", b"1"), None),
            (b"/a/", (b"a", None), None),
            (b"/a", None, ()),
        ):
            given = seen(path=path)
            pattern = PATH.pattern.text
            negated = condition("var_uri_path", pattern, negate=True)
            self.assertEqual(found, PATH.groups(given))
            self.assertEqual(contrary, negated.groups(given))

    def test_nothing(self) -> None:
        """
        What is not there is an empty value.
        """
        given = seen(lines=[])
        for name in ("http_req_X", "http_resp_X", "var_cookie_x"):
            self.assertEqual((), condition(name, "^$").groups(given))
            self.assertIsNone(condition(name, ".").groups(given))

    def test_lines(self) -> None:
        """
        Of a field with several lines one must match, or none if negated.
        """
        given = seen(lines=[(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")])
        cookies = "http_resp_Set-Cookie"
        self.assertEqual((b"2",), condition(cookies, "^b=(.)$").groups(given))
        self.assertIsNone(condition(cookies, "^c=").groups(given))
        self.assertIsNone(condition(cookies, "^b=", negate=True).groups(given))
        self.assertEqual((), condition(cookies, "^c=", negate=True).groups(given))


class FillTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """
        Text, whole values and captures of each kind of variable are put together.
        """
        given = seen(
            head(b"/a/7", (b"User-Agent", b"curl/8"), (b"Cookie", b"c=d1")),
            path=b"/a/7",
            lines=[(b"Location", b"http://in/x")],
        )
        conditions = (
            PATH,
            condition("http_req_User-Agent", "([a-z]+)/([0-9]+)"),
            condition("http_resp_Location", "^(https?)://[^/]*(/.*)$"),
            condition("var_cookie_c", "(.)(.)"),
        )
        for text, value in (
            ("", b""),
            ("plain text, caf\xe9", b"plain text, caf\xc3\xa9"),
            ("{var_host}", b"shop.example.com"),
            ("{http_req_user-agent}!", b"curl/8!"),
            ("{http_resp_location}", b"http://in/x"),
            ("{var_uri_path_1}-{var_uri_path_2}", b"a-7"),
            ("{http_req_User-Agent_2}{http_req_User-Agent_1}", b"8curl"),
            ("{http_req_user_agent_1}", b"curl"),
            (
                "{http_resp_Location_1}://{var_host}{http_resp_Location_2}",
                b"http://shop.example.com/x",
            ),
            ("{var_cookie_c}{var_cookie_c_2}", b"d11"),
            ('{"group":"{var_host}"}', b'{"group":"shop.example.com"}'),
            ("{} {a b} } {", b"{} {a b} } {"),
            (" \t {var_host} ", b"shop.example.com"),
        ):
            self.assertEqual(value, filled(text, given, *conditions), text)

    def test_no_part(self) -> None:
        """
        A group that took no part in the match is empty.
        """
        given = seen(path=b"/a/")
        self.assertEqual(b"a", filled("{var_uri_path_1}{var_uri_path_2}", given, PATH))

    def test_first_condition(self) -> None:
        """
        Of conditions on one variable the first with so many groups is meant.
        """
        given = seen(path=b"/a/b")
        one, two = (
            condition("var_uri_path", "^/(.)"),
            condition("var_uri_path", "(.)/(.)"),
        )
        self.assertEqual(
            b"ab", filled("{var_uri_path_1}{var_uri_path_2}", given, one, two)
        )

    def test_cookie_with_number(self) -> None:
        """
        A number after a cookie's name is part of the name, unless captured.
        """
        given = seen(head(b"/", (b"Cookie", b"a=xy; a_1=whole; _1=odd")))
        captures = condition("var_cookie_a", "(.)")
        self.assertEqual(b"whole", filled("{var_cookie_a_1}", given))
        self.assertEqual(b"x", filled("{var_cookie_a_1}", given, captures))
        self.assertEqual(b"odd", filled("{var_cookie__1}", given))

    def test_matcher(self) -> None:
        """
        What a header_value_matcher captures is filled in.
        """
        matcher = Pattern.parse("^(a)=(.*)")
        text = "{capt_header_value_matcher_2}{capt_header_value_matcher_1}"
        template = Template.parse(text, (), matcher)
        self.assertEqual(b"1a", template.filled(seen(), (), (b"a", b"1")))

    def test_unsendable(self) -> None:
        """
        A value that would break a message apart, or is too long, is no value.
        """
        for wrong in (b"a\r\nX: y", b"a\nb", b"a\rb", b"a\0b", b"a" * (MAX_VALUE + 1)):
            given = seen(head(b"/", (b"X", wrong)))
            with self.assertRaises(Unrewritable):
                filled("{http_req_X}", given)
            with self.assertRaises(Unrewritable):
                filled("{http_req_X_1}", given, condition("http_req_X", r"((?s:.*))"))
        half = seen(head(b"/", (b"X", b"a" * (MAX_VALUE // 2 + 1))))
        with self.assertRaises(Unrewritable):
            filled("{http_req_X}{http_req_X}", half)


class BadTests(SynchronousTestCase):
    def bad(
        self,
        text: str,
        said: str,
        conditions: Sequence[Condition] = (),
        matcher: Pattern | None = None,
    ) -> None:
        """
        Want *text* refused, and *said* to be said.
        """
        with self.assertRaises(BadTemplate) as caught:
            Template.parse(text, conditions, matcher)
        self.assertIn(said, str(caught.exception))

    def test_unknown(self) -> None:
        """
        An unknown variable is refused and named.
        """
        for name in ("nosuch", "var_nosuch", "var_nosuch_1", "http_req_", "host"):
            self.bad(f"a{{{name}}}b", f"{{{name}}}")

    def test_no_capture(self) -> None:
        """
        A capture needs a condition on its variable, not negated, with that group.
        """
        for name in ("var_uri_path_1", "http_req_X_1", "http_resp_X_2"):
            self.bad(f"{{{name}}}", f"a condition on {name[:-2]}")
        negated = condition("var_uri_path", "(a)", negate=True)
        self.bad("{var_uri_path_1}", "not negated", [negated])
        self.bad("{var_uri_path_3}", "3 or more groups", [PATH])
        self.bad("{var_uri_path_0}", "1 or more groups", [PATH])
        self.bad("{http_req_X_1}", "http_req_X", [condition("http_resp_X", "(a)")])

    def test_no_matcher(self) -> None:
        """
        So does a capture of a header_value_matcher.
        """
        self.bad("{capt_header_value_matcher_1}", "a header_value_matcher")
        matcher = Pattern.parse("(a)")
        self.bad("{capt_header_value_matcher_2}", "2 or more", (), matcher)
        self.bad("{capt_header_value_matcher}", "matcher}", (), matcher)

    def test_no_text(self) -> None:
        """
        Control characters and very long values are refused.
        """
        for wrong in ("a\nb", "a\r\nX: y", "a\0b", "a\x7fb"):
            self.bad(wrong, "control character")
        self.bad("a" * (MAX_TEXT + 1), str(MAX_TEXT))
        self.assertEqual(b"a\tb", Template.parse("a\tb").constant)

    def test_early(self) -> None:
        """
        A value of a request cannot wait for the answer, whole or in part.
        """
        location = condition("http_resp_Location", "(.)")
        for text in (
            *("{http_resp_X}", "{var_http_status}", "{var_sent_bytes}"),
            "{http_resp_Location_1}",
        ):
            with self.assertRaises(BadTemplate):
                Template.early(text, [location])
            Template.parse(text, [location])
        self.assertIsNone(Template.early("{var_host}").constant)
