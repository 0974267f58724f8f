from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.place import STEPS, Place, next_step, step_of

NOW = 5000.0


class SlowStartTests(SynchronousTestCase):
    """
    How a share grows.
    """

    def test_steps(self) -> None:
        """
        It begins with a tenth, and after the whole time it is the whole.
        """
        steps = [step_of(NOW, NOW + passed, 9.0) for passed in range(12)]
        self.assertEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10], steps)

    def test_none(self) -> None:
        """
        Without a slow start, and long after one, the share is whole.
        """
        self.assertEqual(STEPS, step_of(NOW, NOW, 0.0))
        self.assertEqual(STEPS, step_of(-math.inf, NOW, 3600.0))
        self.assertEqual(math.inf, next_step(NOW, NOW, 0.0))
        self.assertEqual(math.inf, next_step(-math.inf, NOW, 3600.0))

    @settings(deadline=None, database=None)
    @given(st.floats(0.001, 3600), st.floats(0, 4000))
    def test_next_step(self, slow_start: float, passed: float) -> None:
        """
        Until the moment that is told the step stays, and after it there is
        another one.
        """
        now = NOW + passed
        step, until = step_of(NOW, now, slow_start), next_step(NOW, now, slow_start)
        self.assertIn(step, range(1, STEPS + 1))
        if until < math.inf:
            self.assertGreater(step_of(NOW, until + 1e-6, slow_start), step)
            if until - now > 1e-6:
                self.assertEqual(step, step_of(NOW, (now + until) / 2, slow_start))
        else:
            self.assertEqual(STEPS, step)


class DrainingTests(SynchronousTestCase):
    """
    How a place drains.
    """

    def setUp(self) -> None:
        """
        Begin with a place that does not.
        """
        self.place = Place()

    def test_does_not(self) -> None:
        """
        A request on a place that does not drain has all the time it needs.
        """
        self.assertFalse(self.place.draining)
        self.assertEqual(math.inf, self.place.deadline(NOW))

    def test_removed(self) -> None:
        """
        Once it is removed there is one moment at which everything ends.
        """
        self.place.drain(NOW, 30.0, removed=True)
        self.assertTrue(self.place.draining)
        for began in (NOW - 999, NOW, NOW + 29):
            self.assertEqual(NOW + 30, self.place.deadline(began))

    def test_marked(self) -> None:
        """
        While it is marked each request has its time, and those from before have
        it from the mark on.
        """
        self.place.drain(NOW, 30.0, removed=False)
        self.assertEqual(NOW + 30, self.place.deadline(NOW - 999))
        self.assertEqual(NOW + 130, self.place.deadline(NOW + 100))

    def test_again(self) -> None:
        """
        A reload begins nothing anew, though the time may be another; what was
        marked and is removed begins.
        """
        self.place.drain(NOW, 30.0, removed=False)
        self.place.drain(NOW + 10, 60.0, removed=False)
        self.assertEqual(NOW + 60, self.place.deadline(NOW))
        self.place.drain(NOW + 20, 60.0, removed=True)
        self.place.drain(NOW + 30, 60.0, removed=True)
        self.assertEqual(NOW + 80, self.place.deadline(NOW))

    def test_without_a_time(self) -> None:
        """
        Where there is no limit, nothing ends.
        """
        for removed in (False, True):
            self.place.drain(NOW, math.inf, removed=removed)
            self.assertEqual(math.inf, self.place.deadline(NOW))

    def test_stays_after_all(self) -> None:
        """
        What drained and stays is as good as new; what did not is not touched.
        """
        self.place.stay(NOW)
        self.assertEqual(-math.inf, self.place.fresh)
        self.place.drain(NOW, 30.0, removed=True)
        self.place.stay(NOW + 10)
        self.assertEqual(NOW + 10, self.place.fresh)
        self.assertEqual(math.inf, self.place.deadline(NOW))
