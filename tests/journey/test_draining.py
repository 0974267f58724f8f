from __future__ import annotations

from typing import Any

import attrs

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import GET, OK, Backend, answering, get, put, turn
from tests.journey.reloads import ReloadTestCase, beginning, silent
from tests.journey.wire import Client, Truncated

FOR_30_S = model.ConnectionDraining(enabled=True, drain_timeout=30.0)
CUT = "ERRORINFO_UPSTREAM_DRAINED"


class DrainingTests(ReloadTestCase):
    """
    Members that are marked or removed, and what becomes of requests.
    """

    def drained(self, *backends: Backend | model.Member, **more: Any) -> model.Config:
        """
        Return a configuration that gives what it drains 30 seconds.
        """
        settings = {"connection_draining": FOR_30_S, "request_timeout": 3600.0} | more
        return self.config(*backends, **settings)

    def marked(self, config: model.Config, port: int) -> model.Config:
        """
        Mark the member with this port.
        """
        pool = config.pools["web"]
        members = tuple(
            attrs.evolve(member, draining=member.port == port)
            for member in pool.members
        )
        return attrs.evolve(config, pools={"web": attrs.evolve(pool, members=members)})

    async def waiting(self, backend: Backend, wire: bytes = GET) -> Client:
        """
        Ask, and wait until the backend has the request.
        """
        seen = len(backend.seen)
        client = await self.client()
        client.write(wire)
        while len(backend.seen) == seen:
            await turn()
        return client

    async def test_removed(self) -> None:
        """
        What runs on a member that was removed has until the drain timeout: then
        an answer that has begun is cut, and one that has not is 502. The log says
        why.
        """
        old, new = self.backend(silent), self.backend(answering(OK))
        gateway = self.serve(self.drained(old))
        mute = await self.waiting(old)
        half = await self.waiting(old)
        old.conversations[1].write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await half.upto(b"half")
        await gateway.apply(self.drained(new))
        gateway.pass_time(29)
        self.assertEqual([], gateway.outcomes)
        self.assertEqual(200, (await self.ask()).status)
        gateway.pass_time(1)
        self.assertEqual(502, (await mute.answer()).status)
        with self.assertRaises(Truncated):
            await half.take(5)
        outcomes = (await self.recorded(3))[1:]
        self.assertEqual({Refusal.DRAINED}, {o.refusal for o in outcomes})
        self.assertEqual([CUT, CUT], [line["error_info"] for line in self.lines()[1:]])
        self.assertEqual(2, self.count("appgw_refusals_total", reason="drained"))
        for conversation in old.conversations:
            await conversation.ended()
        (pool,) = gateway._built.pools.values()
        self.assertEqual({}, dict(pool.rests))

    async def test_ends_in_time(self) -> None:
        """
        What ends before the drain timeout ends well.
        """
        old, new = self.backend(beginning), self.backend(answering(OK))
        gateway = self.serve(self.drained(old))
        client = await self.client()
        conversation = await self.begun(client, old)
        await gateway.apply(self.drained(new))
        gateway.pass_time(29)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))
        await conversation.ended()

    async def test_upload(self) -> None:
        """
        A long upload is cut as well.
        """
        old, new = self.backend(silent), self.backend(answering(OK))
        gateway = self.serve(self.drained(old))
        client = await self.client()
        client.write(put(b"x" * 100, b"POST")[:-50])
        while not old.received:
            await turn()
        await gateway.apply(self.drained(new))
        gateway.pass_time(30)
        self.assertEqual(502, (await client.answer()).status)

    async def test_not_enabled(self) -> None:
        """
        Without connection draining, a request has all the time it needs.
        """
        old, new = self.backend(beginning), self.backend(answering(OK))
        patient = {"request_timeout": 3600.0}
        gateway = self.serve(self.config(old, **patient))
        client = await self.client()
        conversation = await self.begun(client, old)
        await gateway.apply(self.config(new, **patient))
        gateway.pass_time(3000)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))

    async def test_pool_removed(self) -> None:
        """
        Where the pool or its setting goes as a whole, all of it drains.
        """
        old, new = self.backend(silent), self.backend(answering(OK))
        gateway = self.serve(self.drained(old))
        client = await self.waiting(old)
        config = self.drained(new)
        to = model.Destination(pool="web", backend_settings="fresh")
        fresh = attrs.evolve(config.backend_settings["web"], name="fresh")
        rules = {
            name: attrs.evolve(rule, destination=to)
            for name, rule in config.rules.items()
        }
        await gateway.apply(
            attrs.evolve(config, backend_settings={"fresh": fresh}, rules=rules)
        )
        self.assertEqual(200, (await self.ask()).status)
        gateway.pass_time(30)
        self.assertEqual(502, (await client.answer()).status)

    async def test_over_several_reloads(self) -> None:
        """
        The time runs from the removal, whatever is reloaded after it, and a
        request from before several reloads is found.
        """
        old, new = self.backend(silent), self.backend(answering(OK))
        config = self.drained(old, new)
        gateway = self.serve(config)
        client = await self.waiting(old)
        await gateway.apply(attrs.evolve(config, forwarded_for_port=True))
        await gateway.apply(self.drained(new))
        gateway.pass_time(20)
        await gateway.apply(attrs.evolve(self.drained(new), forwarded_for_port=True))
        gateway.pass_time(9)
        self.assertEqual([], gateway.outcomes)
        gateway.pass_time(1)
        self.assertEqual(502, (await client.answer()).status)

    async def test_comes_back(self) -> None:
        """
        A member that comes back in time spares its requests.
        """
        backend = self.backend(beginning)
        gateway = self.serve(self.drained(backend))
        client = await self.client()
        conversation = await self.begun(client, backend)
        await gateway.apply(self.drained())
        gateway.pass_time(20)
        await gateway.apply(self.drained(backend))
        gateway.pass_time(1000)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))

    async def test_kept_connections(self) -> None:
        """
        Idle connections to what was removed are closed at once where nobody is
        bound to it.
        """
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        gateway = self.serve(self.drained(old))
        await self.ask()
        await gateway.apply(self.drained(new))
        await old.conversations[0].ended()

    async def bound(self, *backends: Backend, **more: Any) -> bytes:
        """
        Start a gateway, and return the field that binds a client to the first
        of *backends*.
        """
        config = self.drained(*backends, cookie_based_affinity=True, **more)
        self.serve(config)
        while True:
            (line,) = (await self.ask()).get(b"set-cookie")
            if backends[0].seen:
                return b"Cookie: " + line.partition(b";")[0]

    async def test_sticky_keep(self) -> None:
        """
        A client that is bound to a removed member stays with it, over its kept
        connection, until the drain timeout; then it is bound to another one, and
        the connection is closed.
        """
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        cookie = await self.bound(old, new)
        gateway = self.gateway
        seen = len(old.seen)
        await gateway.apply(self.drained(new, cookie_based_affinity=True))
        for passed in (0, 15, 14):
            gateway.pass_time(passed)
            answer = await self.ask(get(b"/", cookie))
            self.assertEqual([], answer.get(b"set-cookie"))
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(seen + 3, len(old.seen))
        gateway.pass_time(1)
        answer = await self.ask(get(b"/", cookie))
        self.assertEqual((200, 1), (answer.status, len(answer.get(b"set-cookie"))))
        self.assertEqual((seen + 3, 1), (len(old.seen), len(old.conversations)))
        await old.conversations[0].ended()

    async def test_sticky_move(self) -> None:
        """
        Under move it is bound to another one at once.
        """
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        cookie = await self.bound(old, new, drain_sticky="move")
        seen = len(old.seen)
        await self.gateway.apply(
            self.drained(new, cookie_based_affinity=True, drain_sticky="move")
        )
        answer = await self.ask(get(b"/", cookie))
        self.assertEqual((200, 1), (answer.status, len(answer.get(b"set-cookie"))))
        self.assertEqual(seen, len(old.seen))
        await old.conversations[0].ended()

    async def test_marked(self) -> None:
        """
        A member that is marked gets no new clients; those bound to it stay, and
        each of their requests has the drain timeout.
        """
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        cookie = await self.bound(old, new)
        gateway = self.gateway
        await gateway.apply(self.marked(gateway.config, old.port))
        gateway.pass_time(3000)
        seen = len(old.seen)
        for _ in range(4):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(seen, len(old.seen))
        answer = await self.ask(get(b"/", cookie))
        self.assertEqual((200, []), (answer.status, answer.get(b"set-cookie")))
        self.assertEqual(seen + 1, len(old.seen))
        old.script = silent
        old.conversations[-1].close()
        client = await self.waiting(old, get(b"/", cookie))
        gateway.pass_time(29)
        self.assertFalse(client.received)
        gateway.pass_time(1)
        self.assertEqual(502, (await client.answer()).status)

    async def test_marked_from_the_start(self) -> None:
        """
        A member can be marked when the gateway starts.
        """
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        self.serve(self.marked(self.drained(old, new), old.port))
        for _ in range(4):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((0, 4), (len(old.seen), len(new.seen)))

    async def test_only_marked(self) -> None:
        """
        Where all members are marked, a new client gets 502.
        """
        backend = self.backend(answering(OK))
        self.serve(self.marked(self.drained(backend), backend.port))
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual([], backend.seen)
