"""
Requests and nonsense that nobody thought of.
"""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.listen.line import HOST, Line, Played, Seen, play

NAMES = st.text("abcXYZ-019", min_size=1, max_size=12).map(
    lambda name: b"X-" + name.encode()
)
VALUES = st.text('abc XYZ:;,=/"\\\t', max_size=20).map(lambda v: v.strip().encode())
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n")),
)
UPGRADES = st.sampled_from((b"", b"Connection: upgrade\r\nUpgrade: h2c\r\n"))
OFFSETS = st.lists(st.integers(0, 10**6), max_size=12)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Seen]:
    """
    Make the bytes of a request, and what is to be seen of it.
    """
    method = draw(st.sampled_from((b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS")))
    path = b"/" + draw(st.text("ab/%.~", max_size=8)).encode()
    fields, upgrade = draw(FIELDS), draw(UPGRADES)
    lines = HOST + b"".join(b"%b:  %b \r\n" % field for field in fields) + upgrade
    seen = [(b"Host", b"shop.example"), *fields]
    seen += [tuple(line.split(b": ")) for line in upgrade.split(b"\r\n") if line]
    body, trailers = b"", []
    kind = draw(st.sampled_from(("none", "length", "chunked")))
    wire = b""
    if kind == "length":
        body = wire = draw(BODIES)
        seen.append((b"Content-Length", b"%d" % len(body)))
        lines += b"Content-Length: %d\r\n" % len(body)
    elif kind == "chunked":
        chunks = [chunk for chunk in draw(st.lists(BODIES, max_size=3)) if chunk]
        trailers, body = draw(FIELDS), b"".join(chunks)
        wire = b"".join(b"%X;a=b\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n"
        wire += b"".join(b"%b: %b\r\n" % field for field in trailers) + b"\r\n"
        seen.append((b"Transfer-Encoding", b"chunked"))
        lines += b"Transfer-Encoding: chunked\r\n"
    data = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, path, lines, wire)
    expected = Seen(
        None,
        method,
        b"shop.example",
        path,
        None,
        (1, 1),
        tuple(seen),
        body,
        tuple(trailers),
    )
    return data, expected


def cut(data: bytes, offsets: list[int]) -> list[bytes]:
    """
    Return *data* in pieces, cut at *offsets*.
    """
    edges = sorted({0, len(data), *(at % (len(data) + 1) for at in offsets)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def outcome(line: Line) -> Played:
    """
    Return what came of a connection whose client says nothing more.
    """
    return line.wait(140).played()


class RandomTests(SynchronousTestCase):
    @given(st.lists(requests(), min_size=1, max_size=5), OFFSETS)
    @settings(max_examples=200, deadline=None)
    def test_pipelines(
        self, pipeline: list[tuple[bytes, Seen]], offsets: list[int]
    ) -> None:
        """
        However a pipeline is cut, its requests come out as they went in.
        """
        played = play(cut(b"".join(data for data, _ in pipeline), offsets))
        self.assertEqual([seen for _, seen in pipeline], list(played.seen))
        self.assertEqual([200] * len(pipeline), played.statuses)
        self.assertEqual("open", played.end)

    @given(st.lists(requests(), min_size=1, max_size=3), OFFSETS, st.data())
    @settings(max_examples=300, deadline=None)
    def test_damaged_pipelines(
        self,
        pipeline: list[tuple[bytes, Seen]],
        offsets: list[int],
        data: st.DataObject,
    ) -> None:
        """
        A pipeline with one wrong byte means the same in whatever pieces.
        """
        wire = bytearray(b"".join(one for one, _ in pipeline))
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at] = data.draw(st.integers(0, 255))
        whole = play([bytes(wire)])
        self.assertEqual(whole, play(cut(bytes(wire), offsets)))
        self.assertEqual(whole, play(bytes([byte]) for byte in wire))

    @given(st.lists(st.binary(max_size=60), max_size=5))
    @settings(max_examples=200, deadline=None)
    def test_nonsense(self, pieces: list[bytes]) -> None:
        """
        No bytes raise, and none keep a connection open for ever.
        """
        self.assertNotEqual("open", outcome(Line().feed(*pieces)).end)

    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    (
                        *(b"GET / HTTP/1.1\r\n", HOST, b"\r\n", b"\r", b"\n", b"0"),
                        *(b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"),
                        *(b"Connection: upgrade\r\nUpgrade: x\r\n", b"5\r\nabcde\r\n"),
                        *(b"Expect: 100-continue\r\n", b"PRI * HTTP/2.0\r\n\r\n"),
                        *(
                            b"POST / HTTP/1.0\r\n",
                            b"Connection: close\r\n",
                            b"X: y\r\n",
                        ),
                    )
                ),
            ),
            max_size=12,
        ),
        OFFSETS,
    )
    @settings(max_examples=300, deadline=None)
    def test_scraps(self, scraps: list[bytes], offsets: list[int]) -> None:
        """
        Parts of requests in any order mean the same in whatever pieces, raise
        nothing, and keep no connection.
        """
        wire = b"".join(scraps)
        whole = outcome(Line().feed(wire))
        self.assertEqual(whole, outcome(Line().feed(*cut(wire, offsets))))
        self.assertNotEqual("open", whole.end)
