"""
Requests that ask for an upgrade, and backends that agree.
"""

from __future__ import annotations

from tests.journey.kit import Backend, JourneyTests, Script, get, turn
from tests.journey.wire import Client, Conversation

SWITCHED = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x/2\r\n\r\n"


def upgrade(connection: bytes = b"Upgrade", *lines: bytes) -> bytes:
    """
    Return a GET that asks for an upgrade, to ``x`` unless *lines* say more.
    """
    return get(b"/", b"Connection: " + connection, *(lines or (b"Upgrade: x",)))


UPGRADE = upgrade(b"Upgrade", b"Upgrade: X/2")
HIDDEN = get(b"/admin")
"""What stands behind a request with Upgrade, and shall be no request."""


def switching(answer: bytes = SWITCHED) -> Script:
    """
    Agree, and say everything that comes again, louder.
    """

    async def script(conversation: Conversation) -> None:
        await conversation.head()
        conversation.write(answer)
        while True:
            await conversation.until(lambda: conversation.unread)
            data, conversation.unread = conversation.unread, b""
            conversation.write(data.upper())

    return script


async def silent(conversation: Conversation) -> None:
    """
    Agree, and leave the rest to the test.
    """
    await conversation.head()
    conversation.write(SWITCHED)
    await conversation.ended()


class TunnelTestCase(JourneyTests):
    """
    A tunnel between a client and a backend.
    """

    async def opened(
        self, backend: Backend, secure: bool = False
    ) -> tuple[Client, Conversation]:
        """
        Open a tunnel; return both of its ends.
        """
        client = await self.client(secure)
        before = len(backend.conversations)
        client.write(UPGRADE)
        await client.upto(b"\r\n\r\n")
        conversation = backend.conversations[-1]
        self.assertLessEqual(before, len(backend.conversations))
        return client, conversation

    async def idly(self, turns: int = 20) -> None:
        """
        Let everybody do what is left to do.
        """
        for _ in range(turns):
            await turn()
