from __future__ import annotations

from appgw.backend.pool import Pool
from tests.journey.kit import GET, OK, JourneyTests, answering, both, put, turn
from tests.journey.wire import Conversation


class BudgetTests(JourneyTests):
    """
    Second attempts, and how many there are.
    """

    def pool(self) -> Pool:
        """
        Return the pool in force.
        """
        (pool,) = self.gateway._built.pools.values()
        return pool

    def retries(self, outcome: str) -> float:
        """
        Return how many second attempts had this outcome.
        """
        labels = {"pool": "web", "setting": "web", "outcome": outcome}
        return self.count("appgw_retries_total", **labels) or 0

    async def test_next_member(self) -> None:
        """
        Each step to the next member is one; where none is left, none is counted.
        """
        backend = self.backend(answering(OK))
        self.serve(self.config(self.dead(), self.dead(), backend))
        for _ in range(3):
            self.assertEqual(200, (await self.ask(put(b"x", b"POST"))).status)
        failed = self.count("appgw_backend_connections_failed_total")
        self.assertEqual((2, 0), (self.retries("made"), self.retries("denied")))
        self.assertEqual(2, failed)
        self.serve(self.config(self.dead()))
        for _ in range(15):
            self.assertEqual(502, (await self.ask()).status)
        self.assertEqual((0, 0), (self.retries("made"), self.retries("denied")))

    async def test_exhausted(self) -> None:
        """
        Where the budget is spent, a request gets the answer it would have got
        from the last member that was tried; later ones find the way by what was
        learnt, and after ten seconds there is a budget again.
        """
        backend = self.backend(answering(OK))
        dead = [self.dead() for _ in range(14)]
        self.serve(self.config(*dead, backend))
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual((10, 1), (self.retries("made"), self.retries("denied")))
        failed = "appgw_backend_connections_failed_total"
        self.assertEqual(11, self.count(failed))
        self.assertIn("Pool web: no more second attempts", self.messages())
        (line,) = self.lines()
        self.assertEqual("ERRORINFO_UPSTREAM_NO_LIVE", line["error_info"])
        while (await self.ask()).status != 200:
            pass
        self.gateway.pass_time(9)
        before = self.retries("made")
        self.assertLessEqual(self.count(failed) or 0, 14)
        self.gateway.pass_time(1)
        # Those that are due are found out about, a request each.
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(before + 1, self.retries("made"))

    async def test_kept_connections(self) -> None:
        """
        Requests whose kept connections end under them are sent again as long as
        the budget lasts, and 502 beyond it.
        """

        async def once(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.request()
            conversation.reset()

        backend = self.backend(once)
        self.before(backend)
        clients = [await self.client() for _ in range(15)]
        for client in clients:
            client.write(GET)
        while len(backend.seen) < 15:
            await turn()
        kept = list(backend.conversations)
        for conversation in kept:
            conversation.write(OK)
        await both(*(client.answer() for client in clients))
        self.assertEqual(15, self.gateway.counters.requests("web", "web"))

        async def anew(conversation: Conversation) -> None:
            await conversation.request()
            while any(one.lost is None for one in kept):
                await turn()
            conversation.write(OK)

        backend.script = anew
        for client in clients:
            client.write(GET)
        answered = await both(*(client.answer() for client in clients))
        made, denied = self.retries("made"), self.retries("denied")
        requests = self.gateway.counters.requests("web", "web")
        self.assertLessEqual(made, 10 + 0.2 * requests)
        self.assertEqual(denied, [one.status for one in answered].count(502))
        self.assertEqual(15, made + denied)
        self.assertGreater(denied, 0)

    async def test_nothing_sent(self) -> None:
        """
        A kept connection that has ended before anything was sent costs nothing.
        """

        async def last(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(OK)
            conversation.close()

        backend = self.backend(last)
        self.before(backend)
        for _ in range(30):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((0, 0), (self.retries("made"), self.retries("denied")))

    async def test_full_ones(self) -> None:
        """
        To go on from a member that is full costs nothing: it was not asked.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        busy, other = self.backend(mute), self.backend(answering(OK))
        self.before(busy, other, max_connections=1)
        client = await self.client()
        client.write(GET)
        while not busy.seen:
            await turn()
        for _ in range(30):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((0, 0), (self.retries("made"), self.retries("denied")))

    async def test_over_a_reload(self) -> None:
        """
        What is spent stays spent over a reload.
        """
        backend = self.backend(answering(OK))
        config = self.config(*(self.dead() for _ in range(14)), backend)
        gateway = self.serve(config)
        self.assertEqual(502, (await self.ask()).status)
        before = self.pool().budget
        await gateway.apply(config)
        self.assertIs(before, self.pool().budget)
