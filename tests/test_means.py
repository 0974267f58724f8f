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
        A refusal keeps the connection, but for 421: its client shall connect
        anew.
        """
        nothing: Any = None
        means = Means(
            connections=nothing,
            record=nothing,
            pin_refused=nothing,
            seconds=float,
            wall=float,
            date=lambda _: b"today",
            new_id=nothing,
        )
        for refusal in Refusal:
            line = Line(answers=False).feed(get() + get())
            refuse(line.visits[0].request, refusal, NO_ID, means)
            closes = refusal is Refusal.MISDIRECTED
            self.assertEqual([refusal.status], line.played().statuses)
            self.assertEqual(closes, b"\r\nConnection: close\r\n" in line.written)
            self.assertEqual(1 if closes else 2, len(line.visits))
