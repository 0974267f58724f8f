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
from appgw.backend.candidate import Candidate, Pair, Spot, candidate_for
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
        self.members: tuple[Candidate, ...] = ()
        self.probe = probe_for(config, self.settings)
        self.rests: Rests = Rests() if before is None else before.rests
        self.health: dict[Spot, Health] = {} if before is None else before.health
        self.budget = Budget()
        self._config = config
        self._key = key
        self._seconds = seconds
        self.configured = config.pools[pair[0]].members
        addresses = dict.fromkeys(member.address for member in self.configured)
        self.names = tuple(name for name in addresses if ip_literal(name) is None)
        self._rule = self.settings.outlier_detection
        self.failing = failing_statuses(self._rule)
        self._in_force = False
        self._awaited: set[Member] = set()
        algorithm = self.settings.load_distribution_algorithm
        self.by_source = algorithm == "IpHash"
        self.counts = algorithm == "LeastConnections"
        self._sticky = self.settings.cookie_based_affinity
        azure = config.affinity.compat == "azure"
        self._cookies = CookieReader(self.settings.affinity_cookie_name, azure=azure)
        self._endpoints: dict[Endpoint, Candidate] = {}
        self._bound: dict[bytes, Candidate] = {}
        self._reachable: dict[bytes, Candidate] = {}
        # What _arrange works out, and the version of rests that it is true for.
        self._arranged, self._arrangements = -1, 0
        self._order = arrange((), self.rests, self.settings, 0.0, 0)
        self._turns, self._resting = self._order.turns, self._order.resting
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
        before = self._endpoints
        self._endpoints = {
            endpoint: before.get(endpoint)
            or candidate_for(self._config, self.pair, endpoint, self._key)
            for endpoint in wanted
        }
        self.members = tuple(self._endpoints.values())
        if self._in_force:
            self._welcome(c for e, c in self._endpoints.items() if e not in before)
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

    def take_over(self, before: Pool | None) -> None:
        """
        Be the pool that is asked, from now on.

        Args:
            before: which was until now; None: there was none, and nobody is new.
        """
        self._in_force = True
        if before is None:
            # Names that had no time to get addresses are as old as the others.
            self._awaited = set(self.configured) - {e.member for e in self._endpoints}
            return
        self.budget = before.budget
        places = {candidate.key: candidate.place for candidate in before.members}
        for candidate in self.members:
            candidate.place = places.get(candidate.key, candidate.place)
        self._welcome(c for c in self.members if c.key not in places)

    def _welcome(self, candidates: Iterable[Candidate]) -> None:
        """
        Let new ones begin slowly, but those that were only awaited.
        """
        for candidate in list(candidates):
            if candidate.member not in self._awaited:
                candidate.place.fresh = self._seconds()
        self._awaited -= {candidate.member for candidate in self.members}
        self.arrange_anew()

    def sweep(self, now: float) -> tuple[Candidate, ...]:
        """
        See to what time alone changes.

        Returns:
            Everybody that a request may be sent to.
        """
        if now >= self._order.until:
            self.arrange_anew()
        return self.members

    def affinity_in(self, cookies: Iterable[bytes]) -> bytes | None:
        """
        Return the first affinity value that is one of this pool's, if any.

        Args:
            cookies: the values of a request's Cookie fields, in order.
        """
        if not self._sticky:
            return None
        return self._cookies.find(cookies, self._bound)

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
        if self._arranged != self.rests.version:
            self._arrange()
        first = None if affinity is None else self._reachable.get(affinity)
        if source is not None:
            first = self._at_home(first, source)
        elif self._resting:
            first = self._amid_rests(first)
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
        out = self.left_out()
        present = tuple(c for c in self.members if c not in out)
        self._arranged = self.rests.version
        self._reachable = {c.cookie: c for c in present if self._sticky}
        now, skip = self._seconds(), self._arrangements
        self._order = order = arrange(present, self.rests, self.settings, now, skip)
        self._turns, self._resting = order.turns, order.resting
        if order.awake:
            self._arrangements = (skip + 1) % MOST_SKIPPED

    def _amid_rests(self, bound: Candidate | None) -> Candidate | None:
        """
        Return who is first while somebody rests; None: whose turn it is.

        The bound one if it is well, else one that is due, as its trial.
        """
        rests = self.rests
        if bound is not None and not rests.out(bound.target):
            return bound
        now = self._seconds()
        if now < self._order.due:
            return None
        if bound is not None and rests.take_trial(bound.target, now, self._rule):
            return bound
        earliest = self._resting[0]
        rests.take_trial(earliest.target, now, self._rule)
        return earliest

    def _at_home(self, bound: Candidate | None, source: str) -> Candidate | None:
        """
        Return who is first for a client that comes from *source*.

        The one that it is bound to or belongs to, if that is well, or due: it is
        those who belong to it that find out. Else the next best.
        """
        rests, order = self.rests, self._order
        if order.homes is None or order.clients is None:
            return None
        for home in (bound, order.homes.first(source)):
            if home is None:
                continue
            if not rests.out(home.target):
                return home
            if rests.take_trial(home.target, self._seconds(), self._rule):
                return home
        return order.clients.first(source)

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
