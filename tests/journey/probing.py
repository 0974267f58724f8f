"""
Gateways that probe, with a clock that tests put forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from appgw.backend.standing import Standing, standings
from appgw.config import model
from tests.journey.kit import OK, Backend, JourneyTests, turn
from tests.journey.recorded import Recorded
from tests.journey.wire import Conversation

INTERVAL = 30.0
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Answers:
    """
    A script that answers probes with what it holds, and all else with OK.
    """

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer

    async def __call__(self, conversation: Conversation) -> None:
        """
        Answer each request.
        """
        while True:
            request = await conversation.request()
            probed = request.get(b"user-agent") == [b"appgw-probe"]
            conversation.write(self.answer if probed else OK)


def probes(backend: Backend) -> int:
    """
    Count the probes that a backend has been sent.
    """
    return sum(one.get(b"user-agent") == [b"appgw-probe"] for one in backend.seen)


def requests(backend: Backend) -> int:
    """
    Count what else it has been sent.
    """
    return len(backend.seen) - probes(backend)


def matching(body: str | None = None, *codes: tuple[int, int]) -> dict[str, Any]:
    """
    Return a probe that looks for these, and is told at the first failure.
    """
    match = model.ProbeMatch(status_codes=codes or ((200, 399),), body=body)
    return {"match": match, "unhealthy_threshold": 1}


class ProbedTestCase(JourneyTests):
    """
    One pool under one setting, whose members are probed.
    """

    def probing(
        self,
        *backends: Backend | model.Member,
        probe: dict[str, Any] | None = None,
        **settings: Any,
    ) -> model.Config:
        """
        Return a configuration in which *backends* are probed at ``/healthz``.
        """
        it = model.Probe(**{"name": "it", "path": "/healthz"} | (probe or {}))
        settings = {"probe": "it", "probe_enabled": True} | settings
        config = self.config(*backends, **settings)
        return attrs.evolve(config, probes={"it": it})

    async def probed(
        self,
        *backends: Backend | model.Member,
        probe: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Recorded:
        """
        Start a gateway, and wait for the first probes.
        """
        gateway = self.serve(self.probing(*backends, probe=probe, **settings))
        await self.settled()
        return gateway

    async def settled(self) -> None:
        """
        Wait until no probe is under way.
        """
        await self.until(lambda: not self.under_way())

    def under_way(self) -> int:
        """
        Count the probes that are under way.
        """
        checks = self.gateway.watch.checks._checks.values()
        attempts = [check.attempt for check in checks]
        return sum(one is not None and not one.over for one in attempts)

    async def until(self, true: Callable[[], Any]) -> None:
        """
        Wait until *true* is.
        """
        while not true():
            await turn()

    async def again(self, times: int = 1, interval: float = INTERVAL) -> None:
        """
        Let an interval pass, and wait for the probes that it brings.
        """
        for _ in range(times):
            self.gateway.pass_time(interval)
            await self.settled()

    def standings(self) -> list[Standing]:
        """
        Return how the members stand.
        """
        pools = self.gateway._built.pools.values()
        return [standing for pool in pools for standing in standings(pool)]

    def states(self) -> list[str]:
        """
        Return their health only.
        """
        return [standing.health for standing in self.standings()]

    def told(self) -> str:
        """
        Return what is told of the one member there is.
        """
        (standing,) = self.standings()
        return standing.told

    async def statuses(self, count: int) -> list[int]:
        """
        Ask so many times.
        """
        return [(await self.ask()).status for _ in range(count)]
