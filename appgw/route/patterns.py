"""
Patterns that somebody has configured, and bytes that somebody else has sent.

RE2 matches in a time that grows with the length of both and no faster, whatever
the pattern. Long patterns and long values together can still take long, so the
steps of all patterns that are tried for one request are counted, before they
are taken.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import attrs
import re2

MAX_PATTERN: Final = 1024
"""Characters of a pattern."""

MAX_MEMORY: Final = 1 << 18
"""Bytes that a pattern may take; one that needs more is refused."""

MAX_STEPS: Final = 10_000_000
"""
Steps for the patterns of one request, and again for those of its answer: bytes
looked at, times the instructions of the pattern. One takes at most some 5 ns.
"""

_NEVER: Final = r"[^\x00-\xff]"
"""A class without a character: RE2 takes out whatever needs one."""

_ALL_GONE: Final = 1
"""Instructions of a pattern that can match nothing."""

_TOKEN: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\]|.", re.DOTALL
)
_QUOTING: Final = r"\Q"

Groups = tuple[bytes | None, ...]
"""What a pattern's groups have captured; None: the group took no part."""


class BadPattern(ValueError):  # noqa: N818 - it is the pattern that is bad
    """
    A pattern that RE2 doesn't take, or one that is too large.
    """


class TooManySteps(Exception):  # noqa: N818 - says what happened
    """
    Matching would take too long.
    """


@attrs.define(eq=False)
class Steps:
    """
    How many steps are left.
    """

    left: int = MAX_STEPS

    def take(self, count: int) -> None:
        """
        Take some.

        Raises:
            TooManySteps: there are not so many.
        """
        self.left -= count
        if self.left < 0:
            raise TooManySteps("it would take too long to match")


@attrs.frozen
class Pattern:
    """
    A compiled pattern.

    Attributes:
        text: as configured.
        size: instructions.
        groups: how many it captures.
    """

    text: str
    ignore_case: bool
    size: int = attrs.field(eq=False, repr=False)
    groups: int = attrs.field(eq=False, repr=False)
    _compiled: Any = attrs.field(eq=False, repr=False)

    @classmethod
    def parse(cls, text: str, *, ignore_case: bool = False) -> Pattern:
        """
        Read a pattern in RE2's syntax; it is about bytes.

        Raises:
            BadPattern: it is none, or too large.
        """
        if not 1 <= len(text) <= MAX_PATTERN:
            raise BadPattern(f"a pattern of 1 to {MAX_PATTERN} characters")
        if not text.isascii():
            raise BadPattern(r"a pattern in ASCII, other bytes written as \xHH")
        try:
            compiled = _compiled(text, ignore_case)
        except re2.error as error:
            said = error.args[0].decode("latin-1") if error.args else ""
            raise BadPattern(f"a pattern that RE2 takes ({said})") from error
        size = max(compiled.programsize, compiled.reverseprogramsize)
        return cls(text, ignore_case, size, compiled.groups, compiled)

    def search(self, value: bytes, steps: Steps) -> Groups | None:
        """
        Return what the groups capture where the pattern first matches, or None.

        Raises:
            TooManySteps: it would take too long to find out.
        """
        steps.take((len(value) + 1) * self.size)
        found = self._compiled.search(value)
        return None if found is None else found.groups()

    def needs(self, characters: str) -> bool:
        """
        Tell whether every match has one of *characters* in it, which are no
        letters or digits; without any: whether it matches nothing at all.

        Yes is certain, no may be an oversight.
        """
        if _QUOTING in self.text:
            return False
        spelt = {form for c in characters for form in (c, f"\\{c}", f"[{c}]")}
        spelt -= set("*+?.()|^$[]{}\\")
        rest = [
            _NEVER if piece in spelt else piece for piece in _TOKEN.findall(self.text)
        ]
        try:
            compiled = _compiled("".join(rest), self.ignore_case)
        except re2.error:
            return False
        return bool(compiled.programsize == _ALL_GONE)

    def begins_with(self) -> range:
        """
        Return the bytes that a value can begin with that the pattern matches.

        What is not among them, no match begins with; the others may be an
        oversight.
        """
        every = range(256)
        if not self.text.startswith("^") or self._forks():
            return every
        try:
            low, high = self._compiled.possiblematchrange(8)
        except re2.error:
            return every
        return range(low[0], high[0] + 1) if low and high else every

    def _forks(self) -> bool:
        """
        Whether a ``|`` stands outside of groups, so that ``^`` is not for all.
        """
        depth = 0
        for piece in _TOKEN.findall(self.text):
            if piece == "|" and depth == 0:
                return True
            depth += {"(": 1, ")": -1}.get(piece, 0)
        return _QUOTING in self.text


# What is read, judged and built is compiled once.
@functools.lru_cache(maxsize=4096)
def _compiled(text: str, ignore_case: bool) -> Any:
    options = re2.Options()
    # A byte is a character: if these were UTF-8, a byte that is none would be a
    # place that no "." matches, and clients could put it anywhere.
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = not ignore_case
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    return re2.compile(text.encode(), options)
