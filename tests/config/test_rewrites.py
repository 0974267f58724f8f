from __future__ import annotations

from tests.config.rewriting import CHANGE, RewriteCase, asking, changing, of_rule
from tests.config.samples import HERE
from tests.route.rewriting import field, rule, rule_set, when

EVERYTHING = """
name: all
rule_sequence: 7
conditions:
  - {variable: var_uri_path, pattern: "^/a/(.*)$"}
  - {variable: http_req_X, pattern: b, ignore_case: true, negate: true}
action_set:
  request_header_configurations:
    - {header_name: X-Forwarded-For, header_value: "{var_client_ip}"}
    - {header_name: X-Gone, header_value: ""}
    - {header_name: X-Gone-Too}
  response_header_configurations:
    - header_name: Set-Cookie
      header_value: "{capt_header_value_matcher_1}; Secure"
      header_value_matcher: {pattern: (a=.*), ignore_case: true}
  url_configuration:
    modified_path: /b/{var_uri_path_1}
    modified_query_string: ""
    reroute: true
"""


class ReadTests(RewriteCase):
    def test_everything(self) -> None:
        """
        Each key of a set ends up in the model.
        """
        config = self.sound(self.text(of_rule(EVERYTHING)))
        secure = "{capt_header_value_matcher_1}; Secure"
        expected = rule(
            when("var_uri_path", "^/a/(.*)$"),
            when("http_req_X", "b", ignore_case=True, negate=True),
            name="all",
            sequence=7,
            request=[
                field("X-Forwarded-For", "{var_client_ip}"),
                field("X-Gone"),
                field("X-Gone-Too"),
            ],
            answer=[field("Set-Cookie", secure, "(a=.*)", ignore_case=True)],
            modified_path="/b/{var_uri_path_1}",
            modified_query_string="",
            reroute=True,
        )
        self.assertEqual({"set": rule_set(expected)}, config.rewrite_rule_sets)

    def test_defaults(self) -> None:
        """
        A rule without a sequence is in the middle of things, as Azure's are.
        """
        config = self.sound(self.text(of_rule(f"name: a\n{CHANGE}")))
        [only] = config.rewrite_rule_sets["set"].rewrite_rules
        self.assertEqual((100, ()), (only.rule_sequence, only.conditions))

    def test_used(self) -> None:
        """
        A rule, a path rule and a path map's default name their set.
        """
        there = "pool: orders, backend_settings: orders, rewrite_rule_set: set"
        config = self.sound(
            self.text(
                of_rule(f"name: a\n{CHANGE}"),
                rules=f"shop: {{priority: 1, listener: shop, {there}}}",
                url_path_maps=f"""
                map:
                  default: {{{there}}}
                  path_rules: [{{name: a, paths: [/a], {there}}}]
                """,
            )
        )
        path_map = config.url_path_maps["map"]
        for destination in (
            config.rules["shop"].destination,
            path_map.default,
            path_map.path_rules[0].destination,
        ):
            assert destination is not None
            self.assertEqual("set", destination.rewrite_rule_set)


class SyntaxTests(RewriteCase):
    def test_pattern(self) -> None:
        """
        A pattern that RE2 doesn't take is an error, with its reason and its line.
        """
        for pattern, said in (
            *(("'('", "missing )"), ("'(?=a)'", "(?="), ("x{1001}", "{1001}")),
            *(("''", "1 to"), ("\xe9", "ASCII")),
        ):
            text = asking(f"variable: var_host\n  pattern: {pattern} {HERE}")
            self.assertIn(said, self.rule(text, "conditions[0].pattern"))

    def test_variable(self) -> None:
        """
        So is an unknown variable.
        """
        for name in ("var_nosuch", "host", '"{var_host}"', "http_req_"):
            text = asking(f"pattern: a\n  variable: {name} {HERE}")
            self.rule(text, "conditions[0].variable")

    def test_names(self) -> None:
        """
        So is a header that isn't ours to rewrite, or is none.
        """
        for kind, names in (
            ("request", ("Connection", "upgrade", "'X:'", "Via", "a_b", "TE", "''")),
            ("response", ("Connection", "Transfer-Encoding", "Content-Length", "a b")),
        ):
            key = f"{kind}_header_configurations"
            for name in names:
                text = changing(key, f"header_name: {name} {HERE}")
                self.rule(text, f"action_set.{key}[0].header_name")

    def test_matcher(self) -> None:
        """
        A header_value_matcher is for responses, and its pattern is judged too.
        """
        key = "request_header_configurations"
        matcher = f"header_value_matcher: {{pattern: '('}} {HERE}"
        text = changing(key, "header_name: X", matcher)
        self.rule(text, f"action_set.{key}[0].header_value_matcher")
        key = "response_header_configurations"
        text = changing(key, "header_name: X", matcher)
        self.rule(text, f"action_set.{key}[0].header_value_matcher.pattern")

    def test_sequence(self) -> None:
        """
        A sequence is between 1 and 1000.
        """
        for wrong in ("0", "1001", "-1", "x"):
            text = f"name: a\nrule_sequence: {wrong} {HERE}\n{CHANGE}"
            self.rule(text, "rule_sequence")

    def test_one_complaint(self) -> None:
        """
        What leans on a broken condition is not complained of as well.
        """
        value = '{header_name: X, header_value: "{var_nosuch_1}"}'
        text = asking(
            f"variable: var_nosuch {HERE}\n  pattern: (a)",
            change=f"action_set: {{request_header_configurations: [{value}]}}",
        )
        self.rule(text, "conditions[0].variable")


class ValueTests(RewriteCase):
    def test_unfillable(self) -> None:
        """
        A value with something unknown in braces, or a capture that no condition
        makes, is an error that names it.
        """
        key = "request_header_configurations"
        for value, said in (
            ("{var_nosuch}", "{var_nosuch}"),
            ("{http_resp_X}", "in a request"),
            ("{var_uri_path_1}", "a condition on var_uri_path"),
            ("{capt_header_value_matcher_1}", "a header_value_matcher"),
        ):
            line = f'header_value: "{value}" {HERE}'
            text = changing(key, "header_name: X", line)
            found = self.rule(text, f"action_set.{key}[0].header_value")
            self.assertIn(said, found)

    def test_host(self) -> None:
        """
        Host can't be deleted.
        """
        key = "request_header_configurations"
        text = changing(key, "header_name: Host", f"header_value: '' {HERE}")
        self.rule(text, f"action_set.{key}[0].header_value")

    def test_url(self) -> None:
        """
        A path or query that never is one is an error.
        """
        for key, value in (
            ("modified_path", "/a?b"),
            ("modified_path", "/.."),
            ("modified_path", "/{http_resp_X}"),
            ("modified_query_string", "?a=b"),
            ("modified_query_string", "{var_query_string_1}"),
        ):
            text = changing("url_configuration", f'{key}: "{value}" {HERE}')
            self.rule(text, f"action_set.url_configuration.{key}")

    def test_answer_is_later(self) -> None:
        """
        A condition on the answer is an error where the request is changed.
        """
        text = asking(f"variable: var_http_status {HERE}\n  pattern: '404'")
        self.rule(text, "conditions[0].variable")

    def test_no_change(self) -> None:
        """
        A rule that changes nothing is a warning, and so is a reroute that doesn't.
        """
        self.rule(f"name: a\naction_set: {{}} {HERE}", "action_set", "warning")
        alone = ("modified_query_string: a", f"reroute: true {HERE}")
        text = changing("url_configuration", *alone)
        self.rule(text, "action_set.url_configuration.reroute", "warning")
