"""
What exchanges work with, and the small parts that they are put together from.
"""

from __future__ import annotations

import errno
import types
from collections.abc import Callable, Generator
from typing import Any, Final

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from appgw.backend.connections import Connections, Stream
from appgw.backend.pool import Candidate, Pool
from appgw.backend.trust import PinRefused
from appgw.listen.answers import page
from appgw.listen.request import Request
from appgw.record import Outcome
from appgw.refusal import Refusal

_log = Logger()

_OUR_OWN: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL),
)
"""What keeps us from connecting to anybody: no member's fault."""


class Refused(Exception):  # noqa: N818 - says what happened
    """
    The exchange ends with our own answer, or is cut short.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


@attrs.frozen(eq=False, kw_only=True)
class Means:
    """
    What every exchange of a gateway works with.

    Attributes:
        record: takes the outcome of each exchange.
        pin_refused: told of each refusal: pool, setting, candidate, reason.
        seconds, wall: monotonic seconds, and seconds since the epoch.
        date: the Date field's value, from seconds since the epoch.
        new_id: makes a trace id, 32 hexadecimal digits.
        forwarded_for_port: X-Forwarded-For carries ports, as Azure's does.
        revoked: tells of a new connection whether its certificate has left the
            setting since the request began.
    """

    connections: Connections
    record: Callable[[Outcome], None]
    pin_refused: Callable[[str, str, Candidate, str], None]
    seconds: Callable[[], float]
    wall: Callable[[], float]
    date: Callable[[float], bytes]
    new_id: Callable[[], str]
    forwarded_for_port: bool = False
    revoked: Callable[[Pool, Candidate, Stream], bool] = lambda _, __, ___: False


@types.coroutine
def happening() -> Generator[None, Any, Any]:
    """
    Wait for the next event; it is returned, or raised.
    """
    return (yield)


@attrs.frozen(eq=False)
class Valve:
    """
    Lets one side's pressure stop the other side's flow (IPushProducer).
    """

    pauseProducing: Callable[[], None]
    resumeProducing: Callable[[], None]

    def stopProducing(self) -> None:
        """
        Nothing: whoever lost its connection is told so by itself.
        """


def refuse(request: Request, refusal: Refusal, trace_id: str, means: Means) -> None:
    """
    Write our own answer to *request*.
    """
    if refusal is Refusal.MISDIRECTED:
        # The client shall connect anew (RFC 9110, 15.5.20).
        request.keep_alive = False
    head, body = page(refusal, trace_id, means.date(means.wall()))
    request.respond(head, body, True)


def why_not(failure: Failure, candidate: Candidate, means: Means) -> Refusal:
    """
    Say what a connection that did not come about means for the request, and
    note it against the candidate.
    """
    error = failure.value
    if getattr(error, "osError", None) in _OUR_OWN:
        _log.warn("No connection to anybody: {error}", error=error)
        return Refusal.OVERLOADED
    candidate.refused(means.seconds())
    if isinstance(error, PinRefused):
        _log.warn("{refusal}", refusal=str(error))
        return Refusal.PIN_REFUSED
    _log.info(
        "No connection to {label}: {why}",
        label=candidate.label,
        why=failure.getErrorMessage(),
    )
    return Refusal.NO_MEMBER
