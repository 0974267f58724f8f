"""
What is wrong with a configuration, and where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import attrs

KeyPath = tuple[str | int, ...]
Severity = Literal["error", "warning"]

WHOLE_FILE: KeyPath = ()
NOT_YET = "which this version does not carry out"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,80}")


def quoted(text: str, longest: int = 60) -> str:
    """
    Show text from a file on one line, shortened, without control characters.
    """
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return repr(text)


def written(path: KeyPath) -> str:
    """
    Write a key's path as people do: ``pools.orders.members[1].port``.
    """
    if not path:
        return "(file)"
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step if _PLAIN_KEY.fullmatch(step) else quoted(step)
            text += f".{plain}" if text else plain
    return text


@attrs.frozen(kw_only=True)
class Problem:
    """
    One thing to put right, or (a warning) to think about.

    Attributes:
        file: the configuration file, also where the fault is in a file that it
            names.
        line: counted from 1.
        key: the path of the key, as ``written`` gives it.
    """

    file: str
    line: int
    key: str
    found: str
    expected: str
    severity: Severity = "error"

    def __str__(self) -> str:
        mark = "warning: " if self.severity == "warning" else ""
        return (
            f"{self.file}:{self.line}: {mark}{self.key}: "
            f"found {self.found}, expected {self.expected}"
        )


class ConfigError(Exception):
    """
    A configuration that cannot be put in force.

    Attributes:
        problems: everything that was found, warnings too.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        errors = (p for p in self.problems if p.severity == "error")
        return "\n".join(str(problem) for problem in errors)


@attrs.frozen
class Finding:
    """
    A problem of a configuration that may or may not have come from a file.
    """

    path: KeyPath
    found: str
    expected: str
    severity: Severity = "error"


@attrs.define(eq=False)
class Places:
    """
    Where each key of a file stands, and which of them could not be read.

    An empty one does for a configuration that was made in a program.
    """

    file: str = "configuration"
    lines: dict[KeyPath, int] = attrs.field(factory=dict)
    _broken: set[KeyPath] = attrs.field(factory=set)

    def line(self, path: KeyPath) -> int:
        """
        Find the line of a key, or of the closest one above it in the tree.
        """
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def given(self, *path: str | int) -> bool:
        """
        Tell whether the file has this key.
        """
        return path in self.lines

    def distrust(self, path: KeyPath) -> None:
        """
        Note that the value at ``path`` is not what its author meant.
        """
        for end in range(1, len(path) + 1):
            self._broken.add(path[:end])

    def sound(self, *path: str | int) -> bool:
        """
        Tell whether all was well at this key and below.

        A rule that leans on a value asks first, so that one mistake does not
        bring a second complaint.
        """
        return path not in self._broken

    def problem(self, finding: Finding) -> Problem:
        """
        Give a finding its file and line.
        """
        return Problem(
            file=self.file,
            line=self.line(finding.path),
            key=written(finding.path),
            found=finding.found,
            expected=finding.expected,
            severity=finding.severity,
        )
