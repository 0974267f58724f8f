"""
The compiled form: whole or not at all, and never in the place of newer sources.
"""

from __future__ import annotations

import ast
import importlib
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import appgw

SETUP = Path(__file__).parents[1] / "setup.py"
PACKAGE = Path(appgw.__file__).parent


def modules() -> list[str]:
    """
    Return the names of the modules that setup.py has compiled.
    """
    if not SETUP.exists():
        raise SkipTest("the tests lie apart from setup.py")
    for node in ast.parse(SETUP.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            paths = ast.literal_eval(node.value)
            return [path.removesuffix(".py").replace("/", ".") for path in paths]
    raise AssertionError("setup.py has no list of modules")


def is_compiled(name: str) -> bool:
    """
    Tell whether what Python imports under *name* is machine code.
    """
    found = importlib.import_module(name).__file__ or ""
    return found.endswith(tuple(EXTENSION_SUFFIXES))


class CompiledTests(SynchronousTestCase):
    def test_all_or_none(self) -> None:
        """
        Of the modules that setup.py names, all are compiled or none is.
        """
        found = {name: is_compiled(name) for name in modules()}
        self.assertEqual(len(set(found.values())), 1, found)

    def test_as_asked(self) -> None:
        """
        Where APPGW_COMPILE=1 is set for the suite, it is run on compiled modules.
        """
        if os.environ.get("APPGW_COMPILE") != "1":
            raise SkipTest("this run is not about the compiled form")
        self.assertEqual([], [name for name in modules() if not is_compiled(name)])

    def test_none_beside_sources(self) -> None:
        """
        No compiled module lies in the source tree: it would hide later edits.
        """
        if PACKAGE.parent != SETUP.parent:
            raise SkipTest("this run is about an installed package")
        found = [
            str(path)
            for suffix in EXTENSION_SUFFIXES
            for path in PACKAGE.rglob(f"*{suffix}")
        ]
        self.assertEqual([], found)
