"""
Stock resources as leaves of the tree: a status page, an exposition of metrics,
somebody's own, answered here instead of by a backend.

To such a resource a request is Twisted's own ``server.Request``. What it is told
of the client is what a backend would be told: the forwarding fields of strangers
are gone, ours are there. It has the whole body, up to a limit, before it renders.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http_headers import Headers as StockHeaders
from twisted.web.resource import IResource
from zope.interface import implementer

from appgw.listen.request import Request
from appgw.means import Means, refuse
from appgw.message import Headers, ResponseHead, value_of
from appgw.mounts import Mount
from appgw.record import Outcome
from appgw.refusal import Refusal
from appgw.route.forwarded import request_headers, response_headers
from appgw.route.paths import read_path
from appgw.route.table import Site

MAX_BODY: Final = 1 << 20
"""Bytes of a request's body; it is kept in memory."""

_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_CONTINUE: Final = ResponseHead(100, b"Continue", [])


@implementer(IResource)
@attrs.frozen(eq=False)
class MountedResource:
    """
    The leaf that a mounted resource is in the tree.
    """

    isLeaf = True

    site: Site
    mount: Mount
    means: Means

    def matches(self, path: bytes) -> bool:
        """
        Tell whether *path*, read and lower-cased, is the resource's.
        """
        return self.mount.pattern.matches(path)

    def render(self, request: Request) -> int:
        """
        Let the resource answer once the request is whole.
        """
        # Not even asked to: it has no connection to go on with.
        request.head.upgrade = b""
        _Visit(request, self).begin()
        return server.NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """
        Never called: what is below walks on by itself.
        """
        return self

    def putChild(self, path: bytes, child: Any) -> None:
        """
        Refuse: children belong to the mounted resource.
        """
        raise NotImplementedError("put children into the mounted resource")


def mounted_at(
    site: Site, mounts: Iterable[Mount], means: Means
) -> list[MountedResource]:
    """
    Return the leaves of what is mounted at *site*.
    """
    name = site.listener.name
    return [MountedResource(site, one, means) for one in mounts if one.listener == name]


class _Asked(server.Request):
    """
    Twisted's request, which leaves the framing of its answer to us.
    """

    def write(self, data: bytes) -> None:
        """
        Write; to HTTP/1.0 Twisted makes no chunks.
        """
        version, self.clientproto = self.clientproto, b"HTTP/1.0"
        super().write(data)
        self.clientproto = version


class _Visit:
    """
    One request at a mounted resource; to Twisted's request it is the channel.
    """

    factory = None

    def __init__(self, request: Request, leaf: MountedResource) -> None:
        self.request = request
        self.site = leaf.mount.place
        self.transport = self
        self._means = means = leaf.means
        self._body = io.BytesIO()
        self._asked: _Asked | None = None
        self._left: int | None = None
        self._outcome = Outcome(
            request.arrival,
            request.head,
            means.new_id(),
            request.began,
            means.wall(),
            leaf.site.listener.name,
        )
        self._ambiguous = leaf.site.allow_ambiguous

    # From the client.

    def begin(self) -> None:
        """
        Wait for the body, or begin at once where there is none.
        """
        request = self.request
        request.read(self)
        if (request.head.content_length or 0) > MAX_BODY:
            self.client_lost(Refusal.BODY_TOO_LARGE)
        elif request.complete:
            self.body_received()
        elif request.expects_continue:
            request.inform(_CONTINUE)

    def body_received(self) -> None:
        """
        Collect the body; render at its end.
        """
        self._body.write(self.request.take())
        if self._body.tell() > MAX_BODY:
            self.client_lost(Refusal.BODY_TOO_LARGE)
        elif self.request.complete and self._asked is None:
            self._ask()

    def client_lost(self, refusal: Refusal) -> None:
        """
        Tell the resource that nobody waits, or refuse the body.
        """
        outcome, asked = self._outcome, self._asked
        outcome.refusal = refusal
        outcome.status = outcome.status or refusal.status
        if asked is not None:
            asked.connectionLost(Failure(ConnectionLost(refusal.phrase)))
        elif refusal is not Refusal.CLIENT_CLOSED:
            refuse(self.request, refusal, outcome.trace_id, self._means)
        self._record()

    def sweep(self, now: float) -> None:
        """
        Nothing: how long a resource may take is its own affair.
        """

    def _ask(self) -> None:
        head, request = self.request.head, self.request
        asked = self._asked = _Asked(self, parsePOSTFormSubmission=True)
        for name, value in request_headers(
            head,
            request.arrival,
            head.authority,
            self._outcome.trace_id.encode(),
            self._means.forwarded_for_port,
        ):
            asked.requestHeaders.addRawHeader(name, value)
        size = self._body.tell()
        if size:
            asked.requestHeaders.setRawHeaders(b"Content-Length", [b"%d" % size])
        asked.content = self._body
        asked.parseCookies()
        target = read_path(head.path, self._ambiguous)
        if head.query is not None:
            target += b"?" + head.query
        asked.requestReceived(head.method, target, b"HTTP/%d.%d" % head.version)

    def _record(self) -> None:
        outcome, request, means = self._outcome, self.request, self._means
        outcome.received, outcome.sent = request.received, request.sent
        outcome.ended = means.seconds()
        means.record(outcome)

    # What Twisted's request asks of its channel.

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        Return the client's address.
        """
        arrival = self.request.arrival
        kind = IPv6Address if ":" in arrival.address else IPv4Address
        return kind("TCP", arrival.address, arrival.port)

    def getHost(self) -> Any:
        """
        Return ours.
        """
        return self.request.channel.transport.getHost()

    def isSecure(self) -> bool:
        """
        Tell whether the client came over TLS.
        """
        return self.request.arrival.scheme == "https"

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: StockHeaders
    ) -> None:
        """
        Write the head of the answer.
        """
        outcome, means = self._outcome, self._means
        outcome.status = status = int(code)
        outcome.answered = means.seconds()
        lengths = headers.getRawHeaders(b"content-length", [])
        length = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None
        # Twisted's own name and version concern nobody.
        headers.removeHeader(b"server")
        fields = Headers(
            (name, value)
            for name, values in headers.getAllRawHeaders()
            for value in values
        )
        reason = _CONTROLS.sub(b" ", reason)
        head = ResponseHead(status, reason, fields, length)
        head.headers = response_headers(head, means.date(means.wall()))
        outcome.content_type = value_of(fields, b"content-type")
        bodiless = self.request.head.method == b"HEAD" or status in (204, 304)
        self._left = 0 if bodiless else length
        self.request.respond(head, b"", False)

    def write(self, data: bytes) -> None:
        """
        Write of the body, never more than was announced.
        """
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            self.request.write(data)

    def writeSequence(self, pieces: Sequence[bytes]) -> None:
        """
        Write several pieces.
        """
        self.write(b"".join(pieces))

    def requestDone(self, asked: Any) -> None:
        """
        The answer is whole, or shorter than announced.
        """
        if self._left:
            self.request.abort()
        else:
            self.request.finish()
        self._record()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let the client's pace be the producer's.
        """
        self.request.registerProducer(producer, bool(streaming))

    def unregisterProducer(self) -> None:
        """
        Nothing more comes from the producer.
        """
        self.request.unregisterProducer()

    def loseConnection(self) -> None:
        """
        Cut the answer short.
        """
        asked, self._asked = self._asked, None
        if asked is not None and not asked.finished:
            self.request.abort()
            asked.connectionLost(Failure(ConnectionLost()))
            self._record()

    abortConnection = loseConnection

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._asked = None
        self.client_lost(Refusal.MALFORMED)
