from __future__ import annotations

from twisted.internet.defer import Deferred

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import GET, LEAF, OK, STRANGER, answering, pin, turn
from tests.journey.reloads import ReloadTestCase
from tests.journey.test_flat import Pushing, unsent
from tests.journey.tunnels import UPGRADE, TunnelTestCase, silent
from tests.journey.wire import Client, Conversation

LONG = 1000.0


class TunnelReloadTests(TunnelTestCase, ReloadTestCase):
    """
    What a new configuration means to tunnels.
    """

    async def lives(self, client: Client, conversation: Conversation) -> None:
        """
        Assert that bytes go both ways.
        """
        for first, second in ((client, conversation), (conversation, client)):
            first.write(b"still here")
            self.assertEqual(b"still here", await second.take(10))
        self.assertEqual(1, self.count("appgw_tunnels"))

    async def test_lives_on(self) -> None:
        """
        Whatever a reload changes or takes away, a tunnel lives on the table that
        it began with, its time-out included.
        """
        backend, other = self.backend(silent), self.backend(answering(OK))
        config = self.config(backend, tunnel_idle_timeout=90.0)
        gateway = self.serve(config)
        client, conversation = await self.opened(backend, secure=True)
        for fresh in (
            config,
            self.config(other, tunnel_idle_timeout=5.0),
            self.without(self.config(other), "secure"),
            self.pinned(config, pin(LEAF, "again"), pin(STRANGER, "more")),
        ):
            await gateway.apply(fresh)
            gateway.pass_time(6)
            await self.idly()
            await self.lives(client, conversation)
        gateway.pass_time(0)
        gateway.pass_time(91)
        self.assertFalse(await client.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.TUNNEL_IDLE, outcome.refusal)

    async def test_listener_gone(self) -> None:
        """
        Nor does it end where its client would be told to come anew.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client, conversation = await self.opened(backend, secure=True)
        other = await self.client(secure=True)
        await gateway.apply(self.without(config, "secure"))
        self.assertEqual(421, (await other.ask(GET)).status)
        gateway.pass_time(10)
        await self.lives(client, conversation)
        conversation.close()
        self.assertTrue(await client.ended())
        await self.recorded(2)

    async def test_member_drained(self) -> None:
        """
        Of a member that was removed a tunnel has until the drain timeout, busy or
        not; where there is none, as long as it likes.
        """
        backend, other = self.backend(silent), self.backend(answering(OK))
        for enabled in (True, False):
            draining = model.ConnectionDraining(enabled=enabled, drain_timeout=30.0)
            gateway = self.serve(self.config(backend, connection_draining=draining))
            client, conversation = await self.opened(backend)
            await gateway.apply(self.config(other, connection_draining=draining))
            gateway.pass_time(29)
            await self.lives(client, conversation)
            gateway.pass_time(2)
            if not enabled:
                await self.lives(client, conversation)
                continue
            self.assertFalse(await client.ended())
            self.assertFalse(await conversation.ended())
            (outcome,) = await self.recorded(1)
            self.assertIs(Refusal.DRAINED, outcome.refusal)

    async def test_pin_removed(self) -> None:
        """
        A pin that leaves its setting cuts the tunnels that it admitted, and no
        byte more reaches that backend.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client, conversation = await self.opened(backend, secure=True)
        before = bytes(conversation.received)
        applied = gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        client.write(b"more")
        await applied
        self.assertFalse(await client.ended())
        self.assertFalse(await conversation.ended())
        self.assertEqual(before, bytes(conversation.received))
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        self.assertEqual(101, outcome.status)

    async def test_pin_removed_before_the_answer(self) -> None:
        """
        Where the backend has not agreed yet, the client is told 502.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        backend = self.backend(mute)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(UPGRADE)
        while not backend.received:
            await turn()
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        self.assertEqual(502, (await client.answer()).status)


class TunnelStopTests(TunnelTestCase):
    """
    What the end of the gateway means to tunnels.
    """

    async def test_as_late_as_allowed(self) -> None:
        """
        Nobody can be asked to end a tunnel: it lives until the time to stop is
        over, and then both sides end cleanly.
        """
        backend = self.backend(silent)
        gateway = self.serve(self.config(backend), shutdown_timeout=LONG)
        client, conversation = await self.opened(backend, secure=True)
        stopped = gateway.stopService()
        gateway.pass_time(60)
        await self.idly()
        self.assertNoResult(stopped)
        client.write(b"still here")
        self.assertEqual(b"still here", await conversation.take(10))
        gateway.clock.ahead += LONG
        self.assertTrue(await client.ended())
        self.assertTrue(await conversation.ended())
        await stopped
        (outcome,) = gateway.outcomes
        self.assertEqual((101, None), (outcome.status, outcome.refusal))
        self.assertEqual(1, len(self.file.read_text().splitlines()))

    async def test_its_own_end(self) -> None:
        """
        With the last tunnel's end the stop is over before its time.
        """
        backend = self.backend(silent)
        gateway = self.serve(self.config(backend), shutdown_timeout=LONG)
        client, conversation = await self.opened(backend)
        stopped = gateway.stopService()
        await self.idly()
        self.assertNoResult(stopped)
        conversation.close()
        self.assertTrue(await client.ended())
        await stopped

    async def test_in_flight(self) -> None:
        """
        What the gateway holds when it ends a tunnel arrives.
        """
        for secure in (False, True):
            backend = self.backend(silent, LEAF if secure else None)
            settings = {} if secure else {"protocol": "http"}
            gateway = self.before(backend, **settings)
            client, conversation = await self.opened(backend, secure)
            client.transport.pauseProducing()
            said = 0
            while not any(unsent(gateway)):
                conversation.write(b"x" * 10_000)
                said += 10_000
                await self.idly(5)
            await self.idly()
            client.transport.resumeProducing()
            stopped = gateway.stopService()
            self.assertEqual(said, len(await client.take(said)))
            self.assertTrue(await client.ended())
            await stopped

    async def test_nobody_takes_it(self) -> None:
        """
        Who takes nothing does not hold up the stop.
        """
        backend = self.backend(silent)
        gateway = self.before(backend)
        client, conversation = await self.opened(backend)
        client.transport.pauseProducing()
        Pushing(conversation)
        while not any(unsent(gateway)):
            await turn()
        await gateway.stopService()
        client.transport.resumeProducing()
        self.assertFalse(await client.ended())
        self.assertEqual(1, len(gateway.outcomes))

    async def test_asked_while_stopping(self) -> None:
        """
        A request that was on its way when the stop began may still become one.
        """
        backend = self.backend(silent)
        gateway = self.serve(self.config(backend), shutdown_timeout=LONG)
        client = await self.client()
        stopped: Deferred[None] = gateway.stopService()
        client.write(UPGRADE)
        head = await client.upto(b"\r\n\r\n")
        self.assertIn(b"\r\nConnection: Upgrade\r\n", head)
        self.assertNotIn(b"close", head)
        gateway.hurry()
        self.assertTrue(await client.ended())
        await stopped
