from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.choose import less_busy, schedule, turns

WEIGHTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)
GROUPS = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=6
)
patient = settings(deadline=None, database=None)


class ScheduleTests(SynchronousTestCase):
    """
    One cycle of turns.
    """

    @patient
    @given(WEIGHTS)
    def test_weights_are_kept_exactly(self, weights: list[int]) -> None:
        """
        Over a cycle each index comes exactly as often as its reduced weight says.
        """
        divisor = math.gcd(*weights)
        expected = {index: weight // divisor for index, weight in enumerate(weights)}
        self.assertEqual(expected, Counter(schedule(weights)))

    @patient
    @given(WEIGHTS)
    def test_no_bursts(self, weights: list[int]) -> None:
        """
        At every moment of a cycle each has had its share, give or take a few turns.
        """
        total = sum(weights)
        kinds = len(set(weights))
        had: Counter[int] = Counter()
        for turn, index in enumerate(schedule(weights), start=1):
            had[index] += 1
            for each, weight in enumerate(weights):
                share = Fraction(weight, total)
                self.assertLessEqual(abs(had[each] - turn * share), 2 + kinds * share)

    @patient
    @given(st.integers(2, 12), st.integers(1, 1000))
    def test_equals_take_turns(self, count: int, weight: int) -> None:
        """
        Where all weigh the same it is plain round robin, in order.
        """
        self.assertEqual(list(range(count)), list(schedule([weight] * count)))

    def test_light_ones_are_spread(self) -> None:
        """
        Two light members come at different times between the heavy one's turns.
        """
        self.assertEqual([0, 1, 0, 0, 0, 2, 0], list(schedule([5, 1, 1])))

    def test_extreme_weights(self) -> None:
        """
        A member of weight 1 beside one of 1000 gets one turn in 1001.
        """
        self.assertEqual({0: 1, 1: 1000}, Counter(schedule([1, 1000])))


class TurnsTests(SynchronousTestCase):
    """
    Going round over members with several addresses.
    """

    @patient
    @given(GROUPS, st.integers(0, 1000))
    def test_shares_are_exact(self, shape: list[tuple[int, int]], skip: int) -> None:
        """
        Items share their group's weight exactly, wherever the first turn falls.
        """
        groups = [
            (weight, [(group, item) for item in range(size)])
            for group, (weight, size) in enumerate(shape)
        ]
        total = sum(weight for weight, _ in shape)
        fair = math.lcm(*(size for _, size in shape))
        counted = Counter(itertools.islice(turns(groups, skip), total * fair))
        expected = {
            (group, item): weight * fair // size
            for group, (weight, size) in enumerate(shape)
            for item in range(size)
        }
        self.assertEqual(expected, counted)

    def test_addresses_share_a_members_weight(self) -> None:
        """
        A name with two addresses gets no more than a member with one.
        """
        rotation = turns([(1, ["a"]), (1, ["b1", "b2"])])
        self.assertEqual(
            ["a", "b1", "a", "b2", "a", "b1"], list(itertools.islice(rotation, 6))
        )

    def test_skip_leaves_turns_out(self) -> None:
        """
        The rotation goes on as it would after that many turns.
        """
        groups = [(3, ["a1", "a2"]), (1, ["b"]), (2, ["c"])]
        whole = list(itertools.islice(turns(groups), 40))
        for skip in range(20):
            rotation = turns(groups, skip)
            self.assertEqual(whole[skip:], [next(rotation) for _ in whole[skip:]])


class LessBusyTests(SynchronousTestCase):
    """
    The less busy of two.
    """

    def setUp(self) -> None:
        """
        Begin with nobody busy, and chance naming the first.
        """
        self.loads = dict.fromkeys("abcd", 0.0)
        self.chance = 0.0

    def among(self, items: str) -> Iterator[str]:
        """
        Return who gets each request.
        """
        return less_busy(
            turns([(1, list(items))]),
            items,
            self.loads.__getitem__,
            lambda: self.chance,
        )

    def test_equals_take_turns(self) -> None:
        """
        Where nobody is busier than others, turns are what they were.
        """
        for self.chance in (0.0, 0.3, 0.6, 0.99):
            self.assertEqual("abcdabcd", "".join(islice(self.among("abcd"), 8)))

    def test_the_less_busy_gets_it(self) -> None:
        """
        Of whose turn it is and whom chance names, the less busy gets it.
        """
        self.loads.update(a=3.0, b=2.0, c=1.0, d=2.0)
        chosen = self.among("abcd")
        for self.chance, expected in ((0.6, "c"), (0.6, "c"), (0.0, "c"), (0.3, "d")):
            self.assertEqual(expected, next(chosen))

    def test_never_compared_with_itself(self) -> None:
        """
        Where chance names whose turn it is, it is compared with another one.
        """
        self.loads.update(a=1.0)
        for self.chance in (0.0, 0.99):
            self.assertEqual(["b", "b", "b"], list(islice(self.among("ab"), 3)))

    def test_alone(self) -> None:
        """
        An only one gets everything, however busy.
        """
        self.loads.update(a=99.0)
        self.assertEqual(["a"] * 3, list(islice(self.among("a"), 3)))

    def test_spreads(self) -> None:
        """
        A slow one gets little more than it ends: with chance as it comes, the
        requests under way never differ by much.
        """
        chance = random.Random(7)
        chosen = less_busy(
            turns([(1, list("abcd"))]), "abcd", self.loads.__getitem__, chance.random
        )
        for number in range(400):
            self.loads[next(chosen)] += 1
            # All but a end at once.
            if number % 2:
                self.loads.update(b=0.0, c=0.0, d=0.0)
        self.assertLess(self.loads["a"], 6)
