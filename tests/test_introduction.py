from __future__ import annotations

import socket

from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionDone

from appgw.transport import PlainServer, TLSServer
from tests.proxying import (
    CLIENTS,
    GET,
    IPV6,
    NOBODY,
    IntroductionCase,
    Whispering,
    headers,
    version_1,
    version_2,
)
from tests.wire import Echo, HalfClosed, Talker, WireTestCase, terms, trusting


class IntroductionTests(IntroductionCase):
    """
    Who a connection is for, and that nothing of it is lost.
    """

    async def test_every_kind(self) -> None:
        """
        Whoever is named is the client, for TLS and in clear text; where nobody is
        it is the proxy. What comes in the same piece as the header is not lost.
        """
        for tls in (None, terms()):
            port = self.begin(tls=tls)
            for number, (header, client) in enumerate(headers()):
                peer = await self.dialled(port)
                if tls is None:
                    peer.sendall(header + GET)
                    echo = await self.peer(peer.recv, 100)
                else:
                    whispering = Whispering(peer)
                    peer.sendall(header + whispering.hello)
                    echo = await self.peer(whispering.finish)
                self.assertEqual(GET, echo)
                transport = (await self.talker(number)).transport
                me = peer.getsockname()
                wanted = me if client is None else (client, 45123)
                self.assertEqual(wanted, transport.client)
                self.assertEqual(me, transport.proxy)
                self.assertEqual(client is not None, transport.named)
                told = transport.getPeer()
                self.assertEqual(wanted, (told.host, told.port))
                self.assertEqual(client in CLIENTS[1:], isinstance(told, IPv6Address))
                self.assertEqual({}, self.port.handshaking)
            self.assertEqual([], self.why)

    async def test_facts(self) -> None:
        """
        The handshake after a header settles the same things as any other.
        """
        port = self.begin(tls=terms())
        peer = await self.dialled(port)
        peer.sendall(version_2())
        await self.peer(trusting().wrap_socket, peer, False, True, True, "a.example")
        transport = (await self.talker()).transport
        self.assertEqual("a.example", transport.facts.server_name)

    async def test_cut_anywhere(self) -> None:
        """
        A header may come in two pieces, wherever they are cut.
        """
        for tls in (None, terms()):
            port = self.begin(tls=tls)
            for header in (version_1(), version_2()) if tls is None else (version_2(),):
                for cut in range(1, len(header)):
                    peer = await self.dialled(port)
                    whispering = Whispering(peer)
                    peer.sendall(header[:cut])
                    one = await self.introduction()
                    await self.until(lambda one=one, cut=cut: len(one._held) == cut)
                    if tls is None:
                        peer.sendall(header[cut:] + GET)
                        echo = await self.peer(peer.recv, 100)
                    else:
                        peer.sendall(header[cut:] + whispering.hello)
                        echo = await self.peer(whispering.finish)
                    self.assertEqual(GET, echo, cut)
                    talker = await self.talker(-1)
                    self.assertEqual(("192.0.2.7", 45123), talker.transport.client)
                    peer.close()
                    await self.told(talker)

    async def test_byte_by_byte(self) -> None:
        """
        It may come in single bytes, what follows too.
        """
        port = self.begin(Talker)
        for number, header in enumerate((version_1(IPV6), version_2(), NOBODY)):
            peer = await self.dialled(port)
            for at, byte in enumerate(header[:-1]):
                peer.sendall(bytes((byte,)))
                one = await self.introduction()
                await self.until(lambda one=one, at=at: len(one._held) == at + 1)
            self.assertEqual(number, len(self.talkers.made))
            peer.sendall(header[-1:])
            talker = await self.talker(number)
            for at, byte in enumerate(GET):
                peer.sendall(bytes((byte,)))
                await self.until(lambda t=talker, at=at: len(t.received) == at + 1)
            self.assertEqual(GET, talker.received)

    async def test_two_headers(self) -> None:
        """
        Only the first header is one; a second is what the client says.
        """
        port = self.begin()
        peer = await self.dialled(port)
        peer.sendall(version_1() + version_1(IPV6))
        self.assertEqual(version_1(IPV6), await self.peer(peer.recv, 200))
        self.assertEqual("192.0.2.7", (await self.talker()).transport.client[0])

    async def test_both_stacks(self) -> None:
        """
        Clients of one family may be named to a socket of the other.
        """
        port = self.begin(address="::")
        for number, client in enumerate(CLIENTS):
            peer = await self.dialled(port)
            peer.sendall(version_2(client))
            transport = (await self.talker(number)).transport
            self.assertEqual("::ffff:127.0.0.1", transport.proxy[0])
            self.assertEqual(client, transport.getPeer().host)
            self.assertEqual(port, transport.getHost().port)

    async def test_all_at_once(self) -> None:
        """
        A proxy may say everything and close its side.
        """
        port = self.begin(HalfClosed)
        peer = await self.dialled(port)
        peer.sendall(version_1() + GET)
        peer.shutdown(socket.SHUT_WR)
        talker = await self.talker()
        await self.until(lambda: talker.ended)
        self.assertEqual(GET, talker.received)
        talker.transport.loseConnection()
        self.assertIsInstance(await self.told(talker), ConnectionDone)

    async def test_after_the_port_is_closed(self) -> None:
        """
        An introduction under way ends well though nobody else is accepted.
        """
        port = self.begin()
        peer = await self.dialled(port)
        await self.introduction()
        await self.port.stopListening()
        peer.sendall(version_1() + GET)
        self.assertEqual(GET, await self.peer(peer.recv, 100))

    async def test_nobody_home(self) -> None:
        """
        Without a protocol the connection ends.
        """
        port = self.begin()
        self.talkers.buildProtocol = lambda _: None  # type: ignore[method-assign]
        peer = await self.dialled(port)
        peer.sendall(version_1())
        with self.assertRaises(ConnectionResetError):
            await self.peer(peer.recv, 1)
        self.assertEqual({}, self.port.handshaking)

    async def test_other_ports(self) -> None:
        """
        A port that is not for proxies takes no notice of any of this.
        """
        port = self.serve(Echo)
        self.assertIs(PlainServer, self.port.transport)
        peer = await self.dialled(port)
        peer.sendall(version_1())
        self.assertEqual(version_1(), await self.peer(peer.recv, 100))
        talker = await self.talker()
        self.assertIs(PlainServer, type(talker.transport))
        self.assertEqual(peer.getsockname(), talker.transport.client)
        self.serve(Echo, terms())
        self.assertIs(TLSServer, self.port.transport)


class OnTheReactorTests(IntroductionTests):
    """
    The same in the turns of the reactor.
    """

    reactor = WireTestCase.reactor
