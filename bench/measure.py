"""
The measurement: short rounds in turns, so that a machine's drift meets everybody.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from subprocess import TimeoutExpired

import attrs

from bench.check import check_answers, check_build, check_refusal, drain_log, wait_for
from bench.ground import Ground
from bench.idle import bytes_per_connection
from bench.load import TRAFFIC, drive
from bench.peers import Gateway, Peer, started
from bench.processes import BenchError
from bench.results import Results, Sample

IDLE = "idle"
CASES = ("small", "down", "up", "new", IDLE)
EXTRA_CASES = ("resumed",)
IDLE_CONNECTIONS = 1000
IDLE_ROUNDS = 3
LOG_FLUSH = 1.5
FAILURES = (BenchError, OSError, HTTPException, TimeoutExpired)


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """
    Order the turns: everybody once a round, each round begun by the next one.
    """
    for number in range(rounds):
        shift = number % len(names) if names else 0
        for name in (*names[shift:], *names[:shift]):
            yield number, name


@attrs.define
class Run:
    """
    A run over some gateways and cases.

    Attributes:
        seconds: the length of one turn.
        say: takes lines about the progress.
    """

    ground: Ground
    peers: Sequence[Peer]
    cases: Sequence[str]
    rounds: int
    seconds: int
    say: Callable[[str], None]
    results: Results = attrs.field(factory=Results)
    _logged: Counter[str] = attrs.field(factory=Counter, init=False)
    _asked: Counter[str] = attrs.field(factory=Counter, init=False)

    def measure(self) -> Results:
        """
        Measure everything that was asked for.
        """
        good = {peer.name: peer for peer in self.peers if self._refuses(peer)}
        if IDLE in self.cases:
            for number, name in turns(list(good), min(self.rounds, IDLE_ROUNDS)):
                self._measure_idle(good[name], number)
        with contextlib.ExitStack() as stack:
            gateways: dict[str, Gateway] = {}
            for peer in good.values():
                with self._noting(f"{peer.name} is left out"):
                    gateways[peer.name] = self._start(peer, stack)
            for case in self.cases:
                if case in TRAFFIC:
                    self._measure_case(gateways, case)
            self._check_logs(gateways)
        return self.results

    def _refuses(self, peer: Peer) -> bool:
        """
        See that a peer starts, and that its pin or CA is in force.
        """
        refused = False
        with self._noting(f"{peer.name} is left out"):
            stranger = self.ground.stranger_port
            with started(peer, self.ground, stranger) as gateway:
                wait_for(gateway)
                check_refusal(gateway, self.ground)
                refused = True
        return refused

    def _start(self, peer: Peer, stack: contextlib.ExitStack) -> Gateway:
        gateway = stack.enter_context(started(peer, self.ground))
        wait_for(gateway)
        check_build(gateway)
        cases = [case for case in self.cases if case in TRAFFIC]
        self._asked[peer.name] = check_answers(gateway, self.ground, cases)
        return gateway

    def _measure_idle(self, peer: Peer, number: int) -> None:
        # A new process each time: a used heap takes in connections for nothing.
        with self._noting(f"{peer.name}, {IDLE}"), contextlib.ExitStack() as stack:
            gateway = self._start(peer, stack)
            cost = bytes_per_connection(gateway, self.ground, IDLE_CONNECTIONS)
            self._take(IDLE, peer.name, Sample(number, cost))

    def _measure_case(self, gateways: Mapping[str, Gateway], case: str) -> None:
        broken = set()
        for number, name in turns(list(gateways), self.rounds):
            if name in broken:
                continue
            broken.add(name)
            with self._noting(f"{name}, {case}"):
                sample = self._measure_turn(gateways[name], case, number)
                self._take(case, name, sample)
                broken.remove(name)

    def _measure_turn(self, gateway: Gateway, case: str, number: int) -> Sample:
        self._logged[gateway.name] += drain_log(gateway)
        before = gateway.process.cpu()
        load = drive(gateway, self.ground, case, self.seconds)
        time.sleep(0.05)  # the last connections are being closed
        used = gateway.process.cpu() - before
        self._asked[gateway.name] += load.requests
        each = 1e6 / load.requests
        busy = used.total / load.seconds
        return Sample(number, used.total * each, used.system * each, busy)

    def _take(self, case: str, name: str, sample: Sample) -> None:
        self.results.samples[case, name].append(sample)
        unit = "bytes" if case == IDLE else "µs"
        busy = "" if case == IDLE else f", {sample.busy:.0%} of its core"
        self.say(f"{case} {sample.round + 1}: {name} {sample.cost:.1f} {unit}{busy}")

    def _check_logs(self, gateways: Mapping[str, Gateway]) -> None:
        """
        See that each request that was counted has its line in the access log.
        """
        time.sleep(LOG_FLUSH)
        for name, gateway in gateways.items():
            with self._noting(f"{name}, access log"):
                lines = self._logged[name] + drain_log(gateway)
                if lines < self._asked[name]:
                    raise BenchError(f"{lines} lines, {self._asked[name]} requests")

    @contextlib.contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self.results.failures.append(f"{what}: {error}")
            self.say(self.results.failures[-1])
