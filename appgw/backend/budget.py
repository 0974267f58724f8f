"""
How many second attempts a pool may cost: a fifth of its requests.

Where backends fail because they have too much to do, attempts that are made again
give them more of it. So they come out of a budget: each period has some tokens, a
few that are always there and one more for every five requests, and each second
attempt takes one. What is not taken lasts for one period more. No I/O and no clock;
nothing is done while nobody tries again.
"""

from __future__ import annotations

from typing import Final

import attrs

SHARE: Final = 0.2
"""Second attempts for each request."""

RESERVE: Final = 10
"""Second attempts that are free in each period, for where few requests come."""

PERIOD: Final = 10.0
"""Seconds that a period lasts at least."""


@attrs.define(eq=False)
class Budget:
    """
    The second attempts of one pool.

    Attributes:
        spent: tokens taken in this period.
        denied: second attempts that were not made in this period.
    """

    spent: int = 0
    denied: int = 0
    _began: float = 0.0
    _first: int = 0
    _carried: float = 0.0

    def spend(self, requests: int, now: float) -> bool:
        """
        Take a token for a second attempt; tell whether there was one.

        What the period before has earned and not spent is there in this one, too: a
        period that begins with an outage has seen few requests yet.

        Args:
            requests: how many of the pool's have ended, ever.
            now: in seconds of the pool's clock.
        """
        earned = SHARE * max(requests - self._first, 0)
        passed = now - self._began
        if passed >= PERIOD:
            left = RESERVE + self._carried + earned - self.spent
            # Of a longer time, what its last ten seconds have brought on average.
            self._carried = max(min(left, earned * PERIOD / passed), 0.0)
            self._began, self._first, earned = now, requests, 0.0
            self.spent = self.denied = 0
        if self.spent + 1 > RESERVE + self._carried + earned:
            self.denied += 1
            return False
        self.spent += 1
        return True
