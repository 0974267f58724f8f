from __future__ import annotations

from tests.journey.kit import OK, JourneyTests, answering
from tests.journey.probing import BAD, Answers, ProbedTestCase, requests


class SlowStartTests(JourneyTests):
    async def test_new_member(self) -> None:
        """
        A member that a reload brings gets little at first, and its whole share
        in the end.
        """
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        gateway = self.serve(self.config(old, slow_start=60.0))
        await gateway.apply(self.config(old, new, slow_start=60.0))
        for passed, seen in ((0, 2), (60, 11)):
            gateway.pass_time(passed)
            before = len(new.seen)
            for _ in range(22):
                self.assertEqual(200, (await self.ask()).status)
            self.assertEqual(seen, len(new.seen) - before)


class HealthyAgainTests(ProbedTestCase):
    async def test_healthy_again(self) -> None:
        """
        So does one that probes have found healthy again.
        """
        sick = Answers(BAD)
        well, ill = self.backend(Answers()), self.backend(sick)
        probe = {"unhealthy_threshold": 1}
        await self.probed(well, ill, probe=probe, slow_start=60.0)
        self.assertEqual(["Up", "Down"], self.states())
        sick.answer = OK
        await self.again()
        self.assertEqual(["Up", "Up"], self.states())
        for passed, seen in ((0, 2), (60, 11)):
            self.gateway.pass_time(passed)
            await self.settled()
            before = requests(ill)
            self.assertEqual([200] * 22, await self.statuses(22))
            self.assertEqual(seen, requests(ill) - before)
