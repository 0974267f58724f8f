"""
How large the parts of a request may be: the last byte that passes, and the next.
"""

from __future__ import annotations

from appgw.listen.chunks import MAX_EXTENSIONS, MAX_LINE
from appgw.listen.heads import MAX_HEAD
from appgw.refusal import Refusal
from tests.listen.line import LineTestCase, Seen, chunked, get, post


class LimitTests(LineTestCase):
    """
    How large a request may be.
    """

    def test_head(self) -> None:
        """
        A head may have so many bytes, and not one more, in any pieces.
        """
        for before in (b"", b"\r\n", get(b"/0"), chunked(b"3\r\nabc\r\n0\r\n\r\n")):
            room = MAX_HEAD - len(get(b"/", b"X: "))
            fits = before + get(b"/", b"X: " + b"a" * room)
            self.assertEqual("open", self.played(fits).end)
            played = self.played(before + get(b"/", b"X: a" + b"a" * room))
            self.assertEqual(Seen(Refusal.HEAD_TOO_LARGE), played.seen[-1])
            self.assertEqual(431, played.statuses[-1])

    def test_padding(self) -> None:
        """
        The spaces around a value count as the rest does.
        """
        room = MAX_HEAD - len(get(b"/", b"X: "))
        padded = get(b"/", b"X: " + b" " * room)
        self.assertEqual([200], self.played(padded).statuses)
        self.refused(get(b"/", b"X:  " + b" " * room), Refusal.HEAD_TOO_LARGE)

    def test_target(self) -> None:
        """
        Where the target is what makes a head too large, that is said.
        """
        room = MAX_HEAD - len(get())
        self.assertEqual([200], self.played(get(b"/" * (room + 1))).statuses)
        self.refused(get(b"/" * (room + 2)), Refusal.TARGET_TOO_LONG)
        self.refused(get(b"/" * 100000), Refusal.TARGET_TOO_LONG)
        self.refused(get(b"/?" + b"a" * 40000), Refusal.TARGET_TOO_LONG)

    def test_fields(self) -> None:
        """
        A head may have a hundred fields, and not one more.
        """
        played = self.played(get(b"/", *(b"X: y",) * 99))
        self.assertEqual(100, len(played.seen[0].fields))
        self.refused(get(b"/", *(b"X: y",) * 100), Refusal.HEAD_TOO_LARGE)

    def test_endless(self) -> None:
        """
        A head without an end is refused where it could end no more.
        """
        for line in (b"X: ", b"X: y\r\n" * 6000, b"X" * 40000):
            data = b"GET / HTTP/1.1\r\n" + line + b"a" * 40000
            self.refused(data, Refusal.HEAD_TOO_LARGE)

    def test_declared_body(self) -> None:
        """
        A body that is declared too large is not waited for.
        """
        self.assertEqual([200], self.played(post(b"a" * 100), limit=100).statuses)
        data = get(b"/", b"Content-Length: 101", method=b"PUT")
        played = self.played(data, limit=100)
        self.assertEqual((Seen(Refusal.BODY_TOO_LARGE),), played.seen)
        self.assertEqual("ended", played.end)

    def test_streamed_body(self) -> None:
        """
        A body whose length nobody knew is counted as it comes.
        """
        fits = chunked(b"32\r\n%b\r\n" % (b"a" * 50) * 2 + b"0\r\n\r\n")
        self.assertEqual([200], self.played(fits, limit=100).statuses)
        played = self.played(
            chunked(b"32\r\n%b\r\n1\r\nb\r\n" % (b"a" * 50) * 2), limit=100
        )
        self.assertEqual((Seen(Refusal.BODY_TOO_LARGE),), played.seen)
        self.assertEqual([413], played.statuses)
        self.assertEqual("ended", played.end)

    def test_chunks(self) -> None:
        """
        Chunk lines, extensions and trailers have limits, exact to the byte.
        """
        long = b"1;%b\r\nA\r\n0\r\n\r\n"
        self.assertEqual(
            [b"A"], self.played(chunked(long % (b"a" * (MAX_LINE - 4)))).bodies
        )
        self.refused(chunked(long % (b"a" * (MAX_LINE - 3))), Refusal.MALFORMED)
        trailer = b"0\r\nX: %b\r\n\r\n"
        fits = chunked(trailer % (b"a" * (MAX_LINE - 7)))
        self.assertEqual([200], self.played(fits).statuses)
        self.refused(chunked(trailer % (b"a" * (MAX_LINE - 6))), Refusal.HEAD_TOO_LARGE)
        many = b"1;%b\r\nA\r\n" % (b"a" * 4095) * (MAX_EXTENSIONS // 4096)
        self.assertEqual([200], self.played(chunked(many + b"0\r\n\r\n")).statuses)
        self.refused(
            chunked(many + b"1;aa\r\nA\r\n" * 8 + b"0\r\n\r\n"), Refusal.MALFORMED
        )
