from __future__ import annotations

import json
import re
import shlex
import shutil
import stat
import sys
from pathlib import Path
from typing import Any
from unittest import skipUnless

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from appgw.cli.demo_folder import (
    BACKENDS,
    Certificates,
    ForeignFileError,
    contents,
    write,
)
from appgw.cli.demo_stage import Stage
from appgw.cli.demo_steps import STEPS, tried
from appgw.config.read import examine

COMMAND = (sys.executable, "-c", "from appgw.cli.main import main; main()", "demo")
PORTS = {"gateway": 1024, **{name: 1025 + n for n, name in enumerate(BACKENDS)}}
READY = b"appears below."


class Running(ProcessProtocol):
    """
    A process; keeps what it prints, tells when it is ready and when it ended.
    """

    def __init__(self, test: TestCase) -> None:
        self.output = b""
        self.warnings = b""
        self.ready: Deferred[str] = Deferred()
        self.ended: Deferred[int | None] = Deferred()
        self._timeout = reactor.callLater(60, self._kill)
        test.addCleanup(self._kill)

    def outReceived(self, data: bytes) -> None:
        """
        Tell once it has said the last of its lines.
        """
        self.output += data
        if READY in self.output and not self.ready.called:
            self.ready.callback(self.output.decode())

    def errReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.warnings += data

    def processEnded(self, reason: Failure) -> None:
        """
        Tell how it ended.
        """
        if self._timeout.active():
            self._timeout.cancel()
        if not self.ready.called:
            self.ready.errback(RuntimeError(self.output + self.warnings))
        self.ended.callback(reason.value.exitCode)

    def _kill(self) -> Any:
        if not self.ended.called:
            self.transport.signalProcess("KILL")
            return self.ended
        return None


class StageTests(TestCase):
    """
    The cast, in the test's own process.
    """

    def setUp(self) -> None:
        """
        Put everybody on stage.
        """
        self.stage = Stage.set_up(reactor, Path(self.mktemp()).absolute())
        self.addCleanup(self.stage.strike)

    async def test_every_step(self) -> None:
        """
        What the demo tells to expect is what comes.
        """
        for step in STEPS:
            self.assertEqual(await tried(step, self.stage, reactor), "", step.shows)

    async def test_wrong_expectations(self) -> None:
        """
        A step of which something else came says what.
        """
        [refusal] = [step for step in STEPS if step.head]
        found = await tried(
            attrs.evolve(refusal, urls=("https://shop.example/",)), self.stage, reactor
        )
        self.assertRegex(found, r"\A200\n(green|blue) answers GET / ")
        for step in STEPS:
            if step is not refusal:
                elsewhere = attrs.evolve(
                    step, urls=("https://shop.example/stray/",) * len(step.urls)
                )
                elsewhere = attrs.evolve(elsewhere, direct=False)
                found = await tried(elsewhere, self.stage, reactor)
                self.assertIn("502", found, step.shows)

    async def test_broken(self) -> None:
        """
        A step of which nothing came says why.
        """
        step = attrs.evolve(STEPS[0], urls=("https://127.0.0.1:{green}/",))
        found = await tried(step, self.stage, reactor)
        self.assertIn("not on the allow-list", found)


class CommandTests(TestCase):
    """
    The command, in a process of its own.
    """

    def setUp(self) -> None:
        """
        Choose a folder that is not there yet, with a name to be quoted.
        """
        self.folder = Path(self.mktemp()).absolute() / "a folder"

    def occupy(self) -> Path:
        """
        Put a file into the way.
        """
        self.folder.mkdir(parents=True)
        path = self.folder / "gateway.yaml"
        path.write_text("mine")
        return path

    def left(self) -> list[Path]:
        """
        List what is in the folder.
        """
        return list(self.folder.iterdir())

    async def test_check(self) -> None:
        """
        ``--check`` tries everything, and ends with 0.
        """
        output, _, code = await getProcessOutputAndValue(
            COMMAND[0], (*COMMAND[1:], "--check"), env=None, reactor=reactor
        )
        lines = output.decode().splitlines()
        self.assertEqual([line[:4] for line in lines[:-1]], ["pass"] * len(STEPS))
        self.assertEqual(lines[-1], f"{len(STEPS)} passed, 0 failed")
        self.assertEqual(code, 0)

    async def test_foreign_file(self) -> None:
        """
        With somebody's file in the way nothing is done, and said why.
        """
        path = self.occupy()
        output, errors, code = await getProcessOutputAndValue(
            COMMAND[0],
            (*COMMAND[1:], "--check", "--folder", str(self.folder)),
            env=None,
            reactor=reactor,
        )
        self.assertEqual(code, 1)
        self.assertEqual(output, b"")
        self.assertEqual(
            errors.decode(),
            f"appgw demo: {path} was not written by the demo, or was changed since\n",
        )
        self.assertEqual(path.read_text(), "mine")
        self.assertEqual(self.left(), [path])

    @skipUnless(shutil.which("curl"), "curl is not installed")
    async def test_as_printed(self) -> None:
        """
        The lines work as they are printed, the refusal is told in the log, and
        Ctrl-C ends it all.
        """
        running = Running(self)
        command = (*COMMAND, "--folder", str(self.folder))
        reactor.spawnProcess(running, COMMAND[0], command, env=None)
        told = await running.ready
        lines = re.findall(r"(?m)^   (curl .*)$", told)
        self.assertEqual(len(lines), len(STEPS))
        answers = [await self.shell(line) for line in lines]
        backends = [re.findall(r"(?m)^(\w+) answers", answer) for answer in answers]
        self.assertEqual(sorted(backends[0]), ["blue", "green"])
        self.assertEqual(backends[1:3], [["blue"], ["green"]])
        self.assertEqual(len(backends[3]), 4)
        self.assertEqual(len(set(backends[3])), 1)
        self.assertIn("\n  X-Forwarded-For: 127.0.0.1\n", answers[4])
        self.assertTrue(answers[5].startswith("HTTP/1.1 502 Bad Gateway\r\n"))
        self.assertEqual(answers[6], "stray answers GET / (its request no. 1)\n")
        [explains] = re.findall(r"(?m)^   .* (explain .*)$", told)
        explained = await self.shell(f"{shlex.join(COMMAND[:-1])} {explains}")
        self.assertIn("\npath rule  orders, by /orders/*\n", explained)
        [asks] = re.findall(r"(?m)^   .* (health .*)$", told)
        health = await self.shell(f"{shlex.join(COMMAND[:-1])} {asks}")
        self.assertIn("\npool stray, setting stray\n", health)
        self.assertEqual(health.count("  healthy    Success."), 4)
        running.transport.signalProcess("INT")
        self.assertEqual(await running.ended, 0)
        self.assertIn(
            b"refused: its certificate is not on the allow-list", running.warnings
        )
        self.assertIn(
            f"The files are still in {self.folder}\n".encode(), running.output
        )
        logged = (self.folder / "access.log").read_text().splitlines()
        decisions = [json.loads(line)["properties"]["pinDecision"] for line in logged]
        self.assertEqual(decisions, ["admitted"] * 9 + ["not-pinned"])

    async def shell(self, line: str) -> str:
        """
        Run a line as a person would, who is not kept waiting for ever.
        """
        bounded = f'set -- {line}; exec timeout 20 "$@"'
        output, errors, code = await getProcessOutputAndValue(
            "/bin/sh", ("-c", bounded), env=None, reactor=reactor
        )
        self.assertEqual((code, errors), (0, b""), line)
        return output.decode()


class FolderTests(SynchronousTestCase):
    """
    What is written, and what never is.
    """

    def setUp(self) -> None:
        """
        Write a demo's files once.
        """
        self.folder = Path(self.mktemp())
        self.files = contents(Certificates.make(), PORTS)
        write(self.folder, self.files)

    def again(self) -> None:
        """
        Write the files of a second demo.
        """
        write(self.folder, contents(Certificates.make(), PORTS))

    def test_configuration(self) -> None:
        """
        The configuration is without errors or warnings.
        """
        examination = examine(str(self.folder / "gateway.yaml"))
        self.assertEqual([str(one) for one in examination.problems], [])

    def test_modes(self) -> None:
        """
        Keys can be read by their owner only.
        """
        for name in ("front.key", "affinity.key"):
            mode = (self.folder / name).stat().st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_again(self) -> None:
        """
        The files of an earlier demo are replaced.
        """
        (self.folder / "access.log").write_text("one line\n")
        (self.folder / "notes").write_text("mine")
        self.again()
        for name, data in self.files.items():
            if name != "gateway.yaml":
                self.assertNotEqual((self.folder / name).read_bytes(), data, name)
        self.assertEqual((self.folder / "access.log").read_text(), "one line\n")
        self.assertEqual((self.folder / "notes").read_text(), "mine")

    def refused(self, name: str) -> None:
        """
        Demand that *name* stops a second demo from writing anything.
        """
        before = {
            path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }
        with self.assertRaises(ForeignFileError) as caught:
            self.again()
        self.assertIn(str(self.folder / name), str(caught.exception))
        for path, data in before.items():
            self.assertEqual(path.read_bytes(), data, path)

    def test_changed(self) -> None:
        """
        A file that somebody has changed is not overwritten.
        """
        (self.folder / "gateway.yaml").write_text("mine")
        self.refused("gateway.yaml")

    def test_links(self) -> None:
        """
        A link is not followed, wherever it leads.
        """
        kept = self.folder / "kept.pem"
        (self.folder / "ca.pem").rename(kept)
        (self.folder / "ca.pem").symlink_to(kept.absolute())
        self.refused("ca.pem")
        kept.unlink()
        self.refused("ca.pem")

    def test_folder_in_the_way(self) -> None:
        """
        Neither is a folder with the name of a file removed.
        """
        (self.folder / "ca.pem").unlink()
        (self.folder / "ca.pem").mkdir()
        self.refused("ca.pem")

    def test_no_list(self) -> None:
        """
        Without its list, or with one that is none, everything is somebody's.
        """
        listed = self.folder / ".appgw-demo.json"
        for text in ("no json", "[]", '{"gateway.yaml": "x"}', '{"gateway.yaml": 1}'):
            listed.write_text(text)
            self.refused(".appgw-demo.json")
        listed.unlink()
        self.refused("gateway.yaml")

    def test_foreign_log(self) -> None:
        """
        Somebody's access log is not appended to.
        """
        folder = self.folder / "other"
        folder.mkdir()
        (folder / "access.log").write_text("mine")
        with self.assertRaises(ForeignFileError):
            write(folder, self.files)
        self.assertEqual([path.name for path in folder.iterdir()], ["access.log"])
