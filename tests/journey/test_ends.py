from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    LEAF,
    JourneyTests,
    put,
)
from tests.journey.wire import Conversation

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n"


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
