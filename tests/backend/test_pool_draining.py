from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.candidate import Candidate
from appgw.backend.health import Health
from appgw.backend.pool import Pool, build, hand_over
from appgw.backend.standing import standings
from appgw.config.model import (
    ConnectionDraining,
    Destination,
    Member,
    Pin,
    Probe,
    Rule,
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
)

NAME = "web.internal"
MARKED = Member(address=B, draining=True)
FOR_30_S = ConnectionDraining(enabled=True, drain_timeout=30.0)


class DrainingTestCase(SynchronousTestCase):
    """
    A pool whose members are marked or removed.
    """

    def setUp(self) -> None:
        """
        Begin with a clock that stands still.
        """
        self.seconds = Seconds()

    def made(
        self,
        *members: str | Member,
        before: Pool | None = None,
        known: dict[str, Pin] | None = None,
        probes: dict[str, Probe] | None = None,
        **settings: Any,
    ) -> Pool:
        """
        Put a pool in force that keeps clients by a cookie and drains for 30 s.
        """
        settings = {
            "cookie_based_affinity": True,
            "connection_draining": FOR_30_S,
        } | settings
        config = config_of(*members, **settings)
        config = attrs.evolve(config, probes=probes or {})
        if known is not None:
            config = attrs.evolve(config, pins=known)
        pool = Pool(config, PAIR, key=KEY, seconds=self.seconds, before=before)
        pool.take_over(before)
        return pool

    def bound(self, pool: Pool, to: Candidate) -> str:
        """
        Return who is first for a client that comes with the cookie of *to*.
        """
        line = b"ApplicationGatewayAffinity=" + to.cookie
        return next(pool.candidates(pool.affinity_in([line]))).address

    def reachable(self, pool: Pool) -> list[str]:
        """
        Return whose connections are kept.
        """
        return addresses(pool.sweep(self.seconds()))


class MarkedTests(DrainingTestCase):
    """
    Members that are marked.
    """

    def test_marked_gets_no_new_clients(self) -> None:
        """
        One that is marked is offered to nobody new, not even at last.
        """
        pool = self.made(A, MARKED, C)
        for _ in range(6):
            self.assertEqual([A, C], sorted(addresses(pool.candidates())))
        self.assertEqual([A, B, C], addresses(pool.members))

    def test_marked_keeps_its_clients(self) -> None:
        """
        Who is bound to it still comes, for as long as it is marked.
        """
        pool = self.made(A, MARKED)
        marked = by_address(pool)[B]
        self.seconds.now += 3600
        self.assertEqual([A, B], self.reachable(pool))
        self.assertEqual(B, self.bound(pool, marked))
        offered = addresses(pool.candidates(marked.cookie))
        self.assertEqual([B, A], offered)

    def test_move(self) -> None:
        """
        Under move, who is bound to it goes elsewhere at once, and nobody needs
        its connections.
        """
        pool = self.made(A, MARKED, drain_sticky="move")
        self.assertEqual(A, self.bound(pool, by_address(pool)[B]))
        self.assertEqual([A], self.reachable(pool))

    def test_no_cookies(self) -> None:
        """
        Where nobody is bound, nobody comes to it.
        """
        pool = self.made(A, MARKED, cookie_based_affinity=False)
        self.assertEqual([A], self.reachable(pool))
        self.assertEqual([A], addresses(pool.candidates()))

    def test_all_are_marked(self) -> None:
        """
        Where all are marked, new clients find nobody, and those bound come,
        though it rest.
        """
        for algorithm in ("RoundRobin", "IpHash"):
            pool = self.made(MARKED, load_distribution_algorithm=algorithm)
            source = "192.0.2.1" if pool.by_source else None
            self.assertEqual([], list(pool.candidates(None, source)))
            (marked,) = pool.members
            for _ in range(2):
                offered = pool.candidates(marked.cookie, source)
                self.assertEqual([B], addresses(offered))
                pool.refused(marked)

    def test_marked_and_unhealthy(self) -> None:
        """
        An unhealthy one gets nobody, bound or not, and counts for nothing where
        some have to stay in.
        """
        probes = {"it": Probe(name="it", path="/", min_servers=1)}
        pool = self.made(A, MARKED, probes=probes, probe="it", probe_enabled=True)
        for candidate in pool.members:
            pool.health[candidate.spot] = Health("unhealthy", 3, "Because.", 5.0)
        pool.arrange_anew()
        self.assertEqual([A], addresses(pool.candidates()))
        self.assertEqual(A, self.bound(pool, by_address(pool)[B]))

    def test_marked_and_down(self) -> None:
        """
        Who is bound to one that takes no connection goes elsewhere, at once and
        for as long as it rests.
        """
        pool = self.made(A, MARKED)
        marked = by_address(pool)[B]
        pool.refused(marked)
        self.assertEqual(A, self.bound(pool, marked))
        self.seconds.now += 10
        self.assertEqual([B, A], [self.bound(pool, marked) for _ in range(2)])
        pool.refused(by_address(pool)[A])
        self.assertEqual(A, self.bound(pool, marked))

    def test_no_longer_marked(self) -> None:
        """
        When the mark goes it gets new clients again, little by little.
        """
        before = self.made(A, MARKED, slow_start=90.0)
        pool = self.made(A, B, before=before, slow_start=90.0)
        self.assertEqual({A: 100, B: 10}, Counter(firsts(pool, 110)))

    def test_counts_as_nobody(self) -> None:
        """
        Half of a pool is half of those that new clients may go to.
        """
        pool = self.made(A, C, MARKED, "10.0.0.9")
        for candidate in pool.members:
            for _ in range(9):
                pool.failed(candidate, self.seconds())
        out = [c.address for c in pool.roster.able if pool.rests.out(c.target)]
        self.assertEqual([A], out)


class RemovedTests(DrainingTestCase):
    """
    Members that are removed.
    """

    def test_removed(self) -> None:
        """
        One that is removed is offered to nobody new; who is bound to it comes
        for the drain timeout, and goes elsewhere from then on.
        """
        before = self.made(A, B)
        gone = by_address(before)[B]
        pool = self.made(A, before=before)
        self.assertEqual([A], addresses(pool.candidates()))
        self.seconds.now += 29.9
        self.assertEqual([A, B], self.reachable(pool))
        self.assertEqual(B, self.bound(pool, gone))
        self.seconds.now += 0.1
        self.assertEqual([A], self.reachable(pool))
        self.assertEqual(A, self.bound(pool, gone))

    def test_removed_not_enabled(self) -> None:
        """
        Without connection draining, who is bound goes elsewhere at once.
        """
        off = ConnectionDraining()
        before = self.made(A, B, connection_draining=off)
        pool = self.made(A, before=before, connection_draining=off)
        self.assertEqual([A], self.reachable(pool))
        self.assertEqual(A, self.bound(pool, by_address(before)[B]))

    def test_further_reloads(self) -> None:
        """
        A reload in between does not begin the time anew, and may give another.
        """
        first = self.made(A, B)
        gone = by_address(first)[B]
        second = self.made(A, before=first)
        self.seconds.now += 20
        third = self.made(A, before=second)
        self.assertEqual(B, self.bound(third, gone))
        self.seconds.now += 10
        self.assertEqual([A], self.reachable(third))
        longer = attrs.evolve(FOR_30_S, drain_timeout=60.0)
        fourth = self.made(C, before=third)
        fifth = self.made(C, before=fourth, connection_draining=longer)
        self.seconds.now += 59
        self.assertEqual([C, A], self.reachable(fifth))

    def test_comes_back_in_time(self) -> None:
        """
        One that comes back while it drains stays, and its requests with it.
        """
        first = self.made(A, B)
        place = by_address(first)[B].place
        second = self.made(A, before=first)
        self.seconds.now += 5
        third = self.made(A, B, before=second)
        self.assertIs(place, by_address(third)[B].place)
        self.seconds.now += 999
        self.assertFalse(place.draining)
        self.assertEqual([A, B], self.reachable(third))

    def test_an_address_goes(self) -> None:
        """
        An address that a name no longer has drains like a member.
        """
        pool = self.made(A, NAME)
        pool.resolve({NAME: [B, C]})
        gone = by_address(pool)[C]
        pool.resolve({NAME: [B]})
        self.assertEqual(C, self.bound(pool, gone))
        self.assertNotIn(C, firsts(pool, 9))
        self.seconds.now += 30
        self.reachable(pool)
        self.assertNotEqual(C, self.bound(pool, gone))
        self.assertEqual({}, pool.roster.leaving)

    def test_other_pins(self) -> None:
        """
        Who stays bound to one that was removed is sent to it only if it proves
        what the new configuration demands.
        """
        before = self.made(A, B)
        gone = by_address(before)[B]
        known = {"next": PINS["next"]}
        pool = self.made(A, before=before, known=known, pins=("next",))
        found = next(pool.candidates(gone.cookie))
        self.assertEqual((B, (PINS["next"],)), (found.address, found.target.pins))

    def test_its_own_pins_are_gone(self) -> None:
        """
        Where none of its pins is left, nobody is sent to it.
        """
        before = self.made(A, Member(address=B, pins=("next",)))
        gone = by_address(before)[B]
        pool = self.made(A, before=before, known={"leaf": PINS["leaf"]})
        self.assertEqual([A], self.reachable(pool))
        self.assertEqual(A, self.bound(pool, gone))

    def test_another_port(self) -> None:
        """
        Where the setting's port changes, the old port drains.
        """
        before = self.made(A)
        pool = self.made(A, before=before, port=8443)
        gone = by_address(before)[A]
        found = next(pool.candidates(gone.cookie))
        self.assertEqual(f"{A}:443", found.label)
        self.assertEqual(f"{A}:8443", next(pool.candidates()).label)

    def test_same_place(self) -> None:
        """
        Another weight, other pins, another place in the list: nobody has gone.
        """
        before = self.made(A, B)
        heavy = Member(address=B, weight=9, pins=("next",))
        pool = self.made(heavy, A, before=before)
        self.assertEqual({}, pool.roster.leaving)
        for address, candidate in by_address(pool).items():
            self.assertIs(by_address(before)[address].place, candidate.place)
            self.assertFalse(candidate.place.draining)


class StandingTests(DrainingTestCase):
    def test_told(self) -> None:
        """
        Who drains is told, by Azure's word, those that were removed at last; so
        is who rests and why.
        """
        before = self.made(A, B, "10.0.0.9")
        pool = self.made(A, MARKED, C, "10.0.0.7", "10.0.0.8", before=before)
        pool.refused(by_address(pool)[A])
        for _ in range(5):
            pool.failed(by_address(pool)[C], self.seconds())
        found = {one.endpoint: (one.health, one.told) for one in standings(pool)}
        self.assertEqual(
            {
                f"{A}:443": ("Unknown", "no connection came about"),
                f"{B}:443": ("Draining", ""),
                f"{C}:443": ("Unknown", "5 requests in a row have failed"),
                "10.0.0.7:443": ("Unknown", ""),
                "10.0.0.8:443": ("Unknown", ""),
                "10.0.0.9:443": ("Draining", ""),
            },
            {
                endpoint: (health, told.partition("asked last: ")[2].rstrip(".)"))
                for endpoint, (health, told) in found.items()
            },
        )
        self.assertEqual(["10.0.0.9:443"], list(found)[5:])


class HandOverTests(SynchronousTestCase):
    """
    Pools of one configuration after those of another.
    """

    def test_pools_that_go(self) -> None:
        """
        Where nothing leads to a pool any more, what is there drains.
        """
        config = config_of(A, B, connection_draining=FOR_30_S)
        to = Destination(pool=PAIR[0], backend_settings=PAIR[1])
        rule = Rule(name="basic", priority=1, listener="x", destination=to)
        seconds = Seconds()
        before = build(attrs.evolve(config, rules={"basic": rule}), KEY, seconds)
        hand_over({}, before)
        members = before[PAIR].members
        self.assertEqual({False}, {c.place.draining for c in members})
        hand_over(before, {})
        self.assertEqual({1030.0}, {c.place.deadline(1000.0) for c in members})
