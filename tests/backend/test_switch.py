from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.answer import MAX_HEAD, AnswerParser, BadAnswer
from tests.backend.answers import OK
from tests.backend.test_answer import cuts

SWITCHED = b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: %b\r\n%b\r\n"
AGREED = SWITCHED % (b"websocket", b"Sec-WebSocket-Accept: x\r\n")
TUNNELLED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\x81\x00"
"""Bytes of a tunnel, which look like an answer."""


def proposing(upgrade: bytes = b"websocket") -> AnswerParser:
    """
    Return a parser of the answer to a request with this Upgrade.
    """
    parser = AnswerParser()
    parser.expect(False)
    parser.proposed = upgrade
    return parser


class SwitchTests(SynchronousTestCase):
    """
    101, which ends HTTP on a connection.
    """

    def test_agreed(self) -> None:
        """
        Behind the 101 everything is the tunnel's, however it was cut.
        """
        for pieces in cuts(AGREED + TUNNELLED):
            parser = proposing()
            heads, taken = [], b""
            for piece in pieces:
                parser.feed(piece)
                if parser.head is not None:
                    heads.append(parser.head)
                    parser.head = None
                taken += parser.take()
            (head,) = heads
            self.assertEqual((101, None), (head.status, head.content_length))
            self.assertIn((b"Sec-WebSocket-Accept", b"x"), head.headers)
            self.assertEqual(TUNNELLED, taken, pieces)
            self.assertTrue(parser.switched)
            self.assertFalse(parser.reusable)

    def test_much_behind_it(self) -> None:
        """
        The limit of a head does not count for what is none.
        """
        parser = proposing()
        parser.feed(AGREED + b"x" * 3 * MAX_HEAD)
        self.assertEqual(3 * MAX_HEAD, len(parser.take()))

    def test_after_others(self) -> None:
        """
        Interim responses may come before it.
        """
        parser = proposing()
        parser.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + AGREED)
        self.assertEqual(100, len(parser.interim))
        self.assertTrue(parser.switched)

    def test_which(self) -> None:
        """
        It agrees to something of what was proposed, in any case, to nothing else.
        """
        for proposed, answered, agrees in (
            (b"websocket", b"WebSocket", True),
            (b"WebSocket", b"websocket", True),
            (b"a/1, b", b"b", True),
            (b"a/1, b", b"a/1,, B", True),
            (b"a/1, b", b"a", False),
            (b"a", b"a/1", False),
            (b"a", b"a, b", False),
            (b"a", b"", False),
            (b"a", b",", False),
            (b"a", b"h2c", False),
            (b"", b"a", False),
            (b"", b"", False),
        ):
            parser = proposing(proposed)
            wire = SWITCHED % (answered, b"") + TUNNELLED
            if agrees:
                parser.feed(wire)
            else:
                self.assertRaises(BadAnswer, parser.feed, wire)
            self.assertEqual(agrees, parser.switched, (proposed, answered))
            self.assertEqual(TUNNELLED if agrees else b"", parser.take())

    def test_doubts(self) -> None:
        """
        With a body, of another version, or without its fields it is none.
        """
        for wire in (
            SWITCHED % (b"websocket", b"Content-Length: 2\r\n"),
            SWITCHED % (b"websocket", b"Content-Length: x\r\n"),
            SWITCHED % (b"websocket", b"Transfer-Encoding: chunked\r\n"),
            AGREED.replace(b"HTTP/1.1", b"HTTP/1.0"),
            AGREED.replace(b"Connection: upgrade\r\n", b""),
            AGREED.replace(b"Connection: upgrade\r\n", b"Connection: close\r\n"),
            AGREED.replace(b"Upgrade: websocket\r\n", b""),
            AGREED.replace(b"\r\n\r\n", b"\r\nX: y" * 100 + b"\r\n\r\n"),
        ):
            for pieces in cuts(wire):
                parser = proposing()
                with self.assertRaises(BadAnswer, msg=repr(wire)):
                    for piece in pieces:
                        parser.feed(piece)
                self.assertIsNone(parser.head)

    def test_not_any_more(self) -> None:
        """
        What was proposed with one request is not with the next.
        """
        parser = proposing()
        parser.feed(OK + b"Content-Length: 0\r\n\r\n")
        self.assertTrue(parser.reusable)
        parser.reset()
        parser.expect(False)
        self.assertRaises(BadAnswer, parser.feed, AGREED)
