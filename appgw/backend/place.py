"""
What is counted of a backend's address and port, whatever is configured about it.

It outlives the configuration in force: who stands for the same place afterwards
goes on with it, and so do the requests that began before.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

STEPS: Final = 10
"""In how many steps a new backend's share grows to the whole; the first is one."""


@attrs.define(eq=False)
class Place:
    """
    An address and port of a member. Moments are seconds of the pools' clock.

    Attributes:
        busy: requests under way, where they are counted.
        fresh: when it was new, or came back.
        since: when it began to drain; inf: it does not.
        removed: it drains as it is no member any more, not as it is marked.
        limit: seconds that requests may go on while it drains.
    """

    busy: int = 0
    fresh: float = -math.inf
    since: float = math.inf
    removed: bool = False
    limit: float = math.inf

    @property
    def draining(self) -> bool:
        """
        Whether it gets no new clients.
        """
        return self.since < math.inf

    def drain(self, now: float, limit: float, *, removed: bool) -> None:
        """
        Get no new clients from *now* on; who drains in this way already, goes on.

        Args:
            limit: seconds that requests may go on.
            removed: it is no member any more.
        """
        if not self.draining or self.removed is not removed:
            self.since, self.removed = now, removed
        self.limit = limit

    def stay(self, now: float) -> None:
        """
        Get new clients; if it has not until now, it is as good as new.
        """
        if self.draining:
            self.fresh, self.since, self.removed = now, math.inf, False

    def deadline(self, began: float) -> float:
        """
        Return when a request on it has to be over; inf where it does not drain.

        Once it is removed, there is one moment for all. While it is marked, those
        who are bound to it still come, and each request has its time.

        Args:
            began: when the request did.
        """
        since = self.since if self.removed else max(self.since, began)
        return since + self.limit


def step_of(fresh: float, now: float, slow_start: float) -> int:
    """
    Return at which step of its slow start a place is, 1 to STEPS.

    Args:
        fresh: when it was new.
        slow_start: seconds until its share is whole; 0: at once.
    """
    if now - fresh >= slow_start:
        return STEPS
    return 1 + int((STEPS - 1) * max(now - fresh, 0.0) / slow_start)


def next_step(fresh: float, now: float, slow_start: float) -> float:
    """
    Return when a place goes on to its next step; never, at the last one.
    """
    step = step_of(fresh, now, slow_start)
    if step == STEPS:
        return math.inf
    return fresh + slow_start * step / (STEPS - 1)
