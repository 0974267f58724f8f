"""
The access log's file: lines are gathered, and written many at a time.

Nothing that happens to the file reaches a request. While it cannot be written,
lines wait, then the newest are counted as lost; it is tried again every second.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from appgw.access_format import CombinedLines, JsonLines
from appgw.record import Outcome

FULL = 64 * 1024
"""
Bytes gathered before they are written at once.
"""

LONGEST_WAIT = 1.0
"""
Seconds that a line waits for others, and between two tries of a broken file.
"""

MOST_KEPT = 1024 * 1024
"""
Bytes that wait for a file that cannot be written; what comes then is lost.
"""

FORMATS: dict[str, Callable[[], Callable[[Outcome], str]]] = {
    "json": JsonLines,
    "combined": CombinedLines,
}


class AccessLog:
    """
    One line per exchange, appended to a file.

    The file is opened here and now; where that fails it is said in the log, and
    tried again. A pipe whose reader is slow counts as a file that cannot be
    written: we never wait for it.

    Attributes:
        lost: lines that were given up, since the start.

    Args:
        path: absolute; made with mode 0640 where it is not there.
        form: ``json`` (Azure's field names) or ``combined``.
        reactor: for the time that lines wait.
    """

    log = Logger()

    def __init__(
        self, path: str, form: Literal["json", "combined"], reactor: IReactorTime
    ) -> None:
        self.lost = 0
        self._path = path
        self._format = FORMATS[form]()
        self._reactor = reactor
        self._lines: list[str] = []
        self._size = 0
        self._waiting = b""
        self._amid_line = False
        self._broken = False
        self._closed = False
        self._due: IDelayedCall | None = None
        self._descriptor: int | None = None
        self._flush()

    def write(self, outcome: Outcome) -> None:
        """
        Record *outcome*; it is in the file within a second.
        """
        line = self._format(outcome)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FULL:
            self._flush()
        elif self._due is None:
            self._wait()

    def reopen(self) -> None:
        """
        Write what was gathered, then go on in a new file of the same name.

        For those who have renamed the old one.
        """
        self._flush()
        self._close_file()
        if self._amid_line:
            # The new file shall not begin with the rest of an old file's line.
            self._waiting = self._waiting.partition(b"\n")[2]
            self._amid_line = False
            self.lost += 1
        self._flush()

    def close(self) -> None:
        """
        Write what was gathered and let the file go. What comes later is lost.
        """
        self._flush()
        self._closed = True
        self.lost += self._waiting.count(b"\n")
        self._waiting = b""
        self._close_file()
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _wait(self) -> None:
        if self._closed:
            self._take()
        else:
            self._due = self._reactor.callLater(LONGEST_WAIT, self._time_is_up)

    def _time_is_up(self) -> None:
        self._due = None
        self._flush()

    def _take(self) -> None:
        """
        Move the gathered lines to the bytes that wait, or give them up.
        """
        lines, self._lines, self._size = self._lines, [], 0
        if self._closed or len(self._waiting) > MOST_KEPT:
            self.lost += len(lines)
        else:
            self._waiting += "".join(lines).encode("ascii")

    def _flush(self) -> None:
        self._take()
        if self._closed:
            return
        try:
            if self._descriptor is None:
                self._descriptor = open_for_appending(self._path)
            while self._waiting:
                written = os.write(self._descriptor, self._waiting)
                self._amid_line = self._waiting[written - 1 : written] != b"\n"
                self._waiting = self._waiting[written:]
        except OSError as error:
            self._failed(error)
        else:
            self._worked()

    def _failed(self, error: OSError) -> None:
        if not self._broken:
            self._broken = True
            self.log.critical(
                "The access log {path} cannot be written: {error}. "
                "Requests are served; lines wait, then are lost.",
                path=self._path,
                error=error.strerror,
            )
        if self._due is None:
            self._wait()

    def _worked(self) -> None:
        if self._broken:
            self._broken = False
            self.log.info(
                "The access log {path} is written again; {lost} lines lost so far.",
                path=self._path,
                lost=self.lost,
            )

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_for_appending(path: str) -> int:
    """
    Open *path* for whole lines at its end; never wait for a pipe's reader.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(path, flags, 0o640)
