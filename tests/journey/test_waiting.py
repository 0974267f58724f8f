from __future__ import annotations

from typing import Any

from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    OK,
    Backend,
    JourneyTests,
    answering,
    both,
    get,
    put,
    turn,
)
from tests.journey.wire import Client, Conversation


async def obedient(conversation: Conversation) -> None:
    """
    Read requests, and leave the answers to the test.
    """
    while True:
        await conversation.request()


class WaitingTests(JourneyTests):
    """
    Requests that wait for a connection.
    """

    def full(self, **settings: Any) -> Backend:
        """
        Start a gateway before a backend that takes one connection.
        """
        backend = self.backend(obedient)
        limits = {"max_connections": 1, "max_pending_requests": 2} | settings
        self.serve(self.config(backend, **limits))
        return backend

    async def asking(self, wire: bytes, backend: Backend, seen: int) -> Client:
        """
        Ask, and wait until the backend has seen so many requests.
        """
        client = await self.client()
        client.write(wire)
        while len(backend.seen) < seen:
            await turn()
        return client

    async def in_line(self, wire: bytes) -> Client:
        """
        Ask, and wait until the request waits.
        """
        waiting = self.gateway._connections.waiting()
        client = await self.client()
        client.write(wire)
        while self.gateway._connections.waiting() == waiting:
            await turn()
        return client

    async def test_in_order(self) -> None:
        """
        Requests beyond the limit are answered one after the other, in the order
        that they came, over the one connection; beyond those that may wait it is
        503 at once.
        """
        backend = self.full()
        clients = [await self.asking(get(b"/0"), backend, 1)]
        clients += [await self.in_line(get(b"/%d" % n)) for n in (1, 2)]
        self.assertEqual(2, self.count("appgw_backend_requests_waiting"))
        refused = await self.ask(get(b"/3"))
        self.assertEqual((503, [b"1"]), (refused.status, refused.get(b"retry-after")))
        (conversation,) = backend.conversations
        for number, client in enumerate(clients):
            while len(backend.seen) == number:
                await turn()
            self.assertEqual(b"/%d" % number, backend.seen[-1].target)
            conversation.write(OK)
            self.assertEqual(200, (await client.answer()).status)
        outcomes = await self.recorded(4)
        self.assertIs(Refusal.BACKEND_FULL, outcomes[0].refusal)
        self.assertEqual(1, len(backend.conversations))
        self.assertEqual(0, self.count("appgw_backend_requests_waiting"))

    async def test_too_long(self) -> None:
        """
        Who has waited for its time is told so with 503, and the reason is noted;
        the one that is served goes on.
        """
        backend = self.full(pending_timeout=3.0)
        served = await self.asking(GET, backend, 1)
        waiting = await self.in_line(GET)
        self.gateway.pass_time(2)
        self.assertEqual(1, self.count("appgw_backend_requests_waiting"))
        self.gateway.pass_time(1)
        answer = await waiting.answer()
        self.assertEqual((503, [b"1"]), (answer.status, answer.get(b"retry-after")))
        self.assertIn(b"busy", answer.body)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.WAITED_TOO_LONG, outcome.refusal)
        assert outcome.candidate is not None
        self.assertEqual(backend.port, outcome.candidate.port)
        reason = "waited_too_long"
        self.assertEqual(1, self.count("appgw_refusals_total", reason=reason))
        (line,) = self.lines()
        self.assertEqual("ERRORINFO_UPSTREAM_QUEUE_TIMED_OUT", line["error_info"])
        backend.conversations[0].write(OK)
        self.assertEqual(200, (await served.answer()).status)
        self.assertEqual(1, len(backend.seen))

    async def test_client_leaves(self) -> None:
        """
        A client that leaves makes room in the line, and its request is not sent.
        """
        backend = self.full(max_pending_requests=1, pending_timeout=3600.0)
        first = await self.asking(get(b"/first"), backend, 1)
        gone = await self.in_line(get(b"/gone"))
        gone.reset()
        while self.gateway._connections.waiting():
            await turn()
        second = await self.in_line(get(b"/second"))
        for client in (first, second):
            while len(backend.seen) < 1 + (client is second):
                await turn()
            backend.conversations[0].write(OK)
            self.assertEqual(200, (await client.answer()).status)
        self.assertEqual([b"/first", b"/second"], [m.target for m in backend.seen])

    async def test_backend_hangs_up(self) -> None:
        """
        Where the connection ends, who waits gets a new one.
        """
        backend = self.full()
        first = await self.asking(put(b"x", b"POST"), backend, 1)
        second = await self.in_line(GET)
        backend.conversations[0].close()
        self.assertEqual(502, (await first.answer()).status)
        while len(backend.seen) < 2:
            await turn()
        backend.conversations[1].write(OK)
        self.assertEqual(200, (await second.answer()).status)

    async def test_bodies(self) -> None:
        """
        A request with a body waits as well, whether it may be repeated or not;
        what of the body comes meanwhile is not lost.
        """
        backend = self.full(max_pending_requests=4)
        first = await self.asking(GET, backend, 1)
        body = b"x" * 300_000
        clients = []
        for method in (b"POST", b"PUT"):
            wire = put(body, method)
            client = await self.in_line(wire[:100])
            client.write(wire[100:])
            clients.append(client)
        for number, client in enumerate((first, *clients)):
            while len(backend.seen) == number:
                await turn()
            backend.conversations[-1].write(OK)
            self.assertEqual(200, (await client.answer()).status)
        self.assertEqual([b"", body, body], [one.body for one in backend.seen])

    async def test_another_member(self) -> None:
        """
        Nobody waits while another member has room.
        """
        busy, other = self.backend(obedient), self.backend(answering(OK))
        self.serve(self.config(busy, other, max_connections=1, max_pending_requests=9))
        waiting = await self.client()
        waiting.write(GET)
        while not busy.seen:
            await turn()
        for _ in range(4):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((1, 4), (len(busy.seen), len(other.seen)))

    async def test_stop(self) -> None:
        """
        A gateway that stops leaves nobody waiting.
        """
        backend = self.full()
        clients = [await self.asking(GET, backend, 1), await self.in_line(GET)]
        await self.gateway.stopService()
        for client in clients:
            await client.ended()
        self.assertEqual(1, len(backend.conversations))

    async def test_under_load(self) -> None:
        """
        Many clients share few connections, and none of them sees an error.
        """
        backend = self.backend(answering(OK))
        self.serve(self.config(backend, max_connections=3, max_pending_requests=50))

        async def one() -> None:
            client = await self.client()
            for _ in range(10):
                self.assertEqual(200, (await client.ask(GET)).status)

        await both(*(one() for _ in range(30)))
        self.assertEqual((300, 3), (len(backend.seen), len(backend.conversations)))
