"""
The gateway as a Twisted service: built, joined, reloaded, drained.

Everything that depends on the configuration is built anew by ``apply`` and then
put in force at once; what fails on the way leaves everything as it was.
"""

from __future__ import annotations

import datetime
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from appgw.access_log import AccessLog
from appgw.backend.connections import Connections
from appgw.backend.names import Names
from appgw.build import Build, build
from appgw.config.model import AccessLog as LogSettings
from appgw.config.model import Config
from appgw.counters import Counters
from appgw.listen.ports import Key, Ports
from appgw.listen.request import Today
from appgw.listen.tls import RENEWAL
from appgw.means import Means
from appgw.pinning import Pinning
from appgw.poller import poller
from appgw.record import Outcome
from appgw.reloading import Reloadable
from appgw.resources import AnswerResource, GoneResource
from appgw.trace import new_id
from appgw.watch import Reserved, Watch

Bound = tuple[Mapping[Key, socket.socket], Reserved]
"""Sockets that listen for a configuration which is not in force yet."""

SWEEP: Final = 0.5
"""Seconds between two looks at everybody's time-outs."""

FIRST_NAMES: Final = 5.0
"""Seconds that the start waits for the members' addresses."""

FRESH_NAMES: Final = 0.7
"""Seconds that a reload waits for those of names that it brings."""

_TICK: Final = 0.05
"""Seconds between two looks at who is left while stopping."""

_TURNS: Final = 100
"""Turns of the reactor in which a connection that was cut is surely gone."""


def _now() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time.time(), datetime.UTC)


class Gateway(Reloadable):
    """
    A gateway, as an ``IService`` in anybody's program.

    It installs no signals, imports no global reactor and may stand beside others.

    Args:
        config: checked, from ``appgw.config.read`` or built by hand.
        reactor: serves it.

    Attributes:
        watch: its probes, and whom it tells what they have found.
        registry: this gateway's metrics, for a Prometheus exposition.
        counters: what they are read from.

    Raises:
        ValueError: the configuration cannot be built.
    """

    log = Logger()

    def __init__(self, config: Config, reactor: Any) -> None:
        super().__init__(config, reactor)
        self.registry = CollectorRegistry()
        self.counters = Counters(self.registry)
        self._seconds: Callable[[], float] = time.monotonic
        turning = poller(reactor)
        self._connections = Connections(turning, self._seconds, _now)
        self._pinning = Pinning(self._connections, self.counters, lambda: self._built)
        self._key = secrets.token_bytes(32)
        self._access_log: AccessLog | None = None
        self._lines_lost = 0
        self._names = Names(reactor, config.resolve_interval)
        self._names.setServiceParent(self)
        self._sweeps = LoopingCall(self._sweep)
        self._sweeps.clock = reactor
        self._renewed = self._seconds()
        self._means = Means(
            connections=self._connections,
            record=self._record,
            counters=self.counters,
            seconds=self._seconds,
            wall=time.time,
            date=Today().at,
            new_id=new_id,
            revoked=self._pinning.revoked,
        )
        gone = GoneResource(AnswerResource(self._means))
        self._ports = Ports(turning, self._seconds, gone)
        self.watch = self._watched()
        self._built = self._build(config, None)
        self._built.in_force(None)
        self._names.add(self._built.pools.values())
        self._members: list[Any] | None = None
        self._pending: Deferred[None] | None = None
        self._awaited: list[Deferred[None]] = []
        self._stops: list[Deferred[None]] = []
        self._deadline = 0.0
        self._bound = False

    def _watched(self) -> Watch:
        self.counters.watch(
            "access_log_lines_lost",
            "Lines that could not be written to the access log.",
            lambda: self._lines_lost + getattr(self._access_log, "lost", 0),
        )
        return Watch(
            self._reactor,
            self.registry,
            self.counters,
            self._ports,
            self._connections,
            lambda: self._built.pools,
            lambda: self._means.date(self._means.wall()),
        )

    # The life of the service.

    def bind(self) -> None:
        """
        Bind the ports now; who connects waits until the service has started.

        Raises:
            OSError: one cannot be had, and the message says which; none stays
                bound.
        """
        if not self._bound:
            self._enforce(self._built, self._reserve(self._built))
            self._bound = True

    def _reserve(self, build: Build) -> Bound:
        """
        Bind what *build* needs and is not bound yet; all of it, or nothing.
        """
        ports = self._ports.reserve(build.terms)
        try:
            return ports, self.watch.reserve(build.config)
        except OSError:
            for listening in ports.values():
                listening.close()
            raise

    def _enforce(self, build: Build, reserved: Bound) -> None:
        self._ports.enforce(build.terms, reserved[0])
        self.watch.enforce(build.config, reserved[1])

    def privilegedStartService(self) -> None:
        """
        Bind the ports, while twistd may still bind low ones.
        """
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        """
        Serve, as soon as the members' addresses are known.

        Raises:
            OSError: a port cannot be had.
            RuntimeError: it is still being stopped.
        """
        if self._stops:
            raise RuntimeError("the gateway is still being stopped")
        self.bind()
        self.watch.accept()
        self._open_log(self.config.access_log)
        self._pinning.follow()
        super().startService()
        self._sweeps.start(SWEEP, now=False)
        self._after_names(FIRST_NAMES).addCallback(lambda _: self._accept())

    def serving(self) -> Deferred[None]:
        """
        Wait until connections are accepted.
        """
        awaited: Deferred[None] = Deferred(self._awaited.remove)
        self._awaited.append(awaited)
        if self._ports.accepting:
            self._accept()
        return awaited

    def _accept(self) -> None:
        if self.running:
            self._ports.accept()
            self.watch.checks.begin(self._built.pools.values())
            awaited, self._awaited = self._awaited, []
            for each in awaited:
                each.callback(None)

    def _after_names(self, limit: float) -> Deferred[None]:
        waiting = self._names.first_resolution()
        waiting.addTimeout(limit, self._reactor)
        return waiting.addErrback(lambda _: None)

    def stopService(self) -> Deferred[None]:
        """
        Accept nothing more, let requests end within ``shutdown_timeout``, go.
        """
        stopped: Deferred[None] = Deferred()
        self._stops.append(stopped)
        if len(self._stops) == 1:
            if self._pending is not None:
                self._pending.cancel()
            self._deadline = self._seconds() + self.config.shutdown_timeout
            self._ports.drain()
            self.watch.checks.end()
            Deferred.fromCoroutine(self._stop()).addBoth(self._stopped)
        return stopped

    def hurry(self) -> None:
        """
        While stopping: wait for no request any more.
        """
        self._deadline = 0.0

    async def _stop(self) -> None:
        await super().stopService()
        ports, connections = self._ports, self._connections
        while ports.clients() and self._seconds() < self._deadline:
            await deferLater(self._reactor, _TICK)
            ports.sweep(self._seconds())
        tunnels = [stream.user for stream in connections.tunnels()]
        for tunnel in tunnels:
            tunnel.close()
        await self._turns_until(lambda: all(tunnel.over for tunnel in tunnels))
        ports.abort()
        await self._turns_until(lambda: not ports.clients())
        ports.sweep(self._seconds())
        connections.close()
        await self.watch.close()
        await self._turns_until(
            lambda: not (connections.busy() or self.watch.status.clients())
        )

    def _stopped(self, outcome: Any) -> None:
        if isinstance(outcome, Failure):
            self.log.failure("The stop went wrong; this is a bug.", outcome)
        if self._sweeps.running:
            self._sweeps.stop()
        self._open_log(None)
        self._pinning.matches.write()
        self._bound = False
        stops, self._stops = self._stops, []
        for stopped in stops:
            stopped.callback(None)

    async def _turns_until(self, done: Callable[[], bool]) -> None:
        # What was cut is gone a turn of the reactor later.
        for _ in range(_TURNS):
            await deferLater(self._reactor, 0)
            if done():
                return

    # Reloading.

    @property
    def config(self) -> Config:
        """
        The configuration in force.
        """
        return self._built.config

    def apply(self, config: Config) -> Deferred[None]:
        """
        Put *config* in force; a request under way ends on what it began with.

        What was applied a moment ago and still waits is put in force first.

        Returns:
            Fires once it is in force: at once, or when the names it brings have
            addresses, which is waited for less than a second.

        Raises:
            OSError: a new port cannot be bound; nothing was changed, as with
                the other two.
            ValueError: the configuration cannot be built.
            RuntimeError: the gateway is being stopped.
        """
        if self._stops:
            raise RuntimeError("the gateway is being stopped")
        if self._pending is not None:
            self._pending.cancel()
        fresh = self._build(config, self._built)
        reserved = self._reserve(fresh) if self._bound else None
        self._names.add(fresh.pools.values())
        if not self.running:
            self._put_in_force(fresh, reserved)
            return succeed(None)
        self._pending = pending = self._after_names(FRESH_NAMES)
        return pending.addCallback(lambda _: self._put_in_force(fresh, reserved))

    def _build(self, config: Config, before: Build | None) -> Build:
        counters, mounts = self.counters, self._mounts
        return build(config, before, self._key, self._means, counters, mounts)

    def _put_in_force(self, fresh: Build, reserved: Bound | None) -> None:
        old, self._built, self._pending = self._built, fresh, None
        self._names.discard(old.pools.values())
        self._names.look_up_every(fresh.config.resolve_interval)
        if self.running:
            self._pinning.follow()
            if fresh.config.access_log != old.config.access_log:
                self._open_log(fresh.config.access_log)
        fresh.in_force(old)
        if reserved is not None:
            self._enforce(fresh, reserved)
        self._retain()
        self._pinning.enforce()

    def _retain(self) -> None:
        """
        Let go of connections to what is no member any more.
        """
        now, pools = self._seconds(), self._built.pools.values()
        members = [(pool.sweep(now), pool.members) for pool in pools]
        if members != self._members:
            self._members = members
            self.watch.follow()
            self._connections.retain(self.watch.targets())

    # What goes on.

    def addresses(self) -> dict[Key, tuple[str, int]]:
        """
        Return where each configured address and port listens: port 0 is another.
        """
        return self._ports.addresses()

    def _sweep(self) -> None:
        now = self._seconds()
        self._ports.sweep(now)
        self._retain()
        self._connections.sweep(now)
        self._pinning.sweep(now)
        self.watch.sweep(now)
        if now - self._renewed > RENEWAL:
            self._renewed = now
            self._built.renew()

    def _record(self, outcome: Outcome) -> None:
        self.counters.count(outcome)
        if self._access_log is not None:
            self._access_log.write(outcome)

    def _open_log(self, wanted: LogSettings | None) -> None:
        if self._access_log is not None:
            self._access_log.close()
            self._lines_lost += self._access_log.lost
            self._access_log = None
        if wanted is not None:
            self._access_log = AccessLog(wanted.file, wanted.format, self._reactor)

    def reopen_logs(self) -> None:
        """
        Go on in a new access log; for those who have renamed the old one.
        """
        if self._access_log is not None:
            self._access_log.reopen()
