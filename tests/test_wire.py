from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.wire import BadField, head_of, trailers_of

FIELDS = [(b"Host", b"a.example"), (b"X", b""), (b"X", b"\xff\t y")]


class WrittenTests(SynchronousTestCase):
    def test_head(self) -> None:
        """
        A head has its line, its fields in order, its framing and an empty line.
        """
        self.assertEqual(
            b"GET / HTTP/1.1\r\nHost: a.example\r\nX: \r\nX: \xff\t y\r\n"
            b"Content-Length: 3\r\n\r\n",
            head_of(b"GET / HTTP/1.1", FIELDS, b"Content-Length: 3\r\n"),
        )
        self.assertEqual(
            b"HTTP/1.1 200 OK\r\n\r\n", head_of(b"HTTP/1.1 200 OK", [], b"")
        )

    def test_trailers(self) -> None:
        """
        Trailers have their fields in order, and an empty line.
        """
        self.assertEqual(b"\r\n", trailers_of([]))
        self.assertEqual(
            b"Host: a.example\r\nX: \r\nX: \xff\t y\r\n\r\n", trailers_of(FIELDS)
        )

    @given(st.binary(max_size=4), st.sampled_from((b"\r\n", b"\n", b"\r", b"\0")))
    def test_breaks(self, text: bytes, evil: bytes) -> None:
        """
        Nothing that would break a message apart is ever written, wherever it stands.
        """
        bad = text + evil + text[::-1]
        for field in ((b"X", bad), (bad, b"x")):
            for fields in ([field], [*FIELDS, field], [field, *FIELDS]):
                self.assertRaises(BadField, head_of, b"GET / HTTP/1.1", fields, b"")
                self.assertRaises(BadField, trailers_of, fields)
        self.assertRaises(BadField, head_of, b"GET /%b HTTP/1.1" % bad, FIELDS, b"")
        self.assertRaises(BadField, head_of, b"HTTP/1.1 200 %b" % bad, [], b"")

    @given(
        st.lists(
            st.tuples(
                st.from_regex(rb"[!-9;-~]+", fullmatch=True),
                st.from_regex(rb"[^\r\n\0]*", fullmatch=True),
            )
        )
    )
    def test_whole(self, fields: list[tuple[bytes, bytes]]) -> None:
        """
        What is written has as many lines as there are fields.
        """
        lines = head_of(b"GET / HTTP/1.1", fields, b"").split(b"\r\n")
        self.assertEqual([b"GET / HTTP/1.1", b"", b""], [lines[0], *lines[-2:]])
        self.assertEqual(
            [b"%b: %b" % (name, value) for name, value in fields], lines[1:-2]
        )
