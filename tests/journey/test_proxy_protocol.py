from __future__ import annotations

import ipaddress
from typing import Any

import attrs
from twisted.internet import reactor

from appgw.config import model
from appgw.endpoints import HANDSHAKE_TIMEOUT
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
    turn,
)
from tests.journey.wire import Client, Truncated
from tests.proxying import NOBODY, framed, version_1, version_2

IPV6 = "2001:db8::7"
PROXY = ipaddress.ip_network("127.0.0.1/32")
REFUSED = "appgw_proxy_headers_refused_total"


class ProxiedCase(JourneyTests):
    """
    A gateway whose listeners are for proxies; those are here on loopback.
    """

    def start(self, *networks: str, **changes: Any) -> model.Config:
        """
        Serve both listeners to the proxies of *networks*, else to all.
        """
        self.web = self.backend(answering(OK), None)
        config = self.proxied(self.config(self.web, protocol="http"))
        trusted = [ipaddress.ip_network(one) for one in networks or ("127.0.0.0/8",)]
        config = attrs.evolve(config, trusted_proxies=tuple(trusted), **changes)
        self.serve(config)
        return config

    def proxied(self, config: model.Config, *, flag: bool = True) -> model.Config:
        """
        Let both listeners expect a header, or not.
        """
        listeners = {
            name: attrs.evolve(listener, proxy_protocol=flag)
            for name, listener in config.listeners.items()
        }
        return attrs.evolve(config, listeners=listeners)

    def told(self, name: bytes) -> list[bytes]:
        """
        Return what the backend was told last in the field *name*.
        """
        return self.web.seen[-1].get(name)

    async def turned_away(self, client: Client, wire: bytes = GET) -> None:
        """
        Assert that a request is not answered, and the connection over.
        """
        client.write(wire)
        with self.assertRaises(Truncated):
            await client.answer()
        self.assertEqual(b"", bytes(client.received))

    async def misdirected(self, client: Client) -> None:
        """
        Assert that the next request is the last, and answered with 421.
        """
        self.assertEqual(421, (await client.ask(GET)).status)
        await client.ended()


class ProxyProtocolTests(ProxiedCase):
    """
    Clients who come through a proxy that names them.
    """

    async def test_named(self) -> None:
        """
        Whom the header names is the client: to the backend, in the access log,
        and with each request of the connection. The port is the one it reached.
        """
        self.start()
        for secure in (False, True):
            _, port = self.gateway.addresses()[SECURE if secure else PLAIN, 0]
            for address in ("192.0.2.7", IPV6):
                for header in (version_1(address, 7), version_2(address, 7)):
                    client = await self.client(secure, header=header)
                    for _ in range(2):
                        self.assertEqual(200, (await client.ask(GET)).status)
                        named = [address.encode()]
                        self.assertEqual(named, self.told(b"x-forwarded-for"))
                        port_told = self.told(b"x-forwarded-port")
                        self.assertEqual([b"%d" % port], port_told)
                        line = self.lines()[-1]
                        self.assertEqual(address, line["clientIP"])
                        self.assertEqual("7", str(line["clientPort"]))
        self.assertEqual(16, len(self.gateway.outcomes))

    async def test_nobody_named(self) -> None:
        """
        Where nobody is named it is the proxy, and what comes through it is
        believed no more than from anybody else.
        """
        self.start()
        for secure in (False, True):
            for header in (NOBODY, framed(), framed(b"\x04\x00\x01x")):
                client = await self.client(secure, header=header)
                await client.ask(get(b"/", b"X-Forwarded-For: 6.6.6.6"))
                me = client.transport.getHost().host.encode()
                self.assertEqual([me], self.told(b"x-forwarded-for"))

    async def test_what_the_named_claim(self) -> None:
        """
        Whose forwarding headers are believed is judged by the address that is
        named, not by the proxy's.
        """
        self.start("127.0.0.0/8", "10.1.0.0/16", forwarded_for_port=True)
        for address, chain in (
            ("192.0.2.7", b"192.0.2.7:7"),
            ("10.1.2.3", b"6.6.6.6, 10.1.2.3:7"),
            ("::ffff:10.1.2.3", b"6.6.6.6, 10.1.2.3:7"),
            (IPV6, b"[2001:db8::7]:7"),
        ):
            for header in (version_1(address, 7), version_2(address, 7)):
                client = await self.client(header=header)
                await client.ask(get(b"/", b"X-Forwarded-For: 6.6.6.6"))
                self.assertEqual([chain], self.told(b"x-forwarded-for"))

    async def test_names_of_sites(self) -> None:
        """
        The certificate is that of the name in the handshake behind the header.
        """
        config = self.start()
        blog = make_certificate(["blog.example"])
        shown = model.Certificate(name="blog", chain=blog.cert_pem, key=blog.key_pem)
        listeners = dict(config.listeners)
        secure = attrs.evolve(listeners["secure"], host_names=("shop.example",))
        other = {"host_names": ("blog.example",), "certificate": "blog"}
        listeners |= {
            "secure": secure,
            "blog": attrs.evolve(secure, name="blog", **other),
        }
        rule = attrs.evolve(
            config.rules["secure"], name="blog", listener="blog", priority=9
        )
        await self.gateway.apply(
            attrs.evolve(
                config,
                listeners=listeners,
                rules=dict(config.rules) | {"blog": rule},
                certificates=dict(config.certificates) | {"blog": shown},
            )
        )
        for name, issued in ((b"shop.example", FRONT), (b"blog.example", blog)):
            client = await self.client(True, name, header=version_2())
            answer = await client.ask(GET.replace(b"shop.example", name))
            self.assertEqual(200, answer.status)
            presented = client.transport.getPeerCertificate().to_cryptography()
            self.assertEqual(issued.certificate, presented)


class RefusalTests(ProxiedCase):
    """
    Connections that are not what a proxy of ours begins.
    """

    async def test_without(self) -> None:
        """
        Without a header nobody is served: counted, told once, never a traceback.
        """
        self.start()
        for number in range(1, 3):
            client = await self.client()
            await self.turned_away(client)
            secure = await self.client(secure=True)
            await secure.ended()
            counted = self.count(REFUSED, reason="malformed")
            self.assertEqual(2 * number, counted)
        self.assertEqual([], self.gateway.outcomes)
        self.assertEqual(b"", self.web.received)
        self.assertEqual(0, self.count("appgw_client_handshakes_failed_total"))
        self.assertEqual(2, self.messages().count("begin with a PROXY header"))
        self.assertEqual([], self.flushLoggedErrors())

    async def test_strangers(self) -> None:
        """
        Nobody else than the trusted proxies is served, with a header or without.
        """
        self.start("127.0.0.2/32")
        for header in (version_1(), version_2(), b""):
            client = await self.client(header=header)
            await self.turned_away(client)
        self.assertEqual(3, self.count(REFUSED, reason="untrusted"))
        self.assertEqual([], self.gateway.outcomes)

    async def test_slow(self) -> None:
        """
        A header has the time of a handshake.
        """
        self.start()
        turns, ahead = self.gateway._ports._reactor, 0.0
        self.patch(turns, "seconds", lambda: reactor.seconds() + ahead)
        client = await self.client(header=version_1()[:20])
        while not self.gateway._ports.clients():
            await turn()
        ahead = HANDSHAKE_TIMEOUT - 1
        self.gateway.later(0)
        await turn()
        self.assertIsNone(client.lost)
        ahead = HANDSHAKE_TIMEOUT + 1
        self.gateway.later(0)
        await client.ended()
        self.assertEqual(1, self.count(REFUSED, reason="late"))

    async def test_stop(self) -> None:
        """
        A gateway that stops waits for nobody's header for ever.
        """
        self.start()
        client = await self.client()
        while not self.gateway._ports.clients():
            await turn()
        await self.gateway.stopService()
        await client.ended()
        self.assertEqual(0, self.gateway._ports.clients())


class ReloadTests(ProxiedCase):
    """
    A port that begins to expect headers, or ends.
    """

    async def test_changed(self) -> None:
        """
        What a port expects may change; who began otherwise must connect anew.
        """
        config = self.start()
        plainly = self.proxied(config, flag=False)
        for secure in (False, True):
            where = self.gateway.addresses()
            named = await self.client(secure, header=version_1())
            self.assertEqual(200, (await named.ask(GET)).status)
            await self.gateway.apply(plainly)
            await self.misdirected(named)
            himself = await self.client(secure)
            self.assertEqual(200, (await himself.ask(GET)).status)
            me = himself.transport.getHost().host.encode()
            self.assertEqual([me], self.told(b"x-forwarded-for"))
            await self.gateway.apply(config)
            await self.misdirected(himself)
            named = await self.client(secure, header=version_2())
            self.assertEqual(200, (await named.ask(GET)).status)
            self.assertEqual([b"192.0.2.7"], self.told(b"x-forwarded-for"))
            self.assertEqual(where, self.gateway.addresses())

    async def two(self) -> tuple[Client, Client]:
        """
        Return a client who has been named and answered, and half a header's.
        """
        kept = await self.client(header=version_1())
        self.assertEqual(200, (await kept.ask(GET)).status)
        begun = await self.client(header=version_1()[:20])
        while self.gateway._ports.clients() < 2:
            await turn()
        return kept, begun

    async def test_not_changed(self) -> None:
        """
        Those who came by a proxy that stays trusted go on, an introduction too.
        """
        config = self.start()
        kept, late = await self.two()
        await self.gateway.apply(attrs.evolve(config, trusted_proxies=(PROXY,)))
        self.assertEqual(200, (await kept.ask(GET)).status)
        self.assertEqual([b"192.0.2.7"], self.told(b"x-forwarded-for"))
        late.write(version_1()[20:])
        self.assertEqual(200, (await late.ask(GET)).status)

    async def test_distrust(self) -> None:
        """
        Whom a proxy has named that is trusted no more must connect anew, and what
        it has begun to say is not listened to.
        """
        config = self.start()
        kept, begun = await self.two()
        other = (ipaddress.ip_network("127.0.0.2/32"),)
        await self.gateway.apply(attrs.evolve(config, trusted_proxies=other))
        await begun.ended()
        await self.misdirected(kept)
        client = await self.client(header=version_1())
        await self.turned_away(client)
        self.assertEqual(1, self.count(REFUSED, reason="untrusted"))
        self.assertEqual(1, len(self.web.seen))
