from __future__ import annotations

from tests.journey.kit import Backend, JourneyTests, answering, get, turn
from tests.journey.tunnels import HIDDEN, SWITCHED, UPGRADE
from tests.journey.wire import Conversation

REFUSED = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"


async def mute(conversation: Conversation) -> None:
    """
    Say nothing of its own accord.
    """
    await conversation.ended()


class EarlyTests(JourneyTests):
    """
    What a client sends before its upgrade has been agreed to (CVE-2026-2833).
    """

    async def asked(self, backend: Backend) -> Conversation:
        """
        Wait until the backend has the request's head.
        """
        while b"\r\n\r\n" not in backend.received:
            await turn()
        for _ in range(20):
            await turn()
        return backend.conversations[0]

    async def test_waits(self) -> None:
        """
        A request behind one with Upgrade reaches nobody before the answer; with
        101 it is bytes in the tunnel, and no request to anybody.
        """
        for secure in (False, True):
            for pieces in ((UPGRADE + HIDDEN * 3,), (UPGRADE, HIDDEN, HIDDEN * 2)):
                backend = self.backend(mute)
                gateway = self.before(backend)
                client = await self.client(secure)
                for piece in pieces:
                    client.write(piece)
                    conversation = await self.asked(backend)
                self.assertTrue(conversation.unread.endswith(b"\r\n\r\n"))
                self.assertEqual(1, conversation.unread.count(b"\r\n\r\n"))
                conversation.unread = b""
                conversation.write(SWITCHED)
                self.assertEqual(HIDDEN * 3, await conversation.take(len(HIDDEN) * 3))
                client.write(HIDDEN)
                self.assertEqual(HIDDEN, await conversation.take(len(HIDDEN)))
                await client.upto(b"\r\n\r\n")
                self.assertEqual(b"", client.unread)
                self.assertEqual(1, len(backend.conversations))
                client.reset()
                (outcome,) = await self.recorded(1)
                self.assertEqual(101, outcome.status)
                self.assertEqual(4 * len(HIDDEN), outcome.received)
                await gateway.stopService()

    async def test_refused(self) -> None:
        """
        Any other answer is one, and the connections go on: what was sent behind
        the request is the next request, judged like every other.
        """
        backend = self.backend(answering(REFUSED))
        self.before(backend)
        for upgraded in (UPGRADE, UPGRADE.replace(b"GET", b"OPTIONS")):
            client = await self.client()
            client.write(upgraded + HIDDEN + upgraded + get(b"/%2f"))
            for method in (upgraded.partition(b" ")[0], b"GET", b"GET"):
                self.assertEqual(403, (await client.answer(method)).status)
            self.assertEqual(400, (await client.answer()).status)
        self.assertEqual(1, len(backend.conversations))
        self.assertEqual(
            [b"/", b"/admin", b"/"] * 2, [one.target for one in backend.seen]
        )
        await self.recorded(8)

    async def test_bounded(self) -> None:
        """
        Of what comes too early little is taken.
        """
        for secure in (False, True):
            gateway = self.before(self.backend(mute))
            client = await self.client(secure)
            client.write(UPGRADE + b"x" * 30_000_000)
            for _ in range(300):
                await turn()
            (channel,) = gateway._ports.channels()
            self.assertGreater(len(channel._rest), 0)
            self.assertLess(len(channel._rest), 1 << 20)
            self.assertEqual([], gateway.outcomes)

    async def test_gone(self) -> None:
        """
        A client that hangs up before the answer is no more waited for, and its
        backend is told.
        """
        backend = self.backend(mute)
        self.before(backend)
        client = await self.client()
        client.write(UPGRADE)
        conversation = await self.asked(backend)
        client.reset()
        self.assertFalse(await conversation.ended())
        (outcome,) = await self.recorded(1)
        self.assertEqual(499, outcome.status)
