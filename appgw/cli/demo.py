"""
``appgw demo``: a gateway with backends, certificates and things to try.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from appgw.cli.demo_folder import ForeignFileError
from appgw.cli.demo_stage import HERE, Stage
from appgw.cli.demo_steps import STEPS, told, tried


@click.command()
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put certificates and configuration; by default a new folder.",
)
@click.option("--check", is_flag=True, help="Try everything, say what came, and end.")
def demo(folder: Path | None, check: bool) -> None:
    """
    Start a gateway before three TLS backends, and say what to try.

    All of it runs in this process, on free ports of 127.0.0.1, until Ctrl-C.
    Two backends are on the gateway's list, the third is not. Files of yours
    are never overwritten.
    """
    observer = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)]
    )
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    with contextlib.ExitStack() as until_the_end:
        if folder is None and check:
            made = tempfile.TemporaryDirectory(prefix="appgw-demo-")
            folder = Path(until_the_end.enter_context(made))
        elif folder is None:
            folder = Path(tempfile.mkdtemp(prefix="appgw-demo-"))
        react(checked if check else shown, [folder.absolute()])


async def shown(reactor: Any, folder: Path) -> None:
    """
    Serve until Ctrl-C.
    """
    stage = _set_up(reactor, folder)
    click.echo("\n".join(_introduced(stage)))
    click.echo("\n".join(told(stage)))
    click.echo("\n".join(_recommended(stage)))
    ended: Deferred[None] = Deferred()
    reactor.addSystemEventTrigger("before", "shutdown", ended.callback, None)
    reactor.addSystemEventTrigger("before", "shutdown", stage.strike)
    await ended
    click.echo(f"\nEnded. The files are still in {folder}")


async def checked(reactor: Any, folder: Path) -> None:
    """
    Try every step, say what came, end.

    Raises:
        SystemExit: 1 if something else came than was to be expected.
    """
    stage = _set_up(reactor, folder)
    failed = 0
    try:
        for step in STEPS:
            instead = await tried(step, stage, reactor)
            failed += bool(instead)
            click.echo(f"{'FAIL' if instead else 'pass'}  {step.shows}")
            for line in instead.splitlines():
                click.echo(f"      {line}")
    finally:
        await stage.strike()
    click.echo(f"{len(STEPS) - failed} passed, {failed} failed")
    if failed:
        raise SystemExit(1)


def _set_up(reactor: Any, folder: Path) -> Stage:
    try:
        return Stage.set_up(reactor, folder)
    except (ForeignFileError, OSError) as error:
        click.echo(f"appgw demo: {error}", err=True)
        raise SystemExit(1) from error


def _introduced(stage: Stage) -> list[str]:
    ports = stage.ports
    return [
        "",
        f"The gateway listens on {HERE}:{ports['gateway']}; its files are in",
        f"  {stage.folder}",
        "Three TLS backends with self-signed certificates stand behind it:",
        f"  green  {HERE}:{ports['green']}  on the list",
        f"  blue   {HERE}:{ports['blue']}  on the list",
        f"  stray  {HERE}:{ports['stray']}  on no list",
        "",
        "Try, in another terminal:",
        "",
    ]


def _recommended(stage: Stage) -> list[str]:
    config = shlex.quote(str(stage.folder / "gateway.yaml"))
    log = shlex.quote(str(stage.folder / "access.log"))
    url = f"https://shop.example:{stage.ports['gateway']}/orders/7"
    return [
        "And look closer:",
        "",
        f"   less {config}",
        f"   tail {log}",
        f"   {_appgw()} explain {config} {url}",
        f"   {_appgw()} health {config}",
        f"   {_appgw()} pins fetch {HERE}:{stage.ports['stray']}",
        "",
        "Ctrl-C ends it. What the gateway warns of appears below.",
        "",
    ]


def _appgw() -> str:
    """
    How this command was called, so that its kin can be, from any folder.
    """
    return shlex.quote(str(Path(sys.argv[0]).absolute()))
