from __future__ import annotations

from appgw.config import model
from appgw.config.check import check
from appgw.config.problems import Places
from tests.config.samples import NOW, SOUND, ConfigCase

SHOP = "protocol: https, certificate: shop"
THERE = "pool: orders, backend_settings: orders"
TO_SHOP = "type: Permanent, target_listener: shop"
WHOLE = "include_path: true, include_query_string: true"


class TargetTests(ConfigCase):
    def test_uses(self) -> None:
        """
        A rule, a path rule and a default may redirect, and need no pool for it.
        """
        text = self.text(
            f"""
            redirects:
              to-shop: {{{TO_SHOP}, {WHOLE}}}
              away: {{type: Found, target_url: "https://away.example/a?b#c"}}
            url_path_maps:
              m:
                default: {{redirect: to-shop}}
                path_rules:
                  - {{name: a, paths: [/a/*], redirect: away}}
            """,
            listeners=f"""
                shop: {{{SHOP}}}
                plain: {{protocol: http}}
                other: {{protocol: http, port: 8080}}
            """,
            rules=f"""
                {SOUND["rules"]}
                plain: {{priority: 20, listener: plain, url_path_map: m}}
                other: {{priority: 30, listener: other, redirect: away}}
            """,
        )
        config = self.sound(text)
        self.assertEqual(
            config.rules["other"].destination, model.Destination(redirect="away")
        )

    def test_redirects_only(self) -> None:
        """
        A gateway that only redirects has neither pools nor backend settings.
        """
        config = self.sound(
            """
            listeners: {plain: {protocol: http}}
            rules: {plain: {priority: 1, listener: plain, redirect: away}}
            redirects:
              away: {type: Found, target_url: "https://a.example/", include_path: true}
            """
        )
        self.assertEqual(config.pools, {})

    def test_one_target(self) -> None:
        """
        A redirect has one target.
        """
        for targets, found in (
            ("", "no target"),
            (
                ", target_url: 'https://a/', target_listener: shop",
                "target_listener and target_url",
            ),
        ):
            text = self.text(f"redirects:\n  out: {{type: Found{targets}}}  # here\n")
            self.assertEqual(self.only(text, "redirects.out").found, found)

    def test_two_targets_in_use(self) -> None:
        """
        One with two targets is not followed where it is used.
        """
        both = "target_url: 'https://a/', target_listener: shop"
        text = self.text(
            f"redirects:\n  out: {{type: Found, {both}}}  # here\n",
            rules="shop: {priority: 10, listener: shop, redirect: out}",
        )
        self.only(text, "redirects.out")

    def test_many_hosts(self) -> None:
        """
        A redirect can't tell which name of a listener with many it should take.
        """
        for names in ("['*.example.com']", "[a.example.com, b.example.com]"):
            text = self.text(
                "redirects:\n  out: {type: Found, target_listener: shop}  # here\n",
                listeners=f"shop: {{{SHOP}, host_names: {names}}}",
            )
            self.only(text, "redirects.out.target_listener")

    def test_many_hosts_in_use(self) -> None:
        """
        Nor is it followed where it is used: one mistake, one complaint.
        """
        text = self.text(
            "redirects:\n  out: {type: Found, target_listener: shop}  # here\n",
            listeners=f"shop: {{{SHOP}, host_names: ['*.example.com']}}",
            rules="shop: {priority: 10, listener: shop, redirect: out}",
        )
        self.only(text, "redirects.out.target_listener")


class LoopTests(ConfigCase):
    """
    A redirect that leads back to where it began is an error, where it is used.
    """

    def rule(self, target: str, listener: str = SHOP, more: str = "") -> str:
        """
        Write a rule of the listener ``shop`` that redirects.
        """
        return self.text(
            f"redirects: {{out: {{type: Found, {target}}}}}\n{more}",
            listeners=f"shop: {{{listener}}}",
            rules="shop: {priority: 10, listener: shop, redirect: out}  # here",
        )

    def test_own_listener(self) -> None:
        """
        A rule that redirects to its own listener always leads back.
        """
        for flags in ("", ", include_path: true", f", {WHOLE}"):
            text = self.rule(f"target_listener: shop{flags}")
            problem = self.only(text, "rules.shop.redirect")
            self.assertIn("to itself", problem.found)
            self.assertIn("https://host.invalid/", problem.found)

    def test_own_url(self) -> None:
        """
        So does a URL with a name that the listener answers to, or its address.
        """
        named = f"{SHOP}, host_names: [a.example, shop.example]"
        plain = "protocol: http, port: 8080, address: 10.0.0.5"
        for url, listener in (
            ("https://shop.example/", named),
            ("https://SHOP.example:443/?a=b#c", named),
            ("https://shop.example/x/../", named),
            ("http://10.0.0.5:8080", plain),
            ("http://[fd00::5]:8080", plain.replace("10.0.0.5", "'fd00::5'")),
        ):
            for flags in ("", ", include_path: true"):
                text = self.rule(f"target_url: '{url}'{flags}", listener)
                problem = self.only(text, "rules.shop.redirect")
                self.assertIn("to itself", problem.found)

    def test_elsewhere(self) -> None:
        """
        Nobody knows where other names lead, or other ports.
        """
        named = f"{SHOP}, host_names: [shop.example, '*.wild.example']"
        for url, listener in (
            ("https://other.example/", named),
            ("https://www.wild.example/", named),
            ("http://shop.example/", named),
            ("https://shop.example:8443/", named),
            ("https://any.example/", SHOP),
            ("https://10.0.0.5/", SHOP),
        ):
            self.sound(
                self.rule(f"target_url: '{url}', include_path: true", listener).replace(
                    "  # here", ""
                )
            )

    def test_growing(self) -> None:
        """
        A path that grows each time comes to no end either.
        """
        text = self.rule(
            "target_url: 'https://shop.example/new', include_path: true",
            f"{SHOP}, host_names: [shop.example]",
        )
        problem = self.only(text, "rules.shop.redirect")
        self.assertIn("'https://shop.example/(any-path)' leads on", problem.found)

    def mapped(self, rules: str, redirects: str, default: str = THERE) -> str:
        """
        Write path rules for the listener ``shop``, which is shop.example.
        """
        return self.text(
            f"""
redirects: {{{redirects}}}
url_path_maps:
  m:
    default: {{{default}}}
    path_rules:
{rules}
""",
            listeners=f"shop: {{{SHOP}, host_names: [shop.example]}}",
            rules="shop: {priority: 10, listener: shop, url_path_map: m}",
        )

    def test_own_paths(self) -> None:
        """
        A path may be redirected to another path of its listener.
        """
        old = "      - {name: old, paths: [/old, /old/*], redirect: out}"
        url = "target_url: 'https://shop.example/"
        fine = ("target_listener: shop", f"{url}new/'", f"{url}older'", f"{url}a%2fb'")
        for target in fine:
            self.sound(self.mapped(old, f"out: {{type: Found, {target}}}"))
        for target in (
            "target_listener: shop, include_path: true",
            f"{url}old/'",
            f"{url}OLD'",
            f"{url}old', include_path: true",
        ):
            text = self.mapped(f"{old}  # here", f"out: {{type: Found, {target}}}")
            self.only(text, "url_path_maps.m.path_rules[0].redirect")

    def test_exact_pattern(self) -> None:
        """
        A pattern without an asterisk is followed as the path that it is.
        """
        rule = "      - {name: root, paths: [/], redirect: out}"
        target = "out: {type: Found, target_listener: shop}"
        text = self.mapped(f"{rule}  # here", target)
        problem = self.only(text, "url_path_maps.m.path_rules[0].redirect")
        self.assertIn("'https://shop.example/' to itself", problem.found)
        self.sound(self.mapped(rule.replace("[/]", "[/x]"), target))

    def test_default(self) -> None:
        """
        A default is followed with a path that no rule names.
        """
        rule = f"      - {{name: root, paths: [/], {THERE}}}"
        for flags, ok in (("", True), (", include_path: true", False)):
            redirects = f"out: {{type: Found, target_listener: shop{flags}}}"
            text = self.mapped(rule, redirects, "redirect: out")
            if ok:
                self.sound(text)
            else:
                marked = text.replace("redirect: out}", "redirect: out}  # here")
                self.only(marked, "url_path_maps.m.default.redirect")

    def test_first_path_rule_wins(self) -> None:
        """
        What an earlier path rule takes to a pool does not come back.
        """
        rules = f"""\
      - {{name: b, paths: [/a/b/*], {THERE}}}
      - {{name: a, paths: [/a/*], redirect: out}}"""
        out = "target_url: 'https://shop.example/a/b', include_path: true"
        self.sound(self.mapped(rules, f"out: {{type: Found, {out}}}"))

    def test_between_paths(self) -> None:
        """
        Two paths that redirect to each other are one mistake.
        """
        rules = """\
      - {name: a, paths: [/a], redirect: to-b}  # here
      - {name: b, paths: [/b], redirect: to-a}"""
        url = "target_url: 'https://shop.example/"
        redirects = f"to-a: {{type: Found, {url}a'}}, to-b: {{type: Found, {url}b'}}"
        problem = self.only(
            self.mapped(rules, redirects), "url_path_maps.m.path_rules[0].redirect"
        )
        self.assertIn("comes back after 2 redirects", problem.found)

    def two(self, there: str, back: str, names: str = "") -> str:
        """
        Write a listener in clear text and one with TLS that redirect.
        """
        return self.text(
            f"""
            redirects:
              there: {{type: Found, {there}}}
              back: {{type: Found, {back}}}
            """,
            listeners=f"""
                shop: {{{SHOP}{names}}}
                plain: {{protocol: http, port: 8080{names}}}
            """,
            rules="""
                plain: {priority: 20, listener: plain, redirect: there}
                shop: {priority: 10, listener: shop, redirect: back}
            """,
        )

    def test_between_listeners(self) -> None:
        """
        Two listeners that redirect to each other are one mistake, by name or URL.
        """
        names = ", host_names: [shop.example]"
        for there, back in (
            ("target_listener: shop", "target_listener: plain"),
            (f"target_listener: shop, {WHOLE}", f"target_listener: plain, {WHOLE}"),
            ("target_url: 'https://shop.example'", "target_listener: plain"),
            ("target_listener: shop", "target_url: 'http://shop.example:8080/x'"),
        ):
            text = self.two(there, back, names)
            [problem] = self.examine(text).problems
            self.assertEqual(problem.severity, "error")
            self.assertRegex(problem.key, r"rules\.(plain|shop)\.redirect")
            self.assertIn("shop.example", problem.found)
            self.assertIn("comes back after 2 redirects", problem.found)

    def test_no_way_back(self) -> None:
        """
        One after the other is fine, as long as it ends.
        """
        self.sound(
            self.two("target_listener: shop", "target_url: 'https://away.example'")
        )

    def test_other_listener_of_the_port(self) -> None:
        """
        What counts is who answers for the Host at the target's port.
        """
        text = self.text(
            f"""
            redirects:
              there: {{type: Found, target_listener: rest, {WHOLE}}}
              back: {{type: Found, target_listener: plain, {WHOLE}}}
            """,
            listeners=f"""
                shop: {{{SHOP}, host_names: [shop.example]}}
                rest: {{{SHOP}}}
                plain: {{protocol: http}}
            """,
            rules=f"""
                shop: {{priority: 10, listener: shop, redirect: back}}  # here
                rest: {{priority: 20, listener: rest, {THERE}}}
                plain: {{priority: 30, listener: plain, redirect: there}}
            """,
        )
        problem = self.only(text, "rules.shop.redirect")
        self.assertIn("shop.example", problem.found)
        self.sound(text.replace("redirect: back}  # here", f"{THERE}}}"))

    def test_address_decides(self) -> None:
        """
        Of two addresses with the same port and name the URL means the client's.
        """
        text = self.text(
            "redirects: {out: {type: Found, target_url: 'http://shop.example/'}}\n",
            listeners="""
                one: {protocol: http, address: 10.0.0.1, host_names: [shop.example]}
                two: {protocol: http, address: 10.0.0.2, host_names: [shop.example]}
                far: {protocol: http, address: 10.0.0.3, host_names: [far.example]}
            """,
            rules=f"""
                one: {{priority: 10, listener: one, {THERE}}}
                two: {{priority: 20, listener: two, redirect: out}}  # here
                far: {{priority: 30, listener: far, redirect: out}}
            """,
        )
        self.only(text, "rules.two.redirect")

    def test_beside_other_errors(self) -> None:
        """
        A configuration that can't be followed brings no complaint of loops.
        """
        for text, key in (
            (
                self.rule("target_listener: none").replace("  # here", ""),
                "redirects.out.target_listener",
            ),
            (
                self.rule("target_listener: shop, typ: x").replace("  # here", ""),
                "redirects.out.typ",
            ),
        ):
            problems = self.examine(text).problems
            self.assertEqual([problem.key for problem in problems], [key])

    def test_program(self) -> None:
        """
        A configuration that was made in a program is followed like a file's.
        """
        plain = model.Listener(name="a", protocol="http", address="::", port=80)
        config = model.Config(
            listeners={"a": plain},
            rules={
                "a": model.Rule(
                    name="a",
                    priority=1,
                    listener="a",
                    destination=model.Destination(redirect="r"),
                )
            },
            redirects={
                "r": model.Redirect(name="r", type="Found", target_listener="a")
            },
        )
        [problem] = check(config, Places(), NOW)
        self.assertEqual(problem.key, "rules.a.redirect")
