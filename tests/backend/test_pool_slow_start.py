from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.pool import Pool
from appgw.config.model import Member
from tests.backend.pools import (
    KEY,
    PAIR,
    A,
    B,
    C,
    Seconds,
    by_address,
    config_of,
    firsts,
)

NAME = "web.internal"


class SlowStartTests(SynchronousTestCase):
    """
    Those that are new, or come back, get their share little by little.
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
        slow_start: float = 90.0,
        **settings: Any,
    ) -> Pool:
        """
        Put a pool in force.
        """
        config = config_of(*members, slow_start=slow_start, **settings)
        pool = Pool(config, PAIR, key=KEY, seconds=self.seconds, before=before)
        pool.take_over(before)
        return pool

    def share(self, pool: Pool, address: str, of: int = 110) -> int:
        """
        Return how many of some requests a member gets, after everybody has
        looked at the clock.
        """
        pool.sweep(self.seconds())
        return Counter(firsts(pool, of))[address]

    def test_at_the_start(self) -> None:
        """
        When the gateway starts nobody is new, whenever names get addresses.
        """
        pool = self.made(A, NAME)
        self.assertEqual([A], firsts(pool, 1))
        self.seconds.now += 3
        pool.resolve({NAME: [B]})
        self.assertEqual(55, self.share(pool, B))

    def test_added(self) -> None:
        """
        One that a reload brings begins with a tenth of its share, and has all of
        it when its time is over.
        """
        pool = self.made(A, B, before=self.made(A))
        self.assertEqual(10, self.share(pool, B))
        for passed, share in ((10, 2), (40, 5), (80, 9), (90, 10), (900, 10)):
            self.seconds.now = 1000.0 + passed
            expected = 110 * share / (10 + share)
            self.assertLess(abs(self.share(pool, B) - expected), 2, passed)

    def test_grows_with_time_alone(self) -> None:
        """
        It is the sweep that sees to it: a request does not look at the clock.
        """
        pool = self.made(A, B, before=self.made(A))
        self.assertEqual(10, self.share(pool, B))
        self.seconds.now += 90
        self.assertEqual(10, Counter(firsts(pool, 110))[B])
        self.assertEqual(55, self.share(pool, B))

    def test_not_asked_for(self) -> None:
        """
        Without a slow start a new one has its whole share at once.
        """
        pool = self.made(A, B, before=self.made(A), slow_start=0.0)
        self.assertEqual(55, self.share(pool, B))

    def test_stays(self) -> None:
        """
        One that is there already begins nothing anew by a reload, nor is it set
        back while it begins.
        """
        before = self.made(A, B, before=self.made(A))
        self.seconds.now += 80
        pool = self.made(B, A, C, before=before)
        self.assertLess(abs(self.share(pool, B, 200) - 90), 3)
        self.assertEqual(10, self.share(pool, C, 200))

    def test_another_address(self) -> None:
        """
        Another address that a name has, is new.
        """
        pool = self.made(A, NAME)
        pool.resolve({NAME: [B]})
        pool.resolve({NAME: [B, C]})
        # B and C share the name's weight, and C begins.
        self.assertEqual(160, self.share(pool, A, 248))
        self.assertEqual(8, self.share(pool, C, 248))

    def test_a_name_that_a_reload_brings(self) -> None:
        """
        A name that a reload brings is new whenever it gets its address.
        """
        pool = self.made(A, NAME, before=self.made(A))
        self.seconds.now += 3
        pool.resolve({NAME: [B]})
        self.assertEqual(10, self.share(pool, B))

    def test_comes_back(self) -> None:
        """
        One that has rested begins anew when it comes back.
        """
        pool = self.made(A, B)
        rested = by_address(pool)[B]
        pool.refused(rested)
        self.seconds.now += 10
        self.assertEqual([B], firsts(pool, 1))
        pool.answered(rested, 200, self.seconds())
        self.assertEqual(10, self.share(pool, B))
        self.seconds.now += 90
        self.assertEqual(55, self.share(pool, B))

    def test_weights(self) -> None:
        """
        Its share is of its weight.
        """
        heavy = Member(address=B, weight=5)
        pool = self.made(A, heavy, before=self.made(A))
        self.assertEqual(40, self.share(pool, B, 120))

    def test_all_are_new(self) -> None:
        """
        Where all are new together, their shares are as they would be.
        """
        pool = self.made(B, Member(address=C, weight=3), before=self.made(A))
        self.assertEqual(30, self.share(pool, C, 40))

    def test_least_connections(self) -> None:
        """
        Counted by its share, a new one is soon as busy as the others.
        """
        algorithm = "LeastConnections"
        before = self.made(A, load_distribution_algorithm=algorithm)
        pool = self.made(A, B, before=before, load_distribution_algorithm=algorithm)
        for _ in range(110):
            next(pool.candidates()).place.busy += 1
        self.assertEqual([100, 10], [c.place.busy for c in pool.members])

    def test_ip_hash(self) -> None:
        """
        Clients go over to a new one little by little, and none goes elsewhere.
        """
        sources = [f"198.51.{number}.7" for number in range(250)]
        algorithm = "IpHash"
        before = self.made(A, C, load_distribution_algorithm=algorithm)
        homes = [next(before.candidates(None, s)).address for s in sources]
        pool = self.made(A, C, B, before=before, load_distribution_algorithm=algorithm)
        gained = []
        for _ in range(4):
            pool.sweep(self.seconds())
            found = [next(pool.candidates(None, s)).address for s in sources]
            for was, now in zip(homes, found, strict=True):
                self.assertIn(now, {was, B})
            gained.append(found.count(B))
            self.seconds.now += 30
        self.assertEqual(sorted(gained), gained)
        self.assertLess(gained[0], 30)
        self.assertGreater(gained[-1], 60)
