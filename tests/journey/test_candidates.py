from __future__ import annotations

import os
import resource
import socket

from appgw.backend.pool import Pool
from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    LAST,
    LEAF,
    OK,
    JourneyTests,
    answering,
    put,
    turn,
)
from tests.journey.wire import Conversation


class CandidateTests(JourneyTests):
    """
    Who is tried, and who is tried next.
    """

    async def test_turns(self) -> None:
        """
        Two members that are well take turns.
        """
        backends = [self.backend(answering(OK)) for _ in range(2)]
        self.before(*backends)
        for _ in range(6):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual([3, 3], [len(backend.seen) for backend in backends])

    async def test_refused(self) -> None:
        """
        A member that refuses connections costs no request, not even a POST,
        and is left alone for a while.
        """
        backend = self.backend(answering(OK))
        dead = self.dead()
        self.serve(self.config(dead, backend))
        for wire in (GET, put(b"body", b"POST"), GET, put(b"body"), GET, GET):
            self.assertEqual(200, (await self.ask(wire)).status)
        self.assertEqual(6, len(backend.seen))
        (pool,) = self.pools()
        self.assertEqual([dead.port], [target.port for target in pool.rests])
        for outcome in await self.recorded(6):
            assert outcome.candidate is not None
            self.assertEqual(backend.port, outcome.candidate.port)
            self.assertIsNone(outcome.refusal)

    def pools(self) -> list[Pool]:
        """
        Return the pools in force.
        """
        return list(self.gateway._built.pools.values())

    async def test_all_refuse(self) -> None:
        """
        Where no member takes a connection, the client gets 502.
        """
        self.serve(self.config(self.dead(), self.dead()))
        for wire in (GET, put(b"body", b"POST")):
            self.assertEqual(502, (await self.ask(wire)).status)
        for line in (await self.recorded(2)) and self.lines():
            self.assertEqual("ERRORINFO_UPSTREAM_NO_LIVE", line["error_info"])
            self.assertNotEqual("", line["serverRouted"])

    async def test_nobody(self) -> None:
        """
        A pool without members is 502.
        """
        self.serve(self.config())
        self.assertEqual(502, (await self.ask()).status)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.NO_MEMBER, outcome.refusal)
        self.assertIsNone(outcome.candidate)

    async def test_body_waits(self) -> None:
        """
        A body that comes while members are tried goes whole to the one that
        takes it; also over a connection that was kept.
        """
        backend = self.backend(answering(OK))
        dead = self.dead()
        self.serve(self.config(backend, dead))
        self.assertEqual(200, (await self.ask()).status)
        for method in (b"POST", b"PUT"):
            (pool,) = self.pools()
            pool.rests.clear()
            pool.rests.version += 1
            for _ in range(2):
                client = await self.client()
                body = b"x" * 500_000
                wire = put(body, method)
                client.write(wire[:100])
                await turn()
                client.write(wire[100:])
                self.assertEqual(200, (await client.answer()).status)
                self.assertEqual(body, backend.seen[-1].body)

    async def test_handshake_fails(self) -> None:
        """
        A member whose TLS breaks is passed over as one that refuses.
        """

        async def slam(conversation: Conversation) -> None:
            conversation.close()

        async def garbage(conversation: Conversation) -> None:
            conversation.write(b"\x15\x03\x01\x00\x02\x02\x28")
            await conversation.ended()

        good = self.backend(answering(OK))
        bad = [self.backend(script, None) for script in (slam, garbage)]
        self.before(*bad, good)
        for _ in range(4):
            self.assertEqual(200, (await self.ask(put(b"x", b"POST"))).status)
        self.assertEqual(4, len(good.seen))
        self.assertEqual([1, 1], [len(one.conversations) for one in bad])

    async def test_connect_times_out(self) -> None:
        """
        A member that does not even answer SYN is given up after a time.
        """
        self.hurry(connect_timeout=0.01)
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(3):
            # They fill the backlog: what comes after them is not answered.
            one = socket.socket()
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        good = self.backend(answering(OK))
        silent = model.Member(address="127.0.0.1", port=port)
        self.serve(self.config(silent, good))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        self.serve(self.config(silent))
        self.assertEqual(502, (await self.ask()).status)

    async def test_trial_over_kept(self) -> None:
        """
        A rested member is well again once an answer has come from it, be it
        over a connection that was kept.
        """
        backends = [self.backend(answering(OK)) for _ in range(2)]
        self.before(*backends)
        for _ in range(2):
            await self.ask()
        (pool,) = self.pools()
        pool.refused(pool.members[0])
        self.gateway.clock.ahead += 11
        await self.ask()
        self.assertFalse(pool.rests)
        self.assertEqual([1, 1], [len(one.conversations) for one in backends])

    async def test_out_of_descriptors(self) -> None:
        """
        Running out of our own means is no member's fault: it does not rest,
        and the client is told that we are busy.
        """
        backend = self.backend(answering(LAST))
        self.before(backend)
        client = await self.client()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        answer = await client.ask(GET)
        self.assertEqual((503, [b"1"]), (answer.status, answer.get(b"retry-after")))
        (pool,) = self.pools()
        self.assertFalse(pool.rests)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertEqual(200, (await client.ask(GET)).status)

    async def test_client_leaves_meanwhile(self) -> None:
        """
        Of a client that leaves while its backend is connected to, nothing
        is sent; the connection serves the next one. If it is lost as that one's
        request goes out, this costs no more than with others that are kept.
        """

        async def lost(conversation: Conversation) -> None:
            await conversation.request()
            conversation.close()
            backend.script = answering(OK)

        backend = self.backend(lost)
        self.before(backend)
        client = await self.client()
        client.write(put(b"body", b"POST"))
        while not self.gateway._connections.kept:
            await turn()
        client.reset()
        (outcome,) = await self.recorded(1)
        self.assertEqual((499, 0), (outcome.status, outcome.sent))
        while not self.gateway._connections.busy() or not any(
            kept.idle for kept in self.gateway._connections.kept.values()
        ):
            await turn()
        self.assertEqual(b"", backend.received)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(2, len(backend.conversations))
        self.assertTrue(all(one.received for one in backend.conversations))

    async def test_ipv6(self) -> None:
        """
        A backend may be reached over IPv6; its label has brackets.
        """
        backend = self.backend(answering(OK), interface="::1")
        member = model.Member(address="::1", port=backend.port)
        self.serve(self.config(member, pick_host_name_from_backend_address=True))
        self.assertEqual(200, (await self.ask()).status)
        (outcome,) = await self.recorded(1)
        assert outcome.candidate is not None
        self.assertEqual(f"[::1]:{backend.port}", outcome.candidate.label)
        self.assertTrue(backend.seen[0].get(b"host")[0].startswith(b"[::1]"))

    async def test_stops_while_connecting(self) -> None:
        """
        A gateway that stops while it connects to a backend leaves nothing.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        for issued in (None, LEAF):
            backend = self.backend(mute, None)
            self.before(backend)
            client = await self.client(issued is not None)
            client.write(GET)
            while not backend.conversations:
                await turn()
            await self.gateway.stopService()
            await client.ended()
            await backend.conversations[0].ended()
