from __future__ import annotations

from collections import Counter

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.pool import build
from appgw.backend.target import Target
from appgw.backend.targets import Endpoint, endpoints_of
from appgw.config.model import (
    Destination,
    Member,
    PathRule,
    Rule,
    UrlPathMap,
)
from tests.backend.pools import (
    KEY,
    PAIR,
    PINS,
    A,
    B,
    C,
    Seconds,
    addresses,
    by_address,
    config_of,
    firsts,
    pool_of,
)


class TurnTests(SynchronousTestCase):
    """
    Who is asked while everybody is well.
    """

    def test_round_robin(self) -> None:
        """
        Members known by address take turns, before anything was resolved.
        """
        self.assertEqual([A, B, C, A, B, C], firsts(pool_of(A, B, C), 6))

    def test_weights(self) -> None:
        """
        A member of weight two is first twice as often.
        """
        pool = pool_of(A, Member(address=B, weight=2))
        self.assertEqual({A: 4, B: 8}, Counter(firsts(pool, 12)))

    def test_each_once(self) -> None:
        """
        One request is offered every member, and none twice.
        """
        pool = pool_of(A, Member(address=B, weight=7), C)
        for _ in range(9):
            offered = addresses(pool.candidates())
            self.assertEqual([A, B, C], sorted(offered))

    def test_nobody(self) -> None:
        """
        A pool without members offers nobody, bound or not.
        """
        pool = pool_of()
        self.assertEqual([], list(pool.candidates()))
        self.assertEqual([], list(pool.candidates(b"x")))

    def test_a_name_not_resolved_yet(self) -> None:
        """
        A member whose name has no address is not offered.
        """
        pool = pool_of("orders.internal", A)
        self.assertEqual(("orders.internal",), pool.names)
        self.assertEqual([A], addresses(pool.candidates()))

    def test_the_same_member_twice(self) -> None:
        """
        A member that is listed twice is one.
        """
        self.assertEqual([A, B], sorted(addresses(pool_of(A, A, B).candidates())))


class CandidateTests(SynchronousTestCase):
    """
    What is known of one that a request may be sent to.
    """

    def test_fields(self) -> None:
        """
        A candidate has its member's port, label and identity.
        """
        member = Member(address=A, port=9443, pins=("next",))
        (candidate,) = pool_of(member).members
        self.assertIs(member, candidate.member)
        self.assertEqual((A, 9443), (candidate.address, candidate.port))
        self.assertEqual("10.0.0.1:9443", candidate.label)
        self.assertIsNone(candidate.host)
        expected = Target(address=A, port=9443, name=A, pins=(PINS["next"],))
        self.assertEqual(expected, candidate.target)

    def test_ipv6(self) -> None:
        """
        An IPv6 address is in brackets in a label, and only there.
        """
        (candidate,) = pool_of("[0::1]").members
        self.assertEqual("[::1]:443", candidate.label)
        self.assertEqual("::1", candidate.target.address)

    def test_host(self) -> None:
        """
        Under a setting with a host_name that is the Host.
        """
        (candidate,) = pool_of(A, host_name="shop.example").members
        self.assertEqual(b"shop.example", candidate.host)


class UpdateTests(SynchronousTestCase):
    """
    Members' addresses come and go.
    """

    def setUp(self) -> None:
        """
        Make a pool of one name and one address.
        """
        self.name = Member(address="orders.internal", weight=3)
        self.pool = pool_of(self.name, A)

    def test_resolved(self) -> None:
        """
        Each address of a name is offered, and they share the member's weight.
        """
        self.pool.resolve({"orders.internal": [B, C, "::1"]})
        self.assertEqual({A: 6, B: 6, C: 6, "::1": 6}, Counter(firsts(self.pool, 24)))

    def test_names_are_not_addresses(self) -> None:
        """
        Whatever address a name has, its name is what it proves.
        """
        self.pool.resolve({"orders.internal": [B]})
        target = by_address(self.pool)[B].target
        self.assertEqual(("orders.internal", B), (target.server_name, target.address))

    def test_who_stays_is_the_same(self) -> None:
        """
        An address that stays keeps its candidate and its health.
        """
        self.pool.resolve({"orders.internal": [B]})
        before = by_address(self.pool)
        self.pool.refused(before[B])
        self.pool.resolve({"orders.internal": [B, C]})
        after = by_address(self.pool)
        self.assertIs(before[B], after[B])
        self.assertIn(after[B].target, self.pool.rests)

    def test_who_is_gone(self) -> None:
        """
        An address that is gone is offered to no new request.
        """
        self.pool.resolve({"orders.internal": [B]})
        self.pool.resolve({"orders.internal": [C]})
        self.assertEqual([A, C], sorted(addresses(self.pool.candidates())))

    def test_during_a_request(self) -> None:
        """
        A request that has begun goes on with those that are there now.
        """
        self.pool.resolve({"orders.internal": [B]})
        candidates = self.pool.candidates()
        first = next(candidates)
        self.pool.resolve({"orders.internal": [C]})
        left = addresses(candidates)
        self.assertIn(C, left)
        self.assertNotIn(first.address, left)

    def test_emptied(self) -> None:
        """
        A pool can lose everybody, during a request too.
        """
        candidates = self.pool.candidates()
        next(candidates)
        self.pool.update([])
        self.assertEqual([], list(candidates))
        self.assertEqual([], list(self.pool.candidates()))

    def test_from_another_source(self) -> None:
        """
        Endpoints may come from anywhere; repeated ones count once.
        """
        endpoint = Endpoint(self.name, B)
        self.pool.update([endpoint, endpoint])
        self.assertEqual([B, B], firsts(self.pool, 2))
        self.assertEqual(1, len(self.pool.members))

    def test_nothing_new(self) -> None:
        """
        The same endpoints again leave everything as it is, whose turn it is too.
        """
        pool = pool_of(A, B, C)
        before = firsts(pool, 2)
        pool.resolve({})
        self.assertEqual([A, B, C], before + firsts(pool, 1))

    def test_no_favourites(self) -> None:
        """
        Where addresses change before every request, each gets its turn as well.
        """
        found = set()
        for turn in range(12):
            self.pool.resolve({"orders.internal": [B, C][: 1 + turn % 2]})
            found.update(firsts(self.pool, 1))
        self.assertLessEqual({A, B}, found)

    def test_old_refusals_are_forgotten(self) -> None:
        """
        What was held against an address that is long gone does not pile up.
        """
        seconds = Seconds()
        pool = pool_of(self.name, A, seconds=seconds)
        pool.resolve({"orders.internal": [B]})
        pool.refused(by_address(pool)[B])
        pool.resolve({"orders.internal": [C]})
        self.assertEqual(1, len(pool.rests))
        seconds.now += 3600
        pool.resolve({"orders.internal": [C, "::1"]})
        self.assertEqual({}, pool.rests)

    def test_order(self) -> None:
        """
        Endpoints are in the members' order, then in the order of the addresses.
        """
        members = [self.name, Member(address="[0::1]"), Member(address="gone")]
        self.assertEqual(
            [
                Endpoint(members[0], C),
                Endpoint(members[0], B),
                Endpoint(members[1], "::1"),
            ],
            endpoints_of(members, {"orders.internal": [C, B]}),
        )


class BuildTests(SynchronousTestCase):
    """
    All pools of a configuration.
    """

    def setUp(self) -> None:
        """
        Make a configuration with one pool and two settings.
        """
        config = config_of(A, B)
        plain = attrs.evolve(config.backend_settings[PAIR[1]], name="plain")
        self.config = attrs.evolve(
            config,
            backend_settings={**config.backend_settings, "plain": plain},
            rules={
                "basic": Rule(
                    name="basic",
                    priority=1,
                    listener="x",
                    destination=Destination(pool="web", backend_settings="secure"),
                ),
            },
        )

    def test_what_rules_lead_to(self) -> None:
        """
        There is a pool for each pair that a rule, a path or a default leads to.
        """
        secure = Destination(pool="web", backend_settings="secure")
        plain = Destination(pool="web", backend_settings="plain")
        paths = UrlPathMap(
            name="m",
            default=Destination(redirect="away"),
            path_rules=(
                PathRule(name="a", paths=("/a",), destination=plain),
                PathRule(name="b", paths=("/b",), destination=secure),
            ),
        )
        mapped = Rule(name="mapped", priority=2, listener="x", url_path_map="m")
        config = attrs.evolve(
            self.config,
            rules={**self.config.rules, "mapped": mapped},
            url_path_maps={"m": paths},
        )
        pools = build(config, KEY, Seconds())
        self.assertEqual({("web", "secure"), ("web", "plain")}, set(pools))
        for pair, pool in pools.items():
            self.assertEqual(pair, pool.pair)
            self.assertIs(config.backend_settings[pair[1]], pool.settings)

    def test_unused_is_not_built(self) -> None:
        """
        What no rule leads to is not built: its names would be looked up in vain.
        """
        self.assertEqual({PAIR}, set(build(self.config, KEY, Seconds())))

    def test_health_is_kept(self) -> None:
        """
        Who rested before a reload rests after it, and the old pool is listened to.
        """
        before = build(self.config, KEY, Seconds())
        old = by_address(before[PAIR])
        before[PAIR].refused(old[A])
        after = build(self.config, KEY, Seconds(), before)[PAIR]
        self.assertEqual([B] * 4, firsts(after, 4))
        before[PAIR].answered(old[A], 200, 1000.0)
        self.assertEqual({A: 2, B: 2}, Counter(firsts(after, 4)))

    def test_new_pins_start_well(self) -> None:
        """
        A refusal under the old pins says nothing about the new ones.
        """
        before = build(self.config, KEY, Seconds())
        before[PAIR].refused(by_address(before[PAIR])[A])
        secure = attrs.evolve(self.config.backend_settings["secure"], pins=("next",))
        config = attrs.evolve(self.config, backend_settings={"secure": secure})
        after = build(config, KEY, Seconds(), before)[PAIR]
        self.assertEqual({A: 2, B: 2}, Counter(firsts(after, 4)))
