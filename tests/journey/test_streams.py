from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
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
from tests.journey.wire import Conversation

POST_CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class BothWaysTests(JourneyTests):
    """
    Uploads, and answers that do not wait for their end.
    """

    async def test_chunked(self) -> None:
        """
        A chunked body goes chunked to the backend, and so does its answer.
        """
        backend = self.backend(
            answering(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
            )
        )
        self.before(backend)
        client = await self.client()
        for _ in range(2):
            client.write(POST_CHUNKED + b"4;ext=1\r\nbody\r\n")
            await turn()
            client.write(b"3\r\n123\r\n0\r\n\r\n")
            answer = await client.answer(b"POST")
            self.assertEqual(b"hello!", answer.body)
            self.assertEqual([b"chunked"], answer.get(b"transfer-encoding"))
            self.assertEqual(b"body123", backend.seen[-1].body)
            self.assertEqual([b"chunked"], backend.seen[-1].get(b"transfer-encoding"))
        self.assertNotIn(b"ext", backend.received)

    async def test_trailers(self) -> None:
        """
        Trailers pass both ways, but for those that a head must have.
        """
        answer = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Sum: 2\r\nCache-Control: x\r\nSet-Cookie: a=b\r\n\r\n"
        )
        backend = self.backend(answering(answer))
        self.before(backend)
        client = await self.client()
        bad = b"Host: x\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n"
        end = b"0\r\nX-Sum: 1\r\n" + bad + b"Authorization: x\r\nX_Y: z\r\n\r\n"
        # At once, and in two pieces: the body in hand, and one that comes.
        for pieces in ((POST_CHUNKED + end,), (POST_CHUNKED + b"1\r\nx\r\n", end)):
            for piece in pieces:
                client.write(piece)
                for _ in range(5):
                    await turn()
            found = await client.answer(b"POST")
            self.assertEqual([(b"x-sum", b"2")], found.trailers)
            self.assertEqual([(b"x-sum", b"1")], backend.seen[-1].trailers)
        self.assertEqual(1, len(backend.conversations))
        old = await self.client()
        old.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        self.assertTrue(await old.ended())
        self.assertTrue(old.received.endswith(b"\r\n\r\nok"), old.received)

    async def test_echo(self) -> None:
        """
        An answer may go on while its request does.
        """

        async def echo(conversation: Conversation) -> None:
            await conversation.head()
            conversation.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                chunk = await conversation.upto(b"\r\n")
                size = int(chunk, 16)
                body = await conversation.take(size + 2)
                conversation.write(chunk + body)
                if not size:
                    break
            await conversation.ended()

        self.before(self.backend(echo))
        client = await self.client()
        client.write(POST_CHUNKED)
        await client.upto(b"\r\n\r\n")
        for number in range(20):
            line = b"%x\r\n%b\r\n" % (number + 1, b"x" * (number + 1))
            client.write(line)
            self.assertEqual(line, await client.upto(b"x\r\n"))
        client.write(b"0\r\n\r\n")
        await client.upto(b"0\r\n\r\n")
        (outcome,) = await self.recorded(1)
        self.assertEqual((200, 210), (outcome.status, outcome.received))
        self.assertIsNone(outcome.refusal)

    async def early(self, backend: Backend, wires: tuple[bytes, ...]) -> None:
        """
        Upload more than any buffer takes; assert that the 413 arrives.
        """
        for secure in (False, True):
            for wire in wires:
                self.before(backend, **self.kind)
                client = await self.client(secure)
                client.write(wire)
                answer = await client.answer(b"PUT")
                self.assertEqual((413, b"large"), (answer.status, answer.body))
                (outcome,) = await self.recorded(1)
                self.assertEqual((413, None), (outcome.status, outcome.refusal))

    kind: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed

    async def test_early_answer(self) -> None:
        """
        A 413 reaches the client though the backend closes or resets, without
        having read the body.
        """
        large = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"
        wires = (put(b"x" * 10_000_000), put(b"x" * 100))
        for issued in (LEAF, None):
            for end in (Conversation.close, Conversation.reset, None):

                async def script(c: Conversation, end: object = end) -> None:
                    await c.head()
                    c.transport.pauseProducing()
                    c.write(large)
                    for _ in range(3):
                        await turn()
                    if end is not None:
                        end(c)  # type: ignore[operator]

                self.kind = {} if issued else {"protocol": "http"}
                await self.early(self.backend(script, issued), wires)

    async def test_early_answer_ends_the_upload(self) -> None:
        """
        After an answer before its time, neither connection is used again.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            conversation.write(OK)
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        client = await self.client()
        client.write(put(b"x" * 100)[:-1])
        answer = await client.answer(b"PUT")
        self.assertEqual([b"close"], answer.get(b"connection"))
        self.assertEqual(b"ok", answer.body)
        await backend.conversations[0].ended()
        client.write(b"x" + GET)
        await client.ended()
        await self.recorded(1)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(2, len(backend.conversations))

    async def test_backend_leaves_an_upload(self) -> None:
        """
        A backend that leaves amid an upload without a word is 502, and is not
        asked a second time.
        """
        for end in (Conversation.close, Conversation.reset):
            for method in (b"PUT", b"POST"):

                async def script(c: Conversation, end: object = end) -> None:
                    await c.head()
                    await c.until(lambda: len(c.unread) > 100_000)
                    end(c)  # type: ignore[operator]

                backend = self.backend(script)
                self.before(backend)
                client = await self.client()
                client.write(put(b"x" * 5_000_000, method))
                self.assertEqual(502, (await client.answer(method)).status)
                self.assertEqual(1, len(backend.conversations))
                (outcome,) = await self.recorded(1)
                self.assertIs(Refusal.BACKEND_CLOSED, outcome.refusal)

    async def test_pipelined(self) -> None:
        """
        Requests in one piece are answered in their order, also where the first
        one's answer has been waiting for its body.
        """
        go: Deferred[None] = Deferred()

        async def script(conversation: Conversation) -> None:
            while True:
                request = await conversation.request()
                body = request.body or request.target
                conversation.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )

        self.before(self.backend(script))
        client = await self.client()
        wire = put(b"body") + get(b"/1") + put(b"more") + get(b"/2") + get(b"/3")
        for place in (1, 60, 70, len(wire) - 1, len(wire)):
            client.write(wire[:place])
            for _ in range(5):
                await turn()
            client.write(wire[place:])
            bodies = [(await client.answer()).body for _ in range(5)]
            self.assertEqual([b"body", b"/1", b"more", b"/2", b"/3"], bodies)
        go.callback(None)

    async def test_early_answer_and_a_pipeline(self) -> None:
        """
        An answer that is found as the end of its request comes, does not keep
        the request behind it waiting.
        """
        heard: list[Conversation] = []

        async def script(conversation: Conversation) -> None:
            heard.append(conversation)
            if len(heard) == 1:
                await conversation.head()
                await go
                conversation.write(OK)
                await conversation.ended()
            while True:
                await conversation.request()
                conversation.write(OK)

        go: Deferred[None] = Deferred()
        backend = self.backend(script)
        self.before(backend)
        client = await self.client()
        client.write(put(b"body")[:-1])
        while not heard or not heard[0].received:
            await turn()
        # The answer lies in the socket, as when both come in one turn.
        (stream,) = self.gateway._connections.streams()
        stream.transport.stopReading()
        go.callback(None)
        for _ in range(5):
            await turn()
        client.write(b"y" + GET)
        for _ in range(2):
            self.assertEqual(b"ok", (await client.answer()).body)
        await self.recorded(2)
