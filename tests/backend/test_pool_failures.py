from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.pool import Pool
from appgw.config.model import OutlierDetection
from tests.backend.pools import A, B, C, Seconds, addresses, by_address, firsts, pool_of

D = "10.0.0.4"


class FailureTests(SynchronousTestCase):
    """
    Members that take connections and fail.
    """

    def setUp(self) -> None:
        """
        Make a pool of four whose clock stands still.
        """
        self.seconds = Seconds()
        self.pool = self.made(A, B, C, D)

    def made(self, *members: str, **rule: object) -> Pool:
        """
        Make a pool.
        """
        detection = OutlierDetection(**rule)  # type: ignore[arg-type]
        return pool_of(*members, seconds=self.seconds, outlier_detection=detection)

    def fail(self, pool: Pool, *failing: str, times: int = 5) -> list[bool]:
        """
        Let requests to *failing* fail; return whose rest began by it.
        """
        known = by_address(pool)
        return [
            pool.failed(known[address], self.seconds())
            for _ in range(times)
            for address in failing
        ]

    def out(self, pool: Pool) -> list[str]:
        """
        Return who rests.
        """
        return [c.address for c in pool.members if pool.rests.out(c.target)]

    def test_rests_and_returns(self) -> None:
        """
        After five failures in a row it comes last; after ten seconds it gets one
        request, and when that is answered its turns.
        """
        self.assertEqual([False] * 4 + [True], self.fail(self.pool, B))
        for _ in range(4):
            self.assertEqual(B, addresses(self.pool.candidates())[-1])
        self.seconds.now += 10
        trial = next(self.pool.candidates())
        self.assertEqual(B, trial.address)
        self.assertNotIn(B, firsts(self.pool, 8))
        self.assertFalse(self.pool.answered(trial, 200, self.seconds()))
        self.pool.ended_well(trial)
        self.assertEqual({A: 2, B: 2, C: 2, D: 2}, Counter(firsts(self.pool, 8)))

    def test_an_answer_in_between(self) -> None:
        """
        Failures with good answers in between are none in a row.
        """
        candidate = by_address(self.pool)[B]
        for _ in range(10):
            self.fail(self.pool, B, times=4)
            self.pool.answered(candidate, 404, self.seconds())
            self.pool.ended_well(candidate)
        self.assertEqual([], self.out(self.pool))

    def test_never_more_than_half(self) -> None:
        """
        However many fail, half of the pool at most rests for it; one that comes
        back makes room.
        """
        self.fail(self.pool, A, B, C, D, times=50)
        self.assertEqual([A, B], self.out(self.pool))
        back = by_address(self.pool)[A]
        self.seconds.now += 10
        next(self.pool.candidates())
        self.pool.answered(back, 200, self.seconds())
        self.assertEqual([True], self.fail(self.pool, C, times=1))
        self.assertEqual([B, C], self.out(self.pool))

    def test_half_of_few(self) -> None:
        """
        Half is rounded down: of three one rests, and an only member never.
        """
        for members, out in (((A,), []), ((A, B), [A]), ((A, B, C), [A])):
            pool = self.made(*members)
            self.fail(pool, *members, times=50)
            self.assertEqual(out, self.out(pool))

    def test_another_part(self) -> None:
        """
        The part is up to the setting; with 0 nobody rests for failed requests.
        """
        for percent, out in ((0, []), (24, []), (25, [A]), (49, [A]), (50, [A, B])):
            pool = self.made(A, B, C, D, max_ejection_percent=percent)
            self.fail(pool, A, B, C, D, times=50)
            self.assertEqual(out, self.out(pool))

    def test_refusals_have_no_limit(self) -> None:
        """
        Those that take no connection rest, however many they are: to ask them
        first would serve nobody. They count where others fail.
        """
        known = by_address(self.pool)
        for address in (A, B, C):
            self.assertTrue(self.pool.refused(known[address]))
        self.fail(self.pool, D, times=50)
        self.assertEqual([A, B, C], self.out(self.pool))

    def test_statuses(self) -> None:
        """
        An answer counts as failed where its status was configured, and an
        application's own errors do not by themselves.
        """
        pool = self.made(A, B, status_codes=((502, 504),))
        self.assertEqual({502, 503, 504}, pool.failing)
        candidate = by_address(pool)[A]
        for status in (500, 505, 501, 404, 500, 500):
            self.assertFalse(pool.answered(candidate, status, self.seconds()))
        told = [pool.answered(candidate, 503, self.seconds()) for _ in range(5)]
        self.assertEqual([False] * 4 + [True], told)
        self.seconds.now += 10
        self.assertEqual(A, firsts(pool, 1)[0])
        self.assertTrue(pool.answered(candidate, 502, self.seconds()))
        self.assertEqual([A], self.out(pool))

    @settings(deadline=None, database=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([A, B, C, D]),
                st.sampled_from(["failed", "failed", "answered", "ended", "wait"]),
            ),
            max_size=60,
        ),
        st.integers(0, 50),
        st.integers(1, 3),
    )
    def test_whatever_happens(
        self, events: list[tuple[str, str]], percent: int, failures: int
    ) -> None:
        """
        In no order of events do more than the part rest for failed requests.
        """
        pool = self.made(
            A, B, C, D, max_ejection_percent=percent, consecutive_failures=failures
        )
        known = by_address(pool)
        for address, event in events:
            if event == "failed":
                self.fail(pool, address, times=1)
            elif event == "answered":
                pool.answered(known[address], 200, self.seconds())
            elif event == "ended":
                pool.ended_well(known[address])
            else:
                self.seconds.now += 7
                next(pool.candidates())
            self.assertLessEqual(len(self.out(pool)) * 100, 4 * percent)
