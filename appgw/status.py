"""
The status port: metrics, and whether the gateway lives and is ready.

For programs that watch over it, in plain http, with the limits of every other
port and tighter ones: who connects gets few seconds, and few get in at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from appgw.config.model import Status
from appgw.listen.http1 import Channel
from appgw.listen.ports import Key, Ports, Terms
from appgw.listen.request import Request
from appgw.message import ResponseHead, value_of

MAX_CLIENTS: Final = 64
"""Connections at one time."""

LONGEST: Final = 10.0
"""Seconds that a connection lasts, whatever it does."""

_PLAIN: Final = "text/plain; charset=utf-8"


@implementer(IResource)
@attrs.frozen(eq=False)
class StatusResource:
    """
    ``/metrics``, ``/live`` and ``/ready``.

    Attributes:
        registry: what is shown.
        ready: tells whether requests should be sent here.
        date: the Date field's value now.
    """

    isLeaf = True

    registry: CollectorRegistry
    ready: Callable[[], bool]
    date: Callable[[], bytes]

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """
        Nothing is below.
        """
        return self

    def putChild(self, path: bytes, child: Any) -> None:
        """
        Refuse: what there is, is fixed.
        """
        raise NotImplementedError("nothing can be put below the status")

    def render(self, request: Request) -> int:
        """
        Answer at once.
        """
        status, kind, body = self._answer(request)
        fields = [
            (b"Date", self.date()),
            (b"Content-Type", kind.encode("ascii")),
            (b"Cache-Control", b"no-store"),
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            fields.append((b"Allow", b"GET, HEAD"))
        phrase = status.phrase.encode("ascii")
        head = ResponseHead(status.value, phrase, fields, len(body))
        request.respond(head, body, True)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> tuple[HTTPStatus, str, bytes]:
        head, status = request.head, HTTPStatus.OK
        if request.refusal is not None:
            status = HTTPStatus(request.refusal.status)
        elif head.method not in (b"GET", b"HEAD"):
            status = HTTPStatus.METHOD_NOT_ALLOWED
        elif head.path == b"/metrics":
            return (status, *self._metrics(value_of(head.headers, b"accept")))
        elif head.path == b"/ready":
            if not self.ready():
                status = HTTPStatus.SERVICE_UNAVAILABLE
        elif head.path != b"/live":
            status = HTTPStatus.NOT_FOUND
        return status, _PLAIN, f"{status.phrase}\n".encode("ascii")

    def _metrics(self, accept: bytes) -> tuple[str, bytes]:
        try:
            encode, kind = choose_encoder(accept.decode("ascii"))
            return kind, encode(self.registry)
        except Exception:
            # An Accept that prometheus_client stumbles over is as good as none.
            encode, kind = choose_encoder("")
            return kind, encode(self.registry)


class StatusPort:
    """
    Serves the status where the configuration wants it.

    It has clients of its own, and is there before the gateway accepts any and
    until the last of its requests has ended.

    Args:
        root: answers.
        seconds: a monotonic clock.
    """

    def __init__(
        self, reactor: Any, seconds: Callable[[], float], root: IResource
    ) -> None:
        self._root = root
        self._ports = Ports(reactor, seconds, root, MAX_CLIENTS)
        self._since: dict[Channel, float] = {}

    @property
    def address(self) -> tuple[str, int] | None:
        """
        Where it listens, None for nowhere.
        """
        return next(iter(self._ports.addresses().values()), None)

    def reserve(self, status: Status | None) -> dict[Key, socket.socket]:
        """
        Bind what *status* needs and is not bound yet.

        Raises:
            OSError: it cannot be had.
        """
        return self._ports.reserve(self._terms(status))

    def enforce(
        self, status: Status | None, reserved: Mapping[Key, socket.socket]
    ) -> None:
        """
        Serve there, and nowhere else; *reserved* is what ``reserve`` returned.
        """
        self._ports.enforce(self._terms(status), reserved)

    def accept(self) -> None:
        """
        Answer from now on.
        """
        self._ports.accept()

    def sweep(self, now: float) -> None:
        """
        End what has lasted too long.
        """
        self._ports.sweep(now)
        here = {one: self._since.get(one, now) for one in self._ports.channels()}
        self._since = here
        for channel, since in here.items():
            if now - since > LONGEST:
                channel.transport.abortConnection()

    def close(self) -> None:
        """
        Listen no more, and cut everybody.
        """
        self._ports.drain()
        self._ports.abort()

    def clients(self) -> int:
        """
        Return how many are connected.
        """
        return self._ports.clients()

    def _terms(self, status: Status | None) -> dict[Key, Terms]:
        if status is None:
            return {}
        terms = Terms(scheme="http", root=self._root, max_request_body=0)
        return {(status.address, status.port): terms}
