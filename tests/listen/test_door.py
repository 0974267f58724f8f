from __future__ import annotations

import ipaddress
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.door import Door
from appgw.listen.http1 import Channel
from appgw.listen.tls import Facts
from tests.listen.line import Root, get
from tests.wire import Talkers, WireTestCase, dial, read_all, terms, trusting


def door(*trusted: str) -> Door:
    """
    Make a door that believes the proxies of these networks.
    """
    made = Door(Root(), 443, "https", lambda: 0.0)
    made.trusted_proxies = tuple(ipaddress.ip_network(one) for one in trusted)
    return made


@attrs.frozen
class Client:
    """
    What a transport knows of its client.
    """

    client: tuple[Any, ...]


@attrs.frozen
class SecretClient(Client):
    """
    The same after a handshake.
    """

    facts: Facts


@attrs.frozen
class Introduced(Client):
    """
    The same where a proxy has said so.
    """

    named: bool


class ArrivalTests(SynchronousTestCase):
    """
    What is known of a connection.
    """

    def test_addresses(self) -> None:
        """
        IPv4 is written as such also where it comes by IPv6; zones are left out.
        """
        for client, wanted in (
            (("192.0.2.1", 5), "192.0.2.1"),
            (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
            (("2001:db8::1", 5, 0, 0), "2001:db8::1"),
            (("fe80::1%eth0", 5, 0, 2), "fe80::1"),
        ):
            arrival = door().arrival(Client(client))
            self.assertEqual((wanted, 5), (arrival.address, arrival.port))
            self.assertEqual((443, "https"), (arrival.local_port, arrival.scheme))
            self.assertIsNone(arrival.server_name)

    def test_facts(self) -> None:
        """
        What the handshake has settled is part of it.
        """
        client = SecretClient(("192.0.2.1", 5), Facts("a.example", "TLSv1.3", "SUITE"))
        arrival = door().arrival(client)
        self.assertEqual("a.example", arrival.server_name)
        self.assertEqual(("TLSv1.3", "SUITE"), (arrival.tls_version, arrival.cipher))

    def test_trust(self) -> None:
        """
        Only a proxy of a trusted network is believed, by whichever family it comes.
        """
        made = door("192.0.2.0/25", "2001:db8::/32")
        for address, wanted in (
            ("192.0.2.127", True),
            ("::ffff:192.0.2.127", True),
            ("192.0.2.128", False),
            ("2001:db8:ffff::1%lo", True),
            ("2001:db9::1", False),
            ("no address", False),
        ):
            arrival = made.arrival(Client((address, 5)))
            self.assertEqual(wanted, arrival.trusted, address)
        self.assertFalse(door().arrival(Client(("192.0.2.1", 5))).trusted)

    def test_trust_of_the_introduced(self) -> None:
        """
        Whom a proxy names is judged by its own address; where it names nobody,
        the client is the proxy, and is not trusted for that.
        """
        made = door("192.0.2.0/25")
        for address, named, wanted in (
            ("203.0.113.7", True, False),
            ("192.0.2.2", True, True),
            ("192.0.2.2", False, False),
        ):
            arrival = made.arrival(Introduced((address, 6), named))
            self.assertEqual((address, 6), (arrival.address, arrival.port))
            self.assertEqual(wanted, arrival.trusted)


class Clumsy(Root):
    """
    Stumbles over the time.
    """

    def render(self, request: Any) -> int:
        """
        Keep it, and let it stumble.
        """
        done = super().render(request)
        self.visits[-1].sweep = _stumble  # type: ignore[method-assign]
        return done


def _stumble(now: float) -> None:
    raise ZeroDivisionError("clumsy")


class DoorTests(WireTestCase):
    """
    A door with clients.
    """

    def at(self, tls: Any = None) -> int:
        """
        Serve behind a door of our own clock.
        """
        self.now = 0.0
        self.door = Door(
            Root(), 443, "http" if tls is None else "https", lambda: self.now
        )
        self.talkers = Talkers()
        return self.open(self.door, tls)

    async def client(self, number: int, *context: Any) -> tuple[Any, Channel]:
        """
        Connect, and wait for the channel.
        """
        before = self.door.accepted
        peer = await self.dialled(number, *context)
        await self.until(lambda: self.door.accepted > before and self.door.channels)
        (channel,) = self.door.channels
        return peer, channel

    async def _stop(self, port: Any) -> None:
        for channel in list(self.door.channels):
            channel.transport.abortConnection()
        await self.until(lambda: not self.door.channels)
        await super()._stop(port)

    async def test_coming_and_going(self) -> None:
        """
        Clients are counted when they come, and known while they are here.
        """
        number = self.at()
        for count in (1, 2):
            peer, _ = await self.client(number)
            self.assertEqual(count, self.door.accepted)
            peer.close()
            await self.until(lambda: not self.door.channels)

    async def test_only_after_the_handshake(self) -> None:
        """
        Over TLS one is a client when the handshake has ended well.
        """
        number = self.at(terms())
        silent = await self.peer(dial, number)
        _, channel = await self.client(number, trusting())
        self.assertEqual(1, self.door.accepted)
        self.assertEqual("a.example", channel.arrival.server_name)
        silent.close()
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual({channel}, self.door.channels)

    async def test_renewed(self) -> None:
        """
        Other terms hold for those who are here already.
        """
        number = self.at()
        peer, channel = await self.client(number)
        self.assertFalse(channel.arrival.trusted)
        self.door.renew(Root(), 7, (ipaddress.ip_network("127.0.0.0/8"),))
        self.assertTrue(channel.arrival.trusted)
        peer.sendall(get(b"/", b"Content-Length: 8", method=b"POST"))
        self.assertIn(b" 413 ", await self.peer(read_all, peer))

    async def test_drained(self) -> None:
        """
        A client who asks nothing is let go when the door drains, not at once.
        """
        number = self.at()
        peer, channel = await self.client(number)
        self.door.sweep(self.now)
        self.door.begin_draining()
        self.door.sweep(self.now)
        self.assertFalse(channel.transport.disconnecting)
        self.now = 30.0
        self.door.sweep(self.now)
        self.assertEqual(b"", await self.peer(read_all, peer))
        await self.until(lambda: not self.door.channels)

    async def test_stumbling(self) -> None:
        """
        Whoever raises when its time is looked at is cut, and nobody is passed
        over for it, now or later.
        """
        number = self.at()
        self.door.root = root = Clumsy(answers=False)
        peers = [await self.dialled(number) for _ in range(2)]
        for peer in peers:
            peer.sendall(get())
        await self.until(lambda: len(root.visits) == len(peers))
        self.door.sweep(0.0)
        await self.until(lambda: not self.door.channels)
        for peer in peers:
            with self.assertRaises(ConnectionResetError):
                await self.peer(peer.recv, 1)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
