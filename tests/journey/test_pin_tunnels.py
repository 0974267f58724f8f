from __future__ import annotations

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import LEAF, Backend, pin
from tests.journey.lives import DAY, TODAY, LifeTestCase, key_pin
from tests.journey.tunnels import TunnelTestCase, silent
from tests.journey.wire import Client, Conversation


class TunnelTests(TunnelTestCase, LifeTestCase):
    """
    Tunnels whose pin ends.
    """

    async def through(
        self, backend: Backend, *pins: model.Pin
    ) -> tuple[Client, Conversation]:
        """
        Open a tunnel that these pins admit.
        """
        self.behind(backend, *pins)
        client, conversation = await self.opened(backend, secure=True)
        client.write(b"hello")
        self.assertEqual(b"hello", await conversation.take(5))
        return client, conversation

    async def cut(
        self, client: Client, conversation: Conversation, before: bytes, reason: str
    ) -> None:
        """
        Demand that both sides have been cut, and that nothing more has come.
        """
        self.assertFalse(await client.ended())
        self.assertFalse(await conversation.ended())
        self.assertEqual(before, bytes(conversation.received))
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        assert outcome.verdict is not None
        self.assertEqual(reason, outcome.verdict.reason)

    async def test_revoked(self) -> None:
        """
        A pin that is revoked cuts the tunnel, and no byte more reaches the backend.
        """
        backend = self.backend(silent)
        client, conversation = await self.through(backend, pin(LEAF), key_pin())
        before = bytes(conversation.received)
        config = self.gateway.config
        gone = self.pinned(config, pin(LEAF, state="revoked"), key_pin())
        applied = self.gateway.apply(gone)
        client.write(b"more")
        await applied
        await self.cut(client, conversation, before, "revoked")

    async def test_last_day(self) -> None:
        """
        So does one whose last day passes, without a reload.
        """
        backend = self.backend(silent)
        last = pin(LEAF, not_after=TODAY + DAY)
        client, conversation = await self.through(backend, last)
        before = bytes(conversation.received)
        client.write(b"more")
        self.gateway.pass_days(2)
        await self.cut(client, conversation, before, "pin-expired")

    async def test_expired_certificate(self) -> None:
        """
        The certificate's own last day ends no tunnel: it was valid at the handshake.
        """
        backend = self.backend(silent)
        client, conversation = await self.through(backend, pin(LEAF))
        self.gateway.pass_days(91)
        client.write(b"still")
        self.assertEqual(b"still", await conversation.take(5))
