from __future__ import annotations

from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    LAST,
    OK,
    Backend,
    JourneyTests,
    Script,
    answering,
    put,
    turn,
)
from tests.journey.wire import ENDS, Conversation, End


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

    async def test_lost_with_others_kept(self) -> None:
        """
        Not on each of the others that are kept, either: a request that brings its
        backend down does so twice at most.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.request()
            conversation.close()

        backend = self.backend(script)
        self.before(backend)
        clients = [await self.client() for _ in range(3)]
        for client in clients:
            client.write(GET)
        while len(backend.seen) < len(clients):
            await turn()
        for conversation in backend.conversations:
            conversation.write(OK)
        for client in clients:
            self.assertEqual(200, (await client.answer()).status)
        backend.script = answering(LAST)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(5, len(backend.seen))

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
