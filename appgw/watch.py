"""
What a gateway knows of itself and of its backends, and whom it tells.

Probes find out; the metrics tell. None of it takes part in a request.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from appgw.backend.checks import Checks
from appgw.backend.connections import Connections
from appgw.backend.pool import Pair, Pool
from appgw.backend.standing import standings
from appgw.backend.target import Target
from appgw.counters import Counters, HealthRow
from appgw.listen.ports import Ports


class Watch:
    """
    The probes of one gateway, and its gauges.

    Args:
        counters: are shown what is counted elsewhere.
        ports: of the clients.
        pools: returns those in force.
    """

    def __init__(
        self,
        counters: Counters,
        ports: Ports,
        connections: Connections,
        pools: Callable[[], Mapping[Pair, Pool]],
    ) -> None:
        self._pools = pools
        self._counters = counters
        self._ports = ports
        self._connections = connections
        seconds = connections.seconds
        self.checks = Checks(connections, seconds, random.random, counters.pin_refused)
        counters.refresh = self._refresh
        counters.health = self._health

    def ready(self) -> bool:
        """
        Tell whether requests are taken in, and every member has been probed once.
        """
        return self._ports.accepting and self.checks.all_asked

    def follow(self) -> None:
        """
        Probe the members that there are now.
        """
        self.checks.follow(self._pools().values())

    def targets(self) -> set[Target]:
        """
        Return every target that requests or probes have.
        """
        members = [c for pool in self._pools().values() for c in pool.members]
        probed = {c.question.target for c in members if c.question is not None}
        return probed | {c.target for c in members}

    def sweep(self, now: float) -> None:
        """
        See to what is due and what has taken too long.
        """
        self.checks.sweep(now)

    def _refresh(self) -> None:
        counters, attempts = self._counters, self._connections.attempts
        counters.client_connections = sum(1 for _ in self._ports.channels())
        counters.client_connections_accepted = self._ports.accepted
        counters.backend_connections = len(list(self._connections.streams()))
        counters.backend_connections_made = attempts.made
        counters.backend_connections_failed = attempts.failed
        counters.backend_seconds_connecting = attempts.seconds

    def _health(self) -> Iterator[HealthRow]:
        for pair, pool in self._pools().items():
            counted = Counter(standing.health for standing in standings(pool))
            yield *pair, counted["Up"], counted["Down"]
