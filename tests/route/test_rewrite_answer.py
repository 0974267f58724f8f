from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.message import ResponseHead, values_of
from appgw.route.patterns import TooManySteps
from appgw.route.templates import Unrewritable
from tests.route.rewriting import answer, field, request, rule, when
from tests.route.values import head

COOKIES = (
    (b"Set-Cookie", b"a=1; Path=/"),
    (b"Content-Type", b"text/html"),
    (b"set-cookie", b"b=2"),
    (b"Set-Cookie", b"session=3; Path=/old"),
)
OURS = (
    (b"Set-Cookie", b"Affinity=abc; Path=/; HttpOnly"),
    (b"Set-Cookie", b"AffinityCORS=abc; Path=/; SameSite=None; Secure"),
)


class FieldTests(SynchronousTestCase):
    def test_set(self) -> None:
        """
        A field set takes the place of all its lines, or follows as a new one.
        """
        lines = ((b"X-Frame-Options", b"a"), (b"B", b"b"), (b"x-frame-options", b"c"))
        hsts = field("Strict-Transport-Security", "max-age=31536000")
        self.assertEqual(
            [
                (b"X-Frame-Options", b"DENY"),
                (b"B", b"b"),
                (b"Strict-Transport-Security", b"max-age=31536000"),
            ],
            answer(rule(answer=[hsts, field("X-Frame-Options", "DENY")]), lines=lines),
        )

    def test_deleted(self) -> None:
        """
        One with an empty value goes with all its lines.
        """
        lines = ((b"Server", b"a"), (b"B", b"b"), (b"server", b"c"))
        self.assertEqual(
            [(b"B", b"b")], answer(rule(answer=[field("Server")]), lines=lines)
        )

    def test_conditions(self) -> None:
        """
        Conditions may be about the request, the answer, or both.
        """
        set_x = [field("X", "{http_req_Origin} {var_http_status}")]
        for conditions, applies in (
            ((when("var_http_status", "^404$"),), True),
            ((when("var_http_status", "^200$"),), False),
            ((when("http_resp_Y", "^y$"), when("http_req_Origin", "^o$")), True),
            ((when("http_resp_Y", "^y$"), when("http_req_Origin", "^p$")), False),
            ((when("http_resp_Z", "."),), False),
            ((when("http_resp_Content-Length", "^2$"),), True),
        ):
            lines = answer(
                rule(*conditions, answer=set_x),
                lines=[(b"Y", b"y")],
                asked=head(b"/", (b"Origin", b"o")),
                status=404,
            )
            self.assertEqual([b"o 404"] if applies else [], values_of(lines, b"x"))

    def test_request_as_seen(self) -> None:
        """
        A rule changes the answer by the request as it was before that rule.
        """
        lines = answer(
            rule(
                request=[field("Origin")],
                answer=[field("Access-Control-Allow-Origin", "{http_req_Origin}")],
            ),
            rule(answer=[field("X", "<{http_req_Origin}>")]),
            asked=head(b"/", (b"Origin", b"https://a.example")),
        )
        self.assertEqual(
            [(b"Access-Control-Allow-Origin", b"https://a.example"), (b"X", b"<>")],
            lines,
        )

    def test_location(self) -> None:
        """
        What a condition has captured of the answer is put together anew.
        """
        lines = answer(
            rule(
                when("http_resp_Location", r"^https?://[^/]*\.internal(/.*)$"),
                answer=[field("Location", "https://{var_host}{http_resp_Location_1}")],
            ),
            lines=[(b"location", b"http://a.internal/x?y")],
            status=302,
        )
        self.assertEqual([(b"Location", b"https://shop.example.com/x?y")], lines)

    def test_order(self) -> None:
        """
        A rule sees the answer as those before it have left it, and a change what
        those before it have.
        """
        lines = answer(
            rule(answer=[field("X", "{http_resp_X}1"), field("X", "{http_resp_X}2")]),
            rule(when("http_resp_X", "^a12$"), answer=[field("X", "{http_resp_X}3")]),
            lines=[(b"X", b"a")],
        )
        self.assertEqual([(b"X", b"a123")], lines)

    def test_line_by_line(self) -> None:
        """
        A value that has the field itself in it is made for each of its lines; none
        is added.
        """
        more = rule(answer=[field("Vary", "{http_resp_vary}, Origin")])
        self.assertEqual(
            [(b"Vary", b"A, Origin"), (b"B", b"b"), (b"Vary", b"C, Origin")],
            answer(more, lines=[(b"Vary", b"A"), (b"B", b"b"), (b"vary", b"C")]),
        )
        self.assertEqual([(b"B", b"b")], answer(more, lines=[(b"B", b"b")]))

    def test_interim(self) -> None:
        """
        In an interim answer fields are changed and deleted, but none is added.
        """
        lines = answer(
            rule(answer=[field("A", "new"), field("B"), field("C", "new")]),
            lines=[(b"A", b"old"), (b"B", b"b")],
            status=103,
            final=False,
        )
        self.assertEqual([(b"A", b"new")], lines)

    def test_unsendable(self) -> None:
        """
        A value that would break the answer apart is refused.
        """
        with self.assertRaises(Unrewritable):
            answer(
                rule(answer=[field("X-User", "{var_client_user}")]),
                asked=head(b"/", (b"Authorization", b"Basic YQ0KWC1FdmlsOiAx")),
            )

    def test_budget(self) -> None:
        """
        What the request has spent on matching is not missing here; what answers
        spend is counted together.
        """
        slow = when("http_resp_X", "(.*)(.*)b")
        made = request(
            rule(when("http_req_X", "(.*)a"), answer=[field("Y", "y")]),
            rule(slow, answer=[field("Y", "y")]),
            asked=head(b"/", (b"X", b"a" * 32000)),
        )
        fields = [(b"X", b"a" * 32000)]
        hints, tries = ResponseHead(103, b"", []), 0
        with self.assertRaises(TooManySteps):
            while tries < 100:
                tries += 1
                made.answer_fields(hints, fields, (), final=False)
        self.assertGreater(tries, 1)


class CookieTests(SynchronousTestCase):
    def cookies(
        self, *rules: object, ours: tuple[tuple[bytes, bytes], ...] = ()
    ) -> list[bytes]:
        """
        Apply *rules* to an answer that sets three cookies, and ours beside them.
        """
        lines = answer(*rules, lines=COOKIES, ours=ours)  # type: ignore[arg-type]
        self.assertEqual([b"text/html"], values_of(lines, b"content-type"))
        return values_of(lines, b"set-cookie")

    def test_matcher(self) -> None:
        """
        Only the lines that a header_value_matcher matches are changed.
        """
        for matcher, value, expected in (
            (
                "^session=([^;]*)",
                "session={capt_header_value_matcher_1}; Path=/; Secure",
                [b"a=1; Path=/", b"b=2", b"session=3; Path=/; Secure"],
            ),
            (
                "^(a|b)=",
                "{http_resp_Set-Cookie}; Secure",
                [b"a=1; Path=/; Secure", b"b=2; Secure", b"session=3; Path=/old"],
            ),
            ("^b=", "", [b"a=1; Path=/", b"session=3; Path=/old"]),
            ("^c=", "x", [b"a=1; Path=/", b"b=2", b"session=3; Path=/old"]),
            ("2$", "c=4", [b"a=1; Path=/", b"c=4", b"session=3; Path=/old"]),
        ):
            change = field("Set-Cookie", value, matcher)
            self.assertEqual(expected, self.cookies(rule(answer=[change])))

    def test_matcher_flags(self) -> None:
        """
        A header_value_matcher can ignore case, and be negated.
        """
        for value, more, expected in (
            ("", {"ignore_case": True}, [b"b=2", b"session=3; Path=/old"]),
            ("", {"negate": True}, []),
            ("x", {"negate": True, "ignore_case": True}, [b"a=1; Path=/", b"x", b"x"]),
        ):
            change = field("Set-Cookie", value, "^A=", **more)
            self.assertEqual(expected, self.cookies(rule(answer=[change])))

    def test_matcher_and_condition(self) -> None:
        """
        Beside a header_value_matcher, a condition opens the way for all lines.
        """
        change = field(
            "Set-Cookie",
            "{capt_header_value_matcher_1}; HttpOnly; Secure",
            "(session=.*)",
            ignore_case=True,
        )
        for pattern, changed in (("^a=", True), (".*", True), ("^nosuch=", False)):
            applied = rule(when("http_resp_set-cookie", pattern), answer=[change])
            self.assertEqual(
                changed,
                b"session=3; Path=/old; HttpOnly; Secure" in self.cookies(applied),
            )
            self.assertEqual(3, len(self.cookies(applied)))

    def test_own_capture(self) -> None:
        """
        Without one, the lines that the condition matches are changed, each by its
        own captures, and the others stay.
        """
        for pattern, expected in (
            (
                "(.*)",
                [
                    b"a=1; Path=/; Secure",
                    b"b=2; Secure",
                    b"session=3; Path=/old; Secure",
                ],
            ),
            ("(session=.*)", [b"a=1; Path=/", b"b=2", b"session=3; Path=/old; Secure"]),
        ):
            secure = rule(
                when("http_resp_Set-Cookie", pattern),
                answer=[field("Set-Cookie", "{http_resp_Set-Cookie_1}; Secure")],
            )
            self.assertEqual(expected, self.cookies(secure))
            self.assertEqual([], answer(secure))

    def test_set(self) -> None:
        """
        A cookie set takes the place of that cookie, and of no other.
        """
        for value, expected in (
            ("c=9", [b"a=1; Path=/", b"b=2", b"session=3; Path=/old", b"c=9"]),
            ("b=9; Path=/", [b"a=1; Path=/", b"session=3; Path=/old", b"b=9; Path=/"]),
            ("", []),
        ):
            change = rule(answer=[field("Set-Cookie", value)])
            self.assertEqual(expected, self.cookies(change))

    def test_ours_stay(self) -> None:
        """
        Our own cookies are there whatever a rule replaces or deletes.
        """
        ours = [value for _, value in OURS]
        for change in (
            field("Set-Cookie"),
            field("Set-Cookie", "", ".*"),
            field("Set-Cookie", "x=1", ".*"),
            field("Set-Cookie", "", "^Affinity"),
            field("Set-Cookie", "Affinity=stolen", "^Affinity"),
            field("Set-Cookie", "c=9"),
        ):
            found = self.cookies(rule(answer=[change]), ours=OURS)
            self.assertEqual(ours, [one for one in found if one in ours], change)

    def test_ours_changed(self) -> None:
        """
        Their attributes can be rewritten like those of others.
        """
        for change in (
            field("Set-Cookie", "{http_resp_Set-Cookie}; Domain=example.com"),
            field(
                "Set-Cookie",
                "{capt_header_value_matcher_1}; Domain=example.com",
                "^(Affinity.*)",
            ),
        ):
            found = self.cookies(rule(answer=[change]), ours=OURS)
            self.assertEqual(
                [value + b"; Domain=example.com" for _, value in OURS], found[-2:]
            )
