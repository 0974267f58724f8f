"""
twistd in processes of their own, and a backend in a thread.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PATIENCE = 30.0
"""Seconds after which a run that hangs is given up."""

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def free_port(candidates: Iterable[int] = (0,)) -> int:
    """
    Return a port that nobody has at the moment.
    """
    for port in candidates:
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = free.getsockname()[1]
            return number
    raise AssertionError("no port is free")


class Slow:
    """
    A plain backend that answers each request when it may.

    Attributes:
        asked: is set when a request has come.
        may: answers go out while it is set.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self.asked, self.may = threading.Event(), threading.Event()
        self.may.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        test.addCleanup(self._stop)

    def _stop(self) -> None:
        self.may.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            with taken:
                taken.settimeout(PATIENCE)
                self._answer(taken)

    def _answer(self, taken: socket.socket) -> None:
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            data = taken.recv(65536)
            if not data:
                return
            received += data
        self.asked.set()
        self.may.wait(PATIENCE)
        try:
            taken.sendall(OK)
        except OSError:
            return


class Process:
    """
    A gateway in the foreground, what it says read line by line.
    """

    def __init__(
        self, test: SynchronousTestCase, folder: Path, *arguments: str
    ) -> None:
        self._test = test
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [*TWISTD, "--nodaemon", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # What is never said must not be waited for without end.
        self._end = threading.Timer(PATIENCE, self._process.kill)
        self._end.start()
        test.addCleanup(self._clean_up)

    def _clean_up(self) -> None:
        self._end.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, words: str) -> str:
        """
        Read until a line has *words* in it; return that line.
        """
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            line = stdout.readline()
            if not line:
                self._test.fail("".join(self.said) + f"\nnever said: {words}")
            self.said.append(line)
            if words in line:
                return line

    def signal(self, number: signal.Signals) -> None:
        """
        Send a signal.
        """
        self._process.send_signal(number)

    def ended(self) -> tuple[int, str]:
        """
        Wait for the end; return the status and all that was said.
        """
        rest, _ = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, "".join(self.said) + rest


class TwistdTestCase(SynchronousTestCase):
    """
    A folder with a configuration that leads to a backend in clear text.
    """

    def setUp(self) -> None:
        """
        Make the folder, absolute: some of these processes go elsewhere.
        """
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.port = free_port()

    def write(self, backend: int, *ports: int, more: str = "") -> Path:
        """
        Write ``gateway.yaml``: listeners on *ports* before one backend.
        """
        ports = ports or (self.port,)
        lines = (
            "listeners:",
            *(
                f"  p{port}: {{protocol: http, address: 127.0.0.1, port: {port}}}"
                for port in ports
            ),
            "rules:",
            *(
                f"  p{port}: {{priority: {at}, listener: p{port}, pool: web,"
                " backend_settings: web}"
                for at, port in enumerate(ports, 1)
            ),
            f"pools: {{web: {{members: ['127.0.0.1:{backend}']}}}}",
            "backend_settings: {web: {protocol: http, probe_enabled: false}}",
            more,
        )
        path = self.folder / "gateway.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def run_twistd(self, *arguments: str) -> tuple[int, str]:
        """
        Run twistd to its end; return the status and all that it said.
        """
        done = subprocess.run(
            [*TWISTD, *arguments],
            cwd=self.folder,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout

    def connect(self, port: int | None = None) -> socket.socket:
        """
        Connect to a listener.
        """
        client = socket.create_connection(("127.0.0.1", port or self.port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def ask(self, port: int | None = None) -> bytes:
        """
        Ask on a connection of its own; return the answer's first line.
        """
        client = self.connect(port)
        client.sendall(GET)
        return client.recv(65536).partition(b"\r\n")[0]

    def eventually(self, true: Callable[[], bool]) -> None:
        """
        Ask again and again until it is *true*.
        """
        deadline = time.monotonic() + PATIENCE
        while not true():
            self.assertLess(time.monotonic(), deadline, "it never came true")
            time.sleep(0.02)

    def wait_for(self, pid: int) -> None:
        """
        Wait until a process that is not our child has ended.
        """
        descriptor = os.pidfd_open(pid)
        try:
            ready, _, _ = select.select([descriptor], [], [], PATIENCE)
        finally:
            os.close(descriptor)
        self.assertTrue(ready, "the process did not end")
