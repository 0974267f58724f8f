"""
Rewrites within decisions: which set is asked, and where the request goes then.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.config import model
from appgw.config.model import Destination, RewriteRuleSet
from appgw.refusal import Refusal
from appgw.route.decide import Forward, Redirect, Refuse, decide
from appgw.route.table import PortTable, Table
from tests.route.rewriting import field, rule, rule_set, when, with_sets
from tests.route.values import arrival, config, head, listener, path_rule

SHOP = listener("shop", "shop.example.com")
HOST = (b"Host", b"shop.example.com")


def port(
    *sets: RewriteRuleSet,
    override: str | None = None,
    allow: bool = False,
    paths: bool = True,
    **places: str,
) -> PortTable:
    """
    A site with two path rules, or without any.
    """
    shop = listener(
        "shop", "shop.example.com", ambiguous_paths="allow" if allow else "refuse"
    )
    rules = [path_rule("one", "/one*"), path_rule("two", "/two/*")] if paths else []
    values = config(shop, path_rules=rules, override=override)
    (built,) = Table.build(with_sets(values, *sets, **places)).ports.values()
    return built


def to(table: PortTable, target: bytes, *lines: Any, **more: Any) -> Forward:
    decision = decide(table, head(target, *lines, **more), None, arrival())
    assert isinstance(decision, Forward), decision
    return decision


def marks(decision: Forward) -> list[bytes]:
    """
    The fields X-1, X-2 and so on that rules have added.
    """
    assert decision.rewritten is not None
    fields = decision.rewritten.request_fields([HOST])
    return [name for name, _ in fields[1:]]


class PlaceTests(SynchronousTestCase):
    def test_where_it_is_used(self) -> None:
        """
        A set belongs to a path rule, to the default, or to a basic rule.
        """
        one = rule_set(rule(request=[field("X-1", "x")]), name="a")
        two = rule_set(rule(request=[field("X-2", "x")]), name="b")
        table = port(one, two, one="a", default="b")
        self.assertEqual([b"X-1"], marks(to(table, b"/one")))
        self.assertEqual([b"X-2"], marks(to(table, b"/")))
        self.assertIsNone(to(table, b"/two/").rewritten)
        basic = port(one, paths=False, shop="a")
        self.assertEqual([b"X-1"], marks(to(basic, b"/one")))

    def test_one_value(self) -> None:
        """
        Routes with the same set have the same value for it.
        """
        table = port(rule_set(name="a"), one="a", two="a")
        one, two = table.sites[0].routes
        self.assertIs(one.rewrites, two.rewrites)
        self.assertIsNone(table.sites[0].default.rewrites)

    def test_asterisk(self) -> None:
        """
        An OPTIONS about the server is rewritten by the default's set.
        """
        changing = rule_set(
            rule(request=[field("X-1", "x")], modified_path="/one"), name="a"
        )
        table = port(changing, default="a", override="/v2/")
        decision = to(table, b"*", method=b"OPTIONS")
        self.assertEqual((b"*", [b"X-1"]), (decision.path, marks(decision)))

    def test_curious(self) -> None:
        """
        A port knows whether rules ask what only sockets can tell.
        """
        for change, wanted in (
            (rule(request=[field("X", "{var_host}")]), False),
            (rule(request=[field("X", "{var_client_tcp_rtt}")]), True),
            (rule(answer=[field("X", "{var_ciphers_supported}")]), True),
            (rule(when("var_ciphers_supported", "RC4"), modified_path="/x"), True),
            (rule(modified_query_string="rtt={var_client_tcp_rtt}"), True),
        ):
            self.assertEqual(wanted, port(rule_set(change), default="set").curious)
        self.assertFalse(port(rule_set(change)).curious)


class PathTests(SynchronousTestCase):
    def test_override(self) -> None:
        """
        The path override is applied to the new path.
        """
        changing = rule_set(rule(modified_path="/one/new"), name="a")
        table = port(changing, override="/v2/", one="a", default="a")
        self.assertEqual(b"/v2/new", to(table, b"/one/old").path)
        self.assertEqual(b"/v2/one/new", to(table, b"/old").path)

    def test_out_of_override(self) -> None:
        """
        A new path does not lead out of the path override.
        """
        changing = rule_set(rule(modified_path="/one../x"), name="a")
        table = port(changing, override="/v2/", one="a")
        decision = decide(table, head(b"/one"), None, arrival())
        assert isinstance(decision, Refuse)
        self.assertIs(Refusal.BAD_TARGET, decision.refusal)

    def test_refused(self) -> None:
        """
        What cannot be sent is refused, and so is what takes too long to match.
        """
        path = rule_set(rule(modified_path="/{http_req_X}"), name="a")
        slow = rule_set(rule(when("http_req_X", "(.*[ab]){99}")), name="b")
        table = port(path, slow, one="a", two="b")
        for target, value, refusal in (
            (b"/one", b"a%2fb", Refusal.BAD_REWRITE),
            (b"/one", b"..", Refusal.BAD_REWRITE),
            (b"/two/", b"ab" * 16000, Refusal.HEAD_TOO_LARGE),
        ):
            asked = head(target, (b"X", value))
            decision = decide(table, asked, None, arrival())
            assert isinstance(decision, Refuse)
            self.assertIs(refusal, decision.refusal)
            self.assertEqual("shop", decision.site and decision.site.listener.name)
        allowing = port(path, one="a", allow=True)
        self.assertEqual(b"/a%2Fb", to(allowing, b"/one", (b"X", b"a%2fb")).path)


class RerouteTests(SynchronousTestCase):
    def test_path_map_is_asked_again(self) -> None:
        """
        With reroute the new path chooses the route, without it the old one has.
        """
        for reroute, name in ((True, "two"), (False, "one")):
            changing = rule_set(
                rule(modified_path="/TWO/{var_uri_path}", reroute=reroute), name="a"
            )
            decision = to(port(changing, one="a", override="/v2"), b"/one")
            self.assertEqual(name, decision.route.path_rule)
            path = b"/v2/one" if reroute else b"/v2/TWO/one"
            self.assertEqual(path, decision.path)
            assert decision.rewritten is not None
            rerouted = decision.rewritten.rerouted
            self.assertEqual(b"/TWO/one" if reroute else None, rerouted)

    def test_by_query(self) -> None:
        """
        Conditions choose where a request goes: by its query, here.
        """
        changing = rule_set(
            rule(
                when("var_query_string", "(?:^|&)category=shoes(?:&|$)"),
                name="shoes",
                modified_path="/one",
                reroute=True,
            ),
            rule(
                when("var_query_string", "(?:^|&)category=bags(?:&|$)"),
                name="bags",
                modified_path="/two/",
                reroute=True,
            ),
            name="a",
        )
        table = port(changing, default="a")
        for query, name in (
            *((b"category=shoes", "one"), (b"x=1&category=bags", "two")),
            *((b"category=any", None), (b"category=shoesandbags", None)),
        ):
            decision = to(table, b"/listing?" + query)
            self.assertEqual(name, decision.route.path_rule)

    def test_once(self) -> None:
        """
        The path map is asked again once: rules that send each other requests make
        no loop.
        """
        there = rule_set(
            rule(request=[field("X-1", "x")], modified_path="/two/a", reroute=True),
            name="a",
        )
        back = rule_set(
            rule(request=[field("X-2", "x")], modified_path="/one/b", reroute=True),
            name="b",
        )
        decision = to(port(there, back, one="a", two="b"), b"/one")
        self.assertEqual("two", decision.route.path_rule)
        self.assertEqual(b"/one/b", decision.path)
        self.assertEqual([b"X-1", b"X-2"], marks(decision))

    def test_same_set(self) -> None:
        """
        A set that the new route has as well is not applied twice.
        """
        counting = rule_set(
            rule(
                request=[field("X-1", "{http_req_X-1}+")],
                modified_path="/two/",
                reroute=True,
            ),
            name="a",
        )
        decision = to(port(counting, one="a", two="a"), b"/one")
        assert decision.rewritten is not None
        self.assertEqual((b"X-1", b"+"), decision.rewritten.seen.edits[b"x-1"])
        self.assertEqual(1, len(decision.rewritten.steps))

    def test_to_itself(self) -> None:
        """
        Asked again, the path map may give the same answer.
        """
        staying = rule_set(rule(modified_path="/one/x", reroute=True), name="a")
        decision = to(port(staying, one="a"), b"/one")
        self.assertEqual("one", decision.route.path_rule)
        self.assertEqual(b"/one/x", decision.path)

    def test_to_redirect(self) -> None:
        """
        The new path may lead to a redirect, which tells the client about the URL
        that it has asked for.
        """
        moving = rule_set(
            rule(request=[field("X", "x")], modified_path="/two/x", reroute=True),
            name="a",
        )
        paths = [path_rule("one", "/one"), path_rule("two", "/two/*")]
        values = config(listener("shop"), path_rules=paths)
        values = with_sets(values, moving, one="a")
        path_map = values.url_path_maps["map"]
        one, two = path_map.path_rules
        there = Destination(redirect="to", rewrite_rule_set="a")
        rules = (one, attrs.evolve(two, destination=there))
        to_new = model.Redirect(
            name="to",
            type="Found",
            target_url="https://new.example/",
            include_path=True,
            include_query_string=True,
        )
        values = attrs.evolve(
            values,
            url_path_maps={"map": attrs.evolve(path_map, path_rules=rules)},
            redirects={"to": to_new},
        )
        (table,) = Table.build(values).ports.values()
        decision = decide(table, head(b"/one?x"), None, arrival())
        assert isinstance(decision, Redirect)
        self.assertEqual(b"https://new.example/one?x", decision.location)
        assert decision.rewritten is not None
        self.assertEqual(1, len(decision.rewritten.steps))
