"""
How backends are, as probes see it: values and the moments at which they change.

What probes find out is **health**, of an address in a pool under a setting. It
decides about membership: whoever is unhealthy gets no request.

================  ============  =====================  ======================
state             a success     a failure              the last failure of
                                                       ``unhealthy_threshold``
                                                       in a row
================  ============  =====================  ======================
unknown           healthy       stays unknown          unhealthy
healthy           stays healthy stays healthy          unhealthy
unhealthy         healthy       stays unhealthy        stays unhealthy
================  ============  =====================  ======================

Where fewer than the probe's ``min_servers`` would be left, the unhealthy that
were well last stay in.

What requests find out is another thing: ``rest.py``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Literal, TypeVar

import attrs

T = TypeVar("T", bound=Hashable)
State = Literal["unknown", "healthy", "unhealthy"]


@attrs.frozen
class Health:
    """
    What probes have found out about a backend.

    Attributes:
        state: unknown ones get requests.
        failures: how many in a row.
        told: what came of the last probe, in a sentence; empty before the first.
        since: when the state began, in the seconds of the caller's clock.
    """

    state: State = "unknown"
    failures: int = 0
    told: str = ""
    since: float = 0.0


UNKNOWN = Health()


def after_success(health: Health, told: str, now: float) -> Health:
    """
    Say what a probe that succeeded at *now* makes of *health*.
    """
    since = health.since if health.state == "healthy" else now
    return Health("healthy", 0, told, since)


def after_failure(health: Health, told: str, threshold: int, now: float) -> Health:
    """
    Say what a probe that failed at *now* makes of *health*.

    Args:
        told: why.
        threshold: how many failures in a row make it unhealthy.
    """
    failures = health.failures + 1
    if health.state == "unhealthy" or failures < threshold:
        return Health(health.state, failures, told, health.since)
    return Health("unhealthy", failures, told, now)


def left_out(found: Iterable[tuple[T, Health]], min_servers: int) -> frozenset[T]:
    """
    Say who gets no requests.

    Args:
        found: everybody, in a fixed order.
        min_servers: how many get some in any case.
    """
    everybody = list(found)
    unwell = [pair for pair in everybody if pair[1].state == "unhealthy"]
    unwell.sort(key=lambda pair: pair[1].since, reverse=True)
    kept = max(0, min_servers - (len(everybody) - len(unwell)))
    return frozenset(one for one, _ in unwell[kept:])
