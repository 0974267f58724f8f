from __future__ import annotations

from typing import Any

from OpenSSL import SSL

from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import server_context
from tests.journey.kit import GET, LEAF, OK, both, put
from tests.journey.probing import (
    BAD,
    Answers,
    ProbedTestCase,
    probes,
    requests,
)


class StateTests(ProbedTestCase):
    """
    What probes find out decides who gets requests.
    """

    async def test_unhealthy_gets_nothing(self) -> None:
        """
        After as many failures as the threshold says, and no earlier, a member
        gets no request; the others get all.
        """
        sick = Answers()
        first, second = self.backend(sick), self.backend(Answers())
        await self.probed(first, second)
        self.assertEqual(["Up", "Up"], self.states())
        sick.answer = BAD
        await self.again(2)
        self.assertEqual(["Up", "Up"], self.states())
        self.assertEqual([200] * 4, await self.statuses(4))
        self.assertEqual((2, 2), (requests(first), requests(second)))
        await self.again()
        self.assertEqual(["Down", "Up"], self.states())
        self.assertEqual([200] * 4, await self.statuses(4))
        self.assertEqual((2, 6), (requests(first), requests(second)))

    async def test_nobody_left(self) -> None:
        """
        Where nobody is healthy each request is 502, and Azure's word for that is
        in the log; nothing is sent.
        """
        sick = Answers(BAD)
        backends = [self.backend(sick) for _ in range(2)]
        await self.probed(*backends, probe={"unhealthy_threshold": 1})
        self.assertEqual(["Down", "Down"], self.states())
        for wire in (GET, put(b"body", b"POST")):
            self.assertEqual(502, (await self.ask(wire)).status)
        self.assertEqual([0, 0], [requests(one) for one in backends])
        for outcome in await self.recorded(2):
            self.assertIs(Refusal.NO_MEMBER, outcome.refusal)
        for line in self.lines():
            self.assertEqual("ERRORINFO_UPSTREAM_NO_LIVE", line["error_info"])

    async def test_one_success_heals(self) -> None:
        """
        However long it was unhealthy, one good answer brings a member back.
        """
        sick = Answers(BAD)
        backend = self.backend(sick)
        await self.probed(backend)
        await self.again(7)
        self.assertEqual((["Down"], [502]), (self.states(), await self.statuses(1)))
        sick.answer = OK
        await self.again()
        self.assertEqual((["Up"], [200]), (self.states(), await self.statuses(1)))
        self.assertEqual("Success. Received 200 status code", self.told())

    async def test_unknown_gets_requests(self) -> None:
        """
        Until probes have told, requests are sent; what they said is told.
        """
        backend = self.backend(Answers(BAD))
        await self.probed(backend)
        self.assertEqual((["Unknown"], [200]), (self.states(), await self.statuses(1)))
        self.assertIn("Received:503", self.told())

    async def test_min_servers(self) -> None:
        """
        So many get requests whatever probes say, and count as healthy.
        """
        sick = Answers(BAD)
        backends = [self.backend(sick) for _ in range(3)]
        probe = {"unhealthy_threshold": 1, "min_servers": 2}
        await self.probed(*backends, probe=probe)
        self.assertEqual(["Down", "Up", "Up"], sorted(self.states()))
        self.assertEqual([200] * 4, await self.statuses(4))
        self.assertEqual([0, 2, 2], sorted(requests(one) for one in backends))
        labels = {"pool": "web", "setting": "web"}
        self.assertEqual(2, self.count("appgw_healthy_members", **labels))
        self.assertEqual(1, self.count("appgw_unhealthy_members", **labels))
        self.assertEqual(2, self.messages().count("because of min_servers"))

    async def test_under_way(self) -> None:
        """
        A request that is under way when its member turns unhealthy ends as if
        nothing had happened.
        """
        sick = Answers()
        asked = []

        async def script(conversation: Any) -> None:
            request = await conversation.request()
            if request.target == b"/healthz":
                conversation.write(sick.answer)
            else:
                asked.append(conversation)

        backend = self.backend(script)
        probe = {"unhealthy_threshold": 1}
        await self.probed(backend, probe=probe, request_timeout=1000.0)
        client = await self.client()
        client.write(GET)
        await self.until(lambda: asked)
        sick.answer = BAD
        await self.again()
        self.assertEqual(["Down"], self.states())
        asked[0].write(OK)
        self.assertEqual(b"ok", (await client.answer()).body)

    async def test_told_once(self) -> None:
        """
        Each change is logged once, and nothing between two changes.
        """
        sick = Answers()
        backend = self.backend(sick)
        await self.probed(backend)
        await self.again(3)
        sick.answer = BAD
        await self.again(6)
        sick.answer = OK
        await self.again(3)
        lines = [line for line in self.messages().splitlines() if "(pool web" in line]
        where = f"127.0.0.1:{backend.port} (pool web, setting web) is"
        good = f"{where} healthy: Success. Received 200 status code"
        self.assertEqual([good, good], [lines[0], lines[2]])
        self.assertEqual(
            f"{where} unhealthy: Status code of the backend's HTTP response did not"
            " match the probe setting. Expected:200-399 Received:503.",
            lines[1],
        )
        self.assertEqual(3, len(lines))

    async def test_gauges(self) -> None:
        """
        Members are counted by pool and setting; the unknown in neither gauge.
        """
        sick = Answers(BAD)
        await self.probed(self.backend(sick), self.backend(Answers()))
        counted = [
            [
                self.count(f"appgw_{name}_members", pool="web", setting="web")
                for name in ("healthy", "unhealthy")
            ]
        ]
        await self.again(2)
        counted.append(
            [
                self.count(f"appgw_{name}_members", pool="web", setting="web")
                for name in ("healthy", "unhealthy")
            ]
        )
        self.assertEqual([[1, 0], [1, 1]], counted)


class AskingTests(ProbedTestCase):
    """
    What is sent, and over what.
    """

    async def test_default(self) -> None:
        """
        A setting without a probe asks what Azure's default probe asks.
        """
        backend = self.backend(Answers())
        self.serve(self.config(backend, probe_enabled=True))
        await self.settled()
        (probe,) = backend.seen
        self.assertEqual((b"GET", b"/", b""), (probe.method, probe.target, probe.body))
        self.assertEqual(
            [
                (b"host", b"127.0.0.1"),
                (b"user-agent", b"appgw-probe"),
                (b"accept", b"*/*"),
                (b"connection", b"close"),
            ],
            probe.headers,
        )
        await self.again(2)
        self.assertEqual(3, len(backend.seen))
        for conversation in backend.conversations:
            self.assertTrue(await conversation.ended())

    async def test_never_the_host(self) -> None:
        """
        The SNI of a probe is the requests' own, and none for an address: never
        the Host of the probe, nor 127.0.0.1.
        """
        names: list[bytes | None] = []
        context = server_context(LEAF)
        context.set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        backend = self.backend(Answers(), context=context)
        for probe in ({}, {"host": "other.internal"}):
            for settings in ({}, {"host_name": "orders.internal"}):
                await self.probed(backend, probe=probe, **settings)
                await self.gateway.stopService()
        config = self.config(backend, host_name="orders.internal", probe_enabled=True)
        self.serve(config)
        await self.settled()
        wanted = [None, b"orders.internal"] * 2 + [b"orders.internal"]
        self.assertEqual(wanted, names)
        hosts = [one.get(b"host")[0] for one in backend.seen]
        self.assertEqual(
            [
                b"127.0.0.1",
                b"orders.internal",
                b"other.internal",
                b"other.internal",
                b"127.0.0.1",
            ],
            hosts,
        )

    async def test_query(self) -> None:
        """
        A path's query is part of what is asked.
        """
        backend = self.backend(Answers())
        await self.probed(backend, probe={"path": "/healthz?deep=1&x=%20"})
        self.assertEqual(b"/healthz?deep=1&x=%20", backend.seen[0].target)

    async def test_plain(self) -> None:
        """
        A backend in clear text is probed in clear text.
        """
        backend = self.backend(Answers(), None)
        await self.probed(backend, protocol="http")
        self.assertEqual((["Up"], 1), (self.states(), probes(backend)))

    async def test_own_connection(self) -> None:
        """
        What is kept for requests is not touched by probes, and what was opened
        for a probe serves no request.
        """
        backend = self.backend(Answers())
        await self.probed(backend)
        for _ in range(3):
            self.assertEqual([200, 200], await self.statuses(2))
            await self.again(1, 29.0)
        seen = [
            len(one.received.split(b"\r\n\r\n")) - 1 for one in backend.conversations
        ]
        self.assertEqual(6, max(seen))
        self.assertEqual(probes(backend), seen.count(1))
        made = self.count("appgw_backend_connections_made_total")
        self.assertEqual(1, made)

    async def test_own_port(self) -> None:
        """
        A probe may have a port of its own, at which the same must be presented.
        """
        backend, prober = self.backend(Answers()), self.backend(Answers())
        await self.probed(backend, probe={"port": prober.port})
        self.assertEqual((0, 1), (len(backend.seen), len(prober.seen)))
        self.assertEqual((["Up"], [200]), (self.states(), await self.statuses(1)))
        self.assertEqual((1, 1), (len(backend.seen), len(prober.seen)))

    async def test_rests_heal(self) -> None:
        """
        A member at rest takes its turns again when a probe has come through,
        unless the probe went to another port.
        """
        backend, other = self.backend(Answers()), self.backend(Answers())
        for port, rests in ((None, False), (other.port, True)):
            await self.probed(backend, probe={"port": port})
            (pool,) = self.gateway._built.pools.values()
            pool.refused(pool.members[0])
            await self.again()
            self.assertIs(rests, pool.rests.out(pool.members[0].target))

    async def test_scatter(self) -> None:
        """
        A probe comes a little early, by chance, and never late.
        """
        backend = self.backend(Answers())
        await self.probed(backend)
        checks = self.gateway.watch.checks
        (check,) = checks._checks.values()
        for chance, wait in ((0.0, 30.0), (0.5, 28.5), (1.0, 27.0)):
            self.patch(checks, "_chance", lambda chance=chance: chance)
            began = check.due
            checks.sweep(began)
            await self.settled()
            self.assertAlmostEqual(began + wait, check.due)

    async def test_no_herd(self) -> None:
        """
        Of many members some are probed at once, and the others in their turn.
        """
        port = self.dead().port
        members = [
            model.Member(address=f"127.0.1.{n}", port=port) for n in range(1, 101)
        ]
        self.serve(self.probing(*members))
        self.assertEqual(64, self.under_way())
        await self.settled()
        told = [bool(one.told.startswith("Application")) for one in self.standings()]
        self.assertEqual([True] * 64 + [False] * 36, told)
        self.gateway.pass_time(0)
        self.assertEqual(36, self.under_way())
        await self.settled()
        self.gateway.pass_time(0)
        self.assertEqual(0, self.under_way())

    async def test_each_setting(self) -> None:
        """
        A pool under two settings is probed by each, and each has its own health.
        """
        backend = self.backend(Answers(), None)
        config = self.probing(backend, protocol="http")
        strict = model.BackendSettings(
            name="strict", protocol="http", port=1, probe="strict"
        )
        match = model.ProbeMatch(status_codes=((204, 204),))
        fussy = model.Probe(
            name="strict", path="/strict", match=match, unhealthy_threshold=1
        )
        rules = dict(config.rules)
        there = model.Destination(pool="web", backend_settings="strict")
        rules["secure"] = model.Rule(
            name="secure", priority=2, listener="secure", destination=there
        )
        self.serve(
            config,
            rules=rules,
            backend_settings={**config.backend_settings, "strict": strict},
            probes={**config.probes, "strict": fussy},
        )
        await self.settled()
        targets = sorted(one.target for one in backend.seen)
        self.assertEqual([b"/healthz", b"/strict"], targets)
        answers = await both(self.ask(), self.ask(secure=True))
        self.assertEqual([200, 502], [answer.status for answer in answers])


class TLS12Tests(ProbedTestCase):
    async def test_tls12(self) -> None:
        """
        A backend that speaks no newer TLS is probed all the same.
        """
        context: SSL.Context = server_context(LEAF, tls12_only=True)
        await self.probed(self.backend(Answers(), context=context))
        self.assertEqual(["Up"], self.states())
