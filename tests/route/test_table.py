from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.model import Destination, Rule
from appgw.route.listeners import BadHost
from appgw.route.table import Table
from tests.route.values import config, listener, path_rule, table


class BuildTests(SynchronousTestCase):
    def test_ports(self) -> None:
        """Listeners of one address and port share a table, in rule order."""
        built = Table.build(
            config(
                listener("a", "a.example"),
                listener("plain", protocol="http", port=80),
                listener("b", "b.example"),
            )
        )
        self.assertEqual({("0.0.0.0", 443), ("0.0.0.0", 80)}, set(built.ports))
        port = built.ports["0.0.0.0", 443]
        self.assertEqual("https", port.protocol)
        self.assertEqual(["a", "b"], [site.listener.name for site in port.sites])

    def test_priority(self) -> None:
        """The smaller number comes first, wherever it stands in the file."""
        values = config(listener("a"), listener("b"))
        rules = dict(values.rules)
        rules["b"] = attrs.evolve(rules["b"], priority=1)
        port = Table.build(attrs.evolve(values, rules=rules)).ports["0.0.0.0", 443]
        self.assertEqual(["b", "a"], [site.rule.name for site in port.sites])

    def test_routes(self) -> None:
        """Each pattern has a route that knows its rule, pool and settings."""
        port = table(
            listener("a"), path_rules=[path_rule("x", "/x/*", "/y")], override="/v2"
        )
        (site,) = port.sites
        first, second = site.routes
        self.assertEqual(("x", "x", "x"), (first.path_rule, first.pool, second.pool))
        assert first.pattern is not None
        self.assertEqual("/x/*", first.pattern.text)
        self.assertEqual("x", first.settings.name)
        self.assertEqual(b"/v2", first.override)
        self.assertIsNone(site.default.path_rule)
        self.assertIsNone(site.default.pattern)

    def test_one_protocol(self) -> None:
        """A port is either https or http."""
        self.assertRaises(
            ValueError, table, listener("a"), listener("b", protocol="http")
        )

    def test_one_beginning(self) -> None:
        """All connections of a port begin with a PROXY header, or none does."""
        proxied = attrs.evolve(listener("b"), proxy_protocol=True)
        self.assertRaises(ValueError, table, listener("a"), proxied)
        self.assertTrue(table(proxied).proxy_protocol)
        self.assertFalse(table(listener("a")).proxy_protocol)

    def test_nowhere(self) -> None:
        """A rule that leads to no pool makes no table."""
        values = config(listener("a"))
        for destination in (
            None,
            Destination(),
            Destination(pool="web"),
        ):
            rule = Rule(name="a", priority=1, listener="a", destination=destination)
            broken = attrs.evolve(values, rules={"a": rule})
            self.assertRaises(ValueError, Table.build, broken)


class SiteTests(SynchronousTestCase):
    def test_first_listed_path_rule_wins(self) -> None:
        """Not the longest pattern but the first in the list is taken."""
        (site,) = table(
            listener("a"),
            path_rules=[
                path_rule("short", "/a/*"),
                path_rule("long", "/a/b/*", "/c"),
                path_rule("odd", "/a(b|c)+", "/c*"),
            ],
        ).sites
        for path, expected in (
            (b"/a/b/x", "short"),
            (b"/c", "long"),
            (b"/cd", "odd"),
            (b"/a(b|c)+", "odd"),
            (b"/ab", None),
            (b"/", None),
        ):
            self.assertEqual(expected, site.route_for(path).path_rule)

    @given(
        patterns=st.lists(
            st.text("ab/", max_size=4).map("/".__add__)
            | st.text("ab/", max_size=4).map(lambda text: f"/{text}*"),
            max_size=6,
        ),
        path=st.text("ab/", max_size=6),
    )
    def test_as_one_by_one(self, patterns: list[str], path: str) -> None:
        """One expression finds what trying pattern after pattern would."""
        rules = [path_rule(str(n), text) for n, text in enumerate(patterns)]
        (site,) = table(listener("a"), path_rules=rules).sites
        lowered = f"/{path}".encode()
        matching = [r for r in site.routes if r.pattern and r.pattern.matches(lowered)]
        self.assertIs([*matching, site.default][0], site.route_for(lowered))


class PortTableTests(SynchronousTestCase):
    def test_site_of(self) -> None:
        """An authority means the same site, asked the first time or again."""
        port = table(listener("a", "a.example"), listener("b", "*.example"))
        first, second = port.sites
        for _ in range(2):
            self.assertIs(first, port.site_of(b"A.example:443"))
            self.assertIs(second, port.site_of(b"b.example"))
            self.assertIsNone(port.site_of(b"b.test"))
            self.assertRaises(BadHost, port.site_of, b"a@b")

    def test_presented_for(self) -> None:
        """Without SNI, or with an unknown one, the first by priority is shown."""
        port = table(listener("a", "a.example"), listener("b", "b.example"))
        first, second = port.sites
        for _ in range(2):
            self.assertIs(second, port.presented_for("b.example"))
            self.assertIs(second, port.presented_for("B.example."))
            for name in (None, "", "c.example", "10.0.0.1", "\0", "x" * 300):
                self.assertIs(first, port.presented_for(name))

    def test_same_answer(self) -> None:
        """SNI and Host of the same name mean the same site."""
        port = table(
            listener("a", "*.x.example"), listener("b", "a.x.example"), listener("c")
        )
        for name in ("a.x.example", "b.x.example", "other"):
            found = port.listener_for(name)
            self.assertIs(found, port.presented_for(name))
            self.assertIs(found, port.site_of(name.encode()))

    def test_memory_is_bounded(self) -> None:
        """However many names are asked for, few are remembered."""
        port = table(listener("a", "a.example"), listener("rest"))
        for number in range(5000):
            port.site_of(b"h%d.example" % number)
            port.presented_for(f"h{number}.example")
        self.assertLess(len(port._by_authority), 2000)
        self.assertLess(len(port._by_server_name), 2000)
        self.assertIs(port.sites[0], port.site_of(b"a.example"))
        self.assertIs(port.sites[0], port.presented_for("a.example"))
