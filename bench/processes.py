"""
Processes of the bench: started on one core, measured, ended by their ids.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


class BenchError(Exception):
    """
    Something that makes a number worthless: no result is better than a wrong one.
    """


@attrs.frozen
class Cpu:
    """
    CPU time of a set of processes, in seconds.
    """

    user: float
    system: float

    @property
    def total(self) -> float:
        """
        User and system time together.
        """
        return self.user + self.system

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)


def read_cpu(stat: str) -> Cpu:
    """
    Read the CPU time from the text of ``/proc/PID/stat``.

    Children that have ended count too (cutime, cstime), so that a worker that
    is replaced takes nothing away.

    Args:
        stat: the one line; the command's name in it may hold spaces and brackets.
    """
    # proc(5): utime, stime, cutime, cstime are the fields 14 to 17, and field 3
    # is the first one after the name's last bracket.
    fields = stat.rpartition(")")[2].split()
    user, system, ended_user, ended_system = map(int, fields[11:15])
    return Cpu((user + ended_user) * TICK, (system + ended_system) * TICK)


def read_pss(smaps_rollup: str) -> int:
    """
    Read the proportional set size, in bytes, from ``/proc/PID/smaps_rollup``.
    """
    for line in smaps_rollup.splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024
    raise BenchError("this kernel does not tell a process's Pss")


def family(leader: int) -> list[int]:
    """
    List the processes of a session, by the id of the process that began it.

    A session holds what a program has started, also after its leader's end.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                state, _parent, _group, session = stat.rpartition(")")[2].split()[:4]
                if int(session) == leader and state != "Z":
                    found.append(int(entry.name))
    return found


@attrs.frozen(eq=False)
class Running:
    """
    A program under measurement.

    Attributes:
        output: where its standard output and error went.
    """

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def cpu(self) -> Cpu:
        """
        Sum the CPU time that all its processes have used so far.
        """
        parts = [
            read_cpu(Path(f"/proc/{pid}/stat").read_text())
            for pid in family(self.process.pid)
        ]
        return Cpu(sum(p.user for p in parts), sum(p.system for p in parts))

    def memory(self) -> int:
        """
        Sum the proportional set size of all its processes, in bytes.
        """
        return sum(
            read_pss(Path(f"/proc/{pid}/smaps_rollup").read_text())
            for pid in family(self.process.pid)
        )

    def check_alive(self) -> None:
        """
        Raise if the program has ended.

        Raises:
            BenchError: with the last lines that it wrote.
        """
        if self.process.poll() is not None:
            raise BenchError(
                f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
            )

    def tail(self) -> str:
        """
        Give the last lines that it wrote.
        """
        lines = self.output.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-12:])

    def end(self) -> None:
        """
        End all its processes, by their ids: politely, then surely.
        """
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # A child of nobody is gone a moment after it was killed.
        while orphans := family(self.process.pid):
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    core: int,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """
    Run a program on one core until the block ends, however it ends.

    Args:
        name: what it is called in messages.
        command: program and arguments.
        core: the number of a processor.
        folder: takes its output.
        environment: added to ours.
    """
    output = folder / f"{name}.out"
    with output.open("ab") as stream:
        # A session of its own: Ctrl-C reaches us alone, and we end the others.
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PATH": PATH, **(environment or {})},
        )
    one = Running(name, process, output)
    try:
        yield one
    finally:
        one.end()
