"""
How backends are: values and the moments at which they change.

What probes find out is **health**, of an address in a pool under a setting. It
decides about membership: whoever is unhealthy gets no request.

================  ============  =====================  ======================
state             a success     a failure              the last failure of
                                                       ``unhealthy_threshold``
                                                       in a row
================  ============  =====================  ======================
unknown           healthy       stays unknown          unhealthy
healthy           stays healthy stays healthy          unhealthy
unhealthy         healthy       stays unhealthy        stays unhealthy
================  ============  =====================  ======================

Where fewer than the probe's ``min_servers`` would be left, the unhealthy that
were well last stay in.

What requests find out is **rest**, for backends that refuse connections.

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

from collections.abc import Hashable, Iterable
from typing import Literal, TypeVar

import attrs

from appgw.backend.target import Target

FIRST_REST = 10.0
"""Seconds that the first refusal costs."""

LONGEST_REST = 300.0
"""Seconds beyond which a rest does not grow."""


T = TypeVar("T", bound=Hashable)
State = Literal["unknown", "healthy", "unhealthy"]


@attrs.frozen
class Health:
    """
    What probes have found out about a backend.

    Attributes:
        state: unknown ones get requests.
        failures: how many in a row.
        told: what came of the last probe, in a sentence; empty before the first.
        since: when the state began, in the seconds of the caller's clock.
    """

    state: State = "unknown"
    failures: int = 0
    told: str = ""
    since: float = 0.0


UNKNOWN = Health()


def after_success(health: Health, told: str, now: float) -> Health:
    """
    Say what a probe that succeeded at *now* makes of *health*.
    """
    since = health.since if health.state == "healthy" else now
    return Health("healthy", 0, told, since)


def after_failure(health: Health, told: str, threshold: int, now: float) -> Health:
    """
    Say what a probe that failed at *now* makes of *health*.

    Args:
        told: why.
        threshold: how many failures in a row make it unhealthy.
    """
    failures = health.failures + 1
    if health.state == "unhealthy" or failures < threshold:
        return Health(health.state, failures, told, health.since)
    return Health("unhealthy", failures, told, now)


def left_out(found: Iterable[tuple[T, Health]], min_servers: int) -> frozenset[T]:
    """
    Say who gets no requests.

    Args:
        found: everybody, in a fixed order.
        min_servers: how many get some in any case.
    """
    everybody = list(found)
    unwell = [pair for pair in everybody if pair[1].state == "unhealthy"]
    unwell.sort(key=lambda pair: pair[1].since, reverse=True)
    kept = max(0, min_servers - (len(everybody) - len(unwell)))
    return frozenset(one for one, _ in unwell[kept:])


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
