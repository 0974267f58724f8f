"""
The order of requests and answers on one connection, and how it ends.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.http1 import MAX_TURN, MAX_UNSENT
from appgw.refusal import Refusal
from tests.listen.line import (
    Line,
    LineTestCase,
    Root,
    Seen,
    chunked,
    each,
    get,
    ok,
    post,
)


class OrderTests(SynchronousTestCase):
    """
    One request at a time (RFC 9112, 9.3.2).
    """

    def test_one_after_the_other(self) -> None:
        """
        A request is looked at when the answer before it is written.
        """
        line = Line(answers=False).feed(get(b"/1") + get(b"/2") + b"nonsense\r\n\r\n")
        self.assertEqual([b"/1"], [visit.seen.path for visit in line.visits])
        line.visits[0].answer()
        self.assertEqual([b"/1", b"/2"], [visit.seen.path for visit in line.visits])
        line.visits[1].answer()
        self.assertEqual([200, 200, 501], line.played().statuses)

    def test_bad_head_amid_an_exception(self) -> None:
        """
        A bad head is refused though the answer before it is written by somebody
        who sees to an exception.
        """
        line = Line(answers=False).feed(get(b"/1") + b"GET / HTTP/1.1\r\n\r\n")
        try:
            int("")
        except ValueError:
            line.visits[0].answer()
        self.assertIs(Refusal.NO_HOST, line.visits[1].seen.refusal)

    def test_reading_stops(self) -> None:
        """
        While a request waits for its turn nothing more is read.
        """
        line = Line(answers=False).feed(get(b"/1"))
        self.assertTrue(line.transport.reads)
        line.feed(get(b"/2"))
        self.assertFalse(line.transport.reads)
        line.feed(get(b"/3"))
        line.visits[0].answer()
        self.assertFalse(line.transport.reads)
        line.visits[1].answer()
        self.assertTrue(line.transport.reads)
        line.visits[2].answer()
        self.assertEqual([200, 200, 200], line.played().statuses)

    def test_body_behind_a_request(self) -> None:
        """
        A body of which a part waits for its turn arrives whole.
        """
        data = get(b"/1") + post(b"a" * 100, path=b"/2")
        line = Line(answers=False).feed(data[:-50], data[-50:])
        line.visits[0].answer()
        line.visits[1].answer()
        self.assertEqual([b"", b"a" * 100], line.played().bodies)

    def test_answer_within_the_walk(self) -> None:
        """
        Requests that are answered at once do not pile up calls or turns.
        """
        line = Line()
        line.channel.dataReceived(get() * (MAX_TURN * 3 + 1))
        self.assertEqual(MAX_TURN, len(line.visits))
        line.clock.advance(0)
        self.assertEqual(MAX_TURN * 3 + 1, len(line.visits))
        self.assertTrue(line.transport.reads)

    def test_empty_lines(self) -> None:
        """
        Nor does one who sends nothing but empty lines keep others waiting.
        """
        line = Line()
        line.channel.dataReceived(b"\r\n" * MAX_TURN * 3 + get())
        self.assertFalse(line.transport.reads)
        self.assertEqual(0, len(line.visits))
        line.clock.advance(0)
        self.assertEqual(1, len(line.visits))
        self.assertTrue(line.transport.reads)

    def test_client_that_does_not_read(self) -> None:
        """
        Answers that nobody takes stop the requests, and their being taken lets
        them go on.
        """
        line = Line(answers=False)
        line.transport.slow = True
        line.feed(get(b"/1"))
        line.visits[0].answer(b"a" * MAX_UNSENT)
        line.feed(get(b"/2") + get(b"/3"))
        self.assertEqual(1, len(line.visits))
        self.assertFalse(line.transport.reads)
        line.transport.drain(100)
        self.assertEqual(1, len(line.visits))
        line.transport.drain()
        self.assertEqual(2, len(line.visits))
        line.visits[1].answer()
        line.visits[2].answer()
        self.assertTrue(line.transport.reads)

    def test_client_that_does_not_read_leaves(self) -> None:
        """
        What waits for a client that goes is forgotten with it.
        """
        line = Line(answers=False)
        line.transport.slow = True
        line.feed(get(b"/1"))
        line.visits[0].answer(b"a" * MAX_UNSENT)
        line.feed(get(b"/2"))
        line.lose()
        line.transport.drain()
        self.assertEqual(1, len(line.visits))

    def test_left_at_its_turn(self) -> None:
        """
        A client that leaves before the turn of its next requests has none.
        """
        line = Line()
        line.channel.dataReceived(get() * (MAX_TURN + 1))
        line.lose()
        line.clock.advance(0)
        self.assertEqual(MAX_TURN, len(line.visits))

    def test_bug(self) -> None:
        """
        A resource that raises costs its client the connection, and a log line.
        """

        class Faulty(Root):
            def render(self, request: object) -> int:
                raise KeyError("bug")

        line = Line()
        line.door.root = Faulty()
        line.feed(get() + get())
        self.assertEqual("aborted", line.transport.end)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))


class BodyTests(SynchronousTestCase):
    """
    Bodies on their way.
    """

    def test_streams(self) -> None:
        """
        A request is there before its body, which is passed on as it comes.
        """
        data = post(b"abcdef")
        line = Line(answers=False).feed(data[:-6])
        self.assertEqual(b"", line.visits[0].body)
        line.feed(b"abc")
        self.assertEqual(b"abc", line.visits[0].body)
        self.assertFalse(line.visits[0].request.complete)
        line.feed(b"def")
        self.assertTrue(line.visits[0].request.complete)

    def test_pause(self) -> None:
        """
        Whoever takes the body can stop the reading and let it go on.
        """
        line = Line().feed(post(b"abc")[:-1])
        request = line.visits[0].request
        request.pause()
        request.pause()
        self.assertFalse(line.transport.reads)
        request.resume()
        request.resume()
        self.assertTrue(line.transport.reads)
        line.feed(b"c" + get(b"/2"))
        self.assertEqual([b"abc", b""], line.played().bodies)

    def test_pause_at_the_end(self) -> None:
        """
        A pause that the last of the body overtook ends with the request.
        """
        line = Line(answers=False).feed(post(b"abc")[:-1])
        line.visits[0].request.pause()
        line.feed(b"c")
        line.visits[0].answer()
        self.assertTrue(line.transport.reads)
        line.feed(get(b"/2"))
        self.assertEqual(2, len(line.visits))

    def test_pause_and_answer_at_the_end(self) -> None:
        """
        The same holds where the last of the body brings the answer.
        """
        line = Line().feed(post(b"abc")[:-1])
        line.visits[0].request.pause()
        line.feed(b"c")
        self.assertTrue(line.transport.reads)
        self.assertEqual([200, 200], line.feed(get()).played().statuses)

    def test_different_ends(self) -> None:
        """
        Where llhttp and we do not agree on the end of a body, the connection
        is given up.
        """
        for left in (1, 3):
            line = Line(answers=False).feed(post(b"abc")[:-2])
            line.channel._left = left
            line.feed(b"bc")
            self.assertEqual(Refusal.MALFORMED, line.visits[0].lost[0])
            self.assertEqual([400], line.played().statuses)
            self.assertEqual("lingering", line.transport.end)

    def test_pause_of_a_whole_request(self) -> None:
        """
        Without a body to come there is nothing to pause.
        """
        line = Line(answers=False).feed(get())
        line.visits[0].request.pause()
        self.assertTrue(line.transport.reads)

    def test_malformed_with_its_head(self) -> None:
        """
        A body known to be bad when its head is read bothers nobody.
        """
        line = Line(answers=False).feed(chunked(b"3\r\nabc\r\nX"))
        self.assertEqual(Refusal.MALFORMED, line.visits[0].request.refusal)

    def test_malformed_on_the_way(self) -> None:
        """
        Whoever works on a request is told once that its body went bad.
        """
        line = Line(answers=False).feed(chunked(b"3\r\nabc\r\n"), b"X", b"Y")
        self.assertEqual([Refusal.MALFORMED] * 2, line.visits[0].lost)
        self.assertEqual([400], line.played().statuses)
        self.assertEqual("lingering", line.transport.end)

    def test_malformed_after_the_answer_began(self) -> None:
        """
        An answer that has begun is cut short.
        """
        line = Line(answers=False).feed(chunked(b"3\r\nabc\r\n"))
        line.visits[0].request.respond(ok(None), b"abc", False)
        line.feed(b"X")
        self.assertEqual("aborted", line.transport.end)
        self.assertFalse(line.written.endswith(b"0\r\n\r\n"))

    def test_early_answer(self) -> None:
        """
        An answer before the end of the body ends the connection, and the rest
        of the body is not taken for a request.
        """
        line = Line(answers=False).feed(post(b"abc" + get())[:-40])
        line.visits[0].answer(b"enough")
        self.assertEqual("lingering", line.transport.end)
        self.assertIn(b"\r\nConnection: close\r\n", line.written)
        line.channel.dataReceived(get())
        self.assertEqual(1, len(line.visits))

    def test_early_answer_that_lasts(self) -> None:
        """
        An answer that begins before the end of the body, and ends after it,
        keeps the connection.
        """
        line = Line(answers=False).feed(post(b"abc")[:-1])
        request = line.visits[0].request
        request.respond(ok(None), b"a", False)
        line.feed(b"c" + get(b"/2"))
        request.finish()
        self.assertEqual([b"/", b"/2"], [visit.seen.path for visit in line.visits])


class RefusalTests(LineTestCase):
    """
    What is refused on the way in.
    """

    def test_after_requests(self) -> None:
        """
        Requests before the bad one are answered, none behind it is.
        """
        played = self.played(get(b"/1") + post(b"a") + b"GET / HTTP/3\r\n\r\n" + get())
        self.assertEqual([200, 200, 505], played.statuses)
        self.assertEqual(Seen(Refusal.UNKNOWN_VERSION), played.seen[-1])

    def test_head_request(self) -> None:
        """
        What answers a bad HEAD has no body, as HEAD has none.
        """
        for data in (
            get(b"/", b"Bad", method=b"HEAD"),
            get(b"/\x80", method=b"HEAD"),
            get(b"/", method=b"HEAD").replace(b"1.1", b"1.2"),
            get(b"/", b"Expect: x", method=b"HEAD"),
        ):
            played = self.played(data)
            self.assertEqual(1, len(played.statuses))
            self.assertTrue(played.written.endswith(b"\r\n\r\n"), played.written)

    def test_method_of_the_refused(self) -> None:
        """
        The record of what could not be read names the method that was sent.
        """
        for data, method in (
            (b"PUT /\x80 HTTP/1.1\r\n\r\n", b"PUT"),
            (b"\x00", b""),
            (b"A" * 100 + b" / HTTP/1.1\r\n\r\n", b""),
        ):
            line = Line().feed(*each(data))
            self.assertEqual(method, line.visits[0].request.head.method)
