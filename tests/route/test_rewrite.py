from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.message import Headers, values_of
from appgw.route.edits import BadName
from appgw.route.patterns import MAX_STEPS, BadPattern, TooManySteps
from appgw.route.rewrite import RewriteRule
from appgw.route.templates import BadTemplate, Unrewritable
from appgw.route.variables import BadVariable
from tests.route.rewriting import Line, field, request, rule, when
from tests.route.values import arrival, head

SENT = [
    (b"Host", b"shop.example.com"),
    (b"Accept", b"a"),
    (b"X-Forwarded-For", b"192.0.2.7:51234"),
    (b"accept", b"b"),
]
"""What a backend would be sent."""


class ConditionTests(SynchronousTestCase):
    def test_all_must_hold(self) -> None:
        """
        A rule applies if all its conditions hold, and one without any always.
        """
        yes = when("var_uri_path", "^/a")
        no = when("http_req_X", ".")
        for conditions, applies in (
            ((), True),
            ((yes,), True),
            ((yes, no), False),
            ((no, yes), False),
            ((yes, when("http_req_X", ".", negate=True)), True),
            ((when("var_uri_path", "^/A"),), False),
            ((when("var_uri_path", "^/A", ignore_case=True),), True),
        ):
            made = request(rule(*conditions, modified_path="/b"), path=b"/a")
            self.assertEqual(b"/b" if applies else b"/a", made.path)
            [step] = made.steps
            self.assertEqual(applies, step.held is not None)

    def test_one_budget(self) -> None:
        """
        What one rule has spent on matching is spent for the next ones.
        """
        asked = head(b"/", (b"X", b"a" * 30000))
        slow = [rule(when("http_req_X", "(.*)(.*)b"), modified_path="/b")] * 40
        with self.assertRaises(TooManySteps):
            request(*slow, asked=asked)
        [step] = request(slow[0], asked=asked).steps
        self.assertLess(step.seen.steps.left, MAX_STEPS)


class OrderTests(SynchronousTestCase):
    def test_sequence(self) -> None:
        """
        Rules run by their sequence, and of equal ones as listed; the last wins.
        """
        made = request(
            rule(name="c", sequence=200, modified_path="/c"),
            rule(name="a", modified_path="/a"),
            rule(name="b", modified_path="/b", request=[field("X", "b")]),
        )
        self.assertEqual(b"/c", made.path)
        names = [step.rule.name for step in made.steps]
        self.assertEqual(["a", "b", "c"], names)

    def test_fields_as_left(self) -> None:
        """
        A rule sees the fields as those before it have left them.
        """
        made = request(
            rule(request=[field("X", "{http_req_X}1"), field("Y")]),
            rule(when("http_req_X", "^01$"), request=[field("X", "{http_req_X}2")]),
            rule(when("http_req_Y", "."), request=[field("Z", "seen")]),
            asked=head(b"/", (b"X", b"0"), (b"Y", b"there")),
        )
        self.assertEqual(
            {b"x": (b"X", b"012"), b"y": (b"Y", b"")}, dict(made.seen.edits)
        )

    def test_own_changes(self) -> None:
        """
        Within a rule all values are of what it has seen at its beginning.
        """
        made = request(
            rule(request=[field("A", "{http_req_B}"), field("B", "{http_req_A}")]),
            asked=head(b"/", (b"A", b"a"), (b"B", b"b")),
        )
        self.assertEqual((b"A", b"b"), made.seen.edits[b"a"])
        self.assertEqual((b"B", b"a"), made.seen.edits[b"b"])

    def test_variables_as_asked(self) -> None:
        """
        Server variables tell what the client asked, whatever was rewritten.
        """
        made = request(
            rule(
                modified_path="/new",
                modified_query_string="new",
                request=[field("Host", "new.example"), field("Cookie", "a=new")],
            ),
            rule(
                request=[
                    field(
                        "X",
                        "{var_uri_path}?{var_query_string} {var_request_uri}"
                        " {var_host} {var_cookie_a}",
                    )
                ]
            ),
            asked=head(b"/old?q", (b"Cookie", b"a=old")),
        )
        self.assertEqual(
            (b"X", b"/old?q /old?q shop.example.com old"), made.seen.edits[b"x"]
        )


class RequestFieldTests(SynchronousTestCase):
    def sent(self, *fields: tuple[str, str], lines: tuple[Line, ...] = ()) -> Headers:
        """
        Set or delete *fields* of what is sent.
        """
        made = request(
            rule(request=[field(*each) for each in fields]),
            asked=head(b"/", *lines),
            by=arrival(),
        )
        return made.request_fields(SENT)

    def test_set(self) -> None:
        """
        A field set takes the place of all its lines, or follows as a new one.
        """
        self.assertEqual(
            [
                (b"Host", b"shop.example.com"),
                (b"ACCEPT", b"c"),
                (b"X-Forwarded-For", b"192.0.2.7:51234"),
                (b"X-New", b"n"),
            ],
            self.sent(("X-New", "n"), ("ACCEPT", "c")),
        )

    def test_deleted(self) -> None:
        """
        One with an empty value goes with all its lines, also where it is empty
        because a variable is.
        """
        left = [SENT[0], SENT[2]]
        self.assertEqual(left, self.sent(("Accept", "")))
        self.assertEqual(left, self.sent(("Accept", "{http_req_X} ")))
        self.assertEqual(SENT, self.sent(("X-Not-There", "")))

    def test_nothing(self) -> None:
        """
        Where no rule applies, all stays.
        """
        made = request(rule(when("http_req_X", "."), request=[field("Accept")]))
        self.assertIs(SENT, made.request_fields(SENT))

    def test_forwarded_for(self) -> None:
        """
        Forwarding fields are rewritten like others: here the ports go.
        """
        fields = self.sent(("X-Forwarded-For", "{var_add_x_forwarded_for_proxy}"))
        self.assertEqual([b"192.0.2.7"], values_of(fields, b"x-forwarded-for"))

    def test_host(self) -> None:
        """
        Host can be set to a host; it is never gone.
        """
        for value, host in (
            ("in.example:8080", b"in.example:8080"),
            ("{http_req_X-Tenant}.in.example", b"a.in.example"),
            ("{http_req_X-Not-There}", b"shop.example.com"),
        ):
            fields = self.sent(("Host", value), lines=((b"X-Tenant", b"a"),))
            self.assertEqual([host], values_of(fields, b"host"))
        for tenant in (b"a b", b"a/b", b"a@b", b"a,b", b"", b"\xff", b".", b"a..b"):
            with self.assertRaises(Unrewritable):
                self.sent(
                    ("Host", "{http_req_X-Tenant}.in.example"),
                    lines=((b"X-Tenant", tenant),),
                )

    def test_injection(self) -> None:
        """
        A line break that a client has wrapped up in base64 gets nowhere.
        """
        basic = (b"Authorization", b"Basic YQ0KWC1FdmlsOiAx")  # a CR LF X-Evil: 1
        with self.assertRaises(Unrewritable):
            self.sent(("X-User", "{var_client_user}"), lines=(basic,))

    def test_bytes(self) -> None:
        """
        Bytes that are no UTF-8 pass through captures unharmed.
        """
        made = request(
            rule(
                when("http_req_X", "^a(.*)z$"),
                request=[field("Y", "<{http_req_X_1}>")],
            ),
            asked=head(b"/", (b"X", b"a\xff\xc3z")),
        )
        self.assertEqual((b"Y", b"<\xff\xc3>"), made.seen.edits[b"y"])


class BadRuleTests(SynchronousTestCase):
    def test_names(self) -> None:
        """
        Fields that frame a message, that are of one connection, or that we answer
        for cannot be rewritten, in whatever case.
        """
        both = (
            *("Connection", "UPGRADE", "content-length", "Transfer-Encoding"),
            *("Keep-Alive", "Trailer", "TE", "X-AppGW-Trace-Id", "Proxy-Connection"),
            *("", "a b", "a:b", "a\r\nb", "caf\xe9", "x" * 257),
        )
        for name in (*both, "Via", "Expect", "X_Y"):
            with self.assertRaises(BadName):
                RewriteRule.parse(rule(request=[field(name, "x")]), "set")
        for name in both:
            with self.assertRaises(BadName):
                RewriteRule.parse(rule(answer=[field(name, "x")]), "set")
        RewriteRule.parse(rule(answer=[field("X_Y", "x"), field("Via", "x")]), "set")

    def test_host(self) -> None:
        """
        Host cannot be deleted, nor be set to what is none.
        """
        for value in ("", " ", "a b", "https://a", "a/b"):
            with self.assertRaises(BadTemplate):
                RewriteRule.parse(rule(request=[field("Host", value)]), "set")

    def test_conditions(self) -> None:
        """
        So are an unknown variable and a pattern that is none.
        """
        with self.assertRaises(BadVariable):
            RewriteRule.parse(rule(when("var_nosuch", "a")), "set")
        with self.assertRaises(BadPattern):
            RewriteRule.parse(rule(when("var_host", "(")), "set")

    def test_answer_is_later(self) -> None:
        """
        A request cannot wait for its answer, in a value or in a condition.
        """
        status = when("var_http_status", "404")
        for wrong in (
            rule(request=[field("X", "{http_resp_X}")]),
            rule(modified_path="/{var_http_status}"),
            rule(modified_query_string="{var_sent_bytes}"),
            rule(status, request=[field("X", "1")], answer=[field("X", "1")]),
            rule(status, modified_path="/a"),
        ):
            with self.assertRaises(BadTemplate):
                RewriteRule.parse(wrong, "set")
        RewriteRule.parse(rule(status, answer=[field("X", "1")]), "set")

    def test_matcher_in_request(self) -> None:
        """
        A header_value_matcher is for answers.
        """
        with self.assertRaises(BadTemplate):
            RewriteRule.parse(rule(request=[field("X", "1", "a")]), "set")
