"""
A client's connection over real sockets and real TLS: what arrives, and how it
ends.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from appgw.listen.door import Door
from appgw.listen.http1 import Channel
from appgw.refusal import Refusal
from tests.listen.line import Root, Visit, get, ok, post
from tests.wire import WireTestCase, read_all, reset, terms, trusting

MIB = 1 << 20
CLOSE = b"Connection: close"


@implementer(IHalfCloseableProtocol)
class Recorded:
    """
    A channel whose end is remembered. Beside it: a compiled class has no subclasses.
    """

    def __init__(self, door: Door) -> None:
        self.channel = Channel(door)
        self.lost: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel, name)

    def connectionLost(self, reason: Failure) -> None:
        """
        Keep why.
        """
        self.channel.connectionLost(reason)
        self.lost.append(reason.value)


def body_of(wire: bytes) -> bytes:
    """
    Return what follows the head.
    """
    return wire.partition(b"\r\n\r\n")[2]


def send_on(peer: Any, data: bytes) -> None:
    """
    Send *data* again and again until that fails.
    """
    with contextlib.suppress(OSError):
        while True:
            peer.sendall(data)


def answer_to(peer: Any, wire: bytes) -> bytes:
    """
    Send *wire*, and read to the end.
    """
    peer.sendall(wire)
    return read_all(peer)


def truncated(peer: Any, wire: bytes) -> bytes:
    """
    Send *wire*, read to an end that must not be clean.
    """
    peer.sendall(wire)
    pieces = []
    try:
        while data := peer.recv(MIB):
            pieces.append(data)
    except (ConnectionResetError, ssl.SSLEOFError):
        return b"".join(pieces)
    raise AssertionError("a clean end", b"".join(pieces))


def half_closed(peer: socket.socket, wire: bytes) -> bytes:
    """
    Send *wire*, close our side, and read to the end.
    """
    peer.sendall(wire)
    peer.shutdown(socket.SHUT_WR)
    return read_all(peer)


class SocketTestCase(WireTestCase):
    """
    Everything here holds in clear text and over TLS.
    """

    secure = False

    def at(self, *, answers: bool = True) -> int:
        """
        Serve a root; return the port.
        """
        self.root = Root(answers=answers)
        scheme = "https" if self.secure else "http"
        self.door = Door(self.root, 443, scheme, reactor.seconds)
        self.door.max_request_body = 100 * MIB
        tls = terms() if self.secure else None
        return self.serve(lambda: Recorded(self.door), tls)

    async def client(self, port: int) -> Any:
        """
        Connect a peer.
        """
        return await self.dialled(port, trusting() if self.secure else None)

    async def visit(self, index: int = 0) -> Visit:
        """
        Wait for a request.
        """
        await self.until(lambda: len(self.root.visits) > index)
        return self.root.visits[index]


class PlainSocketTests(SocketTestCase):
    async def test_kept_and_closed(self) -> None:
        """
        Requests one after the other are answered over one connection.
        """
        peer = await self.client(self.at())
        wire = await self.peer(answer_to, peer, get(b"/1") + get(b"/2", CLOSE))
        self.assertEqual(2, wire.count(b"HTTP/1.1 200 OK"))
        self.assertTrue(wire.endswith(b"\r\n\r\n/2"))

    async def test_large_bodies(self) -> None:
        """
        Megabytes arrive whole, both ways.
        """
        data = bytes(range(256)) * 4096 * 4
        peer = await self.client(self.at(answers=False))
        reading = self.peer(answer_to, peer, post(data, CLOSE))
        visit = await self.visit()
        await self.until(lambda: visit.request.complete)
        self.assertEqual(data, visit.body)
        visit.answer(data)
        self.assertEqual(data, body_of(await reading))

    async def test_early_answer(self) -> None:
        """
        An answer to a body that still comes arrives whole, though the client
        reads it only when it can send no more.
        """
        peer = await self.client(self.at(answers=False))
        peer.sendall(get(b"/", b"Content-Length: 99999999"))
        sending = self.peer(send_on, peer, b"a" * 65536)
        (await self.visit()).answer(b"a" * 100000)
        channel = await self.talker()
        await self.until(lambda: not channel.transport.unsent())
        self.assertTrue(channel.transport.lingering)
        self.assertEqual(b"a" * 100000, await self.peer(self.read_some, peer, 100000))
        channel.sweep(reactor.seconds() + 60)
        await sending

    @staticmethod
    def read_some(peer: Any, size: int) -> bytes:
        """
        Read a body of *size* bytes.
        """
        wire = b""
        while len(body_of(wire)) < size:
            wire += peer.recv(MIB)
        return body_of(wire)

    async def test_refused_body(self) -> None:
        """
        Who sends more than is allowed is told so, and then stopped.
        """
        port = self.at()
        self.door.max_request_body = 1000
        peer = await self.client(port)
        head = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
        chunk = b"100\r\n%b\r\n" % (b"a" * 256)
        peer.sendall(head + chunk * 4)
        wire = await self.peer(read_all, peer)
        self.assertTrue(wire.startswith(b"HTTP/1.1 413 "))
        self.assertTrue(wire.endswith(b"</html>\n"))

    async def test_bytes_after_close(self) -> None:
        """
        What follows the last request costs its answer nothing.
        """
        peer = await self.client(self.at())
        wire = await self.peer(answer_to, peer, get(b"/1", CLOSE) + b"a" * MIB)
        self.assertEqual(1, wire.count(b"HTTP/1.1"))
        self.assertTrue(wire.endswith(b"\r\n\r\n/1"))

    async def test_client_leaves(self) -> None:
        """
        A client that resets its connection is noticed while its answer is made.
        """
        peer = await self.client(self.at(answers=False))
        peer.sendall(get())
        visit = await self.visit()
        reset(peer)
        await self.told(await self.talker())
        self.assertEqual([Refusal.CLIENT_CLOSED], visit.lost)

    async def test_truncation(self) -> None:
        """
        An answer that is cut short does not look whole, whatever its framing.
        """
        port = self.at(answers=False)
        old = b"GET / HTTP/1.0\r\n\r\n"
        for index, (data, length) in enumerate(
            ((get(), None), (get(), 99999), (old, None))
        ):
            peer = await self.client(port)
            reading = self.peer(truncated, peer, data)
            visit = await self.visit(index)
            visit.request.respond(ok(length), b"abc", False)
            visit.request.abort()
            self.assertNotIn(b"0\r\n\r\n", await reading)

    async def test_slow_reader(self) -> None:
        """
        A client that takes nothing makes neither answers nor memory grow.
        """
        peer = await self.client(self.at(answers=False))
        peer.sendall(get() * 1000)
        channel = await self.talker()
        answered = 0
        while len(self.root.visits) > answered or not answered:
            (await self.visit(answered)).answer(b"a" * MIB)
            answered += 1
            await self.turns(100)
        self.assertLess(answered, 50)
        self.assertLess(channel.transport.unsent(), 2 * MIB)
        reading = self.peer(read_all, peer)
        await self.visit(answered)
        self.door.begin_draining()
        self.root.visits[-1].answer()
        self.assertEqual(answered * MIB, (await reading).count(b"aa") * 2)


class PlainHalfCloseTests(SocketTestCase):
    async def test_half_close(self) -> None:
        """
        A client that has closed its side gets all that it asked for.
        """
        peer = await self.client(self.at(answers=False))
        reading = self.peer(half_closed, peer, get(b"/1") + get(b"/2"))
        (await self.visit()).answer(b"a" * MIB)
        channel = await self.talker()
        await self.until(lambda: channel._half_closed)
        (await self.visit(1)).answer(b"b" * MIB)
        wire = await reading
        self.assertEqual((MIB, MIB), (wire.count(b"a" * 64) * 64, wire.count(b"b")))


class SecureSocketTests(PlainSocketTests):
    secure = True

    async def test_facts(self) -> None:
        """
        What was agreed in the handshake is known of each request.
        """
        peer = await self.client(self.at())
        await self.peer(answer_to, peer, get(b"/", CLOSE))
        arrival = self.root.visits[0].request.arrival
        self.assertEqual(
            ("https", "a.example", "TLSv1.3", "127.0.0.1"),
            (arrival.scheme, arrival.server_name, arrival.tls_version, arrival.address),
        )
