from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from appgw.poller import Poller
from tests.wire import Echo, OwnTestCase, Talker, read_all, terms, trusting


class _Clumsy(Echo):
    """
    Gives everything back, and stumbles over its connection's end.
    """

    clumsy = True

    def connectionLost(self, reason: Failure) -> None:
        """
        Take note, then raise.
        """
        super().connectionLost(reason)
        if self.clumsy:
            raise ZeroDivisionError("clumsy")


class ClumsyTests(OwnTestCase):
    """
    What raises where nothing should.
    """

    async def test_at_the_end(self) -> None:
        """
        A protocol that raises when its connection ends takes nobody along:
        those who are connected go on, and others can still connect.
        """
        port = self.serve(_Clumsy)
        stays = await self.dialled(port)
        (await self.talker()).clumsy = False
        for _ in range(2):
            leaves = await self.dialled(port)
            leaver = await self.talker(len(self.talkers.made) - 1)
            leaves.close()
            await self.told(leaver)
            stays.sendall(b"still here")
            self.assertEqual(b"still here", await self.peer(stays.recv, 100))
        self.assertEqual(
            ["clumsy"] * 2,
            [str(one.value) for one in self.flushLoggedErrors(ZeroDivisionError)],
        )


class _Watched:
    """
    Does something when there is something to read, once.
    """

    def __init__(
        self, one: socket.socket, poller: Poller, act: Callable[[], Any]
    ) -> None:
        self.fileno = one.fileno
        self.poller = poller
        self.act = act

    def doRead(self) -> None:
        """
        Act, and want no more.
        """
        self.act()
        self.poller.removeReader(self)


class _Acting(Talker):
    """
    Does something when it is read from; sees what of it has left by then.
    """

    act: Callable[[Any], None] = staticmethod(lambda _: None)
    unsent = -1
    heard = b""

    def dataReceived(self, data: bytes) -> None:
        """
        Act, and look.
        """
        super().dataReceived(data)
        self.act(self.transport)
        self.unsent = self.transport.unsent()


def _in_pieces(transport: Any) -> None:
    transport.write(b"one ")
    transport.writeSequence([b"two ", b"three"])


class TurnTests(OwnTestCase):
    """
    What is written while others wait to be read leaves when all have been read.
    """

    async def acted(self, act: Callable[[Any], None], *, tls: bool = False) -> Any:
        """
        Let a connection act in a turn; return it, and its peer.
        """
        port = self.serve(_Acting, terms() if tls else None)
        peer = await self.dialled(port, trusting() if tls else None)
        talker = await self.talker(-1)
        talker.act = act
        peer.sendall(b"now")
        await self.until(lambda: talker.unsent >= 0)
        return talker, peer

    async def test_as_one(self) -> None:
        """
        Small pieces wait for the end of the turn, and leave as one.
        """
        for tls in (False, True):
            talker, peer = await self.acted(_in_pieces, tls=tls)
            self.assertEqual(13, talker.unsent)
            self.assertEqual(b"one two three", await self.peer(peer.recv, 100))
            self.assertEqual(0, talker.transport.unsent())
            talker.transport.write(b"and then")
            self.assertEqual(0, talker.transport.unsent())
            self.assertEqual(b"and then", await self.peer(peer.recv, 100))

    async def test_much(self) -> None:
        """
        What fills a record does not wait, and nothing overtakes.
        """
        whole = bytes(range(256)) * 100

        def act(transport: Any) -> None:
            transport.write(whole[:5])
            transport.write(whole[5:-5])
            self.assertEqual(0, transport.unsent())
            transport.write(whole[-5:])

        talker, peer = await self.acted(act)
        self.assertEqual(5, talker.unsent)
        talker.transport.loseConnection()
        self.assertEqual(whole, await self.peer(read_all, peer))

    async def test_endings(self) -> None:
        """
        A clean end comes behind what was written; a cut takes it away.
        """

        def ended(how: str) -> Callable[[Any], None]:
            def act(transport: Any) -> None:
                _in_pieces(transport)
                getattr(transport, how)()

            return act

        for how in ("loseConnection", "loseWriteConnection", "linger"):
            for tls in (False, True):
                talker, peer = await self.acted(ended(how), tls=tls)
                self.assertEqual(b"one two three", await self.peer(read_all, peer))
                talker.transport.abortConnection()
        talker, peer = await self.acted(ended("abortConnection"))
        self.assertEqual(0, talker.unsent)
        with self.assertRaises(ConnectionResetError):
            await self.peer(peer.recv, 100)

    async def test_pull(self) -> None:
        """
        A pull producer is asked for more after what it wrote has left.
        """
        asked: list[int] = []

        class Producer:
            def resumeProducing(self) -> None:
                asked.append(talkers[0].unsent())
                if len(asked) == 3:
                    talkers[0].unregisterProducer()
                    talkers[0].loseConnection()
                else:
                    talkers[0].write(b"%d" % len(asked))

            def stopProducing(self) -> None:
                raise AssertionError

        talkers: list[Any] = []

        def act(transport: Any) -> None:
            talkers.append(transport)
            transport.registerProducer(Producer(), False)

        _, peer = await self.acted(act)
        self.assertEqual(b"12", await self.peer(read_all, peer))
        self.assertEqual([0, 0, 0], asked)

    async def test_let_go(self) -> None:
        """
        What the kernel said of a descriptor is not told to the one that took its
        place in the same turn.
        """
        poller, told, turns = self.reactor(), [], []
        pairs = [socket.socketpair() for _ in range(2)]
        for one in (*pairs[0], *pairs[1]):
            self.addCleanup(one.close)

        def swap() -> None:
            poller.removeReader(second)
            os.dup2(pairs[0][0].fileno(), pairs[1][0].fileno())
            poller.addReader(third)

        first = _Watched(pairs[0][0], poller, lambda: told.append("first") or swap())
        second = _Watched(pairs[1][0], poller, lambda: told.append("second"))
        third = _Watched(pairs[1][0], poller, lambda: told.append("third"))
        serve = poller._serve

        def served(events: Any) -> None:
            serve(events)
            turns.append((len(events), list(told)))

        self.patch(poller, "_serve", served)
        poller.addReader(first)
        poller.addReader(second)
        for _, peer in pairs:
            peer.send(b"x")
        await self.until(lambda: "third" in told)
        self.assertEqual((2, ["first"]), turns[0])
