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
    An address and port of a member.

    Attributes:
        busy: requests under way, where they are counted.
        fresh: when it was new, or came back, in seconds of the pools' clock.
    """

    busy: int = 0
    fresh: float = -math.inf


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
