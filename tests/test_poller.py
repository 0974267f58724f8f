from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.python.failure import Failure

from appgw.poller import Poller
from tests.wire import Echo, WireTestCase


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


class ClumsyTests(WireTestCase):
    """
    What raises where nothing should.
    """

    def reactor(self) -> Any:
        """
        Return an epoll of our own.
        """
        if not hasattr(self, "_own"):
            self._own = Poller(reactor)
        return self._own

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
