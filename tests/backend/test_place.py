from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.place import STEPS, next_step, step_of

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
