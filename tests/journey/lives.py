"""
Gateways whose pins grow older.
"""

from __future__ import annotations

import datetime
from typing import Any

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import LAST, LEAF, Backend
from tests.journey.reloads import ReloadTestCase
from tests.journey.wire import Conversation

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
TODAY = NOW.date()
DAY = datetime.timedelta(days=1)


def key_pin(name: str = "key", **more: Any) -> model.Pin:
    """
    Pin the backend's key.
    """
    spki = bytes.fromhex(LEAF.spki_sha256)
    return model.Pin(name=name, spki_sha256=spki, **more)


async def once(conversation: Conversation) -> None:
    """
    Answer one request, and hang up.
    """
    await conversation.request()
    conversation.write(LAST)
    conversation.close()


class LifeTestCase(ReloadTestCase):
    """
    A gateway whose pins grow older.
    """

    def behind(self, backend: Backend, *pins: model.Pin, **changes: Any) -> None:
        """
        Start a gateway that allows *pins* and nothing else.
        """
        self.serve(self.pinned(self.config(backend), *pins), **changes)

    async def refused(self, backend: Backend, reason: str) -> None:
        """
        Assert that a new request is refused for this reason, and gets nowhere.
        """
        before, number = backend.received, len(self.gateway.outcomes)
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(before, backend.received)
        outcome = (await self.recorded(number + 1))[-1]
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        assert outcome.verdict is not None
        self.assertEqual(reason, outcome.verdict.reason)

    def refusals(self, backend: Backend, reason: str) -> float | None:
        """
        Count the connections that ended because of the certificate.
        """
        member = f"127.0.0.1:{backend.port}"
        labels = {"pool": "web", "setting": "web", "member": member, "reason": reason}
        return self.count("appgw_pin_refusals_total", **labels)
