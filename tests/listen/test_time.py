"""
What waits too long on a client's connection, by the door's clock.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.message import ResponseHead
from appgw.refusal import Refusal
from tests.listen.line import Line, get, ok, post


class TimeTestCase(SynchronousTestCase):
    def ends_after(self, line: Line, seconds: float, end: str) -> None:
        """
        Want *line* to be open for so long, and in this way no more after it.
        """
        line.wait(seconds)
        self.assertEqual("open", line.transport.end)
        line.wait(1)
        self.assertEqual(end, line.transport.end)


class HeadTimeTests(TimeTestCase):
    """
    Sixty seconds for a head, in all.
    """

    def test_slow(self) -> None:
        """
        A head that does not end is answered with 408.
        """
        for part in (b"G", b"GET / HTTP/1.1\r\nHos", get()[:-1]):
            line = Line().feed(part)
            self.ends_after(line, 60, "lingering")
            self.assertEqual([408], line.played().statuses)
            self.assertIn(b"\r\nConnection: close\r\n", line.written)

    def test_drip(self) -> None:
        """
        A byte each second does not win time.
        """
        line = Line().feed(b"GET / HTTP/1.1\r\n")
        for _ in range(60):
            line.wait(1).feed(b"X")
        self.assertEqual("open", line.transport.end)
        self.assertEqual([408], line.wait(1).played().statuses)

    def test_each_head_has_its_own(self) -> None:
        """
        The time of a second head begins with its own first byte.
        """
        line = Line().feed(get()[:9]).wait(50).feed(get()[9:])
        line.wait(50).feed(get()[:9])
        self.ends_after(line, 60, "lingering")
        self.assertEqual([200, 408], line.played().statuses)

    def test_behind_an_answer(self) -> None:
        """
        A head that has to wait for its turn is not late.
        """
        line = Line(answers=False).feed(get() + get()[:9]).wait(100)
        line.visits[0].answer()
        line.wait(50).feed(get()[9:])
        line.visits[1].answer()
        self.assertEqual([200, 200], line.played().statuses)

    def test_empty_lines(self) -> None:
        """
        Empty lines begin no head, and do not keep a connection.
        """
        line = Line()
        for _ in range(75):
            line.wait(1).feed(b"\r\n")
        self.assertEqual("closed", line.wait(1).transport.end)
        self.assertEqual(b"", line.written)


class IdleTimeTests(TimeTestCase):
    """
    Seventy-five seconds between requests.
    """

    def test_before_the_first(self) -> None:
        """
        Who says nothing is let go without a word.
        """
        line = Line()
        self.ends_after(line, 75, "closed")
        self.assertEqual(b"", line.written)

    def test_between(self) -> None:
        """
        Each answer begins the time anew.
        """
        line = Line()
        for _ in range(3):
            line.wait(70).feed(get())
        self.ends_after(line, 75, "closed")
        self.assertEqual([200] * 3, line.played().statuses)

    def test_not_while_waiting(self) -> None:
        """
        Who waits for an answer is not idle.
        """
        line = Line(answers=False).feed(get()).wait(1000)
        line.visits[0].answer()
        self.ends_after(line, 75, "closed")


class BodyTimeTests(TimeTestCase):
    """
    Sixty seconds for a body without progress.
    """

    def test_stalled(self) -> None:
        """
        A body that stops is answered with 408.
        """
        line = Line().feed(post(b"abc")[:-1])
        self.ends_after(line, 60, "lingering")
        self.assertEqual([408], line.played().statuses)
        self.assertEqual(Refusal.REQUEST_TIMEOUT, line.visits[0].lost[0])

    def test_progress(self) -> None:
        """
        Each piece begins the time anew.
        """
        line = Line().feed(post(b"abcd")[:-4])
        for piece in (b"a", b"b", b"c"):
            line.wait(55).feed(piece)
        self.assertEqual("open", line.transport.end)
        self.assertEqual([200], line.wait(55).feed(b"d").played().statuses)

    def test_paused(self) -> None:
        """
        While we do not read, the client cannot be late.
        """
        line = Line().feed(post(b"abc")[:-1])
        line.visits[0].request.pause()
        line.wait(300)
        line.visits[0].request.resume()
        self.ends_after(line, 60, "lingering")

    def test_after_the_answer_began(self) -> None:
        """
        An answer under way is cut short when the body stalls.
        """
        line = Line(answers=False).feed(post(b"abc")[:-1])
        line.visits[0].request.respond(ok(None), b"abc", False)
        self.ends_after(line, 60, "aborted")

    def test_answered_already(self) -> None:
        """
        A body that stalls after its answer concerns nobody.
        """
        line = Line(answers=False).feed(post(b"abc")[:-1])
        line.visits[0].answer()
        line.wait(4)
        self.assertEqual([200], line.played().statuses)
        self.assertEqual([], line.visits[0].lost)

    def test_continue(self) -> None:
        """
        A client that waits to be told to go on is not late, until it is told.
        """
        line = Line().feed(post(b"abc", b"Expect: 100-continue")[:-3])
        line.wait(300)
        self.assertEqual("open", line.transport.end)
        line.visits[0].request.inform(ResponseHead(100, b"Continue", []))
        line.wait(60)
        self.assertEqual([], line.visits[0].lost)
        line.wait(1)
        self.assertEqual(Refusal.REQUEST_TIMEOUT, line.visits[0].lost[0])

    def test_impatient(self) -> None:
        """
        A client that did not wait to be told is late as others are.
        """
        line = Line().feed(post(b"abc", b"Expect: 100-continue")[:-2])
        self.ends_after(line, 60, "lingering")


class AnswerTimeTests(TimeTestCase):
    """
    Clients that do not take their answer.
    """

    def unread(self, size: int = 1000) -> Line:
        """
        Return a connection with an answer that the client does not take.
        """
        line = Line(answers=False)
        line.transport.slow = True
        line.feed(get())
        line.visits[0].answer(b"a" * size)
        return line

    def test_stalled(self) -> None:
        """
        After sixty seconds without progress the connection ends.
        """
        self.ends_after(self.unread(), 60, "aborted")

    def test_slow(self) -> None:
        """
        A client that takes a byte now and then lives, and is idle after that.
        """
        line = self.unread()
        for _ in range(10):
            line.wait(55)
            line.transport.drain(1)
        line.wait(1)
        line.transport.drain()
        self.ends_after(line, 75, "closed")

    def test_amid_the_answer(self) -> None:
        """
        The same holds before the answer is whole, and progress is what was
        taken or added.
        """
        line = Line(answers=False).feed(get())
        line.transport.slow = True
        request = line.visits[0].request
        request.respond(ok(None), b"a" * 100, False)
        line.wait(55)
        line.transport.drain(100)
        request.write(b"a" * 94)
        self.ends_after(line, 60, "aborted")

    def test_last_answer(self) -> None:
        """
        The end of a connection waits as long for the client to take its answer.
        """
        for data, end in (
            (get(b"/", b"Connection: close"), "closed"),
            (post(b"abc")[:-1], "lingering"),
        ):
            line = Line(answers=False)
            line.transport.slow = True
            line.feed(data)
            line.visits[0].answer(b"a" * 1000)
            line.wait(60)
            self.assertEqual(end, line.transport.end)
            self.assertEqual("aborted", line.wait(1).transport.end)

    def test_linger(self) -> None:
        """
        Five seconds after the answer is taken, an unread rest is cut off.
        """
        line = Line(answers=False)
        line.transport.slow = True
        line.feed(post(b"abc")[:-1])
        line.visits[0].answer(b"a" * 1000)
        line.wait(30)
        line.transport.drain()
        line.wait(5)
        self.assertEqual("lingering", line.transport.end)
        self.assertEqual("aborted", line.wait(1).transport.end)


class HalfClosedTimeTests(TimeTestCase):
    """
    Clients that have closed their side, or are gone: nobody can tell.
    """

    def test_no_answer(self) -> None:
        """
        An answer that has not begun after two seconds is not waited for.
        """
        line = Line(answers=False).feed(get()).wait(100)
        line.channel.readConnectionLost()
        self.ends_after(line, 2, "aborted")

    def test_answer_begun(self) -> None:
        """
        An answer that has begun is carried to its end.
        """
        line = Line(answers=False).feed(get())
        line.channel.readConnectionLost()
        request = line.visits[0].request
        request.respond(ok(None), b"abc", False)
        line.wait(100)
        self.assertEqual("open", line.transport.end)
        request.finish()
        self.assertEqual("closed", line.transport.end)


class SweepTests(TimeTestCase):
    """
    Who else is told the time.
    """

    def test_reader(self) -> None:
        """
        Whoever answers is told at each sweep, with the door's time.
        """
        line = Line(answers=False).feed(get())
        told: list[float] = []
        line.visits[0].sweep = told.append  # type: ignore[method-assign]
        line.wait(1)
        self.assertEqual([0.5, 1.0], told)
