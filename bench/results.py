"""
The numbers of a run: samples by case and gateway, their medians and ratios.
"""

from __future__ import annotations

import statistics
from collections import defaultdict

import attrs


@attrs.frozen
class Sample:
    """
    One round of one case.

    Attributes:
        cost: microseconds of CPU per request, or bytes per idle connection.
        system: how many of the microseconds the kernel took.
        busy: which part of its core the gateway used.
    """

    round: int
    cost: float
    system: float = 0.0
    busy: float = 0.0


@attrs.define
class Results:
    """
    All samples of a run, and what went wrong in it.
    """

    samples: dict[tuple[str, str], list[Sample]] = attrs.field(
        factory=lambda: defaultdict(list)
    )
    failures: list[str] = attrs.field(factory=list)

    def of(self, case: str, name: str) -> list[Sample]:
        """
        Give the samples of a gateway in a case, none if it was not measured.
        """
        return self.samples.get((case, name), [])

    def cost(self, case: str, name: str) -> float | None:
        """
        Give the median cost of a gateway in a case.
        """
        costs = [sample.cost for sample in self.of(case, name)]
        return statistics.median(costs) if costs else None

    def ratio(self, case: str, name: str, other: str) -> float | None:
        """
        Give the median, over the rounds, of one gateway's cost by another's.

        Both costs of a round were taken within seconds of each other.
        """
        others = {sample.round: sample.cost for sample in self.of(case, other)}
        ratios = [
            sample.cost / others[sample.round]
            for sample in self.of(case, name)
            if others.get(sample.round)
        ]
        return statistics.median(ratios) if ratios else None
