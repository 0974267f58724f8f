"""
Probes over time: who is asked when, and what becomes of the answers.

Each pool under each setting probes by itself, as in Azure. What is found out goes
into the pool's health and decides from the next request on; what was known stays
when the configuration changes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs
from twisted.logger import Logger

from appgw.backend.candidate import Candidate, Pair, Spot
from appgw.backend.connections import Connections
from appgw.backend.health import UNKNOWN, Health, after_failure, after_success
from appgw.backend.pool import Pool
from appgw.backend.probe import Attempt, Result
from appgw.backend.question import Question
from appgw.config.model import Probe

BATCH: Final = 64
"""Probes that begin at one moment; further ones wait until the next look."""

JITTER: Final = 0.1
"""The part of an interval by which a probe may come early, so that they scatter."""

TellRefused = Callable[[str, str, Candidate, str], None]
"""Told of a refused certificate: pool, setting, candidate, reason."""


@attrs.define(eq=False)
class _Check:
    """
    One address in a pool under a setting.

    Attributes:
        due: when the next probe begins, in seconds of the clock; at first, soon.
        asked: there has been a probe, whatever came of it.
    """

    pool: Pool
    candidate: Candidate
    probe: Probe
    question: Question
    due: float = -math.inf
    attempt: Attempt | None = None
    asked: bool = False

    def follow(self, other: _Check, now: float) -> None:
        """
        Go on as *other*, which a newer configuration has made.
        """
        self.due = min(self.due, now + other.probe.interval)
        if other.question != self.question:
            self.abandon()
            self.due = other.due
        self.pool, self.candidate = other.pool, other.candidate
        self.probe, self.question = other.probe, other.question

    def abandon(self) -> None:
        """
        Ask no more.
        """
        if self.attempt is not None:
            self.attempt.abandon()
            self.attempt = None


def _wanted(pool: Pool) -> Iterator[_Check]:
    """
    Make a check of each member that is to be probed.
    """
    for candidate in pool.members:
        if pool.probe is not None and candidate.question is not None:
            yield _Check(pool, candidate, pool.probe, candidate.question)


class Checks:
    """
    The probes of all pools.

    Args:
        seconds: a monotonic clock.
        chance: returns a number from 0 to 1, each as likely as the others.
        pin_refused: told of each certificate that a probe has met and refused.
    """

    log = Logger()

    def __init__(
        self,
        connections: Connections,
        seconds: Callable[[], float],
        chance: Callable[[], float],
        pin_refused: TellRefused,
    ) -> None:
        self._connections = connections
        self._seconds = seconds
        self._chance = chance
        self._pin_refused = pin_refused
        self._checks: dict[tuple[Pair, Spot], _Check] = {}
        self._running = self._all_asked = False

    @property
    def all_asked(self) -> bool:
        """
        Whether everybody has been probed who was there at the start.
        """
        return self._all_asked

    def begin(self, pools: Iterable[Pool]) -> None:
        """
        Probe the members of *pools* from now on; what was known is too old.
        """
        if self._running:
            return
        pools = list(pools)
        for pool in pools:
            pool.health.clear()
            pool.arrange_anew()
        self._running = True
        self.follow(pools)
        self.sweep(self._seconds())

    def end(self) -> None:
        """
        Probe nobody any more.
        """
        for check in self._checks.values():
            check.abandon()
        self._checks = {}
        self._running = self._all_asked = False

    def follow(self, pools: Iterable[Pool]) -> None:
        """
        Probe the members that *pools* have now, and nobody else.

        Who is new, or is asked something new, is asked soon; all others keep
        their turn.
        """
        if not self._running:
            return
        now = self._seconds()
        before, self._checks = self._checks, {}
        for pool in pools:
            spots = {c.spot for c in pool.members if c.question is not None}
            for spot in pool.health.keys() - spots:
                del pool.health[spot]
            for check in _wanted(pool):
                key = (pool.pair, check.candidate.spot)
                known = before.pop(key, None)
                if known is not None:
                    known.follow(check, now)
                self._checks.setdefault(key, known or check)
        for check in before.values():
            check.abandon()

    def sweep(self, now: float) -> None:
        """
        End what has taken too long, and begin what is due.
        """
        waiting = []
        for check in self._checks.values():
            attempt = check.attempt
            if attempt is not None:
                attempt.sweep(now)
                if not attempt.over:
                    continue
                check.attempt = None
            if check.due <= now:
                waiting.append(check)
        waiting.sort(key=lambda check: check.due)
        for check in waiting[:BATCH]:
            self._probe(check, now)
        if self._running and not self._all_asked:
            self._all_asked = all(check.asked for check in self._checks.values())

    def _probe(self, check: _Check, now: float) -> None:
        probe = check.probe
        check.due = now + probe.interval * (1 - JITTER * self._chance())
        found = functools.partial(self._found, check)
        check.attempt = Attempt(
            check.question, self._connections, now + probe.timeout, found
        )
        check.attempt.start()

    def _found(self, check: _Check, result: Result | None) -> None:
        """
        Take in what a probe has found out.
        """
        check.asked = True
        if result is None:
            return
        pool, candidate, now = check.pool, check.candidate, self._seconds()
        before = pool.health.get(candidate.spot, UNKNOWN)
        if result.healthy:
            after = after_success(before, result.told, now)
            if before.state == "unhealthy":
                candidate.place.fresh = now
            if check.question.target == candidate.target:
                # What requests have held against it is over, too.
                pool.revive(candidate)
        else:
            threshold = check.probe.unhealthy_threshold
            after = after_failure(before, result.told, threshold, now)
        pool.health[candidate.spot] = after
        if result.refusal is not None:
            self._pin_refused(*pool.pair, candidate, result.refusal.reason)
        if after.state != before.state:
            pool.arrange_anew()
            self._tell(pool, candidate, after)

    def _tell(self, pool: Pool, candidate: Candidate, health: Health) -> None:
        pool_name, setting = pool.pair
        say = self.log.info if health.state == "healthy" else self.log.warn
        kept = health.state == "unhealthy" and candidate not in pool.left_out()
        say(
            "{label} (pool {pool}, setting {setting}) is {state}: {told}{kept}",
            label=candidate.label,
            pool=pool_name,
            setting=setting,
            state=health.state,
            told=health.told,
            kept=" It stays in, because of min_servers." if kept else "",
        )
