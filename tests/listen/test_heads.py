"""
What makes a head a head, as a pure decision.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.heads import (
    MAX_FIELDS,
    BadHead,
    read_head,
    too_large,
    upgrade_of,
)
from appgw.message import Headers, RequestHead
from appgw.refusal import Refusal

HOST = (b"Host", b"shop.example")


def read(
    target: bytes = b"/",
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    host: bool = True,
) -> tuple[RequestHead, bool]:
    """
    Read a head as llhttp would hand it over.
    """
    headers = Headers([HOST, *fields] if host else fields)
    line = b"%b %b %b" % (method, target, version)
    return read_head(line, method, target, headers, "https")


class HeadTestCase(SynchronousTestCase):
    def refused(self, refusal: Refusal, *args: object, **more: object) -> None:
        """
        Want this refusal.
        """
        error = self.assertRaises(BadHead, read, *args, **more)
        self.assertIs(refusal, error.refusal, (args, more))


class LineTests(HeadTestCase):
    """
    The request line.
    """

    def test_values(self) -> None:
        """
        Method, target, version and scheme become the head's values.
        """
        head, waits = read(b"/a?b=%zz?", method=b"DELETE")
        self.assertEqual(
            (b"DELETE", b"https", b"shop.example", b"/a", b"b=%zz?", (1, 1), 0),
            (
                head.method,
                head.scheme,
                head.authority,
                head.path,
                head.query,
                head.version,
                head.content_length,
            ),
        )
        self.assertFalse(waits)

    def test_query(self) -> None:
        """
        An empty query is another thing than none.
        """
        self.assertIsNone(read(b"/a")[0].query)
        self.assertEqual(b"", read(b"/a?")[0].query)
        self.assertEqual(b"?", read(b"/a??")[0].query)

    def test_versions(self) -> None:
        """
        HTTP/1.0 and HTTP/1.1 are served, in exactly these letters.
        """
        self.assertEqual((1, 0), read(version=b"HTTP/1.0")[0].version)
        for version in (
            *(b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1"),
            *(b"RTSP/1.0", b"RTSP/1.1", b"ICE/1.0", b"XHTTP/1.1"),
        ):
            self.refused(Refusal.UNKNOWN_VERSION, version=version)

    def test_simple_request(self) -> None:
        """
        The request line of HTTP/0.9, which ends after the target, is refused.
        """
        error = self.assertRaises(
            BadHead, read_head, b"GET /", b"GET", b"/", [HOST], "http"
        )
        self.assertIs(Refusal.UNKNOWN_VERSION, error.refusal)

    def test_spaces(self) -> None:
        """
        One space stands on each side of the target, and no more.
        """
        for line in (
            *(b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET /   HTTP/1.1"),
            *(b" GET / HTTP/1.1", b"\nGET / HTTP/1.1"),
        ):
            error = self.assertRaises(
                BadHead, read_head, line, b"GET", b"/", [HOST], "http"
            )
            self.assertIs(Refusal.MALFORMED, error.refusal, line)


class HostTests(HeadTestCase):
    """
    RFC 9112, 3.2: one Host.
    """

    def test_missing(self) -> None:
        """
        HTTP/1.1 requires it, also beside an absolute target.
        """
        self.refused(Refusal.NO_HOST, host=False)
        self.refused(Refusal.NO_HOST, b"http://shop.example/", host=False)

    def test_not_known_yet(self) -> None:
        """
        HTTP/1.0 does not require it: what is not said is empty.
        """
        head, _ = read(version=b"HTTP/1.0", host=False)
        self.assertEqual(b"", head.authority)

    def test_twice(self) -> None:
        """
        Two are refused, the same or not, in any spelling and version.
        """
        for second in ((b"Host", b"shop.example"), (b"hOST", b"b"), (b"host", b"")):
            self.refused(Refusal.BAD_HOST, b"/", second)
            self.refused(Refusal.BAD_HOST, b"/", second, version=b"HTTP/1.0")
            self.refused(Refusal.BAD_HOST, b"http://a/", second)

    def test_empty(self) -> None:
        """
        An empty one stays empty, for the routing to refuse.
        """
        self.assertEqual(b"", read(b"/", (b"Host", b""), host=False)[0].authority)


class TargetTests(HeadTestCase):
    """
    RFC 9112, 3.2: the forms of the target.
    """

    def test_absolute(self) -> None:
        """
        The authority of an absolute target wins over Host.
        """
        for target, authority, path, query in (
            (b"http://other.example/a?b", b"other.example", b"/a", b"b"),
            (b"HTTPS://other.example:8443/", b"other.example:8443", b"/", None),
            (b"http://other.example", b"other.example", b"/", None),
            (b"http://other.example?b", b"other.example", b"/", b"b"),
            (b"http://other.example?b/c", b"other.example", b"/", b"b/c"),
            (b"http://other.example?", b"other.example", b"/", b""),
            (b"http://[::1]:80//a", b"[::1]:80", b"//a", None),
            (b"http:///a", b"", b"/a", None),
            (b"http://a@b/", b"a@b", b"/", None),
        ):
            head, _ = read(target)
            self.assertEqual(
                (authority, path, query), (head.authority, head.path, head.query)
            )

    def test_absolute_without_host(self) -> None:
        """
        HTTP/1.0 may say the site in the target alone.
        """
        head, _ = read(b"http://a/b", version=b"HTTP/1.0", host=False)
        self.assertEqual((b"a", b"/b"), (head.authority, head.path))

    def test_asterisk(self) -> None:
        """
        The server as a whole can be asked for its options, and for no more.
        """
        self.assertEqual(b"*", read(b"*", method=b"OPTIONS")[0].path)
        head, _ = read(b"http://other.example", method=b"OPTIONS")
        self.assertEqual((b"other.example", b"*"), (head.authority, head.path))
        self.assertEqual(b"/", read(b"http://a/", method=b"OPTIONS")[0].path)
        self.assertEqual(b"/", read(b"http://a?b", method=b"OPTIONS")[0].path)
        self.refused(Refusal.BAD_TARGET, b"*")
        self.refused(Refusal.BAD_TARGET, b"*a", method=b"OPTIONS")
        self.refused(Refusal.BAD_TARGET, b"*?a", method=b"OPTIONS")

    def test_other_forms(self) -> None:
        """
        Everything else is refused, fragments with it.
        """
        for target in (
            *(b"", b"a", b"?a", b"a:443", b"ftp://a/", b"http:/a", b"mailto:a@b"),
            *(b"/a#b", b"/#", b"http://a/#b", b"http://a#b", b"//a#", b"/?a#b"),
        ):
            self.refused(Refusal.BAD_TARGET, target)

    def test_connect(self) -> None:
        """
        CONNECT is not known here, whatever it names.
        """
        for target in (b"a:443", b"/", b"*", b"http://a/"):
            self.refused(Refusal.UNKNOWN_METHOD, target, method=b"CONNECT")


class LengthTests(HeadTestCase):
    """
    RFC 9112, 6.3: how long the body is.
    """

    def length(self, *fields: tuple[bytes, bytes]) -> int | None:
        """
        Read what a head says of its body.
        """
        return read(b"/", *fields)[0].content_length

    def test_lengths(self) -> None:
        """
        Nothing said means no body, chunked means that only its end tells.
        """
        self.assertEqual(0, self.length())
        self.assertEqual(0, self.length((b"Content-Length", b"0")))
        self.assertEqual(5, self.length((b"content-length", b"5")))
        self.assertEqual(5, self.length((b"Content-Length", b"0005")))
        self.assertIsNone(self.length((b"Transfer-Encoding", b"Chunked")))

    def test_odd_lengths(self) -> None:
        """
        Digits alone are a length, and no more than nineteen.
        """
        for value in (
            *(b"", b"+5", b"-5", b"5_0", b"0x5", b"5e0", b"5.0", b"5,5", b"5 5"),
            *("\u0665".encode(), "\uff15".encode(), b"\xb2", b"1" * 20, b"0" * 20),
        ):
            self.refused(Refusal.BAD_CONTENT_LENGTH, b"/", (b"Content-Length", value))
        self.assertEqual(10**19 - 1, self.length((b"Content-Length", b"9" * 19)))

    def test_codings(self) -> None:
        """
        No coding but chunked is known, and that only once.
        """
        for value in (
            *(b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"xchunked"),
            *(b"identity", b"chunked;q=1", b",chunked", b"chunked,", b""),
            b"chunked\x0b",
        ):
            self.refused(Refusal.UNKNOWN_CODING, b"/", (b"Transfer-Encoding", value))
        twice = ((b"Transfer-Encoding", b"chunked"),) * 2
        self.refused(Refusal.UNKNOWN_CODING, b"/", *twice)

    def test_coding_and_length(self) -> None:
        """
        Both at once is how requests are smuggled.
        """
        both = ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5"))
        self.refused(Refusal.MALFORMED, b"/", *both)
        self.refused(Refusal.MALFORMED, b"/", *reversed(both))

    def test_coding_before_its_time(self) -> None:
        """
        HTTP/1.0 knows no codings: whoever sends one is not understood.
        """
        self.refused(
            Refusal.MALFORMED,
            b"/",
            (b"Transfer-Encoding", b"chunked"),
            version=b"HTTP/1.0",
        )


class ExpectTests(HeadTestCase):
    """
    RFC 9110, 10.1.1: one expectation is known.
    """

    def test_continue(self) -> None:
        """
        The client waits, in whatever letters it says so.
        """
        for value in (b"100-continue", b"100-Continue"):
            self.assertTrue(read(b"/", (b"Expect", value))[1])

    def test_other(self) -> None:
        """
        What cannot be met is refused.
        """
        for value in (b"", b"200-ok", b"100-continue, x", b"100-continue;a=b"):
            self.refused(Refusal.UNKNOWN_EXPECTATION, b"/", (b"Expect", value))
        twice = ((b"Expect", b"100-continue"),) * 2
        self.refused(Refusal.UNKNOWN_EXPECTATION, b"/", *twice)

    def test_before_its_time(self) -> None:
        """
        From HTTP/1.0 an expectation is ignored.
        """
        for value in (b"100-continue", b"magic"):
            _, waits = read(b"/", (b"Expect", value), version=b"HTTP/1.0")
            self.assertFalse(waits)


class SizeTests(HeadTestCase):
    """
    Limits that a head alone can tell.
    """

    def test_fields(self) -> None:
        """
        The limit of fields is the last number that passes.
        """
        lines = ((b"X", b"y"),) * (MAX_FIELDS - 1)
        self.assertEqual(MAX_FIELDS, len(read(b"/", *lines)[0].headers))
        self.refused(Refusal.HEAD_TOO_LARGE, b"/", *lines, (b"X", b"y"))

    def test_blame(self) -> None:
        """
        Of a head that is too large, the target is to blame if it is the most.
        """
        self.assertIs(Refusal.TARGET_TOO_LONG, too_large(b"/" * 16385))
        self.assertIs(Refusal.HEAD_TOO_LARGE, too_large(b"/" * 16384))


class UpgradeTests(HeadTestCase):
    """
    What a client would rather speak, as far as it goes on to a backend.
    """

    def wanted(self, *lines: bytes, **more: object) -> bytes:
        """
        Return what is.
        """
        pairs = [tuple(line.split(b": ")) for line in lines]
        head, _ = read(b"/", *pairs, **more)  # type: ignore[arg-type]
        return upgrade_of(head)

    def test_wanted(self) -> None:
        """
        Names and versions go on as they stand, over all lines.
        """
        for upgrade in (b"websocket", b"WebSocket", b"a/1.0, b", b"!#$%&'*+.^_`|~-/x"):
            found = self.wanted(b"Connection: Upgrade", b"Upgrade: " + upgrade)
            self.assertEqual(upgrade, found)
        found = self.wanted(
            *(b"connection: keep-alive", b"Upgrade: a", b"UPGRADE: b/2"),
            b"Connection: x,  uPGRADE ,",
        )
        self.assertEqual(b"a, b/2", found)
        for method, length in ((b"GET", b"X: y"), (b"POST", b"Content-Length: 0")):
            found = self.wanted(
                b"Connection: upgrade", b"Upgrade: a", length, method=method
            )
            self.assertEqual(b"a", found)

    def test_requests_within(self) -> None:
        """
        What would carry requests of its own does not, nor a list that names it.
        """
        for upgrade in (
            *(b"h2c", b"H2C", b"h2", b"h2c/1", b"HTTP/2.0", b"http", b"TLS/1.0"),
            *(b"websocket, h2c", b"tls,websocket"),
        ):
            found = self.wanted(b"Connection: upgrade", b"Upgrade: " + upgrade)
            self.assertEqual(b"", found, upgrade)
        settings = (b"Connection: upgrade, HTTP2-Settings", b"HTTP2-Settings: AAM")
        self.assertEqual(b"", self.wanted(*settings, b"Upgrade: websocket"))

    def test_not_a_protocol(self) -> None:
        """
        What is no list of protocols is none.
        """
        for upgrade in (b"", b",", b"a b", b"a;b", b"/1", b"a/", b"a/1/2", b"a\xe9"):
            found = self.wanted(b"Connection: upgrade", b"Upgrade: " + upgrade)
            self.assertEqual(b"", found, upgrade)

    def test_not_for_this_request(self) -> None:
        """
        A body, an end, an old version, or Connection that does not name it.
        """
        upgrade = (b"Connection: upgrade", b"Upgrade: a")
        self.assertEqual(b"a", self.wanted(*upgrade))
        self.assertEqual(b"", self.wanted(*upgrade, b"Content-Length: 1"))
        self.assertEqual(b"", self.wanted(*upgrade, b"Transfer-Encoding: chunked"))
        self.assertEqual(b"", self.wanted(*upgrade, b"Connection: Close"))
        self.assertEqual(b"", self.wanted(*upgrade, version=b"HTTP/1.0"))
        self.assertEqual(b"", self.wanted(b"Upgrade: a"))
        self.assertEqual(b"", self.wanted(b"Connection: upgraded", b"Upgrade: a"))
        self.assertEqual(b"", self.wanted(b"Connection: upgrade"))
