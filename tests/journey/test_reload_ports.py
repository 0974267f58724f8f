from __future__ import annotations

import ipaddress
import socket

import attrs
from twisted.internet.defer import Deferred

from appgw.config import model
from appgw.testing import make_certificate
from tests.journey.kit import (
    FRONT,
    GET,
    OK,
    PLAIN,
    SECURE,
    JourneyTests,
    answering,
    get,
    put,
    turn,
)
from tests.journey.wire import Client, Truncated

LATER = "127.0.0.4"


class PortReloadTests(JourneyTests):
    """
    What a new configuration means to listeners and those who came by them.
    """

    def start(self) -> model.Config:
        """
        Serve both listeners; return their configuration.
        """
        self.web = self.backend(answering(OK), None)
        config = self.config(self.web, protocol="http")
        self.serve(config)
        return config

    def only(self, config: model.Config, *names: str) -> model.Config:
        """
        Keep the listeners of these names.
        """
        return attrs.evolve(
            config,
            rules={name: config.rules[name] for name in names},
            listeners={name: config.listeners[name] for name in names},
        )

    def listening(
        self, config: model.Config, **listeners: model.Listener
    ) -> model.Config:
        """
        Add or change listeners, each with a rule that leads to the pool.
        """
        to = next(iter(config.rules.values())).destination
        both = dict(config.listeners) | listeners
        rules = {
            name: model.Rule(name=name, priority=at, listener=name, destination=to)
            for at, name in enumerate(both, 1)
        }
        return attrs.evolve(config, listeners=both, rules=rules)

    async def misdirected(self, client: Client) -> None:
        """
        Assert that the next request is the last, and answered with 421.
        """
        answer = await client.ask(GET)
        self.assertEqual(421, answer.status)
        self.assertEqual([b"close"], answer.get(b"connection"))
        self.assertTrue(await client.ended())

    async def test_added(self) -> None:
        """
        A listener that a reload brings is served.
        """
        config = self.start()
        plain = attrs.evolve(config.listeners["plain"], name="later", address=LATER)
        await self.gateway.apply(self.listening(config, later=plain))
        where = self.gateway.addresses()[LATER, 0]
        client = socket.create_connection(where)
        self.addCleanup(client.close)
        client.setblocking(False)
        client.sendall(GET)
        while not self.gateway.outcomes:
            await turn()
        self.assertTrue(client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n"))

    async def test_removed(self) -> None:
        """
        Of a listener that is gone, clients are told so at their next request.
        """
        config = self.start()
        clients = [await self.client(), await self.client(secure=True)]
        for client in clients:
            self.assertEqual(200, (await client.ask(GET)).status)
        _, port = self.gateway.addresses()[PLAIN, 0]
        await self.gateway.apply(self.only(config, "secure"))
        await self.misdirected(clients[0])
        self.assertEqual(200, (await clients[1].ask(GET)).status)
        with socket.socket() as late:
            self.assertNotEqual(0, late.connect_ex((PLAIN, port)))
        self.assertEqual(1, self.count("appgw_refusals_total", reason="misdirected"))

    async def test_removed_and_idle(self) -> None:
        """
        Those of them who ask for nothing are let go soon.
        """
        config = self.start()
        client = await self.client()
        await client.ask(GET)
        await self.gateway.apply(self.only(config, "secure"))
        self.gateway.later(1)
        self.assertTrue(await client.ended())

    async def test_removed_during_a_request(self) -> None:
        """
        The request that runs while its listener goes ends well, and is the last.
        """
        config = self.start()
        client = await self.client()
        whole = put(b"body")
        client.write(whole[:-2])
        while not any(self.web.conversations):
            await turn()
        await self.gateway.apply(self.only(config, "secure"))
        client.write(whole[-2:])
        answer = await client.answer(b"PUT")
        self.assertEqual(200, answer.status)
        self.assertEqual([b"close"], answer.get(b"connection"))
        self.assertTrue(await client.ended())

    async def test_slow_clients_of_the_gone(self) -> None:
        """
        Time-outs hold for clients of a listener that is gone, too.
        """
        config = self.start()
        client = await self.client()
        client.write(GET[:-2])
        channels = self.gateway._ports.channels
        while not any(channel._head_since for channel in channels()):
            await turn()
        await self.gateway.apply(self.only(config, "secure"))
        self.gateway.later(70)
        self.assertEqual(408, (await client.answer()).status)

    async def test_added_again(self) -> None:
        """
        A listener can go and come back.
        """
        config = self.start()
        for _ in range(3):
            client = await self.client()
            self.assertEqual(200, (await client.ask(GET)).status)
            await self.gateway.apply(self.only(config, "secure"))
            await self.gateway.apply(config)
            await self.misdirected(client)
        self.assertEqual(200, (await self.ask()).status)

    async def test_other_protocol(self) -> None:
        """
        A port may change from http to https and back; its old clients must go.
        """
        config = self.start()
        where = self.gateway.addresses()
        old = await self.client()
        self.assertEqual(200, (await old.ask(GET)).status)
        plain = attrs.evolve(
            config.listeners["plain"], protocol="https", certificate="front"
        )
        secure = attrs.evolve(
            config.listeners["secure"], protocol="http", certificate=None
        )
        swapped = self.listening(config, plain=plain, secure=secure)
        await self.gateway.apply(swapped)
        self.assertEqual(where, self.gateway.addresses())
        await self.misdirected(old)
        fresh = await self.client(True, address=PLAIN)
        self.assertEqual(200, (await fresh.ask(GET)).status)
        other = await self.client(False, address=SECURE)
        self.assertEqual(200, (await other.ask(GET)).status)
        await self.gateway.apply(config)
        await self.misdirected(fresh)
        await self.misdirected(other)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(200, (await self.ask(secure=True)).status)

    async def test_handshake_across_the_change(self) -> None:
        """
        A handshake that a change of protocol meets half way still ends well.
        """
        config = self.start()
        client = Deferred.fromCoroutine(self.client(secure=True))
        while not self.gateway._ports.clients():
            await turn()
        self.assertEqual([], list(self.gateway._ports.channels()))
        secure = attrs.evolve(
            config.listeners["secure"], protocol="http", certificate=None
        )
        await self.gateway.apply(self.listening(config, secure=secure))
        await self.misdirected(await client)

    async def test_site_removed(self) -> None:
        """
        Who shook hands with a listener that is gone must connect anew, though
        its port is still served.
        """
        config = self.start()
        blog = make_certificate(["blog.example"])
        config = attrs.evolve(
            config,
            certificates=dict(config.certificates)
            | {
                "blog": model.Certificate(
                    name="blog", chain=blog.cert_pem, key=blog.key_pem
                )
            },
        )
        listener = attrs.evolve(
            config.listeners["secure"],
            name="blog",
            certificate="blog",
            host_names=("blog.example",),
        )
        shop = attrs.evolve(config.listeners["secure"], host_names=("shop.example",))
        await self.gateway.apply(self.listening(config, blog=listener, secure=shop))
        on_blog = await self.client(secure=True, name=b"blog.example")
        on_shop = await self.client(secure=True, name=b"shop.example")
        ask = get().replace(b"shop", b"blog")
        self.assertEqual(200, (await on_blog.ask(ask)).status)
        self.assertEqual(200, (await on_shop.ask(GET)).status)
        await self.gateway.apply(self.listening(config, secure=shop))
        answer = await on_blog.ask(ask)
        self.assertEqual(421, answer.status)
        self.assertTrue(await on_blog.ended())
        self.assertEqual(200, (await on_shop.ask(GET)).status)
        self.assertEqual(
            FRONT.certificate,
            on_shop.transport.getPeerCertificate().to_cryptography(),
        )

    async def test_limits(self) -> None:
        """
        A new limit of bodies holds for those who are there already.
        """
        config = self.start()
        client = await self.client()
        self.assertEqual(200, (await client.ask(put(b"12345"))).status)
        await self.gateway.apply(attrs.evolve(config, max_request_body=4))
        self.assertEqual(413, (await client.ask(put(b"12345"))).status)

    async def test_distrust(self) -> None:
        """
        A proxy that is not trusted any more is not believed on kept connections.
        """
        config = self.start()
        network = ipaddress.ip_network("127.0.0.0/8")
        await self.gateway.apply(attrs.evolve(config, trusted_proxies=(network,)))
        client = await self.client()
        ask = get(b"/", b"X-Forwarded-For: 192.0.2.1")
        await client.ask(ask)
        await self.gateway.apply(config)
        await client.ask(ask)
        told = [message.get(b"x-forwarded-for") for message in self.web.seen]
        self.assertEqual([[b"192.0.2.1, 127.0.0.1"], [b"127.0.0.1"]], told)

    async def test_failed_build(self) -> None:
        """
        What cannot be built changes nothing.
        """
        config = self.start()
        front = attrs.evolve(config.certificates["front"], key=b"nonsense")
        wrong = attrs.evolve(config, certificates={"front": front})
        self.assertRaises(ValueError, self.gateway.apply, wrong)
        for secure in (False, True):
            self.assertEqual(200, (await self.ask(secure=secure)).status)

    async def test_failed_bind(self) -> None:
        """
        A port that cannot be had changes nothing, also where others are new.
        """
        config = self.start()
        taken = socket.create_server((LATER, 0))
        self.addCleanup(taken.close)
        listeners = {
            name: attrs.evolve(
                config.listeners["plain"], name=name, address=LATER, port=port
            )
            for name, port in (("one", 0), ("two", taken.getsockname()[1]))
        }
        before, in_force = self.gateway.addresses(), self.gateway.config
        wrong = self.listening(config, **listeners)
        self.assertRaises(OSError, self.gateway.apply, wrong)
        self.assertEqual(before, self.gateway.addresses())
        for secure in (False, True):
            self.assertEqual(200, (await self.ask(secure=secure)).status)
        self.assertIs(in_force, self.gateway.config)

    async def test_truncation_is_not_needed(self) -> None:
        """
        A download that runs over a reload arrives whole.
        """
        config = self.start()
        body = bytes(1 << 20)
        self.web.script = answering(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        client = await self.client(secure=True)
        client.write(GET)
        await client.upto(b"\r\n\r\n")
        await self.gateway.apply(self.only(config, "plain"))
        try:
            self.assertEqual(body, await client.take(len(body)))
        except Truncated:
            self.fail("the download was cut")
