from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory

from appgw.backend.stream import StreamLost
from appgw.backend.target import Target
from tests.backend.lending import HOST, LoopbackTests, User, get, turns
from tests.backend.loopback import ANSWER, Backend, Recording


class StreamTests(LoopbackTests):
    async def wire(self, method: bytes, *args: Any, **more: Any) -> bytes:
        """
        Return what goes out for a request.
        """
        stream = await self.connections.connect(self.target, 99)
        stream.send(User(), method, b"/", HOST, *args, **more)
        while not self.backend.received:
            await turns(1)
        await turns(5)
        wire = b"".join(self.backend.received)
        self.backend.received.clear()
        stream.abort()
        head = method + b" / HTTP/1.1\r\nHost: a.example\r\n"
        self.assertEqual(head, wire[: len(head)])
        return wire[len(head) :]

    async def test_framing(self) -> None:
        """
        A body is framed by its length or in chunks, and never by both.
        """
        for method, length, body, last, expected in (
            (b"GET", 0, b"", True, b"\r\n"),
            (b"DELETE", 0, b"", True, b"\r\n"),
            (b"POST", 0, b"", True, b"Content-Length: 0\r\n\r\n"),
            (b"PATCH", 0, b"", True, b"Content-Length: 0\r\n\r\n"),
            (b"GET", 2, b"ok", True, b"Content-Length: 2\r\n\r\nok"),
            (b"PUT", 9, b"ok", False, b"Content-Length: 9\r\n\r\nok"),
            (
                b"PUT",
                None,
                b"ok",
                False,
                b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            ),
            (
                b"PUT",
                None,
                b"ok",
                True,
                b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ),
            (b"PUT", None, b"", True, b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ):
            found = await self.wire(method, length, body, last)
            self.assertEqual(expected, found, (method, length, body, last))

    async def test_unfinished_is_not_kept(self) -> None:
        """
        A connection whose request was not sent whole is not used again.
        """
        stream = await self.connections.connect(self.target, 99)
        user = User()
        stream.send(user, b"PUT", b"/", HOST, 4, b"", False)
        await user.ended
        self.assertEqual([200, b"hello"], user.told)
        stream.release()
        self.assertIsNone(self.connections.idle(self.target))
        await self.backend.ended(1)

    async def test_unsent_is_not_kept(self) -> None:
        """
        An answer to a request that has not left yet ends the connection: its
        backend does not read on.
        """
        self.patch(Recording, "dataReceived", _reads_once)
        stream = await self.connections.connect(self.target, 99)
        user = User()
        size = 30_000_000
        stream.send(user, b"PUT", b"/", HOST, size, bytes(size), True)
        await user.ended
        self.assertEqual([200, b"hello"], user.told)
        stream.release()
        self.assertIsNone(self.connections.idle(self.target))
        for live in self.backend.live:
            live.transport.resumeProducing()
        await self.backend.ended(1)

    async def test_paused(self) -> None:
        """
        A connection that was paused when its answer ended reads the next one.
        """
        stream = await self.connections.connect(self.target, 99)
        for _ in range(2):
            user = User()
            get(stream, user)
            await user.ended
            stream.pause()
            self.assertTrue(stream.paused)
            stream.release()
            self.assertIs(stream, self.connections.idle(self.target))
            self.assertFalse(stream.paused)

    async def test_lost(self) -> None:
        """
        Whoever has asked is told when the connection ends, and whether
        anything of an answer had come.
        """
        self.patch(Recording, "dataReceived", _drops)
        for sent, untouched in ((b"", True), (b"HTTP/1.1 2", False)):
            _SAID[:] = [sent]
            stream = await self.connections.connect(self.target, 99)
            user = User()
            get(stream, user)
            await user.ended
            (lost,) = user.told
            self.assertIsInstance(lost, StreamLost)
            self.assertIs(untouched, lost.untouched)
        self.assertEqual(set(), self.kept().all)

    async def test_bad_answer(self) -> None:
        """
        A bad answer is told as a loss, and ends the connection.
        """
        self.patch(Recording, "dataReceived", _drops)
        _SAID[:] = [b"what?\r\n\r\n"]
        stream = await self.connections.connect(self.target, 99)
        user = User()
        get(stream, user)
        await user.ended
        (lost,) = user.told
        self.assertIs(False, lost.untouched)
        self.assertEqual(set(), self.kept().all)

    async def test_plain(self) -> None:
        """
        Over plain TCP there is no verdict, and all else is the same.
        """
        listening = reactor.listenTCP(0, _Plain(self.backend), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        port = listening.getHost().port
        target = Target(address="127.0.0.1", port=port, protocol="http")
        stream = await self.asked(target)
        self.assertIsNone(stream.verdict)
        self.assertIs(stream, self.connections.idle(target))
        self.assertGreater(stream.source_port, 0)


_SAID: list[bytes] = []


def _reads_once(self: Recording, data: bytes) -> None:
    if not self.factory.received:
        self.transport.pauseProducing()
        self.factory.received.append(data)
        self.transport.write(ANSWER)


def _drops(self: Recording, data: bytes) -> None:
    if data.endswith(b"\r\n\r\n"):
        self.transport.write(_SAID[0])
        self.transport.loseConnection()


class _Plain(Factory):
    noisy = False

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def buildProtocol(self, addr: Any) -> Any:
        """
        Build what the backend builds over TLS.
        """
        return self.backend.buildProtocol(addr)
