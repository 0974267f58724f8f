from __future__ import annotations

import ipaddress

from twisted.internet.defer import Deferred

from appgw.backend.pool import Pool
from appgw.config import model
from tests.journey.kit import (
    GET,
    OK,
    Backend,
    JourneyTests,
    answering,
    both,
    get,
    put,
    turn,
)
from tests.journey.wire import Client, Conversation, Message

PROXY = ipaddress.ip_network("127.0.0.1")


class BalancingTestCase(JourneyTests):
    def pool(self) -> Pool:
        """
        Return the pool in force.
        """
        (pool,) = self.gateway._built.pools.values()
        return pool

    def busy(self) -> list[int]:
        """
        Return how many requests each member is busy with.
        """
        return [candidate.place.busy for candidate in self.pool().members]


class LeastConnectionsTests(BalancingTestCase):
    """
    The less busy member is asked.
    """

    def between(self, *backends: Backend | model.Member | None) -> None:
        """
        Start a gateway before *backends*.
        """
        self.serve(
            self.config(*backends, load_distribution_algorithm="LeastConnections")
        )

    async def test_slow_member(self) -> None:
        """
        A member that takes its time gets no more than its others have under way,
        and its turns once it has answered.
        """
        going_on: Deferred[None] = Deferred()

        async def slow(conversation: Conversation) -> None:
            while True:
                await conversation.request()
                waiting: Deferred[None] = Deferred()
                going_on.addCallback(waiting.callback)
                await waiting
                conversation.write(OK)

        lame, quick = self.backend(slow), self.backend(answering(OK))
        self.between(lame, quick)
        waiting = []
        while not lame.seen:
            client = await self.client()
            client.write(GET)
            waiting.append(client)
            while len(lame.seen) + len(quick.seen) < len(waiting):
                await turn()
        await self.recorded(len(waiting) - 1)
        for _ in range(10):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((1, [1, 0]), (len(lame.seen), self.busy()))
        going_on.callback(None)
        await both(*(client.answer() for client in waiting))
        for _ in range(4):
            await self.ask()
        self.assertEqual((3, [0, 0]), (len(lame.seen), self.busy()))

    async def test_counted_once(self) -> None:
        """
        However a request ends, it is counted no longer: answered, refused,
        broken off, not to be read, too late, left by its client, or taken by
        another member in the end.
        """

        async def hang_up(conversation: Conversation) -> None:
            await conversation.request()
            conversation.close()

        async def half(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            conversation.close()

        async def babble(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"no HTTP\r\n\r\n")
            await conversation.ended()

        for script in (hang_up, half, babble, answering(OK)):
            self.between(self.dead(), self.backend(script), self.dead())
            for number in range(4):
                await self.finished(put(b"body", b"POST") if number % 2 else GET)
            self.assertEqual([0, 0, 0], self.busy(), script)
            await self.gateway.stopService()

    async def finished(self, wire: bytes) -> None:
        """
        Ask, and wait for the end, whatever it is.
        """
        count = len(self.gateway.outcomes)
        client = await self.client()
        client.write(wire)
        while len(self.gateway.outcomes) == count:
            await turn()

    async def test_counted_while_it_lasts(self) -> None:
        """
        A request is counted from the choice of its member to its end: while it
        waits, when its time is over, and when its client leaves.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        backend = self.backend(mute)
        self.between(backend)
        clients = [await self.begun(backend) for _ in range(3)]
        self.assertEqual([3], self.busy())
        clients[0].reset()
        while self.busy() != [2]:
            await turn()
        self.gateway.pass_time(21)
        for client in clients[1:]:
            self.assertEqual(504, (await client.answer()).status)
        self.assertEqual([0], self.busy())

    async def begun(self, backend: Backend) -> Client:
        """
        Ask, and wait until the backend has the request.
        """
        seen = len(backend.seen)
        client = await self.client()
        client.write(GET)
        while len(backend.seen) == seen:
            await turn()
        return client

    async def test_over_a_reload(self) -> None:
        """
        What is under way counts after a reload, until it ends.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        backend, quick = self.backend(mute), self.backend(answering(OK))
        self.between(backend)
        client = await self.begun(backend)
        config = self.config(
            backend, quick, load_distribution_algorithm="LeastConnections"
        )
        await self.gateway.apply(config)
        for _ in range(6):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual([1, 0], self.busy())
        client.reset()
        while self.busy() != [0, 0]:
            await turn()


class IpHashTests(BalancingTestCase):
    """
    Where a request comes from decides.
    """

    def named(self, count: int, **settings: object) -> list[Backend]:
        """
        Start backends that say who they are, behind a gateway.
        """
        answers = [OK.replace(b"ok", b"b%d" % number) for number in range(count)]
        backends = [self.backend(answering(answer)) for answer in answers]
        config = self.config(
            *backends, load_distribution_algorithm="IpHash", **settings
        )
        self.serve(config, trusted_proxies=(PROXY,))
        return backends

    async def asked(self, source: bytes, *lines: bytes) -> Message:
        """
        Ask as a trusted proxy does for somebody at *source*.
        """
        return await self.ask(get(b"/", b"X-Forwarded-For: " + source, *lines))

    async def test_stays(self) -> None:
        """
        A client comes to the same backend, request by request, and different
        clients to different ones.
        """
        self.named(3)
        homes = set()
        # Where a client lands depends on the backends' ports, which are any.
        for number in range(200):
            source = b"203.0.113.%d" % number
            answers = [await self.asked(source) for _ in range(3)]
            (home,) = {answer.body for answer in answers}
            homes.add(home)
            if len(homes) == 3 and number > 10:
                break
        self.assertEqual({b"b0", b"b1", b"b2"}, homes)

    async def test_the_cookie_wins(self) -> None:
        """
        Where there are cookies, too, a client stays though its address changes.
        """
        self.named(3, cookie_based_affinity=True)
        first = await self.asked(b"203.0.113.1")
        (line,) = first.get(b"set-cookie")
        cookie = b"Cookie: " + line.partition(b";")[0]
        for number in range(9):
            answer = await self.asked(b"203.0.113.%d" % number, cookie)
            self.assertEqual(first.body, answer.body)

    async def test_not_trusted(self) -> None:
        """
        What a client says about itself moves it nowhere.
        """
        backends = self.named(3)
        await self.gateway.apply(
            self.config(*backends, load_distribution_algorithm="IpHash")
        )
        found = [await self.asked(b"203.0.113.%d" % number) for number in range(9)]
        self.assertEqual(1, len({answer.body for answer in found}))

    async def test_its_own_is_dead(self) -> None:
        """
        Clients of a member that takes no connection are answered by others,
        each by the same one every time.
        """
        answers = [OK.replace(b"ok", b"b%d" % number) for number in range(2)]
        backends = [self.backend(answering(answer)) for answer in answers]
        config = self.config(
            self.dead(), *backends, load_distribution_algorithm="IpHash"
        )
        self.serve(config, trusted_proxies=(PROXY,))
        for number in range(12):
            found = [await self.asked(b"203.0.113.%d" % number) for _ in range(3)]
            self.assertEqual([200] * 3, [answer.status for answer in found])
            self.assertEqual(1, len({answer.body for answer in found}))
        self.assertEqual(1, self.count("appgw_backend_connections_failed_total"))
        self.assertEqual(36, sum(len(backend.seen) for backend in backends))
