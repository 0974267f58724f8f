"""
A YAML file -> the model, or everything that is wrong with it at once.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import attrs

from appgw.config import document, sections
from appgw.config.check import check
from appgw.config.document import UnreadableError
from appgw.config.model import Config
from appgw.config.problems import (
    WHOLE_FILE,
    ConfigError,
    Finding,
    Places,
    Problem,
    quoted,
)
from appgw.config.shapes import Reader

__all__ = [
    "ConfigError",
    "Examination",
    "Problem",
    "admin_socket",
    "examine",
    "read",
]


@attrs.frozen
class Examination:
    """
    What came of reading a file.

    Attributes:
        config: None if there is any error.
        problems: errors and warnings, in the order of their lines.
    """

    config: Config | None
    problems: tuple[Problem, ...]


def examine(
    path: str, now: datetime.datetime | None = None, content: bytes | None = None
) -> Examination:
    """
    Read and check a configuration file, with all the files that it names.

    Never raises for what a file holds, or because it can't be opened.

    Args:
        path: of the YAML file; paths within are relative to its folder.
        now: what certificates' dates are compared with; the clock's if None.
        content: taken for what the file holds; None: the file is read.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    places = Places(file=path, lines={WHOLE_FILE: 1})
    try:
        top = document.compose(_content(path) if content is None else content)
    except UnreadableError as error:
        places.lines[WHOLE_FILE] = error.line
        finding = Finding(WHOLE_FILE, error.found, error.expected)
        return Examination(None, (places.problem(finding),))
    reader = Reader(folder=Path(path).absolute().parent, places=places)
    config = sections.configuration(reader, top)
    problems = [*reader.problems, *check(config, places, now)]
    problems.sort(key=lambda problem: problem.line)
    wrong = any(problem.severity == "error" for problem in problems)
    return Examination(None if wrong else config, tuple(problems))


def read(path: str) -> Config:
    """
    Read a configuration file that must be in order; warnings don't matter.

    Raises:
        ConfigError: it is not; the message has one line for each error.
    """
    examination = examine(path)
    if examination.config is None:
        raise ConfigError(examination.problems)
    return examination.config


def admin_socket(path: str) -> str | None:
    """
    Read of a configuration file only where its admin socket is; None: nowhere.

    The rest may be wrong, or out of this user's reach.

    Raises:
        ConfigError: that cannot be told.
    """
    places = Places(file=path, lines={WHOLE_FILE: 1})
    reader = Reader(folder=Path(path).absolute().parent, places=places)
    try:
        admin = sections.admin_of(reader, document.compose(_content(path)))
    except UnreadableError as error:
        reader.report(WHOLE_FILE, error.found, error.expected, line=error.line)
        admin = None
    if reader.failed:
        raise ConfigError(reader.problems)
    return None if admin is None else admin.socket


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(document.LARGEST + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "no path"
        found = f"{quoted(path, 300)} ({said})"
        raise UnreadableError(1, found, "a readable file") from None
