"""
What a gateway knows of itself and of its backends, and whom it tells.

Probes find out; the metrics, the status port and the admin socket tell. None of
it takes part in a request.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred

from appgw.admin import AdminSocket, SocketFile, backend_health
from appgw.backend.candidate import Pair
from appgw.backend.checks import Checks
from appgw.backend.connections import Connections
from appgw.backend.pool import Pool
from appgw.backend.standing import standings
from appgw.backend.target import Target
from appgw.config.model import Config
from appgw.counters import Counters, HealthRow
from appgw.listen.ports import Key, Ports
from appgw.status import StatusPort, StatusResource


@attrs.frozen
class Reserved:
    """
    Sockets that listen for a configuration which is not in force yet.
    """

    status: Mapping[Key, socket.socket]
    admin: SocketFile | None


class Watch:
    """
    The probes, the status port and the admin socket of one gateway.

    Args:
        reactor: as given to the gateway.
        registry: what ``/metrics`` shows.
        counters: are shown what is counted elsewhere.
        ports: of the clients.
        pools: returns those in force.
        date: the Date field's value now.
    """

    def __init__(
        self,
        reactor: Any,
        registry: CollectorRegistry,
        counters: Counters,
        ports: Ports,
        connections: Connections,
        pools: Callable[[], Mapping[Pair, Pool]],
        date: Callable[[], bytes],
    ) -> None:
        self._pools = pools
        self._counters = counters
        self._ports = ports
        self._connections = connections
        seconds = connections.seconds
        self.checks = Checks(connections, seconds, random.random, counters.pin_refused)
        root = StatusResource(registry, self.ready, date)
        self.status = StatusPort(connections.reactor, seconds, root)
        self.admin = AdminSocket(reactor, self.backend_health)
        counters.refresh = self._refresh
        counters.health = self._health

    def ready(self) -> bool:
        """
        Tell whether requests are taken in, and every member has been probed once.
        """
        return self._ports.accepting and self.checks.all_asked

    def backend_health(self) -> dict[str, Any]:
        """
        Say how every member stands, in the shape of Azure's backendhealth.
        """
        return backend_health(self._pools().values())

    def reserve(self, config: Config) -> Reserved:
        """
        Bind what *config* needs and is not bound yet; all of it, or nothing.

        Raises:
            OSError: it cannot be had.
        """
        status = self.status.reserve(config.status)
        try:
            return Reserved(status, self.admin.reserve(config.admin))
        except OSError:
            for listening in status.values():
                listening.close()
            raise

    def enforce(self, config: Config, reserved: Reserved) -> None:
        """
        Tell there, and nowhere else; *reserved* is what ``reserve`` returned.
        """
        self.status.enforce(config.status, reserved.status)
        self.admin.enforce(config.admin, reserved.admin)

    def accept(self) -> None:
        """
        Tell from now on, first of all that the gateway is not ready yet.
        """
        self.status.accept()
        self.admin.accept()

    def follow(self) -> None:
        """
        Probe the members that there are now.
        """
        self.checks.follow(self._pools().values())

    def targets(self) -> set[Target]:
        """
        Return every target that requests or probes have.
        """
        pools = self._pools().values()
        members = [c for pool in pools for c in pool.members]
        probed = {c.question.target for c in members if c.question is not None}
        return probed | {c.target for pool in pools for c in pool.roster.reachable}

    def sweep(self, now: float) -> None:
        """
        See to what is due and what has taken too long.
        """
        self.checks.sweep(now)
        self.status.sweep(now)

    def close(self) -> Deferred[Any]:
        """
        Tell nobody any more; fires once the admin socket is gone.
        """
        self.status.close()
        return self.admin.close()

    def _refresh(self) -> None:
        counters, attempts = self._counters, self._connections.attempts
        counters.client_connections = sum(1 for _ in self._ports.channels())
        counters.client_connections_accepted = self._ports.accepted
        counters.backend_connections = len(list(self._connections.streams()))
        counters.backend_requests_waiting = self._connections.waiting()
        counters.tunnels = len(self._connections.tunnels())
        counters.backend_connections_made = attempts.made
        counters.backend_connections_failed = attempts.failed
        counters.backend_seconds_connecting = attempts.seconds

    def _health(self) -> Iterator[HealthRow]:
        for pair, pool in self._pools().items():
            counted = Counter(standing.health for standing in standings(pool))
            yield *pair, counted["Up"], counted["Down"]
