from __future__ import annotations

from appgw import pinning
from appgw.refusal import Refusal
from tests.journey.kit import GET, LEAF, OK, STRANGER, answering, pin, turn
from tests.journey.lives import DAY, TODAY, LifeTestCase, key_pin
from tests.journey.reloads import beginning, silent

UPLOAD = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour"


class RevokedNowTests(LifeTestCase):
    """
    What a pin that is revoked takes with it.
    """

    async def test_running(self) -> None:
        """
        An answer under way is cut, and no further byte reaches the backend.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(self.pinned(config, pin(LEAF), key_pin()))
        client = await self.client(secure=True)
        conversation = await self.begun(client, backend)
        before = bytes(conversation.received)
        revoked = pin(LEAF, state="revoked"), key_pin()
        await gateway.apply(self.pinned(config, *revoked))
        await conversation.ended()
        self.assertFalse(await client.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        self.assertEqual("revoked", self.lines()[0]["pinDecision"])
        self.assertEqual(1, self.refusals(backend, "revoked"))
        said = "its certificate is allowed no more (revoked); connections cut: 1"
        self.assertIn(said, self.messages())
        await self.refused(backend, "revoked")
        self.assertEqual(before, backend.received)

    async def test_upload(self) -> None:
        """
        Of a body under way no further byte reaches the backend.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(UPLOAD)
        while not backend.received.endswith(b"four"):
            await turn()
        gone = self.pinned(config, pin(LEAF, state="revoked"), key_pin())
        applied = gateway.apply(gone)
        client.write(b"more")
        await applied
        self.assertEqual(502, (await client.answer()).status)
        await backend.conversations[0].ended()
        self.assertTrue(backend.received.endswith(b"four"))

    async def test_kept(self) -> None:
        """
        Kept connections are closed, and none is used again.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        self.assertEqual(200, (await self.ask()).status)
        await gateway.apply(self.pinned(config, pin(LEAF, state="revoked"), key_pin()))
        await backend.conversations[0].ended()
        await self.refused(backend, "revoked")

    async def test_connecting(self) -> None:
        """
        A handshake that was begun before sends no request any more.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(GET)
        while not gateway._connections.busy():
            await turn()
        self.assertEqual([], list(gateway._connections.streams()))
        await gateway.apply(self.pinned(config, pin(LEAF, state="revoked"), key_pin()))
        self.assertEqual(502, (await client.answer()).status)
        self.assertEqual(b"", backend.received)
        self.assertEqual(1, self.refusals(backend, "revoked"))

    async def test_others_go_on(self) -> None:
        """
        Who presents another certificate is not touched, whatever is revoked.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        conversation = await self.begun(client, backend)
        gone = pin(STRANGER, "gone", state="revoked")
        await gateway.apply(self.pinned(config, pin(LEAF), gone))
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))


class LastDayTests(LifeTestCase):
    """
    A pin's last day passes, and nothing is reloaded.
    """

    async def test_running(self) -> None:
        """
        What the pin has admitted is cut, and no further byte reaches the backend.
        """
        backend = self.backend(beginning)
        self.behind(backend, pin(LEAF, not_after=TODAY + DAY))
        client = await self.client()
        conversation = await self.begun(client, backend)
        before = bytes(conversation.received)
        self.gateway.pass_days(0)
        self.assertIsNone(conversation.lost)
        self.gateway.pass_days(2)
        await conversation.ended()
        self.assertFalse(await client.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        self.assertEqual("pin-expired", self.lines()[0]["pinDecision"])
        self.assertEqual(1, self.refusals(backend, "pin-expired"))
        await self.refused(backend, "pin-expired")
        self.assertEqual(before, backend.received)

    async def test_upload(self) -> None:
        """
        Of a body under way no further byte reaches the backend.
        """
        backend = self.backend(silent)
        self.behind(backend, pin(LEAF, not_after=TODAY + DAY))
        client = await self.client()
        client.write(UPLOAD)
        while not backend.received.endswith(b"four"):
            await turn()
        client.write(b"more")
        self.gateway.pass_days(2)
        self.assertEqual(502, (await client.answer()).status)
        await backend.conversations[0].ended()
        self.assertTrue(backend.received.endswith(b"four"))

    async def test_kept(self) -> None:
        """
        Kept connections are closed.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF, not_after=TODAY + DAY))
        self.assertEqual(200, (await self.ask()).status)
        self.gateway.pass_days(2)
        await backend.conversations[0].ended()
        await self.refused(backend, "pin-expired")

    async def test_another_pin(self) -> None:
        """
        Where another pin goes on to admit it, so does the connection.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF, not_after=TODAY + DAY), key_pin())
        for _ in range(2):
            self.assertEqual(200, (await self.ask()).status)
            self.gateway.pass_days(2)
        self.assertEqual(1, len(backend.conversations))

    async def test_last_day_of_a_reload(self) -> None:
        """
        A last day that came with a reload ends what had begun before that.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        conversation = await self.begun(client, backend)
        await gateway.apply(self.pinned(config, pin(LEAF, not_after=TODAY + DAY)))
        gateway.pass_days(0)
        self.assertIsNone(conversation.lost)
        gateway.pass_days(2)
        await conversation.ended()
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)

    async def test_swept_within_a_second(self) -> None:
        """
        The gateway looks for it by itself, more often than once a second.
        """
        backend = self.backend(beginning)
        self.behind(backend, pin(LEAF, not_after=TODAY + DAY))
        client = await self.client()
        conversation = await self.begun(client, backend)
        self.assertLess(self.gateway._sweeps.interval, 1)
        self.gateway.clock.days += 2
        await conversation.ended()

    async def test_nobody_is_looked_at_between_dates(self) -> None:
        """
        As long as no date passes, no connection is looked at.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF))
        self.assertEqual(200, (await self.ask()).status)
        looked: list[object] = []
        self.patch(pinning, "withdrawn", lambda *these: looked.append(these))
        self.gateway.pass_days(1)
        self.assertEqual([], looked)
        self.gateway.pass_days(90)
        self.assertEqual(1, len(looked))


class ExpiryTests(LifeTestCase):
    """
    The certificate's own last day passes.
    """

    async def test_kept(self) -> None:
        """
        A kept connection serves no new request, which a handshake would refuse.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF))
        self.assertEqual(200, (await self.ask()).status)
        self.gateway.pass_days(91)
        await backend.conversations[0].ended()
        await self.refused(backend, "expired")

    async def test_running(self) -> None:
        """
        What runs may end, and the connection is not kept after that.
        """
        backend = self.backend(beginning)
        self.behind(backend, pin(LEAF))
        client = await self.client()
        conversation = await self.begun(client, backend)
        self.gateway.pass_days(91)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))
        await conversation.ended()
        await self.refused(backend, "expired")

    async def test_allowed(self) -> None:
        """
        Where the pin lifts the dates, the connection stays.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF, allow_expired=True))
        for _ in range(2):
            self.assertEqual(200, (await self.ask()).status)
            self.gateway.pass_days(91)
        self.assertEqual(1, len(backend.conversations))
