from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor

from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    Backend,
    JourneyTests,
    Script,
    answering,
    put,
    turn,
)
from tests.journey.wire import Conversation, Message

End = Callable[[Conversation], None]
ENDS: tuple[End, ...] = (
    Conversation.close,
    Conversation.reset,
    Conversation.hang_up,
)


def waiting_in(one: socket.socket) -> str:
    """
    Tell what could be read from a socket, without reading it.
    """
    try:
        return repr(one.recv(65536, socket.MSG_PEEK))
    except OSError as error:
        return repr(error)


class KeptTests(JourneyTests):
    """
    Connections that have carried a request.
    """

    def once_then(self, then: Script) -> Script:
        """
        Answer the first request of the first connection, and every request of
        the others; do *then* with the second request of the first connection.
        """
        first = True

        async def script(conversation: Conversation) -> None:
            nonlocal first
            mine, first = first, False
            await conversation.request()
            conversation.write(OK)
            while True:
                await conversation.request()
                if mine:
                    await then(conversation)
                    return
                conversation.write(OK)

        return script

    async def second(self, backend: Backend, wire: bytes, status: int) -> None:
        """
        Send a GET, then *wire*; assert how that ends.
        """
        client = await self.client()
        self.assertEqual(200, (await client.ask(GET)).status)
        self.assertEqual(status, (await client.ask(wire)).status)
        await self.recorded(2)

    async def test_lost_under_repeatable(self) -> None:
        """
        A kept connection that the backend closes as the request goes out costs
        a GET nothing, nor a PUT whose body is in hand; it is seen twice.
        """
        for end in ENDS:
            for wire in (GET, put(b"body"), put(b"", b"DELETE")):

                async def then(c: Conversation, end: End = end) -> None:
                    end(c)

                backend = self.backend(self.once_then(then))
                self.before(backend)
                await self.second(backend, wire, 200)
                self.assertEqual(2, len(backend.conversations))
                method = wire.partition(b" ")[0]
                self.assertEqual(
                    [b"GET", method, method], [m.method for m in backend.seen]
                )
                self.assertEqual(backend.seen[1].body, backend.seen[2].body)
                self.assertIsNone(self.gateway.outcomes[1].refusal)

    async def test_lost_in_clear_text(self) -> None:
        """
        It is the same in clear text.
        """
        for end in ENDS[:2]:

            async def then(c: Conversation, end: End = end) -> None:
                end(c)

            backend = self.backend(self.once_then(then), None)
            self.before(backend, protocol="http")
            await self.second(backend, GET, 200)
            self.assertEqual(3, len(backend.seen))

    async def test_lost_under_post(self) -> None:
        """
        A POST is never sent twice: it is 502, and seen by the backends once.
        """
        for end in ENDS:
            for method in (b"POST", b"PATCH"):

                async def then(c: Conversation, end: End = end) -> None:
                    end(c)

                backend = self.backend(self.once_then(then))
                self.before(backend)
                await self.second(backend, put(b"body", method), 502)
                self.assertEqual([b"GET", method], [m.method for m in backend.seen])
                self.assertEqual(1, backend.received.count(b"body"))
                refusal = self.gateway.outcomes[1].refusal
                self.assertIs(Refusal.BACKEND_CLOSED, refusal)

    async def test_lost_after_a_byte(self) -> None:
        """
        Once a byte of an answer has come, nothing is sent again.
        """

        async def then(conversation: Conversation) -> None:
            conversation.write(b"H")
            conversation.close()

        for _ in range(5):
            backend = self.backend(self.once_then(then))
            self.before(backend)
            await self.second(backend, put(b"body"), 502)
            self.assertEqual(1, backend.received.count(b"body"))

    async def test_lost_twice(self) -> None:
        """
        A request is repeated once, on a new connection, and no more.
        """

        async def script(conversation: Conversation) -> None:
            if len(backend.conversations) == 1:
                await conversation.request()
                conversation.write(OK)
            await conversation.request()
            conversation.close()

        backend = self.backend(script)
        self.before(backend)
        await self.second(backend, GET, 502)
        self.assertEqual(3, len(backend.seen))

    async def test_lost_under_an_upload(self) -> None:
        """
        A body that still comes could not be sent again: where a repeatable
        request has one, it goes over a new connection.
        """

        async def then(conversation: Conversation) -> None:
            conversation.close()

        backend = self.backend(self.once_then(then))
        self.before(backend)
        client = await self.client()
        await client.ask(GET)
        wire = put(b"body")
        client.write(wire[:-1])
        for _ in range(5):
            await turn()
        client.write(wire[-1:])
        self.assertEqual(200, (await client.answer()).status)
        self.assertEqual(b"body", backend.seen[-1].body)

    async def in_one_turn(self, wire: bytes, act: Callable[[], None]) -> Message:
        """
        Send *wire*, and let a backend *act*, so that one turn of the gateway finds
        both, the client's request first; return the answer.
        """
        (kept,) = self.gateway._connections.streams()
        client = await self.client()
        port = client.transport.getHost().port
        channels = self.gateway._ports.channels
        while port not in (found := {c.arrival.port: c for c in channels()}):
            await turn()
        poller = kept.transport.reactor
        reactor.removeReader(poller)
        for one, move in (
            (found[port].transport.socket, lambda: client.write(wire)),
            (kept.transport.socket, act),
        ):
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

    async def test_idle(self) -> None:
        """
        A connection is kept for a minute, and then closed as TLS foresees.
        """
        backend = self.backend(answering(OK))
        self.before(backend)
        await self.ask()
        (conversation,) = backend.conversations
        self.gateway.later(59)
        await self.ask()
        self.assertEqual(1, len(backend.conversations))
        self.gateway.later(61)
        self.assertTrue(await conversation.ended())
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(2, len(backend.conversations))

    async def test_named_timeout(self) -> None:
        """
        A backend's own Keep-Alive timeout is honoured, with time to spare.
        """
        answer = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5\r\n\r\n")
        backend = self.backend(answering(answer))
        self.before(backend)
        await self.ask()
        self.gateway.later(4)
        await self.ask()
        self.assertEqual(1, len(backend.conversations))
        self.gateway.later(5)
        await backend.conversations[0].ended()

    async def test_no_time_at_all(self) -> None:
        """
        A connection that its backend keeps for no time is not used again.
        """
        answer = OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=0\r\n\r\n")
        backend = self.backend(answering(answer))
        self.before(backend)
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(3, len(backend.conversations))

    async def test_slow_reader_before(self) -> None:
        """
        A connection whose last answer had to wait for a slow client reads on
        for the next one.
        """
        body = b"x" * 3_000_000
        large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        backend = self.backend(answering(large))
        self.before(backend)
        slow = await self.client()
        slow.transport.pauseProducing()
        slow.write(GET)
        outcomes = self.gateway.outcomes
        for _ in range(5):
            await turn()
        slow.transport.resumeProducing()
        self.assertEqual(body, (await slow.answer()).body)
        await self.recorded(1)
        for number in range(2, 5):
            self.assertEqual(len(body), len((await slow.ask(GET)).body))
            await self.recorded(number)
        self.assertEqual([200] * 4, [outcome.status for outcome in outcomes])
        self.assertEqual(1, len(backend.conversations))
