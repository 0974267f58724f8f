"""
What a stream asks of its transport.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.connections import Attempts, Kept
from appgw.backend.stream import Stream
from appgw.backend.target import Target


class Transport:
    """
    Counts what is asked of it.
    """

    verdict = None
    polled = 0

    def getHost(self) -> Any:
        """
        Return an address.
        """
        return type("Address", (), {"port": 1})

    def poll(self) -> None:
        """
        Count.
        """
        self.polled += 1

    def pauseProducing(self) -> None:
        """
        Nothing is read anyway.
        """

    def resumeProducing(self) -> None:
        """
        Nothing is read anyway.
        """


class PollTests(SynchronousTestCase):
    def test_paused(self) -> None:
        """
        A client that takes no answer cannot have it read by sending more.
        """
        target = Target(address="127.0.0.1", port=80, protocol="http")
        stream = Stream(Kept(target, None, time.monotonic, None, Attempts()))
        transport = Transport()
        stream.makeConnection(transport)
        stream.poll()
        self.assertEqual(transport.polled, 1)
        stream.pause()
        stream.poll()
        self.assertEqual(transport.polled, 1)
        stream.resume()
        stream.poll()
        self.assertEqual(transport.polled, 2)
