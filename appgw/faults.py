"""
What the fate of a request says about its backend, noted where it belongs.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from appgw.backend.budget import PERIOD
from appgw.backend.candidate import Candidate
from appgw.backend.diagnosis import OUR_OWN
from appgw.backend.kept import WaitedTooLong
from appgw.backend.pool import Pool
from appgw.backend.trust import PinRefused
from appgw.means import Means
from appgw.record import Outcome
from appgw.refusal import Refusal

_log = Logger()

FAULTS: Final = {
    Refusal.BACKEND_TIMEOUT: "took too long",
    Refusal.BACKEND_CLOSED: "was broken off",
    Refusal.BAD_ANSWER: "got an answer that is no HTTP",
}
"""What counts against a backend that took a connection."""


def why_not(failure: Failure, outcome: Outcome, pool: Pool, means: Means) -> Refusal:
    """
    Say what a connection that did not come about means for the request, and
    note it against the candidate.
    """
    error, candidate = failure.value, outcome.candidate
    if isinstance(error, WaitedTooLong):
        return Refusal.WAITED_TOO_LONG
    if getattr(error, "osError", None) in OUR_OWN or candidate is None:
        _log.warn("No connection to anybody: {error}", error=error)
        return Refusal.OVERLOADED
    if pool.refused(candidate):
        means.counters.ejected(*pool.pair, candidate)
    if isinstance(error, PinRefused):
        outcome.verdict = error.verdict
        means.counters.pin_refused(*pool.pair, candidate, error.verdict.reason)
        _log.warn("{refusal}", refusal=str(error))
        return Refusal.PIN_REFUSED
    _log.info(
        "No connection to {label}: {why}",
        label=candidate.label,
        why=failure.getErrorMessage(),
    )
    return Refusal.NO_MEMBER


def tried_again(pool: Pool, means: Means) -> bool:
    """
    Tell whether the pool's budget allows for another attempt, and note it.
    """
    counters = means.counters
    made = pool.budget.spend(counters.requests(*pool.pair), means.seconds())
    counters.retried(*pool.pair, made)
    if pool.budget.denied == 1 and not made:
        _log.warn(
            "Pool {pool}: no more second attempts for up to {seconds:g} s, as many"
            " requests have needed one",
            pool=pool.pair[0],
            seconds=PERIOD,
        )
    return made


def note_answer(
    pool: Pool, outcome: Outcome, status: int, sent: float, means: Means
) -> None:
    """
    Note what the beginning of an answer says about its backend.

    Args:
        status: of the answer.
        sent: when the request was.
    """
    candidate = outcome.candidate
    if candidate is not None and pool.answered(candidate, status, sent):
        _rests(pool, candidate, f"answered {status}", means)


def note_end(pool: Pool, outcome: Outcome, sent: float | None, means: Means) -> None:
    """
    Note what the end of an exchange says about its backend.

    Args:
        sent: when the request was; None: its client kept the backend waiting,
            with the rest of the request or by not taking the answer.
    """
    candidate, refusal = outcome.candidate, outcome.refusal
    if candidate is None or outcome.server_status in pool.failing:
        return
    if refusal is None:
        pool.ended_well(candidate)
    elif sent is not None and refusal in FAULTS and pool.failed(candidate, sent):
        _rests(pool, candidate, FAULTS[refusal], means)


def _rests(pool: Pool, candidate: Candidate, why: str, means: Means) -> None:
    rest = pool.rests[candidate.target]
    means.counters.ejected(*pool.pair, candidate)
    _log.warn(
        "{label} in pool {pool} rests for {seconds:g} s after {failures} failed"
        " requests in a row: the last one {why}",
        label=candidate.label,
        pool=pool.pair[0],
        seconds=rest.until - rest.since,
        failures=rest.failures,
        why=why,
    )
