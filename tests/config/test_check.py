from __future__ import annotations

import datetime

from twisted.trial.unittest import SynchronousTestCase

from appgw.config import model
from appgw.config.check import check
from appgw.config.problems import Places
from tests.config.samples import NOW, PIN, ConfigCase

THERE = "pool: orders, backend_settings: orders"
PINNED = "protocol: https, pins: [orders]"
LISTENER = "protocol: https, certificate: shop"


class RuleTests(ConfigCase):
    def two_rules(self, first: str, second: str) -> str:
        """
        Write two rules for two listeners.
        """
        return self.text(
            listeners="""
                shop: {protocol: https, certificate: shop}
                plain: {protocol: http}
            """,
            rules=f"""
                one: {{{first}, {THERE}}}
                two: {{{second}, {THERE}}}  # here
            """,
        )

    def test_same_priority(self) -> None:
        """
        No two rules have one priority.
        """
        text = self.two_rules(
            "priority: 5, listener: shop", "priority: 5, listener: plain"
        )
        self.assertIn("rule 'one'", self.only(text, "rules.two.priority").found)
        self.sound(
            self.two_rules(
                "priority: 5, listener: shop", "priority: 6, listener: plain"
            )
        )

    def test_listener_with_two_rules(self) -> None:
        """
        A listener has one rule.
        """
        text = self.two_rules(
            "priority: 5, listener: shop", "priority: 6, listener: shop"
        )
        text = text.replace("  plain: {protocol: http}\n", "")
        self.assertIn("rule 'one'", self.only(text, "rules.two.listener").found)

    def test_listener_without_rule(self) -> None:
        """
        A listener without a rule is a warning.
        """
        text = self.text(
            listeners="""
                shop: {protocol: https, certificate: shop}
                plain: {protocol: http}  # here
            """
        )
        self.only(text, "listeners.plain", "warning")

    def test_shadowed_rule(self) -> None:
        """
        A rule after one that takes every Host of its port is a warning.
        """
        text = self.text(
            listeners="""
                all: {protocol: http}
                a: {protocol: http, host_names: [a.example.com]}
            """,
            rules=f"""
                all: {{priority: 1, listener: all, {THERE}}}
                a: {{priority: 2, listener: a, {THERE}}}  # here
            """,
        )
        self.only(text, "rules.a.priority", "warning")
        self.sound(
            text.replace("priority: 2", "priority: 1", 1).replace(
                "priority: 1,", "priority: 3,", 1
            )
        )

    def test_destinations(self) -> None:
        """
        A rule has exactly one of its three destinations.
        """
        for there, found in (
            ("", "no destination"),
            (", pool: orders", "pool"),
            (", backend_settings: orders", "backend_settings"),
            (
                f", url_path_map: m, {THERE}",
                "url_path_map and pool and backend_settings",
            ),
            (", url_path_map: m, pool: orders", "url_path_map and pool"),
        ):
            text = self.text(
                rules=f"shop: {{priority: 10, listener: shop{there}}}  # here",
                url_path_maps=f"m: {{default: {{{THERE}}}}}",
            )
            self.assertEqual(self.only(text, "rules.shop").found, found)

    def test_destinations_of_paths(self) -> None:
        """
        Defaults and path rules have exactly one of two destinations.
        """
        text = self.text(url_path_maps="m: {default: {pool: orders}}  # here")
        self.only(text, "url_path_maps.m.default")
        text = self.text(url_path_maps="m: {default: {}}  # here")
        self.only(text, "url_path_maps.m.default")
        rules = "[{name: a, paths: [/a]}]"
        maps = f"m: {{default: {{{THERE}}}, path_rules: {rules}}}  # here"
        self.only(self.text(url_path_maps=maps), "url_path_maps.m.path_rules[0]")

    def test_path_rule_names(self) -> None:
        """
        Path rules of one map have names of their own.
        """
        text = self.text(
            url_path_maps=f"""
                m:
                  default: {{{THERE}}}
                  path_rules:
                    - {{name: a, paths: [/a], {THERE}}}
                    - {{name: a, paths: [/b], {THERE}}}  # here
            """
        )
        self.only(text, "url_path_maps.m.path_rules[1].name")

    def test_path_taken_before(self) -> None:
        """
        A pattern that an earlier path rule has will never match: a warning.
        """
        text = self.text(
            url_path_maps=f"""
                m:
                  default: {{{THERE}}}
                  path_rules:
                    - {{name: a, paths: [/a/*], {THERE}}}
                    - {{name: b, paths: [/b, /A/*], {THERE}}}  # here
            """
        )
        self.only(text, "url_path_maps.m.path_rules[1].paths[1]", "warning")

    def test_path_covered_before(self) -> None:
        """
        So will one that an earlier path rule's asterisk covers.
        """
        for first, second, covered in (
            ("/a*", "/a/b", True),
            ("/a*", "/A/b/*", True),
            ("/*", "/", True),
            ("/a/b*", "/a/*", False),
            ("/a/*", "/a", False),
            ("/a", "/a*", False),
            ("/b*", "/a/b*", False),
        ):
            text = self.text(
                url_path_maps=f"""
                    m:
                      default: {{{THERE}}}
                      path_rules:
                        - {{name: z, paths: [/z*], {THERE}}}
                        - {{name: a, paths: [{first}], {THERE}}}
                        - {{name: b, paths: [{second}], {THERE}}}  # here
                """
            )
            if covered:
                key = "url_path_maps.m.path_rules[2].paths[0]"
                self.assertIn("rule 'a'", self.only(text, key, "warning").found)
            else:
                self.sound(text)

    def test_paths_of_one_rule(self) -> None:
        """
        That one path rule's patterns overlap is its own affair.
        """
        rule = f"{{name: a, paths: [/a*, /a/b, /a/*], {THERE}}}"
        self.sound(
            self.text(
                url_path_maps=f"m: {{default: {{{THERE}}}, path_rules: [{rule}]}}"
            )
        )


class LaterTests(ConfigCase):
    """
    What a later version carries out is refused by this one, where it is used.
    """

    def test_probe_without_text(self) -> None:
        """
        A body to look for has a character at least, and 4090 at most.
        """
        for body in ("''", "x" * 4091):
            text = f"probes:\n  up: {{path: /, match: {{body: {body}}}}}  # here\n"
            self.only(self.text(text), "probes.up.match.body")

    def test_impatient_probe(self) -> None:
        """
        A probe that outlasts its interval is a warning.
        """
        text = self.text("probes:\n  up: {path: /, interval: 5s}  # here\n")
        self.only(text, "probes.up.timeout", "warning")


class ProgramTests(SynchronousTestCase):
    """
    A configuration that was made in a program is checked like a file's.
    """

    def test_check(self) -> None:
        """
        Findings have no line to tell, but the key.
        """
        config = model.Config(
            listeners={
                "a": model.Listener(name="a", protocol="http", address="::", port=80)
            },
            rules={"a": model.Rule(name="a", priority=1, listener="b")},
        )
        problems = check(config, Places(), NOW)
        self.assertEqual(
            sorted((p.line, p.key) for p in problems),
            [(1, "listeners.a"), (1, "rules.a"), (1, "rules.a.listener")],
        )

    def test_empty_pins(self) -> None:
        """
        A member with an empty list of pins is refused here too.
        """
        member = model.Member(address="a", pins=())
        config = model.Config(
            listeners={}, rules={}, pools={"a": model.Pool(name="a", members=(member,))}
        )
        keys = [problem.key for problem in check(config, Places(), NOW)]
        self.assertIn("pools.a.members[0].pins", keys)

    def test_pin_that_ended(self) -> None:
        """
        A pin's last day counts to its end, in UTC.
        """
        pin = model.Pin(name="a", sha256=bytes.fromhex(PIN), not_after=NOW.date())
        config = model.Config(listeners={}, rules={}, pins={"a": pin})
        late = NOW.replace(hour=23, minute=59)
        self.assertNotIn(
            "pins.a.not_after", [p.key for p in check(config, Places(), late)]
        )
        eastern = datetime.timezone(datetime.timedelta(hours=9))
        same = late.astimezone(eastern)
        self.assertNotIn(
            "pins.a.not_after", [p.key for p in check(config, Places(), same)]
        )
        tomorrow = late + datetime.timedelta(minutes=1)
        problems = check(config, Places(), tomorrow)
        [problem] = [p for p in problems if p.key == "pins.a.not_after"]
        self.assertEqual(problem.severity, "warning")
