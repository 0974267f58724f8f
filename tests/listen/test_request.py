"""
How an answer is written: its framing (RFC 9112, 6) and its fields.
"""

from __future__ import annotations

import datetime
from email.utils import parsedate_to_datetime

from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.request import Request, Today, trailer_allowed
from appgw.message import ResponseHead
from appgw.refusal import Refusal
from tests.listen.line import Line, get, ok, post

OLD = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
HEAD = get(method=b"HEAD")


class AnswerTestCase(SynchronousTestCase):
    def asked(self, data: bytes = get()) -> tuple[Line, Request]:
        """
        Return a connection with one request, which is not answered.
        """
        line = Line(answers=False).feed(data)
        return line, line.visits[0].request


class FramingTests(AnswerTestCase):
    """
    How the client knows where the answer ends.
    """

    def test_length(self) -> None:
        """
        A known length is told, and the connection kept.
        """
        line, request = self.asked()
        request.respond(ok(5, 200, (b"X", b"y")), b"hello", True)
        self.assertEqual(
            b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello", line.written
        )
        self.assertEqual(
            (len(line.written), "open"), (request.sent, line.transport.end)
        )

    def test_length_in_pieces(self) -> None:
        """
        The pieces of such an answer follow as they are.
        """
        line, request = self.asked()
        request.respond(ok(5), b"he", False)
        request.write(b"llo")
        request.finish([(b"X", b"y")])
        self.assertTrue(line.written.endswith(b"\r\n\r\nhello"))
        line.feed(get())
        self.assertEqual(2, len(line.visits))

    def test_chunked(self) -> None:
        """
        An unknown length is chunked for HTTP/1.1.
        """
        line, request = self.asked()
        request.respond(ok(None), b"", False)
        request.write(b"a" * 26)
        request.finish()
        self.assertEqual(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1a\r\n%b\r\n0\r\n\r\n" % (b"a" * 26),
            line.written,
        )
        self.assertEqual("open", line.transport.end)

    def test_chunked_at_once(self) -> None:
        """
        The same holds for an answer that is whole with its head.
        """
        for body, wire in ((b"abc", b"3\r\nabc\r\n0\r\n\r\n"), (b"", b"0\r\n\r\n")):
            line, request = self.asked()
            request.respond(ok(None), body, True)
            self.assertTrue(line.written.endswith(b"chunked\r\n\r\n" + wire))

    def test_trailers(self) -> None:
        """
        Trailers follow the last chunk.
        """
        line, request = self.asked()
        request.respond(ok(None), b"abc", False)
        request.finish([(b"X-Sum", b"1"), (b"X-Sum", b"2")])
        self.assertTrue(
            line.written.endswith(b"abc\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n")
        )

    def test_old_client(self) -> None:
        """
        HTTP/1.0 sees the end of the connection, kept or not, and no chunks.
        """
        for data in (OLD, OLD_KEPT):
            line, request = self.asked(data)
            request.respond(ok(None), b"abc", False)
            request.write(b"def")
            request.finish([(b"X", b"y")])
            self.assertEqual(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdef", line.written
            )
            self.assertNotEqual("open", line.transport.end)

    def test_old_client_with_length(self) -> None:
        """
        With a length, HTTP/1.0 keeps the connection where it asked for that.
        """
        for data, said, end in (
            (OLD, b"close", "closed"),
            (OLD_KEPT, b"keep-alive", "open"),
        ):
            line, request = self.asked(data)
            request.respond(ok(3), b"abc", True)
            self.assertIn(b"\r\nConnection: %b\r\n" % said, line.written)
            self.assertEqual(end, line.transport.end)

    def test_without_a_body(self) -> None:
        """
        Answers to HEAD, and 204 and 304 to all, have none whatever is written.
        """
        for data, status, length, framing in (
            (HEAD, 200, 5, b"Content-Length: 5\r\n"),
            (HEAD, 200, None, b""),
            (HEAD, 204, 5, b""),
            (get(), 204, None, b""),
            (get(), 204, 5, b""),
            (get(), 304, 5, b"Content-Length: 5\r\n"),
            (get(), 304, None, b""),
        ):
            for at_once in (True, False):
                line, request = self.asked(data)
                request.respond(ok(length, status), b"hello", at_once)
                if not at_once:
                    request.write(b"hello")
                    request.finish([(b"X", b"y")])
                expected = b"HTTP/1.1 %d OK\r\n%b\r\n" % (status, framing)
                self.assertEqual(expected, line.written)
                self.assertEqual("open", line.transport.end)

    def test_old_client_without_a_body(self) -> None:
        """
        Where there is no body, HTTP/1.0 needs no end of the connection.
        """
        line, request = self.asked(OLD_KEPT.replace(b"GET", b"HEAD"))
        request.respond(ok(None), b"", True)
        self.assertEqual("open", line.transport.end)

    def test_fields_stay_apart(self) -> None:
        """
        Repeated fields are written as they are, in their order.
        """
        line, request = self.asked()
        cookies = ((b"Set-Cookie", b"a=b"), (b"set-cookie", b"c=d"))
        request.respond(ok(0, 200, *cookies), b"", True)
        self.assertIn(b"\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n", line.written)


class InterimTests(AnswerTestCase):
    """
    RFC 9110, 15.2: answers before the answer.
    """

    hints = ResponseHead(103, b"Early Hints", [(b"Link", b"</a>")])

    def test_told(self) -> None:
        """
        They are for HTTP/1.1, without framing, any number of them.
        """
        line, request = self.asked()
        request.inform(self.hints)
        request.inform(self.hints)
        request.respond(ok(0), b"", True)
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        self.assertTrue(line.written.startswith(interim * 2 + b"HTTP/1.1 200 OK"))

    def test_not_told(self) -> None:
        """
        HTTP/1.0 does not know them.
        """
        line, request = self.asked(OLD)
        request.inform(self.hints)
        self.assertEqual(b"", line.written)


class StreamTests(AnswerTestCase):
    """
    Both directions at once.
    """

    def test_take(self) -> None:
        """
        Each piece of the body is taken once.
        """
        line, request = self.asked(post(b"abcd")[:-4])
        self.assertEqual(b"", request.take())
        request._reader = None
        line.feed(b"a", b"bc")
        self.assertEqual((b"abc", b""), (request.take(), request.take()))
        line.feed(b"d")
        self.assertEqual(
            (b"d", 4, True), (request.take(), request.received, request.complete)
        )

    def test_nothing_is_kept_of_a_body_too_large(self) -> None:
        """
        What goes beyond the limit is not held in memory.
        """
        line = Line(answers=False, limit=4)
        line.feed(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        request = line.visits[0].request
        request._reader = None
        line.feed(b"4\r\nabcd\r\n", b"4\r\nefgh\r\n")
        self.assertEqual(
            (b"abcd", Refusal.BODY_TOO_LARGE), (request.take(), request.broken)
        )

    def test_producer(self) -> None:
        """
        A client that takes nothing pauses the producer, and resumes it.
        """
        line, request = self.asked()
        line.transport.slow = True
        told: list[str] = []

        class Producer:
            pauseProducing = staticmethod(lambda: told.append("pause"))
            resumeProducing = staticmethod(lambda: told.append("resume"))

        request.respond(ok(None), b"", False)
        request.registerProducer(Producer(), True)
        request.write(b"a" * 100000)
        self.assertEqual(["pause"], told)
        line.transport.drain()
        self.assertEqual(["pause", "resume"], told)
        request.unregisterProducer()
        request.finish()
        self.assertIsNone(line.transport.producer)

    def test_after_the_end(self) -> None:
        """
        Who answers a client that is gone does no harm.
        """
        line, request = self.asked()
        line.lose()
        request.respond(ok(0), b"", True)
        request.abort()
        self.assertEqual(0, len(line.door.channels))


class TrailerTests(SynchronousTestCase):
    """
    RFC 9110, 6.5.1: what may stand behind a body.
    """

    def test_allowed(self) -> None:
        """
        Fields about the content may.
        """
        for name in (
            b"X-Checksum",
            b"Digest",
            b"Server-Timing",
            b"grpc-status",
            b"ETag",
        ):
            self.assertTrue(trailer_allowed(name), name)

    def test_not_allowed(self) -> None:
        """
        Fields about framing, routing, identity or control may not.
        """
        for name in (
            *(b"Content-Length", b"TRANSFER-ENCODING", b"Host", b"Authorization"),
            *(b"X-Forwarded-For", b"x-forwarded-anything", b"Forwarded", b"Via"),
            *(b"X-Original-Host", b"X-AppGW-Trace-Id", b"X-Real-IP", b"X-Client-IP"),
            *(b"Connection", b"Trailer", b"TE", b"Set-Cookie", b"Cookie", b"Proxy"),
            *(b"Content-Type", b"Content-Encoding", b"Max-Forwards", b"Expect"),
            *(b"x_forwarded_for", b"X.Y", b"Proxy-Authorization", b"Upgrade"),
        ):
            self.assertFalse(trailer_allowed(name), name)


class TodayTests(SynchronousTestCase):
    """
    RFC 9110, 6.6.1: the Date.
    """

    def test_date(self) -> None:
        """
        It is the time of the answer, and made anew with each second.
        """
        moment = datetime.datetime(2026, 11, 23, 9, 5, 7, tzinfo=datetime.UTC)
        today = Today()
        text = today.at(moment.timestamp() + 0.9)
        self.assertEqual(b"Mon, 23 Nov 2026 09:05:07 GMT", text)
        self.assertIs(text, today.at(moment.timestamp()))
        later = parsedate_to_datetime(today.at(moment.timestamp() + 1).decode())
        self.assertEqual(moment + datetime.timedelta(seconds=1), later)
