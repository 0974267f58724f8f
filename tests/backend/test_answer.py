from __future__ import annotations

from collections.abc import Iterable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.answer import (
    IDLE_TIMEOUT,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_INTERIM,
    AnswerParser,
    BadAnswer,
)
from tests.backend.answers import BAD, CHUNKED, KEPT, LAST, OK, Read


def read(
    pieces: Iterable[bytes], *, head_only: bool = False
) -> tuple[Read, AnswerParser]:
    """
    Feed a fresh parser, taking what there is after each piece.
    """
    parser = AnswerParser()
    parser.expect(head_only)
    body, interim, head = b"", [], None
    for piece in pieces:
        parser.feed(piece)
        while parser.interim:
            interim.append(parser.interim.popleft().status)
        head, parser.head = head or parser.head, None
        taken = parser.take()
        assert head is not None or not taken, "a body before its head"
        body += taken
    return Read(
        0 if head is None else head.status,
        None if head is None else head.content_length,
        body,
        tuple(interim),
        tuple(parser.trailers or ()),
        bool(parser.complete),
        parser.until_close,
    ), parser


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """
    Yield *data* whole, byte by byte, and in two at every place.
    """
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]


class AnswerTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """
        A whole answer leaves a connection that goes on, however it was cut.
        """
        for data, (expected, head_only) in KEPT.items():
            for pieces in cuts(data):
                found, parser = read(pieces, head_only=head_only)
                self.assertEqual(expected, found, pieces)
                self.assertTrue(parser.reusable, pieces)

    def test_last(self) -> None:
        """
        After an answer that leaves a doubt, the connection is not used again.
        """
        for data, (expected, head_only) in LAST.items():
            for pieces in cuts(data):
                found, parser = read(pieces, head_only=head_only)
                self.assertEqual(expected, found, pieces)
                self.assertFalse(parser.reusable, pieces)

    def test_bad(self) -> None:
        """
        What is no answer is refused before any of it can be passed on, save
        bytes of a body that came before.
        """
        for data in BAD:
            for pieces in cuts(data):
                with self.assertRaises(BadAnswer, msg=repr(pieces)):
                    read(pieces)

    def test_bad_amid_an_exception(self) -> None:
        """
        The same where it is read while another exception is being seen to.
        """
        for data in BAD:
            try:
                int("")
            except ValueError:
                with self.assertRaises(BadAnswer, msg=repr(data)):
                    read([data])

    def test_incomplete(self) -> None:
        """
        A part of an answer is never taken for a whole one.
        """
        whole = (
            OK + b"Content-Length: 2\r\n\r\nok",
            CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        )
        for data in whole:
            for end in range(len(data)):
                found, parser = read([data[:end]])
                self.assertFalse(found.complete, data[:end])
                self.assertFalse(parser.reusable)

    def test_fields(self) -> None:
        """
        Field lines keep their order, their case and their repetitions.
        """
        parser = AnswerParser()
        parser.feed(OK + b"Set-Cookie: a\r\nB:\t b \t\r\nset-cookie: c\r\nD:\r\n\r\n")
        assert parser.head is not None
        self.assertEqual(
            [(b"Set-Cookie", b"a"), (b"B", b"b"), (b"set-cookie", b"c"), (b"D", b"")],
            parser.head.headers,
        )
        self.assertEqual(b"OK", parser.head.reason)

    def test_several_on_one_connection(self) -> None:
        """
        A parser reads one answer after the other, HEAD's among them.
        """
        parser = AnswerParser()
        order: list[tuple[bytes, bool, bytes]] = [
            (OK + b"Content-Length: 9\r\n\r\n", True, b""),
            (OK + b"Content-Length: 2\r\n\r\nok", False, b"ok"),
            (CHUNKED, True, b""),
            (CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n", False, b"ok"),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", False, b""),
            (OK + b"Content-Length: 2\r\n\r\nko", False, b"ko"),
        ]
        for data, head_only, body in order * 2:
            parser.expect(head_only)
            self.assertTrue(parser.untouched)
            parser.feed(data)
            self.assertTrue(parser.complete)
            self.assertFalse(parser.untouched)
            self.assertEqual(body, parser.take())
            self.assertTrue(parser.reusable)
            parser.reset()


class LimitTests(SynchronousTestCase):
    def assertEnds(self, pieces: Iterable[bytes], most: int, why: str) -> None:
        """
        Assert that reading ends, after *most* bytes at the latest.
        """
        seen = 0

        def counted() -> Iterator[bytes]:
            nonlocal seen
            for piece in pieces:
                seen += len(piece)
                yield piece

        with self.assertRaisesRegex(BadAnswer, why):
            read(counted())
        self.assertLessEqual(seen, most)

    def test_largest_head(self) -> None:
        """
        A head of 32 KiB is taken, and one of a byte more is not.
        """
        start = OK + b"Content-Length: 0\r\nX: "
        for more in (0, 1):
            size = MAX_HEAD - len(start) - 4 + more
            head = start + b"a" * size + b"\r\n\r\n"
            if more:
                halves = [head[: MAX_HEAD // 2], head[MAX_HEAD // 2 :]]
                self.assertEnds(halves, len(head), "32 KiB")
            else:
                self.assertEqual(200, read([head])[0].status)

    def test_endless_head(self) -> None:
        """
        A head without an end is given up, whatever it is endless in.
        """
        for endless in (b"a", b"X: y\r\n", b"\r\n"):
            starts = (b"", b"HTTP/1.1 200 ", OK, OK + b"X", OK + b"X: ")
            # Behind a status line an empty one would be the head's end.
            for start in starts[:1] if endless == b"\r\n" else starts:
                for size in (1, 100, 131072):
                    count = 200_000 // size + 1
                    pieces = [start + endless] + [
                        (endless * size)[:size] for _ in range(count)
                    ]
                    with self.assertRaises(BadAnswer, msg=repr((start, endless))):
                        read(pieces)

    def test_many_fields(self) -> None:
        """
        A hundred fields are taken, one more is not; the same for trailers.
        """
        for begin, end in ((OK, b"Content-Length: 0\r\n"), (CHUNKED + b"0\r\n", b"")):
            room = MAX_FIELDS - bool(end)
            self.assertTrue(read([begin + b"X: y\r\n" * room + end + b"\r\n"])[0])
            with self.assertRaises(BadAnswer):
                read([begin + b"X: y\r\n" * (room + 1) + end + b"\r\n"])

    def test_long_trailers(self) -> None:
        """
        Trailers past 8 KiB are not taken, in one piece or in many.
        """
        trailers = CHUNKED + b"0\r\n" + b"X: %b\r\n" % (b"y" * 1000) * 9 + b"\r\n"
        for size in (1, 500, len(trailers)):
            pieces = [trailers[i : i + size] for i in range(0, len(trailers), size)]
            with self.assertRaises(BadAnswer):
                read(pieces)

    def test_many_interim(self) -> None:
        """
        A hundred interim responses are passed on, one more is too many.
        """
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        end = OK + b"Content-Length: 0\r\n\r\n"
        found, _ = read([interim * MAX_INTERIM + end])
        self.assertEqual((100,) * MAX_INTERIM, found.interim)
        self.assertEnds([interim] * 10_000, 200 * len(interim), "interim")

    def test_long_interim(self) -> None:
        """
        What interim responses take up does not count against the final head.
        """
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % (b"a" * 600)
        end = OK + b"Content-Length: 0\r\nX: %b\r\n\r\n" % (b"a" * 20_000)
        data = interim * 50 + end
        for size in (len(data), 30_000, 1000):
            pieces = [data[i : i + size] for i in range(0, len(data), size)]
            self.assertEqual(200, read(pieces)[0].status)

    def test_chunk_lines(self) -> None:
        """
        Chunk extensions cost a backend its connection, small chunks do not.
        """
        line = b"1;" + b"x" * 4096 + b"\r\na\r\n"
        self.assertEnds([CHUNKED, *[line] * 100], 100_000, "chunk lines")
        self.assertEnds([CHUNKED, b"1;", *[b"x" * 100] * 1000], 10_000, "chunk lines")
        found, _ = read([CHUNKED, *[b"1\r\na\r\n" * 1000] * 100, b"0\r\n\r\n"])
        self.assertEqual((100_000, True), (len(found.body), found.complete))

    def test_idle_timeout(self) -> None:
        """
        A backend may keep a connection for a shorter time than we do.
        """
        expected: dict[bytes, float] = {
            b"timeout=5": 4.5,
            b"max=100, TIMEOUT=1": 0.5,
            b"timeout=0": -0.5,
            b"timeout=3600": IDLE_TIMEOUT,
            b"timeout=x": IDLE_TIMEOUT,
            b"timeout=-1": IDLE_TIMEOUT,
            b"timeout=99999999999999999999": IDLE_TIMEOUT,
        }
        for value, seconds in expected.items():
            parser = AnswerParser()
            parser.feed(OK + b"Keep-Alive: %b\r\nContent-Length: 0\r\n\r\n" % value)
            self.assertEqual(seconds, parser.idle_timeout, value)
            self.assertTrue(parser.reusable)
