from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.backend.pools import (
    A,
    B,
    C,
    Seconds,
    addresses,
    by_address,
    firsts,
    pool_of,
)


class RestTests(SynchronousTestCase):
    """
    Who is asked while somebody refuses.
    """

    def setUp(self) -> None:
        """
        Make a pool of three whose clock stands still.
        """
        self.seconds = Seconds()
        self.pool = pool_of(A, B, C, seconds=self.seconds, cookie_based_affinity=True)
        self.by_address = by_address(self.pool)

    def refuse(self, *gone: str) -> None:
        """
        Let connections to *gone* not come about.
        """
        for address in gone:
            self.pool.refused(self.by_address[address])

    def answer(self, *back: str) -> None:
        """
        Let good answers come from *back*.
        """
        for address in back:
            candidate = self.by_address[address]
            self.pool.answered(candidate, 200, self.seconds())
            self.pool.ended_well(candidate)

    def test_last(self) -> None:
        """
        One that refused comes last, for every request.
        """
        self.refuse(B)
        for _ in range(6):
            offered = addresses(self.pool.candidates())
            self.assertEqual([A, C], sorted(offered[:2]))
            self.assertEqual(B, offered[2])

    def test_others_share(self) -> None:
        """
        The others take turns meanwhile.
        """
        self.refuse(B)
        self.assertEqual({A: 10, C: 10}, Counter(firsts(self.pool, 20)))

    def test_within_a_request(self) -> None:
        """
        After a refusal the same request is offered each of the others.
        """
        candidates = self.pool.candidates()
        offered = []
        for candidate in candidates:
            offered.append(candidate.address)
            self.pool.refused(candidate)
        self.assertEqual([A, B, C], sorted(offered))

    def test_those_that_rest_by_when_they_are_due(self) -> None:
        """
        Among several that rest, the one that is due first comes first.
        """
        self.refuse(C)
        self.seconds.now += 1
        self.refuse(A)
        self.assertEqual([B, C, A], addresses(self.pool.candidates()))

    def test_never_the_last_one(self) -> None:
        """
        Where all have refused, all are asked in turn, as if none had.
        """
        self.refuse(A, B, C)
        self.assertEqual({A: 3, B: 3, C: 3}, Counter(firsts(self.pool, 9)))
        self.assertEqual([A, B, C], sorted(addresses(self.pool.candidates())))

    def test_the_only_one(self) -> None:
        """
        A pool's only member is offered to each request, whatever it did.
        """
        pool = pool_of(A, seconds=self.seconds)
        for _ in range(50):
            (only,) = pool.candidates()
            pool.refused(only)

    def test_one_comes_back(self) -> None:
        """
        Once one of many that are down answers, it is asked first, at once.
        """
        self.refuse(A, B, C)
        self.answer(B)
        self.assertEqual([B] * 5, firsts(self.pool, 5))

    def test_one_success_heals(self) -> None:
        """
        After an answer it takes its turns again.
        """
        self.refuse(B)
        self.answer(B)
        self.assertEqual({A: 3, B: 3, C: 3}, Counter(firsts(self.pool, 9)))

    def test_one_trial_when_due(self) -> None:
        """
        After ten seconds one request finds out, the others go elsewhere.
        """
        self.refuse(B)
        self.seconds.now += 9.9
        self.assertNotIn(B, firsts(self.pool, 10))
        self.seconds.now += 0.1
        self.assertEqual(B, firsts(self.pool, 1)[0])
        self.assertNotIn(B, firsts(self.pool, 10))

    def test_a_trial_is_offered_the_others_too(self) -> None:
        """
        The request that finds out goes on to the others when it is refused.
        """
        self.refuse(B)
        self.seconds.now += 10
        offered = addresses(self.pool.candidates())
        self.assertEqual(B, offered[0])
        self.assertEqual([A, C], sorted(offered[1:]))

    def test_a_failed_trial(self) -> None:
        """
        A trial that is refused doubles the rest.
        """
        self.refuse(B)
        self.seconds.now += 10
        self.pool.refused(next(self.pool.candidates()))
        self.seconds.now += 19.9
        self.assertNotIn(B, firsts(self.pool, 10))
        self.seconds.now += 0.1
        self.assertEqual(B, firsts(self.pool, 1)[0])

    def test_bound_to_one_that_is_well(self) -> None:
        """
        A bound client stays, and is nobody's trial.
        """
        self.refuse(B)
        self.seconds.now += 10
        cookie = self.by_address[C].cookie
        self.assertEqual([C] * 5, firsts(self.pool, 5, cookie))

    def test_bound_to_one_that_rests(self) -> None:
        """
        A client bound to one that rests goes elsewhere, until that is due.
        """
        self.refuse(B)
        cookie = self.by_address[B].cookie
        self.assertNotIn(B, firsts(self.pool, 10, cookie))
        self.seconds.now += 10
        self.assertEqual(B, firsts(self.pool, 1, cookie)[0])

    def test_bound_to_one_of_several_that_are_due(self) -> None:
        """
        A bound client finds out about its own, not about one due before.
        """
        self.refuse(B)
        self.seconds.now += 1
        self.refuse(C)
        self.seconds.now += 10
        cookie = self.by_address[C].cookie
        self.assertEqual(C, firsts(self.pool, 1, cookie)[0])

    def test_bound_before_its_own_is_due(self) -> None:
        """
        A client whose own still rests finds out about another that is due.
        """
        self.refuse(B)
        self.seconds.now += 9
        self.refuse(C)
        self.seconds.now += 1
        cookie = self.by_address[C].cookie
        self.assertEqual(B, firsts(self.pool, 1, cookie)[0])

    def test_bound_while_all_rest(self) -> None:
        """
        Where all have refused, a bound client's own is asked first.
        """
        self.refuse(A, B, C)
        self.assertEqual([B] * 5, firsts(self.pool, 5, self.by_address[B].cookie))

    @settings(deadline=None, database=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([A, B, C]),
                st.sampled_from(["refused", "failed", "answered", "ended", "wait"]),
                st.sampled_from([None, A, B, C]),
            ),
            max_size=30,
        )
    )
    def test_whatever_happens(self, events: list[tuple[str, str, str | None]]) -> None:
        """
        After anything, each request is offered every member exactly once.
        """
        seconds = Seconds()
        pool = pool_of(A, B, C, seconds=seconds, cookie_based_affinity=True)
        known = by_address(pool)
        for address, event, bound in events:
            candidate = known[address]
            if event == "wait":
                seconds.now += 7
            elif event == "refused":
                pool.refused(candidate)
            elif event == "failed":
                pool.failed(candidate, seconds())
            elif event == "answered":
                pool.answered(candidate, 200, seconds())
            else:
                pool.ended_well(candidate)
            affinity = known[bound].cookie if bound else None
            offered = addresses(pool.candidates(affinity))
            self.assertEqual([A, B, C], sorted(offered))
