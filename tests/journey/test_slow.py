from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
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
        go: list[Deferred[None]] = [Deferred() for _ in range(3)]

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(CHUNKED + b"2\r\nok\r\n")
            for each in go:
                await each
                conversation.write(b"2\r\nok\r\n")
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        await self.silent(backend)
        await self.waiting.upto(b"ok\r\n")
        for each in go:
            self.gateway.pass_time(19)
            each.callback(None)
            await self.waiting.upto(b"ok\r\n")
        self.gateway.pass_time(19)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        self.gateway.pass_time(2)
        self.assertFalse(await self.waiting.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.BACKEND_TIMEOUT, outcome.refusal)
        self.assertEqual(200, outcome.status)
        await backend.conversations[0].ended()

    async def test_takes_no_body(self) -> None:
        """
        A backend that does not read what is sent to it is 504, counted from
        the last byte that it took.
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
        self.gateway.pass_time(15)
        self.gateway.pass_time(15)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        self.gateway.pass_time(6)
        self.assertEqual(504, (await client.answer()).status)
        for conversation in backend.conversations:
            conversation.transport.resumeProducing()

    async def test_client_takes_its_time(self) -> None:
        """
        While the client is what everybody waits for, no backend is blamed; its
        time begins when it is read from again.
        """
        go: Deferred[None] = Deferred()

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\n\r\n")
            # Until the gateway holds on, having read everything there is.
            while not any(s.paused for s in self.gateway._connections.streams()):
                conversation.write(b"x" * 10_000)
                for _ in range(5):
                    await turn()
            sent.append(conversation)
            await go
            conversation.write(b"end")
            conversation.close()

        sent: list[Conversation] = []
        self.before(self.backend(script))
        client = await self.client()
        client.transport.pauseProducing()
        client.write(get())
        while not sent:
            await turn()
        self.gateway.pass_time(25)
        self.assertEqual([], self.gateway.outcomes)
        client.transport.resumeProducing()
        while any(s.paused for s in self.gateway._connections.streams()):
            await turn()
        self.gateway.pass_time(1)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        go.callback(None)
        self.assertTrue((await client.answer()).body.endswith(b"xend"))

    async def test_client_leaves_gaps(self) -> None:
        """
        A client that does not wait for 100, and then makes a pause in its body,
        is not the backend's fault.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            await conversation.take(4)
            conversation.write(OK)
            await conversation.ended()

        backend = self.backend(script)
        self.before(backend)
        client = await self.client()
        wire = put(b"body").replace(b"Content", b"Expect: 100-continue\r\nContent")
        client.write(wire[:-3])
        while b"\r\n\r\nb" not in backend.received:
            await turn()
        self.gateway.pass_time(25)
        await turn()
        self.assertEqual([], self.gateway.outcomes)
        client.write(wire[-3:])
        self.assertEqual(200, (await client.answer()).status)

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
        while not any(s.paused for s in self.gateway._connections.streams()):
            await turn()
        self.gateway.later(0)
        self.gateway.later(61)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.CLIENT_CLOSED, outcome.refusal)
        await backend.conversations[0].ended()
        client.transport.resumeProducing()
        with self.assertRaises(Truncated):
            await client.answer()
