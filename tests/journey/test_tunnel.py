from __future__ import annotations

import tracemalloc

from twisted.internet.defer import Deferred

from appgw.refusal import Refusal
from tests.journey.kit import GET, LEAF, OK, Backend, both, turn
from tests.journey.test_flat import PIECE, PIECES, Pushing, slowly, unsent
from tests.journey.tunnels import (
    SWITCHED,
    UPGRADE,
    TunnelTestCase,
    silent,
    switching,
)
from tests.journey.wire import Client, Conversation

BULK = bytes(range(256)) * 4096
"""1 MiB, and many TLS records."""


class FlowTests(TunnelTestCase):
    """
    What goes through a tunnel.
    """

    async def test_both_ways(self) -> None:
        """
        Bytes go both ways as they are, whatever they look like.
        """
        for secure in (False, True):
            backend = self.backend(silent, LEAF if secure else None)
            self.before(backend, **({} if secure else {"protocol": "http"}))
            client, conversation = await self.opened(backend, secure)
            for data in (b"\0", GET, UPGRADE, SWITCHED, OK, BULK, b"0\r\n\r\n"):
                client.write(data)
                self.assertEqual(data, await conversation.take(len(data)))
                conversation.write(data)
                self.assertEqual(data, await client.take(len(data)))
            self.assertEqual(b"", client.unread + conversation.unread)

    async def test_with_the_head(self) -> None:
        """
        What comes in one record with the 101, or with the request's head, is the
        first of the tunnel's bytes, however much it is.
        """
        backend = self.backend(switching(SWITCHED + b"hello" + BULK))
        self.before(backend)
        for secure in (False, True):
            client = await self.client(secure)
            client.write(UPGRADE + b"early" + BULK)
            await client.upto(b"\r\n\r\n")
            said = await client.take(2 * (5 + len(BULK)))
            self.assertEqual(b"hello" + BULK + b"EARLY" + BULK.upper(), said)

    async def flood(self, secure: bool) -> tuple[Client, Conversation]:
        """
        Let both sides say 64 MiB, and listen to nothing.
        """
        backend = self.backend(silent, LEAF if secure else None)
        self.before(backend, **({} if secure else {"protocol": "http"}))
        client, conversation = await self.opened(backend, secure)
        for wire in (client, conversation):
            wire.unread = b""
            wire.transport.pauseProducing()
            Pushing(wire)
        return client, conversation

    async def test_flood(self) -> None:
        """
        Of what nobody takes, little is held; it all arrives once it is taken.
        """
        size = len(PIECE) * PIECES
        for secure in (False, True):
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            client, conversation = await self.flood(secure)
            before = -1
            while before != (before := sum(unsent(self.gateway))):
                await self.idly(100)
            self.assertGreater(before, 0)
            self.assertLess(max(unsent(self.gateway)), 1 << 20)
            held = await both(
                slowly(client, self.gateway, size),
                slowly(conversation, self.gateway, size),
            )
            self.assertLess(max(held), 1 << 20)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertLess(peak, 16 << 20)
            client.reset()
            (outcome,) = await self.recorded(1)
            self.assertEqual(size, outcome.received)
            self.assertGreater(outcome.sent, size)
            self.assertLess(outcome.sent, size + 1000)

    async def test_one_way_only(self) -> None:
        """
        A side that is not listened to holds up nothing that it says itself.
        """
        backend = self.backend(silent)
        self.before(backend)
        client, conversation = await self.opened(backend, secure=True)
        client.transport.pauseProducing()
        Pushing(conversation)
        while not any(unsent(self.gateway)):
            await turn()
        await self.idly()
        for number in range(100):
            client.write(b"%3d" % number)
            self.assertEqual(b"%3d" % number, await conversation.take(3))


class TimeTests(TunnelTestCase):
    """
    How long a tunnel lives; the clock is moved by the tests.
    """

    async def test_idle(self) -> None:
        """
        Nothing either way for the tunnel's own time ends it, on both sides, and
        the log says why.
        """
        backend = self.backend(silent)
        gateway = self.before(backend, request_timeout=1.0, tunnel_idle_timeout=90.0)
        client, conversation = await self.opened(backend, secure=True)
        gateway.pass_time(0)
        gateway.pass_time(89)
        await self.idly()
        self.assertEqual([], gateway.outcomes)
        gateway.pass_time(2)
        self.assertFalse(await client.ended())
        self.assertFalse(await conversation.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.TUNNEL_IDLE, outcome.refusal)
        (line,) = self.lines()
        self.assertEqual(101, line["httpStatus"])
        self.assertEqual("ERRORINFO_TUNNEL_IDLE", line["error_info"])
        self.assertEqual(1, self.count("appgw_refusals_total", reason="tunnel_idle"))

    async def test_default(self) -> None:
        """
        It is five minutes where the setting says nothing.
        """
        backend = self.backend(silent)
        gateway = self.before(backend)
        client, _ = await self.opened(backend)
        gateway.pass_time(0)
        gateway.pass_time(299)
        await self.idly()
        self.assertEqual([], gateway.outcomes)
        gateway.pass_time(2)
        self.assertFalse(await client.ended())

    async def test_traffic(self) -> None:
        """
        A byte in either direction is enough to live on.
        """
        backend = self.backend(silent)
        gateway = self.before(backend, tunnel_idle_timeout=90.0)
        client, conversation = await self.opened(backend)
        ends = (client, conversation)
        for first, second in (ends, ends[::-1]) * 3:
            gateway.pass_time(60)
            first.write(b"!")
            await second.take(1)
        self.assertEqual([], gateway.outcomes)

    async def test_stalled(self) -> None:
        """
        What waits and is not taken is no traffic; what is taken is.
        """
        backend = self.backend(silent, None)
        gateway = self.before(backend, protocol="http", tunnel_idle_timeout=90.0)
        client, conversation = await self.opened(backend)
        client.transport.pauseProducing()
        Pushing(conversation)
        while not any(unsent(gateway)):
            await turn()
        await self.idly(100)
        gateway.pass_time(0)
        gateway.pass_time(60)
        (tunnel,) = [one.user for one in gateway._connections.tunnels()]
        before = tunnel.request.sent
        client.transport.resumeProducing()
        while tunnel.request.sent == before:
            await turn()
        client.transport.pauseProducing()
        await self.idly(100)
        gateway.pass_time(60)
        await self.idly()
        self.assertEqual([], gateway.outcomes)
        gateway.pass_time(91)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.TUNNEL_IDLE, outcome.refusal)
        client.transport.resumeProducing()
        self.assertFalse(await client.ended())
        self.assertFalse(await conversation.ended())


class CountTests(TunnelTestCase):
    """
    What is known of tunnels.
    """

    async def test_line(self) -> None:
        """
        A tunnel has one line in the log, when it ends, and is counted while it
        lasts.
        """
        backend = self.backend(switching(SWITCHED + b"hello"))
        gateway = self.before(backend)
        self.assertEqual(0, self.count("appgw_tunnels"))
        client, _ = await self.opened(backend, secure=True)
        await client.take(5)
        head = len(client.received) - 5
        client.write(BULK)
        await client.take(len(BULK))
        self.assertEqual(1, self.count("appgw_tunnels"))
        self.assertEqual([], gateway.outcomes)
        self.assertEqual([], self.lines())
        gateway.clock.ahead += 100
        client.close()
        (outcome,) = await self.recorded(1)
        (line,) = self.lines()
        self.assertEqual(101, line["httpStatus"])
        self.assertEqual("101", line["serverStatus"])
        self.assertEqual("ERRORINFO_NO_ERROR", line["error_info"])
        self.assertEqual(len(BULK), line["receivedBytes"])
        self.assertEqual(head + 5 + len(BULK), line["sentBytes"])
        self.assertEqual("leaf", line["backendPin"])
        self.assertLess(100, float(line["timeTaken"]))
        self.assertLess(100, float(line["clientResponseTime"]))
        self.assertGreater(100, float(line["serverResponseLatency"]))
        self.assertEqual(outcome.first_byte_time, outcome.server_time)
        self.assertEqual(0, self.count("appgw_tunnels"))
        self.assertEqual(0, self.count("appgw_backend_connections"))

    async def test_kept_no_longer(self) -> None:
        """
        After a tunnel neither connection serves anybody again.
        """
        backend = self.backend(silent)
        gateway = self.before(backend)
        client, conversation = await self.opened(backend)
        conversation.close()
        self.assertTrue(await client.ended())
        await self.recorded(1)
        (kept,) = gateway._connections.kept.values()
        self.assertEqual((0, 0), (len(kept.idle), len(kept.all)))

    async def test_limit(self) -> None:
        """
        Tunnels count among a backend's connections.
        """
        backend = self.backend(silent)
        self.before(backend, max_connections=2)
        opened = [await self.opened(backend) for _ in range(2)]
        self.assertEqual(503, (await self.ask()).status)
        self.assertEqual(503, (await self.ask(UPGRADE)).status)
        opened[0][0].reset()
        await self.recorded(3)
        while self.count("appgw_backend_connections") == 2:
            await turn()
        await self.opened(backend)

    async def test_in_line(self) -> None:
        """
        With a tunnel's end there is room for who waits for a connection.
        """
        backend = self.backend(silent)
        gateway = self.before(backend, max_connections=1, max_pending_requests=1)
        client, _ = await self.opened(backend)
        waits = await self.client()
        waits.write(UPGRADE)
        while not gateway._connections.waiting():
            await turn()
        client.reset()
        self.assertIn(b" 101 ", await waits.upto(b"\r\n\r\n"))

    async def test_no_fault(self) -> None:
        """
        A backend that breaks its tunnels off is not left alone for that: it has
        answered each request.
        """
        backends = [self.backend(silent), self.backend(silent)]
        gateway = self.before(*backends)
        for number in range(1, 17):
            client = await self.client()
            client.write(UPGRADE)
            await client.upto(b"\r\n\r\n")
            for one in backends:
                for conversation in one.conversations:
                    conversation.reset()
            self.assertFalse(await client.ended())
            outcomes = await self.recorded(number)
            self.assertIs(Refusal.BACKEND_CLOSED, outcomes[-1].refusal)
        (pool,) = gateway._built.pools.values()
        self.assertEqual({}, dict(pool.rests))

    async def test_many(self) -> None:
        """
        Many tunnels at once carry each its own.
        """
        backend: Backend = self.backend(switching())
        self.before(backend)
        done: list[int] = []

        async def one(number: int) -> None:
            client = await self.client(secure=number % 2 == 0)
            client.write(UPGRADE)
            await client.upto(b"\r\n\r\n")
            for turn_of in range(20):
                said = b"client %d, %d|" % (number, turn_of) * (number + 1)
                client.write(said)
                self.assertEqual(said.upper(), await client.take(len(said)))
            done.append(number)
            client.close()

        await both(*(one(number) for number in range(30)))
        self.assertEqual(30, len(done))
        await self.recorded(30)
        ended: list[Deferred[bool]] = [
            Deferred.fromCoroutine(one.ended()) for one in backend.conversations
        ]
        self.assertEqual([True] * 30, [await one for one in ended])
