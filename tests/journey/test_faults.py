from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
from tests.backend.answers import BAD
from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    JourneyTests,
    answering,
    turn,
)
from tests.journey.wire import Conversation

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
            gone: list[Deferred[None]] = []

            async def script(
                c: Conversation,
                chunks: bytes = chunks,
                gone: list[Deferred[None]] = gone,
            ) -> None:
                await c.request()
                c.write(CHUNKED + b"2\r\nok\r\n")
                await gone[-1]
                c.write(chunks)
                await c.ended()

            for secure in (False, True):
                gone.append(Deferred())
                self.before(self.backend(script))
                client = await self.client(secure)
                client.write(GET)
                await client.upto(b"ok")
                gone[-1].callback(None)
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
