from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Any

import attrs
from OpenSSL import SSL
from twisted.internet.threads import deferToThread

from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import server_context
from tests.journey.kit import LEAF, PLAIN, SECURE, JourneyTests, both, turn
from tests.journey.peers import Cut, Listening, Peer
from tests.journey.tunnels import SWITCHED, UPGRADE
from tests.wire import PATIENCE

BULK = bytes(range(256)) * 8192
"""2 MiB: more than all buffers on the way hold without being read."""


@attrs.frozen
class Way:
    """
    What is spoken on both sides of a gateway.
    """

    secure: bool
    tls12: bool = False

    def server(self) -> SSL.Context | None:
        """
        Make a backend's context.
        """
        return server_context(LEAF, tls12_only=self.tls12) if self.secure else None

    def client(self) -> SSL.Context | None:
        """
        Make a client's context.
        """
        if not self.secure:
            return None
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if self.tls12:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return context


WAYS = (Way(secure=False), Way(secure=True), Way(secure=True, tls12=True))


class EndsTests(JourneyTests):
    """
    How tunnels end; the peers are sockets.
    """

    async def asked(self, way: Way, early: bytes = b"") -> tuple[Peer, Peer]:
        """
        Ask for a tunnel; return the client's end and the backend's.
        """
        listening = Listening(way.server())
        self.addCleanup(listening.socket.close)
        member = model.Member(address="127.0.0.1", port=listening.port)
        protocol = "https" if way.secure else "http"
        self.before(member, protocol=protocol)
        address = SECURE if way.secure else PLAIN
        host, port = self.gateway.addresses()[address, 0]
        client: Peer
        client, backend = await both(
            deferToThread(self._asking, (host, port), way, early),
            deferToThread(self._listening, listening),
        )
        return client, backend

    def _asking(self, address: tuple[str, int], way: Way, early: bytes) -> Peer:
        connection = socket.create_connection(address, PATIENCE)
        self.addCleanup(connection.close)
        client = Peer(connection, way.client(), "client")
        client.send(UPGRADE + early)
        return client

    def _listening(self, listening: Listening) -> Peer:
        backend = listening.accept()
        self.addCleanup(backend.socket.close)
        backend.upto(b"\r\n\r\n")
        return backend

    async def tunnel(self, way: Way) -> tuple[Peer, Peer]:
        """
        Open a tunnel; return the client's end and the backend's.
        """
        client, backend = await self.asked(way)
        await deferToThread(backend.send, SWITCHED)
        await deferToThread(client.upto, b"\r\n\r\n")
        return client, backend

    async def over(self, refusal: Refusal | None = None) -> None:
        """
        Assert that nothing is left but one line of the log.
        """
        (outcome,) = await self.recorded(1)
        self.assertEqual((101, refusal), (outcome.status, outcome.refusal))
        while self.gateway._ports.clients() or self.gateway._connections.busy():
            await turn()
        self.assertEqual(0, self.count("appgw_tunnels"))
        await self.gateway.stopService()

    async def each(self, end: Callable[[Peer, Peer], Any]) -> None:
        """
        Let *end* see to a tunnel of each kind, from either side.
        """
        for way in WAYS:
            for turned in (False, True):
                client, backend = await self.tunnel(way)
                await end(*((backend, client) if turned else (client, backend)))

    async def test_half_closed(self) -> None:
        """
        The end of one side reaches the other behind what was said before; the
        other goes on as long as it likes, and its end is the tunnel's.
        """

        async def end(first: Peer, second: Peer) -> None:
            await deferToThread(first.send, b"last words")
            await deferToThread(first.finish)
            self.assertEqual(b"last words", await deferToThread(second.rest))
            reading = deferToThread(first.rest)
            for piece in (b"still ", b"here", BULK):
                await deferToThread(second.send, piece)
            await deferToThread(second.finish)
            self.assertEqual(b"still here" + BULK, await reading)
            await self.over()

        await self.each(end)

    async def test_half_closed_before_the_answer(self) -> None:
        """
        A client that has said everything before its upgrade was agreed to is
        listened to, and hears everything.
        """
        for way, said in itertools.product(WAYS, (b"", b"last words")):
            client, backend = await self.asked(way, said)
            await deferToThread(client.finish)
            (channel,) = self.gateway._ports.channels()
            # Behind what waits its end is not seen yet.
            while not (channel._half_closed or channel._rest):
                await turn()
            await deferToThread(backend.send, SWITCHED + BULK)
            self.assertEqual(said, await deferToThread(backend.rest))
            await deferToThread(client.upto, b"\r\n\r\n")
            reading = deferToThread(client.rest)
            await deferToThread(backend.finish)
            self.assertEqual(BULK, await reading)
            await self.over()

    async def test_end_waits_for_what_was_said(self) -> None:
        """
        An end does not overtake what a slow peer has not taken yet.
        """

        async def end(first: Peer, second: Peer) -> None:
            await deferToThread(first.send, BULK)
            await deferToThread(first.finish)
            while not self.gateway._connections.tunnels():
                await turn()
            await deferToThread(second.finish)
            self.assertEqual(BULK, await deferToThread(second.rest))
            self.assertEqual(b"", await deferToThread(first.rest))
            await self.over()

        await self.each(end)

    async def test_reset(self) -> None:
        """
        Who resets its connection takes the other one with it, as a reset; what
        it had said before arrives.
        """
        for way in WAYS:
            for refusal in (Refusal.CLIENT_CLOSED, Refusal.BACKEND_CLOSED):
                client, backend = await self.tunnel(way)
                first, second = client, backend
                if refusal is Refusal.BACKEND_CLOSED:
                    first, second = backend, client
                await deferToThread(first.send, b"!")
                self.assertEqual(b"!", await deferToThread(second.upto, b"!"))
                await deferToThread(first.cut)
                await self.assertFailure(deferToThread(second.rest), Cut)
                await self.over(refusal)

    async def test_no_goodbye(self) -> None:
        """
        Over TLS, the mere end of TCP is passed on as such behind what was said
        before: nobody takes it for a word of TLS, and nothing is lost.
        """
        for way in WAYS[1:]:
            for turned in (False, True):
                first, second = (await self.tunnel(way))[:: -1 if turned else 1]
                await deferToThread(first.send, BULK)
                await deferToThread(first.hang_up)
                with self.assertRaises(Cut) as raised:
                    await deferToThread(second.rest)
                heard, why = raised.exception.args
                self.assertEqual(len(BULK), len(heard))
                self.assertIn("EOF", why)
                await deferToThread(second.hang_up)
                await self.over()

    async def test_no_goodbye_either(self) -> None:
        """
        Nor is it more than that where the other side had said its goodbye.
        """
        for way in WAYS[1:]:
            for turned in (False, True):
                first, second = (await self.tunnel(way))[:: -1 if turned else 1]
                await deferToThread(first.send, b"bye")
                await deferToThread(first.finish)
                self.assertEqual(b"bye", await deferToThread(second.rest))
                await deferToThread(second.send, b"bye bye")
                await deferToThread(second.hang_up)
                with self.assertRaises(Cut) as raised:
                    await deferToThread(first.rest)
                self.assertEqual(b"bye bye", raised.exception.args[0])
                await self.over()

    async def test_nobody_listens(self) -> None:
        """
        Who has said everything, and then listens no more, has still said it.
        """

        async def end(first: Peer, second: Peer) -> None:
            tunnel = self.gateway._connections.tunnels()[0].user
            ends = (tunnel._client, tunnel._backend)
            here, there = ends if first.name == "client" else ends[::-1]
            said = 0
            while not there.unsent():
                await deferToThread(first.send, b"x" * 16384)
                said += 16384
                for _ in range(3):
                    await turn()
            await deferToThread(first.finish)
            while not here.ended:
                await turn()
            await deferToThread(first.hang_up)
            while not here.gone:
                await deferToThread(second.send, b"anybody there?")
                await turn()
            heard = await deferToThread(second.rest)
            self.assertEqual(said, len(heard))
            await deferToThread(second.finish)
            await deferToThread(second.hang_up)
            await self.over()

        await self.each(end)

    async def test_half_a_tunnel(self) -> None:
        """
        A tunnel of which one side has said everything, and even is gone, lives no
        longer in silence than any other.
        """
        for gone in (False, True):
            client, backend = await self.tunnel(WAYS[0])
            (tunnel,) = [one.user for one in self.gateway._connections.tunnels()]
            await deferToThread(client.finish)
            while not tunnel._client.ended:
                await turn()
            if gone:
                await deferToThread(client.hang_up)
                while not tunnel._client.gone:
                    await deferToThread(backend.send, b"anybody there?")
                    await turn()
            self.gateway.pass_time(0)
            self.gateway.pass_time(299)
            for _ in range(20):
                await turn()
            self.assertEqual([], self.gateway.outcomes)
            self.gateway.pass_time(2)
            self.assertEqual(b"", await deferToThread(backend.rest))
            await self.over(Refusal.TUNNEL_IDLE)
