"""
Imports go one way: the layers of the package, and what may stand in each.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import appgw

ROOT = Path(appgw.__file__).parent

LAYERS = (
    ("appgw", "appgw.config", "appgw.route", "appgw.backend", "appgw.listen"),
    (
        "appgw.message",
        "appgw.refusal",
        "appgw.records",
        "appgw.proxy_header",
        "appgw.poller",
        "appgw.immediate",
        "appgw.trace",
        "appgw.life",
        "appgw.raw",
        "appgw.wire",
        "appgw.replacing",
    ),
    (
        "appgw.config.model",
        "appgw.config.model_backends",
        "appgw.config.model_frontend",
        "appgw.config.model_rewrites",
        "appgw.config.model_routing",
    ),
    (
        "appgw.config.*",
        "appgw.route.*",
        "appgw.backend.*",
        "appgw.transport",
        "appgw.introduction",
        "appgw.endpoints",
        "appgw.pin_state",
    ),
    ("appgw.listen.*", "appgw.record"),
    ("appgw.access_format", "appgw.counters"),
    ("appgw.access_log",),
    ("appgw.means",),
    ("appgw.faults",),
    ("appgw.connecting",),
    ("appgw.exchange", "appgw.mounts", "appgw.mounted", "appgw.admin", "appgw.status"),
    ("appgw.tunnel",),
    ("appgw.resources", "appgw.reloading", "appgw.watch"),
    ("appgw.build",),
    ("appgw.pinning",),
    ("appgw.service",),
    ("appgw.tap", "appgw.cli", "appgw.cli.*", "appgw.testing"),
)
"""
Low to high. A module imports from its own layer and from those below. The first
layer's packages are empty, but for ``appgw``, which may name what embedders use.
"""

STRANGERS = (
    ("appgw.route", "appgw.backend"),
    ("appgw.backend", "appgw.route"),
    ("appgw.listen", "appgw.exchange"),
    ("appgw.listen", "appgw.route.listeners"),
    ("appgw.config.model", "appgw.route"),
)
"""
The first knows nothing of the second, not even through others.
"""

PURE = (
    "appgw.message",
    "appgw.refusal",
    "appgw.proxy_header",
    "appgw.config",
    "appgw.route",
    "appgw.backend.target",
    "appgw.backend.health",
    "appgw.backend.rest",
    "appgw.backend.question",
    "appgw.backend.diagnosis",
    "appgw.backend.affinity",
    "appgw.backend.choose",
    "appgw.backend.budget",
    "appgw.backend.place",
    "appgw.backend.rendezvous",
    "appgw.backend.roster",
    "appgw.backend.arrangement",
)
"""
Functions from values to values: no Twisted, neither here nor below.
"""

ROOM = "appgw.tap"
"""
The one module that imports the global reactor.
"""


def name_of(path: Path) -> str:
    """
    Return the dotted name of the module at *path*.
    """
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {
    name_of(path): ast.parse(path.read_text(), str(path))
    for path in sorted(ROOT.rglob("*.py"))
}


def imported(tree: ast.AST) -> Iterator[str]:
    """
    Yield each dotted name that *tree* imports, deepest first known reading.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def own(name: str) -> str | None:
    """
    Return the module of ours that the dotted *name* lies in, None for others'.
    """
    while name:
        if name in TREES:
            return name
        name = name.rpartition(".")[0]
    return None


GRAPH = {
    module: {
        target
        for name in imported(tree)
        if (target := own(name)) is not None and target != module
    }
    for module, tree in TREES.items()
}


def below(start: str) -> set[str]:
    """
    Return *start* and every module of ours that it reaches by imports.
    """
    seen: set[str] = set()
    todo = [start]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo.extend(GRAPH[module])
    return seen


def within(module: str, package: str) -> bool:
    """
    Tell whether *module* is *package* or lies in it.
    """
    return module == package or module.startswith(package + ".")


def layer(module: str) -> int | None:
    """
    Return the layer of *module*: its own name's, else its package's.
    """
    for wanted in (module, module.rpartition(".")[0] + ".*"):
        for number, names in enumerate(LAYERS):
            if wanted in names:
                return number
    return None


class ArrowsTests(SynchronousTestCase):
    """
    The import graph, read with ast: nothing is imported to look at it.
    """

    def test_the_graph_is_there(self) -> None:
        """
        The graph holds the modules and their arrows, so that a no means no.
        """
        self.assertIn("appgw.config.model", GRAPH["appgw.backend.target"])

    def test_layers(self) -> None:
        """
        Every module has a layer, and imports from it or from those below.
        """
        for module, targets in GRAPH.items():
            mine = layer(module)
            self.assertIsNotNone(mine, f"{module}: give it a place in LAYERS")
            if module == "appgw":
                continue
            up = [target for target in targets if layer(target) > mine]
            self.assertEqual([], up, f"{module} imports from above")

    def test_no_circle(self) -> None:
        """
        No module reaches itself.
        """
        for module, targets in GRAPH.items():
            back = [target for target in targets if module in below(target)]
            self.assertEqual([], back, f"{module} is in a circle")

    def test_strangers(self) -> None:
        """
        Those who shall not know each other don't, not even through others.
        """
        for knower, unknown in STRANGERS:
            for module in TREES:
                if within(module, knower):
                    met = [one for one in below(module) if within(one, unknown)]
                    self.assertEqual([], met, f"{module} knows of {unknown}")

    def test_pure_modules(self) -> None:
        """
        Pure modules import no Twisted, neither themselves nor through others.
        """
        for module in TREES:
            if any(within(module, package) for package in PURE):
                for one in below(module):
                    found = [
                        name for name in imported(TREES[one]) if within(name, "twisted")
                    ]
                    self.assertEqual([], found, f"{module} by way of {one}")

    def test_global_reactor(self) -> None:
        """
        The global reactor is imported in one module only.
        """
        for module, tree in TREES.items():
            if module != ROOM:
                names = list(imported(tree))
                self.assertNotIn("twisted.internet.reactor", names, module)
                self.assertNotIn("prometheus_client.twisted", names, module)

    def test_imports_stand_at_the_top(self) -> None:
        """
        No import hides in a function, a class, a condition or a try.
        """
        for module, tree in TREES.items():
            top = {node for node in tree.body if is_import(node)}
            hidden = [
                node.lineno
                for node in ast.walk(tree)
                if is_import(node) and node not in top
            ]
            self.assertEqual([], hidden, f"{module}: lines of hidden imports")

    def test_imports_are_absolute(self) -> None:
        """
        An import says the whole name of what it imports.
        """
        for module, tree in TREES.items():
            relative = [
                node.lineno
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.level
            ]
            self.assertEqual([], relative, f"{module}: lines of relative imports")


def is_import(node: ast.AST) -> bool:
    """
    Tell whether *node* is an import statement.
    """
    return isinstance(node, ast.Import | ast.ImportFrom)
