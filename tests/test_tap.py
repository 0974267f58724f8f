from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SkipTest

from appgw.cli.health import health
from tests.twistd import Process, Slow, TwistdTestCase, free_port

IN_FRONT = ("--pidfile=", "appgw", "--config", "gateway.yaml")


class CommandTests(TwistdTestCase):
    """
    What can be said before anything runs.
    """

    def refused(self, *arguments: str) -> str:
        """
        Assert that it does not run, and ends as a program ends that was asked
        for something wrong; return what it says.
        """
        status, said = self.run_twistd(*arguments)
        self.assertEqual(1, status)
        self.assertNotIn("Traceback", said)
        self.assertEqual([], list(self.folder.glob("*.pid")))
        return said

    def test_help(self) -> None:
        """
        The command is known to twistd, with what it takes.
        """
        status, said = self.run_twistd("appgw", "--help")
        self.assertEqual(0, status)
        self.assertIn("-c, --config=", said)
        self.assertIn("SIGHUP", said)

    def test_no_config(self) -> None:
        """
        Without a configuration it says which option is missing.
        """
        said = self.refused("-n", "appgw")
        self.assertIn("--config FILE is needed", said)

    def test_missing_config(self) -> None:
        """
        A file that is not there is told in one line.
        """
        said = self.refused("-n", "appgw", "--config", "nowhere.yaml")
        self.assertEqual(1, len(said.splitlines()), said)
        self.assertIn("nowhere.yaml", said)
        self.assertIn("No such file or directory", said)

    def test_wrong_config(self) -> None:
        """
        Each mistake is one line with its place, in the background as well.
        """
        self.write(1, more="listenerz: {}\nruls: {}")
        for mode in (("-n",), ()):
            said = self.refused(*mode, "appgw", "--config", "gateway.yaml")
            lines = said.splitlines()
            self.assertEqual(2, len(lines), said)
            self.assertTrue(lines[0].startswith("gateway.yaml:7: listenerz: "), said)

    def test_taken_port(self) -> None:
        """
        A port that somebody has is told in one line, in the background as well.
        """
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        number = taken.getsockname()[1]
        self.write(1, self.port, number)
        for mode in (("-n",), ()):
            said = self.refused(*mode, "appgw", "--config", "gateway.yaml")
            self.assertEqual(
                f"cannot listen on 127.0.0.1 port {number}: Address already in use\n",
                said,
            )

    def test_taken_socket(self) -> None:
        """
        So is an admin socket that cannot be had where it was asked for.
        """
        self.write(1, more="admin: {socket: gateway.yaml}")
        path = self.folder / "gateway.yaml"
        for mode in (("-n",), ()):
            said = self.refused(*mode, "appgw", "--config", "gateway.yaml")
            self.assertEqual(
                f"cannot listen on {path}: something else is there, and is no socket\n",
                said,
            )


class SignalTests(TwistdTestCase):
    """
    A gateway in the foreground, and what it does when it is told to.
    """

    def start(self, *arguments: str) -> Process:
        """
        Start a gateway; it serves, or will in a moment.
        """
        process = Process(self, self.folder, *arguments, *IN_FRONT)
        process.until(f"starting on {self.port}")
        return process

    def test_term(self) -> None:
        """
        SIGTERM lets the request under way end whole, then the process ends.
        """
        backend = Slow(self)
        backend.may.clear()
        self.write(backend.port)
        process = self.start()
        client = self.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertTrue(backend.asked.wait(30))
        process.signal(signal.SIGTERM)
        process.until("Received SIGTERM")
        process.until("Closed")
        backend.may.set()
        answer = client.makefile("rb").read()
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
        self.assertIn(b"Connection: close\r\n", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\nok"), answer)
        status, said = process.ended()
        self.assertEqual(-signal.SIGTERM, status)
        for word in ("Traceback", "Unhandled", "bug"):
            self.assertNotIn(word, said)
        self.assertRaises(ConnectionRefusedError, self.connect)

    def test_term_twice(self) -> None:
        """
        A second SIGTERM cuts what still runs.
        """
        backend = Slow(self)
        backend.may.clear()
        self.write(backend.port, more="shutdown_timeout: 1h")
        process = self.start()
        client = self.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertTrue(backend.asked.wait(30))
        process.signal(signal.SIGTERM)
        process.until("Received SIGTERM")
        process.until("Closed")
        process.signal(signal.SIGTERM)
        status, said = process.ended()
        self.assertEqual(-signal.SIGTERM, status)
        for word in ("Traceback", "Unhandled", "bug"):
            self.assertNotIn(word, said)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(b"", client.recv(100))

    def test_interrupt(self) -> None:
        """
        Control-C stops it as well, and at once when nothing runs.
        """
        self.write(1)
        process = self.start()
        self.assertEqual(b"HTTP/1.1 502 Bad Gateway", self.ask())
        process.signal(signal.SIGINT)
        status, said = process.ended()
        self.assertEqual(-signal.SIGINT, status)
        self.assertNotIn("Traceback", said)

    def test_reload(self) -> None:
        """
        SIGHUP puts the changed file in force; a bad one changes nothing.
        """
        backend = Slow(self)
        self.write(1)
        process = self.start()
        self.assertEqual(b"HTTP/1.1 502 Bad Gateway", self.ask())
        self.write(backend.port)
        process.signal(signal.SIGHUP)
        process.until("The configuration was reloaded.")
        self.assertEqual(b"HTTP/1.1 200 OK", self.ask())
        self.write(1, more="listenerz: {}")
        process.signal(signal.SIGHUP)
        process.until("Not reloaded")
        process.until("gateway.yaml:7: listenerz: ")
        self.assertEqual(b"HTTP/1.1 200 OK", self.ask())
        later = free_port()
        self.write(backend.port, later)
        process.signal(signal.SIGHUP)
        process.until("The configuration was reloaded.")
        self.assertEqual(b"HTTP/1.1 200 OK", self.ask(later))
        self.assertRaises(ConnectionRefusedError, self.connect)
        process.signal(signal.SIGTERM)
        status, said = process.ended()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertNotIn("Traceback", said)

    def test_health(self) -> None:
        """
        ``appgw health`` asks the process whose file it is given, and finds
        nobody when that has ended.
        """
        path = str(self.write(Slow(self).port))
        process = self.start()
        asked = CliRunner().invoke(health, [path])
        self.assertEqual(0, asked.exit_code, asked.output)
        self.assertIn("pool web, setting web\n", asked.output)
        process.signal(signal.SIGTERM)
        process.ended()
        self.assertEqual([], list(self.folder.glob("*.sock")))
        self.assertEqual(2, CliRunner().invoke(health, [path]).exit_code)

    def test_rotation(self) -> None:
        """
        SIGUSR1 turns twistd's own log, and goes on in a new access log.
        """
        backend = Slow(self)
        self.write(backend.port, more="access_log: {file: access.log}")
        process = Process(self, self.folder, "--logfile=twistd.log", *IN_FRONT)
        self.eventually(lambda: b"200" in self.ask_patiently())
        log, old = self.folder / "access.log", self.folder / "access.log.old"
        log.rename(old)
        process.signal(signal.SIGUSR1)
        self.eventually(log.exists)
        self.eventually((self.folder / "twistd.log.1").exists)
        self.assertEqual(b"HTTP/1.1 200 OK", self.ask())
        process.signal(signal.SIGTERM)
        process.ended()
        for file in (log, old):
            lines = file.read_text().splitlines()
            self.assertTrue(lines)
            self.assertTrue(all(line.startswith('{"timeStamp"') for line in lines))
        said = (self.folder / "twistd.log").read_text()
        self.assertNotIn("Traceback", said)

    def ask_patiently(self) -> bytes:
        """
        Ask a gateway that may not have bound its port yet.
        """
        try:
            return self.ask()
        except ConnectionRefusedError:
            return b""


class DaemonTests(TwistdTestCase):
    """
    A gateway in the background.
    """

    def daemon(self, *arguments: str) -> int:
        """
        Start a gateway; return its process's number.
        """
        status, said = self.run_twistd(
            "--pidfile=gateway.pid",
            "--logfile=twistd.log",
            *arguments,
            "appgw",
            "--config",
            "gateway.yaml",
        )
        self.assertEqual(0, status, said)
        self.assertEqual("", said)
        pids = list(self.folder.rglob("gateway.pid"))
        number = int(pids[0].read_text())
        self.addCleanup(_kill, number)
        return number

    def test_life(self) -> None:
        """
        Paths may be relative, and stay what they were; nothing is left behind.
        """
        backend = Slow(self)
        away = self.folder / "away"
        away.mkdir()
        self.write(1, more="access_log: {file: access.log}")
        number = self.daemon("--rundir=away")
        self.assertEqual(b"HTTP/1.1 502 Bad Gateway", self.ask())
        self.write(backend.port, more="access_log: {file: access.log}")
        os.kill(number, signal.SIGHUP)
        self.eventually(lambda: self.ask() == b"HTTP/1.1 200 OK")
        os.kill(number, signal.SIGTERM)
        self.wait_for(number)
        self.assertEqual([], list(away.iterdir()))
        said = (self.folder / "twistd.log").read_text()
        self.assertIn("The configuration was reloaded.", said)
        self.assertNotIn("Traceback", said)
        log = self.folder / "access.log"
        self.assertGreater(len(log.read_text().splitlines()), 1)
        self.assertEqual(0o600, stat.S_IMODE(log.stat().st_mode))
        self.assertRaises(ConnectionRefusedError, self.connect)

    def test_privileges(self) -> None:
        """
        Low ports are bound before privileges go, and a reload says that it can't.
        """
        low = _low_ports()
        for folder in (self.folder, self.folder.parent):
            folder.chmod(0o755)
        if not all(folder.stat().st_mode & 1 for folder in self.folder.parents):
            raise SkipTest("takes a folder that everybody may enter")
        self.write(1, low[0])
        number = self.daemon("--uid=65534", "--gid=65534", "--umask=022")
        self.assertEqual(65534, Path(f"/proc/{number}").stat().st_uid)
        self.assertEqual(b"HTTP/1.1 502 Bad Gateway", self.ask(low[0]))
        self.write(1, low[0], low[1])
        os.kill(number, signal.SIGHUP)
        log = self.folder / "twistd.log"
        words = f"cannot listen on 127.0.0.1 port {low[1]}: Permission denied"
        self.eventually(lambda: words in log.read_text())
        self.assertEqual(b"HTTP/1.1 502 Bad Gateway", self.ask(low[0]))
        self.assertNotIn("Traceback", log.read_text())
        os.kill(number, signal.SIGTERM)
        self.wait_for(number)


def _low_ports() -> tuple[int, int]:
    """
    Return two free ports that only root may bind.
    """
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if os.geteuid() != 0 or not limit.exists() or int(limit.read_text()) < 1024:
        raise SkipTest("takes root, and ports that only root may bind")
    first = free_port(range(1023, 600, -1))
    return first, free_port(range(first - 1, 600, -1))


def _kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
