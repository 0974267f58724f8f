"""
Answers of stock resources that do not go well, and mounting itself.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File

from appgw.config import model
from appgw.refusal import Refusal
from appgw.resources import MountingResource
from tests.journey.kit import OK, Recorded, answering, get, turn
from tests.journey.wire import Message, Truncated
from tests.stock import MountedTestCase, Spy

POST = b"POST /at HTTP/1.1\r\nHost: shop.example\r\n"


class EndTests(MountedTestCase):
    """
    Answers that do not go well.
    """

    async def test_client_leaves(self) -> None:
        """
        A resource is told that its client is gone, and it is recorded.
        """
        spy = self.spy(NOT_DONE_YET)
        client = await self.client()
        client.write(get(b"/at"))
        request = await spy.visited()
        finished: Deferred[None] = request.notifyFinish()
        client.reset()
        await self.recorded(1)
        self.failureResultOf(finished, ConnectionLost)
        request.write(b"to nobody")
        (outcome,) = self.gateway.outcomes
        self.assertEqual(
            (499, Refusal.CLIENT_CLOSED), (outcome.status, outcome.refusal)
        )

    async def test_client_leaves_within_its_body(self) -> None:
        """
        Nobody is asked for a client that left before its body was whole.
        """
        spy = self.spy()
        client = await self.client()
        client.write(POST + b"Content-Length: 9\r\n\r\nbody")
        while not any(one._current for one in self.gateway._ports.channels()):
            await turn()
        client.reset()
        (outcome,) = await self.recorded(1)
        self.assertEqual((499, []), (outcome.status, spy.asked))

    async def test_bug(self) -> None:
        """
        A resource that raises is answered for with 500, and no detail.
        """

        def faulty(request: Request) -> bytes:
            raise KeyError("secret")

        self.spy(faulty)
        answer = await self.ask(get(b"/at"))
        self.assertEqual(500, answer.status)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))
        (outcome,) = await self.recorded(1)
        self.assertEqual(500, outcome.status)

    async def test_wrong_length(self) -> None:
        """
        What is longer than announced is cut, what is shorter ends badly.
        """

        def announced(size: int) -> Any:
            def render(request: Request) -> int:
                request.setHeader(b"Content-Length", b"%d" % size)
                request.write(b"12345")
                request.finish()
                return NOT_DONE_YET

            return render

        spy = self.spy(announced(3))
        client = await self.client()
        self.assertEqual(b"123", (await client.ask(get(b"/at"))).body)
        self.assertEqual(b"ok", (await client.ask(get())).body)
        spy.answer = announced(9)
        with self.assertRaises(Truncated):
            await client.ask(get(b"/at"))

    async def test_cut(self) -> None:
        """
        A resource may cut its answer short.
        """

        def cut(request: Request) -> int:
            request.write(b"half")
            request.loseConnection()
            return NOT_DONE_YET

        self.spy(cut)
        with self.assertRaises(Truncated):
            await self.ask(get(b"/at"))
        (outcome,) = await self.recorded(1)
        self.assertEqual(200, outcome.status)

    async def test_framing_is_ours(self) -> None:
        """
        What a resource says of the connection or of codings is not passed on.
        """

        def framing(request: Request) -> bytes:
            request.setHeader("Connection", "close, X-Own")
            request.setHeader("Keep-Alive", "timeout=1")
            request.setHeader("Transfer-Encoding", "gzip")
            request.setHeader("X-Own", "y")
            return b"body"

        self.spy(framing)
        client = await self.client()
        answer = await client.ask(get(b"/at"))
        self.assertEqual(b"body", answer.body)
        for name in (b"connection", b"keep-alive", b"transfer-encoding", b"x-own"):
            self.assertEqual([], answer.get(name))
        self.assertEqual(b"ok", (await client.ask(get())).body)

    async def test_without_a_body(self) -> None:
        """
        HEAD, and 204, have no body whatever the resource returns.
        """

        def empty(request: Request) -> bytes:
            request.setResponseCode(204)
            return b"body"

        spy = self.spy()
        client = await self.client()
        answer = await client.ask(get(b"/at").replace(b"GET", b"HEAD"))
        self.assertEqual([b"5"], answer.get(b"content-length"))
        spy.answer = empty
        self.assertEqual(204, (await client.ask(get(b"/at"))).status)
        self.assertEqual(b"ok", (await client.ask(get())).body)

    async def test_old_client(self) -> None:
        """
        HTTP/1.0 gets an answer of unknown length up to the connection's end.
        """
        spy = self.spy(NOT_DONE_YET)
        client = await self.client()
        client.write(b"GET /at HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        request = await spy.visited()
        request.write(b"one")
        request.finish()
        answer: Message = await client.answer()
        self.assertEqual((b"one", []), (answer.body, answer.get(b"transfer-encoding")))
        self.assertTrue(await client.ended())

    async def test_slow_client(self) -> None:
        """
        A client that takes nothing stops the producer of its answer.
        """
        self.mount(("/files/*", File(str(self.folder("large", b"a" * (16 << 20))))))
        client = await self.client()
        client.transport.pauseProducing()
        client.write(get(b"/files/large"))
        for _ in range(200):
            await turn()
        (channel,) = self.gateway._ports.channels()
        self.assertLess(channel.transport.unsent(), 1 << 20)
        client.transport.resumeProducing()
        self.assertEqual(16 << 20, len((await client.answer()).body))


class MountTests(MountedTestCase):
    """
    Mounting itself.
    """

    async def test_recorded(self) -> None:
        """
        Each exchange is recorded once, as any other is.
        """
        self.spy()
        await self.ask(get(b"/at?q"))
        (outcome,) = await self.recorded(1)
        self.assertEqual(
            ("plain", 200, None, b"text/html", None),
            (
                outcome.listener,
                outcome.status,
                outcome.refusal,
                outcome.content_type,
                outcome.route,
            ),
        )
        self.assertGreater(outcome.sent, 5)
        (line,) = self.lines()
        self.assertEqual(("plain", 200), (line["listenerName"], line["httpStatus"]))

    async def test_reload(self) -> None:
        """
        What is mounted outlives a configuration, and its listener's absence.
        """
        self.spy()
        config = self.gateway.config
        await self.gateway.apply(config)
        self.assertEqual(b"spied", (await self.ask(get(b"/at"))).body)
        secure = {"secure": config.listeners["secure"]}
        rules = {"secure": config.rules["secure"]}
        await self.gateway.apply(attrs.evolve(config, listeners=secure, rules=rules))
        self.assertEqual(b"ok", (await self.ask(get(b"/at"), True)).body)
        await self.gateway.apply(config)
        self.assertEqual(b"spied", (await self.ask(get(b"/at"))).body)

    async def test_order(self) -> None:
        """
        Of two that match, the first that was mounted answers.
        """
        self.mount(("/a*", Spy(b"first")), ("/at", Spy(b"second")))
        self.assertEqual(b"first", (await self.ask(get(b"/at"))).body)

    async def test_wrong(self) -> None:
        """
        An unknown listener and a bad pattern are refused, and leave no trace.
        """
        self.mount()
        for listener, paths in (("none", "/"), ("plain", "at"), ("plain", "/*/a")):
            with self.assertRaises(ValueError):
                self.gateway.mount(listener, paths, Spy())
        self.assertEqual((), self.gateway._mounts)

    async def test_stopped(self) -> None:
        """
        A gateway that is being stopped takes in nothing.
        """
        self.mount()
        stopped = self.gateway.stopService()
        with self.assertRaises(RuntimeError):
            self.gateway.mount("plain", "/at", Spy())
        await stopped
        self.assertEqual((), self.gateway._mounts)

    async def test_before_the_start(self) -> None:
        """
        A resource can be mounted before the gateway serves.
        """
        gateway = self.prepared()
        mounted = gateway.mount("plain", "/at", Spy())
        self.successResultOf(mounted)
        gateway.startService()
        self.addCleanup(gateway.stopService)
        self.assertEqual(b"spied", (await self.ask(get(b"/at"))).body)

    def prepared(self) -> Any:
        """
        Return a gateway that is not started.
        """
        config: model.Config = self.config(self.backend(answering(OK)))
        self.gateway = Recorded(config)
        return self.gateway

    async def test_no_cost(self) -> None:
        """
        A site at which nothing is mounted does not look.
        """
        self.spy()
        terms = self.gateway._built.terms
        kinds = {
            type(site)
            for one in terms.values()
            for site in one.root.sites.values()
            if site.leaves
        }
        self.assertEqual(2, len(kinds))
        self.assertIn(MountingResource, kinds)
