from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner, Result
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli import health as command
from appgw.config import model
from appgw.testing import make_ca, make_certificate
from tests.backend.zone import hold_names
from tests.journey.kit import STRANGER
from tests.journey.probing import BAD, Answers, ProbedTestCase

ONCE = {"unhealthy_threshold": 1}


def run(*arguments: str) -> Result:
    """
    Run ``appgw health``.
    """
    return CliRunner().invoke(command.health, arguments)


class AskingTests(ProbedTestCase):
    """
    A gateway that runs.
    """

    def setUp(self) -> None:
        """
        Make a configuration that tells only where the socket is.
        """
        super().setUp()
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.config_file = Path(made.name) / "gateway.yaml"
        self.config_file.write_text("admin: {socket: a.sock}\n")
        self.socket = str(self.config_file.with_name("a.sock"))

    async def run_on(
        self, *backends: Any, options: tuple[str, ...] = (), **settings: Any
    ) -> Result:
        """
        Run the command on a gateway before *backends*.
        """
        config = self.probing(*backends, **({"probe": ONCE} | settings))
        admin = model.Admin(socket=self.socket)
        self.serve(attrs.evolve(config, admin=admin))
        await self.settled()
        result: Result = await deferToThread(run, str(self.config_file), *options)
        return result

    async def test_all_healthy(self) -> None:
        """
        A line for each member below its pool and setting, and 0.
        """
        backends = [self.backend(Answers()) for _ in range(2)]
        result = await self.run_on(*backends)
        self.assertEqual(0, result.exit_code, result.output)
        ports = [one.port for one in backends]
        good = "healthy    Success. Received 200 status code"
        self.assertEqual(
            "pool web, setting web\n"
            f"  127.0.0.1:{ports[0]}  {good}\n"
            f"  127.0.0.1:{ports[1]}  {good}\n",
            result.output,
        )

    async def test_some_unhealthy(self) -> None:
        """
        An unhealthy one is told with its reason, and 1.
        """
        backends = [self.backend(Answers()), self.backend(Answers(), STRANGER)]
        result = await self.run_on(*backends)
        self.assertEqual(1, result.exit_code, result.output)
        last = result.output.splitlines()[-1]
        where = f"  127.0.0.1:{backends[1].port}  unhealthy  Backend server certificate"
        self.assertTrue(last.startswith(where), last)
        self.assertIn(STRANGER.sha256, last)

    async def test_unknown(self) -> None:
        """
        One of which nothing is known yet is not healthy.
        """
        backend = self.backend(Answers(BAD))
        result = await self.run_on(backend, probe={"unhealthy_threshold": 2})
        self.assertEqual(1, result.exit_code, result.output)
        self.assertIn("  unknown    Status code", result.output)

    async def test_not_probed(self) -> None:
        """
        One that nobody wants probed is nothing to complain of.
        """
        result = await self.run_on(self.backend(Answers()), probe_enabled=False)
        self.assertEqual(0, result.exit_code, result.output)
        self.assertIn("  unprobed   ", result.output)

    async def test_draining(self) -> None:
        """
        One that drains is nothing to complain of either, probed or not.
        """
        backend = self.backend(Answers())
        marked = model.Member(address="127.0.0.1", port=backend.port, draining=True)
        for settings in ({}, {"probe_enabled": False}):
            result = await self.run_on(marked, **settings)
            self.assertEqual(0, result.exit_code, result.output)
            self.assertIn("  draining   ", result.output)
            await self.gateway.stopService()

    async def test_detect(self) -> None:
        """
        A setting whose pins only detect is marked, and each member that only this
        lets in is told with what its pins would do.
        """
        ca = make_ca()
        shown = make_certificate(["a.example"], ["127.0.0.1"], issuer=ca)
        root = model.TrustedRoot(name="corp", certificates=(ca.der,))
        config = self.probing(
            self.backend(Answers(), shown),
            probe=ONCE,
            trusted_roots=("corp",),
            pin_mode="detect",
        )
        admin = model.Admin(socket=self.socket)
        self.serve(attrs.evolve(config, admin=admin, trusted_roots={"corp": root}))
        await self.settled()
        result: Result = await deferToThread(run, str(self.config_file))
        self.assertEqual(0, result.exit_code, result.output)
        heading, member = result.output.splitlines()
        self.assertEqual("pool web, setting web (pin_mode detect)", heading)
        self.assertIn("healthy    Success. Received 200 status code. https", member)
        self.assertIn("else refused: its certificate is not on the allow-list", member)

    async def test_names(self) -> None:
        """
        A name is told with its address, and without where it has none.
        """
        backend = self.backend(Answers())
        zone = hold_names(self)
        zone.records["web.internal"] = ["127.0.0.1"]
        members = (
            model.Member(address="web.internal", port=backend.port),
            model.Member(address="nowhere.internal", port=1),
        )
        first = await self.run_on(*members)
        self.assertRegex(first.output, r"\n  web.internal +unhealthy  Application")
        zone.answer()
        await self.settled()
        result: Result = await deferToThread(run, str(self.config_file))
        named = f"  web.internal 127.0.0.1:{backend.port}  healthy    Success"
        self.assertIn(named, result.output)
        self.assertRegex(result.output, r"\n  nowhere.internal +unhealthy  Application")

    async def test_nobody(self) -> None:
        """
        A gateway without members has nobody who is ill.
        """
        result = await self.run_on()
        self.assertEqual(
            (0, "no pool has a member\n"), (result.exit_code, result.output)
        )

    async def test_json(self) -> None:
        """
        As JSON it is what the gateway has answered; the exit code is the same.
        """
        good, bad = self.backend(Answers()), self.backend(Answers(BAD))
        result = await self.run_on(good, bad, options=("--json",))
        self.assertEqual(1, result.exit_code)
        (pool,) = json.loads(result.output)["backendAddressPools"]
        (setting,) = pool["backendHttpSettingsCollection"]
        states = [server["health"] for server in setting["servers"]]
        self.assertEqual(["Up", "Down"], states)

    async def test_socket_named(self) -> None:
        """
        The socket may be named, whatever the configuration says.
        """
        self.config_file.write_text("admin: {socket: other.sock}\n")
        backend = self.backend(Answers())
        result = await self.run_on(backend, options=("--socket", self.socket))
        self.assertEqual(0, result.exit_code, result.output)


class Odd(threading.Thread):
    """
    Listens on a socket and answers one caller with some bytes.
    """

    def __init__(self, path: str, answer: bytes) -> None:
        super().__init__(daemon=True)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen()
        self._answer = answer

    def close(self) -> None:
        """
        Listen no more, where nobody has come.
        """
        self._listening.close()

    def run(self) -> None:
        """
        Answer, once.
        """
        with self._listening:
            taken, _ = self._listening.accept()
        with taken:
            if taken.recv(65536):
                taken.sendall(self._answer)


class NoAnswerTests(SynchronousTestCase):
    """
    Everything else: one line that says what is the matter, and 2.
    """

    def setUp(self) -> None:
        """
        Make a configuration, and no gateway.
        """
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)
        self.config_file = self.folder / "gateway.yaml"
        self.config_file.write_text("{}\n")
        self.socket = str(self.folder / "gateway.sock")

    def told(self) -> str:
        """
        Return the line.
        """
        result = run(str(self.config_file))
        self.assertEqual(2, result.exit_code, result.output)
        self.assertTrue(result.output.startswith("Error: "), result.output)
        self.assertEqual(1, result.output.count("\n"), result.output)
        self.assertEqual("", result.stdout)
        return result.output

    def test_not_running(self) -> None:
        """
        Without a socket no gateway runs.
        """
        self.assertIn("the gateway is not running", self.told())

    def test_ended(self) -> None:
        """
        A socket on which nobody listens was left behind.
        """
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(self.socket)
        self.assertIn("the gateway has ended", self.told())

    def test_not_allowed(self) -> None:
        """
        Who may not ask is told as whom to ask.
        """
        odd = Odd(self.socket, b"")
        Path(self.socket).chmod(0)
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            # Root may ask anybody, nobody only whom he is let.
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        self.assertIn("permission denied; ask as the user", self.told())
        odd.close()

    def test_odd_answers(self) -> None:
        """
        Somebody else's answer is not taken for a gateway's.
        """
        head = b"HTTP/1.0 200 OK\r\n\r\n"
        for answer in (
            b"",
            b"SSH-2.0\r\n",
            b"HTTP/1.0 404 Not Found\r\n\r\n",
            head + b"<html>",
            head + b"[]",
            head + b"7",
            head + b'{"backendAddressPools": [{}]}',
            head + b'{"backendAddressPools": 7}',
            b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        ):
            odd = Odd(self.socket, answer)
            odd.start()
            self.told()
            odd.join()
            Path(self.socket).unlink()

    def test_silent(self) -> None:
        """
        Who says nothing is not waited for without end.
        """
        self.patch(command, "TIMEOUT", 0.05)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.socket)
            silent.listen()
            self.assertIn("no answer within 0.05 s", self.told())

    def test_switched_off(self) -> None:
        """
        A gateway without the socket cannot be asked.
        """
        self.config_file.write_text("admin: {enabled: false}\n")
        self.assertIn("admin.enabled is false", self.told())

    def test_bad_file(self) -> None:
        """
        A file that does not tell is told with its line.
        """
        self.config_file.write_text("\nadmin: 7\n")
        self.assertIn("gateway.yaml:2: admin: found", self.told())
        self.config_file.unlink()
        self.assertIn("No such file", self.told())
