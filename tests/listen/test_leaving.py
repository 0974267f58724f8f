"""
How a connection ends: by its client, by its answers, by its port.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.door import Door
from appgw.refusal import Refusal
from tests.listen.line import Line, Root, chunked, get, ok, post


class EndTests(SynchronousTestCase):
    """
    How a connection ends.
    """

    def test_client_leaves(self) -> None:
        """
        Whoever works for a client that goes is told, once.
        """
        for data in (get(), post(b"abc")[:-1]):
            line = Line(answers=False).feed(data)
            line.lose()
            self.assertEqual([Refusal.CLIENT_CLOSED], line.visits[0].lost)
            self.assertEqual(set(), line.door.channels)
            line.visits[0].answer()

    def test_client_leaves_after_its_answer(self) -> None:
        """
        Nobody is told when nothing is under way.
        """
        line = Line().feed(get(), b"GET / HT")
        line.lose()
        self.assertEqual([], line.visits[0].lost)

    def test_waiting_requests_are_forgotten(self) -> None:
        """
        Requests that waited for their turn are gone with the client.
        """
        line = Line(answers=False).feed(get(b"/1") + get(b"/2"))
        line.lose()
        line.visits[0].answer()
        self.assertEqual(1, len(line.visits))

    def test_half_close(self) -> None:
        """
        A client that sends no more gets what it has asked for, then the end.
        """
        for behind in (b"", b"GET /3"):
            line = Line(answers=False).feed(get(b"/1") + get(b"/2") + behind)
            line.channel.readConnectionLost()
            line.visits[0].answer()
            line.visits[1].answer()
            self.assertEqual([200, 200], line.played().statuses)
            self.assertEqual(not behind, b"Connection: close" in line.written)
            self.assertEqual("closed", line.transport.end)

    def test_half_close_between_requests(self) -> None:
        """
        Where nothing was asked, or not to its end, the connection ends.
        """
        for data in (b"", get(), get() + b"GET / HT", b"GET / HTTP/1.1\r\nHos"):
            line = Line().feed(data)
            line.channel.readConnectionLost()
            self.assertEqual("closed", line.transport.end)

    def test_half_close_within_a_body(self) -> None:
        """
        A body that will never end is never passed on as whole.
        """
        for data in (post(b"abc")[:-1], chunked(b"3\r\nabc\r\n0\r\n")):
            line = Line(answers=False).feed(data)
            line.channel.readConnectionLost()
            self.assertEqual([Refusal.CLIENT_CLOSED], line.visits[0].lost)
            self.assertFalse(line.visits[0].request.complete)
            self.assertEqual(("closed", b""), (line.transport.end, line.written))

    def test_half_close_within_a_body_and_an_answer(self) -> None:
        """
        Nor is the answer that has begun ended as if it were whole.
        """
        line = Line(answers=False).feed(post(b"abc")[:-1])
        line.visits[0].request.respond(ok(None), b"abc", False)
        line.channel.readConnectionLost()
        self.assertEqual("aborted", line.transport.end)

    def test_half_close_before_a_body_has_its_turn(self) -> None:
        """
        The same holds for a request that had to wait.
        """
        line = Line(answers=False).feed(get(b"/1") + post(b"abc")[:-1])
        line.channel.readConnectionLost()
        line.visits[0].answer()
        self.assertEqual([Refusal.CLIENT_CLOSED], line.visits[1].lost)
        self.assertEqual("closed", line.transport.end)

    def test_abort(self) -> None:
        """
        An aborted answer takes the connection with it, and tells nobody.
        """
        line = Line(answers=False).feed(get())
        request = line.visits[0].request
        request.respond(ok(None), b"abc", False)
        request.abort()
        line.lose()
        self.assertEqual("aborted", line.transport.end)
        self.assertEqual([], line.visits[0].lost)
        self.assertFalse(line.written.endswith(b"0\r\n\r\n"))

    def test_more_than_was_to_come(self) -> None:
        """
        A client that sends on after its last request is not reset at once.
        """
        last = get(b"/", b"Connection: close")
        for pieces in ([last, get()], [last + get()]):
            line = Line(answers=False).feed(*pieces)
            line.visits[0].answer()
            self.assertEqual("lingering", line.transport.end)
        self.assertEqual("lingering", Line().feed(last + get()).transport.end)
        self.assertEqual("closed", Line().feed(last).transport.end)


class DrainTests(SynchronousTestCase):
    """
    Ports that let their clients go.
    """

    def drained(self, line: Line) -> Line:
        """
        Begin to drain.
        """
        line.door.begin_draining()
        return line

    def test_under_way(self) -> None:
        """
        The request under way is answered, and told to be the last.
        """
        line = self.drained(Line(answers=False).feed(get()))
        line.wait(5)
        line.visits[0].answer()
        self.assertIn(b"Connection: close", line.written)
        self.assertEqual("lingering", line.transport.end)

    def test_answer_under_way(self) -> None:
        """
        Nothing comes after an answer whose head went out before.
        """
        line = Line(answers=False).feed(get() + get())
        line.visits[0].request.respond(ok(None), b"abc", False)
        self.drained(line)
        line.visits[0].request.finish()
        self.assertEqual(("lingering", 1), (line.transport.end, len(line.visits)))

    def test_idle(self) -> None:
        """
        A client that asks nothing goes after a moment, and not before.
        """
        line = self.drained(Line().feed(get()))
        line.channel.sweep(line.clock.seconds())
        self.assertEqual("open", line.transport.end)
        line.clock.advance(1)
        line.door.sweep(line.clock.seconds())
        self.assertEqual("closed", line.transport.end)

    def test_on_its_way(self) -> None:
        """
        A request whose head had begun to come is still served.
        """
        line = self.drained(Line().feed(get()[:10]))
        line.clock.advance(5)
        line.door.sweep(line.clock.seconds())
        line.feed(get()[10:])
        self.assertEqual([200], line.played().statuses)
        self.assertEqual("lingering", line.transport.end)

    def test_move(self) -> None:
        """
        A client can be given to another port's root.
        """
        line = Line().feed(get(b"/1"))
        other = Root()
        door = Door(other, 80, "http", line.clock.seconds)
        line.channel.move(door)
        line.feed(get(b"/2"))
        self.assertEqual([b"/2"], [visit.seen.path for visit in other.visits])
        self.assertEqual((0, 1), (len(line.door.channels), len(door.channels)))
