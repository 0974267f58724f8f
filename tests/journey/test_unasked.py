from __future__ import annotations

import functools
import itertools
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor

import appgw.poller
from tests.journey.kit import GET, LEAF, OK, JourneyTests, answering, put, turn
from tests.journey.wire import ENDS, Client, Conversation, Message


def waiting_in(one: socket.socket) -> str:
    """
    Tell what could be read from a socket, without reading it.
    """
    try:
        return repr(one.recv(65536, socket.MSG_PEEK))
    except OSError as error:
        return repr(error)


class UnaskedTests(JourneyTests):
    """
    What a backend says or does before it is asked.
    """

    async def arrived(self) -> tuple[Client, socket.socket]:
        """
        Connect a client; return it with the gateway's end of its connection.
        """
        client = await self.client()
        port = client.transport.getHost().port
        channels = self.gateway._ports.channels
        while port not in (found := {c.arrival.port: c for c in channels()}):
            await turn()
        return client, found[port].transport.socket

    async def in_one_turn(
        self, wire: bytes, act: Callable[[], None], among: int = 0
    ) -> Message:
        """
        Send *wire*, let others begin a request, and let a backend *act*, so that
        one turn of the gateway finds all of it, in this order; return the answer.
        """
        (kept,) = self.gateway._connections.streams()
        client, ours = await self.arrived()
        moves = [(ours, lambda: client.write(wire))]
        for _ in range(among):
            other, its = await self.arrived()
            moves.append((its, lambda other=other: other.write(GET[:1])))
        poller = kept.transport.reactor
        reactor.removeReader(poller)
        for one, move in (*moves, (kept.transport.socket, act)):
            before = waiting_in(one)
            move()
            while waiting_in(one) == before:
                await turn()
        reactor.addReader(poller)
        return await client.answer(wire.partition(b" ")[0])

    async def test_closed_before_post(self) -> None:
        """
        A POST goes over no connection that the backend has closed already,
        even where one turn of the reactor brings both.
        """
        closing: list[Conversation] = []

        async def script(conversation: Conversation) -> None:
            closing.append(conversation)
            while True:
                await conversation.request()
                conversation.write(OK)

        for issued, end in itertools.product((LEAF, None), ENDS):
            if issued is None and end is Conversation.hang_up:
                continue
            closing.clear()
            backend = self.backend(script, issued)
            settings = {"protocol": "http"} if issued is None else {}
            self.before(backend, **settings)
            await self.ask()
            wire = put(b"body", b"POST")
            answer = await self.in_one_turn(wire, lambda end=end: end(closing[0]))
            self.assertEqual(200, answer.status)
            self.assertEqual([b"GET", b"POST"], [m.method for m in backend.seen])

    async def test_bytes_while_idle(self) -> None:
        """
        Bytes that nobody asked for end the connection, and reach nobody.
        """
        spoken: list[Conversation] = []

        async def script(conversation: Conversation) -> None:
            spoken.append(conversation)
            while True:
                await conversation.request()
                conversation.write(OK)

        backend = self.backend(script)
        self.before(backend)
        client = await self.client()
        for evil in (OK.replace(b"ok", b"no"), b"x", b"HTTP/1.1 100 Continue\r\n\r\n"):
            self.assertEqual(b"ok", (await client.ask(GET)).body)
            spoken[-1].write(evil)
            await spoken[-1].ended()
        self.assertEqual(b"ok", (await client.ask(GET)).body)
        self.assertEqual(4, len(backend.conversations))

    async def test_bytes_before_a_request(self) -> None:
        """
        Bytes that lie there unread when the next request comes do not answer it,
        even where one turn of the reactor brings both.
        """
        spoken: list[Conversation] = []

        async def script(conversation: Conversation) -> None:
            spoken.append(conversation)
            while True:
                await conversation.request()
                conversation.write(OK)

        for issued, method in itertools.product((LEAF, None), (b"GET", b"PUT")):
            spoken.clear()
            backend = self.backend(script, issued)
            self.before(backend, protocol="https" if issued else "http")
            await self.ask()
            evil = OK.replace(b"ok", b"no")
            answer = await self.in_one_turn(
                put(b"", method), lambda evil=evil: spoken[0].write(evil)
            )
            self.assertEqual(b"ok", answer.body)
            self.assertFalse(await spoken[0].ended())
            self.assertEqual(2, len(spoken))

    async def test_bytes_before_a_request_among_many(self) -> None:
        """
        It is the same where so many have something to say that the kernel does
        not tell of all of them at once.
        """
        self.patch(appgw.poller, "BATCH", 1)
        for method in (b"GET", b"POST"):
            backend = self.backend(answering(OK))
            self.before(backend)
            await self.ask()
            (spoken,) = backend.conversations
            evil = OK.replace(b"ok", b"no")
            answer = await self.in_one_turn(
                put(b"", method), functools.partial(spoken.write, evil), among=1
            )
            self.assertEqual(b"ok", answer.body)
            self.assertEqual(2, len(backend.conversations))

    async def test_bytes_before_a_request_leaves(self) -> None:
        """
        Nor do those that come in the moment before the request leaves, nor an end.
        """
        spoken: list[Conversation] = []

        async def script(conversation: Conversation) -> None:
            spoken.append(conversation)
            while True:
                await conversation.request()
                conversation.write(OK)

        for issued, end in ((None, False), (None, True), (LEAF, True)):
            spoken.clear()
            backend = self.backend(script, issued)
            self.before(backend, protocol="https" if issued else "http")
            await self.ask()
            (kept,) = self.gateway._connections.streams()
            poller = kept.transport.reactor

            def looked(
                kept: Any = kept, end: bool = end, ask: Any = poller._ask
            ) -> Any:
                tcp = getattr(spoken[0].transport, "transport", spoken[0].transport)
                if kept.transport.held and end:
                    tcp.socket.shutdown(socket.SHUT_WR)
                elif kept.transport.held:
                    tcp.socket.send(OK.replace(b"ok", b"no"))
                return ask()

            self.patch(poller, "_ask", looked)
            self.assertEqual(b"ok", (await self.ask(put(b"", b"POST"))).body)
            self.assertEqual(2, len(spoken))
            self.assertEqual([b"GET", b"POST"], [m.method for m in backend.seen])

    async def test_bytes_behind_an_answer(self) -> None:
        """
        What follows an answer is nobody's, and its connection ends.
        """
        for more in (
            b"x",
            OK,
            b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ):
            backend = self.backend(answering(OK + more))
            self.before(backend)
            client = await self.client()
            for _ in range(3):
                self.assertEqual(b"ok", (await client.ask(GET)).body)
            self.assertEqual(3, len(backend.conversations))
            self.assertNotIn(b"evil", client.received)
