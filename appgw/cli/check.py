"""
``appgw check``: is this configuration fit to run?
"""

from __future__ import annotations

import sys

import click

from appgw.config.model import Config
from appgw.config.read import Examination, examine


def report(path: str) -> tuple[list[str], int]:
    """
    Examine a configuration file.

    Returns:
        The lines to print, one a problem and a summary, and the exit code: 0
        for a file that can be put in force, warnings or not, 1 otherwise.
    """
    examination = examine(path)
    lines = [str(problem) for problem in examination.problems]
    lines.append(f"{path}: {_summary(examination)}")
    return lines, 1 if examination.config is None else 0


@click.command()
@click.argument("path", metavar="FILE")
@click.pass_context
def check(context: click.Context, path: str) -> None:
    """
    Say everything that is wrong with a configuration file.

    One problem a line, as FILE:LINE: key: found X, expected Y. The exit code
    is 0 if there is no error (a warning is none), else 1.
    """
    lines, code = report(path)
    for line in lines:
        click.echo(printable(line))
    context.exit(code)


def _summary(examination: Examination) -> str:
    severities = [problem.severity for problem in examination.problems]
    counted = [
        _count(severities.count("error"), "error"),
        _count(severities.count("warning"), "warning"),
    ]
    if examination.config is not None:
        counted = ["in order", *_contents(examination.config), *counted[1:]]
    return ", ".join(counted)


def _contents(config: Config) -> list[str]:
    return [
        _count(len(config.listeners), "listener"),
        _count(len(config.rules), "rule"),
        _count(len(config.pools), "pool"),
        _count(len(config.pins), "pin"),
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def printable(line: str) -> str:
    """
    Leave no character that the terminal can't show, or would act upon.
    """
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    encoding = sys.stdout.encoding or "utf-8"
    return plain.encode(encoding, "backslashreplace").decode(encoding)
