from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from appgw.config import model
from appgw.testing import make_certificate
from tests.backend.zone import hold_names
from tests.journey.kit import (
    FRONT,
    GET,
    LEAF,
    OK,
    SECURE,
    STRANGER,
    answering,
    both,
    get,
    pin,
)
from tests.journey.reloads import ReloadTestCase, beginning

OTHER = make_certificate(["shop.example"])


class ReloadTests(ReloadTestCase):
    """
    What a new configuration means to those who are there already.
    """

    # Under load.

    async def load(
        self, clients: int, requests: int, each: Callable[[int], Any]
    ) -> int:
        """
        Send *requests* over each of so many TLS connections, one after the other.

        Args:
            each: called with the number of those answered so far.

        Returns:
            How many were answered as they should be, on their connection.
        """
        answered = 0

        async def one(number: int) -> None:
            nonlocal answered
            client = await self.client(secure=True, name=b"shop.example")
            for turn_of in range(requests):
                path = b"/%d/%d" % (number, turn_of)
                answer = await client.ask(get(path))
                self.assertEqual((200, b"ok"), (answer.status, answer.body))
                self.assertEqual([], answer.get(b"connection"))
                answered += 1
                await each(answered)

        await both(*(one(number) for number in range(clients)))
        return answered

    async def test_load(self) -> None:
        """
        Not one of many requests fails while the configuration changes.
        """
        backends = [self.backend(answering(OK)) for _ in range(2)]
        config = self.config(*backends, cookie_based_affinity=True)
        variants = [
            self.presenting(config, OTHER),
            self.without(config, "plain"),
            self.config(backends[1], request_timeout=9.0),
            self.pinned(config, pin(LEAF, "again"), pin(STRANGER, "more")),
            config,
        ]
        gateway = self.serve(config)
        reloads = 0

        async def each(answered: int) -> None:
            nonlocal reloads
            if answered % 20 == 0:
                await gateway.apply(variants[reloads % len(variants)])
                reloads += 1

        self.assertEqual(600, await self.load(6, 100, each))
        self.assertEqual(30, reloads)
        outcomes = await self.recorded(600)
        self.assertEqual({None}, {outcome.refusal for outcome in outcomes})
        self.assertEqual(600, sum(len(backend.seen) for backend in backends))

    async def test_new_clients_under_load(self) -> None:
        """
        Not one of many new clients fails while certificates change.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        variants = [self.presenting(config, OTHER), config]
        gateway = self.serve(config)
        for number in range(60):
            clients = [self.ask(secure=True) for _ in range(3)]
            if number % 3 == 0:
                clients.append(gateway.apply(variants[number % 2]))  # type: ignore[arg-type]
            for answer in (await both(*clients))[:3]:
                self.assertEqual((200, b"ok"), (answer.status, answer.body))
        await self.recorded(180)

    # Certificates.

    async def test_certificate(self) -> None:
        """
        New clients are shown the new certificate, those that are there stay.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        before = await self.client(secure=True)
        await before.ask(GET)
        await gateway.apply(self.presenting(config, OTHER))
        after = await self.client(secure=True)
        for client, issued in ((before, FRONT), (after, OTHER)):
            self.assertEqual(200, (await client.ask(GET)).status)
            shown = client.transport.getPeerCertificate()
            self.assertEqual(issued.certificate, shown.to_cryptography())

    async def test_same_certificate(self) -> None:
        """
        Where the certificates are the same, sessions can still be resumed.
        """
        config = self.config(self.backend(answering(OK)))
        gateway = self.serve(config)
        key = (SECURE, 0)
        before = gateway._built.terms[key].tls
        await gateway.apply(self.without(config, "plain"))
        self.assertIs(before, gateway._built.terms[key].tls)
        await gateway.apply(self.presenting(config, OTHER))
        self.assertIsNot(before, gateway._built.terms[key].tls)

    # Members.

    async def test_member_removed(self) -> None:
        """
        A member that leaves gets nothing new, and ends what it has begun.
        """
        old, new = self.backend(beginning), self.backend(answering(OK))
        gateway = self.serve(self.config(old))
        client = await self.client()
        conversation = await self.begun(client, old)
        await gateway.apply(self.config(new))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))
        await conversation.ended()
        self.assertEqual((1, 3), (len(old.seen), len(new.seen)))

    async def test_pool_removed(self) -> None:
        """
        A pool that goes with its setting lets its requests end.
        """
        old, new = self.backend(beginning), self.backend(answering(OK))
        gateway = self.serve(self.config(old))
        client = await self.client()
        conversation = await self.begun(client, old)
        config = self.config(new)
        to = model.Destination(pool="fresh", backend_settings="fresh")
        await gateway.apply(
            attrs.evolve(
                config,
                pools={"fresh": attrs.evolve(config.pools["web"], name="fresh")},
                backend_settings={
                    "fresh": attrs.evolve(config.backend_settings["web"], name="fresh")
                },
                rules={
                    name: attrs.evolve(rule, destination=to)
                    for name, rule in config.rules.items()
                },
            )
        )
        self.assertEqual(200, (await self.ask()).status)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))

    async def test_health_stays(self) -> None:
        """
        What is known of a backend's health outlives a reload.
        """
        dead = model.Member(address="127.0.0.9", port=1)
        alive = self.backend(answering(OK))
        config = self.config(dead, alive)
        gateway = self.serve(config)
        for _ in range(2):
            self.assertEqual(200, (await self.ask()).status)
        failed = "appgw_backend_connections_failed_total"
        self.assertEqual(1, self.count(failed))
        await gateway.apply(config)
        for _ in range(4):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(1, self.count(failed))

    async def test_affinity_stays(self) -> None:
        """
        A client stays on its backend over a reload, though no key was configured.
        """
        backends = [self.backend(answering(OK)) for _ in range(2)]
        config = self.config(*backends, cookie_based_affinity=True)
        gateway = self.serve(config)
        (line,) = (await self.ask()).get(b"set-cookie")
        cookie = b"Cookie: " + line.partition(b";")[0]
        await gateway.apply(config)
        for _ in range(4):
            answer = await self.ask(get(b"/", cookie))
            self.assertEqual([], answer.get(b"set-cookie"))
        self.assertEqual({0, 5}, {len(backend.seen) for backend in backends})

    async def test_new_name(self) -> None:
        """
        A name that a reload brings has its addresses before the swap.
        """
        zone = hold_names(self)
        zone.records["new.internal"] = ["127.0.0.1"]
        old, new = self.backend(answering(OK)), self.backend(answering(OK))
        gateway = self.serve(self.config(old))
        named = model.Member(address="new.internal", port=new.port)
        applied = gateway.apply(self.config(named))
        self.assertNoResult(applied)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((1, 0), (len(old.seen), len(new.seen)))
        zone.answer()
        self.successResultOf(applied)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((1, 1), (len(old.seen), len(new.seen)))

    async def test_old_names(self) -> None:
        """
        Names that nobody has any more are not looked up any more.
        """
        zone = hold_names(self)
        zone.holding = False
        old = self.config(model.Member(address="old.internal", port=1))
        gateway = self.serve(old)
        for name in ("new.internal", "newer.internal"):
            await gateway.apply(self.config(model.Member(address=name, port=1)))
        zone.asked.clear()
        await gateway.stopService()
        gateway.startService()
        self.assertEqual(["newer.internal"], zone.asked)

    async def test_overtaken(self) -> None:
        """
        A reload that still waits for names is in force before the next one is.
        """
        hold_names(self)
        backend = self.backend(answering(OK))
        gateway = self.serve(self.config(backend))
        named = self.config(model.Member(address="new.internal", port=1))
        first = gateway.apply(named)
        self.assertNoResult(first)
        last = self.config(backend, request_timeout=9.0)
        second = gateway.apply(last)
        self.successResultOf(first)
        await second
        self.assertIs(last, gateway.config)
        self.assertEqual(200, (await self.ask()).status)

    async def test_stop_while_waiting(self) -> None:
        """
        A stop that meets a reload still waiting leaves nothing bound.
        """
        hold_names(self)
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(self.without(config, "plain"))
        member = model.Member(address="new.internal", port=1)
        applied = gateway.apply(self.config(member))
        await gateway.stopService()
        self.successResultOf(applied)
        self.assertEqual({}, gateway.addresses())
