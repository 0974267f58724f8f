"""
The numbers of the house, and its habits.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import appgw

PACKAGE = Path(appgw.__file__).parent
TESTS = Path(__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
COPIED = TESTS / "oracle" / "fwdoracle.py"
EVERYTHING = SOURCES + sorted(set(TESTS.rglob("*.py")) - {COPIED})

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
VAGUE = ("manager", "handler", "helper", "util")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    """
    Yield every function of the file, methods and inner ones included.
    """
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, Function):
            yield node


def names(path: Path) -> Iterator[tuple[int, str]]:
    """
    Yield line and name of what the file defines: classes, functions, variables.
    """
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, Function | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def annotated(function: Function) -> bool:
    """
    Tell whether the result and every argument but self and cls has a type.
    """
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    arguments += [extra for extra in (given.vararg, given.kwarg) if extra]
    if arguments and arguments[0].arg in ("self", "cls"):
        del arguments[0]
    return function.returns is not None and all(
        argument.annotation is not None for argument in arguments
    )


class HouseTests(SynchronousTestCase):
    """
    Files and functions that a reader can hold in mind.
    """

    maxDiff: ClassVar[None] = None

    def test_files_are_short(self) -> None:
        """
        No file is longer than 400 lines.
        """
        long = {
            str(path): count
            for path in EVERYTHING
            if (count := len(path.read_text().splitlines())) > LONGEST_FILE
        }
        self.assertEqual({}, long)

    def test_functions_are_short(self) -> None:
        """
        No function is longer than 40 lines, its docstring included.
        """
        long = [
            f"{path}:{node.lineno} {node.name}: {length} lines"
            for path in EVERYTHING
            for node in functions(path)
            if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
        ]
        self.assertEqual([], long)

    def test_names_say_something(self) -> None:
        """
        Nothing is called by a word that would fit everything.
        """
        vague = [f"{path}" for path in SOURCES if is_vague(path.stem)]
        vague += [
            f"{path}:{line} {name}"
            for path in SOURCES
            for line, name in names(path)
            if is_vague(name)
        ]
        self.assertEqual([], vague)

    def test_tests_are_sentences(self) -> None:
        """
        Every public test has a docstring that says what holds.
        """
        silent = [
            f"{path}:{node.lineno} {node.name}"
            for path in sorted(TESTS.rglob("test_*.py"))
            for node in functions(path)
            if node.name.startswith("test_") and not ast.get_docstring(node)
        ]
        self.assertEqual([], silent)

    def test_functions_are_annotated(self) -> None:
        """
        Every function of the package tells the types it takes and returns.
        """
        bare = [
            f"{path}:{node.lineno} {node.name}"
            for path in SOURCES
            for node in functions(path)
            if not annotated(node)
        ]
        self.assertEqual([], bare)

    def test_every_package_is_shipped(self) -> None:
        """
        setup.cfg lists each package, so that a wheel lacks none.
        """
        metadata = configparser.ConfigParser()
        if not metadata.read(TESTS.parent / "setup.cfg"):
            raise SkipTest("the tests lie apart from setup.cfg")
        listed = set(metadata["options"]["packages"].split())
        present = {
            ".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in SOURCES
        }
        self.assertEqual(present | {"twisted.plugins"}, listed)


def is_vague(name: str) -> bool:
    """
    Tell whether one of the words of a snake_case or CamelCase *name* is vague.
    """
    lowered = name.lower()
    return any(word in lowered and not lowered.startswith("test_") for word in VAGUE)
