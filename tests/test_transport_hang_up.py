from __future__ import annotations

import ssl

from twisted.internet.error import ConnectionDone

from tests.test_transport_ends import BIG, bare_end
from tests.wire import (
    HalfClosed,
    Talker,
    WireTestCase,
    read_all,
    reset,
    terms,
    trusting,
)


class HangUpTests(WireTestCase):
    """
    An end of TCP without a word to TLS, ours and the peer's.
    """

    async def test_ours(self) -> None:
        """
        What was written arrives, and nobody takes what follows for close_notify.
        """
        for context in (None, trusting()):
            port = self.serve(Talker, context and terms())
            peer = await self.dialled(port, context)
            talker = await self.talker()
            await self.peer(peer.sendall, b"not heard any more")
            talker.transport.write(BIG)
            talker.transport.hang_up()
            if context is None:
                self.assertTrue(await self.peer(read_all, peer) == BIG)
            else:
                heard = await self.peer(self._up_to_the_end, peer)
                self.assertTrue(heard == BIG)
            await self.peer(bare_end, peer)
            await self.told(talker)

    def _up_to_the_end(self, peer: ssl.SSLSocket) -> bytes:
        heard = b""
        with self.assertRaisesRegex(ssl.SSLError, "EOF"):
            while data := peer.recv(1 << 20):
                heard += data
        return heard

    async def test_after_the_peers_end(self) -> None:
        """
        A peer that has ended is not waited for.
        """
        port = self.serve(HalfClosed, terms())
        peer = await self.dialled(port, trusting())
        talker = await self.talker()
        unwrapped = self.peer(peer.unwrap)
        await self.until(lambda: talker.ended)
        talker.transport.hang_up()
        self.assertIsInstance(await self.told(talker), ConnectionDone)
        failure = await self.assertFailure(unwrapped, ssl.SSLError)
        self.assertIn("EOF", str(failure))

    async def test_the_peers(self) -> None:
        """
        The peer's is told from a reset, and from a word of TLS.
        """
        for end, expected in ((bare_end, True), (reset, False), (_unwrap, False)):
            port = self.serve(Talker, terms())
            peer = await self.dialled(port, trusting())
            talker = await self.talker()
            await self.peer(end, peer)
            await self.told(talker)
            self.assertIs(expected, talker.transport.hung_up)


def _unwrap(peer: ssl.SSLSocket) -> None:
    peer.unwrap().close()
