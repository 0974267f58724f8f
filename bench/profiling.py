"""
Where appgw's time goes: a run under twistd's own profiler.
"""

from __future__ import annotations

import pstats
from collections.abc import Sequence

from bench.check import check_answers, wait_for
from bench.ground import Ground
from bench.load import drive
from bench.peers import PEERS, started


def profile(ground: Ground, case: str, seconds: int, lines: int = 40) -> None:
    """
    Print the functions of appgw that take the most time in a case.

    Of the form that is not compiled: cProfile does not see into the other one. It
    makes each Python call dearer and C code not: read the order and the
    number of calls, not the times.
    """
    path = ground.folder / "profile"

    def wrap(command: Sequence[str]) -> Sequence[str]:
        twistd, *rest = command
        return [
            twistd,
            f"--profile={path}",
            "--profiler=cprofile",
            "--savestats",
            *rest,
        ]

    with started(PEERS["plain"], ground, wrap=wrap) as gateway:
        wait_for(gateway)
        check_answers(gateway, ground, [case])
        load = drive(gateway, ground, case, seconds)
    print(f"{load.requests} requests in {load.seconds:.1f} s")
    pstats.Stats(str(path)).sort_stats("tottime").print_stats(lines)
