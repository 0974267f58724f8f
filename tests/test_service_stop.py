from __future__ import annotations

import socket

from twisted.internet.defer import Deferred

from appgw.config import model
from tests.journey.kit import GET, OK, PLAIN, SECURE, JourneyTests, answering, turn
from tests.journey.wire import Conversation, Truncated

LONG = 1000.0


class Held:
    """
    A script that answers each request when the test says so.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[None]] = []

    async def __call__(self, conversation: Conversation) -> None:
        """
        Read a request; wait; answer it.
        """
        while True:
            await conversation.request()
            answering_now: Deferred[None] = Deferred()
            self.asked.append(answering_now)
            await answering_now
            conversation.write(OK)

    async def waiting(self, count: int = 1) -> None:
        """
        Wait until so many requests wait.
        """
        while len(self.asked) < count:
            await turn()

    def answer(self) -> None:
        """
        Answer them all.
        """
        asked, self.asked = self.asked, []
        for each in asked:
            each.callback(None)


class StopTests(JourneyTests):
    def held(self, timeout: float = LONG) -> Held:
        """
        Start a gateway before a backend that answers when it is told to.
        """
        script = Held()
        backend = self.backend(script, None)
        config = self.config(backend, protocol="http")
        self.serve(config, shutdown_timeout=timeout)
        return script

    async def test_requests_end(self) -> None:
        """
        A request under way is answered whole before the stop is over.
        """
        script = self.held()
        client = await self.client(secure=True)
        client.write(GET)
        await script.waiting()
        stopped = self.gateway.stopService()
        again = self.gateway.stopService()
        await turn()
        self.assertNoResult(stopped)
        self.assertNoResult(again)
        script.answer()
        answer = await client.answer()
        self.assertEqual((200, b"ok"), (answer.status, answer.body))
        self.assertEqual([b"close"], answer.get(b"connection"))
        self.assertTrue(await client.ended())
        await stopped
        await again
        self.assertEqual(1, len(self.gateway.outcomes))

    async def test_nobody_new(self) -> None:
        """
        While it stops, nobody new is taken in.
        """
        script = self.held()
        client = await self.client()
        _, port = self.gateway.addresses()[PLAIN, 0]
        client.write(GET)
        await script.waiting()
        stopped = self.gateway.stopService()
        await turn()
        await turn()
        with socket.socket() as late:
            self.assertNotEqual(0, late.connect_ex((PLAIN, port)))
        script.answer()
        await stopped

    async def test_who_came_before(self) -> None:
        """
        A client that connected before the stop, not accepted yet, is served.
        """
        script = self.held()
        _, port = self.gateway.addresses()[PLAIN, 0]
        with socket.socket() as early:
            early.connect((PLAIN, port))
            early.sendall(GET)
            stopped = self.gateway.stopService()
            await script.waiting()
            script.answer()
            await stopped
            self.assertTrue(early.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"))

    async def test_next_request(self) -> None:
        """
        A kept client's request that crosses the stop is answered, the last one.
        """
        script = self.held()
        client = await self.client()
        client.write(GET)
        await script.waiting()
        script.answer()
        answer = await client.answer()
        self.assertEqual([], answer.get(b"connection"))
        stopped = self.gateway.stopService()
        client.write(GET)
        await script.waiting()
        script.answer()
        answer = await client.answer()
        self.assertEqual(200, answer.status)
        self.assertEqual([b"close"], answer.get(b"connection"))
        await stopped

    async def test_idle_clients(self) -> None:
        """
        Clients that ask for nothing do not hold up the stop.
        """
        self.held()
        clients = [await self.client(secure) for secure in (False, True)]
        await self.gateway.stopService()
        for client in clients:
            self.assertTrue(await client.ended())

    async def test_time_is_up(self) -> None:
        """
        Whoever is not done within shutdown_timeout is cut, and recorded.
        """
        script = self.held(timeout=0.0)
        client = await self.client(secure=True)
        client.write(GET)
        await script.waiting()
        await self.gateway.stopService()
        await self.assertFailure(Deferred.fromCoroutine(client.answer()), Truncated)
        self.assertEqual(1, len(self.gateway.outcomes))
        self.assertEqual(1, len(self.file.read_text().splitlines()))

    async def test_handshake(self) -> None:
        """
        A client that never ends its handshake is cut as well.
        """
        self.held(timeout=0.0)
        _, port = self.gateway.addresses()[SECURE, 0]
        with socket.socket() as slow:
            slow.connect((SECURE, port))
            while not self.gateway._ports.clients():
                await turn()
            await self.gateway.stopService()
            slow.setblocking(True)
            self.assertRaises(ConnectionResetError, slow.recv, 1)

    async def test_hurry(self) -> None:
        """
        Told to hurry, it waits no longer.
        """
        script = self.held()
        client = await self.client()
        client.write(GET)
        await script.waiting()
        stopped = self.gateway.stopService()
        await turn()
        self.assertNoResult(stopped)
        self.gateway.hurry()
        await stopped
        await client.ended()

    async def test_attempts_under_way(self) -> None:
        """
        A connection to a backend that has not come about is given up.
        """
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        member = model.Member(address="127.0.0.1", port=deaf.getsockname()[1])
        self.before(member)
        client = await self.client()
        client.write(GET)
        connections = self.gateway._connections
        while not connections.busy():
            await turn()
        await self.gateway.stopService()
        self.assertFalse(connections.busy())

    async def test_no_change_while_stopping(self) -> None:
        """
        Neither a new configuration nor a start is taken before the stop is over.
        """
        script = self.held()
        client = await self.client()
        client.write(GET)
        await script.waiting()
        gateway = self.gateway
        stopped = gateway.stopService()
        self.assertRaises(RuntimeError, gateway.apply, gateway.config)
        self.assertRaises(RuntimeError, gateway.startService)
        script.answer()
        await stopped
        gateway.startService()
        await gateway.serving()


class CounterTests(JourneyTests):
    async def test_connections(self) -> None:
        """
        Connections on both sides are counted, those that failed too.
        """
        backend = self.backend(answering(OK))
        nobody = model.Member(address="127.0.0.9", port=backend.port)
        gateway = self.before(nobody, backend)
        client = await self.client()
        for _ in range(3):
            self.assertEqual(200, (await client.ask(GET)).status)
        other = await self.client(secure=True)
        self.assertEqual(200, (await other.ask(GET)).status)
        values = {
            name: self.count(f"appgw_{name}")
            for name in (
                "client_connections",
                "client_connections_accepted_total",
                "backend_connections",
                "backend_connections_made_total",
                "backend_connections_failed_total",
                "access_log_lines_lost",
            )
        }
        self.assertEqual([2, 2, 1, 1, 1, 0], list(values.values()), values)
        self.assertLess(0, self.count("appgw_backend_seconds_connecting_total") or 0)
        await gateway.stopService()
        self.assertEqual(0, self.count("appgw_client_connections"))
        self.assertEqual(0, self.count("appgw_backend_connections"))
        self.assertEqual(2, self.count("appgw_client_connections_accepted_total"))

    async def test_lost_lines(self) -> None:
        """
        Lines that the log could not take are counted, over a change of the log.
        """
        backend = self.backend(answering(OK), None)
        config = self.config(backend, protocol="http")
        nowhere = model.AccessLog(file=str(self.file / "nowhere"))
        gateway = self.serve(config, access_log=nowhere)
        self.assertEqual(200, (await self.ask()).status)
        await gateway.apply(config)
        self.assertEqual(1, self.count("appgw_access_log_lines_lost"))
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(1, len(self.lines()))
