from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.candidate import Candidate
from appgw.backend.pool import Pool
from appgw.config.model import Member
from tests.backend.pools import A, B, C, Seconds, addresses, by_address, pool_of

SOURCES = [f"198.51.{number}.7" for number in range(200)]


def first(pool: Pool, source: str, affinity: bytes | None = None) -> str:
    """
    Return who is first for a client at *source*.
    """
    return next(pool.candidates(affinity, source)).address


class LeastConnectionsTests(SynchronousTestCase):
    """
    Who is less busy is asked.
    """

    def made(self, *members: str | Member) -> Pool:
        """
        Make a pool.
        """
        return pool_of(*members, load_distribution_algorithm="LeastConnections")

    def served(self, pool: Pool, count: int) -> Counter[str]:
        """
        Let so many requests begin, none of which ends.
        """
        for _ in range(count):
            next(pool.candidates()).place.busy += 1
        return Counter({c.address: c.place.busy for c in pool.members})

    def test_nobody_is_busy(self) -> None:
        """
        Where nobody is busy, members take turns by weight.
        """
        pool = self.made(A, Member(address=B, weight=3))
        self.assertTrue(pool.counts)
        found = Counter(next(pool.candidates()).address for _ in range(40))
        self.assertEqual({A: 10, B: 30}, found)

    def test_of_two(self) -> None:
        """
        Of two the less busy gets each request.
        """
        pool = self.made(A, B)
        by_address(pool)[A].place.busy = 10
        self.assertEqual({A: 10, B: 9}, self.served(pool, 9))
        self.assertEqual({A: 15, B: 15}, self.served(pool, 11))

    def test_by_weight(self) -> None:
        """
        A member of weight three is as busy with three requests as others with
        one.
        """
        pool = self.made(A, Member(address=B, weight=3))
        self.assertEqual({A: 25, B: 75}, self.served(pool, 100))

    def test_a_name_of_several_addresses(self) -> None:
        """
        The addresses of a name share its weight.
        """
        pool = self.made(A, "web.internal")
        pool.resolve({"web.internal": [B, C]})
        found = self.served(pool, 100)
        self.assertLess(abs(found[A] - 50), 4)

    def test_each_once(self) -> None:
        """
        Whatever the load, a request is offered every member once.
        """
        pool = self.made(A, B, C)
        by_address(pool)[A].place.busy = 3
        for _ in range(12):
            self.assertEqual([A, B, C], sorted(addresses(pool.candidates())))

    def test_those_that_rest(self) -> None:
        """
        One that rests comes last, however idle.
        """
        pool = self.made(A, B, C)
        for address in (A, C):
            by_address(pool)[address].place.busy = 5
        pool.refused(by_address(pool)[B])
        for _ in range(6):
            self.assertEqual(B, addresses(pool.candidates())[-1])


class IpHashTests(SynchronousTestCase):
    """
    A client's address decides.
    """

    def setUp(self) -> None:
        """
        Make a pool of three.
        """
        self.seconds = Seconds()
        self.pool = self.made(A, B, C)
        self.homes = {source: first(self.pool, source) for source in SOURCES}

    def made(self, *members: str | Member, **more: object) -> Pool:
        """
        Make a pool.
        """
        return pool_of(
            *members,
            seconds=self.seconds,
            load_distribution_algorithm="IpHash",
            **more,
        )

    def of(self, address: str) -> tuple[Candidate, str]:
        """
        Return who has an address, and where a client of its comes from.
        """
        source = next(s for s, home in self.homes.items() if home == address)
        return by_address(self.pool)[address], source

    def test_stays(self) -> None:
        """
        A client comes to the same member each time, and all members have some.
        """
        self.assertTrue(self.pool.by_source)
        for source, home in self.homes.items():
            self.assertEqual(home, first(self.pool, source))
        self.assertGreater(min(Counter(self.homes.values()).values()), 40)

    def test_another_gateway(self) -> None:
        """
        Another gateway with the same members, in another order, agrees.
        """
        other = self.made(C, A, B)
        self.assertEqual(self.homes, {s: first(other, s) for s in SOURCES})

    def test_a_member_goes(self) -> None:
        """
        Where a member goes, no clients but its own move.
        """
        fewer = self.made(A, C)
        for source, home in self.homes.items():
            if home != B:
                self.assertEqual(home, first(fewer, source))

    def test_weights(self) -> None:
        """
        A member of weight three has three times the clients.
        """
        pool = self.made(A, Member(address=B, weight=3))
        found = Counter(first(pool, source) for source in SOURCES)
        self.assertLess(abs(found[B] - 150), 25)

    def test_the_others_follow(self) -> None:
        """
        After its own member a client is offered the others, in its own order.
        """
        orders = {tuple(addresses(self.pool.candidates(None, s))) for s in SOURCES}
        self.assertEqual(6, len(orders))
        for order in orders:
            self.assertEqual([A, B, C], sorted(order))

    def test_the_cookie_wins(self) -> None:
        """
        Who is bound by a cookie goes where that says, wherever it comes from.
        """
        pool = self.made(A, B, C, cookie_based_affinity=True)
        for candidate in pool.members:
            for source in SOURCES[:9]:
                found = first(pool, source, candidate.cookie)
                self.assertEqual(candidate.address, found)

    def test_its_own_rests(self) -> None:
        """
        Clients of one that rests go to their second choices, those of others
        stay; its own find out when it is due, and come back.
        """
        rested, source = self.of(B)
        second = addresses(self.pool.candidates(None, source))[1]
        self.pool.refused(rested)
        self.assertEqual(second, first(self.pool, source))
        self.assertEqual(B, addresses(self.pool.candidates(None, source))[-1])
        self.seconds.now += 10
        for other, home in self.homes.items():
            if home != B:
                self.assertEqual(home, first(self.pool, other))
        found = [first(self.pool, source) for _ in range(3)]
        self.assertEqual([B, second, second], found)
        self.pool.answered(rested, 200, self.seconds())
        self.assertEqual(self.homes, {s: first(self.pool, s) for s in SOURCES})

    def test_bound_to_one_that_rests(self) -> None:
        """
        Who is bound to one that rests goes where its address says meanwhile.
        """
        pool = self.made(A, B, C, cookie_based_affinity=True)
        rested, source = by_address(pool)[B], self.of(C)[1]
        pool.refused(rested)
        self.assertEqual(C, first(pool, source, rested.cookie))
        self.seconds.now += 10
        self.assertEqual(B, first(pool, source, rested.cookie))
        self.assertEqual(C, first(pool, source, rested.cookie))

    def test_all_rest(self) -> None:
        """
        Where all rest, each client is offered its own first, as if none did.
        """
        for candidate in self.pool.members:
            self.pool.refused(candidate)
        self.assertEqual(self.homes, {s: first(self.pool, s) for s in SOURCES})

    def test_bound_while_all_rest(self) -> None:
        """
        Where all rest, who is bound is offered its own first, as if none did.
        """
        pool = self.made(A, B, C, cookie_based_affinity=True)
        for candidate in pool.members:
            pool.refused(candidate)
        for candidate in pool.members:
            for source in SOURCES[:9]:
                found = first(pool, source, candidate.cookie)
                self.assertEqual(candidate.address, found)

    def test_nobody(self) -> None:
        """
        A pool without members offers nobody.
        """
        self.assertEqual([], list(self.made().candidates(None, SOURCES[0])))

    @settings(deadline=None, database=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([A, B, C]),
                st.sampled_from(["refused", "failed", "answered", "wait"]),
                st.sampled_from(SOURCES),
            ),
            max_size=30,
        )
    )
    def test_whatever_happens(self, events: list[tuple[str, str, str]]) -> None:
        """
        After anything, each request is offered every member exactly once, and
        its own first where that is well.
        """
        pool = self.made(A, B, C)
        known = by_address(pool)
        for address, event, source in events:
            if event == "wait":
                self.seconds.now += 7
            elif event == "refused":
                pool.refused(known[address])
            elif event == "failed":
                pool.failed(known[address], self.seconds())
            else:
                pool.answered(known[address], 200, self.seconds())
            home = self.homes[source]
            offered = addresses(pool.candidates(None, source))
            self.assertEqual([A, B, C], sorted(offered))
            if not pool.rests.out(known[home].target):
                self.assertEqual(home, offered[0])
