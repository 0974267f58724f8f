"""
Rest for backends that refuse: values and the moments at which they change.

================  =================================  ======================
state             a refusal                          a success
================  =================================  ======================
well (no Rest)    rests FIRST_REST                   stays well
resting           is no news                         well
due (rest over)   rests twice as long as before      well
on trial          rests twice as long as before      well
================  =================================  ======================

A refusal is a connection that did not come about: refused, timed out, or ended
in the handshake, a refused certificate among the causes. Who is due gets one
request as a trial; until that tells, the others go elsewhere. Rest decides about
order only: nobody is ever excluded, and where all rest, none does.
"""

from __future__ import annotations

import attrs

from appgw.backend.target import Target

FIRST_REST = 10.0
"""Seconds that the first refusal costs."""

LONGEST_REST = 300.0
"""Seconds beyond which a rest does not grow."""


@attrs.frozen
class Rest:
    """
    What is held against a backend.

    Attributes:
        refusals: how many in a row, those during a rest not counted.
        until: when the rest is over, in the seconds of the caller's clock.
        trial: a request has been sent to find out; ``until`` bounds the wait.
    """

    refusals: int
    until: float
    trial: bool = False


def after_refusal(rest: Rest | None, now: float) -> Rest:
    """
    Say what a refusal at *now* makes of *rest*; None stands for well.
    """
    if rest is None:
        return Rest(1, now + FIRST_REST)
    if now < rest.until and not rest.trial:
        # Sent before the rest began, or because nobody else was left. One outage
        # met by a hundred requests at once is still one outage.
        return rest
    # The exponent is bounded: an outage may outlast what a float can hold.
    length = min(FIRST_REST * 2.0 ** min(rest.refusals, 16), LONGEST_REST)
    return Rest(rest.refusals + 1, now + length)


def on_trial(rest: Rest, now: float) -> Rest:
    """
    Say what becomes of a *rest* that is due when a request is sent to find out.
    """
    return Rest(rest.refusals, now + FIRST_REST, trial=True)


class Rests(dict[Target, Rest]):
    """
    Those of one pool under one setting that are not well.

    Keyed by the whole Target: what was held against a backend with one set of
    pins is not held against it with another. Outlives the table in force; the
    next pool for the same pair goes on with it.

    Attributes:
        version: another number after every change.
    """

    __slots__ = ("version",)

    def __init__(self) -> None:
        super().__init__()
        self.version = 0

    def refused(self, target: Target, now: float) -> None:
        """
        Note that no connection to *target* came about.
        """
        before = self.get(target)
        after = after_refusal(before, now)
        if after is not before:
            self[target] = after
            self.version += 1

    def connected(self, target: Target) -> None:
        """
        Note that a connection to *target* came about: it is well.
        """
        if self.pop(target, None) is not None:
            self.version += 1

    def take_trial(self, target: Target, now: float) -> bool:
        """
        Tell whether *target* is due, and if so count this as its trial.
        """
        rest = self.get(target)
        if rest is None or now < rest.until:
            return False
        self[target] = on_trial(rest, now)
        self.version += 1
        return True

    def forget(self, now: float) -> None:
        """
        Drop what is long over: of addresses that a name no longer has.
        """
        old = [t for t, rest in self.items() if rest.until + LONGEST_REST <= now]
        for target in old:
            del self[target]
        self.version += bool(old)
