"""
Who belongs to a pool, who is leaving it, and who is bound to whom.

===================  ===========  ======================  ========================
a backend that       new clients  bound clients           requests under way
===================  ===========  ======================  ========================
is a member          come         come                    end by themselves
is marked, keep      go on        come                    have drain_timeout each,
                                                          from the mark on
is marked, move      go on        go on                   the same
is removed, keep     go on        come for drain_timeout  end at drain_timeout
is removed, move     go on        go on                   the same
===================  ===========  ======================  ========================

Without connection_draining nobody is bound to what is removed, and requests have
all the time they need.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from appgw.backend.candidate import Candidate, Key, Pair, candidate_for
from appgw.backend.targets import Endpoint
from appgw.config.model import Config, Member


class Roster:
    """
    The candidates of one pool under one setting.

    Attributes:
        members: every member's, in the members' order.
        able: those of them that new clients may go to.
        leaving: what was removed and still drains, by its place's key.
        bound: whom a client stays with, by affinity value.
        reachable: everybody that some request may be sent to.
    """

    def __init__(self, config: Config, pair: Pair, key: bytes) -> None:
        self._config = config
        self._pair = pair
        self._key = key
        settings = config.backend_settings[pair[1]]
        draining = settings.connection_draining
        self._drains = draining.enabled
        self._limit = draining.drain_timeout if draining.enabled else math.inf
        self._sticky = settings.cookie_based_affinity
        self._keeps = self._sticky and settings.drain_sticky == "keep"
        self._in_force = False
        self._awaited: set[Member] = set()
        self._endpoints: dict[Endpoint, Candidate] = {}
        self.leaving: dict[Key, Candidate] = {}
        self._settle()

    def update(self, endpoints: Iterable[Endpoint], now: float) -> bool:
        """
        Take in who the members are now, repeated ones once; tell of any change.

        Those that stay keep their Candidate.
        """
        wanted = dict.fromkeys(endpoints)
        before = self._endpoints
        if list(wanted) == list(before):
            return False
        self._endpoints = {
            endpoint: before.get(endpoint) or self._candidate(endpoint)
            for endpoint in wanted
        }
        if self._in_force:
            there = {c.key: c for c in before.values()} | self.leaving
            self._compare(there, now)
        self._settle()
        return True

    def take_over(self, before: Roster | None, now: float) -> None:
        """
        Be in force from *now* on.

        Args:
            before: what was until now; None: there was nothing, and nobody is new.
        """
        self._in_force = True
        there: dict[Key, Candidate] = {}
        if before is None:
            # Names that had no time to get addresses are as old as the others.
            self._awaited = {*self._config.pools[self._pair[0]].members}
        else:
            there = {c.key: c for c in before.members} | before.leaving
        self._compare(there, now)
        self._settle()

    def retire(self, now: float) -> None:
        """
        Be of no use any more: nothing leads here.
        """
        for candidate in (*self.members, *self.leaving.values()):
            candidate.place.drain(now, self._limit, removed=True)

    def sweep(self, now: float) -> bool:
        """
        Let go what has drained; tell whether anything has.
        """
        over = [k for k, c in self.leaving.items() if c.place.deadline(now) <= now]
        for key in over:
            del self.leaving[key]
        if over:
            self._settle()
        return bool(over)

    def _candidate(self, endpoint: Endpoint) -> Candidate:
        return candidate_for(self._config, self._pair, endpoint, self._key)

    def _compare(self, there: dict[Key, Candidate], now: float) -> None:
        """
        Go on with the places of those who were there, and see who is new and who
        is leaving.
        """
        here = self._endpoints.values()
        for candidate in here:
            was = there.get(candidate.key)
            if was is not None:
                candidate.place = was.place
            elif candidate.member not in self._awaited:
                candidate.place.fresh = now
            if candidate.member.draining:
                candidate.place.drain(now, self._limit, removed=False)
            else:
                candidate.place.stay(now)
        self._awaited -= {candidate.member for candidate in here}
        keys = {candidate.key for candidate in here}
        self.leaving = {}
        for key, candidate in there.items():
            if key not in keys:
                candidate.place.drain(now, self._limit, removed=True)
                if self._drains:
                    self.leaving[key] = self._on_our_terms(candidate)

    def _on_our_terms(self, gone: Candidate) -> Candidate:
        """
        Return who stands for the place of *gone* as long as it drains: it has to
        prove what is demanded now, whatever it had to before.
        """
        member = attrs.evolve(gone.member, port=gone.port)
        if member.pins is not None:
            pins = tuple(name for name in member.pins if name in self._config.pins)
            member = attrs.evolve(member, pins=pins)
        candidate = self._candidate(Endpoint(member, gone.address))
        candidate.place = gone.place
        return candidate

    def _settle(self) -> None:
        """
        Work out who may be asked by whom.
        """
        self.members = tuple(self._endpoints.values())
        self.able = tuple(c for c in self.members if not c.member.draining)
        self.reachable = self.able
        if self._keeps:
            # Where its pins are gone, nothing can be sent to it any more.
            leaving = (c for c in self.leaving.values() if c.target.pins != ())
            self.reachable = (*self.members, *leaving)
        self.bound = {c.cookie: c for c in self.reachable if self._sticky}
