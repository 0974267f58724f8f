from __future__ import annotations

from tests.journey.kit import GET, OK, JourneyTests, answering


class KitTests(JourneyTests):
    async def test_whole(self) -> None:
        """
        A request goes through the gateway, over TLS and in clear text.
        """
        backend = self.backend(answering(OK))
        self.before(backend)
        for secure in (False, True):
            answer = await self.ask(GET, secure)
            self.assertEqual((200, b"ok"), (answer.status, answer.body))
        self.assertEqual(2, len(backend.seen))
        self.assertEqual(1, len(backend.conversations))
        await self.recorded(2)
        self.assertEqual(2, len(self.lines()))
