from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from twisted.internet import main, reactor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from appgw.poller import Poller
from tests.wire import (
    PATIENCE,
    Echo,
    HalfClosed,
    Talker,
    WireTestCase,
    read_all,
    reset,
    terms,
    trusting,
)

BIG = os.urandom(1 << 20) * 6
"""More than any socket buffer takes."""

FLAT = 65536 + 8 * 16384
"""Bytes that may wait in a transport: Twisted's limit and one read on top."""


def converse(peer: Any, data: bytes, read_from: threading.Event) -> bytes:
    """
    Send all of *data*; read what comes, but not before *read_from*.
    """
    peer.setblocking(False)
    left, received = memoryview(data), bytearray()
    while len(received) < len(data):
        reading = [peer] if read_from.is_set() else []
        readable, writable, _ = select.select(
            reading, [peer] if left else [], [], 0.01 if not reading else PATIENCE
        )
        try:
            if writable:
                left = left[peer.send(left[:65536]) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        try:
            while read_from.is_set() and (readable or writable):
                received += peer.recv(1 << 17)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
    return bytes(received)


class Pull:
    """
    Writes pieces of all sizes when it is asked to, then lets go.
    """

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces[::-1]
        self.stopped = False

    def resumeProducing(self) -> None:
        """
        Write the next piece.
        """
        if self.pieces:
            self.transport.write(self.pieces.pop())
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.stopped = True


class Streams:
    """
    What holds in clear text and over TLS alike.
    """

    secret = False

    async def connected(self: Any, kind: Any = Talker) -> tuple[Any, Any]:
        """
        Serve *kind* and connect a blocking peer to it.
        """
        port = self.serve(kind, terms() if self.secret else None)
        peer = await self.dialled(port, trusting() if self.secret else None)
        return await self.talker(), peer

    async def test_both_ways_in_flat_memory(self: Any) -> None:
        """
        A flood both ways waits in the sockets, not in the transport.
        """
        echo, peer = await self.connected(Echo)
        held_up = threading.Event()
        flood = self.peer(converse, peer, BIG, held_up)
        try:
            await self.until(lambda: echo.transport.producerPaused)
        finally:
            held_up.set()
        self.assertTrue(await flood == BIG)
        self.assertEqual(len(BIG), echo.total)
        self.assertGreater(echo.highest, 0)
        self.assertLessEqual(echo.highest, FLAT)

    async def test_more_than_the_socket_takes(self: Any) -> None:
        """
        What does not fit is queued, what follows stands behind it, all arrives.
        """
        talker, peer = await self.connected()
        talker.transport.write(BIG)
        self.assertGreater(talker.transport.unsent(), len(BIG) // 4)
        talker.transport.write(b"then")
        talker.transport.writeSequence([b" the", b"", b" rest"])
        talker.transport.loseConnection()
        everything = await self.peer(read_all, peer)
        self.assertTrue(everything == BIG + b"then the rest")
        self.assertIsInstance(await self.told(talker), ConnectionDone)
        # A reactor may have one more event for it.
        self.assertIsNone(talker.transport.doWrite())

    async def test_written_at_once(self: Any) -> None:
        """
        What is written is with the peer before the reactor has its turn.
        """
        talker, peer = await self.connected()
        for size in (1, 16384, 100000):
            talker.transport.write(BIG[:size])
            self.assertEqual(0, talker.transport.unsent())
            came = b""
            while len(came) < size:
                came += peer.recv(size)
            self.assertEqual(BIG[:size], came)

    async def test_pulled(self: Any) -> None:
        """
        A pull producer is asked again, whether its last piece fitted or not.
        """
        talker, peer = await self.connected()
        sizes = [1, 100, 16384, 16385, 1 << 20, 7, 1 << 21, 300, 65536, 1]
        pieces = [os.urandom(size) for size in sizes]
        talker.transport.registerProducer(Pull(talker.transport, pieces), False)
        # It is not done yet: the end waits for it.
        talker.transport.loseConnection()
        self.assertTrue(await self.peer(read_all, peer) == b"".join(pieces))

    async def test_a_producer_is_stopped(self: Any) -> None:
        """
        A producer hears that its consumer is gone.
        """
        talker, peer = await self.connected()
        pull = Pull(talker.transport, [BIG])
        talker.transport.registerProducer(pull, False)
        await self.peer(reset, peer)
        await self.told(talker)
        self.assertTrue(pull.stopped)

    async def test_a_failed_write(self: Any) -> None:
        """
        The end comes after the write, once, and says lost though we closed too.
        """
        talker, peer = await self.connected()
        talker.transport.pauseProducing()
        # From here on the reactor polls before it makes the calls that are due.
        await self.turns()
        reset(peer)
        talker.writing = True
        for _ in range(3):
            talker.transport.write(b"x" * 100)
        talker.transport.loseConnection()
        talker.writing = False
        self.assertEqual([], talker.lost)
        self.assertIsNotNone(talker.transport.failed)
        await self.turns()
        (lost,) = talker.lost
        self.assertIsInstance(lost, ConnectionLost)

    async def test_reset_while_writing(self: Any) -> None:
        """
        A reset that meets a full queue ends the connection once.
        """
        talker, peer = await self.connected()
        talker.transport.write(BIG)
        await self.peer(reset, peer)
        self.assertIsInstance(await self.told(talker), ConnectionLost)
        talker.transport.write(b"nobody hears that")
        self.assertEqual(0, talker.transport.connected)

    async def test_aborted(self: Any) -> None:
        """
        After an abort nothing leaves any more: the peer sees a reset.
        """
        talker, peer = await self.connected()
        talker.transport.abortConnection()
        talker.transport.write(b"the tail of an answer")
        talker.transport.abortConnection()
        self.assertIsInstance(await self.told(talker), ConnectionAborted)
        with self.assertRaises(OSError):
            peer.recv(100)

    async def test_aborted_while_data_is_handed_over(self: Any) -> None:
        """
        A protocol may end its connection with a piece in its hands.
        """

        class Abrupt(Talker):
            def dataReceived(self, data: bytes) -> None:
                self.transport.abortConnection()

        talker, peer = await self.connected(Abrupt)
        await self.peer(peer.sendall, b"x" * 100)
        await self.told(talker)

    async def test_after_half_closing(self: Any) -> None:
        """
        Writing on a closed way out is dropped, and the way in stays open.
        """
        talker, peer = await self.connected()
        talker.transport.write(b"all")
        talker.transport.loseWriteConnection()
        self.assertEqual(b"all", await self.peer(read_all, peer))
        talker.transport.write(b"more")
        if not self.secret:
            await self.peer(peer.sendall, b"still here")
            await self.until(lambda: talker.received == b"still here")
        await self.turns()
        self.assertEqual([], talker.lost)

    async def test_poll(self: Any) -> None:
        """
        What has come is read when asked, though reading is paused.
        """
        talker, peer = await self.connected()
        talker.transport.poll()
        self.assertEqual(b"", talker.received)
        talker.transport.pauseProducing()
        peer.sendall(b"early answer")
        talker.transport.poll()
        self.assertEqual(b"early answer", talker.received)

    async def test_poll_finds_the_end(self: Any) -> None:
        """
        An end found by a look is told in the next turn, not inside the look.
        """
        for ending in (reset, lambda peer: peer.close()):
            talker, peer = await self.connected()
            talker.transport.pauseProducing()
            ending(peer)
            talker.transport.poll()
            self.assertEqual([], talker.lost)
            await self.turns()
            self.assertEqual(1, len(talker.lost))

    async def test_a_hang_up(self: Any) -> None:
        """
        A reactor that saw an end where the peer has said none is not believed.
        """
        talker, _ = await self.connected(HalfClosed)
        for _ in range(2):
            talker.transport.readConnectionLost(Failure(main.CONNECTION_DONE))
            self.assertEqual((1, 0), (len(talker.lost), talker.ended))
        self.assertIsInstance(talker.lost[0], ConnectionLost)

    async def test_no_other_tls(self: Any) -> None:
        """
        What was settled with the connection cannot be changed later.
        """
        talker, _ = await self.connected()
        with self.assertRaises(RuntimeError):
            talker.transport.startTLS(None)

    async def test_nothing_waits_for_receipts(self: Any) -> None:
        """
        Accepted connections send small pieces at once (TCP_NODELAY).
        """
        talker, _ = await self.connected()
        self.assertTrue(talker.transport.getTcpNoDelay())

    async def test_a_bug_in_a_protocol(self: Any) -> None:
        """
        What a protocol raises is logged, and ends its connection alone.
        """

        class Broken(Talker):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        talker, peer = await self.connected(Broken)
        await self.peer(peer.sendall, b"x")
        await self.told(talker)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class PlainStreamTests(Streams, WireTestCase):
    pass


class TLSStreamTests(Streams, WireTestCase):
    secret = True

    async def test_another_ones_failure(self) -> None:
        """
        What went wrong on one connection is not read as the next one's error.
        """
        first, peer = await self.connected()
        other = await self.dialled(self.port.getHost().port, trusting())
        second = await self.talker(1)
        for call in ("poll", "write"):
            second.transport.pauseProducing()
            await self.peer(other.sendall, b"fine")
            self._leave_an_error()
            if call == "write":
                second.transport.write(b"fine too")
                self._leave_an_error()
            second.transport.poll()
            self._leave_an_error()
            second.transport.poll()
            self.assertIsNone(second.transport.failed)
        self.assertEqual(b"finefine", second.received)
        self.assertEqual(b"fine too", await self.peer(other.recv, 100))
        self.assertEqual([], first.lost)
        peer.close()

    @staticmethod
    def _leave_an_error() -> None:
        # What OpenSSL is asked to do here fails, and nobody takes the error.
        lib.PEM_read_bio_PrivateKey(
            lib.BIO_new_mem_buf(b"no key", 6), ffi.NULL, ffi.NULL, ffi.NULL
        )

    async def test_what_is_decrypted_already(self) -> None:
        """
        Bytes that OpenSSL holds decrypted are read though no more arrive.
        """
        talker, peer = await self.connected()
        transport = talker.transport
        for wanted in (b"", b"whole record"):
            transport.pauseProducing()
            await self.peer(peer.sendall, b"whole record")
            await self.until(lambda: self._peeked(transport) == b"w")
            transport.resumeProducing()
            if not wanted:
                transport.pauseProducing()
            await self.turns()
            self.assertEqual(wanted, talker.received)
            transport.resumeProducing()
            await self.until(lambda: talker.received == b"whole record")
            talker.received = b""

    @staticmethod
    def _peeked(transport: Any) -> bytes:
        try:
            return SSL.Connection.recv(transport.tls, 1, socket.MSG_PEEK)
        except SSL.WantReadError:
            return b""


class _Polled:
    """
    Under our own epoll instead of the reactor's.
    """

    def reactor(self) -> Any:
        """
        Return an epoll of our own.
        """
        if not hasattr(self, "_own"):
            self._own = Poller(reactor)
        return self._own


class PolledPlainStreamTests(_Polled, Streams, WireTestCase):
    pass


class PolledTLSStreamTests(_Polled, Streams, WireTestCase):
    secret = True
