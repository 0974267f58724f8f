"""
Host names of members: looked up, and looked up again.

What a name once had is kept for as long as nothing better is known: a failed
look-up and an empty answer change nothing. Both are told once, when they begin
and when they end, not at every interval.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

import attrs
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from appgw.backend.pool import Pool
from appgw.backend.targets import ip_literal

PATIENCE = 60.0
"""Seconds after which a look-up without an answer counts as failed."""


@implementer(IResolutionReceiver)
@attrs.define(eq=False)
class _LookUp:
    """
    One question that is under way.
    """

    began: float
    done: Callable[[_LookUp], None]
    found: list[str] = attrs.field(factory=list)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """
        Receive what Twisted's own resolvers cannot cancel either.
        """

    def addressResolved(self, address: IAddress) -> None:
        """
        Receive an address.
        """
        if isinstance(address, IPv4Address | IPv6Address):
            self.found.append(address.host)

    def resolutionComplete(self) -> None:
        """
        Receive the end of the answer.
        """
        self.done(self)


@attrs.define(eq=False)
class _Name:
    """
    A host name and what is known of it.

    Attributes:
        addresses: the last that were found.
        failing: the last look-up found none; None before the first is over.
    """

    text: str
    addresses: tuple[str, ...] = ()
    failing: bool | None = None
    look_up: _LookUp | None = None


class Names(Service):
    """
    Keeps pools up to date with the addresses of their members' names.

    Args:
        reactor: its name resolver is asked, its clock tells the time.
        interval: seconds from one round of look-ups to the next.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, interval: float) -> None:
        self._reactor = reactor
        self._resolvers = IReactorPluggableNameResolver(reactor)
        self._interval = interval
        self._pools: list[Pool] = []
        self._names: dict[str, _Name] = {}
        self._waiting: list[Deferred[None]] = []
        self._rounds = LoopingCall(self._look_up_all)
        self._rounds.clock = reactor

    def startService(self) -> None:
        """
        Look up every name now, and again at each interval.
        """
        super().startService()
        self._rounds.start(self._interval)

    def stopService(self) -> None:
        """
        Look up nothing any more; whoever waits is let go.
        """
        super().stopService()
        if self._rounds.running:
            self._rounds.stop()
        for name in self._names.values():
            name.look_up = None
        self._let_go()

    def look_up_every(self, interval: float) -> None:
        """
        Let *interval* seconds pass between rounds from now on.
        """
        if interval != self._interval:
            self._interval = interval
            if self._rounds.running:
                self._rounds.stop()
                self._rounds.start(interval, now=False)

    def add(self, pools: Iterable[Pool]) -> None:
        """
        Keep *pools* up to date from now on; what is known they get at once.

        Names not known yet are looked up now, or when the service starts.
        """
        for pool in pools:
            self._pools.append(pool)
            for text in pool.names:
                if text not in self._names:
                    self._names[text] = _Name(text)
            self._tell(pool)
        if self.running:
            for name in list(self._names.values()):
                if name.failing is None and name.look_up is None:
                    self._look_up(name)

    def discard(self, pools: Iterable[Pool]) -> None:
        """
        Let *pools* be, and forget the names that nobody else has.
        """
        gone = set(pools)
        self._pools = [pool for pool in self._pools if pool not in gone]
        wanted = {text for pool in self._pools for text in pool.names}
        self._names = {t: name for t, name in self._names.items() if t in wanted}
        self._check_waiting()

    def first_resolution(self) -> Deferred[None]:
        """
        Wait until each name has been looked up once, found or not.

        How long that takes is up to the resolver: set a bound with
        ``addTimeout``, cancelling does no harm.
        """
        if self._all_asked():
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def _look_up_all(self) -> None:
        """
        Begin a round; a look-up from before that is under way is waited for.
        """
        patient_since = self._reactor.seconds() - PATIENCE
        for name in list(self._names.values()):
            if name.look_up is not None and name.look_up.began <= patient_since:
                self._settle(name, [])
            if name.look_up is None:
                self._look_up(name)

    def _look_up(self, name: _Name) -> None:
        """
        Ask for all addresses of *name*, of both families.
        """

        def done(look_up: _LookUp) -> None:
            # Late answers and those to a stopped service are nobody's.
            if name.look_up is look_up:
                self._settle(name, look_up.found)

        name.look_up = _LookUp(self._reactor.seconds(), done)
        try:
            self._resolvers.nameResolver.resolveHostName(name.look_up, name.text)
        except Exception:
            # A name that the resolver cannot even encode has no address.
            self._settle(name, [])

    def _settle(self, name: _Name, found: Iterable[str]) -> None:
        """
        Take in what a look-up has found, and pass on what is new.
        """
        name.look_up = None
        before, was_failing = name.addresses, name.failing
        addresses = _in_order(found)
        name.failing = not addresses
        if addresses and addresses != before:
            name.addresses = addresses
            for pool in self._pools:
                if name.text in pool.names:
                    self._tell(pool)
        if name.failing:
            if not was_failing:
                self._log.warn(
                    "no address found for {name}, going on with {addresses}",
                    name=name.text,
                    addresses=", ".join(before) or "none",
                )
        elif was_failing or addresses != before:
            self._log.info(
                "{name} has {addresses}",
                name=name.text,
                addresses=", ".join(addresses),
            )
        self._check_waiting()

    def _tell(self, pool: Pool) -> None:
        """
        Hand a pool the addresses of its names.
        """
        known = ((text, self._names[text]) for text in pool.names)
        pool.resolve({text: name.addresses for text, name in known})

    def _all_asked(self) -> bool:
        """
        Tell whether each name has been looked up once.
        """
        return all(name.failing is not None for name in self._names.values())

    def _check_waiting(self) -> None:
        """
        Let go who waits for the first answers, if these are all there.
        """
        if self._waiting and self._all_asked():
            self._let_go()

    def _let_go(self) -> None:
        """
        Let go who waits.
        """
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


def _in_order(found: Iterable[str]) -> tuple[str, ...]:
    """
    Return addresses once each, IPv4 first, in the order of their numbers.

    Resolvers shuffle. Sorted, an unchanged answer is seen to be unchanged, and
    many gateways agree.
    """
    spelled = {literal for text in found if (literal := ip_literal(text)) is not None}
    parsed = [ipaddress.ip_address(text) for text in spelled]
    parsed.sort(key=lambda address: (address.version, int(address), str(address)))
    return tuple(map(str, parsed))
