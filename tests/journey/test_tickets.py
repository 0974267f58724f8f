from __future__ import annotations

from appgw.listen.tls import RENEWAL
from tests.journey.kit import OK, SECURE, JourneyTests, answering


class TicketTests(JourneyTests):
    """
    A gateway that stays up changes the keys of its session tickets.
    """

    async def test_renewed_in_time(self) -> None:
        """
        Contexts are made anew after half a day, not before, and only once.
        """
        gateway = self.before(self.backend(answering(OK)))
        tls = gateway._built.terms[SECURE, 0].tls
        assert tls is not None
        before = tls.context()
        gateway._sweep()
        self.assertIs(before, tls.context())
        gateway._renewed -= RENEWAL
        gateway._sweep()
        after = tls.context()
        self.assertIsNot(before, after)
        gateway._sweep()
        self.assertIs(after, tls.context())
        self.assertEqual(200, (await self.ask(secure=True)).status)
