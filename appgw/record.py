"""
What happened to one request: the value that the exchange fills in as it goes.

It is recorded once, when the exchange has ended: ``access_log`` makes a line of
it, ``counters`` adds it up.
"""

from __future__ import annotations

from appgw.backend.candidate import Candidate
from appgw.backend.verdict import Verdict
from appgw.message import Arrival, RequestHead
from appgw.refusal import Refusal
from appgw.route.table import Way


class Outcome:
    """
    One exchange, from its first byte to its last.

    Moments are monotonic seconds, as of ``reactor.seconds()``; spans are seconds.
    What has not happened keeps its default.

    Attributes:
        arrival: the connection that the request came over.
        head: None where no head could be read.
        trace_id: what the client and the backend were told.
        began: the moment of the request's first byte.
        began_wall: the same moment in seconds since 1970, UTC.
        listener: name of the site's listener; "" where none was found.
        route: None where no rule was reached.
        candidate: the backend tried last.
        verdict: on that backend's certificate; None over plain http.
        refusal: why we answered instead, or cut the answer short.
        status: what the client was told, 0 if nothing.
        received: bytes of the request's body.
        sent: bytes of the response, head included.
        answered: the moment of the response's first byte to the client.
        ended: the moment of its last byte.
        server_status: the backend's own, 0 without an answer.
        connect_time: until the backend's connection stood, 0 if it was kept.
        first_byte_time: from sending the request to the backend's first byte.
        server_time: from sending the request to the backend's last byte.
        source_port: ours, towards the backend.
        upstream_target: what the backend was asked for; with or without query.
        upstream_host: the Host that the backend was told.
        content_type: of the response.
    """

    candidate: Candidate | None = None
    verdict: Verdict | None = None
    refusal: Refusal | None = None
    status: int = 0
    received: int = 0
    sent: int = 0
    answered: float = 0.0
    ended: float = 0.0
    server_status: int = 0
    connect_time: float = 0.0
    first_byte_time: float = 0.0
    server_time: float = 0.0
    source_port: int = 0
    upstream_target: bytes = b""
    upstream_host: bytes = b""
    content_type: bytes = b""

    def __init__(
        self,
        arrival: Arrival,
        head: RequestHead | None,
        trace_id: str,
        began: float,
        began_wall: float,
        listener: str = "",
        route: Way | None = None,
    ) -> None:
        self.arrival = arrival
        self.head = head
        self.trace_id = trace_id
        self.began = began
        self.began_wall = began_wall
        self.listener = listener
        self.route = route
