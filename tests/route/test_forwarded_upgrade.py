from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.message import Headers, ResponseHead
from appgw.route.forwarded import request_headers, response_headers
from tests.route.values import arrival, head

LINES = (
    (b"Connection", b"keep-alive, UPGRADE, X-Mine"),
    (b"Upgrade", b"a, b/2"),
    (b"X-Mine", b"1"),
    (b"X-Other", b"2"),
)


class UpgradeTests(SynchronousTestCase):
    def sent(self, upgrade: bytes) -> list[tuple[bytes, bytes]]:
        """
        Return what of the lines reaches a backend.
        """
        asked = head(b"/", *LINES)
        asked.upgrade = upgrade
        sent = request_headers(asked, arrival("192.0.2.7"), b"host", b"id", False)
        names = (b"connection", b"upgrade", b"x-mine", b"x-other")
        return [line for line in sent if line[0].lower() in names]

    def test_asked(self) -> None:
        """
        Upgrade goes to a backend with its option where that may agree to it.
        """
        expected = [
            (b"X-Other", b"2"),
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"a, b/2"),
        ]
        self.assertEqual(expected, self.sent(b"a, b/2"))
        self.assertEqual(expected[:1], self.sent(b""))

    def test_answered(self) -> None:
        """
        It goes to a client where it is part of the answer, and only there.
        """
        told = [(b"Connection", b"Upgrade"), LINES[1], (b"UPGRADE", b"c")]
        for status in (101, 426):
            lines = Headers([*LINES[:3], told[-1]])
            answer = ResponseHead(status, b"", lines)
            self.assertEqual(told, response_headers(answer))
            without = ResponseHead(status, b"", Headers(LINES[:1]))
            self.assertEqual([], response_headers(without))
        for status in (100, 200, 403):
            answer = ResponseHead(status, b"", Headers(LINES))
            self.assertEqual([LINES[3]], response_headers(answer))
