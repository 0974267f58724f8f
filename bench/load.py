"""
The load: wrk for kept connections, h2load for new ones.

Every answer is judged; a run with a wrong one has no result.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence

import attrs

from bench.ground import CONFIGS, LARGE, SMALL, Ground
from bench.peers import Gateway
from bench.processes import BenchError

CONNECTIONS = 32
NEW_PER_SECOND = 1000


@attrs.frozen
class Traffic:
    """
    What a case asks for, again and again.

    Attributes:
        answer: bytes in the body of each answer.
        upload: bytes in the body of each request.
        close: each request brings a connection of its own.
        resumed: which resumes the session of one before it.
    """

    path: str
    answer: int
    upload: int = 0
    close: bool = False
    resumed: bool = False

    @property
    def method(self) -> str:
        """
        The method that goes with the upload, or its absence.
        """
        return "POST" if self.upload else "GET"


TRAFFIC = {
    "small": Traffic("/small", SMALL),
    "down": Traffic("/down", LARGE),
    "up": Traffic("/up", len("read"), upload=LARGE),
    "new": Traffic("/small", SMALL, close=True),
    "resumed": Traffic("/small", SMALL, close=True, resumed=True),
}


@attrs.frozen
class Load:
    """
    What was asked and answered in one round.

    Attributes:
        seconds: how long it took.
    """

    requests: int
    seconds: float


def drive(gateway: Gateway, ground: Ground, case: str, seconds: int) -> Load:
    """
    Load a gateway with the requests of a case.

    Raises:
        BenchError: the load failed, or one answer was wrong, short or missing.
    """
    traffic = TRAFFIC[case]
    if traffic.close and not traffic.resumed:
        count = seconds * NEW_PER_SECOND
        command = h2load_command(traffic, gateway.port, count)
        return judge_h2load(gateway.name, count, _run(gateway, ground, command))
    command = wrk_command(traffic, gateway.port, seconds)
    return judge_wrk(gateway.name, traffic, _run(gateway, ground, command))


def wrk_command(traffic: Traffic, port: int, seconds: int) -> Sequence[str]:
    """
    Make the command for as many requests as can be answered.

    wrk resumes TLS sessions wherever it connects again (seen in NGINX's
    ``$ssl_session_reused``), so it is no tool for full handshakes.
    """
    options = ["--threads=1", f"--connections={CONNECTIONS}", "--timeout=10s"]
    if traffic.close:
        options.append("--header=Connection: close")
    options += [f"--duration={seconds}s", f"--script={CONFIGS / 'wrk.lua'}"]
    url = f"https://localhost:{port}{traffic.path}"
    return ["wrk", *options, url, "--", traffic.method, str(traffic.upload)]


def h2load_command(traffic: Traffic, port: int, count: int) -> Sequence[str]:
    """
    Make the command for new connections at a fixed rate, one request on each.

    h2load never resumes a session. The rate is below what each gateway can
    bear, in steps of 10 ms, so that all of them meet the same load.
    """
    url = f"https://localhost:{port}{traffic.path}"
    rate = [f"--rate={NEW_PER_SECOND // 100}", "--rate-period=10ms"]
    tls = ["--groups=X25519", "--tls13-ciphers=TLS_AES_128_GCM_SHA256"]
    counts = [f"--clients={count}", f"--requests={count}"]
    close = "--header=Connection: close"
    return ["h2load", "--h1", *tls, *rate, *counts, close, url]


def _run(gateway: Gateway, ground: Ground, command: Sequence[str]) -> str:
    done = subprocess.run(
        ["taskset", "-c", str(ground.load_core), *command],
        check=False,
        capture_output=True,
        text=True,
        env={"OPENSSL_CONF": str(CONFIGS / "load.cnf"), "PATH": "/usr/bin:/bin"},
        start_new_session=True,
        timeout=60,
    )
    gateway.process.check_alive()
    if done.returncode:
        told = done.stdout + done.stderr
        raise BenchError(f"{command[0]} against {gateway.name}: {told}")
    return done.stdout


def judge_wrk(name: str, traffic: Traffic, output: str) -> Load:
    """
    Make a result of what wrk told, if every answer was right.

    Raises:
        BenchError: an error was counted, or fewer bytes came than were asked for.
    """
    told = json.loads(output.splitlines()[-1])
    kinds = ("status", "connect", "read", "write", "timeout")
    errors = {kind: told[kind] for kind in kinds if told[kind]}
    requests = told["requests"]
    if errors or not requests:
        raise BenchError(f"{name}: {requests} answers, errors: {errors}")
    if told["bytes"] < requests * traffic.answer:
        raise BenchError(f"{name}: {told['bytes']} bytes for {requests} answers")
    return Load(requests, told["seconds"])


def judge_h2load(name: str, count: int, output: str) -> Load:
    """
    Make a result of what h2load told, if every answer was right.

    Raises:
        BenchError: not all requests were answered with a status of 2xx.
    """
    good = re.search(r"(?m)^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", output)
    took = re.search(r"(?m)^finished in ([\d.]+)(ms|s),", output)
    if not good or not took or int(good[1]) != count:
        raise BenchError(f"{name}: not {count} good answers:\n{output}")
    return Load(count, float(took[1]) * (0.001 if took[2] == "ms" else 1))
