"""
``bench/run``: measure appgw and its peers, print the tables, say which limits hold.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from bench import report
from bench.ground import Ground, backend, laid
from bench.limits import LIMITS
from bench.measure import CASES, EXTRA_CASES, Run
from bench.peers import PEERS, PYTHON, ROOT
from bench.processes import BenchError
from bench.profiling import profile
from bench.results import Results

PAGE = ROOT / "docs" / "performance.md"


class Names(click.ParamType[tuple[str, ...]]):
    """
    Some of the known names, with commas between them.
    """

    name = "names"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def convert(
        self,
        value: str | tuple[str, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, ...]:
        """
        Split the value, and refuse what is not known.
        """
        if isinstance(value, tuple):
            return value
        names = tuple(value.split(","))
        for name in names:
            if name not in self.known:
                self.fail(f"{name} is none of {', '.join(self.known)}", param, ctx)
        return names


def cores() -> tuple[int, int]:
    """
    Choose the gateway's core, and the one of load and backend.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError("this needs two cores: one for the gateway alone")
    return usable[0], usable[1]


def block(results: Results, cases: tuple[str, ...]) -> str:
    """
    Make what goes into the page: the machine, the costs, and the limits.
    """
    names = {name for _, name in results.samples}
    titles = {
        name: f"{peer.title} {peer.tell_version()}, {peer.pins}"
        for name, peer in PEERS.items()
        if name in names
    }
    return "\n\n".join(
        (
            f"Machine: {report.machine(PYTHON)}.",
            report.costs(results, titles, cases),
            report.limits(results),
        )
    )


def prepare(ground: Ground) -> None:
    """
    Move this process beside the load, and let everybody have many sockets.
    """
    os.sched_setaffinity(0, {ground.load_core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_tidily() -> None:
    """
    Make each usual signal an exit, by which everything that was started ends.
    """

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)


def write(results: Results, cases: tuple[str, ...]) -> None:
    """
    Put a whole run into the page; half a run has no place there.
    """
    if results.failures or len({name for _, name in results.samples}) < len(PEERS):
        raise BenchError(f"not written to {PAGE}: this run is not whole")
    page = report.replace_block(PAGE.read_text(), block(results, cases))
    PAGE.write_text(page)


@click.command()
@click.option(
    "--only",
    type=Names(tuple(PEERS)),
    default=tuple(PEERS),
    help="The gateways, with commas between them.",
)
@click.option(
    "--case",
    "cases",
    type=Names((*CASES, *EXTRA_CASES)),
    default=CASES,
    help="The cases, with commas between them.",
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 20))
@click.option(
    "--seconds",
    default=3,
    show_default=True,
    type=click.IntRange(1, 30),
    help="The length of one turn.",
)
@click.option("--profile", "profiled", is_flag=True, help="Profile appgw instead.")
@click.option("--write", "written", is_flag=True, help=f"Write into {PAGE.name}.")
def main(
    only: tuple[str, ...],
    cases: tuple[str, ...],
    rounds: int,
    seconds: int,
    profiled: bool,
    written: bool,
) -> None:
    """
    Measure appgw and its peers: CPU time per request, memory per connection.

    Only the ratios of one run mean something. The exit is 1 if a limit does not
    hold or something could not be measured.
    """
    end_tidily()
    try:
        with laid(cores()) as ground, backend(ground):
            prepare(ground)
            if profiled:
                for case in cases:
                    profile(ground, case, seconds)
                return
            peers = [PEERS[name] for name in only]
            say = lambda line: click.echo(line, err=True)  # noqa: E731
            results = Run(ground, peers, cases, rounds, seconds, say).measure()
        if results.samples:
            click.echo(f"\n{block(results, cases)}\n")
        if written:
            write(results, cases)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    for failure in results.failures:
        click.echo(f"Failed: {failure}", err=True)
    if results.failures or not all(limit.holds(results) for limit in LIMITS):
        sys.exit(1)


if __name__ == "__main__":
    main()
