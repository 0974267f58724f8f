from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.backend import kept
from appgw.refusal import Refusal
from tests.journey.kit import GET, OK, JourneyTests, both, turn
from tests.journey.wire import Conversation


class LimitTests(JourneyTests):
    """
    How many connections there are to a backend.
    """

    async def test_limits(self) -> None:
        """
        64 idle connections are kept, and no more than the limit are made.
        """
        self.assertEqual(64, kept.MAX_IDLE)
        self.patch(kept, "MAX_IDLE", 2)
        all_here: Deferred[None] = Deferred()

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            waiting: Deferred[None] = Deferred()
            all_here.addCallback(waiting.callback)
            await waiting
            conversation.write(OK)

        backend = self.backend(script)
        self.before(backend, max_connections=5)
        clients = [await self.client() for _ in range(5)]
        for client in clients:
            client.write(GET)
        while len(backend.seen) < 5:
            await turn()
        refused = await self.ask()
        self.assertEqual(503, refused.status)
        self.assertEqual([b"1"], refused.get(b"retry-after"))
        all_here.callback(None)
        answers = await both(*(client.answer() for client in clients))
        self.assertEqual([200] * 5, [answer.status for answer in answers])
        (there,) = self.gateway._connections.kept.values()
        self.assertEqual(2, len(there.idle))
        while len(there.all) > 2:
            await turn()
        outcomes = await self.recorded(6)
        self.assertIs(Refusal.BACKEND_FULL, outcomes[0].refusal)
        self.assertEqual("ERRORINFO_UPSTREAM_FULL", self.lines()[0]["error_info"])
        self.assertEqual(1, self.count("appgw_refusals_total", reason="backend_full"))
        self.assertEqual(1, self.messages().count("all of 5 connections are in use"))

    async def test_full_or_dead(self) -> None:
        """
        Where one member is full and others are dead, the site is busy: 503.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        backend = self.backend(script)
        dead = self.dead()
        self.serve(self.config(dead, backend, dead, max_connections=1))
        first = await self.client()
        first.write(GET)
        while not backend.seen:
            await turn()
        (pool,) = self.gateway._built.pools.values()
        for _ in range(3):
            pool.rests.clear()
            pool.rests.version += 1
            self.assertEqual(503, (await self.ask()).status)
        for outcome in await self.recorded(3):
            assert outcome.candidate is not None
            self.assertEqual(backend.port, outcome.candidate.port)
