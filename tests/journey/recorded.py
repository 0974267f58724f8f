"""
A gateway that shows what it records, and whose clock can be put forward.
"""

from __future__ import annotations

import time

from twisted.internet import reactor

from appgw.config.model import Config
from appgw.record import Outcome
from appgw.service import Gateway


class Clock:
    """
    Stands in for the module ``time``; it can be put forward.
    """

    def __init__(self) -> None:
        self.ahead = self.days = 0.0

    def monotonic(self) -> float:
        """
        Return monotonic seconds.
        """
        return time.monotonic() + self.ahead

    def time(self) -> float:
        """
        Return seconds since the epoch.
        """
        return time.time() + self.ahead + self.days * 86400


class Recorded(Gateway):
    """
    A gateway that shows what it records.
    """

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.outcomes: list[Outcome] = []
        self.clock = clock or Clock()
        super().__init__(config, reactor)

    def _record(self, outcome: Outcome) -> None:
        super()._record(outcome)
        self.outcomes.append(outcome)

    def pass_time(self, seconds: float) -> None:
        """
        Let so much time have passed, and everybody look at the clock.
        """
        self.clock.ahead += seconds
        self._sweep()

    def pass_days(self, days: float) -> None:
        """
        Let the calendar go on, and nothing else, and everybody look at it.
        """
        self.clock.days += days
        self._sweep()

    def later(self, seconds: float) -> None:
        """
        Let everybody look at the clock as if so much time had passed.
        """
        now = self.clock.monotonic() + seconds
        self._ports.sweep(now)
        self._connections.sweep(now)
