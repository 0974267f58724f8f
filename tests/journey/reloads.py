"""
Configurations that follow one another, and answers that take their time.
"""

from __future__ import annotations

from typing import Any

import attrs

from appgw.config import model
from tests.journey.kit import GET, Backend, JourneyTests
from tests.journey.wire import Client, Conversation

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin"


async def beginning(conversation: Conversation) -> None:
    """
    Answer each request in half, and wait for the test to do the rest.
    """
    while True:
        await conversation.request()
        conversation.write(BEGUN)


async def silent(conversation: Conversation) -> None:
    """
    Read requests, and answer none.
    """
    while True:
        await conversation.request()


class ReloadTestCase(JourneyTests):
    """
    A gateway whose configuration changes.
    """

    def pinned(self, config: model.Config, *pins: model.Pin) -> model.Config:
        """
        Allow *pins* and no other.
        """
        settings = attrs.evolve(
            config.backend_settings["web"], pins=tuple(one.name for one in pins)
        )
        return attrs.evolve(
            config,
            pins={one.name: one for one in pins},
            backend_settings={"web": settings},
        )

    def presenting(self, config: model.Config, issued: Any) -> model.Config:
        """
        Present another certificate to clients.
        """
        front = model.Certificate(
            name="front", chain=issued.cert_pem, key=issued.key_pem
        )
        return attrs.evolve(config, certificates={"front": front})

    def without(self, config: model.Config, name: str) -> model.Config:
        """
        Take a listener away.
        """
        rules = {key: rule for key, rule in config.rules.items() if key != name}
        listeners = {k: one for k, one in config.listeners.items() if k != name}
        return attrs.evolve(config, rules=rules, listeners=listeners)

    async def begun(self, client: Client, *backends: Backend) -> Conversation:
        """
        Ask, and wait for the first half of the answer.
        """
        client.write(GET)
        await client.upto(b"begin")
        (conversation,) = [c for one in backends for c in one.conversations]
        return conversation
