from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.wire import PATIENCE, dial, trusting

ROOT = Path(__file__).parents[1]

REACTORS = {
    "select": "SelectReactor",
    "poll": "PollReactor",
    "epoll": "EPollReactor",
    "asyncio": "AsyncioSelectorReactor",
}

LIMIT = 40
"""Descriptors for a program that needs a dozen without clients."""


def program(*arguments: str) -> subprocess.Popen[bytes]:
    """
    Start an echo of its own.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "tests.echoing", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def output(reactor: str) -> str:
    """
    Return all that an echo under this reactor says.
    """
    with program(reactor) as running:
        return running.communicate(timeout=60)[0].decode()


def crowd(port: int, size: int) -> None:
    """
    Come with more clients than there are descriptors, and leave again.
    """
    with contextlib.ExitStack() as crowded:
        for _ in range(size):
            one = socket.create_connection(("127.0.0.1", port), PATIENCE)
            crowded.enter_context(one)


def exhausted() -> tuple[bytes, bytes]:
    """
    Crowd a program out of descriptors; return an echo of later, and its words.
    """
    with program("epoll", str(LIMIT)) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        port = int(running.stdout.readline())
        for _ in range(3):
            crowd(port, 3 * LIMIT)
        with _served(port) as peer:
            peer.sendall(b"still here")
            echo: bytes = peer.recv(100)
        running.stdin.close()
        return echo, running.stdout.read()


def _served(port: int) -> socket.socket:
    """
    Connect as soon as a descriptor is free again.
    """
    while True:
        with contextlib.suppress(OSError):
            peer: socket.socket = dial(port, trusting())
            return peer


class ReactorTests(TestCase):
    """
    Each in a process of its own.
    """

    timeout = 120

    async def test_reactors(self) -> None:
        """
        Twisted's reactors carry our transports alike.
        """
        for name, kind in REACTORS.items():
            self.assertEqual(kind, await deferToThread(output, name))

    async def test_no_descriptors(self) -> None:
        """
        Out of descriptors, clients are turned away; later they are served again.
        """
        echo, said = await deferToThread(exhausted)
        self.assertEqual(b"still here", echo)
        self.assertNotIn(b"Traceback", said)
