"""
YAML nodes -> values, by tables that say what each key takes.

A value that isn't taken is reported and left out, or replaced by something
harmless, and reading goes on: all that is wrong is said at once. What is made
of such values never leaves ``appgw.config``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from appgw.config import files, scalars
from appgw.config.document import is_nothing, kind_of
from appgw.config.problems import (
    Finding,
    KeyPath,
    Places,
    Problem,
    Severity,
    quoted,
)
from appgw.config.scalars import UnfitError

MOST_PROBLEMS = 1000
_LONGEST_GUESS = 64

BROKEN: Final = object()
"""What is read where nothing could be; reported already."""

Take = Callable[["Reader", yaml.Node, KeyPath], object]
Build = Callable[["Reader", KeyPath, dict[str, Any]], Any]


@attrs.frozen
class Key:
    """
    What one key of a mapping takes.

    Attributes:
        instead: stands in for a required value that is missing or broken.
    """

    take: Take
    required: bool = False
    instead: Any = BROKEN


@attrs.define(eq=False)
class Reader:
    """
    What a reading has come to: the places of keys, and the problems.

    Attributes:
        folder: what relative paths are relative to.
        failed: there was an error.
    """

    folder: Path
    places: Places
    problems: list[Problem] = attrs.field(factory=list)
    failed: bool = False

    def report(
        self,
        path: KeyPath,
        found: str,
        expected: str,
        severity: Severity = "error",
        line: int | None = None,
    ) -> None:
        """
        Note a problem; after an error the value at ``path`` is distrusted.
        """
        # However many there are, at least one error is told: it stops the file.
        untold = severity == "error" and not self.failed
        if severity == "error":
            self.failed = True
            self.places.distrust(path)
        if untold or len(self.problems) < MOST_PROBLEMS:
            finding = Finding(path, found, expected, severity)
            problem = self.places.problem(finding)
            self.problems.append(attrs.evolve(problem, line=line or problem.line))

    def pairs(
        self, node: yaml.Node, path: KeyPath, expected: str
    ) -> Iterator[tuple[str, yaml.Node]]:
        """
        Walk over a mapping, each key once, noting where each stands.
        """
        if not isinstance(node, yaml.MappingNode):
            self.report(path, kind_of(node), expected)
            return
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.report(path, f"{kind_of(key)} as a key", "text", line=line)
                continue
            here = (*path, key.value)
            if here in self.places.lines:
                found = f"it again, first on line {self.places.lines[here]}"
                self.report(here, found, "it once", line=line)
                continue
            self.places.lines[here] = line
            yield key.value, value

    def values(
        self, node: yaml.Node, path: KeyPath, keys: Mapping[str, Key]
    ) -> dict[str, Any]:
        """
        Read a mapping with known keys; those left out are not in the answer.
        """
        values: dict[str, Any] = {}
        if not isinstance(node, yaml.MappingNode):
            for name in keys:
                self.places.distrust((*path, name))
        for name, value in self.pairs(node, path, f"a mapping with {_list(keys)}"):
            here = (*path, name)
            if name not in keys:
                self._unknown(here, keys)
            elif (taken := keys[name].take(self, value, here)) is not BROKEN:
                values[name] = taken
        for name, key in keys.items():
            if not key.required or name in values:
                continue
            here = (*path, name)
            # A mapping that is none, and a key misspelt, were reported.
            if self.places.sound(*here):
                self.report(here, "nothing", "a value, as this key is required")
            if key.instead is not BROKEN:
                values[name] = key.instead
        return values

    def _unknown(self, here: KeyPath, keys: Mapping[str, Key]) -> None:
        near = nearest(str(here[-1]), keys)
        self.report(here, "an unknown key", near or f"one of {_list(keys)}")
        if near:
            self.places.distrust((*here[:-1], near))


def nearest(word: str, words: Mapping[str, Any]) -> str | None:
    """
    Find what somebody probably meant.
    """
    if len(word) > _LONGEST_GUESS:
        return None
    lowered = word.lower().replace("-", "_")
    near = difflib.get_close_matches(lowered, words, 1)
    return near[0] if near else None


def _list(keys: Mapping[str, Key]) -> str:
    return ", ".join(sorted(keys))


def text(parse: Callable[[str], Any]) -> Take:
    """
    Take a scalar; quoted or not makes no difference.
    """

    def take(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
        try:
            if isinstance(node, yaml.ScalarNode) and not is_nothing(node):
                return parse(node.value)
            # No parser takes an empty text: it says what it would have taken.
            parse("")
        except UnfitError as unfit:
            reader.report(path, unfit.found or kind_of(node), unfit.expected)
        else:
            reader.report(path, kind_of(node), "text")
        return BROKEN

    return take


def listing(item: Take, *, at_least: int = 1, instead: object = BROKEN) -> Take:
    """
    Take a list without repetitions, as a tuple.

    Args:
        item: takes each element.
        at_least: how many there must be.
        instead: stands in for a broken element, so that the others keep
            their positions.
    """

    def take(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
        if not isinstance(node, yaml.SequenceNode):
            reader.report(path, kind_of(node), "a list")
            return BROKEN
        if len(node.value) < at_least:
            reader.report(path, "an empty list", "at least one element")
            return BROKEN
        taken: dict[Any, int] = {}
        values = []
        for index, element in enumerate(node.value):
            here = (*path, index)
            reader.places.lines[here] = element.start_mark.line + 1
            value = item(reader, element, here)
            if value is BROKEN:
                value = instead
            elif reader.places.sound(*here) and taken.setdefault(value, index) != index:
                reader.report(here, f"the same as [{taken[value]}]", "it once")
            if value is not BROKEN:
                values.append(value)
        return tuple(values)

    return take


def group(keys: Mapping[str, Key], build: Build) -> Take:
    """
    Take a mapping with known keys, and build one value of it.
    """

    def take(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
        return build(reader, path, reader.values(node, path, keys))

    return take


def section(keys: Mapping[str, Key], build: Build) -> Take:
    """
    Take a mapping from names to mappings with known keys.
    """
    entry = group(keys, build)

    def take(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
        values: dict[str, Any] = {}
        if is_nothing(node):
            return values
        for name, value in reader.pairs(node, path, "a mapping from names"):
            here = (*path, name)
            try:
                scalars.name(name)
            except UnfitError as unfit:
                reader.report(here, quoted(name), unfit.expected)
            values[name] = entry(reader, value, here)
        return values

    return take


def mapping(key: Callable[[str], Any], expected: str, item: Take) -> Take:
    """
    Take a mapping from other keys than names.

    Args:
        key: parses each key; raises UnfitError for one that isn't taken.
        expected: what the whole should be, where it is no mapping.
        item: takes each value.
    """

    def take(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
        values: dict[Any, Any] = {}
        for name, value in reader.pairs(node, path, expected):
            here = (*path, name)
            try:
                known = key(name)
            except UnfitError as unfit:
                reader.report(here, quoted(name), unfit.expected)
                continue
            taken = item(reader, value, here)
            if taken is not BROKEN:
                values[known] = taken
        return values

    return take


def file(
    parse: Callable[[bytes], Any],
    *,
    private: bool = False,
    endings: tuple[str, ...] = (),
) -> Take:
    """
    Take the path of a file, and what ``parse`` makes of its content.

    Args:
        parse: raises UnfitError for a content that the key doesn't take.
        private: warn if every user of the machine may read it.
        endings: its name must have one of these, in any case.
    """

    def take(reader: Reader, node: yaml.Node, path: KeyPath) -> object:
        def read(name: str) -> object:
            if endings and not some_path(name).lower().endswith(endings):
                raise UnfitError(f"a file whose name ends in {' or '.join(endings)}")
            opened = files.load(reader.folder / some_path(name))
            if private and opened.public:
                found = "a file that every user of this machine may read"
                reader.report(path, found, "mode 0600 or 0640", "warning")
            return parse(opened.data)

        return text(read)(reader, node, path)

    return take


def some_path(name: str) -> str:
    """
    Read the path of a file, without opening it.
    """
    if not name or "\0" in name:
        raise UnfitError("the path of a file")
    return name
