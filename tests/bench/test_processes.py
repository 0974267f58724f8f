from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.check import check_build
from bench.peers import PEERS, Gateway
from bench.processes import (
    TICK,
    BenchError,
    Cpu,
    Running,
    family,
    read_cpu,
    read_pss,
    running,
)

CORE = min(os.sched_getaffinity(0))


def stat(name: str) -> str:
    before = " ".join(str(number) for number in range(3, 14))
    return f"4711 ({name}) {before} 500 300 20 10 " + "0 " * 30


def interrupt() -> None:
    raise KeyboardInterrupt


class ReadTests(SynchronousTestCase):
    def test_cpu(self) -> None:
        """
        User and system time each include those of children that have ended.
        """
        cpu = read_cpu(stat("nginx"))
        self.assertAlmostEqual(cpu.user, 520 * TICK)
        self.assertAlmostEqual(cpu.system, 310 * TICK)

    def test_names_with_brackets(self) -> None:
        """
        A command's name that looks like fields does not shift the fields.
        """
        self.assertEqual(read_cpu(stat("a) R 1 (b")), read_cpu(stat("nginx")))

    def test_difference(self) -> None:
        """
        Two readings give what was used between them.
        """
        used = Cpu(3.0, 2.0) - Cpu(1.0, 0.5)
        self.assertEqual((used.user, used.system, used.total), (2.0, 1.5, 3.5))

    def test_pss(self) -> None:
        """
        The proportional set size is found among its namesakes, in bytes.
        """
        text = (
            "5-7 ---p 00 00:00 0 [rollup]\nRss:  99 kB\nPss:  12 kB\nPss_Anon: 7 kB\n"
        )
        self.assertEqual(read_pss(text), 12 * 1024)

    def test_no_pss(self) -> None:
        """
        A kernel that does not tell it gives no number rather than zero.
        """
        self.assertRaises(BenchError, read_pss, "Rss:  99 kB\n")


class RunningTests(SynchronousTestCase):
    def setUp(self) -> None:
        """
        Make a folder for what the programs write.
        """
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def _wait_for(self, process: Running, text: str) -> None:
        limit = time.monotonic() + 20
        while text not in process.output.read_text():
            self.assertLess(time.monotonic(), limit, "it never said so")
            time.sleep(0.01)

    def test_children_count_and_end(self) -> None:
        """
        A program's children are measured with it, and none outlives the block.
        """
        script = "sleep 600 & sleep 600 & echo started; wait"
        with running("sh", ["sh", "-c", script], CORE, self.folder) as process:
            self._wait_for(process, "started")
            leader = process.process.pid
            self.assertEqual(len(family(leader)), 3)
            self.assertGreater(process.memory(), 0)
        self.assertEqual(family(leader), [])

    def test_orphans_end(self) -> None:
        """
        Children end also where their parent went away before them.
        """
        script = "sleep 600 & echo started"
        with running("sh", ["sh", "-c", script], CORE, self.folder) as process:
            process.process.wait()
            self.assertEqual(len(family(process.process.pid)), 1)
        self.assertEqual(family(process.process.pid), [])

    def test_ends_on_errors(self) -> None:
        """
        A program ends when the block is left by an exception, as by Ctrl-C.
        """
        block = running("sleep", ["sleep", "600"], CORE, self.folder)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.assertRaises(KeyboardInterrupt))
            leader = stack.enter_context(block).process.pid
            interrupt()
        self.assertEqual(family(leader), [])

    def test_core(self) -> None:
        """
        The program runs on its core alone.
        """
        command = ["sh", "-c", "taskset -p $$; echo done"]
        with running("sh", command, CORE, self.folder) as process:
            self._wait_for(process, "done")
            mask = process.output.read_text().split("mask: ")[1].split()[0]
        self.assertEqual(int(mask, 16), 1 << CORE)

    def test_premature_end(self) -> None:
        """
        A program that has ended is reported with what it wrote last.
        """
        command = ["sh", "-c", "echo no such port >&2; exit 3"]
        with running("sh", command, CORE, self.folder) as process:
            process.process.wait()
            error = self.assertRaises(BenchError, process.check_alive)
        self.assertIn("ended with 3", str(error))
        self.assertIn("no such port", str(error))


class BuildTests(SynchronousTestCase):
    def test_another_build(self) -> None:
        """
        What does not run the compiled form is not measured for it.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        with running("sleep", ["sleep", "60"], CORE, folder) as process:
            check_build(Gateway(PEERS["plain"], 0, folder, process))
            compiled = Gateway(PEERS["appgw"], 0, folder, process)
            self.assertRaises(BenchError, check_build, compiled)
