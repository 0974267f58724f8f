from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import make_certificate
from tests.backend.zone import Zone
from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    PLAIN,
    SECURE,
    STRANGER,
    Backend,
    JourneyTests,
    answering,
    both,
    get,
    pin,
    turn,
)
from tests.journey.wire import Client, Conversation, Truncated

OTHER = make_certificate(["shop.example"])
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin"


async def beginning(conversation: Conversation) -> None:
    """
    Answer each request in half, and wait for the test to do the rest.
    """
    while True:
        await conversation.request()
        conversation.write(BEGUN)


async def silent(conversation: Conversation) -> None:
    """
    Read requests, and answer none.
    """
    while True:
        await conversation.request()


class ReloadTests(JourneyTests):
    """
    What a new configuration means to those who are there already.
    """

    def pinned(self, config: model.Config, *pins: model.Pin) -> model.Config:
        """
        Allow *pins* and no other.
        """
        settings = attrs.evolve(
            config.backend_settings["web"], pins=tuple(one.name for one in pins)
        )
        return attrs.evolve(
            config,
            pins={one.name: one for one in pins},
            backend_settings={"web": settings},
        )

    def presenting(self, config: model.Config, issued: Any) -> model.Config:
        """
        Present another certificate to clients.
        """
        front = model.Certificate(
            name="front", chain=issued.cert_pem, key=issued.key_pem
        )
        return attrs.evolve(config, certificates={"front": front})

    def without(self, config: model.Config, name: str) -> model.Config:
        """
        Take a listener away.
        """
        rules = {key: rule for key, rule in config.rules.items() if key != name}
        listeners = {k: one for k, one in config.listeners.items() if k != name}
        return attrs.evolve(config, rules=rules, listeners=listeners)

    async def begun(self, client: Client, *backends: Backend) -> Conversation:
        """
        Ask, and wait for the first half of the answer.
        """
        client.write(GET)
        await client.upto(b"begin")
        (conversation,) = [c for one in backends for c in one.conversations]
        return conversation

    # Under load.

    async def load(self, clients: int, requests: int, each: Callable[[int], Any]) -> int:
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
        for client, issued in ((before, self_issued(before)), (after, OTHER)):
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

    # Pins.

    async def test_pin_removed(self) -> None:
        """
        A pin that leaves its setting takes the answers under way with it.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client(secure=True)
        conversation = await self.begun(client, backend)
        before = bytes(conversation.received)
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        await conversation.ended()
        self.assertEqual(before, bytes(conversation.received))
        self.assertFalse(await client.ended())
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(before, backend.received)

    async def test_pin_removed_before_the_answer(self) -> None:
        """
        Where nothing was answered yet, the client gets 502.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(GET)
        while not backend.seen:
            await turn()
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        self.assertEqual(502, (await client.answer()).status)
        await backend.conversations[0].ended()

    async def test_pin_removed_during_upload(self) -> None:
        """
        Of a body under way no further byte reaches a backend that lost its pin.
        """
        backend = self.backend(silent)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nfour")
        while not backend.received.endswith(b"four"):
            await turn()
        applied = gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        client.write(b"more")
        await applied
        self.assertEqual(502, (await client.answer()).status)
        await backend.conversations[0].ended()
        self.assertTrue(backend.received.endswith(b"four"))

    async def test_pin_removed_during_connecting(self) -> None:
        """
        A handshake that was begun on the old pins sends no request any more.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        client.write(GET)
        while not gateway._connections.busy():
            await turn()
        self.assertEqual([], list(gateway._connections.streams()))
        await gateway.apply(self.pinned(config, pin(STRANGER, "stranger")))
        self.assertEqual(502, (await client.answer()).status)
        self.assertEqual(b"", backend.received)

    async def test_pin_added(self) -> None:
        """
        With a pin more, what runs goes on, and the new certificate is admitted.
        """
        old, new = self.backend(beginning), self.backend(answering(OK), STRANGER)
        config = self.config(old)
        gateway = self.serve(config)
        client = await self.client(secure=True)
        conversation = await self.begun(client, old)
        rotated = self.pinned(self.config(new), pin(LEAF), pin(STRANGER, "stranger"))
        await gateway.apply(rotated)
        self.assertEqual(200, (await self.ask()).status)
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))
        outcomes = await self.recorded(2)
        self.assertEqual([None, None], [outcome.refusal for outcome in outcomes])

    async def test_same_pin_under_another_name(self) -> None:
        """
        Pins are compared by what they admit, not by their names.
        """
        backend = self.backend(beginning)
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        conversation = await self.begun(client, backend)
        await gateway.apply(self.pinned(config, pin(LEAF, "renamed")))
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))

    async def test_kept_connections(self) -> None:
        """
        Kept connections that were admitted on other terms are closed.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        self.assertEqual(200, (await self.ask()).status)
        await gateway.apply(config)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(1, len(backend.conversations))
        await gateway.apply(self.pinned(config, pin(LEAF), pin(STRANGER, "more")))
        await backend.conversations[0].ended()
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(2, len(backend.conversations))

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
        self.assertEqual(200, (await client_of(self)).status)
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
        zone = Zone()
        zone.holding = True
        zone.records["new.internal"] = ["127.0.0.1"]
        self.addCleanup(
            reactor.installNameResolver, reactor.installNameResolver(zone)
        )
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

    async def test_overtaken(self) -> None:
        """
        A reload that still waits for names is in force before the next one is.
        """
        zone = Zone()
        zone.holding = True
        self.addCleanup(
            reactor.installNameResolver, reactor.installNameResolver(zone)
        )
        backend = self.backend(answering(OK))
        gateway = self.serve(self.config(backend))
        named = self.config(model.Member(address="new.internal", port=1))
        first = gateway.apply(named)
        self.assertNoResult(first)
        last = self.config(backend, request_timeout=9.0)
        second = gateway.apply(last)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertIs(last, gateway.config)
        self.assertEqual(200, (await self.ask()).status)

    async def test_stop_while_waiting(self) -> None:
        """
        A stop that meets a reload still waiting leaves nothing bound.
        """
        zone = Zone()
        zone.holding = True
        self.addCleanup(
            reactor.installNameResolver, reactor.installNameResolver(zone)
        )
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(self.without(config, "plain"))
        member = model.Member(address="new.internal", port=1)
        applied = gateway.apply(self.config(member))
        await gateway.stopService()
        self.successResultOf(applied)
        self.assertEqual({}, gateway.addresses())


async def client_of(test: JourneyTests) -> Any:
    """
    Ask on a connection of its own.
    """
    return await test.ask()


def self_issued(client: Client) -> Any:
    """
    Return what the kit's gateway presents.
    """
    from tests.journey.kit import FRONT

    return FRONT
