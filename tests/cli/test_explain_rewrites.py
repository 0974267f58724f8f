from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.explain import answer, ask, explain, explained
from appgw.config.model import Config
from tests.route.rewriting import field, rule, rule_set, when, with_sets
from tests.route.values import config, listener, path_rule

URL = "https://shop.example.com/old/7?x=1"
FIELDS = ("X-Beta: yes",)
MOVING = rule_set(
    rule(
        when("var_uri_path", "^/old/(.)$"),
        when("http_req_X-Beta", "^NO$", ignore_case=True, negate=True),
        name="move",
        sequence=10,
        request=[
            field("X-Id", "{var_uri_path_1}"),
            field("X-Beta"),
            field("X-Forwarded-For", "{var_client_ip}:80"),
        ],
        modified_path="/orders/{var_uri_path_1}",
        modified_query_string="",
        reroute=True,
    ),
    rule(
        when("http_req_X-Beta", "."),
        when("var_http_method", "POST"),
        name="never",
        request=[field("X-Never", "x")],
    ),
    rule(
        when("http_resp_Location", "^http://in(/.*)"),
        name="location",
        answer=[field("Location", "https://{var_host}{http_resp_Location_1}")],
    ),
    name="moving",
)
SECURE = rule_set(
    rule(
        name="hsts",
        answer=[
            field("Strict-Transport-Security", "max-age=1"),
            field("Server"),
            field("Set-Cookie", "{http_resp_Set-Cookie}; Secure"),
        ],
    ),
    name="secure",
)


def shop() -> Config:
    values = config(
        listener("shop", "shop.example.com"),
        path_rules=[path_rule("old", "/old/*"), path_rule("orders", "/orders/*")],
    )
    return with_sets(values, MOVING, SECURE, old="moving", orders="secure")


def told(
    *fields: str, url: str = URL, status: int = 200, answered: Sequence[str] = ()
) -> list[str]:
    question = ask(url, fields, "GET", "192.0.2.1")
    lines, _ = explained(shop(), question, answer(status, answered))
    return lines


class RequestTests(SynchronousTestCase):
    maxDiff = None

    def test_steps(self) -> None:
        """
        Each rule is told with its conditions, what they captured, and what it
        changes, before and after.
        """
        lines = told(*FIELDS)
        start = lines.index("rewrites")
        self.assertEqual(
            [
                "rewrites",
                "  rule move of moving (10): applies",
                '    holds  var_uri_path is "/old/7", must match ^/old/(.)$: 1 is "7"',
                '    holds  http_req_x-beta is "yes", must not match ^NO$, in any case',
                '    X-Id: nothing -> "7"',
                '    X-Beta: "yes" -> nothing',
                '    X-Forwarded-For: "192.0.2.1" -> "192.0.2.1:80"',
                "    path /old/7 -> /orders/7",
                '    query "x=1" -> nothing',
                "    the path map is asked again",
                "  rule never of moving (100): does not apply",
                "    fails  http_req_x-beta is nothing, must match .",
                '    fails  var_http_method is "GET", must match POST',
                "  rule location of moving (100): waits for the answer",
                "  rule hsts of secure (100): applies",
                "sends",
                "  GET /orders/7 HTTP/1.1",
            ],
            lines[start : start + 17],
        )
        self.assertIn("  X-Id: 7", lines)
        self.assertIn("  X-Forwarded-For: 192.0.2.1:80", lines)
        self.assertNotIn("  X-Beta: yes", lines)

    def test_rerouted(self) -> None:
        """
        Where the path map was asked again, that is told, and what matches the new
        path.
        """
        lines = told(*FIELDS)
        at = lines.index("rerouted   by the new path /orders/7")
        self.assertEqual("path rule  orders, by /orders/*", lines[at + 1])
        self.assertIn("  path rule old: /old/* does not match", lines)

    def test_none(self) -> None:
        """
        Without rules nothing is told of any.
        """
        lines = told(url="https://shop.example.com/else")
        self.assertNotIn("rewrites", lines)
        self.assertFalse([line for line in lines if line.startswith("answered")])

    def test_refused(self) -> None:
        """
        A request that rules cannot be applied to is refused, and it is told why.
        """
        changing = rule_set(rule(modified_path="/{http_req_X}"))
        slow = rule_set(rule(when("http_req_X", "(.*[ab]){99}")), name="slow")
        values = with_sets(
            config(listener("shop"), path_rules=[path_rule("a", "/a")]),
            changing,
            slow,
            default="set",
            a="slow",
        )
        for url, value, said in (
            (
                "https://x/",
                "a%2fb",
                "its rewrite rules lead to path /a%2fb: an escaped slash",
            ),
            ("https://x/a", "ab" * 16000, "its rewrite rules would take too long"),
        ):
            question = ask(url, [f"X: {value}"], "GET", "192.0.2.1")
            lines, refused = explained(values, question)
            self.assertTrue(refused)
            self.assertIn(said, lines[0])

    def test_asterisk(self) -> None:
        """
        An OPTIONS about the server can be explained, too.
        """
        adding = rule_set(rule(request=[field("X-New", "n")], modified_path="/b"))
        values = with_sets(config(listener("shop")), adding, shop="set")
        question = ask("https://x/*", [], "OPTIONS", "192.0.2.1")
        question.head.path = b"*"
        lines, refused = explained(values, question)
        self.assertFalse(refused)
        self.assertIn("  OPTIONS * HTTP/1.1", lines)
        self.assertIn('    X-New: nothing -> "n"', lines)


class AnswerTests(SynchronousTestCase):
    def test_made_up(self) -> None:
        """
        Of an answer that somebody makes up it is told what would become of it.
        """
        lines = told(
            *FIELDS,
            status=302,
            answered=(
                *("Location: http://in/x", "Server: s"),
                *("Set-Cookie: a=1", "Set-Cookie: b=2"),
            ),
        )
        start = lines.index("answered with 302")
        must = "must match ^http://in(/.*)"
        self.assertEqual(
            [
                "  rule location of moving (100): applies",
                f'    holds  http_resp_location is "http://in/x", {must}: 1 is "/x"',
                '    Location: "http://in/x" -> "https://shop.example.com/x"',
                "  rule hsts of secure (100): applies",
                '    Strict-Transport-Security: nothing -> "max-age=1"',
                '    Server: "s" -> nothing',
                '    Set-Cookie: "a=1" and "b=2" -> "a=1; Secure" and "b=2; Secure"',
            ],
            lines[start + 1 : start + 8],
        )

    def test_plain(self) -> None:
        """
        Without one, it is told what would become of a bare 200.
        """
        lines = told(*FIELDS)
        start = lines.index("answered with 200")
        self.assertEqual(
            [
                "  rule location of moving (100): does not apply",
                "    fails  http_resp_location is nothing, must match ^http://in(/.*)",
            ],
            lines[start + 1 : start + 3],
        )

    def test_refused(self) -> None:
        """
        An answer that rules cannot be applied to would be 502.
        """
        slow = rule_set(rule(when("http_resp_X", "(.*[ab]){99}"), answer=[field("X")]))
        values = with_sets(config(listener("shop")), slow, shop="set")
        question = ask("https://x/", [], "GET", "192.0.2.1")
        lines, _ = explained(values, question, answer(200, [f"X: {'ab' * 16000}"]))
        self.assertIn("    refused    502: it would take too long to match", lines)


class CommandTests(SynchronousTestCase):
    def test_options(self) -> None:
        """
        The command takes an answer's status and headers.
        """
        file = Path(self.mktemp())
        file.write_text(
            """
            pools: {web: {members: [127.0.0.1]}}
            backend_settings: {web: {protocol: http}}
            listeners: {shop: {protocol: http}}
            rules:
              shop:
                {priority: 1, listener: shop, pool: web, backend_settings: web,
                 rewrite_rule_set: set}
            rewrite_rule_sets:
              set:
                rewrite_rules:
                  - name: status
                    conditions: [{variable: var_http_status, pattern: "404"}]
                    action_set:
                      response_header_configurations:
                        - {header_name: X, header_value: "{http_resp_Y}"}
            """
        )
        arguments = [str(file), "http://x/", "--status", "404", "--answer", "Y: y"]
        result = CliRunner().invoke(explain, arguments)
        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn('X: nothing -> "y"', result.output)
        for wrong in (["--status", "99"], ["--answer", "no header"]):
            result = CliRunner().invoke(explain, [str(file), "http://x/", *wrong])
            self.assertNotEqual(0, result.exit_code)
