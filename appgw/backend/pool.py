"""
A pool under one setting: who can take a request, best first.

The pool proposes, whoever sends the request disposes: it takes candidates one by
one, goes on to the next only when nothing was sent to the last, and tells how it
went. What costs time is done when members or their health change, so that the
usual request costs one turn of a wheel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from appgw.backend.affinity import cookie_pattern, cookie_values
from appgw.backend.candidate import Candidate, Pair, Spot, candidate_for
from appgw.backend.choose import turns
from appgw.backend.health import UNKNOWN, Health, left_out
from appgw.backend.question import probe_for
from appgw.backend.rest import Rests, failing_statuses
from appgw.backend.targets import Endpoint, endpoints_of, ip_literal
from appgw.config.model import BackendSettings, Config, Destination, Member

MOST_SKIPPED = 256
"""Turns that a new rotation leaves out at most; each takes a little time."""


class Pool:
    """
    The members of one pool under one setting.

    Members known by IP address are there at once, the others after an update.

    Attributes:
        pair: the names of pool and setting.
        settings: how the pool is talked to.
        configured: its members as the configuration has them.
        names: the host names among these.
        members: every candidate there is now, in the members' order.
        probe: how members are probed; None: they are not.
        rests: what is held against whom; to be handed to this pool's successor.
        health: what probes have found out; to be handed on as well. After a
            change, ``arrange_anew``.
        failing: the statuses of answers that count as failures.
    """

    def __init__(
        self,
        config: Config,
        pair: Pair,
        *,
        key: bytes,
        seconds: Callable[[], float],
        before: Pool | None = None,
    ) -> None:
        pool, setting = pair
        self.pair = pair
        self.settings: BackendSettings = config.backend_settings[setting]
        self.members: tuple[Candidate, ...] = ()
        self.probe = probe_for(config, self.settings)
        self.rests: Rests = Rests() if before is None else before.rests
        self.health: dict[Spot, Health] = {} if before is None else before.health
        self._config = config
        self._key = key
        self._seconds = seconds
        self.configured = config.pools[pool].members
        addresses = dict.fromkeys(member.address for member in self.configured)
        self.names = tuple(name for name in addresses if ip_literal(name) is None)
        self._rule = self.settings.outlier_detection
        self.failing = failing_statuses(self._rule)
        self._sticky = self.settings.cookie_based_affinity
        cookie = self.settings.affinity_cookie_name
        self._cookie = cookie.encode()
        azure = config.affinity.compat == "azure"
        self._pattern = cookie_pattern(cookie, azure=azure)
        self._endpoints: dict[Endpoint, Candidate] = {}
        self._bound: dict[bytes, Candidate] = {}
        self._reachable: dict[bytes, Candidate] = {}
        # What _arrange works out, and the version of rests that it is true for.
        self._arranged = -1
        self._arrangements = 0
        self._awake: tuple[Candidate, ...] = ()
        self._resting: tuple[Candidate, ...] = ()
        self._due = math.inf
        self._turns: Iterator[Candidate] = iter(())
        self.resolve({})

    def resolve(self, known: Mapping[str, Sequence[str]]) -> None:
        """
        Update to the addresses that host names have now.

        Args:
            known: IP addresses by host name; a name that is missing has none.
        """
        self.update(endpoints_of(self.configured, known))

    def update(self, endpoints: Iterable[Endpoint]) -> None:
        """
        From the next request on, choose among *endpoints*, repeated ones once.

        Those that stay keep their Candidate.
        """
        wanted = dict.fromkeys(endpoints)
        if list(wanted) == list(self._endpoints):
            return
        self._endpoints = {
            endpoint: self._endpoints.get(endpoint)
            or candidate_for(self._config, self.pair, endpoint, self._key)
            for endpoint in wanted
        }
        self.members = tuple(self._endpoints.values())
        self._bound = {c.cookie: c for c in self.members if self._sticky}
        self.rests.forget(self._seconds(), self._rule)
        self.arrange_anew()

    def arrange_anew(self) -> None:
        """
        From the next request on, heed what has changed.
        """
        self._arranged = -1

    def left_out(self) -> frozenset[Candidate]:
        """
        Return who gets no requests.
        """
        if self.probe is None or not self.health:
            return frozenset()
        found = ((c, self.health.get(c.spot, UNKNOWN)) for c in self.members)
        return left_out(found, self.probe.min_servers)

    def affinity_in(self, cookies: Iterable[bytes]) -> bytes | None:
        """
        Return the first affinity value that is one of this pool's, if any.

        Args:
            cookies: the values of a request's Cookie fields, in order.
        """
        if self._sticky:
            for line in cookies:
                # Cheap, and true of few: most cookies are none of ours.
                if self._cookie in line:
                    for value in cookie_values(self._pattern, line):
                        if value in self._bound:
                            return value
        return None

    def candidates(self, affinity: bytes | None = None) -> Iterator[Candidate]:
        """
        Yield who can take a request: each member once, best first.

        The one that the client is bound to, then whose turn it is and the other
        members that are well, at last those that rest. Never the unhealthy.

        Args:
            affinity: what affinity_in found.
        """
        if self._arranged != self.rests.version:
            self._arrange()
        first = None if affinity is None else self._reachable.get(affinity)
        if self._resting:
            first = self._amid_rests(first)
        if first is None:
            if not self._awake:
                return
            first = next(self._turns)
        yield first
        yield from self._after(first)

    # How it went.

    def refused(self, candidate: Candidate) -> bool:
        """
        Note that no connection came about; tell whether a rest begins by it.
        """
        return self.rests.refused(candidate.target, self._seconds(), self._rule)

    def failed(self, candidate: Candidate, sent: float) -> bool:
        """
        Note that a request failed on its connection; tell whether a rest begins.

        Args:
            sent: when it was, in seconds of the pool's clock.
        """
        target, rests = candidate.target, self.rests
        out, percent = self.left_out(), self._rule.max_ejection_percent
        able = [c for c in self.members if c not in out]
        others = sum(rests.out(c.target) for c in able if c.target != target)
        room = (others + 1) * 100 <= len(able) * percent
        return rests.failed(target, self._seconds(), sent, self._rule, room=room)

    def answered(self, candidate: Candidate, status: int, sent: float) -> bool:
        """
        Note that an answer begins; tell whether a rest begins by it.

        Args:
            status: of the answer.
            sent: when the request was, in seconds of the pool's clock.
        """
        if status in self.failing:
            return self.failed(candidate, sent)
        self.revive(candidate)
        return False

    def revive(self, candidate: Candidate) -> None:
        """
        Note that all is well: a rest is over, on probation.
        """
        self.rests.answered(candidate.target, self._seconds())

    def ended_well(self, candidate: Candidate) -> None:
        """
        Note that a good answer has come to its end.
        """
        self.rests.ended_well(candidate.target)

    def _arrange(self) -> None:
        """
        Lay out the turns of those that are well; where all rest, of all.
        """
        rests, out = self.rests, self.left_out()
        self._arranged = rests.version
        present = tuple(c for c in self.members if c not in out)
        self._reachable = {c.cookie: c for c in present if self._sticky}
        awake = [c for c in present if not rests.out(c.target)]
        resting = [c for c in present if rests.out(c.target)] if awake else []
        resting.sort(key=lambda candidate: rests[candidate.target].until)
        self._awake = tuple(awake) or present
        self._resting = tuple(resting)
        self._due = rests[resting[0].target].until if resting else math.inf
        groups: dict[Member, list[Candidate]] = {}
        for candidate in self._awake:
            groups.setdefault(candidate.member, []).append(candidate)
        if groups:
            shares = [(member.weight, group) for member, group in groups.items()]
            self._turns = turns(shares, self._arrangements)
            self._arrangements = (self._arrangements + 1) % MOST_SKIPPED

    def _amid_rests(self, bound: Candidate | None) -> Candidate | None:
        """
        Return who is first while somebody rests; None: whose turn it is.

        The bound one if it is well, else one that is due, as its trial.
        """
        rests = self.rests
        if bound is not None and not rests.out(bound.target):
            return bound
        now = self._seconds()
        if now < self._due:
            return None
        if bound is not None and rests.take_trial(bound.target, now, self._rule):
            return bound
        earliest = self._resting[0]
        rests.take_trial(earliest.target, now, self._rule)
        return earliest

    def _after(self, first: Candidate) -> Iterator[Candidate]:
        """
        Yield everybody but *first*, as things stand now.
        """
        if self._arranged != self.rests.version:
            self._arrange()
        awake = self._awake
        if awake:
            start = awake.index(next(self._turns))
            awake = awake[start:] + awake[:start]
        for candidate in awake + self._resting:
            if candidate is not first:
                yield candidate


def build(
    config: Config,
    key: bytes,
    seconds: Callable[[], float],
    before: Mapping[Pair, Pool] | None = None,
) -> dict[Pair, Pool]:
    """
    Make every pool that a rule leads to, under the setting it is led to with.

    Args:
        config: checked.
        key: of the affinity cookies.
        seconds: a monotonic clock.
        before: the pools in force until now, whose health is taken over.
    """
    pools: dict[Pair, Pool] = {}
    for pair in _pairs(config):
        old = None if before is None else before.get(pair)
        pools[pair] = Pool(config, pair, key=key, seconds=seconds, before=old)
    return pools


def _pairs(config: Config) -> Iterable[Pair]:
    """
    Return every pool and setting that some rule leads to, without repeats.
    """
    leads: list[Destination | None] = []
    for rule in config.rules.values():
        leads.append(rule.destination)
        if rule.url_path_map is not None:
            paths = config.url_path_maps[rule.url_path_map]
            leads.append(paths.default)
            leads += (path_rule.destination for path_rule in paths.path_rules)
    return dict.fromkeys(
        (lead.pool, lead.backend_settings)
        for lead in leads
        if lead is not None
        and lead.pool is not None
        and lead.backend_settings is not None
    )
