from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
from tests.backend.test_answer import BAD
from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    Backend,
    JourneyTests,
    answering,
    get,
    put,
    turn,
)
from tests.journey.wire import Conversation, Truncated

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n"


class AnswerTests(JourneyTests):
    """
    What no backend should send.
    """

    async def test_garbage(self) -> None:
        """
        What is no answer is 502: the client sees none of it, and its backend's
        connection is not used again.
        """
        queue: list[bytes] = []

        async def script(conversation: Conversation) -> None:
            while True:
                await conversation.request()
                conversation.write(queue.pop())

        backend = self.backend(script)
        self.before(backend)
        client = await self.client()
        # Where the head is good, it has gone out when its body turns bad.
        heads = [bad for bad in BAD if not bad.startswith(CHUNKED)]
        for number, bad in enumerate(heads):
            queue[:] = [OK, bad]
            self.assertEqual(502, (await client.ask(GET)).status, bad)
            self.assertIs(
                Refusal.BAD_ANSWER, self.gateway.outcomes[-1].refusal, repr(bad)
            )
            self.assertEqual(number + 1, len(backend.conversations), bad)
            self.assertTrue(backend.conversations[-1].received.count(b"GET") <= 2)
            # The next one is served, by another connection.
            self.assertEqual(b"ok", (await client.ask(GET)).body)
            queue.append(b"x")
            await backend.conversations[number].ended()

    async def test_bad_chunks(self) -> None:
        """
        A body that turns bad is cut off: it never ends well.
        """
        for chunks in (b"G\r\n", b"2\r\nokay\r\n", b"fffffffffffffffff\r\n"):

            async def script(c: Conversation, chunks: bytes = chunks) -> None:
                await c.request()
                c.write(CHUNKED + b"2\r\nok\r\n")
                await go
                c.write(chunks)
                await c.ended()

            for secure in (False, True):
                go: Deferred[None] = Deferred()
                self.before(self.backend(script))
                client = await self.client(secure)
                client.write(GET)
                await client.upto(b"ok")
                go.callback(None)
                self.assertFalse(await client.ended())
                self.assertNotIn(b"0\r\n\r\n", client.received)
                (outcome,) = await self.recorded(1)
                self.assertIs(Refusal.BACKEND_CLOSED, outcome.refusal)
                self.assertEqual(200, outcome.status)

    async def test_endless_head(self) -> None:
        """
        A head without an end is 502 once it is too long.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\n")
            while conversation.lost is None:
                conversation.write(b"X-Y: %b\r\n" % (b"z" * 1000))
                await turn()

        backend = self.backend(script)
        self.before(backend)
        self.assertEqual(502, (await self.ask()).status)
        self.assertFalse(await backend.conversations[0].ended())

    async def test_body_where_none_is(self) -> None:
        """
        A body behind an answer to HEAD, or behind 204 or 304, reaches nobody.
        """
        evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        length = b"Content-Length: %d\r\n\r\n%b" % (len(evil), evil)
        cases = [
            (HEAD, b"HTTP/1.1 200 OK\r\n" + length, 200),
            (HEAD, b"HTTP/1.1 200 OK\r\n\r\n" + evil, 200),
            (HEAD, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(evil), evil), 200),
            (GET, b"HTTP/1.1 204 No Content\r\n" + length, 204),
            (GET, b"HTTP/1.1 304 Not Modified\r\n" + length, 304),
            (GET, b"HTTP/1.1 304 Not Modified\r\n\r\n" + evil, 304),
        ]
        for wire, answer, status in cases:

            async def script(c: Conversation, answer: bytes = answer) -> None:
                await c.request()
                c.write(answer)
                await c.ended()

            backend = self.backend(script)
            self.before(backend)
            client = await self.client()
            for _ in range(2):
                found = await client.ask(wire)
                self.assertEqual((status, b""), (found.status, found.body))
            self.assertNotIn(b"evil", client.received)
            self.assertEqual(2, len(backend.conversations))

    async def test_head(self) -> None:
        """
        An answer to HEAD says the length of what it leaves out, and its
        connection is used again.
        """
        backend = self.backend(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
        )
        self.before(backend)
        client = await self.client()
        for _ in range(3):
            answer = await client.ask(HEAD)
            self.assertEqual([b"12345"], answer.get(b"content-length"))
        self.assertEqual(1, len(backend.conversations))

    async def test_tiny_chunks(self) -> None:
        """
        A body in single bytes arrives whole.
        """
        chunks = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
        self.before(self.backend(answering(CHUNKED + chunks)))
        self.assertEqual(b"x" * 100_000, (await self.ask()).body)

    async def test_old_backend(self) -> None:
        """
        An HTTP/1.0 answer is passed on in our own version; its end is the
        connection's.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello")
            conversation.close()

        for issued in (LEAF, None):
            backend = self.backend(script, issued)
            settings = {} if issued else {"protocol": "http"}
            self.before(backend, **settings)
            client = await self.client()
            for _ in range(2):
                answer = await client.ask(GET)
                self.assertEqual(b"hello", answer.body)
                self.assertEqual([b"chunked"], answer.get(b"transfer-encoding"))
            old = await self.client()
            old.write(OLD)
            self.assertTrue(await old.ended())
            self.assertTrue(old.received.endswith(b"\r\n\r\nhello"))
            self.assertNotIn(b"chunked", old.received)


class EndTests(JourneyTests):
    """
    Backends that end too early.
    """

    async def test_in_the_head(self) -> None:
        """
        A connection that ends before its answer's head does is 502.
        """
        ends = (Conversation.close, Conversation.reset, Conversation.hang_up)
        for said in (b"", b"HTTP/1.1 200 OK\r\nContent-Le"):
            for end in ends:

                async def script(
                    c: Conversation, said: bytes = said, end: object = end
                ) -> None:
                    await c.request()
                    c.write(said)
                    end(c)  # type: ignore[operator]

                backend = self.backend(script)
                self.before(backend)
                for method in (b"PUT", b"POST"):
                    wire = put(b"body", method)
                    self.assertEqual(502, (await self.ask(wire)).status)
                self.assertEqual(2, len(backend.seen))
                for outcome in await self.recorded(2):
                    self.assertIn(
                        outcome.refusal, (Refusal.BACKEND_CLOSED, Refusal.BAD_ANSWER)
                    )
                    self.assertEqual(0, outcome.server_status)

    async def cut_off(self, head: bytes, end: object, issued: object = LEAF) -> None:
        """
        Let a backend end amid a body; assert that no client takes it for whole.
        """
        go: Deferred[None]

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(head + b"5\r\nhello\r\n")
            await go
            end(conversation)  # type: ignore[operator]

        backend = self.backend(script, issued)  # type: ignore[arg-type]
        settings = {} if issued else {"protocol": "http"}
        self.before(backend, **settings)
        for secure in (False, True):
            for wire in (GET, OLD):
                go = Deferred()
                client = await self.client(secure)
                client.write(wire)
                await client.upto(b"hello")
                go.callback(None)
                self.assertFalse(await client.ended(), (head, end, wire))
                self.assertNotIn(b"0\r\n\r\n", client.received)
        for outcome in await self.recorded(4):
            self.assertIs(Refusal.BACKEND_CLOSED, outcome.refusal)
            self.assertEqual((200, 200), (outcome.status, outcome.server_status))

    async def test_in_a_body_of_known_length(self) -> None:
        """
        A body that is shorter than it should be is cut off for the client too.
        """
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"
        for end in (Conversation.close, Conversation.reset, Conversation.hang_up):
            await self.cut_off(head, end)
        for end in (Conversation.close, Conversation.reset):
            await self.cut_off(head, end, None)

    async def test_amid_chunks(self) -> None:
        """
        A chunked body without its last chunk is cut off for the client too.
        """
        for end in (Conversation.close, Conversation.reset, Conversation.hang_up):
            await self.cut_off(CHUNKED, end)
        for end in (Conversation.close, Conversation.reset):
            await self.cut_off(CHUNKED, end, None)

    async def test_until_close(self) -> None:
        """
        A body that its connection's end is to end, does not end with a reset,
        nor with TCP alone where there is TLS.
        """
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        for end in (Conversation.reset, Conversation.hang_up):
            await self.cut_off(head, end)
        await self.cut_off(head, Conversation.reset, None)

    async def test_closes_and_means_it(self) -> None:
        """
        close_notify ends such a body well.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
            conversation.close()

        self.before(self.backend(script))
        self.assertEqual(b"hello", (await self.ask()).body)


class TimeTests(JourneyTests):
    """
    Backends that take their time; the clock is moved by the tests.
    """

    async def silent(self, backend: Backend, wire: bytes = GET) -> None:
        """
        Send a request, and wait until a backend has seen it.
        """
        self.waiting = await self.client()
        self.waiting.write(wire)
        while not backend.seen:
            await turn()

    async def test_no_answer(self) -> None:
        """
        A backend that does not answer in time is 504, and its connection ends.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend, request_timeout=20.0)
        await self.silent(backend)
        self.gateway.later(19)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        self.gateway.later(21)
        answer = await self.waiting.answer()
        self.assertEqual(504, answer.status)
        await backend.conversations[0].ended()
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.BACKEND_TIMEOUT, outcome.refusal)
        self.assertEqual(1, len(backend.seen))

    async def test_interim_stops_no_clock(self) -> None:
        """
        Interim responses do not make up for an answer.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        await self.silent(backend)
        await self.waiting.upto(b"102 Processing\r\n\r\n")
        self.gateway.later(21)
        self.assertEqual(504, (await self.waiting.answer()).status)

    async def test_body_falls_silent(self) -> None:
        """
        A body that does not go on is cut off; one that goes on slowly is not.
        """
        go: Deferred[None] = Deferred()

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(CHUNKED + b"2\r\nok\r\n")
            await go
            conversation.write(b"2\r\nok\r\n")
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        await self.silent(backend)
        await self.waiting.upto(b"ok\r\n")
        self.gateway.later(19)
        go.callback(None)
        await self.waiting.upto(b"ok\r\n")
        self.gateway.later(19)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        self.gateway.later(21)
        self.assertFalse(await self.waiting.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.BACKEND_TIMEOUT, outcome.refusal)
        self.assertEqual(200, outcome.status)
        await backend.conversations[0].ended()

    async def test_takes_no_body(self) -> None:
        """
        A backend that does not read what is sent to it is 504.
        """

        async def script(conversation: Conversation) -> None:
            conversation.transport.pauseProducing()
            await conversation.ended()

        backend = self.backend(script, None)
        self.before(backend, protocol="http")
        client = await self.client()
        client.write(put(b"x" * 30_000_000))
        while not any(
            stream.transport.unsent() for stream in self.gateway._connections.streams()
        ):
            await turn()
        for _ in range(20):
            await turn()
        self.gateway.later(0)
        self.gateway.later(21)
        self.assertEqual(504, (await client.answer()).status)
        for conversation in backend.conversations:
            conversation.transport.resumeProducing()

    async def test_client_takes_its_time(self) -> None:
        """
        While the client is what everybody waits for, no backend is blamed.
        """
        body = b"x" * 8_000_000
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.before(self.backend(answering(answer + body)))
        client = await self.client()
        client.transport.pauseProducing()
        client.write(get())
        while not any(s._paused for s in self.gateway._connections.streams()):
            await turn()
        self.gateway.later(0)
        self.gateway.later(30)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        client.transport.resumeProducing()
        self.assertEqual(body, (await client.answer()).body)

    async def test_client_reads_nothing(self) -> None:
        """
        A client that takes nothing of its answer for a minute is let go, and
        its backend with it.
        """
        body = b"x" * 8_000_000
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        backend = self.backend(answering(answer + body))
        self.before(backend)
        client = await self.client()
        client.transport.pauseProducing()
        client.write(get())
        while not any(s._paused for s in self.gateway._connections.streams()):
            await turn()
        self.gateway.later(0)
        self.gateway.later(61)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.CLIENT_CLOSED, outcome.refusal)
        await backend.conversations[0].ended()
        client.transport.resumeProducing()
        with self.assertRaises(Truncated):
            await client.answer()
