from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator

from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    JourneyTests,
    Recorded,
    put,
    turn,
)
from tests.journey.wire import Conversation, Wire

PIECE = bytes(range(256)) * 256
PIECES = 1024
"""64 KiB, and how many of them make 64 MiB."""


def unsent(gateway: Recorded) -> Iterator[int]:
    """
    Yield how many bytes wait in each of the gateway's connections.
    """
    for stream in gateway._connections.streams():
        yield stream.transport.unsent()
    for channel in gateway._ports.channels():
        yield channel.transport.unsent()
        yield len(channel._rest)
        if channel._current is not None:
            yield sum(map(len, channel._current._chunks))


class Pushing:
    """
    Sends 64 MiB as fast as they are taken (IPullProducer).
    """

    def __init__(self, wire: Wire, finish: bytes = b"") -> None:
        self.left = PIECES
        self.wire = wire
        self.finish = finish
        wire.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """
        Send one piece more.
        """
        self.left -= 1
        self.wire.transport.write(PIECE)
        if not self.left:
            self.wire.transport.unregisterProducer()
            self.wire.transport.write(self.finish)

    def stopProducing(self) -> None:
        """
        The other end has gone.
        """


async def slowly(wire: Wire, gateway: Recorded, size: int) -> int:
    """
    Take *size* bytes with rests in between, and forget them; return the most
    that waited in the gateway at any time.
    """
    most = taken = 0
    while taken < size:
        wire.transport.pauseProducing()
        for _ in range(3):
            await turn()
        most = max(most, *unsent(gateway), 0)
        wire.transport.resumeProducing()
        await wire.until(lambda: wire.unread)
        taken += len(wire.unread)
        wire.unread = b""
        wire.received.clear()
    return most


class FlatTests(JourneyTests):
    """
    Large bodies past a slow side.
    """

    def measured(self, most: int) -> None:
        """
        Assert that neither queues nor memory have grown with the body.
        """
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertLess(most, 2 << 20)
        self.assertLess(peak, 16 << 20)

    async def test_down(self) -> None:
        """
        64 MiB to a slow client pass in flat memory.
        """
        size = len(PIECE) * PIECES

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            Pushing(conversation)
            await conversation.ended()

        for issued in (LEAF, None):
            settings = {} if issued else {"protocol": "http"}
            gateway = self.before(self.backend(script, issued), **settings)
            client = await self.client(issued is not None)
            client.write(GET)
            await client.upto(b"\r\n\r\n")
            first = len(client.unread)
            client.unread = b""
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            self.measured(await slowly(client, gateway, size - first))
            (outcome,) = await self.recorded(1)
            self.assertGreater(outcome.sent, size)
            self.assertIsNone(outcome.refusal)

    async def test_up(self) -> None:
        """
        64 MiB to a slow backend pass in flat memory.
        """
        size = len(PIECE) * PIECES
        most = 0

        async def script(conversation: Conversation) -> None:
            nonlocal most
            await conversation.head()
            first = len(conversation.unread)
            conversation.unread = b""
            most = await slowly(conversation, self.gateway, size - first)
            conversation.write(OK)
            await conversation.ended()

        for issued in (LEAF, None):
            settings = {} if issued else {"protocol": "http"}
            self.before(self.backend(script, issued), **settings)
            client = await self.client(issued is not None)
            client.write(
                b"PUT / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: %d\r\n\r\n"
                % size
            )
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            Pushing(client)
            self.assertEqual(200, (await client.answer()).status)
            self.measured(most)
            (outcome,) = await self.recorded(1)
            self.assertEqual(size, outcome.received)

    async def test_while_connecting(self) -> None:
        """
        Of a body that comes while its backend is connected to, little is taken.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        gateway = self.before(self.backend(mute, None))
        client = await self.client()
        client.write(put(PIECE * PIECES))
        for _ in range(200):
            await turn()
        self.assertLess(max(unsent(gateway)), 2 << 20)
        self.assertEqual([], gateway.outcomes)

    def test_what_is_measured(self) -> None:
        """
        What is measured shows what a body of that size takes.
        """
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        held = PIECE * PIECES
        self.assertGreater(tracemalloc.get_traced_memory()[1], len(held) - 1)
        self.assertGreater(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0)
