"""
Whether what a handshake has admitted still holds: at a later time, and under
what a newer configuration demands. Pure.

Pins are what may be taken away from under a connection. All else that a target
demands was true at the handshake, and stays so for what is under way.
"""

from __future__ import annotations

import datetime

from appgw.backend.presented import Presented
from appgw.backend.target import Target
from appgw.backend.verdict import Reason, Verdict, judge, matches

NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)

_DAY = datetime.timedelta(days=1)
_MOMENT = datetime.timedelta.resolution
_OF_PINS: frozenset[Reason] = frozenset(
    ("revoked", "not-pinned", "pin-expired", "pin-not-yet-valid", "error")
)


def withdrawn(
    target: Target, verdict: Verdict | None, now: datetime.datetime
) -> Reason | None:
    """
    Tell why pins no longer admit a connection; None: it may live on.

    Args:
        target: what is demanded now.
        verdict: why it was admitted; None over plain TCP.
    """
    if verdict is None or verdict.presented is None:
        return None if target.pins is None else "no-certificate"
    if target.pins is None:
        gone = any(matches(pin, verdict.presented) for pin in target.revoked)
        return "revoked" if gone else None
    reason = _judged(target, verdict.presented, now)
    return reason if reason in _OF_PINS else None


def reusable(target: Target, presented: Presented, now: datetime.datetime) -> bool:
    """
    Tell whether a new request may go over a connection that stands.

    No, once a handshake would be refused for its date: else it would depend on
    chance, a connection that is kept or none, whether an answer is to be had.
    """
    return _judged(target, presented, now) == "admitted"


def changes_at(
    target: Target, presented: Presented, now: datetime.datetime
) -> datetime.datetime:
    """
    Return the next moment at which a date may end what admits *presented*.
    """
    ends = [presented.not_after + _MOMENT]
    for pin in target.pins or ():
        last = pin.not_after
        if last is not None and last < NEVER.date() and matches(pin, presented):
            ends.append(
                datetime.datetime.combine(last + _DAY, datetime.time(), datetime.UTC)
            )
    return min((end for end in ends if end > now), default=NEVER)


def _judged(target: Target, presented: Presented, now: datetime.datetime) -> Reason:
    """
    Judge again; chain and name were right at the handshake.
    """
    return judge(target, presented, now, chain_verified=True, name_error=None).reason
