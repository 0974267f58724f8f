from __future__ import annotations

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import GET, OK, JourneyTests, answering, get, put, turn
from tests.journey.wire import Conversation

DRY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def slamming(conversation: Conversation) -> None:
    """
    Take a request and hang up.
    """
    await conversation.request()
    conversation.close()


async def truncating(conversation: Conversation) -> None:
    """
    Answer half, and hang up.
    """
    await conversation.request()
    conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.")
    conversation.close()


async def babbling(conversation: Conversation) -> None:
    """
    Answer what is no HTTP.
    """
    await conversation.request()
    conversation.write(b"what?\r\n\r\n")
    await conversation.ended()


class EjectionTests(JourneyTests):
    """
    Members that take requests and fail are left alone for a while.
    """

    def resting(self) -> list[int]:
        """
        Return the ports of those that rest.
        """
        (pool,) = self.gateway._built.pools.values()
        return [c.port for c in pool.members if pool.rests.out(c.target)]

    async def test_hangs_up(self) -> None:
        """
        A member that hangs up on five requests in a row gets no more of them,
        after ten seconds one, and its turns once that one was answered.
        """
        backends = [self.backend(slamming), self.backend(answering(OK))]
        bad, good = backends
        self.before(*backends)
        statuses = [(await self.ask()).status for _ in range(16)]
        self.assertEqual({502: 5, 200: 11}, {s: statuses.count(s) for s in statuses})
        self.assertEqual((5, [bad.port]), (len(bad.seen), self.resting()))
        labels = {"pool": "web", "setting": "web", "member": f"127.0.0.1:{bad.port}"}
        self.assertEqual(1, self.count("appgw_ejections_total", **labels))
        self.assertIn(
            "rests for 10 s after 5 failed requests in a row: the last one was"
            " broken off",
            self.messages(),
        )
        bad.script = answering(OK)
        self.gateway.pass_time(10)
        for _ in range(5):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual([], self.resting())
        self.assertEqual((8, 13), (len(bad.seen), len(good.seen)))

    async def test_rests_for_longer(self) -> None:
        """
        One that fails its trial rests twice as long.
        """
        bad, good = self.backend(slamming), self.backend(answering(OK))
        self.before(bad, good)
        for _ in range(12):
            await self.ask()
        for rest, seen in ((10, 6), (20, 7), (40, 8)):
            self.gateway.pass_time(rest - 1)
            self.assertEqual(200, (await self.ask()).status)
            self.gateway.pass_time(1)
            self.assertEqual(502, (await self.ask()).status)
            self.assertEqual(200, (await self.ask()).status)
            self.assertEqual(seen, len(bad.seen))

    async def test_kinds_of_failures(self) -> None:
        """
        An answer that breaks off, is no HTTP or does not come counts as well.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        for script in (truncating, babbling, mute):
            bad, good = self.backend(script), self.backend(answering(OK))
            self.before(bad, good)
            while len(bad.seen) < 5:
                client = await self.client()
                asked = len(bad.seen) + len(good.seen)
                client.write(GET)
                while len(bad.seen) + len(good.seen) == asked:
                    await turn()
                if (
                    script is mute
                    and len(bad.seen) + len(self.gateway.outcomes) > asked
                ):
                    self.gateway.pass_time(21)
                while len(self.gateway.outcomes) == asked:
                    await turn()
            self.assertEqual([bad.port], self.resting(), script)
            await self.gateway.stopService()

    async def test_never_more_than_half(self) -> None:
        """
        Where every member fails, half of them at most rest; clients are told
        what they would have been told, and nobody is left without an answer.
        """
        backends = [self.backend(slamming) for _ in range(4)]
        self.before(*backends)
        for _ in range(60):
            self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(2, len(self.resting()))
        seen = [len(backend.seen) for backend in backends]
        self.assertEqual((60, [5, 5]), (sum(seen), sorted(seen)[:2]))

    async def test_an_only_member(self) -> None:
        """
        A pool's only member never rests for failed requests.
        """
        bad = self.backend(slamming)
        self.before(bad)
        for _ in range(12):
            self.assertEqual(502, (await self.ask()).status)
        self.assertEqual((12, []), (len(bad.seen), self.resting()))

    async def test_errors_of_the_application(self) -> None:
        """
        An application's errors count only where they are configured.
        """
        for statuses, resting in (((), False), (((500, 599),), True)):
            bad, good = self.backend(answering(DRY)), self.backend(answering(OK))
            rule = model.OutlierDetection(status_codes=statuses)
            self.serve(self.config(bad, good, outlier_detection=rule))
            for _ in range(12):
                await self.ask()
            self.assertEqual([bad.port] if resting else [], self.resting())
            self.assertEqual(5 if resting else 6, len(bad.seen))
            await self.gateway.stopService()

    async def test_clients_that_do_not_send(self) -> None:
        """
        A backend that gives up waiting for the rest of a request is not to
        blame: clients could make all of them rest.
        """

        async def impatient(conversation: Conversation) -> None:
            await conversation.upto(b"\r\n\r\n")
            conversation.close()

        backends = [self.backend(impatient), self.backend(impatient)]
        self.before(*backends)
        for number in range(12):
            client = await self.client()
            client.write(put(b"x" * 10, b"POST")[:-5])
            self.assertEqual(502, (await client.answer()).status)
            (await self.recorded(number + 1))
        self.assertEqual([], self.resting())

    async def test_clients_that_do_not_read(self) -> None:
        """
        Nor is one that gives up an answer which its client takes slowly.
        """
        much = b"x" * 20_000_000

        async def generous(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")
            conversation.write(much[:-1])

        backends = [self.backend(generous), self.backend(generous)]
        self.before(*backends)
        exchanges = self.gateway.outcomes
        for number in range(10):
            client = await self.client()
            client.transport.pauseProducing()
            client.write(get())
            while not self.paused():
                await turn()
            for backend in backends:
                for conversation in backend.conversations:
                    conversation.reset()
            client.transport.resumeProducing()
            while len(exchanges) == number:
                await turn()
            self.assertIs(Refusal.BACKEND_CLOSED, exchanges[-1].refusal)
        self.assertEqual([], self.resting())

    def paused(self) -> bool:
        """
        Tell whether an answer waits for its client.
        """
        return any(stream.paused for stream in self.gateway._connections.streams())
