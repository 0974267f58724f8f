"""
Which bytes are a request, and which end the connection: framing (RFC 9112).
"""

from __future__ import annotations

from appgw.refusal import Refusal
from tests.listen.line import LineTestCase, chunked, get, post

UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
HIDDEN = b"GET /admin HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def head(*lines: bytes) -> bytes:
    """
    Return a GET whose field lines are these.
    """
    return b"\r\n".join((b"GET / HTTP/1.1", *lines, b"", b""))


class PersistenceTests(LineTestCase):
    """
    RFC 9112, 9.3: what keeps a connection, and what ends it.
    """

    def test_kept(self) -> None:
        """
        HTTP/1.1 keeps it unless told otherwise, HTTP/1.0 only when asked.
        """
        for data in (
            get(),
            get(b"/", b"Connection: keep-alive"),
            get(b"/", b"Connection: x-close"),
            b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        ):
            played = self.played(data + get(b"/2"))
            self.assertEqual([200, 200], played.statuses)
            self.assertEqual("open", played.end)

    def test_keep_alive_is_said(self) -> None:
        """
        HTTP/1.0 is told that the connection is kept.
        """
        played = self.played(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertIn(b"\r\nConnection: keep-alive\r\n", played.written)

    def test_closed(self) -> None:
        """
        Nothing behind the last request is taken for one, and the client is told.
        """
        for data in (
            get(b"/", b"Connection: close"),
            get(b"/", b"Connection: keep-alive, Close"),
            get(b"/", b"Connection: foo", b"Connection: close"),
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.0\r\nConnection: keep-alive, Close\r\n\r\n",
            b"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
            post(b"abc", b"Connection: close"),
            chunked(b"3\r\nabc\r\n0\r\n\r\n", b"Connection: close"),
            chunked(b"0\r\nConnection: close\r\n\r\n"),
        ):
            for behind in (b"", HIDDEN, b"\x16\x03junk"):
                played = self.played(data + behind)
                self.assertEqual([200], played.statuses, data)
                self.assertEqual("ended", played.end)
                self.assertIn(b"\r\nConnection: close\r\n", played.written)

    def test_pipeline(self) -> None:
        """
        Requests with bodies of every kind are answered in their order.
        """
        played = self.played(
            post(b"one", path=b"/1")
            + get(b"/2")
            + chunked(b"5\r\nthree\r\n0\r\n\r\n", path=b"/3")
            + b"\r\n"
            + get(b"/4", method=b"HEAD")
            + post(b"", path=b"/5")
        )
        self.assertEqual([b"one", b"", b"three", b"", b""], played.bodies)
        self.assertEqual(
            [b"/1", b"/2", b"/3", b"/4", b"/5"], [one.path for one in played.seen]
        )
        self.assertEqual([200] * 5, played.statuses)

    def test_bodies_on_other_methods(self) -> None:
        """
        A body is a body whatever the method, and never the next request.
        """
        for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"):
            length = b"Content-Length: %d" % len(HIDDEN)
            played = self.played(get(b"/", length, method=method) + HIDDEN + get(b"/2"))
            self.assertEqual([HIDDEN, b""], played.bodies)

    def test_empty_lines(self) -> None:
        """
        Empty lines before a request are passed over.
        """
        played = self.played(b"\r\n" + get() + b"\r\n\r\n\r\n" + get(b"/2"))
        self.assertEqual([200, 200], played.statuses)
        self.assertEqual("open", self.played(b"\r\n\r\n").end)


class SmugglingTests(LineTestCase):
    """
    Heads that two readers would read differently.
    """

    def test_framing_fields(self) -> None:
        """
        Content-Length and Transfer-Encoding are simple, or refused.
        """
        codings = Refusal.UNKNOWN_CODING
        for lines, refusal in (
            ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), None),
            ((b"Transfer-Encoding: chunked", b"Content-Length: 5"), None),
            ((b"Content-Length: 5", b"Content-Length: 6"), None),
            ((b"Content-Length: 5", b"Content-Length: 5"), None),
            *(
                ((b"Content-Length: " + value,), None)
                for value in (b"+5", b"-5", b"5_0", b"0x5", b"5e0", b"", b"5,5", b"5 5")
            ),
            ((b"Content-Length: " + b"9" * 30,), None),
            ((b"Content-Length: " + b"0" * 30,), None),
            ((b"Content-Length: \xd9\xa5",), None),
            ((b"Transfer-Encoding: gzip, chunked",), codings),
            ((b"Transfer-Encoding: ,chunked",), codings),
            ((b"Transfer-Encoding: identity",), codings),
            ((b"Transfer-Encoding: xchunked",), codings),
            ((b"Transfer-Encoding: chunked;q=1",), codings),
            ((b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), codings),
            ((b"Transfer-Encoding: chunked, gzip",), Refusal.MALFORMED),
            ((b"Transfer-Encoding: chunked,",), Refusal.MALFORMED),
            ((b"Transfer-Encoding: chunked, chunked",), Refusal.MALFORMED),
            ((b"Transfer-Encoding: ",), Refusal.MALFORMED),
            ((b"Transfer-Encoding: chunked",) * 2, Refusal.MALFORMED),
        ):
            data = get(b"/", *lines, method=b"POST") + b"0\r\n\r\n" + HIDDEN
            self.refused(data, refusal or Refusal.BAD_CONTENT_LENGTH)

    def test_coding_before_its_time(self) -> None:
        """
        A coding on HTTP/1.0 ends the connection, with and without keep-alive.
        """
        for more in (b"", b"Connection: keep-alive\r\n"):
            data = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n%b\r\n" % more
            self.refused(data + b"0\r\n\r\n" + HIDDEN, Refusal.MALFORMED)

    def test_lines(self) -> None:
        """
        Line ends are CRLF, names touch their colon, values have no controls.
        """
        for data in (
            b"GET / HTTP/1.1\nHost: a\n\n",
            head(b"Host: a\nX: y"),
            head(b"Host: a\rX: y"),
            head(b"Host: a", b"X: a\x00b"),
            head(b"Host: a", b"X: a\x7fb"),
            head(b"Host: a", b"X: a\x01b"),
            head(b"Host: a", b"X: a", b" b"),
            head(b"Host: a", b"\tb"),
            head(b" Host: a"),
            head(b"Host : a"),
            head(b"Host: a", b": a"),
            head(b"Host: a", b"no colon"),
            head(b"Host: a", b"Transfer-Encoding: ", b" chunked"),
            head(b"Host: a", b"Transfer-Encoding : chunked"),
            head(b"Host: a", b"Transfer-Encoding\t: chunked"),
            b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\rX",
        ):
            self.refused(data, Refusal.MALFORMED)
        self.refused(head(b"Host: a", b"Content-Length : 5"), Refusal.MALFORMED)

    def test_values_as_they_are(self) -> None:
        """
        Other bytes and inner spaces stay, the space around a value goes.
        """
        played = self.played(head(b"Host: a", b"X: \t a\t\xff  b \t", b"Y:", b"Z: "))
        self.assertEqual(
            ((b"Host", b"a"), (b"X", b"a\t\xff  b"), (b"Y", b""), (b"Z", b"")),
            played.seen[0].fields,
        )

    def test_request_line(self) -> None:
        """
        The request line has two spaces, and a method that is known.
        """
        malformed, method = Refusal.MALFORMED, Refusal.UNKNOWN_METHOD
        for line, refusal in (
            (b"GET  / HTTP/1.1", malformed),
            (b"GET /  HTTP/1.1", malformed),
            (b"GET / HTTP/1.1 ", malformed),
            (b"GET\t/ HTTP/1.1", method),
            (b"get / HTTP/1.1", method),
            (b"BREW / HTTP/1.1", method),
            (b"DESCRIBE / HTTP/1.1", method),
            (b"A" * 100000, method),
            (b"\x16\x03\x01\x02\x00", method),
            (b"CONNECT a:443 HTTP/1.1", method),
            (b"CONNECT / HTTP/1.1", method),
            (b"GET /\x80 HTTP/1.1", Refusal.BAD_TARGET),
            (b"GET /a\x00 HTTP/1.1", Refusal.BAD_TARGET),
            (b"GET /a\tb HTTP/1.1", Refusal.BAD_TARGET),
            (b"GET /a#b HTTP/1.1", Refusal.BAD_TARGET),
            (b"GET a HTTP/1.1", Refusal.BAD_TARGET),
            (b"GET * HTTP/1.1", Refusal.BAD_TARGET),
        ):
            self.refused(line + b"\r\nHost: a\r\n\r\n" + HIDDEN, refusal)

    def test_versions(self) -> None:
        """
        No other version is served, nor another protocol's.
        """
        for line in (
            *(b"GET /", b"GET / HTTP/0.9", b"GET / HTTP/1.2", b"GET / HTTP/2.0"),
            *(b"GET / HTTP/9.9", b"GET / http/1.1", b"GET / RTSP/1.0", b"GET / HTTP/2"),
            *(b"SOURCE / ICE/1.0", b"PRI * HTTP/1.1", b"GET / HTTP/01.1"),
        ):
            self.refused(line + b"\r\nHost: a\r\n\r\n", Refusal.UNKNOWN_VERSION)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        self.refused(preface + b"\x00" * 9, Refusal.UNKNOWN_VERSION)

    def test_trace(self) -> None:
        """
        TRACE is a request like others: the routing refuses it.
        """
        self.assertEqual(b"TRACE", self.played(get(method=b"TRACE")).seen[0].method)

    def test_host(self) -> None:
        """
        HTTP/1.1 has one Host.
        """
        self.refused(head(), Refusal.NO_HOST)
        self.refused(head(b"Host: a", b"Host: a"), Refusal.BAD_HOST)
        self.refused(head(b"Host: a", b"hosT: b"), Refusal.BAD_HOST)

    def test_expectation(self) -> None:
        """
        An unknown expectation is refused, its body is not waited for.
        """
        data = get(b"/", b"Expect: magic", b"Content-Length: 9", method=b"POST")
        self.refused(data, Refusal.UNKNOWN_EXPECTATION)


class ChunkedTests(LineTestCase):
    """
    RFC 9112, 7.1: bodies whose end tells.
    """

    def test_bodies(self) -> None:
        """
        Chunks make one body; extensions mean nothing here.
        """
        for wire, body in (
            (b"0\r\n\r\n", b""),
            (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
            (
                b'3;a=b;c="\\"d"\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n',
                b"abc0123456789",
            ),
            (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
            (b"2b\r\n" + HIDDEN + b"\r\n0\r\n\r\n", HIDDEN),
        ):
            self.assertEqual([body, b""], self.played(chunked(wire) + get()).bodies)

    def test_malformed(self) -> None:
        """
        Whatever else is there in place of a chunk ends the connection.
        """
        for wire in (
            *(b"0x5\r\nABCDE\r\n", b"+5\r\nABCDE\r\n", b"5_0\r\nA", b" 5\r\nABCDE\r\n"),
            *(b"5 \r\nABCDE\r\n", b"\r\nABC", b"G\r\n", b"0" * 17 + b"\r\n\r\n"),
            *(b"1" + b"0" * 16 + b"\r\nA", b"5\nABCDE\r\n", b"5\r\nABCDEX\r\n"),
            *(b"5\r\nABCDE\n0\r\n\r\n", b"5;\r\nABCDE\r\n", b"5;a=\n\r\nABCDE\r\n"),
            *(
                b'5;a="x\r\n5\r\nABCDE\r\n',
                b"5;a=\x80\r\nABCDE\r\n",
                b"3\r\nab\r\n0\r\n",
            ),
            *(b"0\r\nX: y\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\n\nX", b"0\r\n\r\r\n"),
        ):
            self.refused(chunked(wire) + HIDDEN, Refusal.MALFORMED)

    def test_trailers(self) -> None:
        """
        Trailers are kept but for those that must stand before the body.
        """
        played = self.played(
            chunked(
                b"0\r\nX-Sum: 1 \r\nAuthorization: x\r\nHost: x\r\n"
                b"X-Forwarded-For: x\r\nx_sum: 2\r\nX-Sum: 3\r\nCookie: x\r\n\r\n"
            )
            + get(b"/2")
        )
        self.assertEqual(((b"X-Sum", b"1"), (b"X-Sum", b"3")), played.seen[0].trailers)
        self.assertNotIn(b"X-Sum", dict(played.seen[0].fields))
        self.assertEqual(2, len(played.seen))

    def test_framing_in_trailers(self) -> None:
        """
        A trailer about framing ends the connection.
        """
        for line, refusal in (
            (b"Content-Length: 5", Refusal.BAD_CONTENT_LENGTH),
            (b"Transfer-Encoding: chunked", Refusal.MALFORMED),
        ):
            self.refused(chunked(b"0\r\n" + line + b"\r\n\r\n") + HIDDEN, refusal)

    def test_upgrade_in_trailers(self) -> None:
        """
        A trailer cannot ask for another protocol.
        """
        wire = b"0\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
        played = self.played(chunked(wire, b"Upgrade: h2c") + get(b"/2"))
        self.assertEqual([b"/", b"/2"], [one.path for one in played.seen])


class UpgradeTests(LineTestCase):
    """
    Where no tunnel comes of it, a request to upgrade is a request.
    """

    def test_without_a_body(self) -> None:
        """
        What follows is the next request.
        """
        played = self.played(get(b"/1", *UPGRADE) + get(b"/2", *UPGRADE) + get(b"/3"))
        self.assertEqual([b"/1", b"/2", b"/3"], [one.path for one in played.seen])
        self.assertEqual("open", played.end)

    def test_with_a_body(self) -> None:
        """
        The body is a body, also where a request is hidden in it.
        """
        for upgrade in (
            UPGRADE,
            (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
        ):
            for data in (
                post(HIDDEN, *upgrade),
                chunked(b"2b\r\n" + HIDDEN + b"\r\n0\r\n\r\n", *upgrade),
            ):
                played = self.played(data + data + get(b"/2"))
                self.assertEqual([HIDDEN, HIDDEN, b""], played.bodies)
                self.assertEqual("open", played.end)

    def test_empty_body(self) -> None:
        """
        A body of no bytes is none.
        """
        played = self.played(post(b"", *UPGRADE) + get(b"/2"))
        self.assertEqual([200, 200], played.statuses)

    def test_trailers(self) -> None:
        """
        Trailers behind such a body are trailers.
        """
        played = self.played(chunked(b"0\r\nX: y\r\n\r\n", *UPGRADE) + get(b"/2"))
        self.assertEqual(((b"X", b"y"),), played.seen[0].trailers)

    def test_last_request(self) -> None:
        """
        With close, nothing follows.
        """
        for data in (get(b"/", UPGRADE[1], b"Connection: upgrade, close"),):
            played = self.played(data + HIDDEN)
            self.assertEqual(([200], "ended"), (played.statuses, played.end))
        data = post(HIDDEN, UPGRADE[1], b"Connection: upgrade, close")
        self.assertEqual([HIDDEN], self.played(data + HIDDEN).bodies)

    def test_old_version(self) -> None:
        """
        HTTP/1.0 with a body and an upgrade is read to the end of the body.
        """
        data = b"POST / HTTP/1.0\r\nContent-Length: %d\r\n%b\r\n%b\r\n\r\n%b" % (
            len(HIDDEN),
            *UPGRADE,
            HIDDEN,
        )
        played = self.played(data + HIDDEN)
        self.assertEqual(([HIDDEN], "ended"), (played.bodies, played.end))

    def test_malformed_body(self) -> None:
        """
        Such a body is judged as any other.
        """
        self.refused(chunked(b"G\r\n", *UPGRADE), Refusal.MALFORMED)
