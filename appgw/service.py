"""
The gateway as a Twisted service: built, joined, reloaded, drained.

Everything that depends on the configuration is built anew by ``apply`` and then
put in force at once; what fails on the way leaves everything as it was.
"""

from __future__ import annotations

import gc
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from prometheus_client import CollectorRegistry
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from appgw import resources
from appgw.access_log import AccessLog
from appgw.backend import pool as pools
from appgw.backend.connections import Connections
from appgw.backend.names import Names
from appgw.backend.pool import Pair, Pool
from appgw.backend.verdict import still_admits
from appgw.config.model import Config
from appgw.config.read import ConfigError, read
from appgw.counters import Counters
from appgw.endpoints import ServerPort
from appgw.exchange import Exchange, Means
from appgw.listen.door import Door
from appgw.listen.request import Today
from appgw.listen.sockets import bind
from appgw.listen.tls import RENEWAL, PortTLS
from appgw.poller import poller
from appgw.record import Outcome
from appgw.route.table import PortTable, Table

SWEEP: Final = 0.5
"""Seconds between two looks at everybody's time-outs."""

FIRST_NAMES: Final = 5.0
"""Seconds that the start waits for the members' addresses."""

Key = tuple[str, int]


@attrs.define(eq=False)
class _Port:
    """
    One address and port that is served.
    """

    listening: socket.socket
    door: Door
    served: ServerPort | None = None


@attrs.frozen(eq=False)
class _Build:
    """
    What ``apply`` has built and not yet put in force.
    """

    config: Config
    table: Table
    pools: Mapping[Pair, Pool]
    roots: Mapping[Key, resources.PortResource]
    tls: Mapping[Key, PortTLS]


class Gateway(MultiService):
    """
    A gateway, as an ``IService`` in anybody's program.

    Args:
        config: checked, from ``appgw.config.read`` or built by hand.
        reactor: serves it; twice in one process is fine.

    Attributes:
        registry: this gateway's metrics, for a Prometheus exposition.
        counters: what they are read from.
    """

    log = Logger()

    def __init__(self, config: Config, reactor: Any) -> None:
        super().__init__()
        self.config = config
        self.path: str | None = None
        self.registry = CollectorRegistry()
        self.counters = Counters(self.registry)
        self._reactor = reactor
        self._seconds: Callable[[], float] = time.monotonic
        self._poller = poller(reactor)
        self._connections = Connections(self._poller, self._seconds)
        self._key = secrets.token_bytes(32)
        self._today = Today()
        self._ports: dict[Key, _Port] = {}
        self._pools: Mapping[Pair, Pool] = {}
        self._access_log: AccessLog | None = None
        self._names = Names(reactor, config.resolve_interval)
        self._names.setServiceParent(self)
        self._sweeps = LoopingCall(self._sweep)
        self._sweeps.clock = reactor
        self._renewed = self._seconds()
        self._means = Means(
            connections=self._connections,
            record=self._record,
            pin_refused=self.counters.pin_refused,
            seconds=self._seconds,
            wall=time.time,
            date=self._today.at,
            new_id=_new_id,
            forwarded_for_port=config.forwarded_for_port,
        )
        self._built = self._build(config)
        self._watch()

    @classmethod
    def from_file(cls, path: str, reactor: Any) -> Gateway:
        """
        Read *path*; ``reload`` will read it again.

        Raises:
            ConfigError: with everything that is wrong with it.
        """
        gateway = cls(read(path), reactor)
        gateway.path = path
        return gateway

    # The life of the service.

    def privilegedStartService(self) -> None:
        """
        Bind the ports, while twistd may still bind low ones.

        Raises:
            OSError: one cannot be had; none stays bound.
        """
        super().privilegedStartService()
        self._bind()

    def startService(self) -> None:
        """
        Serve.
        """
        self._bind()
        self._open_log(self._built.config)
        super().startService()
        self._put_in_force(self._built)
        self._sweeps.start(SWEEP, now=False)
        waiting = self._names.first_resolution()
        waiting.addTimeout(FIRST_NAMES, self._reactor)
        waiting.addErrback(lambda _: None)
        waiting.addCallback(lambda _: self._accept())

    def stopService(self) -> Deferred[None]:
        """
        Accept nothing more, let requests end within ``shutdown_timeout``, go.
        """
        deadline = self._seconds() + self.config.shutdown_timeout
        for port in self._ports.values():
            if port.served is not None:
                port.served.stopListening()
                port.served = None
            else:
                port.listening.close()
            port.door.drain()
        stopped: Deferred[None] = Deferred()
        self._when_drained(stopped, deadline)
        stopped.addCallback(lambda _: self._stopped())
        return stopped

    def _when_drained(self, stopped: Deferred[None], deadline: float) -> None:
        left = [c for port in self._ports.values() for c in port.door.channels]
        if not left:
            stopped.callback(None)
        elif self._seconds() >= deadline:
            for channel in left:
                channel.transport.abortConnection()
            self._reactor.callLater(0, stopped.callback, None)
        else:
            self._reactor.callLater(0.05, self._when_drained, stopped, deadline)

    def _stopped(self) -> Any:
        if self._sweeps.running:
            self._sweeps.stop()
        self._connections.close()
        self._ports.clear()
        if self._access_log is not None:
            self._access_log.close()
            self._access_log = None
        return super().stopService()

    # Reloading.

    def reload(self) -> bool:
        """
        Read the file again; a bad one changes nothing and says why.

        Returns:
            Whether the new configuration is in force.
        """
        if self.path is None:
            return False
        try:
            self.apply(read(self.path))
        except (ConfigError, OSError, ValueError) as error:
            self.log.error(
                "The configuration was not reloaded; the old one stays in force."
                "\n{error}",
                error=str(error),
            )
            return False
        self.log.info("The configuration was reloaded.")
        return True

    def apply(self, config: Config) -> None:
        """
        Put *config* in force; a request under way ends on what it began with.

        Raises:
            OSError: a new port cannot be bound; the old configuration stays.
            ValueError: the configuration cannot be built.
        """
        build = self._build(config)
        self._ports.update(self._bound(build))
        self._open_log(config)
        self._put_in_force(build)
        if self.running:
            self._accept()

    def _build(self, config: Config) -> _Build:
        table = Table.build(config)
        key = config.affinity.key or self._key
        fresh = pools.build(config, key, self._seconds, self._pools)
        means = attrs.evolve(self._means, forwarded_for_port=config.forwarded_for_port)
        roots = {
            key: resources.build(port, fresh, means)
            for key, port in table.ports.items()
        }
        tls = {
            key: self._port_tls(config, port)
            for key, port in table.ports.items()
            if port.protocol == "https"
        }
        return _Build(config, table, fresh, roots, tls)

    def _port_tls(self, config: Config, port: PortTable) -> PortTLS:
        names = [str(site.listener.certificate) for site in port.sites]
        return PortTLS(
            {name: config.certificates[name] for name in names},
            lambda name: str(port.presented_for(name).listener.certificate),
            self._handshake_failed,
        )

    def _put_in_force(self, build: _Build) -> None:
        old, self._pools = self._pools, build.pools
        self.config, self._built = build.config, build
        self._names.add(build.pools.values())
        self._names.discard(old.values())
        for key, port in list(self._ports.items()):
            root = build.roots.get(key)
            if root is None:
                self._close(key, port)
                continue
            door = port.door
            door.root = root
            door.max_request_body = build.config.max_request_body
            door.trusted_proxies = build.config.trusted_proxies
            if port.served is not None:
                port.served.tls = build.tls.get(key)
        self._connections.retain(
            {c.target for pool in build.pools.values() for c in pool.members}
        )
        self._cut_unpinned(build.pools)

    def _cut_unpinned(self, fresh: Mapping[Pair, Pool]) -> None:
        """
        End what runs on a certificate that its setting allows no more.
        """
        for stream in self._connections.streams():
            exchange = stream.user
            if not isinstance(exchange, Exchange) or exchange.candidate is None:
                continue
            pool = fresh.get(exchange.pool.pair)
            label = exchange.candidate.label
            for candidate in () if pool is None else pool.members:
                if candidate.label == label and not still_admits(
                    candidate.target, stream.verdict
                ):
                    exchange.cut()

    # Ports.

    def _bind(self) -> None:
        self._ports.update(self._bound(self._built))

    def _bound(self, build: _Build) -> dict[Key, _Port]:
        """
        Bind what *build* serves and we do not yet; all of it, or nothing.
        """
        found: dict[Key, _Port] = {}
        try:
            for key, root in build.roots.items():
                if key not in self._ports:
                    listening = bind(*key)
                    port = key[1] or listening.getsockname()[1]
                    scheme = root.table.protocol
                    door = Door(root, port, scheme, self._seconds)
                    found[key] = _Port(listening, door)
        except OSError:
            for opened in found.values():
                opened.listening.close()
            raise
        return found

    def addresses(self) -> dict[Key, tuple[str, int]]:
        """
        Return where each configured address and port listens: they differ
        where the configuration (never a file) says port 0.
        """
        return {
            key: port.listening.getsockname()[:2] for key, port in self._ports.items()
        }

    def _accept(self) -> None:
        for key, port in self._ports.items():
            if port.served is None and self.running:
                tls = self._built.tls.get(key)
                port.served = ServerPort(self._poller, port.listening, port.door, tls)
                port.served.startListening()
        # What has been built stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    def _close(self, key: Key, port: _Port) -> None:
        del self._ports[key]
        if port.served is not None:
            port.served.stopListening()
        port.door.gone = True
        port.door.drain()

    # What goes on.

    def _sweep(self) -> None:
        now = self._seconds()
        turn = self._reactor.seconds()
        renew = now - self._renewed > RENEWAL
        for key, port in self._ports.items():
            port.door.sweep(now)
            if port.served is not None:
                port.served.sweep(turn)
            if renew and key in self._built.tls:
                self._built.tls[key].renew()
        if renew:
            self._renewed = now
        self._connections.sweep(now)

    def _record(self, outcome: Outcome) -> None:
        self.counters.count(outcome)
        if self._access_log is not None:
            self._access_log.write(outcome)

    def _handshake_failed(self) -> None:
        self.counters.client_handshakes_failed += 1

    def _open_log(self, config: Config) -> None:
        wanted, current = config.access_log, self.config.access_log
        if self._access_log is not None and wanted == current:
            return
        if self._access_log is not None:
            self._access_log.close()
            self._access_log = None
        if wanted is not None:
            self._access_log = AccessLog(wanted.file, wanted.format, self._reactor)

    def reopen_logs(self) -> None:
        """
        Go on in a new access log; for those who have renamed the old one.
        """
        if self._access_log is not None:
            self._access_log.reopen()

    def _watch(self) -> None:
        self.counters.watch(
            "client_connections_open",
            "Connections of clients.",
            lambda: sum(len(port.door.channels) for port in self._ports.values()),
        )
        self.counters.watch(
            "backend_connections_open",
            "Connections to backends, busy or kept.",
            lambda: len(list(self._connections.streams())),
        )


_bits: Final = random.Random(secrets.randbits(256)).getrandbits  # noqa: S311


def _new_id() -> str:
    """
    A trace id: unique, not a secret; asking the kernel would cost 2 µs.
    """
    return "%032x" % _bits(128)
