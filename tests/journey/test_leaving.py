from __future__ import annotations

from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    Backend,
    JourneyTests,
    put,
    turn,
)
from tests.journey.wire import Client, Conversation, Truncated

POST_CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class LeavingTests(JourneyTests):
    """
    Clients that do not stay.
    """

    async def left(self, client: Client, backend: Backend, status: int) -> None:
        """
        Go; assert that the backend's connection ends, and what is recorded.
        """
        while not backend.conversations or not backend.conversations[0].received:
            await turn()
        client.reset()
        self.assertFalse(await backend.conversations[0].ended())
        (outcome,) = await self.recorded(1)
        self.assertEqual(status, outcome.status)
        self.assertIs(Refusal.CLIENT_CLOSED, outcome.refusal)
        (line,) = self.lines()
        self.assertEqual(status, line["httpStatus"])
        self.assertEqual("ERRORINFO_CLIENT_CLOSED_REQUEST", line["error_info"])

    async def test_before_the_answer(self) -> None:
        """
        A client that goes before its answer is 499, and its backend is told.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        for secure in (False, True):
            backend = self.backend(script)
            self.file = self.file.with_suffix(f".{secure}")
            self.before(backend)
            client = await self.client(secure)
            client.write(GET)
            await self.left(client, backend, 499)

    async def test_amid_its_request(self) -> None:
        """
        Of a client that goes amid its body, no backend sees a whole request.
        """
        ended: list[str] = []

        async def script(conversation: Conversation) -> None:
            try:
                await conversation.request()
            except Truncated:
                ended.append("cut")
                raise
            ended.append("whole")

        for number, wire in enumerate(
            (put(b"x" * 100), POST_CHUNKED + b"3\r\nabc\r\n")
        ):
            backend = self.backend(script)
            self.file = self.file.with_suffix(f".{number}")
            self.before(backend)
            client = await self.client()
            client.write(wire[:-1])
            await self.left(client, backend, 499)
        self.assertEqual(["cut", "cut"], ended)

    async def test_amid_its_answer(self) -> None:
        """
        A client that goes amid its answer keeps the status it was told.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        client = await self.client()
        client.write(GET)
        await client.upto(b"half")
        await self.left(client, backend, 200)

    async def test_bad_body(self) -> None:
        """
        A body that turns out to be malformed is 400, and its backend never
        sees an end of it.
        """
        ended: list[Conversation] = []

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            await conversation.ended()
            ended.append(conversation)

        backend = self.backend(script)
        self.before(backend)
        for first in (b"3\r\nabc\r\n", b""):
            client = await self.client()
            client.write(POST_CHUNKED + first)
            for _ in range(10):
                await turn()
            client.write(b"G\r\n")
            answer = await client.answer(b"POST")
            self.assertEqual(400, answer.status)
            await client.ended()
        # Where the fault came along with the head, no backend hears of it.
        seen = len(backend.received)
        client = await self.client()
        client.write(POST_CHUNKED + b"3\r\nabc\r\nG\r\n")
        self.assertEqual(400, (await client.answer(b"POST")).status)
        self.assertEqual(seen, len(backend.received))
        self.assertNotIn(b"0\r\n\r\n", backend.received)
        await self.recorded(3)
