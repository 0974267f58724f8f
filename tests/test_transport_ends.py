from __future__ import annotations

import os
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

from OpenSSL._util import lib
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost

from appgw.transport import Alerted
from tests.wire import (
    PATIENCE,
    HalfClosed,
    Talker,
    WireTestCase,
    read_all,
    reset,
    terms,
    trusting,
)

BIG = os.urandom(1 << 20) * 6


def bare_end(peer: socket.socket) -> None:
    """
    End the way out without close_notify.
    """
    # Not its own shutdown(), which forgets TLS.
    socket.socket.shutdown(peer, socket.SHUT_WR)


def open_descriptors() -> int:
    """
    Count what this process has open.
    """
    return len(list(Path("/proc/self/fd").iterdir()))


class LingerTests(WireTestCase):
    """
    An answer reaches a client that is still sending.
    """

    async def test_an_answer_before_the_whole_request(self) -> None:
        """
        No reset overtakes the answer, though much of the request is unread.
        """
        for tls, context in ((None, None), (terms(), trusting())):
            talker, peer = await self._sending(tls, context)
            talker.transport.write(BIG + b"answer")
            talker.transport.linger()
            talker.transport.linger()
            talker.transport.write(b"too late")
            answer = await self.peer(read_all, peer)
            self.assertTrue(answer == BIG + b"answer")
            self.assertEqual([], talker.lost)
            self.assertEqual(b"", talker.received)
            peer.close()
            await self.told(talker)
            self.assertEqual([None], talker.at_loss)

    async def _sending(self, tls: Any, context: Any) -> tuple[Any, Any]:
        port = self.serve(Talker, tls)
        peer = await self.dialled(port, context)
        talker = await self.talker()
        talker.transport.pauseProducing()
        await self.peer(peer.sendall, b"x" * 100000)
        return talker, peer

    async def test_the_peer_ends_first(self) -> None:
        """
        A client that has ended its side still gets what is queued.
        """
        for tls, context in ((None, None), (terms(), trusting())):
            talker, peer = await self._sending(tls, context)
            talker.transport.write(BIG)
            talker.transport.linger()
            await self.peer(bare_end, peer)
            await self.until(partial(getattr, talker.transport, "disconnecting"))
            self.assertGreater(talker.transport.unsent(), 0)
            self.assertTrue(await self.peer(read_all, peer) == BIG)
            await self.told(talker)

    async def test_abort_bounds_it(self) -> None:
        """
        A client that never ends is cut by an abort.
        """
        talker, peer = await self._sending(None, None)
        talker.transport.linger()
        self.assertEqual(b"", await self.peer(peer.recv, 10))
        await self.peer(peer.sendall, b"and more")
        await self.turns()
        self.assertEqual([], talker.lost)
        talker.transport.abortConnection()
        self.assertIsInstance(await self.told(talker), ConnectionAborted)

    async def test_a_reset_ends_it(self) -> None:
        """
        A client that resets is gone.
        """
        talker, peer = await self._sending(None, None)
        talker.transport.linger()
        await self.turns()
        await self.peer(reset, peer)
        await self.told(talker)
        talker.transport.linger()
        self.assertEqual(1, len(talker.lost))


class HalfCloseTests(WireTestCase):
    """
    A client may end its side and still be answered.
    """

    async def test_plain(self) -> None:
        """
        A FIN is told as the end of the way in only.
        """
        port = self.serve(HalfClosed)
        peer = await self.dialled(port)
        talker = await self.talker()
        await self.peer(peer.sendall, b"request")
        await self.peer(bare_end, peer)
        await self.until(lambda: talker.ended)
        self.assertEqual((b"request", 1, []), _seen(talker))
        talker.transport.write(b"answer")
        talker.transport.loseConnection()
        self.assertEqual(b"answer", await self.peer(read_all, peer))

    async def test_closing_ours(self) -> None:
        """
        The protocol hears that its own side is closed.
        """
        port = self.serve(HalfClosed)
        peer = await self.dialled(port)
        talker = await self.talker()
        talker.transport.loseWriteConnection()
        self.assertEqual(b"", await self.peer(peer.recv, 1))
        self.assertEqual(1, talker.closed_ours)
        talker.transport.loseConnection()
        self.assertEqual(1, len(talker.lost))

    async def test_close_notify(self) -> None:
        """
        Over TLS, close_notify is that end, and is answered after the answer.
        """
        port = self.serve(HalfClosed, terms())
        peer = await self.dialled(port, trusting())
        talker = await self.talker()
        with peer:
            await self.peer(peer.sendall, b"request")
            unwrapped = self.peer(peer.unwrap)
            await self.until(lambda: talker.ended)
            self.assertEqual((b"request", 1, []), _seen(talker))
            talker.transport.loseConnection()
            (await unwrapped).close()
        self.assertIsInstance(await self.told(talker), ConnectionDone)

    async def test_found_by_a_look(self) -> None:
        """
        An end that a look has found is told as the reactor would tell it.
        """
        port = self.serve(HalfClosed)
        peer = await self.dialled(port)
        talker = await self.talker()
        talker.transport.pauseProducing()
        bare_end(peer)
        talker.transport.poll()
        self.assertEqual(0, talker.ended)
        await self.turns()
        self.assertEqual((b"", 1, []), _seen(talker))


def _seen(talker: HalfClosed) -> tuple[bytes, int, list[BaseException]]:
    return talker.received, talker.ended, talker.lost


class TLSEndTests(WireTestCase):
    """
    close_notify, and what happens without it.
    """

    async def connected(self, kind: Any = Talker) -> tuple[Any, Any]:
        """
        Connect a TLS peer.
        """
        port = self.serve(kind, terms())
        peer = await self.dialled(port, trusting())
        return await self.talker(), peer

    async def test_ours(self) -> None:
        """
        We say close_notify before we close: the peer's end is clean.
        """
        talker, peer = await self.connected()
        talker.transport.write(b"bye")
        talker.transport.loseConnection()
        self.assertEqual(b"bye", await self.peer(read_all, peer))
        self.assertIsInstance(await self.told(talker), ConnectionDone)
        self.assertEqual([None], talker.at_loss)

    async def test_the_peers(self) -> None:
        """
        A peer's close_notify is answered at once, and its data comes first.
        """
        for size in (10, 100000):
            talker, peer = await self.connected()
            talker.transport.pauseProducing()
            await self.peer(peer.sendall, b"x" * size)
            unwrapped = self.peer(peer.unwrap)
            talker.transport.resumeProducing()
            (await unwrapped).close()
            self.assertIsInstance(await self.told(talker), ConnectionDone)
            self.assertEqual(size, len(talker.received))

    async def test_without(self) -> None:
        """
        An end without close_notify is a loss, also for those who half-close.
        """
        for kind in (Talker, HalfClosed):
            talker, peer = await self.connected(kind)
            await self.peer(peer.sendall, b"half of somethi")
            await self.peer(bare_end, peer)
            self.assertIsInstance(await self.told(talker), ConnectionLost)
            self.assertEqual(b"half of somethi", talker.received)

    async def test_closed_in_the_middle_of_a_piece(self) -> None:
        """
        A protocol that closes while the peer's end is read is told once.
        """

        class Closing(HalfClosed):
            def dataReceived(self, data: bytes) -> None:
                self.transport.loseWriteConnection()
                self.transport.doWrite()
                self.transport.loseConnection()

        talker, peer = await self.connected(Closing)
        talker.transport.pauseProducing()
        await self.peer(peer.sendall, b"x" * 16384)
        await self.peer(self._notify, peer)
        talker.transport.resumeProducing()
        await self.told(talker)
        await self.turns()
        self.assertEqual((1, 0), (len(talker.lost), talker.ended))
        self.assertEqual([], self.flushLoggedErrors())

    async def test_a_failed_write_before_the_end(self) -> None:
        """
        An end that was read with the last piece does not hide a failed write.
        """

        class Answering(HalfClosed):
            def dataReceived(self, data: bytes) -> None:
                self.transport.socket.shutdown(socket.SHUT_WR)
                self.transport.write(b"answer")

        talker, peer = await self.connected(Answering)
        talker.transport.pauseProducing()
        await self.peer(peer.sendall, b"x" * 16384)
        await self.peer(self._notify, peer)
        talker.transport.resumeProducing()
        self.assertIsInstance(await self.told(talker), ConnectionLost)
        self.assertIsNotNone(talker.transport.failed)
        self.assertEqual(0, talker.ended)

    @staticmethod
    def _notify(peer: ssl.SSLSocket) -> None:
        peer.setblocking(False)
        try:
            peer.unwrap()
        except ssl.SSLWantReadError:
            peer.settimeout(PATIENCE)

    async def test_an_alert(self) -> None:
        """
        Anything else that ends TLS is a loss.
        """
        talker, peer = await self.connected()
        raw = socket.socket(fileno=os.dup(peer.fileno()))
        with raw:
            await self.peer(raw.sendall, b"\x17\x03\x03\x00\x20" + b"garbage." * 4)
            self.assertIsInstance(await self.told(talker), ConnectionLost)

    async def test_what_the_peer_says(self) -> None:
        """
        A peer that breaks off with an alert is quoted.
        """
        talker, peer = await self.connected()
        raw = talker.transport.socket.dup()
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"garbage." * 4)
        with self.assertRaises(ssl.SSLError):
            await self.peer(peer.recv, 1)
        why = await self.told(talker)
        assert isinstance(why, Alerted)
        self.assertIn("alert bad record mac", why.said)

    async def test_what_another_peer_said(self) -> None:
        """
        What another connection has left in OpenSSL's queue is no word of this one.
        """
        for end in (bare_end, reset):
            talker, peer = await self.connected()
            lib.ERR_put_error(20, 0, 1046, b"", 0)  # certificate unknown
            await self.peer(end, peer)
            why = await self.told(talker)
            self.assertIsInstance(why, ConnectionLost)
            self.assertNotIsInstance(why, Alerted)

    async def test_an_alert_of_the_peers(self) -> None:
        """
        So is its alert: no protocol may take what came before it for the whole.
        """
        for kind in (Talker, HalfClosed):
            talker, peer = await self.connected(kind)
            await self.peer(peer.sendall, b"half of somethi")
            await self.until(lambda talker=talker: talker.received)
            talker.transport.socket.send(b"\x17\x03\x03\x00\x20" + b"garbage." * 4)
            with self.assertRaises(ssl.SSLError):
                await self.peer(peer.recv, 10)
            self.assertIsInstance(await self.told(talker), ConnectionLost)

    async def test_a_reused_descriptor(self) -> None:
        """
        Whoever gets our descriptor next gets no byte from us.
        """
        for ending in ("abortConnection", "loseConnection"):
            talker, _ = await self.connected()
            transport = talker.transport
            number = transport.fileno()
            getattr(transport, ending)()
            await self.told(talker)
            self.assertEqual([None], talker.at_loss)
            stranger, friend = socket.socketpair()
            with stranger, friend:
                if stranger.fileno() != number:
                    os.dup2(stranger.fileno(), number)
                for call in ("doWrite", "poll", "loseConnection", "abortConnection"):
                    getattr(transport, call)()
                transport.write(b"for somebody else")
                transport.linger()
                self.assertIsNone(transport.getPeerCertificate())
                await self.turns()
                friend.setblocking(False)
                with self.assertRaises(BlockingIOError):
                    friend.recv(100)
                if stranger.fileno() != number:
                    os.close(number)

    async def test_many_resets(self) -> None:
        """
        Hundreds of connections that end badly: each told once, none left open.
        """
        port = self.serve(Talker, terms())
        made = self.talkers.made
        descriptors = []
        for count in (8, 200):
            await self.peer(self._storm, port, count)
            await self.until(lambda: not self.port.handshaking)
            await self.until(lambda: all(len(talker.lost) == 1 for talker in made))
            descriptors.append(open_descriptors())
        self.assertEqual(104, len(made))
        self.assertEqual(descriptors[0], descriptors[1])
        self.assertEqual([], self.flushLoggedErrors())

    @staticmethod
    def _storm(port: int, count: int) -> None:
        context = trusting()
        for index in range(count):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
                if index % 2:
                    raw.sendall(b"\x16\x03\x01\x02\x00\x01"[: index % 7])
                    reset(raw)
                    continue
                peer = context.wrap_socket(raw, server_hostname="a.example")
                if index % 4:
                    peer.sendall(b"x")
                reset(peer)
