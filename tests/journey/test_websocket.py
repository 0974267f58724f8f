from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.journey.kit import STRANGER, turn
from tests.journey.sessions import MIB, SessionTestCase, echo, heard
from tests.wire import PATIENCE


class MessageTests(SessionTestCase):
    """
    What the two ends say to each other.
    """

    async def test_echo(self) -> None:
        """
        Messages of 1 MiB, small ones and empty ones come back as they were.
        """

        async def work(client: ClientConnection) -> None:
            for message in (MIB, "text", b"", MIB[::-1], "é" * 1000, MIB):
                await client.send(message)
                self.assertEqual(message, await client.recv())

        await self.each(echo, work)

    async def test_fragments(self) -> None:
        """
        A message in fragments stays one, with a ping between any two of them.
        """

        async def session(server: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await server.send(server.recv_streaming())

        async def work(client: ClientConnection) -> None:
            pongs = []

            async def pieces() -> AsyncIterator[bytes]:
                for number in range(16):
                    yield MIB[number << 16 : number + 1 << 16]
                    pongs.append(await client.ping())

            await client.send(pieces())
            back = [piece async for piece in client.recv_streaming()]
            self.assertEqual(MIB, b"".join(back))
            self.assertGreater(len(back), 15)
            await asyncio.gather(*pongs)

        await self.each(session, work)

    async def test_pings(self) -> None:
        """
        Pings are answered by the other end, from either side.
        """

        async def session(server: ServerConnection) -> None:
            for _ in range(3):
                await (await server.ping())
                await server.send("pong")
            await server.recv()

        async def work(client: ClientConnection) -> None:
            for payload in (b"", b"x" * 125, b"again"):
                await (await client.ping(payload))
            self.assertEqual(["pong"] * 3, [await client.recv() for _ in range(3)])
            await client.send("done")

        await self.each(session, work)

    async def test_both_ways(self) -> None:
        """
        Both sides send at once, 16 MiB each, and everything arrives.
        """

        async def say(end: Connection) -> None:
            for _ in range(16):
                await end.send(MIB)

        async def both_ways(end: Connection) -> None:
            saying = asyncio.create_task(say(end))
            for _ in range(16):
                self.assertEqual(MIB, await end.recv())
            await saying

        await self.each(both_ways, both_ways)
        (outcome,) = self.gateway.outcomes
        self.assertIsNone(outcome.refusal)
        self.assertGreater(min(outcome.received, outcome.sent), 16 << 20)

    async def test_closed_by_the_client(self) -> None:
        """
        The client's code and reason reach the backend, and its answer the client.
        """
        told: list[Any] = []

        async def session(server: ServerConnection) -> None:
            self.assertEqual(["bye"], [message async for message in heard(server)])
            told.append((server.close_code, server.close_reason))

        async def work(client: ClientConnection) -> None:
            await client.send("bye")
            await client.close(4001, "enough")
            self.assertEqual(4001, client.close_code)

        await self.each(session, work)
        self.assertEqual([(4001, "enough")] * 2, told)
        self.assertIsNone(self.gateway.outcomes[0].refusal)

    async def test_closed_by_the_backend(self) -> None:
        """
        The backend's code and reason reach the client.
        """

        async def session(server: ServerConnection) -> None:
            await server.send("bye")
            await server.close(4002, "shop is closed")

        async def work(client: ClientConnection) -> None:
            self.assertEqual(["bye"], [message async for message in heard(client)])
            self.assertEqual(4002, client.close_code)
            self.assertEqual("shop is closed", client.close_reason)

        await self.each(session, work)
        self.assertIsNone(self.gateway.outcomes[0].refusal)

    async def test_aborted(self) -> None:
        """
        A session that breaks off on one side breaks off on the other (1006).
        """
        told: list[int | None] = []

        async def aborting(end: Connection) -> None:
            await end.send("I go")
            end.transport.abort()

        async def staying(end: Connection) -> None:
            async for _ in heard(end):
                pass
            told.append(end.close_code)

        await self.each(aborting, staying)
        await self.each(staying, aborting)
        self.assertEqual([1006] * 4, told)


class SessionTests(SessionTestCase):
    """
    How sessions begin, and what they live through.
    """

    async def test_extensions(self) -> None:
        """
        Subprotocol, compression and query are for the two ends to settle.
        """

        async def session(server: ServerConnection) -> None:
            assert server.request is not None
            await server.send(server.request.path)
            await server.send(server.request.headers["X-Forwarded-For"])
            await server.send(await server.recv())

        async def work(client: ClientConnection) -> None:
            self.assertEqual("chat.2", client.subprotocol)
            assert client.response is not None
            agreed = client.response.headers["Sec-WebSocket-Extensions"]
            self.assertIn("deflate", agreed)
            self.assertEqual("/chat?room=1", await client.recv())
            self.assertEqual("127.0.0.1", await client.recv())
            await client.send("x" * (1 << 20))
            self.assertEqual("x" * (1 << 20), await client.recv())

        chat = self.chat(session, compression="deflate", subprotocols=["chat.2"])
        self.before(chat.member)
        offered = ["chat.1", "chat.2"]
        await self.talk(chat, work, compression="deflate", subprotocols=offered)
        (outcome,) = await self.recorded(1)
        self.assertLess(outcome.sent, 1 << 19)

    async def refused(self, status: int, **settings: Any) -> bytes:
        """
        Assert that a session is refused with *status*; return the page.
        """
        chat = self.chat(**settings)
        self.before(chat.member)

        async def work(_: ClientConnection) -> None:
            self.fail("there is no session")

        with self.assertRaises(InvalidStatus) as raised:
            await self.talk(chat, work)
        response = raised.exception.response
        self.assertEqual(status, response.status_code)
        self.assertEqual(0, self.count("appgw_tunnels"))
        return response.body or b""

    async def test_refused(self) -> None:
        """
        What the backend answers instead is the client's to see.
        """
        page = await self.refused(
            401, process_request=lambda one, _: one.respond(401, "who are you?\n")
        )
        self.assertEqual(b"who are you?\n", page)
        (outcome,) = await self.recorded(1)
        self.assertEqual((401, None), (outcome.status, outcome.refusal))

    async def test_pinned(self) -> None:
        """
        A backend whose certificate is not on the list has no sessions.
        """
        await self.refused(502, issued=STRANGER)

    async def test_wrong_handshake(self) -> None:
        """
        A version or key that is none is for the backend to refuse, and there is no
        tunnel.
        """
        lines = {
            b"Connection": b"Upgrade",
            b"Upgrade": b"websocket",
            b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version": b"13",
        }
        asked = threading.Event()

        async def work(client: ClientConnection) -> None:
            # The backend serves as long as this goes on.
            self.assertEqual("done", await client.recv())

        async def session(server: ServerConnection) -> None:
            await asyncio.to_thread(asked.wait, PATIENCE)
            await server.send("done")

        chat = self.chat(session)
        self.before(chat.member)
        talking = Deferred.fromCoroutine(self.talk(chat, work))
        for change in (
            {b"Sec-WebSocket-Version": b"12"},
            {b"Sec-WebSocket-Key": b"short"},
            {b"Upgrade": b"x"},
        ):
            head = b"".join(b"%b: %b\r\n" % one for one in (lines | change).items())
            answer = await self.ask(
                b"GET / HTTP/1.1\r\nHost: shop.example\r\n%b\r\n" % head
            )
            self.assertIn(answer.status, (400, 426), change)
        asked.set()
        await talking
        outcomes = await self.recorded(4)
        self.assertEqual(1, sum(one.status == 101 for one in outcomes))

    async def test_reload(self) -> None:
        """
        Sessions go on while the configuration changes.
        """
        reloaded = threading.Event()

        async def work(client: ClientConnection) -> int:
            said = 0
            while said < 50 or not reloaded.is_set():
                await client.send(f"hello {said}")
                self.assertEqual(f"hello {said}", await client.recv())
                said += 1
            return said

        chat = self.chat()
        config = self.config(chat.member)
        gateway = self.serve(config)
        talking = Deferred.fromCoroutine(self.talk(chat, work))
        while self.count("appgw_tunnels") != 1:
            await turn()
        for _ in range(5):
            await gateway.apply(config)
            await gateway.apply(self.config(chat.member, request_timeout=9.0))
        reloaded.set()
        self.assertGreater(await talking, 49)
        await self.recorded(1)

    async def test_reader_stalls(self) -> None:
        """
        A client that reads nothing holds up its backend, and little is held.
        """
        sent: list[int] = []
        looked = threading.Event()

        async def session(server: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await server.send(MIB)
                    sent.append(len(MIB))

        async def work(client: ClientConnection) -> None:
            await asyncio.to_thread(looked.wait, PATIENCE)
            client.transport.abort()

        chat = self.chat(session)
        gateway = self.before(chat.member)
        talking = Deferred.fromCoroutine(self.talk(chat, work, max_queue=1))
        before = -1
        while not sent or before != (before := sum(sent)):
            for _ in range(2000):
                await turn()
        for one in (*gateway._connections.streams(), *gateway._ports.channels()):
            self.assertLess(one.transport.unsent(), 1 << 20)
        self.assertLess(before, 64 << 20)
        looked.set()
        await talking
        await self.recorded(1)
