from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from appgw.backend.kept import TooManyConnections, WaitedTooLong, Waiter
from appgw.backend.stream import Stream
from appgw.backend.trust import PinRefused
from appgw.config.model import BackendSettings
from appgw.testing import server_context
from tests.backend.lending import STRANGER, LoopbackTests, User, get, turns
from tests.backend.loopback import Backend


class WaitingTests(LoopbackTests):
    """
    Who waits for a connection where there are as many as there may be.
    """

    def setUp(self) -> None:
        """
        Begin with nobody served.
        """
        super().setUp()
        self.served: list[Any] = []

    async def full(self, limit: int = 1) -> list[Stream]:
        """
        Make as many connections as there may be.
        """
        return [
            await self.connections.connect(self.target, limit) for _ in range(limit)
        ]

    def wait(
        self,
        name: str = "",
        *,
        fresh: bool = False,
        target: Any = None,
        **settings: Any,
    ) -> Waiter:
        """
        Wait for a connection; who gets one is noted, with what it got.
        """
        settings = {"max_connections": 1, "max_pending_requests": 3} | settings
        made = BackendSettings(name="web", protocol="https", port=1, **settings)
        waiter = self.connections.wait(target or self.target, made, fresh)
        waiter.granted.addBoth(lambda got: self.served.append((name, got)))
        return waiter

    async def use(self, stream: Stream) -> None:
        """
        Ask for something over *stream*, and give it back.
        """
        user = User()
        get(stream, user)
        await user.ended
        stream.release()

    async def served_by(self, count: int) -> list[str]:
        """
        Wait until so many were served; return their names, in order.
        """
        while len(self.served) < count:
            await turns(1)
        return [name for name, _ in self.served]

    async def test_in_order(self) -> None:
        """
        A connection that is given back goes to who has waited longest, then to
        the next.
        """
        (stream,) = await self.full()
        for name in "abc":
            self.wait(name)
        self.assertEqual(3, self.connections.waiting())
        for number, name in enumerate("abc", 1):
            await self.use(stream)
            self.assertEqual(name, (await self.served_by(number))[-1])
            self.assertIs(stream, self.served[-1][1])
        self.assertEqual(0, self.connections.waiting())
        await self.use(stream)
        self.assertIs(stream, self.connections.idle(self.target))

    async def test_nobody_overtakes(self) -> None:
        """
        Between a connection's return and its use by who waits, nobody else gets
        it, nor the room that another one leaves.
        """
        streams = await self.full(2)
        self.wait("a", max_connections=2)
        self.wait("b", max_connections=2)
        user = User()
        get(streams[0], user)
        await user.ended
        streams[0].release()
        self.assertIsNone(self.connections.idle(self.target))
        streams[1].abort()
        with self.assertRaises(TooManyConnections):
            self.connections.connect(self.target, 2)
        self.assertEqual(["a", "b"], await self.served_by(2))
        self.assertIs(streams[0], self.served[0][1])

    async def test_another_setting(self) -> None:
        """
        Who waits under a low limit keeps nobody from more under a higher one.
        """
        await self.full()
        self.wait("a")
        self.assertIsNotNone(await self.connections.connect(self.target, 2))

    async def test_idle_for_nothing(self) -> None:
        """
        No idle connection is closed where that would not make room enough.
        """
        streams = await self.full(3)
        for stream in streams[1:]:
            self.kept().put_back(stream)
        with self.assertRaises(TooManyConnections):
            self.connections.connect(self.target, 2)
        self.assertEqual(2, len(self.kept().idle))

    async def test_room(self) -> None:
        """
        Where a connection ends, a new one is made for who has waited longest.
        """
        (stream,) = await self.full()
        self.wait("a")
        stream.abort()
        self.assertEqual(["a"], await self.served_by(1))
        self.assertIsNot(stream, self.served[0][1])

    async def test_room_after_a_failure(self) -> None:
        """
        An attempt that fails makes room as well, and tells who it was made for.
        """
        stranger = Backend(self, server_context(STRANGER))
        target = self.to(stranger)
        attempt = self.connections.connect(target, 1)
        self.wait("a", target=target)
        self.wait("b", target=target)
        with self.assertRaises(PinRefused):
            await attempt
        self.assertEqual(["a", "b"], await self.served_by(2))
        for _, failure in self.served:
            failure.trap(PinRefused)

    async def test_fresh(self) -> None:
        """
        For who can't take one that was used, that one is closed and a new one
        made; nobody behind is served before.
        """
        (stream,) = await self.full()
        self.wait("a", fresh=True)
        self.wait("b")
        await self.use(stream)
        self.assertEqual(["a"], await self.served_by(1))
        taken = self.served[0][1]
        self.assertFalse(taken.reused)
        await self.backend.ended(1)
        await self.use(taken)
        self.assertEqual(["a", "b"], await self.served_by(2))
        self.assertIs(taken, self.served[1][1])

    async def test_too_many(self) -> None:
        """
        No more than so many wait.
        """
        await self.full()
        for name in "abc":
            self.wait(name)
        with self.assertRaises(TooManyConnections):
            self.wait("d")
        with self.assertRaises(TooManyConnections):
            self.wait("e", max_pending_requests=0)
        self.assertEqual(3, self.connections.waiting())

    async def test_too_long(self) -> None:
        """
        Each waits for as long as its setting says, and no longer.
        """
        (stream,) = await self.full()
        self.wait("a", pending_timeout=9.0)
        self.wait("b", pending_timeout=3.0)
        self.wait("c")
        for passed, names in ((2.9, ""), (0.1, "b"), (2.0, "bc"), (3.9, "bc")):
            self.seconds.now += passed
            self.connections.sweep(self.seconds.now)
            self.assertEqual(names, "".join(name for name, _ in self.served))
        for _, failure in self.served:
            failure.trap(WaitedTooLong)
        await self.use(stream)
        self.assertEqual(["b", "c", "a"], await self.served_by(3))

    async def test_withdrawn(self) -> None:
        """
        Who is gone gets nothing, and holds nobody up.
        """
        (stream,) = await self.full()
        first = self.wait("a")
        self.wait("b")
        first.withdraw()
        first.withdraw()
        await self.use(stream)
        self.assertEqual(["b"], await self.served_by(1))

    async def test_all_withdraw_at_the_last_moment(self) -> None:
        """
        A connection that was meant for who is gone by then is kept for others.
        """
        (stream,) = await self.full()
        waiter = self.wait("a")
        user = User()
        get(stream, user)
        await user.ended
        stream.release()
        waiter.withdraw()
        await turns()
        self.assertEqual([], self.served)
        self.assertIs(stream, self.connections.idle(self.target))

    async def test_dead_on_return(self) -> None:
        """
        A connection that ends between its return and its use is nobody's; a new
        one takes its place.
        """
        (stream,) = await self.full()
        self.wait("a")
        user = User()
        get(stream, user)
        await user.ended
        stream.release()
        stream.abort()
        self.assertEqual(["a"], await self.served_by(1))
        self.assertIsNot(stream, self.served[0][1])

    async def test_close(self) -> None:
        """
        Whoever waits when everything is closed brings no connection back.
        """
        await self.full()
        self.wait("a")
        self.connections.close()
        await self.backend.ended(1)
        await turns()
        self.assertFalse(self.connections.busy())
        self.assertEqual([], self.served)

    async def test_retired(self) -> None:
        """
        A target that nothing new is sent to serves those who wait for it.
        """
        (stream,) = await self.full()
        self.wait("a")
        self.connections.retain(set())
        await self.use(stream)
        self.assertEqual(["a"], await self.served_by(1))
        await self.use(self.served[0][1])
        await turns()
        self.connections.sweep(self.seconds.now)
        self.assertEqual({}, self.connections.kept)

    async def test_many(self) -> None:
        """
        However many wait, all are served, in their order, by no more connections
        than there may be.
        """
        streams = await self.full(3)
        most = 0

        async def hold(name: str, granted: Deferred[Stream]) -> None:
            nonlocal most
            stream = await granted
            order.append(name)
            most = max(most, len(self.kept().all))
            await self.use(stream)

        order: list[str] = []
        names = [str(number) for number in range(60)]
        running = []
        for name in names:
            settings = BackendSettings(
                name="web",
                protocol="https",
                port=1,
                max_connections=3,
                max_pending_requests=60,
            )
            waiter = self.connections.wait(self.target, settings, fresh=False)
            running.append(Deferred.fromCoroutine(hold(name, waiter.granted)))
        for stream in streams:
            await self.use(stream)
        for one in running:
            await one
        self.assertEqual((names, 3), (order, most))
