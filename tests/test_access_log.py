from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Literal

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from appgw.access_log import FULL, LONGEST_WAIT, MOST_KEPT, AccessLog
from tests.outcomes import make_outcome


class AccessLogTests(SynchronousTestCase):
    """
    The file, on a disk that works and on others.
    """

    def setUp(self) -> None:
        """
        Make a folder, and a clock that stands still.
        """
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "access.log"
        self.clock = Clock()

    def opened(self, form: Literal["json", "combined"] = "json") -> AccessLog:
        """
        Return a log at the path; it is closed when the test is over.
        """
        log = AccessLog(str(self.path), form, self.clock)
        self.addCleanup(log.close)
        return log

    def write(self, log: AccessLog, first: int, last: int) -> None:
        """
        Write outcomes with the numbers from *first* to *last*.
        """
        for number in range(first, last + 1):
            log.write(make_outcome(trace_id=str(number)))

    def numbers(self, path: Path) -> list[int]:
        """
        Return the numbers of the lines in the file, each of which must parse.
        """
        return [
            int(json.loads(line)["properties"]["transactionId"])
            for line in path.read_bytes().splitlines()
        ]

    def test_within_a_second(self) -> None:
        """
        A line is in the file a second later, though nothing else happens.
        """
        log = self.opened()
        self.write(log, 1, 2)
        self.clock.advance(LONGEST_WAIT)
        self.assertEqual([1, 2], self.numbers(self.path))
        self.write(log, 3, 3)
        self.clock.advance(LONGEST_WAIT)
        self.assertEqual([1, 2, 3], self.numbers(self.path))

    def test_lines_are_gathered(self) -> None:
        """
        Few lines wait for more; 64 KiB are written at once.
        """
        log = self.opened()
        self.write(log, 1, 1)
        self.assertEqual(0, self.path.stat().st_size)
        number = 1
        while not self.path.stat().st_size:
            number += 1
            self.write(log, number, number)
        self.assertEqual(list(range(1, number + 1)), self.numbers(self.path))
        self.assertGreaterEqual(self.path.stat().st_size, FULL)
        self.assertLess(self.path.stat().st_size, FULL + 2000)

    def test_close(self) -> None:
        """
        Closing writes what was gathered and leaves no delayed call.
        """
        log = self.opened()
        self.write(log, 1, 1)
        log.close()
        self.assertEqual([1], self.numbers(self.path))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_after_close(self) -> None:
        """
        What comes after the end is counted as lost, and raises nothing.
        """
        log = self.opened()
        log.close()
        self.write(log, 1, 3)
        self.assertEqual(3, log.lost)
        self.assertEqual([], self.numbers(self.path))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_combined(self) -> None:
        """
        The format is the one that was asked for.
        """
        log = self.opened("combined")
        self.write(log, 1, 1)
        log.close()
        self.assertIn('"GET /orders/12 HTTP/1.1" 200', self.path.read_text())

    def test_appends(self) -> None:
        """
        What was in the file before stays there.
        """
        self.path.write_text("before\n")
        log = self.opened()
        log.close()
        self.assertEqual("before\n", self.path.read_text())

    def test_not_for_everybody(self) -> None:
        """
        A new file is not readable by others.
        """
        self.opened()
        self.assertEqual(0, stat.S_IMODE(self.path.stat().st_mode) & 0o027)

    def test_rotation(self) -> None:
        """
        After a rename, reopen goes on in a new file, without a line lost or split.
        """
        log = self.opened()
        self.write(log, 1, 2)
        old = self.path.rename(self.folder / "access.log.1")
        self.write(log, 3, 3)
        log.reopen()
        self.write(log, 4, 4)
        log.close()
        self.assertEqual([1, 2, 3], self.numbers(old))
        self.assertEqual([4], self.numbers(self.path))

    def test_full_disk(self) -> None:
        """
        On a full disk nothing raises, it is said once, and lines wait for room.
        """
        self.path.symlink_to("/dev/full")
        log = self.opened()
        with capturedLogs() as events:
            for number in range(1, 4):
                self.write(log, number, number)
                self.clock.advance(LONGEST_WAIT)
        self.assertEqual([LogLevel.critical], [event["log_level"] for event in events])
        self.path.unlink()
        with capturedLogs() as events:
            log.reopen()
            self.write(log, 4, 4)
            self.clock.advance(LONGEST_WAIT)
        self.assertEqual([LogLevel.info], [event["log_level"] for event in events])
        self.assertEqual([1, 2, 3, 4], self.numbers(self.path))
        self.assertEqual(0, log.lost)

    def test_full_for_long(self) -> None:
        """
        What waits for room is bounded; the rest is counted, and none twice.
        """
        self.path.symlink_to("/dev/full")
        log = self.opened()
        total = 2 * MOST_KEPT // 1000
        self.write(log, 1, total)
        self.assertGreater(log.lost, 0)
        self.path.unlink()
        log.reopen()
        log.close()
        kept = self.numbers(self.path)
        self.assertEqual(total, len(kept) + log.lost)
        self.assertEqual(list(range(1, len(kept) + 1)), kept)
        self.assertLess(self.path.stat().st_size, MOST_KEPT + 2 * FULL)

    def test_closing_on_a_full_disk(self) -> None:
        """
        Lines that could never be written are counted as lost at the end.
        """
        self.path.symlink_to("/dev/full")
        log = self.opened()
        self.write(log, 1, 5)
        log.close()
        self.assertEqual(5, log.lost)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_folder_that_comes_late(self) -> None:
        """
        A file that cannot be opened at first is tried again, also with no request.
        """
        self.path = self.folder / "logs" / "access.log"
        with capturedLogs() as events:
            log = self.opened()
            self.write(log, 1, 1)
            self.clock.advance(LONGEST_WAIT)
            self.path.parent.mkdir()
            self.clock.advance(LONGEST_WAIT)
        self.assertEqual([1], self.numbers(self.path))
        self.assertEqual(
            [LogLevel.critical, LogLevel.info],
            [event["log_level"] for event in events],
        )

    def fill_pipe(self) -> tuple[int, AccessLog, int]:
        """
        Open a log on a pipe that nobody reads, and write more than it holds.
        """
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        log = self.opened()
        total = 3 * FULL // 1000
        self.write(log, 1, total)
        return reader, log, total

    def test_slow_reader(self) -> None:
        """
        A pipe that is full makes nobody wait, and gets every line in the end.
        """
        reader, log, total = self.fill_pipe()
        received = b""
        while received.count(b"\n") < total:
            received += os.read(reader, 1 << 20)
            self.clock.advance(LONGEST_WAIT)
        copy = self.folder / "copy"
        copy.write_bytes(received)
        self.assertEqual(list(range(1, total + 1)), self.numbers(copy))
        self.assertEqual(0, log.lost)

    def test_reopen_amid_a_line(self) -> None:
        """
        A file that took half a line leaves the other half behind, counted as lost.
        """
        reader, log, total = self.fill_pipe()
        self.path.unlink()
        log.reopen()
        log.close()
        received = os.read(reader, 1 << 20)
        self.assertFalse(received.endswith(b"\n"), "the pipe took whole lines")
        taken = received.count(b"\n")
        self.assertEqual(1, log.lost)
        self.assertEqual(list(range(taken + 2, total + 1)), self.numbers(self.path))
