from __future__ import annotations

import attrs
from twisted.internet.error import ConnectError, ConnectingCancelledError

from appgw.backend import kept
from appgw.backend.kept import TooManyConnections
from appgw.backend.trust import PinRefused
from appgw.testing import server_context
from tests.backend.lending import LEAF, STRANGER, LoopbackTests, User, get, turns
from tests.backend.loopback import Backend, pin


class ConnectionsTests(LoopbackTests):
    async def test_kept_and_taken(self) -> None:
        """
        What was given back is handed out again, the last used first.
        """
        self.assertIsNone(self.connections.idle(self.target))
        streams = []
        for _ in range(3):
            stream = await self.connections.connect(self.target, 99)
            self.assertFalse(stream.reused)
            user = User()
            get(stream, user)
            await user.ended
            self.assertEqual([200, b"hello"], user.told)
            streams.append(stream)
        self.assertIsNone(self.connections.idle(self.target))
        for stream in streams:
            stream.release()
        for stream in reversed(streams):
            self.assertIs(stream, self.connections.idle(self.target))
            self.assertTrue(stream.reused)
        self.assertIsNone(self.connections.idle(self.target))
        self.assertEqual(set(streams), set(self.connections.streams()))

    async def test_target_is_the_key(self) -> None:
        """
        A Target that differs in anything shares no connection.
        """
        await self.asked()
        for change in (
            {"pins": (pin(LEAF), pin(STRANGER))},
            {"pins": None, "roots": (LEAF.der,)},
            {"server_name": "a.example"},
            {"name": "a.example"},
            {"verify_name": True},
            {"well_known": True},
            {"alpn": ()},
            {"address": "127.0.0.2"},
            {"port": 1},
            {"protocol": "http"},
        ):
            other = attrs.evolve(self.target, **change)
            self.assertIsNone(self.connections.idle(other), change)
        same = attrs.evolve(self.target)
        self.assertIsNotNone(self.connections.idle(same))

    async def test_refused(self) -> None:
        """
        A stranger is PinRefused, and was sent nothing.
        """
        stranger = Backend(self, server_context(STRANGER))
        with self.assertRaises(PinRefused):
            await self.connections.connect(self.to(stranger), 99)
        self.assertEqual([], stranger.received)
        self.assertFalse(self.connections.busy())
        attempts = self.connections.attempts
        self.assertEqual((0, 0), (attempts.made, attempts.failed))

    async def test_nobody_there(self) -> None:
        """
        Where nobody listens, connecting fails and leaves nothing behind.
        """
        closed = attrs.evolve(self.target, address="127.0.0.3")
        with self.assertRaises(ConnectError):
            await self.connections.connect(closed, 99)
        self.assertFalse(self.connections.busy())
        self.assertEqual(1, self.connections.attempts.failed)

    async def test_limit(self) -> None:
        """
        Attempts count towards the limit of connections, and lost ones do not.
        """
        first = self.connections.connect(self.target, 2)
        second = self.connections.connect(self.target, 2)
        with self.assertRaises(TooManyConnections):
            self.connections.connect(self.target, 2)
        (await first).abort()
        with self.assertRaises(ConnectError):
            other = attrs.evolve(self.target, address="127.0.0.3")
            await self.connections.connect(other, 2)
        await second
        self.assertIsNotNone(await self.connections.connect(self.target, 2))

    async def test_idle_ones_make_room(self) -> None:
        """
        At the limit, an idle connection is closed for a new one that is needed,
        the one that has been idle for longest; busy ones are not.
        """
        streams = [await self.connections.connect(self.target, 2) for _ in range(2)]
        for stream in streams:
            self.kept().put_back(stream)
        fresh = await self.connections.connect(self.target, 2)
        self.assertEqual({streams[1], fresh}, self.kept().all)
        self.assertIs(streams[1], self.connections.idle(self.target))
        with self.assertRaises(TooManyConnections):
            self.connections.connect(self.target, 2)

    async def test_most_idle(self) -> None:
        """
        Beyond the limit of idle connections, what is given back is closed.
        """
        self.patch(kept, "MAX_IDLE", 1)
        streams = [await self.connections.connect(self.target, 99) for _ in range(3)]
        for stream in streams:
            self.kept().put_back(stream)
        self.assertEqual([streams[0]], list(self.kept().idle))
        await self.backend.ended(2)
        await turns()
        self.assertEqual({streams[0]}, self.kept().all)

    async def test_no_time(self) -> None:
        """
        What its backend keeps for no time is closed at once.
        """
        stream = await self.connections.connect(self.target, 99)
        self.kept().put_back(stream, 0.0)
        await self.backend.ended(1)

    async def test_idle_time(self) -> None:
        """
        A connection is handed out for a minute after its last use.
        """
        for waited, there in ((59.0, True), (61.0, False)):
            await self.asked()
            self.seconds.now += waited
            stream = self.connections.idle(self.target)
            self.assertEqual(there, stream is not None)
            if stream is not None:
                stream.abort()
        await self.backend.ended(2)

    async def test_age(self) -> None:
        """
        A connection is used for an hour at most, however busy it is.
        """
        stream = await self.asked()
        for _ in range(62):
            self.seconds.now += 58.0
            taken = self.connections.idle(self.target)
            self.assertIs(stream, taken)
            user = User()
            get(stream, user)
            await user.ended
            stream.release()
        self.assertEqual(1000.0 + 3596.0, self.seconds.now)
        self.seconds.now += 5.0
        self.assertIsNone(self.connections.idle(self.target))
        await self.backend.ended(1)

    async def test_sweep(self) -> None:
        """
        A sweep closes what has waited its time, and lets the rest be.
        """
        await self.asked()
        self.connections.sweep(self.seconds.now + 59.0)
        self.assertEqual(1, len(self.kept().idle))
        self.connections.sweep(self.seconds.now + 60.0)
        self.assertEqual(0, len(self.kept().idle))
        await self.backend.ended(1)

    async def test_sweep_spares_the_busy(self) -> None:
        """
        A connection that is lent out is nobody's to sweep.
        """
        stream = await self.connections.connect(self.target, 99)
        self.connections.sweep(self.seconds.now + 10_000.0)
        user = User()
        get(stream, user)
        await user.ended
        stream.release()
        self.assertEqual([200, b"hello"], user.told)

    async def test_retain(self) -> None:
        """
        What is not retained is closed where it is idle, kept by nobody where
        it is lent, and forgotten in the end.
        """
        lent = await self.connections.connect(self.target, 99)
        await self.asked()
        self.connections.retain(set())
        self.assertIsNone(self.connections.idle(self.target))
        await self.backend.ended(1)
        user = User()
        get(lent, user)
        await user.ended
        lent.release()
        self.assertIsNone(self.connections.idle(self.target))
        await self.backend.ended(2)
        await turns()
        self.connections.sweep(self.seconds.now)
        self.assertEqual({}, self.connections.kept)
        # One that is connected to all the same is not kept either.
        await self.asked()
        self.assertIsNone(self.connections.idle(self.target))
        self.connections.retain({self.target})
        await self.asked()
        self.assertIsNotNone(self.connections.idle(self.target))

    async def test_close(self) -> None:
        """
        Closing ends connections and attempts alike.
        """
        await self.asked()
        lent = await self.connections.connect(self.target, 99)
        user = User()
        get(lent, user)
        attempt = self.connections.connect(self.target, 99)
        self.connections.close()
        with self.assertRaises(ConnectingCancelledError):
            await attempt
        await self.backend.ended(2)
        await turns()
        self.assertFalse(self.connections.busy())

    async def test_closed_by_the_backend(self) -> None:
        """
        A kept connection that its backend has closed is not handed out.
        """
        stream = await self.asked()
        for live in self.backend.live:
            live.transport.loseConnection()
        await self.backend.ended(1)
        await turns()
        self.assertIsNone(self.connections.idle(self.target))
        self.assertFalse(stream.silent())
        self.assertEqual(set(), self.kept().all)
