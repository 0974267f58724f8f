from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from prometheus_client import generate_latest
from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appgw import Gateway
from appgw.access_format import JsonLines
from appgw.backend.budget import SHARE
from appgw.backend.health import Health, State, after_failure, after_success
from appgw.config.model import BackendSettings, Config, OutlierDetection
from appgw.refusal import Refusal
from tests.outcomes import CANDIDATE, make_outcome

ROOT = Path(__file__).parents[1]
EMPTY = Config(listeners={}, rules={})
UNITS = {"s": 1, "GiB": 1 << 30}


def document(name: str) -> str:
    """
    Read a page of the documentation, where the tests lie beside it.
    """
    path = ROOT / "docs" / name
    if not path.exists():
        raise SkipTest("the tests lie apart from docs")
    return path.read_text("utf-8")


def section(page: str, title: str) -> str:
    """
    Return what stands below a heading of the second level.
    """
    [found] = re.findall(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", page)
    return str(found)


def rows(text: str) -> Iterator[list[str]]:
    """
    Yield the cells of each row of every table.
    """
    for line in re.findall(r"(?m)^\| (.+) \|$", text):
        yield [cell.strip() for cell in line.split("|")]


def names(cell: str) -> list[str]:
    """
    Return what is set as code.
    """
    return re.findall(r"`([^`]+)`", cell)


def constant(dotted: str) -> float:
    """
    Return a constant of the package.
    """
    module, _, name = dotted.rpartition(".")
    value: float = getattr(importlib.import_module(f"appgw.{module}"), name)
    return value


class OperatingTests(SynchronousTestCase):
    """
    What the page promises is what the code does.
    """

    def test_constants(self) -> None:
        """
        Each time-out and limit has the value that the code gives it.
        """
        text = section(document("operating.md"), "Time-outs and limits")
        found = [row for row in rows(text) if len(row) == 3 and "." in row[2]]
        self.assertGreater(len(found), 20)
        for _, value, where in found:
            [dotted] = names(where)
            self.assertEqual(float(value.split()[0]), constant(dotted), dotted)

    def test_keys(self) -> None:
        """
        Each that is a key has the default that the configuration gives it.
        """
        text = section(document("operating.md"), "Time-outs and limits")
        found = [row for row in rows(text) if len(row) == 3 and "the key" in row[2]]
        self.assertGreater(len(found), 3)
        settings = BackendSettings(name="web", protocol="http", port=80)
        for _, value, where in found:
            [key] = names(where)
            number, unit = [*value.split(), "s"][:2]
            default = getattr(settings, key, None) or getattr(EMPTY, key)
            self.assertEqual(float(number) * UNITS[unit], default, key)

    def test_rests(self) -> None:
        """
        So have the rests.
        """
        text = section(document("operating.md"), "Backends that fail")
        found = re.findall(r"(\d+)(?: s| %)? \(`(\w+)`\)", text)
        found += re.findall(r"\((\d+) %, `(\w+)`\)", text)
        self.assertEqual(len(found), 4)
        for value, key in found:
            self.assertEqual(float(value), getattr(OutlierDetection(), key))

    def test_health(self) -> None:
        """
        The table of states is the code's, and so are the numbers beside it.
        """
        text = section(document("operating.md"), "Health")
        found = [row for row in rows(text) if row[0] in get_args(State)]
        self.assertEqual([row[0] for row in found], list(get_args(State)))
        for state, *told in found:
            before = Health(state)
            becomes = [
                after_success(before, "", 0.0),
                after_failure(before, "", 2, 0.0),
                after_failure(before, "", 1, 0.0),
            ]
            self.assertEqual(
                told,
                [
                    f"stays {state}" if health.state == state else health.state
                    for health in becomes
                ],
            )
        numbers = re.findall(r"(\d+) [a-z ]+\(`([\w.]+)`\)", text)
        self.assertEqual(len(numbers), 2)
        for value, dotted in numbers:
            self.assertEqual(float(value), constant(dotted))
        self.assertEqual(0.1, constant("backend.checks.JITTER"))

    def test_budget(self) -> None:
        """
        So has the budget of second attempts.
        """
        text = section(document("operating.md"), "Second attempts")
        found = re.findall(r"(\d+)(?: s)? \(`([\w.]+)`\)", text)
        self.assertEqual(len(found), 2)
        for value, dotted in found:
            self.assertEqual(float(value), constant(dotted))
        self.assertIn("one more for every five requests", text)
        self.assertEqual(5, 1 / SHARE)

    def test_access_log(self) -> None:
        """
        The table has every field of a line, and no other.
        """
        text = section(document("operating.md"), "The access log")
        told = {name for row in rows(text) for name in names(row[0])}
        line = json.loads(JsonLines()(make_outcome()))
        self.assertEqual(told, set(line) | set(line["properties"]))

    def test_answers(self) -> None:
        """
        The table has every status that we answer with.
        """
        text = section(document("operating.md"), "Our own answers")
        told = {
            int(status) for row in rows(text) for status in re.findall(r"\d+", row[0])
        }
        # 499 is for the log only, and 500 is a bug.
        self.assertEqual(told | {499, 500}, {refusal.status for refusal in Refusal})

    def test_metrics(self) -> None:
        """
        Each metric exists under this name, with these labels.
        """
        gateway = Gateway(EMPTY, reactor)
        counters = gateway.counters
        counters.count(make_outcome(refusal=Refusal.LOOP))
        counters.pin_refused("orders", "orders-https", CANDIDATE, "not-pinned")
        counters.pin_detected("orders", "orders-https", CANDIDATE, "not-pinned")
        counters.pin_matched("orders-2026")
        counters.health = lambda: [("orders", "orders-https", 1, 0)]
        counters.proxy_refused("late")
        counters.ejected("orders", "orders-https", CANDIDATE)
        counters.retried("orders", "orders-https", made=True)
        shown = generate_latest(gateway.registry).decode()
        same: list[str] = []
        text = section(document("operating.md"), "Metrics")
        found = [row for row in rows(text) if names(row[0])]
        exported = set(re.findall(r"(?m)^# TYPE (\S+)", shown))
        self.assertEqual({name for row in found for name in names(row[0])}, exported)
        for metric, labels, _ in found:
            [name] = names(metric)
            same = same if labels == "the same" else names(labels)
            marks = ",".join(f'{label}="[^"]*"' for label in sorted(same))
            wanted = rf"(?m)^{name}{{{marks}}} " if same else rf"(?m)^{name} "
            self.assertRegex(shown, wanted)


class LinksTests(SynchronousTestCase):
    def test_files(self) -> None:
        """
        Every file that a page names is there.
        """
        document("operating.md")
        for page in sorted((ROOT / "docs").glob("*.md")):
            text = page.read_text("utf-8")
            linked = [page.parent / one for one in re.findall(r"\]\(([^)#:]+)", text)]
            named = [
                ROOT / one for one in re.findall(r"`((?:appgw|tests)/[^`*]+)`", text)
            ]
            for path in linked + named:
                self.assertTrue(path.exists(), f"{page.name}: {path}")
