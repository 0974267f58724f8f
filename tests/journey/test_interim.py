from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
from tests.journey.kit import GET, OK, JourneyTests, answering, get, put, turn
from tests.journey.wire import Conversation

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n"


def expecting(body: bytes, method: bytes = b"POST") -> tuple[bytes, bytes]:
    """
    Return the head of a request that waits for 100, and its body.
    """
    wire = put(body, method).replace(
        b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1
    )
    head, mark, _ = wire.partition(b"\r\n\r\n")
    return head + mark, body


class InterimTests(JourneyTests):
    """
    Responses before the response (RFC 9110, 15.2).
    """

    async def test_passed_on(self) -> None:
        """
        Interim responses reach a client of HTTP/1.1, in their order, without
        what is the connection's own; and none of HTTP/1.0.
        """
        hints = HINTS.replace(b"\r\n\r\n", b"\r\nConnection: x\r\nX: y\r\n\r\n")
        backend = self.backend(answering(HINTS + CONTINUE + hints * 50 + OK))
        self.before(backend)
        client = await self.client()
        for _ in range(2):
            answer = await client.ask(GET)
            self.assertEqual(b"ok", answer.body)
            self.assertEqual(
                [103, 100] + [103] * 50, [one.status for one in answer.interim]
            )
            self.assertEqual([(b"link", b"</a.css>")], answer.interim[0].headers)
            self.assertEqual([(b"link", b"</a.css>")], answer.interim[2].headers)
        old = await self.client()
        old.write(OLD)
        self.assertTrue(await old.ended())
        self.assertNotIn(b"103", old.received)
        self.assertTrue(old.received.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(1, len(backend.conversations))

    async def test_too_many(self) -> None:
        """
        A backend that goes on and on with them is 502.
        """
        backend = self.backend(answering(CONTINUE * 10_000 + OK))
        self.before(backend)
        answer = await self.ask()
        self.assertEqual(502, answer.status)
        self.assertLessEqual(len(answer.interim), 100)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.BAD_ANSWER, outcome.refusal)

    async def test_with_a_length(self) -> None:
        """
        An interim response has no body, whatever it says about one.
        """
        evil = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 40\r\n\r\n"
        self.before(self.backend(answering(evil + OK)))
        client = await self.client()
        answer = await client.ask(GET)
        self.assertEqual(b"ok", answer.body)
        self.assertEqual([], answer.interim[0].headers)

    async def test_switching(self) -> None:
        """
        101 that nobody asked for is 502, and what follows it is nobody's.
        """
        evil = (
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nevil"
        )
        backend = self.backend(answering(evil))
        self.before(backend)
        client = await self.client()
        for wire in (GET, get(b"/", b"Upgrade: x"), put(b"Connection: Upgrade")):
            answer = await client.ask(wire)
            self.assertEqual(502, answer.status)
        self.assertNotIn(b"evil", client.received)
        self.assertEqual(3, len(backend.conversations))


class ExpectTests(JourneyTests):
    """
    Expect: 100-continue, which the backend decides about.
    """

    async def test_continued(self) -> None:
        """
        The backend is asked, and its word goes to the client.
        """

        async def script(conversation: Conversation) -> None:
            while True:
                head = await conversation.head()
                self.assertIn(b"Expect: 100-continue\r\n", head)
                self.assertEqual(b"", conversation.unread)
                conversation.write(CONTINUE)
                self.assertEqual(b"body", await conversation.take(4))
                conversation.write(OK)

        backend = self.backend(script)
        self.before(backend)
        head, body = expecting(b"body")
        client = await self.client()
        for _ in range(3):
            client.write(head)
            self.assertEqual(CONTINUE, await client.upto(b"\r\n\r\n"))
            client.write(body)
            answer = await client.answer(b"POST")
            self.assertEqual((b"ok", []), (answer.body, answer.interim))
        self.assertEqual(1, len(backend.conversations))

    async def test_refused(self) -> None:
        """
        A final answer instead ends the matter: no 100 is sent, and neither
        connection is used again.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            conversation.write(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        head, _ = expecting(b"body")
        client = await self.client()
        client.write(head)
        answer = await client.answer(b"POST")
        self.assertEqual((417, []), (answer.status, answer.interim))
        await client.ended()
        await backend.conversations[0].ended()
        self.assertNotIn(b"100", client.received)

    async def test_not_waited_for(self) -> None:
        """
        A client need not wait; its body goes on as it comes.
        """
        backend = self.backend(answering(CONTINUE + OK))
        self.before(backend)
        head, body = expecting(b"body")
        client = await self.client()
        for pieces in ((head + body,), (head, body)):
            for piece in pieces:
                client.write(piece)
                for _ in range(5):
                    await turn()
            self.assertEqual(b"ok", (await client.answer(b"POST")).body)
            self.assertEqual(b"body", backend.seen[-1].body)

    async def test_nobody_says_anything(self) -> None:
        """
        A backend that neither continues nor answers is 504.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        head, _ = expecting(b"body")
        client = await self.client()
        client.write(head)
        while not backend.received:
            await turn()
        self.gateway.later(19)
        self.gateway.later(21)
        self.assertEqual(504, (await client.answer(b"POST")).status)

    async def test_hints_are_no_leave(self) -> None:
        """
        103 is not what the client waits for.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            conversation.write(HINTS)
            await conversation.ended()

        self.before(self.backend(script))
        head, _ = expecting(b"body")
        client = await self.client()
        client.write(head)
        self.assertEqual(HINTS, await client.upto(b"\r\n\r\n"))
        self.gateway.later(21)
        self.assertEqual(504, (await client.answer(b"POST")).status)

    async def test_next_member(self) -> None:
        """
        Who expects is passed on like anybody while no member takes it.
        """
        backend = self.backend(answering(CONTINUE + OK))
        self.serve(self.config(self.dead(), backend))
        head, body = expecting(b"body")
        for _ in range(2):
            client = await self.client()
            client.write(head)
            while not backend.received:
                await turn()
            client.write(body)
            self.assertEqual(b"ok", (await client.answer(b"POST")).body)

    async def test_client_is_slow(self) -> None:
        """
        Between the leave to continue and the body, the client's time counts,
        not the backend's.
        """
        go: Deferred[None] = Deferred()

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            conversation.write(CONTINUE)
            await conversation.take(4)
            conversation.write(OK)
            await conversation.ended()

        self.before(self.backend(script))
        head, body = expecting(b"body")
        client = await self.client()
        client.write(head)
        await client.upto(b"\r\n\r\n")
        self.gateway.later(25)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        client.write(body)
        self.assertEqual(b"ok", (await client.answer(b"POST")).body)
        go.callback(None)
