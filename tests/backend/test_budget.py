from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.budget import PERIOD, RESERVE, SHARE, Budget

NOW = 5000.0


class BudgetTests(SynchronousTestCase):
    """
    How many second attempts there are.
    """

    def setUp(self) -> None:
        """
        Begin with nothing spent.
        """
        self.budget = Budget()

    def spent(self, requests: int, now: float, of: int = 10_000) -> int:
        """
        Try again so often; return how often that is granted.
        """
        return sum(self.budget.spend(requests, now) for _ in range(of))

    def test_reserve(self) -> None:
        """
        A pool that has had no request yet has ten.
        """
        self.assertEqual(10, self.spent(0, NOW))
        self.assertEqual((10, 9990), (self.budget.spent, self.budget.denied))

    def test_a_fifth(self) -> None:
        """
        Five requests bring one more.
        """
        self.budget.spend(1, NOW)
        for requests, more in ((4, 9), (5, 0), (6, 1), (10, 0), (11, 1), (1001, 198)):
            self.assertEqual(more, self.spent(requests, NOW + 1), requests)

    def test_next_period(self) -> None:
        """
        After ten seconds the reserve is there again, and what was earned in the
        ten seconds before and not spent.
        """
        self.assertEqual(10, self.spent(0, NOW))
        self.assertEqual(0, self.spent(0, NOW + 9.9))
        self.assertEqual(50, self.spent(250, NOW + 9.9))
        self.assertEqual(10 + 150, self.spent(1000, NOW + 10))
        self.assertEqual(200, self.spent(2000, NOW + 15))
        self.assertEqual(10, self.spent(2000, NOW + 20))

    def test_lasts_for_one_period(self) -> None:
        """
        What was not spent in the period after it was earned is gone.
        """
        self.budget.spend(0, NOW)
        self.budget.spend(1000, NOW + 10)
        self.assertEqual(10, self.spent(1000, NOW + 20))

    def test_nothing_is_saved_up(self) -> None:
        """
        However long nobody has tried again, a period has no more than ten seconds
        have brought.
        """
        self.budget.spend(0, NOW)
        day = 86400.0
        self.assertEqual(10 + 20, self.spent(int(day * 10), NOW + day))

    def test_a_burst(self) -> None:
        """
        When a backend dies under load, there is enough for all that were under
        way on it.
        """
        self.budget.spend(0, NOW)
        self.assertEqual(300, self.spent(20_000, NOW + 20, of=300))

    @settings(deadline=None, database=None)
    @given(
        st.lists(
            st.tuples(st.floats(0, 30), st.integers(0, 500), st.integers(0, 300)),
            max_size=40,
        )
    )
    def test_at_most_a_fifth(self, events: list[tuple[float, int, int]]) -> None:
        """
        Whatever comes, no more is granted than a fifth of all requests, and the
        reserve of each period.
        """
        self.budget = Budget()
        now, requests, total = NOW, 0, 0
        for passed, more, attempts in events:
            now += passed
            requests += more
            total += self.spent(requests, now, attempts)
            periods = 1 + (now - NOW) // PERIOD
            self.assertLessEqual(total, SHARE * requests + RESERVE * periods)
