"""
Our own answers, as the tree writes them.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appgw.means import Means, refuse
from appgw.refusal import Refusal
from tests.listen.line import NO_ID, Line, get


class RefuseTests(SynchronousTestCase):
    def test_connection(self) -> None:
        """
        A refusal keeps the connection, but for those that only another handshake
        can mend.
        """
        nothing: Any = None
        means = Means(
            connections=nothing,
            record=nothing,
            counters=nothing,
            seconds=float,
            wall=float,
            date=lambda _: b"today",
            new_id=nothing,
        )
        for refusal in Refusal:
            line = Line(answers=False).feed(get() + get())
            refuse(line.visits[0].request, refusal, NO_ID, means)
            closes = refusal in (
                Refusal.MISDIRECTED,
                Refusal.NO_CLIENT_CERTIFICATE,
                Refusal.BAD_CLIENT_CERTIFICATE,
            )
            self.assertEqual([refusal.status], line.played().statuses)
            self.assertEqual(closes, b"\r\nConnection: close\r\n" in line.written)
            self.assertEqual(1 if closes else 2, len(line.visits))
