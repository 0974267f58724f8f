from __future__ import annotations

import datetime

import attrs
from OpenSSL import SSL
from twisted.internet.defer import Deferred

from appgw.backend.connections import Connections
from appgw.backend.target import Target
from appgw.backend.trust import PinRefused
from appgw.backend.verdict import Verdict
from appgw.testing import server_context
from tests.backend.lending import LEAF, STRANGER, LoopbackTests
from tests.backend.loopback import Backend, pin
from tests.backend.pools import SETTINGS


class JudgedTests(LoopbackTests):
    """
    Who is told of verdicts on backends.
    """

    def setUp(self) -> None:
        """
        Listen to the verdicts.
        """
        super().setUp()
        self.verdicts: list[tuple[Target, Verdict]] = []

        def judged(target: Target, verdict: Verdict) -> None:
            self.verdicts.append((target, verdict))

        self.connections.judged = judged

    def reasons(self) -> list[str]:
        """
        Return why, in their order.
        """
        return [verdict.reason for _, verdict in self.verdicts]

    async def test_once_per_handshake(self) -> None:
        """
        Each handshake is told once, and a request over a kept connection never.
        """
        for _ in range(2):
            await self.asked()
        stream = await self.connections.connect(self.target, 8)
        stream.abort()
        self.assertEqual(["admitted"] * 3, self.reasons())
        self.assertEqual({self.target}, {target for target, _ in self.verdicts})

    async def test_kept(self) -> None:
        """
        A connection that serves again is not judged again.
        """
        await self.asked()
        stream = self.connections.idle(self.target)
        assert stream is not None
        stream.abort()
        self.assertEqual(["admitted"], self.reasons())

    async def test_refused(self) -> None:
        """
        A refusal is told once, in TLS 1.2 and 1.3.
        """
        for tls12 in (True, False):
            target = self.to(Backend(self, server_context(STRANGER, tls12)))
            with self.assertRaises(PinRefused):
                await self.connections.connect(target, 8)
        self.assertEqual(["not-pinned"] * 2, self.reasons())

    async def test_apart(self) -> None:
        """
        Those that serve no requests are told, too.
        """
        attempt: Deferred[object] = self.connections.apart(self.target).connect(8)
        stream = await attempt
        stream.abort()
        self.assertEqual(["admitted"], self.reasons())

    async def test_other_failures(self) -> None:
        """
        A handshake that comes to nothing for another reason has no verdict.
        """
        nothing = SSL.Context(SSL.TLS_SERVER_METHOD)
        with self.assertRaises(SSL.Error):
            await self.connections.connect(self.to(Backend(self, nothing)), 8)
        self.assertEqual([], self.verdicts)


class ClockTests(LoopbackTests):
    """
    Which clock dates are judged by.
    """

    async def test_injected(self) -> None:
        """
        It is the one that the connections were given.
        """
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=91)
        self.connections = Connections(
            self.connections.reactor, self.seconds, lambda: now
        )
        with self.assertRaises(PinRefused) as raised:
            await self.connections.connect(self.target, 8)
        self.assertEqual("expired", raised.exception.verdict.reason)
        lifting = self.to(self.backend, pins=(pin(LEAF, allow_expired=True),))
        stream = await self.connections.connect(lifting, 8)
        stream.abort()


class SpentTests(LoopbackTests):
    """
    Connections over which nothing new is to go.
    """

    async def test_idle(self) -> None:
        """
        One that is kept is closed at once.
        """
        stream = await self.asked()
        self.connections.spend(stream)
        self.assertIsNone(self.connections.idle(self.target))
        await self.backend.ended()

    async def test_lent(self) -> None:
        """
        One that carries a request is closed when it is given back.
        """
        stream = await self.asked()
        self.assertIs(stream, self.connections.idle(self.target))
        self.connections.spend(stream)
        self.assertTrue(stream.transport.connected)
        self.kept().put_back(stream)
        self.assertIsNone(self.connections.idle(self.target))
        await self.backend.ended()

    async def test_reserved(self) -> None:
        """
        One that was given back for somebody who waits is closed, and who waits is
        given a new one.
        """
        stream = await self.asked()
        self.assertIs(stream, self.connections.idle(self.target))
        settings = attrs.evolve(SETTINGS, max_connections=1, max_pending_requests=1)
        waiter = self.connections.wait(self.target, settings, False)
        self.kept().put_back(stream)
        self.assertEqual([stream], self.kept().reserved)
        self.connections.spend(stream)
        granted = await waiter.granted
        self.assertIsNot(stream, granted)
        await self.backend.ended()
