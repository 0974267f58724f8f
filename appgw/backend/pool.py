"""
A pool under one setting: who can take a request, best first.

The pool proposes, whoever sends the request disposes: it takes candidates one by
one, goes on to the next only when nothing was sent to the last, and tells how it
went. What costs time is done when members or their health change, so that the
usual request costs one turn of a wheel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from appgw.backend.affinity import CookieReader
from appgw.backend.arrangement import arrange
from appgw.backend.budget import Budget
from appgw.backend.candidate import Candidate, Pair, Spot
from appgw.backend.health import UNKNOWN, Health, left_out
from appgw.backend.question import probe_for
from appgw.backend.rest import Rests, failing_statuses
from appgw.backend.roster import Roster
from appgw.backend.targets import Endpoint, endpoints_of, ip_literal
from appgw.config.model import BackendSettings, Config, Destination

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
        roster: who belongs to it.
        probe: how members are probed; None: they are not.
        rests: what is held against whom; this pool's successor goes on with it.
        health: what probes have found out; so with this. After a change,
            ``arrange_anew``.
        budget: of second attempts; so with this.
        failing: the statuses of answers that count as failures.
        by_source: candidates are chosen by where a request comes from.
        counts: requests under way have to be counted, by their candidates' places.
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
        self.pair = pair
        self.settings: BackendSettings = config.backend_settings[pair[1]]
        self.roster = Roster(config, pair, key)
        self.probe = probe_for(config, self.settings)
        self.rests: Rests = Rests() if before is None else before.rests
        self.health: dict[Spot, Health] = {} if before is None else before.health
        self.budget = Budget()
        self._seconds = seconds
        self.configured = config.pools[pair[0]].members
        addresses = dict.fromkeys(member.address for member in self.configured)
        self.names = tuple(name for name in addresses if ip_literal(name) is None)
        self._rule = self.settings.outlier_detection
        self.failing = failing_statuses(self._rule)
        algorithm = self.settings.load_distribution_algorithm
        self.by_source = algorithm == "IpHash"
        self.counts = algorithm == "LeastConnections"
        self._sticky = self.settings.cookie_based_affinity
        azure = config.affinity.compat == "azure"
        self._cookies = CookieReader(self.settings.affinity_cookie_name, azure=azure)
        # What _arrange works out, and the version of rests that it is true for.
        self._arranged, self._arrangements = -1, 0
        self._bound: dict[bytes, Candidate] = {}
        self._order = arrange((), self.rests, self.settings, 0.0, 0)
        self._turns = self._order.turns
        self.resolve({})

    @property
    def members(self) -> tuple[Candidate, ...]:
        """
        Every member's candidates there are now, in the members' order.
        """
        return self.roster.members

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
        now = self._seconds()
        if self.roster.update(endpoints, now):
            self.rests.forget(now, self._rule)
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
        known = [(c, self.health.get(c.spot, UNKNOWN)) for c in self.members]
        able = [pair for pair in known if not pair[0].member.draining]
        draining = [pair for pair in known if pair[0].member.draining]
        return left_out(able, self.probe.min_servers) | left_out(draining, 0)

    def take_over(self, before: Pool | None) -> None:
        """
        Be the pool that is asked, from now on.

        Args:
            before: which was until now; None: there was none.
        """
        if before is not None:
            self.budget = before.budget
        roster = None if before is None else before.roster
        self.roster.take_over(roster, self._seconds())
        self.arrange_anew()

    def retire(self) -> None:
        """
        Be asked no more.
        """
        self.roster.retire(self._seconds())

    def sweep(self, now: float) -> tuple[Candidate, ...]:
        """
        See to what time alone changes.

        Returns:
            Everybody that a request may be sent to.
        """
        if self.roster.sweep(now) or now >= self._order.until:
            self.arrange_anew()
        return self.roster.reachable

    def affinity_in(self, cookies: Iterable[bytes]) -> bytes | None:
        """
        Return the first affinity value that is one of this pool's, if any.

        Args:
            cookies: the values of a request's Cookie fields, in order.
        """
        if not self._sticky:
            return None
        return self._cookies.find(cookies, self.roster.bound)

    def candidates(
        self, affinity: bytes | None = None, source: str | None = None
    ) -> Iterator[Candidate]:
        """
        Yield who can take a request: each member once, best first.

        The one that the client is bound to, then whose turn it is and the other
        members that are well, at last those that rest. Never the unhealthy.

        Args:
            affinity: what affinity_in found.
            source: the address that the request comes from, where that decides
                (by_source).
        """
        rests = self.rests
        if self._arranged != rests.version:
            self._arrange()
        first = None if affinity is None else self._bound.get(affinity)
        if rests or source is not None:
            first = self._first(first, source)
        if first is None:
            first = next(self._turns, None)
            if first is None:
                return
        yield first
        yield from self._after(first, source)

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
        able = [c for c in self.roster.able if c not in out]
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
        now = self._seconds()
        if self.rests.answered(candidate.target, now):
            candidate.place.fresh = now

    def ended_well(self, candidate: Candidate) -> None:
        """
        Note that a good answer has come to its end.
        """
        self.rests.ended_well(candidate.target)

    def _arrange(self) -> None:
        """
        Lay out anew who is asked in which order.
        """
        out, roster = self.left_out(), self.roster
        able = [c for c in roster.able if c not in out]
        self._bound = {v: c for v, c in roster.bound.items() if c not in out}
        self._arranged = self.rests.version
        now, skip = self._seconds(), self._arrangements
        self._order = order = arrange(able, self.rests, self.settings, now, skip)
        self._turns = order.turns
        if order.awake:
            self._arrangements = (skip + 1) % MOST_SKIPPED

    def _first(self, bound: Candidate | None, source: str | None) -> Candidate | None:
        """
        Return who is first where more is known than whose turn it is; None: that.

        The one that the client is bound to, if it is well; else the one that its
        address belongs to, or who is due, as its trial.
        """
        if self._stays(bound):
            return bound
        order = self._order
        if source is not None and order.homes is not None:
            return self._at_home(order.homes.first(source), source)
        now = self._seconds()
        if now < order.due:
            return None
        first = order.resting[0]
        self.rests.take_trial(first.target, now, self._rule)
        return first

    def _at_home(self, home: Candidate, source: str) -> Candidate | None:
        """
        Return *home* if it is well, or due, as it is those who belong to it that
        find out; else the next best for *source*.
        """
        clients = self._order.clients
        return home if clients is None or self._takes(home) else clients.first(source)

    def _stays(self, bound: Candidate | None) -> bool:
        """
        Tell whether a client goes to the one that it is bound to, if any.
        """
        if bound is None:
            return False
        if self._takes(bound):
            return True
        # Where all rest, none does; but who drains is not asked for as long as
        # there is anybody else.
        order = self._order
        return not (order.resting or (bound.place.draining and order.awake))

    def _takes(self, home: Candidate) -> bool:
        """
        Tell whether *home* can have its clients: it is well, or due.
        """
        target = home.target
        if not self.rests.out(target):
            return True
        return self.rests.take_trial(target, self._seconds(), self._rule)

    def _after(self, first: Candidate, source: str | None) -> Iterator[Candidate]:
        """
        Yield everybody but *first*, as things stand now.
        """
        if self._arranged != self.rests.version:
            self._arrange()
        order = self._order
        awake = order.awake
        if source is not None and order.clients is not None:
            awake = tuple(order.clients.order(source))
        elif awake:
            start = awake.index(next(order.turns))
            awake = awake[start:] + awake[:start]
        for candidate in awake + order.resting:
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


def hand_over(before: Mapping[Pair, Pool], after: Mapping[Pair, Pool]) -> None:
    """
    Let *after* be asked from now on instead of *before*.
    """
    for pair, pool in after.items():
        pool.take_over(before.get(pair))
    for pair, pool in before.items():
        if pair not in after:
            pool.retire()


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
