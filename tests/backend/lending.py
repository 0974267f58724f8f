"""
Connections to a backend on loopback, and somebody who asks for something.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from appgw.backend.connections import Connections
from appgw.backend.kept import Kept
from appgw.backend.stream import Stream, StreamLost
from appgw.backend.target import Target
from appgw.message import ResponseHead
from appgw.testing import make_certificate, server_context
from tests.backend.loopback import Backend, pin
from tests.backend.pools import Seconds

LEAF = make_certificate(["a.example"])
STRANGER = make_certificate(["a.example"])
HOST = [(b"Host", b"a.example")]


class User:
    """
    Asks for something, and keeps what it is told.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.ended: Deferred[None] = Deferred()

    def interim(self, head: ResponseHead) -> None:
        """
        Keep the status.
        """
        self.told.append(head.status)

    def answer(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        """
        Keep status and body.
        """
        self.told += [head.status, body]
        if ended:
            self.ended.callback(None)

    def more(self, body: bytes, ended: bool) -> None:
        """
        Keep the body.
        """
        self.told.append(body)
        if ended:
            self.ended.callback(None)

    def lost(self, error: StreamLost) -> None:
        """
        Keep the error.
        """
        self.told.append(error)
        self.ended.callback(None)


def get(stream: Stream, user: User, method: bytes = b"GET") -> None:
    """
    Send a request without a body.
    """
    stream.send(user, method, b"/", HOST, 0, b"", True)


async def turns(count: int = 3) -> None:
    """
    Let the reactor go round.
    """
    for _ in range(count):
        waiting: Deferred[None] = Deferred()
        reactor.callLater(0, waiting.callback, None)
        await waiting


class LoopbackTests(TestCase):
    """
    Connections to a TLS backend on loopback, and a clock that stands still.
    """

    timeout = 20

    def setUp(self) -> None:
        """
        Start the backend.
        """
        self.seconds = Seconds()
        self.connections = Connections(reactor, self.seconds)
        self.backend = Backend(self, server_context(LEAF))
        self.target = self.to(self.backend)
        self.addCleanup(self.leave)

    def to(self, backend: Backend, **more: Any) -> Target:
        """
        Return a target at *backend*.
        """
        more = {"pins": (pin(LEAF),)} | more
        return Target(address="127.0.0.1", port=backend.port, **more)

    async def leave(self) -> None:
        """
        Close everything, and wait for it.
        """
        self.connections.close()
        while self.connections.busy():
            await turns(1)
        await turns()

    async def asked(self, target: Target | None = None) -> Stream:
        """
        Return a stream that has carried a request and was given back.
        """
        stream = await self.connections.connect(target or self.target, 99)
        user = User()
        get(stream, user)
        await user.ended
        stream.release()
        return stream

    def kept(self, target: Target | None = None) -> Kept:
        """
        Return what is kept for *target*.
        """
        return self.connections.kept[target or self.target]
