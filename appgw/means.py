"""
What exchanges work with, and the small parts that they are put together from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import attrs
from twisted.logger import Logger

from appgw.backend.affinity import FieldLines
from appgw.backend.candidate import Candidate
from appgw.backend.connections import Connections
from appgw.backend.pool import Pool
from appgw.backend.stream import Stream
from appgw.config.model import Network
from appgw.counters import Counters
from appgw.listen.answers import page
from appgw.listen.request import Request, trailer_allowed
from appgw.message import Headers, ResponseHead, value_of
from appgw.record import Outcome
from appgw.refusal import Refusal
from appgw.route.decide import Forward
from appgw.route.forwarded import request_headers, response_headers
from appgw.route.patterns import TooManySteps
from appgw.route.rewrite import Rewritten
from appgw.route.table import Way
from appgw.route.templates import Unrewritable

_log = Logger()

_CONNECT_ANEW: Final = frozenset(
    (
        Refusal.MISDIRECTED,
        Refusal.NO_CLIENT_CERTIFICATE,
        Refusal.BAD_CLIENT_CERTIFICATE,
    )
)
"""
What only another handshake can mend, so the connection ends (RFC 9110, 15.5.20).
"""

WEIGHT: Final = {
    Refusal.NO_MEMBER: 0,
    Refusal.PIN_REFUSED: 1,
    Refusal.OVERLOADED: 2,
    Refusal.BACKEND_FULL: 3,
}
"""
Of several reasons for having no connection, the one that says most: a member
that is only full will serve the client soon.
"""

WHY_LOST: Final = {True: Refusal.BACKEND_CLOSED, False: Refusal.BAD_ANSWER}
"""By whether a connection was lost before a byte of its answer had come."""

IDEMPOTENT: Final = frozenset(
    (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"),
)
"""RFC 9110, 9.2.2."""

EXPECT: Final = (b"Expect", b"100-continue")

_NONE: Final[FieldLines] = ()


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
        counters: told of what happens to backends besides.
        seconds, wall: monotonic seconds, and seconds since the epoch.
        date: the Date field's value, from seconds since the epoch.
        new_id: makes a trace id, 32 hexadecimal digits.
        trusted_proxies: whose word on where a request comes from is taken.
        forwarded_for_port: X-Forwarded-For carries ports, as Azure's does.
        pages: for our own refusals, by status, in the place of our own page.
        revoked: tells of a new connection whether its certificate has left the
            setting since the request began.
    """

    connections: Connections
    record: Callable[[Outcome], None]
    counters: Counters
    seconds: Callable[[], float]
    wall: Callable[[], float]
    date: Callable[[float], bytes]
    new_id: Callable[[], str]
    trusted_proxies: tuple[Network, ...] = ()
    forwarded_for_port: bool = False
    pages: Mapping[int, bytes] = attrs.field(factory=dict, repr=False)
    revoked: Callable[[Pool, Candidate, Stream], bool] = lambda _, __, ___: False


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


def begun(request: Request, means: Means, route: Way) -> Outcome:
    """
    Make the outcome of an exchange that begins.
    """
    return Outcome(
        request.arrival,
        request.head,
        means.new_id(),
        request.began,
        means.wall(),
        route.listener.name,
        route,
    )


def refuse(request: Request, refusal: Refusal, trace_id: str, means: Means) -> None:
    """
    Write our own answer to *request*.
    """
    if refusal in _CONNECT_ANEW:
        request.keep_alive = False
    custom = means.pages.get(refusal.status)
    head, body = page(refusal, trace_id, means.date(means.wall()), custom)
    request.respond(head, body, True)


class _Asking(Protocol):
    """
    What is known of an exchange when its request goes out.
    """

    request: Request
    decision: Forward
    outcome: Outcome


def fields_of_request(asking: _Asking, for_port: bool) -> Headers:
    """
    Put together what the backend is asked for, and note it in the outcome.
    """
    outcome, head = asking.outcome, asking.request.head
    host, candidate = head.authority, outcome.candidate
    if candidate is not None and candidate.host is not None:
        host = candidate.host
    target, rewritten = asking.decision.path, asking.decision.rewritten
    query = head.query if rewritten is None else rewritten.query
    if query is not None:
        target = b"%b?%b" % (target, query)
    trace_id = outcome.trace_id.encode()
    fields = request_headers(head, outcome.arrival, host, trace_id, for_port)
    if rewritten is not None:
        fields = rewritten.request_fields(fields)
        host = value_of(fields, b"host")
    outcome.upstream_target, outcome.upstream_host = target, host
    return fields


def fields_of_answer(
    asking: _Asking, head: ResponseHead, date: bytes, affinity: bytes | None
) -> Headers:
    """
    Put together what the client is answered.

    Args:
        head: of the backend's answer.
        date: added where the backend has sent none.
        affinity: what the request had of our cookie.

    Raises:
        Refused: the rules of its route make something of it that cannot be sent.
    """
    fields = response_headers(head, date)
    candidate, ours = asking.outcome.candidate, _NONE
    if candidate is not None and candidate.cookie:
        secure = asking.outcome.arrival.scheme == "https"
        ours = candidate.set_cookies(affinity, secure=secure)
        fields.extend(ours)
    rewritten = asking.decision.rewritten
    if rewritten is not None:
        fields = _rewritten(rewritten, head, fields, ours, final=True)
    return fields


def fields_of_interim(asking: _Asking, head: ResponseHead) -> Headers:
    """
    Choose what of an interim response is for the client.

    Raises:
        Refused: the rules of its route make something of it that cannot be sent.
    """
    fields, rewritten = response_headers(head), asking.decision.rewritten
    if rewritten is not None:
        fields = _rewritten(rewritten, head, fields, _NONE, final=False)
    return fields


def _rewritten(
    rewritten: Rewritten,
    head: ResponseHead,
    fields: Headers,
    ours: FieldLines,
    *,
    final: bool,
) -> Headers:
    try:
        return rewritten.answer_fields(head, fields, ours, final=final)
    except (Unrewritable, TooManySteps) as error:
        _log.warn("An answer could not be rewritten: {why}", why=error)
        raise Refused(Refusal.BAD_ANSWER) from error


def allowed(trailers: Headers | None) -> Headers | None:
    """
    Choose the trailers that may be passed on; None where there are none.
    """
    if not trailers:
        return None
    return Headers(field for field in trailers if trailer_allowed(field[0])) or None
