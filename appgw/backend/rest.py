"""
Rest for backends that fail requests: values and the moments at which they change.

=============  ================  ================  =============  =========
state          no connection     a request fails   a good answer  it ends
               comes about       on a connection   begins         well
=============  ================  ================  =============  =========
well           rests             fails, or rests   well           well
fails          rests             fails, or rests   fails          well
rests          rests             rests             on probation   rests
due, on trial  rests for longer  rests for longer  on probation   on trial
on probation   rests for longer  rests for longer  on probation   well
=============  ================  ================  =============  =========

No connection: refused, timed out, or ended in the handshake, a refused certificate
among the causes. Whoever gives none rests at once, as nothing is lost by asking it
last. A request fails on a connection if its answer does not come in time, breaks
off or cannot be read; so many in a row make a rest, and never of more than a part
of the pool.

A rest doubles each time, up to a limit. Who is due gets one request as a trial;
until that tells, the others go elsewhere. Rest decides about order only, among
those that probes have not found unhealthy (``health.py``): nobody is ever excluded
by it, and where all rest, none does.
"""

from __future__ import annotations

import enum

import attrs

from appgw.backend.target import Target
from appgw.config.model import OutlierDetection


class State(enum.Enum):
    """
    What becomes of those against whom something is held.
    """

    FAILS = "fails"
    RESTS = "rests"
    TRIAL = "on trial"
    PROBATION = "on probation"


@attrs.frozen
class Rest:
    """
    What is held against a backend.

    Attributes:
        failures: requests that failed on connections in a row.
        rests: how many in a row.
        since: when the last rest began, in the seconds of the caller's clock.
        until: when it is over; on trial, how long the trial is waited for; else
            when it last failed, or came back.
    """

    state: State
    failures: int = 0
    rests: int = 0
    since: float = 0.0
    until: float = 0.0

    @property
    def out(self) -> bool:
        """
        Whether others are asked first.
        """
        return self.state is State.RESTS or self.state is State.TRIAL


def failing_statuses(rule: OutlierDetection) -> frozenset[int]:
    """
    Return the statuses of answers that count as failures.
    """
    return frozenset(
        status for first, last in rule.status_codes for status in range(first, last + 1)
    )


def after_refusal(rest: Rest | None, now: float, rule: OutlierDetection) -> Rest:
    """
    Say what it means for *rest* that no connection came about at *now*.

    Args:
        rest: None: it was well.
        rule: how long rests are.
    """
    if rest is None:
        return _rested(0, 0, now, rule)
    if rest.state is State.RESTS and now < rest.until:
        # Sent before the rest began, or because nobody else was left. One outage
        # met by a hundred requests at once is still one outage.
        return rest
    return _rested(rest.failures, rest.rests, now, rule)


def after_failure(
    rest: Rest | None, now: float, sent: float, rule: OutlierDetection, *, room: bool
) -> Rest:
    """
    Say what it means for *rest* that a request failed on a connection at *now*.

    Args:
        rest: None: it was well.
        sent: when the request was; a failure from before the last rest is no news.
        rule: how many failures make a rest, and how long rests are.
        room: another one may rest.
    """
    if rest is None:
        rest = Rest(State.FAILS)
    if rest.state is State.RESTS and now < rest.until:
        return rest
    if rest.rests and sent < rest.since:
        return rest
    failures = rest.failures + 1
    if rest.out:
        return _rested(failures, rest.rests, now, rule)
    enough = rest.state is State.PROBATION or failures >= rule.consecutive_failures
    if enough and room:
        return _rested(failures, rest.rests, now, rule)
    return attrs.evolve(rest, failures=failures, until=now)


def _rested(failures: int, rests: int, now: float, rule: OutlierDetection) -> Rest:
    """
    Begin one more rest than *rests*.
    """
    # The exponent is bounded: an outage may outlast what a float can hold.
    length = rule.base_ejection_time * 2.0 ** min(rests, 32)
    until = now + min(length, rule.max_ejection_time)
    return Rest(State.RESTS, failures, rests + 1, now, until)


def on_trial(rest: Rest, now: float, rule: OutlierDetection) -> Rest:
    """
    Say what becomes of a *rest* that is due when a request is sent to find out.
    """
    until = now + rule.base_ejection_time
    return attrs.evolve(rest, state=State.TRIAL, until=until)


def after_answer(rest: Rest, now: float) -> Rest:
    """
    Say what a good answer that begins at *now* makes of *rest*.
    """
    if not rest.out:
        return rest
    return attrs.evolve(rest, state=State.PROBATION, until=now)


class Rests(dict[Target, Rest]):
    """
    Those of one pool under one setting against whom something is held.

    Keyed by the whole Target: what was held against a backend with one set of
    pins is not held against it with another. Outlives the table in force; the
    next pool for the same pair goes on with it.

    Attributes:
        version: another number after every change in who rests.
    """

    __slots__ = ("version",)

    def __init__(self) -> None:
        super().__init__()
        self.version = 0

    def out(self, target: Target) -> bool:
        """
        Tell whether *target* rests or is on trial.
        """
        rest = self.get(target)
        return rest is not None and rest.out

    def refused(self, target: Target, now: float, rule: OutlierDetection) -> bool:
        """
        Note that no connection to *target* came about; tell whether it rests now.
        """
        return self._hold(target, after_refusal(self.get(target), now, rule))

    def failed(
        self,
        target: Target,
        now: float,
        sent: float,
        rule: OutlierDetection,
        *,
        room: bool,
    ) -> bool:
        """
        Note that a request to *target* failed; tell whether it rests now.

        Args:
            sent: when the request was.
            room: another one may rest.
        """
        before = self.get(target)
        after = after_failure(before, now, sent, rule, room=room)
        return self._hold(target, after)

    def answered(self, target: Target, now: float) -> bool:
        """
        Note that a good answer begins; tell whether *target* came back by it.
        """
        before = self.get(target)
        if before is None or not before.out:
            return False
        self._hold(target, after_answer(before, now))
        return True

    def ended_well(self, target: Target) -> None:
        """
        Note that a good answer has come to its end.
        """
        rest = self.get(target)
        if rest is not None and not rest.out:
            del self[target]

    def take_trial(self, target: Target, now: float, rule: OutlierDetection) -> bool:
        """
        Tell whether *target* is due, and if so count this as its trial.
        """
        rest = self.get(target)
        if rest is None or not rest.out or now < rest.until:
            return False
        self._hold(target, on_trial(rest, now, rule))
        return True

    def forget(self, now: float, rule: OutlierDetection) -> None:
        """
        Drop what is long over: of addresses that a name no longer has.
        """
        longest = rule.max_ejection_time
        for target in [t for t, rest in self.items() if rest.until + longest <= now]:
            del self[target]
            self.version += 1

    def _hold(self, target: Target, after: Rest) -> bool:
        """
        Hold *after* against *target*; tell whether a rest has begun by it.
        """
        before = self.get(target)
        if after is before:
            return False
        self[target] = after
        out = before is not None and before.out
        self.version += out or after.out
        return after.state is State.RESTS
