"""
Whose turn it is: weighted round robin, and the less busy of two.

No I/O, no clock; chance is handed in. The order of a cycle is worked out while the
first one is walked; from then on a turn is two steps of C code, whatever the
weights.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def schedule(weights: Sequence[int]) -> Iterator[int]:
    """
    Lay out one cycle in which every index comes as often as its weight says.

    Weights are reduced by their common divisor first, so the cycle has
    ``sum(weights) / gcd(weights)`` places. Those of equal weight take turns and
    are spread evenly as a group; so no member gets its share in a burst.

    Args:
        weights: 1 or more each.
    """
    divisor = math.gcd(*weights)
    equals: dict[int, list[int]] = {}
    for index, weight in enumerate(weights):
        equals.setdefault(weight // divisor, []).append(index)
    places = heapq.merge(*(_spread(w, indexes) for w, indexes in equals.items()))
    return (index for _, index in places)


def _spread(weight: int, indexes: Sequence[int]) -> Iterator[tuple[float, int]]:
    """
    Yield the places of one group between 0 and 1, in order, and whose they are.
    """
    total = weight * len(indexes)
    # int / int is rounded correctly: equal fractions are equal floats, and the
    # order is the same on every machine.
    for nth, index in zip(range(total), itertools.cycle(indexes), strict=False):
        yield (2 * nth + 1) / (2 * total), index


def turns(groups: Sequence[tuple[int, Sequence[T]]], skip: int = 0) -> Iterator[T]:
    """
    Go round forever: groups by weight, and fairly within a group.

    Args:
        groups: weight and items of each; neither the groups nor one of them is
            empty. The items of one share its weight.
        skip: how many turns are left out, so that many short-lived rotations do
            not all favour those that begin.
    """
    rounds = [itertools.cycle(items) for _, items in groups]
    order = schedule([weight for weight, _ in groups])
    rotation = itertools.cycle(map(rounds.__getitem__, order))
    return itertools.islice(map(next, rotation), skip, None)


def less_busy(
    turns: Iterator[T],
    among: Sequence[T],
    load: Callable[[T], float],
    chance: Callable[[], float],
) -> Iterator[T]:
    """
    Go round forever, but let whose turn it is pass it on to a less busy one.

    Each time it is compared with one other that chance names: the power of two
    choices. The best of all would be found by all gateways at once, and run over.
    Among the equally busy, turns are what they were, weights and all.

    Args:
        turns: never ends.
        among: all who can be named.
        load: how busy one is.
        chance: a number from 0 to 1, 1 excluded.
    """
    size = len(among)
    for whose in turns:
        named = int(chance() * size)
        other = among[named]
        if other is whose:
            other = among[named - 1]
        yield other if load(other) < load(whose) else whose
