from __future__ import annotations

import attrs

from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import server_context
from tests.journey.kit import (
    LEAF,
    OK,
    STRANGER,
    Backend,
    JourneyTests,
    answering,
    get,
    pin,
)
from tests.journey.wire import Conversation


class HandshakeTests(JourneyTests):
    """
    Backends that are not what a handshake is made with, or more than one.
    """

    def three_settings(self, backend: Backend) -> model.Config:
        """
        Lead paths to one backend, under settings that pin different leaves.
        """
        config = self.config(backend)
        web = config.backend_settings["web"]
        settings = {
            name: attrs.evolve(web, name=name, pins=pins)
            for name, pins in (("strict", ("other",)), ("third", ("leaf", "other")))
        }
        paths = tuple(
            model.PathRule(
                name=name,
                paths=(f"/{name}",),
                destination=model.Destination(pool="web", backend_settings=name),
            )
            for name in settings
        )
        to = model.Destination(pool="web", backend_settings="web")
        maps = model.UrlPathMap(name="map", default=to, path_rules=paths)
        rule = attrs.evolve(config.rules["plain"], destination=None, url_path_map="map")
        return attrs.evolve(
            config,
            pins=dict(config.pins) | {"other": pin(STRANGER, "other")},
            backend_settings={"web": web} | settings,
            url_path_maps={"map": maps},
            rules={"plain": rule},
            listeners={"plain": config.listeners["plain"]},
        )

    async def test_two_settings(self) -> None:
        """
        Two settings with different pins to one host and port share no
        connection: what one may keep is nothing to the other.
        """
        backend = self.backend(answering(OK))
        self.serve(self.three_settings(backend))
        client = await self.client()
        for _ in range(2):
            for path, status in ((b"/", 200), (b"/strict", 502), (b"/third", 200)):
                self.assertEqual(status, (await client.ask(get(path))).status)
        heard = [one for one in backend.conversations if one.received]
        self.assertEqual(2, len(heard))
        for one, path in zip(heard, (b"GET / ", b"GET /third "), strict=True):
            self.assertEqual(2, bytes(one.received).count(path))
            self.assertEqual(2, bytes(one.received).count(b"GET "))

    async def test_words_before_the_request(self) -> None:
        """
        A backend that speaks before it was asked is not asked.
        """

        async def eager(conversation: Conversation) -> None:
            conversation.write(OK)
            await conversation.request()
            conversation.write(OK)

        # In TLS 1.2 the words come along with the end of the handshake.
        context = server_context(LEAF, tls12_only=True)
        backend = self.backend(eager, context=context)
        self.before(backend)
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(b"", backend.received)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.NO_MEMBER, outcome.refusal)

    async def test_only_http(self) -> None:
        """
        A backend that speaks no TLS is never spoken to in clear text.
        """

        async def plain(conversation: Conversation) -> None:
            conversation.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await conversation.ended()

        backend = self.backend(plain, None)
        self.before(backend)
        self.assertEqual(502, (await self.ask()).status)
        self.assertNotIn(b"HTTP", backend.received)
        self.assertNotIn(b"shop.example", backend.received)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.NO_MEMBER, outcome.refusal)

    async def test_mute(self) -> None:
        """
        A backend that never shakes hands is given up.
        """
        self.hurry(handshake_timeout=0.01)

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        backend = self.backend(mute, None)
        self.before(backend)
        self.assertEqual(502, (await self.ask()).status)
        self.assertNotIn(b"HTTP", backend.received)
