from __future__ import annotations

import ipaddress
import socket
from typing import Any

from appgw.endpoints import HANDSHAKE_TIMEOUT
from appgw.proxy_header import MAX_HEADER
from appgw.transport import TLSServer
from tests.proxying import (
    GET,
    LOCAL,
    PROXY,
    SIGNATURE,
    IntroductionCase,
    Whispering,
    framed,
    version_1,
    version_2,
)
from tests.wire import WireTestCase, read_all, reset, terms


class RefusalTests(IntroductionCase):
    """
    Who is sent away.
    """

    async def test_noise(self) -> None:
        """
        What begins no header, or one that is none, ends the connection at once,
        and nobody is served.
        """
        for tls in (None, terms()):
            port = self.begin(tls=tls)
            hello = Whispering(None).hello
            noises = (
                *(GET, hello, b"\x00", b"SSH-2.0-OpenSSH_9.0\r\n", b"PROXY\r\n"),
                *(version_1().lower(), b" " + version_1(), b"\r\n" + version_1()),
                b"PROXY TCP4 256.0.0.1 1.2.3.4 1 2\r\n" + GET,
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n" + GET,
                b"PROXY TCP4 1.2.3.\xff 1.2.3.4 1 2\r\n" + GET,
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + GET,
                b"PROXY UNKNOWN" + b" " * 94 + b"\r\n" + GET,
                *(SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12), SIGNATURE + b"\x2f"),
                *(framed(bytes(11), PROXY, 0x11), framed(bytes(35), PROXY, 0x21)),
                *(framed(length=MAX_HEADER - 15), framed(bytes(65535), LOCAL)),
                framed(bytes(12), PROXY, 0x41),
            )
            for noise in noises:
                peer = await self.dialled(port)
                before = len(self.why)
                peer.sendall(noise)
                self.assertEqual(b"", await self.peer(self.rest, peer), noise)
                await self.until(lambda before=before: len(self.why) > before)
            self.assertEqual(["malformed"] * len(noises), self.why)
            self.assertEqual([], self.talkers.made)
            self.assertEqual({}, self.port.handshaking)

    @staticmethod
    def rest(peer: socket.socket) -> bytes:
        """
        Read until the end, be it a reset.
        """
        try:
            return read_all(peer)
        except ConnectionResetError:
            return b""

    async def test_silence(self) -> None:
        """
        Who connects and leaves without a word has only looked whether we are here.
        """
        port = self.begin()
        for leave in (reset, lambda peer: peer.close()):
            peer = await self.dialled(port)
            await self.introduction()
            leave(peer)
            await self.until(lambda: not self.port.handshaking)
        self.assertEqual([], self.why)

    async def test_unfinished(self) -> None:
        """
        Who leaves within the header is counted, and was nobody.
        """
        port = self.begin()
        for leave in (reset, lambda peer: peer.close()):
            for header in (version_1(), version_2()):
                for end in (1, 5, 12, 15, 16, len(header) - 1):
                    peer = await self.dialled(port)
                    peer.sendall(header[:end])
                    one = await self.introduction()
                    await self.until(lambda one=one, end=end: len(one._held) == end)
                    leave(peer)
                    await self.until(lambda: not self.port.handshaking)
        self.assertEqual(["unfinished"] * 24, self.why)
        self.assertEqual([], self.talkers.made)

    async def test_strangers(self) -> None:
        """
        Whoever is no trusted proxy is sent away before anything is read.
        """
        strange = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("::/0"))
        for networks in ((), strange):
            for tls in (None, terms()):
                port = self.begin(tls=tls, networks=networks)
                peer = await self.dialled(port)
                self.assertEqual(b"", await self.peer(self.rest, peer))
                self.assertEqual(["untrusted"], self.why)
                self.assertEqual([], self.talkers.made)
                self.assertEqual({}, self.port.handshaking)

    async def test_time_is_up(self) -> None:
        """
        Who does not come to the end of the header is cut when the time is up, not
        before, and counted.
        """
        port = self.begin()
        for said in (b"", version_1()[:20]):
            peer = await self.dialled(port)
            peer.sendall(said)
            one = await self.introduction()
            await self.until(lambda one=one, said=said: len(one._held) == len(said))
            now = self.port.reactor.seconds()
            before = len(self.why)
            self.port.sweep(now + HANDSHAKE_TIMEOUT - 1)
            await self.turns()
            self.assertEqual((1, before), (len(self.port.handshaking), len(self.why)))
            self.port.sweep(now + HANDSHAKE_TIMEOUT + 1)
            self.assertEqual({}, self.port.handshaking)
            self.assertEqual(b"", await self.peer(self.rest, peer))
        self.assertEqual(["late", "late"], self.why)

    async def test_one_time_for_both(self) -> None:
        """
        A handshake has the time that the header has left it, whoever came since.
        """
        failed: list[int] = []
        port = self.begin(tls=terms(failed=lambda: failed.append(1)))
        slow = await self.dialled(port)
        one = await self.introduction()
        self.port.handshaking[one] -= 5
        deadline = self.port.handshaking[one]
        later = await self.dialled(port)
        await self.until(lambda: len(self.port.handshaking) == 2)
        slow.sendall(version_1())
        await self.until(lambda: one not in self.port.handshaking)
        other, shaking = self.port.handshaking
        self.assertIsInstance(shaking, TLSServer)
        self.assertEqual(deadline, self.port.handshaking[shaking])
        self.port.sweep(deadline + 1)
        with self.assertRaises(ConnectionResetError):
            await self.peer(slow.recv, 1)
        await self.until(lambda: len(self.port.handshaking) == 1)
        self.assertEqual([other], list(self.port.handshaking))
        self.assertEqual(([1], []), (failed, self.why))
        later.close()
        await self.until(lambda: not self.port.handshaking)

    async def test_failed_handshake(self) -> None:
        """
        What goes wrong behind the header is the handshake's failure.
        """
        failed: list[int] = []
        port = self.begin(tls=terms(failed=lambda: failed.append(1)))
        peer = await self.dialled(port)
        peer.sendall(version_1() + GET)
        self.assertIn(b" 400 Bad Request", await self.peer(self.rest, peer))
        self.assertEqual(([1], []), (failed, self.why))

    async def test_told_for_nothing(self) -> None:
        """
        A reactor that sees something where nothing is does no harm either.
        """
        port = self.begin()
        peer = await self.dialled(port)
        one = await self.introduction()
        one.doRead()
        peer.sendall(version_1() + GET)
        self.assertEqual(GET, await self.peer(peer.recv, 100))

    async def test_told_of_the_end(self) -> None:
        """
        A reactor that ends it, as when it shuts down, closes it.
        """
        port = self.begin()
        for said, why in ((b"", []), (b"PROXY", ["unfinished"])):
            peer = await self.dialled(port)
            peer.sendall(said)
            one: Any = await self.introduction()
            await self.until(lambda one=one, said=said: one._held == said)
            one.readConnectionLost(None)
            self.assertEqual({}, self.port.handshaking)
            self.assertEqual(b"", await self.peer(self.rest, peer))
            self.assertEqual(why, self.why)

    async def test_told_again(self) -> None:
        """
        A reactor that has one more event for an introduction does no harm.
        """
        port = self.begin()
        peer = await self.dialled(port)
        one: Any = await self.introduction()
        peer.sendall(version_1() + GET)
        self.assertEqual(GET, await self.peer(peer.recv, 100))
        one.doRead()
        one.connectionLost(None)
        one.readConnectionLost(None)
        one.abortConnection()
        self.assertEqual(-1, one.fileno())
        peer.sendall(b"still here")
        self.assertEqual(b"still here", await self.peer(peer.recv, 100))
        self.assertEqual([], self.why)


class RefusedByTheReactorTests(RefusalTests):
    """
    The same in the turns of the reactor.
    """

    reactor = WireTestCase.reactor
