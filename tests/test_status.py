from __future__ import annotations

import socket
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory

from appgw import Gateway
from appgw.config import model
from appgw.status import LONGEST, MAX_CLIENTS
from tests.journey.kit import GET, OK, answering, get
from tests.journey.probing import Answers, ProbedTestCase
from tests.journey.recorded import Recorded
from tests.journey.wire import Client, Conversation, Message, Truncated

STATUS = model.Status(port=0)
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


def asking(path: str, *lines: str, method: str = "GET") -> bytes:
    """
    Return a request to the status port.
    """
    fields = "".join(f"{line}\r\n" for line in lines)
    return f"{method} {path} HTTP/1.1\r\nHost: status\r\n{fields}\r\n".encode()


class StatusTestCase(ProbedTestCase):
    async def visitor(self) -> Client:
        """
        Connect to the status port.
        """
        address = self.gateway.watch.status.address
        assert address is not None
        client = Client()
        factory = Factory.forProtocol(lambda: client)
        factory.noisy = False
        await TCP4ClientEndpoint(reactor, *address).connect(factory)
        self.addCleanup(client.reset)
        return client

    async def see(self, wire: bytes) -> Message:
        """
        Ask on a connection of its own.
        """
        client = await self.visitor()
        message = await client.ask(wire)
        client.reset()
        await client.ended()
        return message

    async def status(self, path: str) -> int:
        """
        Return the status only.
        """
        return (await self.see(asking(path))).status

    def watched(self, *backends: Any, **settings: Any) -> model.Config:
        """
        Return a configuration with a status port.
        """
        return attrs.evolve(self.probing(*backends, **settings), status=STATUS)


class AnswerTests(StatusTestCase):
    """
    What is told.
    """

    async def test_live(self) -> None:
        """
        A gateway that answers lives.
        """
        self.serve(self.watched())
        message = await self.see(asking("/live"))
        self.assertEqual((200, b"OK\n"), (message.status, message.body))
        self.assertEqual([b"no-store"], message.get(b"cache-control"))
        self.assertEqual(1, len(message.get(b"date")))

    async def test_metrics(self) -> None:
        """
        The gateway's own metrics are shown, in Prometheus' format or, if it is
        asked for, in OpenMetrics.
        """
        backend = self.backend(Answers())
        self.serve(self.watched(backend))
        await self.settled()
        for accept, kind, end in (
            ((), PLAIN, b""),
            (("Accept: */*",), PLAIN, b""),
            (
                ("Accept: application/openmetrics-text; version=1.0.0",),
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                b"# EOF\n",
            ),
        ):
            message = await self.see(asking("/metrics", *accept))
            self.assertEqual(200, message.status)
            (found,) = message.get(b"content-type")
            self.assertTrue(found.decode().startswith(kind), found)
            self.assertTrue(message.body.endswith(end))
            healthy = b'appgw_healthy_members{pool="web",setting="web"} 1.0\n'
            self.assertIn(healthy, message.body)

    async def test_odd_accept(self) -> None:
        """
        An Accept that nobody understands is as good as none.
        """
        self.serve(self.watched())
        for accept in (
            "application/openmetrics-text;version=abc",
            "text/plain;version=x",
            "\xfc",
            "," * 1000,
            "application/openmetrics-text;version=9.9.9;escaping=?",
        ):
            message = await self.see(asking("/metrics", f"Accept: {accept}"))
            self.assertEqual(200, message.status, accept)
            self.assertIn(b"appgw_client_connections 0.0\n", message.body)

    async def test_not_counted(self) -> None:
        """
        Who watches is no client: neither counted nor recorded.
        """
        self.serve(self.watched())
        for _ in range(3):
            await self.see(asking("/metrics"))
        self.assertEqual(0, self.count("appgw_client_connections_accepted_total"))
        self.assertEqual([], self.gateway.outcomes)

    async def test_nothing_else(self) -> None:
        """
        There is nothing else, and nothing takes anything but GET and HEAD.
        """
        self.serve(self.watched())
        for path in ("/", "/metrics/", "/Live", "/live/x", "//live", "/%6cive"):
            self.assertEqual(404, await self.status(path), path)
        for path in ("/live?x=1", "/ready?", "/metrics?name[]=up"):
            self.assertIn(await self.status(path), (200, 503), path)
        message = await self.see(asking("/live", "Content-Length: 0", method="POST"))
        self.assertEqual((405, [b"GET, HEAD"]), (message.status, message.get(b"allow")))
        message = await self.see(asking("/live", method="HEAD"))
        self.assertEqual((200, b""), (message.status, message.body))

    async def test_hostile(self) -> None:
        """
        What is doubtful is refused as at every other port, and nobody's body is
        read.
        """
        self.serve(self.watched())
        for wire, status in (
            (b"GET /live HTTP/1.1\r\n\r\n", 400),
            (b"GET /live HTTP/9.9\r\nHost: a\r\n\r\n", 505),
            (asking("/live", "X: " + "y" * 40_000), 431),
            (asking("/live", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
            (asking("/live", "Content-Length: 9999999", method="POST"), 413),
        ):
            self.assertEqual(status, (await self.see(wire)).status, wire[:80])

    async def test_pipeline(self) -> None:
        """
        Several requests on one connection are answered in their order.
        """
        self.serve(self.watched())
        client = await self.visitor()
        client.write(asking("/live") + asking("/none") + asking("/live"))
        statuses = [(await client.answer()).status for _ in range(3)]
        self.assertEqual([200, 404, 200], statuses)


class ReadyTests(StatusTestCase):
    """
    Whether requests should be sent here.
    """

    async def test_start(self) -> None:
        """
        Not before everybody has been probed once, whatever came of it.
        """
        asked: list[Conversation] = []

        async def silent(conversation: Conversation) -> None:
            await conversation.request()
            asked.append(conversation)

        backends = [self.backend(silent), self.backend(Answers())]
        self.serve(self.watched(*backends, self.dead(), probe={"timeout": 5.0}))
        await self.until(lambda: asked)
        self.assertEqual(503, await self.status("/ready"))
        self.assertEqual(200, await self.status("/live"))
        self.gateway.pass_time(5.1)
        self.gateway.pass_time(0)
        self.assertEqual(200, await self.status("/ready"))

    async def test_sick(self) -> None:
        """
        A gateway whose backends are all unhealthy is ready to say so.
        """
        self.serve(self.watched(self.dead(), probe={"unhealthy_threshold": 1}))
        await self.settled()
        self.gateway.pass_time(0)
        self.assertEqual(["Down"], self.states())
        self.assertEqual(200, await self.status("/ready"))

    async def test_nobody_probed(self) -> None:
        """
        Without probes it is ready with the start.
        """
        backend = self.backend(answering(OK))
        self.serve(self.watched(backend, probe_enabled=False))
        self.assertEqual(200, await self.status("/ready"))

    async def test_stop(self) -> None:
        """
        Not while it stops: then it still lives, and tells, until the last
        request has been answered.
        """
        asked: list[Conversation] = []

        async def slow(conversation: Conversation) -> None:
            await conversation.request()
            asked.append(conversation)

        backend = self.backend(slow)
        config = self.watched(backend, probe_enabled=False)
        self.serve(config, shutdown_timeout=1000.0)
        client = await self.client()
        client.write(GET)
        await self.until(lambda: asked)
        self.assertEqual(200, await self.status("/ready"))
        stopped = self.gateway.stopService()
        self.assertEqual(503, await self.status("/ready"))
        self.assertEqual(200, await self.status("/live"))
        waiting = await self.visitor()
        asked[0].write(OK)
        self.assertEqual(200, (await client.answer()).status)
        await stopped
        await waiting.ended()
        self.assertIsNone(self.gateway.watch.status.address)

    async def test_again(self) -> None:
        """
        A second start is not ready before its own first probes.
        """
        backend = self.backend(Answers())
        self.serve(self.watched(backend))
        for _ in range(2):
            self.assertEqual(503, await self.status("/ready"))
            await self.settled()
            self.gateway.pass_time(0)
            self.assertEqual(200, await self.status("/ready"))
            await self.gateway.stopService()
            self.gateway.startService()


class PlaceTests(StatusTestCase):
    """
    Where it is told.
    """

    async def test_before_anybody(self) -> None:
        """
        The port is bound with the others, before privileges are given up; who
        connects before the start waits for it.
        """
        gateway = self.gateway = Recorded(self.watched())
        gateway.privilegedStartService()
        self.addCleanup(gateway.stopService)
        client = await self.visitor()
        client.write(asking("/live"))
        gateway.startService()
        self.assertEqual(200, (await client.answer()).status)

    async def test_taken(self) -> None:
        """
        A port that somebody has ends the start, and no other one stays bound.
        """
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        number = taken.getsockname()[1]
        status = model.Status(port=number)
        gateway = Gateway(attrs.evolve(self.watched(), status=status), reactor)
        error = self.assertRaises(OSError, gateway.privilegedStartService)
        self.assertIn(f"cannot listen on 127.0.0.1 port {number}", str(error))
        self.assertEqual({}, gateway.addresses())

    async def test_moves(self) -> None:
        """
        A reload opens, moves and closes it; where it stays, connections do.
        """
        backend = self.backend(Answers())
        config = self.probing(backend)
        self.serve(config)
        self.assertIsNone(self.gateway.watch.status.address)
        await self.gateway.apply(attrs.evolve(config, status=STATUS))
        first = await self.visitor()
        self.assertEqual(200, (await first.ask(asking("/live"))).status)
        await self.gateway.apply(attrs.evolve(config, status=STATUS))
        self.assertEqual(200, (await first.ask(asking("/live"))).status)
        old = self.gateway.watch.status.address
        other = model.Status(address="127.0.0.2", port=0)
        await self.gateway.apply(attrs.evolve(config, status=other))
        self.assertEqual("127.0.0.2", self.gateway.watch.status.address[0])
        self.assertEqual(200, await self.status("/live"))
        assert old is not None
        with socket.socket() as gone:
            self.assertNotEqual(0, gone.connect_ex(old))
        await self.gateway.apply(config)
        self.assertIsNone(self.gateway.watch.status.address)

    async def test_taken_at_reload(self) -> None:
        """
        A reload that cannot have its port changes nothing, at no port.
        """
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        config = self.watched()
        gateway = self.serve(config)
        before = gateway.config, gateway.addresses(), gateway.watch.status.address
        status = model.Status(port=taken.getsockname()[1])
        another = attrs.evolve(config.listeners["plain"], name="x", address="127.0.0.4")
        rule = attrs.evolve(config.rules["plain"], name="x", listener="x", priority=9)
        changed = attrs.evolve(
            config,
            status=status,
            listeners={**config.listeners, "x": another},
            rules={**config.rules, "x": rule},
        )
        self.assertRaises(OSError, gateway.apply, changed)
        after = gateway.config, gateway.addresses(), gateway.watch.status.address
        self.assertEqual(before, after)
        self.assertEqual(200, await self.status("/live"))


class LimitTests(StatusTestCase):
    """
    What somebody may do who means harm.
    """

    async def test_seconds(self) -> None:
        """
        Whoever connects is cut after some seconds, whatever he does meanwhile.
        """
        self.serve(self.watched())
        mute, slow, busy = [await self.visitor() for _ in range(3)]
        slow.write(b"GET /live HTTP/1.1\r\n")
        await busy.ask(asking("/live"))
        self.gateway.pass_time(0)
        self.gateway.pass_time(LONGEST - 1)
        await busy.ask(asking("/live"))
        slow.write(b"X: y\r\n")
        self.gateway.pass_time(1.1)
        for client in (mute, slow, busy):
            await client.ended()

    async def test_many(self) -> None:
        """
        Of many at once only so many get in; the gateway's own port has no such
        limit, and is not concerned.
        """
        backend = self.backend(answering(OK))
        self.serve(self.watched(backend, probe_enabled=False))
        inside = [await self.visitor() for _ in range(MAX_CLIENTS)]
        for client in inside:
            self.assertEqual(200, (await client.ask(asking("/live"))).status)
        outside = await self.visitor()
        outside.write(asking("/live"))
        with self.assertRaises(Truncated):
            await outside.answer()
        clients = [await self.client() for _ in range(MAX_CLIENTS + 1)]
        for client in clients:
            self.assertEqual(200, (await client.ask(get())).status)
        inside[0].reset()
        await self.until(lambda: self.gateway.watch.status.clients() < MAX_CLIENTS)
        self.assertEqual(200, await self.status("/live"))
