from __future__ import annotations

import attrs

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import GET, LEAF, OK, STRANGER, answering, pin, turn
from tests.journey.reloads import ReloadTestCase, beginning, silent


class PinReloadTests(ReloadTestCase):
    """
    What a new configuration means to connections that stand.
    """

    async def test_pin_removed(self) -> None:
        """
        A pin that leaves its setting takes the answers under way with it.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client(secure=True)
        conversation = await self.begun(client, backend)
        before = bytes(conversation.received)
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        await conversation.ended()
        self.assertEqual(before, bytes(conversation.received))
        self.assertFalse(await client.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(before, backend.received)

    async def test_pin_removed_before_the_answer(self) -> None:
        """
        Where nothing was answered yet, the client gets 502.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(GET)
        while not backend.seen:
            await turn()
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        self.assertEqual(502, (await client.answer()).status)
        await backend.conversations[0].ended()

    async def test_pin_removed_during_upload(self) -> None:
        """
        Of a body under way no further byte reaches a backend that lost its pin.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour")
        while not backend.received.endswith(b"four"):
            await turn()
        applied = gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        client.write(b"more")
        await applied
        self.assertEqual(502, (await client.answer()).status)
        await backend.conversations[0].ended()
        self.assertTrue(backend.received.endswith(b"four"))

    async def test_pin_removed_during_connecting(self) -> None:
        """
        A handshake that was begun on the old pins sends no request any more.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(GET)
        while not gateway._connections.busy():
            await turn()
        self.assertEqual([], list(gateway._connections.streams()))
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        self.assertEqual(502, (await client.answer()).status)
        self.assertEqual(b"", backend.received)

    async def test_no_pins_any_more(self) -> None:
        """
        A pin has left its setting, too, where the setting has none any more.
        """
        roots = {"corp": model.TrustedRoot(name="corp", certificates=(LEAF.der,))}
        for changes in (
            {"pins": (), "trusted_roots": ("corp",)},
            {"pins": (), "protocol": "http"},
        ):
            backend = self.backend(beginning)
            config = self.config(backend)
            gateway = self.serve(config)
            conversation = await self.begun(await self.client(), backend)
            settings = attrs.evolve(config.backend_settings["web"], **changes)
            await gateway.apply(
                attrs.evolve(
                    config, trusted_roots=roots, backend_settings={"web": settings}
                )
            )
            await conversation.ended()
            (outcome,) = await self.recorded(1)
            self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)

    async def test_pin_added(self) -> None:
        """
        With a pin more, what runs goes on, and the new certificate is admitted.
        """
        old, new = self.backend(beginning), self.backend(answering(OK), STRANGER)
        config = self.config(old)
        gateway = self.serve(config)
        client = await self.client(secure=True)
        conversation = await self.begun(client, old)
        rotated = self.pinned(self.config(new), pin(LEAF), pin(STRANGER, "stranger"))
        await gateway.apply(rotated)
        self.assertEqual(200, (await self.ask()).status)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))
        outcomes = await self.recorded(2)
        self.assertEqual([None, None], [outcome.refusal for outcome in outcomes])

    async def test_same_pin_under_another_name(self) -> None:
        """
        Pins are compared by what they admit, not by their names.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        conversation = await self.begun(client, backend)
        await gateway.apply(self.pinned(config, pin(LEAF, "renamed")))
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))

    async def test_kept_connections(self) -> None:
        """
        Kept connections that were admitted on other terms are closed.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        self.assertEqual(200, (await self.ask()).status)
        await gateway.apply(config)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(1, len(backend.conversations))
        await gateway.apply(self.pinned(config, pin(LEAF), pin(STRANGER, "more")))
        await backend.conversations[0].ended()
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(2, len(backend.conversations))
