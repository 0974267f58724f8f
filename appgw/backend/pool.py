"""
A pool under one setting: who can take a request, best first.

The pool proposes, whoever sends the request disposes: it takes candidates one by
one, goes on to the next only when nothing was sent to the last, and tells each
how its connection went. What costs time is done when members or their health
change, so that the usual request costs one turn of a wheel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from appgw.backend.affinity import (
    FieldLines,
    cookie_pattern,
    cookie_value,
    cookie_values,
    set_cookies,
)
from appgw.backend.choose import turns
from appgw.backend.health import UNKNOWN, Health, Rests, left_out
from appgw.backend.question import Question, probe_for, question_for
from appgw.backend.target import Target
from appgw.backend.targets import (
    Endpoint,
    endpoints_of,
    host_for,
    ip_literal,
    target_for,
)
from appgw.config.model import BackendSettings, Config, Destination, Member

Pair = tuple[str, str]
"""The names of a pool and of the setting that it is used under."""

Spot = tuple[str, int | None, str]
"""
What a candidate's health is kept by, over reloads: its member's address and own
port as configured, and the address and port that these lead to.
"""

MOST_SKIPPED = 256
"""Turns that a new rotation leaves out at most; each takes a little time."""


@attrs.define(eq=False)
class Candidate:
    """
    An endpoint that a request may be sent to.

    Attributes:
        member: whose address it is.
        address: IP address without brackets.
        port: 1 to 65535.
        target: the whole identity.
        label: ``address:port``, IPv6 in brackets.
        host: the Host to send; None: the client's own.
        cookie: the affinity value, empty without cookie_based_affinity.
        question: what probes ask of it; None: it is not probed.
    """

    member: Member
    address: str
    port: int
    target: Target
    label: str
    host: bytes | None
    cookie: bytes
    question: Question | None
    _rests: Rests
    _set_cookies: tuple[FieldLines, FieldLines]

    @property
    def spot(self) -> Spot:
        """
        What its health is kept by.
        """
        return self.member.address, self.member.port, self.label

    def refused(self, now: float) -> None:
        """
        Note at *now* (seconds of the pool's clock) that no connection came about.
        """
        self._rests.refused(self.target, now)

    def connected(self, now: float) -> None:
        """
        Note that a connection came about, its certificate admitted.
        """
        if self._rests:
            self._rests.connected(self.target)

    def set_cookies(self, affinity: bytes | None, *, secure: bool) -> FieldLines:
        """
        Return the Set-Cookie lines for a response that this candidate gave.

        Args:
            affinity: what affinity_in found in the request.
            secure: the client came over https.
        """
        if affinity == self.cookie:
            return ()
        return self._set_cookies[secure]


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
        rests: who is not well; to be handed to this pool's successor.
        health: what probes have found out; to be handed on as well. After a
            change, ``arrange_anew``.
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
        self._azure = config.affinity.compat == "azure"
        self._sticky = self.settings.cookie_based_affinity
        cookie = self.settings.affinity_cookie_name
        self._cookie = cookie.encode()
        self._pattern = cookie_pattern(cookie, azure=self._azure)
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
            endpoint: self._endpoints.get(endpoint) or self._candidate(endpoint)
            for endpoint in wanted
        }
        self.members = tuple(self._endpoints.values())
        self._bound = {c.cookie: c for c in self.members if self._sticky}
        self.rests.forget(self._seconds())
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

    def _candidate(self, endpoint: Endpoint) -> Candidate:
        """
        Work out all that is to be known of an endpoint.
        """
        member, address = endpoint
        config, settings = self._config, self.settings
        target = target_for(
            settings,
            member,
            address,
            config.pins,
            config.trusted_roots,
            config.certificates,
        )
        bare = f"[{address}]" if ":" in address else address
        label = f"{bare}:{target.port}"
        host = host_for(settings, member)
        probe = self.probe
        cookie = b""
        lines: tuple[FieldLines, FieldLines] = ((), ())
        if self._sticky:
            cookie = cookie_value(self._key, *self.pair, member.address, label)
            name = settings.affinity_cookie_name
            lines = (
                set_cookies(name, cookie, secure=False, azure=self._azure),
                set_cookies(name, cookie, secure=True, azure=self._azure),
            )
        return Candidate(
            member=member,
            address=address,
            port=target.port,
            target=target,
            label=label,
            host=host,
            cookie=cookie,
            question=None if probe is None else question_for(probe, target, host),
            rests=self.rests,
            set_cookies=lines,
        )

    def _arrange(self) -> None:
        """
        Lay out the turns of those that are well; where all rest, of all.
        """
        rests, out = self.rests, self.left_out()
        self._arranged = rests.version
        present = tuple(c for c in self.members if c not in out)
        self._reachable = {c.cookie: c for c in present if self._sticky}
        awake = [c for c in present if c.target not in rests]
        resting = [c for c in present if c.target in rests] if awake else []
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
        if bound is not None and bound.target not in rests:
            return bound
        now = self._seconds()
        if now < self._due:
            return None
        if bound is not None and rests.take_trial(bound.target, now):
            return bound
        earliest = self._resting[0]
        rests.take_trial(earliest.target, now)
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
