"""
Who is asked in which order, laid out until something changes.

This is where the time goes that no request shall cost.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from appgw.backend.candidate import Candidate
from appgw.backend.choose import less_busy, turns
from appgw.backend.place import STEPS, next_step, step_of
from appgw.backend.rendezvous import Rendezvous
from appgw.backend.rest import Rests
from appgw.config.model import BackendSettings, Member

Clients = Rendezvous[Candidate]

_PARTS = 20
"""Of a weight of one, where turns are laid out for shares that grow."""


@attrs.frozen(eq=False)
class Arrangement:
    """
    An order that holds until somebody comes, goes, rests or comes back.

    Attributes:
        awake: who take turns.
        resting: the others, by when they are due.
        due: when the first of these is.
        turns: whose turn it is, without end; nobody's where nobody is awake.
        clients: whom an address belongs to among those awake; None unless
            that decides.
        homes: the same among all.
        until: when time alone will have changed it.
    """

    awake: tuple[Candidate, ...]
    resting: tuple[Candidate, ...]
    due: float
    turns: Iterator[Candidate]
    clients: Clients | None
    homes: Clients | None
    until: float


def arrange(
    able: Sequence[Candidate],
    rests: Rests,
    settings: BackendSettings,
    now: float,
    skip: int,
    chance: Callable[[], float] = random.random,
) -> Arrangement:
    """
    Lay out the turns of those that are well; where nobody is, of all.

    Args:
        able: who may be asked, in the members' order.
        rests: who is not well.
        settings: how turns are laid out.
        now: in seconds of the pool's clock.
        skip: how many turns are left out, so that many short-lived
            arrangements do not all favour those that begin.
        chance: a number from 0 to 1, 1 excluded.
    """
    algorithm, slow_start = settings.load_distribution_algorithm, settings.slow_start
    until = _share(able, now, slow_start)
    resting = [c for c in able if rests.out(c.target)]
    if len(resting) == len(able):
        resting = []
    awake = [c for c in able if not rests.out(c.target)] if resting else list(able)
    resting.sort(key=lambda candidate: rests[candidate.target].until)
    due = rests[resting[0].target].until if resting else math.inf
    wheel: Iterator[Candidate] = iter(())
    clients = homes = None
    if awake:
        wheel = turns(_weights(awake, grow=until < math.inf), skip)
        if algorithm == "LeastConnections":
            wheel = less_busy(wheel, awake, lambda candidate: candidate.load, chance)
        elif algorithm == "IpHash":
            homes = clients = _clients(able)
            if resting:
                clients = _clients(awake)
    return Arrangement(tuple(awake), tuple(resting), due, wheel, clients, homes, until)


def _groups(among: Iterable[Candidate]) -> dict[Member, list[Candidate]]:
    groups: dict[Member, list[Candidate]] = {}
    for candidate in among:
        groups.setdefault(candidate.member, []).append(candidate)
    return groups


def _share(able: Iterable[Candidate], now: float, slow_start: float) -> float:
    """
    Give each candidate its share: the addresses of a member share its weight, and
    who is fresh begins with a small part.

    Returns:
        When the shares will be others.
    """
    until = math.inf
    for member, group in _groups(able).items():
        for candidate in group:
            fresh = candidate.place.fresh
            candidate.step = step_of(fresh, now, slow_start)
            candidate.share = member.weight * candidate.step / STEPS / len(group)
            until = min(until, next_step(fresh, now, slow_start))
    return until


def _weights(
    awake: Iterable[Candidate], *, grow: bool
) -> list[tuple[int, list[Candidate]]]:
    """
    Return weights and whose they are; the addresses of a member share one.

    Args:
        grow: somebody's share is not whole yet.
    """
    groups = _groups(awake).items()
    if not grow:
        return [(member.weight, group) for member, group in groups]
    return [
        (max(1, round(_PARTS * member.weight * c.step / STEPS / len(group))), [c])
        for member, group in groups
        for c in group
    ]


def _clients(among: Sequence[Candidate]) -> Clients:
    return Rendezvous([(c.label, c.share, c) for c in among])
