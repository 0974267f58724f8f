"""
The numbers as tables of Markdown: for the terminal and for docs/performance.md.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.limits import LIMITS
from bench.results import Results

TITLES = {
    "small": "128 bytes, kept connection",
    "down": "1 MiB down",
    "up": "1 MiB up",
    "new": "new connection",
    "resumed": "new connection, resumed",
    "idle": "idle connection",
}
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def table(rows: Sequence[Sequence[str]]) -> str:
    """
    Lay out rows, the first of which is the head; numbers stand at the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    body = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (body[0], rule, *body[1:]))


def amount(case: str, value: float) -> str:
    """
    Write a cost with its unit.
    """
    if case == "idle":
        return f"{value / 1000:.1f} kB"
    return f"{value:.1f} µs" if value < 100 else f"{value:.0f} µs"


def cell(results: Results, case: str, name: str) -> str:
    """
    Write the median of a case, and the range of its rounds in brackets.
    """
    median = results.cost(case, name)
    if median is None:
        return "-"
    costs = [sample.cost for sample in results.of(case, name)]
    low, high = (amount(case, cost).split()[0] for cost in (min(costs), max(costs)))
    return f"{amount(case, median)} ({low}-{high})"


def costs(results: Results, titles: Mapping[str, str], cases: Sequence[str]) -> str:
    """
    Make the table of what each gateway costs.

    Args:
        results: of a run.
        cases: the columns.
        titles: how each gateway is called in the table.
    """
    head = ["gateway", *(TITLES[case] for case in cases)]
    rows = [
        [title, *(cell(results, case, name) for case in cases)]
        for name, title in titles.items()
    ]
    return table([head, *rows])


def limits(results: Results) -> str:
    """
    Make the table of appgw's ratios beside their limits, where measured.
    """
    rows = [["appgw's cost by another's", "by", "ratio", "at most", "holds"]]
    for limit in LIMITS:
        ratio = limit.measured(results)
        if ratio is not None:
            verdict = "yes" if limit.holds(results) else "NO"
            most = f"{limit.most:.2f}"
            title = TITLES[limit.case]
            rows.append([title, limit.other, f"{ratio:.2f}", most, verdict])
    return table(rows) if len(rows) > 1 else ""


_BUILD = """
import platform
from cryptography.hazmat.backends.openssl import backend
print(f"Python {platform.python_version()}, {backend.openssl_version_text()}")
"""


def machine(python: str) -> str:
    """
    Describe the machine, and what its gateways in Python run on, in one sentence.

    Args:
        python: the interpreter's path.
    """
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    asked = [python, "-c", _BUILD]
    build = subprocess.run(asked, check=True, capture_output=True, text=True)
    return f"{model}, Linux {platform.release()}, {build.stdout.strip()}"


def replace_block(page: str, block: str) -> str:
    """
    Put a block of text between the page's two marks.

    Raises:
        ValueError: the page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{block.strip()}\n\n{END}{after}"
