"""
Where chunked bodies end, counted apart from llhttp.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.chunks import MAX_EXTENSIONS, MAX_LINE, Chunks
from appgw.refusal import Refusal

Result = tuple[int, bool, Refusal | None]


def follow(pieces: Sequence[bytes]) -> Result:
    """
    Return how far the body goes, whether it ends, and what is wrong with it.
    """
    chunks, end = Chunks(), 0
    for piece in pieces:
        end += chunks.end_in(piece, 0)
        if chunks.done or chunks.refusal is not None:
            break
    return end, chunks.done, chunks.refusal


class ChunksTestCase(SynchronousTestCase):
    def followed(self, wire: bytes) -> Result:
        """
        Follow *wire* whole and by single bytes, to the same end.
        """
        whole = follow([wire])
        self.assertEqual(whole, follow([wire[at : at + 1] for at in range(len(wire))]))
        return whole

    def ends(self, wire: bytes) -> None:
        """
        Want the body to end where *wire* does, whatever follows.
        """
        self.assertEqual((len(wire), True, None), self.followed(wire + b"GET / H"))

    def refuses(self, wire: bytes, refusal: Refusal = Refusal.MALFORMED) -> None:
        """
        Want *wire* to be refused.
        """
        self.assertIs(refusal, self.followed(wire)[2], wire[:100])


class ChunksTests(ChunksTestCase):
    """
    RFC 9112, 7.1.
    """

    def test_ends(self) -> None:
        """
        A body ends behind its trailers, even when none are there.
        """
        for wire in (
            b"0\r\n\r\n",
            b"000\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            b"3;a=b;c\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ: 0\r\n\r\n",
            b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
            b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        ):
            self.ends(wire)

    def test_goes_on(self) -> None:
        """
        Without its end a body is not done.
        """
        for wire in (
            b"",
            b"3",
            b"3\r\nab",
            b"3\r\nabc\r\n",
            b"0\r\n",
            b"0\r\nX: y\r\n",
        ):
            self.assertEqual((len(wire), False, None), self.followed(wire))

    def test_sizes(self) -> None:
        """
        A size is one to sixteen hexadecimal digits.
        """
        for line in (
            *(b"", b"0x5", b"+5", b"-5", b"5_0", b" 5", b"5 ", b"5\t", b"G"),
            *(b"0" * 17, b"1" * 17, b"5 ;a", b"5\r", b"5;a\rb", "\uff15".encode()),
        ):
            self.refuses(line + b"\r\nABCDE\r\n0\r\n\r\n")
        self.refuses(b"5\nABCDE\r\n0\r\n\r\n")
        self.assertIsNone(self.followed(b"f" * 16 + b"\r\nA")[2])

    def test_line(self) -> None:
        """
        A chunk line may have so many bytes, and not one more.
        """
        extension = b"a" * (MAX_LINE - 4)
        self.ends(b"1;" + extension + b"\r\nA\r\n0\r\n\r\n")
        self.refuses(b"1;" + extension + b"a\r\nA\r\n0\r\n\r\n")
        self.refuses(b"1;" + b"a" * 65536)

    def test_trailers(self) -> None:
        """
        All trailers together may have so many bytes, and not one more.
        """
        for trailers in (b"X: %b\r\n", b"Y: z\r\nX: %b\r\n"):
            room = MAX_LINE - len(trailers) - 2 + 2
            self.ends(b"0\r\n" + trailers % (b"a" * room) + b"\r\n")
            self.refuses(
                b"0\r\n" + trailers % (b"a" * (room + 1)) + b"\r\n",
                Refusal.HEAD_TOO_LARGE,
            )
        self.refuses(b"0\r\n" + b"a: b\r\n" * 1366, Refusal.HEAD_TOO_LARGE)
        full = b"0\r\nX: %b\r\n" % (b"a" * (MAX_LINE - 5))
        self.refuses(full, Refusal.HEAD_TOO_LARGE)

    def test_extensions(self) -> None:
        """
        Extensions may be as long as the body, and so many bytes longer.
        """
        chunk = b"1;%b\r\nA\r\n" % (b"a" * 4095)
        fit = MAX_EXTENSIONS // 4096
        self.ends(chunk * fit + b"0\r\n\r\n")
        self.refuses(chunk * (fit + 1))
        fair = b"1000;%b\r\n%b\r\n" % (b"a" * 4095, b"A" * 4096)
        self.ends(fair * 100 + b"0\r\n\r\n")

    def test_nothing_is_read_behind_the_end(self) -> None:
        """
        From a place within the data, the end is told within the data.
        """
        chunks = Chunks()
        self.assertEqual(9, chunks.end_in(b"xxxx0\r\n\r\nGET", 4))
        self.assertTrue(chunks.done)


class RandomChunksTests(SynchronousTestCase):
    """
    Bodies that nobody thought of.
    """

    @given(
        st.lists(st.binary(min_size=1, max_size=40), max_size=5),
        st.binary(max_size=30),
        st.lists(st.integers(0, 300), max_size=8),
    )
    def test_any_body(
        self, bodies: list[bytes], behind: bytes, offsets: list[int]
    ) -> None:
        """
        Whatever the data and however it is cut, the end is found.
        """
        wire = b"".join(b"%x\r\n%b\r\n" % (len(b), b) for b in bodies) + b"0\r\n\r\n"
        both = wire + behind
        edges = sorted({0, len(both), *(at % (len(both) + 1) for at in offsets)})
        pieces = [both[a:b] for a, b in itertools.pairwise(edges)]
        self.assertEqual((len(wire), True, None), follow(pieces))
