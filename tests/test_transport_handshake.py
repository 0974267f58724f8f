from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone

from appgw.endpoints import HANDSHAKE_TIMEOUT
from appgw.transport import TLSServer
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

SECRET = b"not before you are known"


def client_hello() -> bytes:
    """
    Return what a client says first.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing, server_hostname="a.example")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


class Greeting(Talker):
    """
    Speaks first.
    """

    def makeConnection(self, transport: Any) -> None:
        """
        Greet.
        """
        super().makeConnection(transport)
        transport.write(b"hello")


class HandshakeTests(WireTestCase):
    """
    What happens before there is a protocol.
    """

    failed = 0

    def count(self) -> None:
        """
        Count a handshake that failed.
        """
        self.failed += 1

    def begin(self, kind: Any = Talker) -> int:
        """
        Serve over TLS.
        """
        return self.serve(kind, terms(failed=self.count))

    async def begun(self) -> TLSServer:
        """
        Wait for a handshake to begin.
        """
        await self.until(lambda: self.port.handshaking)
        return next(iter(self.port.handshaking))

    def tearDown(self) -> None:
        """
        Nothing that a peer does in a handshake is worth a log line.
        """
        self.assertEqual([], self.flushLoggedErrors())

    async def test_nothing_leaves_early(self) -> None:
        """
        A write before the end of the handshake never leaves.
        """
        port = self.begin(Greeting)
        peer = await self.dialled(port)
        transport = await self.begun()
        transport.write(SECRET)
        transport.writeSequence([SECRET])
        self.assertEqual(0, transport.unsent())
        transport.loseConnection()
        self.assertEqual([], self.talkers.made)
        safe = await self.peer(trusting().wrap_socket, peer)
        self.addCleanup(safe.close)
        (await self.talker()).transport.loseConnection()
        self.assertEqual(b"hello", await self.peer(read_all, safe))
        self.assertEqual(0, self.failed)

    async def test_time_is_up(self) -> None:
        """
        A silent client is cut when its time is up, not before, and counted.
        """
        port = self.begin()
        peer = await self.dialled(port)
        await self.begun()
        now = self.port.reactor.seconds()
        self.port.sweep(now + HANDSHAKE_TIMEOUT - 1)
        await self.turns()
        self.assertEqual((1, 0), (len(self.port.handshaking), self.failed))
        self.port.sweep(now + HANDSHAKE_TIMEOUT + 1)
        with self.assertRaises(ConnectionResetError):
            await self.peer(peer.recv, 1)
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual(1, self.failed)

    async def test_only_those_whose_time_is_up(self) -> None:
        """
        Whoever has finished in time is not touched by a sweep.
        """
        port = self.begin()
        await self.dialled(port, trusting())
        talker = await self.talker()
        self.port.sweep(self.port.reactor.seconds() + 10 * HANDSHAKE_TIMEOUT)
        await self.turns()
        self.assertEqual([], talker.lost)

    async def test_a_hello_cut_anywhere(self) -> None:
        """
        A client that leaves within its first words leaves no trace.
        """
        port = self.begin(Greeting)
        hello = client_hello()

        def leave() -> None:
            for end in range(len(hello)):
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
                    peer.sendall(hello[:end])
                    if end % 2:
                        reset(peer)

        await self.peer(leave)
        await self.until(lambda: self.failed == len(hello))
        self.assertEqual({}, self.port.handshaking)
        self.assertEqual([], self.talkers.made)

    async def test_a_hello_in_crumbs(self) -> None:
        """
        A client that sends its first words byte by byte is served.
        """
        port = self.begin(Greeting)
        peer = await self.dialled(port)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting().wrap_bio(incoming, outgoing)

        def talk() -> bytes:
            while True:
                try:
                    client.do_handshake()
                    return client.read(100)
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        peer.sendall(bytes((byte,)))
                    incoming.write(peer.recv(65536))

        self.assertEqual(b"hello", await self.peer(talk))

    async def test_plain_http(self) -> None:
        """
        Whoever speaks plain http is told so, in plain http.
        """
        port = self.begin()
        for request in (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /form HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000,
            b"CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        ):
            peer = await self.dialled(port)
            await self.peer(peer.sendall, request)
            answer = await self.peer(read_all, peer)
            head, _, body = answer.partition(b"\r\n\r\n")
            self.assertEqual(b"HTTP/1.1 400 Bad Request", head.split(b"\r\n")[0])
            self.assertIn(b"\r\nContent-Length: %d" % len(body), head)
            self.assertIn(b"https", body)
            peer.close()
            await self.until(lambda: not self.port.handshaking)
        self.assertEqual(3, self.failed)

    async def test_plain_http_for_ever(self) -> None:
        """
        One who goes on in plain http is cut by the same sweep, and counts once.
        """
        port = self.begin()
        peer = await self.dialled(port)
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn(b"400", await self.peer(read_all, peer))
        self.port.sweep(self.port.reactor.seconds() + HANDSHAKE_TIMEOUT + 1)
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual(1, self.failed)

    async def test_noise(self) -> None:
        """
        Garbage, alerts and protocols of the past end the connection, no more.
        """
        port = self.begin(Greeting)
        noises = list(noise())

        def make() -> None:
            for one in noises:
                connecting = socket.create_connection(("127.0.0.1", port), PATIENCE)
                with connecting as peer, contextlib.suppress(OSError):
                    peer.sendall(one)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(1 << 16):
                        pass

        await self.peer(make)
        await self.until(lambda: self.failed == len(noises))
        self.assertEqual([], self.talkers.made)

    async def test_nobody_home(self) -> None:
        """
        Without a protocol the connection ends, cleanly.
        """
        port = self.serve(Talker, terms())
        self.talkers.buildProtocol = lambda _: None  # type: ignore[method-assign]
        peer = await self.dialled(port, trusting())
        self.assertEqual(b"", await self.peer(read_all, peer))
        await self.until(lambda: not self.port.handshaking)

    async def test_a_bug_is_no_bad_handshake(self) -> None:
        """
        What a protocol raises at its start is logged, and not held against TLS.
        """

        class Broken(Talker):
            def makeConnection(self, transport: Any) -> None:
                super().makeConnection(transport)
                raise ZeroDivisionError

        port = self.begin(Broken)
        peer = await self.dialled(port, trusting())
        talker = await self.talker()
        await self.told(talker)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(0, self.failed)
        with self.assertRaises(OSError):
            await self.peer(peer.recv, 1)

    async def test_new_terms(self) -> None:
        """
        A handshake ends on the terms that it began with.
        """
        port = self.begin()
        peer = await self.dialled(port)
        await self.begun()
        self.port.tls = None
        safe = await self.peer(trusting().wrap_socket, peer)
        self.addCleanup(safe.close)
        talker = await self.talker()
        self.assertEqual("TLSv1.3", talker.transport.facts.version)

    async def test_after_the_port_is_closed(self) -> None:
        """
        A handshake under way ends well though nobody else is accepted.
        """
        port = self.begin(Greeting)
        peer = await self.dialled(port)
        await self.begun()
        await self.port.stopListening()
        safe = await self.peer(trusting().wrap_socket, peer)
        self.addCleanup(safe.close)
        self.assertEqual(b"hello", await self.peer(safe.recv, 100))

    async def test_renegotiation(self) -> None:
        """
        TLS 1.2's renegotiation is refused, and the connection goes on or ends.
        """
        port = self.begin(HalfClosed)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        raw = await self.dialled(port)
        raw.settimeout(None)
        peer = SSL.Connection(context, raw)
        peer.set_connect_state()

        def renegotiate() -> str:
            peer.do_handshake()
            peer.renegotiate()
            try:
                peer.do_handshake()
                peer.send(b"x")
                peer.recv(1)
            except SSL.Error as error:
                return str(error)
            return ""

        self.assertIn("no renegotiation", await self.peer(renegotiate))
        raw.close()
        talker = await self.talker()
        await self.told(talker)

    async def test_facts(self) -> None:
        """
        What was agreed on is told as values; there is no client certificate.
        """
        port = self.begin()
        await self.dialled(port, trusting(maximum_version=ssl.TLSVersion.TLSv1_2))
        talker = await self.talker()
        transport = talker.transport
        self.assertEqual("a.example", transport.facts.server_name)
        self.assertEqual("TLSv1.2", transport.facts.version)
        self.assertTrue(transport.facts.cipher.startswith("ECDHE-ECDSA-"))
        self.assertIsNone(transport.getPeerCertificate())
        self.assertIsNone(transport.negotiatedProtocol)
        transport.loseConnection()
        self.assertIsInstance(await self.told(talker), ConnectionDone)


def noise() -> Iterator[bytes]:
    """
    Yield what is no TLS, or none of today.
    """
    hello = client_hello()
    yield b""
    yield b"\x00" * 70000
    yield b"SSH-2.0-OpenSSH_9.0\r\n"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 12
    yield b"\x15\x03\x01\x00\x02\x02\x28"  # an alert: handshake failure
    yield b"\x15\x03\x03\x00\x02\x01\x00"  # another: close_notify
    yield b"\x14\x03\x03\x00\x01\x01" * 100
    yield b"\x17\x03\x03\x40\x00" + b"x" * 16384
    yield hello + hello
    yield hello + b"GET / HTTP/1.1\r\n\r\n"
    yield hello + b"\x15\x03\x01\x00\x02\x02\x28"
    yield hello[:43] + bytes(len(hello) - 43)
    for seed in range(0, len(hello), 7):
        flipped = bytearray(hello)
        flipped[seed] ^= 0xFF
        yield bytes(flipped)
    for size in (1, 5, 300, 5000):
        yield os.urandom(size)
