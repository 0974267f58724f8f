from __future__ import annotations

import datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appgw.config.check import check
from appgw.config.model import Config, RewriteRuleSet
from appgw.config.problems import Places
from tests.config.rewriting import (
    CHANGE,
    FIRST,
    RULES,
    RewriteCase,
    asking,
    changing,
    of_rule,
)
from tests.config.samples import HERE
from tests.route.rewriting import field, rule, rule_set, when


class NeverTests(RewriteCase):
    """
    Conditions that never hold.
    """

    def never(self, *conditions: str, change: str = CHANGE) -> None:
        """
        Demand a warning of the last of *conditions*.
        """
        *first, last = [f"{{{each}}}" for each in conditions]
        text = asking(*first, f"{last} {HERE}", change=change)
        self.rule(text, f"conditions[{len(first)}].pattern", "warning")

    def test_never(self) -> None:
        """
        A pattern that can't match any value of its variable is a warning.
        """
        for variable, pattern in (
            ("var_uri_path", "^images/"),
            ("var_uri_path", "^(?:images|css)/"),
            ("var_uri_path", r"/a\?b=c"),
            ("var_uri_path", "/a b"),
            ("var_request_uri", "#top"),
            ("var_request_scheme", "^ftp"),
            ("var_http_version", "HTTP/3"),
            ("var_ssl_enabled", "^on$"),
            ("var_http_status", "^6"),
            ("var_client_port", "^-"),
            ("http_req_X", r"a[^\x00-\xff]"),
            ("http_resp_Connection", "close"),
        ):
            change = CHANGE
            if variable in ("var_http_status", "http_resp_Connection"):
                change = change.replace("request", "response")
            self.never(f"variable: {variable}, pattern: '{pattern}'", change=change)

    def test_always(self) -> None:
        """
        So is a negated one that matches every value.
        """
        for variable, pattern in (
            *(("http_req_X", ".*"), ("http_req_X", "^(.*)$")),
            *(("var_request_scheme", "^https?$"), ("var_ssl_enabled", "^(On)?$")),
        ):
            self.never(f"variable: {variable}, pattern: '{pattern}', negate: true")

    def test_contrary(self) -> None:
        """
        So is the contrary of another condition of the rule.
        """
        self.never(
            "variable: http_req_x, pattern: a",
            "variable: http_req_X, pattern: a, negate: true",
        )

    def test_may(self) -> None:
        """
        What may hold is no warning.
        """
        for each in (
            "variable: var_uri_path, pattern: ^/images/",
            "variable: var_uri_path, pattern: images/",
            r"variable: var_uri_path, pattern: '/a\??b'",
            "variable: var_uri_path, pattern: '^(?:images)?/'",
            r"variable: var_request_uri, pattern: '\?a='",
            "variable: var_request_scheme, pattern: HTTP, ignore_case: true",
            "variable: var_ssl_enabled, pattern: ^$",
            "variable: var_client_certificate_verification, pattern: SUCCESS",
            "variable: var_client_certificate, pattern: ., negate: true",
            "variable: http_req_X, pattern: .+, negate: true",
            "variable: http_req_X, pattern: ^$",
        ):
            self.sound(self.text(of_rule(asking(f"{{{each}}}"))))

    def test_by_protocol(self) -> None:
        """
        Where a set is used by https listeners alone, they tell more; and by http
        ones alone.
        """
        there = "pool: orders, backend_settings: orders, rewrite_rule_set: set"
        https = "shop: {protocol: https, certificate: shop}"
        http = "plain: {protocol: http}"
        for listeners, variable, pattern, never in (
            ([https], "var_ssl_enabled", "^$", True),
            ([https], "var_request_scheme", "^http$", True),
            ([https], "var_ssl_enabled", "On", False),
            ([http], "var_ssl_enabled", "On", True),
            ([http], "var_ssl_connection_protocol", "TLS", True),
            ([http], "var_request_scheme", "^http$", False),
            ([https, http], "var_ssl_enabled", "^$", False),
            ([https, http], "var_ssl_enabled", "On", False),
        ):
            names = [each.partition(":")[0] for each in listeners]
            rules = [
                f"{name}: {{priority: {n}, listener: {name}, {there}}}"
                for n, name in enumerate(names, 1)
            ]
            asked = f"{{variable: {variable}, pattern: {pattern}}}"
            examination = self.examine(
                self.text(
                    of_rule(asking(asked)),
                    listeners="\n".join(listeners),
                    rules="\n".join(rules),
                )
            )
            keys = [problem.key for problem in examination.problems]
            wanted = [f"{FIRST}.conditions[0].pattern"] if never else []
            self.assertEqual(wanted, keys, f"{listeners} {variable}")


class UseTests(RewriteCase):
    ROUTE = "pool: orders, backend_settings: orders"

    def test_dangling(self) -> None:
        """
        A set that isn't there is an error, wherever it is named.
        """
        more = of_rule(f"name: a\n{CHANGE}")
        text = self.text(
            more,
            rules=f"shop: {{priority: 1, listener: shop, {self.ROUTE},"
            f" rewrite_rule_set: sett}} {HERE}",
        )
        problem = self.only(text, "rules.shop.rewrite_rule_set")
        self.assertIn("such as 'set'", problem.expected)

    def test_beside_path_map(self) -> None:
        """
        A rule with a path map can't have a set: the path map has them.
        """
        text = self.text(
            of_rule(f"name: a\n{CHANGE}"),
            rules=f"""
            shop:
              priority: 1
              listener: shop
              url_path_map: map
              rewrite_rule_set: set {HERE}
            """,
            url_path_maps=f"map: {{default: {{{self.ROUTE}}}}}",
        )
        self.only(text, "rules.shop.rewrite_rule_set")

    def test_no_destination(self) -> None:
        """
        A set alone is no destination.
        """
        text = self.text(
            of_rule(f"name: a\n{CHANGE}"),
            rules="shop: {priority: 1, listener: shop, rewrite_rule_set: set} " + HERE,
        )
        self.only(text, "rules.shop")

    def test_beside_redirect(self) -> None:
        """
        Beside a redirect it is a warning: redirects are not rewritten.
        """
        text = self.text(
            of_rule(f"name: a\n{CHANGE}"),
            rules="shop: {priority: 1, listener: shop, redirect: to,"
            f" rewrite_rule_set: set}} {HERE}",
            redirects="to: {type: Found, target_url: https://a.example/}",
        )
        self.only(text, "rules.shop.rewrite_rule_set", "warning")

    def test_reroute(self) -> None:
        """
        A basic rule can't use a set with reroute, a path map can.
        """
        reroute = changing("url_configuration", "modified_path: /a", "reroute: true")
        there = f"{self.ROUTE}, rewrite_rule_set: set"
        text = self.text(
            of_rule(reroute),
            rules=f"shop: {{priority: 1, listener: shop, {there}}} {HERE}",
        )
        problem = self.only(text, "rules.shop.rewrite_rule_set")
        self.assertIn("'a' has reroute", problem.found)
        self.sound(
            self.text(
                of_rule(reroute),
                rules="shop: {priority: 1, listener: shop, url_path_map: map}",
                url_path_maps=f"map: {{default: {{{there}}}}}",
            )
        )

    def test_names(self) -> None:
        """
        Each rule has a name of its own within its set.
        """
        text = f"""
rewrite_rule_sets:
  set:
    rewrite_rules:
      - {{name: a, {CHANGE}}}
      - {{name: a, rule_sequence: 2, {CHANGE}}} {HERE}
"""
        self.only(self.text(text), f"{RULES}[1].name")


class ProgramTests(SynchronousTestCase):
    """
    Configurations that were made in a program.
    """

    def problems(self, *sets: RewriteRuleSet) -> list[str]:
        """
        Check a configuration with nothing but *sets*.
        """
        config = Config(
            listeners={}, rules={}, rewrite_rule_sets={one.name: one for one in sets}
        )
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        found = [str(problem) for problem in check(config, Places(), now)]
        return [problem for problem in found if "rewrite_rule_sets" in problem]

    def test_limits(self) -> None:
        """
        There are at most 400 sets, 40 rules in each, 40 conditions in each of these.
        """
        change: Any = {"request": [field("X", "x")]}
        conditions = [when(f"http_req_X{n}", "a") for n in range(41)]
        rules = [rule(name=f"r{n}", **change) for n in range(41)]
        sets = [rule_set(name=f"s{n}") for n in range(401)]
        self.assertEqual([], self.problems(rule_set(rule(*conditions[:40], **change))))
        self.assertEqual([], self.problems(rule_set(*rules[:40])))
        self.assertEqual([], self.problems(*sets[:400]))
        for problems, said in (
            (self.problems(rule_set(rule(*conditions, **change))), "41 conditions"),
            (self.problems(rule_set(*rules)), "41 rules"),
            (self.problems(*sets), "401 sets"),
        ):
            [problem] = problems
            self.assertIn(said, problem)

    def test_checked_too(self) -> None:
        """
        What the file's reader would have refused is refused there as well.
        """
        for wrong, said in (
            (rule(when("var_nosuch", "a"), modified_path="/a"), "'var_nosuch'"),
            (rule(when("var_host", "("), modified_path="/a"), "missing )"),
            (rule(request=[field("Connection", "x")]), "'Connection'"),
            (rule(answer=[field("X", "x", "(")]), "missing )"),
            (rule(request=[field("X", "x", "a")]), "responses only"),
        ):
            [problem] = self.problems(rule_set(wrong))
            self.assertIn(said, problem)
