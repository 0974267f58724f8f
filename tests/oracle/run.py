"""
Starts a gateway and lets the oracle judge it, in each of several ways at once.

    python -m tests.oracle.run [--step N] [--list]

The requests come in clear text or over TLS, whole or in single bytes, as they
are or with what they lack for being served: a Host, the end of their head. Ends
with 1 unless nothing was smuggled, poisoned, malformed, or answered with 5xx, and
all was taken or refused as it should be; ``judged`` has the exceptions.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from appgw.testing import make_certificate
from tests.oracle.judged import ACCEPTED, REJECTED
from tests.oracle.splitter import Splitter

WAYS = (
    *("plain", "plain-split", "plain-completed", "plain-completed-split"),
    *("tls", "tls-split", "tls-completed"),
)
PATIENCE = 900.0
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
ORACLE = Path(__file__).parent / "fwdoracle.py"
CORPUS = Path(__file__).parent / "corpus.jsonl"

Judged = dict[str, Any]
"""A payload of the corpus, or what the oracle says of it."""


def free_ports(count: int) -> list[int]:
    """
    Return ports that nobody has at the moment.
    """
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def configuration(folder: Path, ways: Mapping[str, tuple[int, int]]) -> Path:
    """
    Write a listener for each way, from its first port to its second.
    """
    make_certificate(["gw.test"]).write(folder, "front")
    config: dict[str, Any] = {
        "certificates": {
            "front": {"certificate_file": "front.pem", "key_file": "front.key"}
        },
        "backend_settings": {"all": {"protocol": "http", "probe_enabled": False}},
        "listeners": {},
        "pools": {},
        "rules": {},
    }
    for priority, (way, (port, backend)) in enumerate(ways.items(), 1):
        listener = {"protocol": "http", "address": "127.0.0.1", "port": port}
        if way.startswith("tls"):
            listener |= {"protocol": "https", "certificate": "front"}
        config["listeners"][way] = listener
        config["pools"][way] = {"members": [f"127.0.0.1:{backend}"]}
        config["rules"][way] = {
            "priority": priority,
            "listener": way,
            "pool": way,
            "backend_settings": "all",
        }
    path = folder / "gateway.yaml"
    # JSON is YAML, too.
    path.write_text(json.dumps(config))
    return path


@contextlib.contextmanager
def gateway(folder: Path, ways: Mapping[str, tuple[int, int]]) -> Iterator[None]:
    """
    Run a gateway until the block is left; its log is in the folder.
    """
    path = configuration(folder, ways)
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [*TWISTD, "--nodaemon", "--pidfile=", "appgw", "--config", str(path)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for port, _ in ways.values():
            _await_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the gateway did not start")


def judge(
    folder: Path, step: int = 1, ways: Sequence[str] = WAYS
) -> dict[str, list[Judged]]:
    """
    Send every *step*-th payload in each way; return what became of them.

    On a slow machine the end of one payload can be taken for the next one's. So
    those that fail are sent again, each three times and with more patience.
    """
    payloads = [json.loads(line) for line in CORPUS.read_text().splitlines()][::step]
    found = _sent(folder, dict.fromkeys(ways, payloads), "0.35")
    doubtful = {way: failures(judged) for way, judged in found.items()}
    again = {
        way: [one for one in payloads if one["id"] in _ids(judged) for _ in range(3)]
        for way, judged in doubtful.items()
        if judged
    }
    for way, judged in _sent(folder, again, "1.5").items() if again else ():
        bad = {one["id"]: one for one in failures(judged)}
        good = {one["id"]: one for one in judged if one["id"] not in bad}
        found[way] = [(bad | good).get(one["id"], one) for one in found[way]]
    return found


def _ids(judged: Sequence[Judged]) -> set[str]:
    return {one["id"] for one in judged}


def _sent(
    folder: Path, payloads: Mapping[str, Sequence[Judged]], idle: str
) -> dict[str, list[Judged]]:
    """
    Send each way's payloads, all ways at once.

    Args:
        idle: seconds without an answer after which there is none.
    """
    ways = list(payloads)
    ports = free_ports(2 * len(ways))
    routes = {way: (ports[2 * at], ports[2 * at + 1]) for at, way in enumerate(ways)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(gateway(folder, routes))
        running = {}
        for way, (port, backend) in routes.items():
            corpus = completed(payloads[way]) if "completed" in way else payloads[way]
            lines = [json.dumps(payload) for payload in corpus]
            (folder / f"{way}.jsonl").write_text("\n".join(lines) + "\n")
            ahead = port
            if way.endswith("-split"):
                tls = _trusting() if way.startswith("tls") else None
                splitter = Splitter(port, tls)
                stack.callback(splitter.close)
                ahead = splitter.port
            process = _asked(folder, way, ahead, backend, idle)
            running[way] = stack.enter_context(process)
        for way, process in running.items():
            if process.wait(PATIENCE):
                raise RuntimeError(f"the oracle failed: {way}")
    return {way: json.loads((folder / f"{way}.json").read_text()) for way in ways}


def _asked(
    folder: Path, way: str, port: int, backend: int, idle: str
) -> subprocess.Popen[bytes]:
    tls = way.startswith("tls") and not way.endswith("-split")
    return subprocess.Popen(
        [
            *(sys.executable, str(ORACLE), "--quiet", *(("--tls",) if tls else ())),
            *("--port", str(port), "--backend-port", str(backend), "--idle", idle),
            *("--corpus", str(folder / f"{way}.jsonl")),
            *("--out", str(folder / f"{way}.json")),
        ],
        stdout=subprocess.DEVNULL,
    )


def completed(payloads: Sequence[Judged]) -> list[Judged]:
    """
    Give payloads a Host, and an end to head and body.
    """
    found = []
    for payload in payloads:
        wire = base64.b64decode(payload["b64"]).lstrip(b"\r\n")
        first, end, rest = wire.partition(b"\r\n")
        if end and b"host:" not in wire.lower():
            wire = first + b"\r\nHost: gw.test\r\n" + rest
        ended = b"\r\n\r\n" in wire
        if payload["cls"] == "valid":
            ended = wire.endswith(b"\r\n\r\n")
        if wire.endswith(b"\r\n") and not ended:
            wire += b"\r\n"
        found.append(payload | {"b64": base64.b64encode(wire).decode("ascii")})
    return found


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def told(verdicts: Sequence[Judged]) -> collections.Counter[str]:
    """
    Count verdicts by their word.
    """
    return collections.Counter(
        verdict for one in verdicts for verdict in one["verdict"]
    )


def failures(verdicts: Sequence[Judged]) -> list[Judged]:
    """
    Return what must never happen, what nobody has given a reason for, and what
    leaves a doubt about the run itself.
    """
    return [
        one
        for one in verdicts
        if any(
            verdict == "NOTE interference"
            or (verdict.startswith("FAIL") and not _explained(verdict, one["id"]))
            for verdict in one["verdict"]
        )
    ]


def _explained(verdict: str, payload: str) -> bool:
    reasons = {"FAIL rejected": REJECTED, "FAIL accepted": ACCEPTED}
    return payload in reasons.get(verdict, {})


def main() -> int:
    """
    Run all of it; say how it went.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1, help="only each Nth payload")
    parser.add_argument("--list", action="store_true", help="show all that is not ok")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for way, verdicts in judge(Path(folder), options.step).items():
            counts = ", ".join(f"{v} {n}" for v, n in sorted(told(verdicts).items()))
            sys.stdout.write(f"{way}: {len(verdicts)} payloads: {counts}\n")
            bad = failures(verdicts)
            failed += len(bad)
            for one in verdicts if options.list else bad:
                if one["verdict"] != ["ok"]:
                    sys.stdout.write(f"  {json.dumps(one)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
