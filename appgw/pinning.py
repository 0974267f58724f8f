"""
What becomes of pins while a gateway runs: who is met, who is cut, and when.

All of it happens once for each handshake, at a reload, or when a date passes.
None of it takes part in a request.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
from twisted.logger import Logger

from appgw.backend.candidate import Candidate, Pair
from appgw.backend.connections import Connections
from appgw.backend.lapse import NEVER, changes_at, reusable, withdrawn
from appgw.backend.pool import Pool
from appgw.backend.presented import Presented
from appgw.backend.revocation import demanded_now
from appgw.backend.stream import Stream
from appgw.backend.target import Target
from appgw.backend.verdict import Reason, Verdict
from appgw.build import Build
from appgw.config.model import Config, Pin
from appgw.counters import Counters
from appgw.exchange import Exchange
from appgw.pin_state import Match, StateError, digest_of, load, save

WRITTEN_EVERY: Final = 60.0
"""Seconds between two writings of the file that keeps when pins were met."""

TOLD_EVERY: Final = 3600.0
"""Seconds until the same is told again of the same backend."""

_REMEMBERED: Final = 4096


class Matches:
    """
    When each pin was last met, in memory and in a file if there is to be one.
    """

    log = Logger()

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.met: dict[str, Match] = {}
        self._seconds = seconds
        self._file: Path | None = None
        self._pins: tuple[Pin, ...] = ()
        self._digests: dict[str, str] = {}
        self._new = self._failing = False
        self._written = seconds()

    def follow(self, config: Config) -> None:
        """
        Keep the times of the pins that there are now, where they are to be kept.
        """
        file = None if config.pin_state is None else Path(config.pin_state)
        self._pins = tuple(config.pins.values())
        if file != self._file:
            self._file, self._failing = file, False
            self._read()
        self._digests = {pin.name: digest_of(pin) for pin in self._pins}
        self.met = {
            name: match
            for name, match in self.met.items()
            if self._digests.get(name) == match.pin
        }

    def _read(self) -> None:
        if self._file is None:
            return
        try:
            found = load(self._file, self._pins)
        except StateError as error:
            self.log.warn("When pins last matched is not known: {why}", why=error)
            return
        self.met = found | self.met

    def note(self, name: str, match: Match) -> None:
        """
        Take down that the pin of this name was met, if it is one that there is now.
        """
        if self._digests.get(name) == match.pin:
            self.met[name] = match
            self._new = True

    def sweep(self, now: float) -> None:
        """
        Write what is new, now and then.
        """
        if self._new and now - self._written >= WRITTEN_EVERY:
            self.write()

    def write(self) -> None:
        """
        Write what is new.
        """
        if self._file is None or not self._new:
            return
        self._new = False
        self._written = self._seconds()
        try:
            save(self._file, self.met, self._pins)
        except OSError as error:
            self._new = True
            if not self._failing:
                self.log.warn(
                    "When pins last matched cannot be written to {file}: {why}",
                    file=self._file,
                    why=error.strerror,
                )
            self._failing = True
        else:
            self._failing = False


class Pinning:
    """
    The pins of one gateway, over time.

    Args:
        connections: tell it of every verdict from now on.
        counters: are told of what pins have met.
        built: returns what is in force.

    Attributes:
        matches: when each pin was last met.
    """

    log = Logger()

    def __init__(
        self,
        connections: Connections,
        counters: Counters,
        built: Callable[[], Build],
    ) -> None:
        self._connections = connections
        self._counters = counters
        self._built = built
        self._due = NEVER
        self._told: dict[tuple[str, ...], float] = {}
        self._members: list[tuple[Candidate, ...]] = []
        self._used: dict[Target, list[tuple[Pair, Candidate]]] = {}
        self.matches = Matches(connections.seconds)
        connections.judged = self.judged

    def follow(self) -> None:
        """
        Go on with the configuration that is in force now.
        """
        config = self._built().config
        self.matches.follow(config)
        for name, settings in config.backend_settings.items():
            if settings.pin_mode == "detect":
                self.log.warn(
                    "Setting {name} has pin_mode detect: what its pins would refuse"
                    " is told, and let through.",
                    name=name,
                )

    def revoked(self, pool: Pool, candidate: Candidate | None, stream: Stream) -> bool:
        """
        Tell whether the certificate behind *stream* has left its setting.
        """
        wanted = self._wanted(pool, candidate, stream.target)
        reason = withdrawn(wanted, stream.verdict, self._connections.now())
        if reason is not None and candidate is not None:
            self._counters.pin_refused(*pool.pair, candidate, reason)
        return reason is not None

    def _wanted(
        self, pool: Pool, candidate: Candidate | None, target: Target
    ) -> Target:
        """
        Return what a connection to *target* has to meet now.
        """
        built = self._built()
        if candidate is None or built.pools.get(pool.pair) is pool:
            return target
        return demanded_now(built.config, pool.pair, candidate.member, target)

    def judged(self, target: Target, verdict: Verdict) -> None:
        """
        Take in what was decided about a backend, once for each handshake.
        """
        presented = verdict.presented
        if presented is None or not verdict.admitted:
            return
        now = self._connections.now()
        self._due = min(self._due, changes_at(target, presented, now))
        if verdict.overlooked is not None:
            self._detected(target, verdict, verdict.overlooked)
            return
        for pin in target.pins or ():
            if pin.name == verdict.pin:
                self._met(target, pin, presented, now)

    def _detected(self, target: Target, verdict: Verdict, why: Reason) -> None:
        for pair, candidate in self._users(target):
            self._counters.pin_detected(*pair, candidate, why)
        if self._is_news("detected", str(target), why):
            self.log.warn("{verdict}", verdict=verdict.explain(target))

    def _met(
        self, target: Target, pin: Pin, presented: Presented, now: datetime.datetime
    ) -> None:
        dates = presented.not_before, presented.not_after
        match = Match(digest_of(pin), now, presented.sha256.hex(), *dates)
        self.matches.note(pin.name, match)
        self._counters.pin_matched(pin.name)
        if pin.state == "retiring" and self._is_news("retiring", str(target), pin.name):
            self.log.warn(
                "{target} still presents what the retiring pin {pin} is for.",
                target=str(target),
                pin=pin.name,
            )

    def _users(self, target: Target) -> list[tuple[Pair, Candidate]]:
        """
        Return who connects to *target*: pools that have it in common share
        connections.
        """
        pools = self._built().pools
        members = [pool.members for pool in pools.values()]
        if members != self._members:
            self._members, self._used = members, {}
            for pair, pool in pools.items():
                for candidate in pool.members:
                    asked = candidate.question
                    probed = None if asked is None else asked.target
                    for one in {candidate.target, probed or candidate.target}:
                        self._used.setdefault(one, []).append((pair, candidate))
        return self._used.get(target, [])

    def _is_news(self, *what: str) -> bool:
        """
        Tell whether this has not been told for a while.
        """
        now = self._connections.seconds()
        if now - self._told.get(what, -TOLD_EVERY) < TOLD_EVERY:
            return False
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[what] = now
        return True

    def sweep(self, now: float) -> None:
        """
        See to what is due: dates that have passed, and what is to be written.
        """
        if self._connections.now() >= self._due:
            self.enforce()
        self.matches.sweep(now)

    def enforce(self) -> None:
        """
        Cut what pins admit no more, by the configuration in force and the date, and
        let nothing new go where a handshake would be refused by now.
        """
        now, due = self._connections.now(), NEVER
        cut: Counter[tuple[str, Reason]] = Counter()
        for stream in self._connections.streams():
            wanted, exchange, verdict = stream.target, stream.user, stream.verdict
            if isinstance(exchange, Exchange):
                candidate = exchange.outcome.candidate
                wanted = self._wanted(exchange.pool, candidate, wanted)
            reason = withdrawn(wanted, verdict, now)
            if reason is not None:
                self._cut(stream, reason)
                cut[str(wanted), reason] += 1
            elif verdict is not None and verdict.presented is not None:
                due = min(due, changes_at(wanted, verdict.presented, now))
                if not reusable(wanted, verdict.presented, now):
                    self._connections.spend(stream)
        self._due = due
        self._tell_cut(cut)

    def _cut(self, stream: Stream, reason: Reason) -> None:
        exchange = stream.user
        if not isinstance(exchange, Exchange):
            stream.abort()
            return
        outcome = exchange.outcome
        if outcome.candidate is not None:
            pair = exchange.pool.pair
            self._counters.pin_refused(*pair, outcome.candidate, reason)
        if outcome.verdict is not None:
            outcome.verdict = attrs.evolve(
                outcome.verdict, admitted=False, reason=reason, overlooked=None
            )
        exchange.cut()

    def _tell_cut(self, cut: Counter[tuple[str, Reason]]) -> None:
        for (target, reason), number in cut.items():
            self.log.warn(
                "{target}: its certificate is allowed no more ({reason});"
                " connections cut: {number}",
                target=target,
                number=number,
                reason=reason,
            )
