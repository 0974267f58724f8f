"""
The ratios that appgw has to keep, and whether it does.
"""

from __future__ import annotations

import attrs

from bench.results import Results


@attrs.frozen
class Limit:
    """
    What appgw may cost at most, as a multiple of what another gateway costs.
    """

    case: str
    other: str
    most: float

    def measured(self, results: Results) -> float | None:
        """
        Give the ratio of a run, None where one of the two was not measured.
        """
        return results.ratio(self.case, "appgw", self.other)

    def holds(self, results: Results) -> bool:
        """
        Tell whether it is kept, or nothing is known.
        """
        ratio = self.measured(results)
        # As precise as it is written, and as it is printed.
        return ratio is None or round(ratio, 2) <= self.most


LIMITS = (
    Limit("small", "nginx", 2.2),
    Limit("small", "envoy", 1.0),
    Limit("small", "caddy", 0.6),
    Limit("down", "nginx", 1.5),
    Limit("up", "nginx", 1.3),
    Limit("new", "caddy", 1.1),
    Limit("idle", "caddy", 1.0),
)
