"""
What has to be true of a gateway before its speed means anything.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from bench.ground import Ground
from bench.load import TRAFFIC, Traffic
from bench.peers import Gateway
from bench.processes import BenchError


def ask(gateway: Gateway, ground: Ground, traffic: Traffic) -> tuple[int, bytes]:
    """
    Make one request of a case, over a connection that knows the CA.

    Returns:
        Status and body.
    """
    connection = http.client.HTTPSConnection(
        "localhost", gateway.port, timeout=10, context=ground.client_context()
    )
    try:
        body = b"x" * traffic.upload if traffic.upload else None
        connection.request(traffic.method, traffic.path, body)
        answer = connection.getresponse()
        content = answer.read()
        received = int(answer.headers.get("X-Request-Length", traffic.upload))
        if received < traffic.upload:
            raise BenchError(f"{gateway.name}: the backend got {received} bytes")
        return answer.status, content
    finally:
        connection.close()


def wait_for(gateway: Gateway, seconds: float = 20.0) -> None:
    """
    Wait until a gateway accepts connections.

    Raises:
        BenchError: it ended, or the time is over.
    """
    limit = time.monotonic() + seconds
    while True:
        gateway.process.check_alive()
        try:
            socket.create_connection(("127.0.0.1", gateway.port), 1).close()
        except OSError:
            if time.monotonic() > limit:
                raise BenchError(
                    f"{gateway.name} does not listen:\n{gateway.process.tail()}"
                ) from None
            time.sleep(0.05)
        else:
            return


def check_build(gateway: Gateway) -> None:
    """
    See that what runs is appgw's compiled form where that is measured, only there.

    Raises:
        BenchError: it is not.
    """
    maps = Path(f"/proc/{gateway.process.process.pid}/maps").read_text()
    if ("/appgw__mypyc." in maps) is not gateway.peer.compiled:
        raise BenchError(f"{gateway.name} runs another build than it should")


def check_answers(gateway: Gateway, ground: Ground, cases: Iterable[str]) -> int:
    """
    See that a gateway answers each case rightly, before it is measured.

    Returns:
        How many requests that took.

    Raises:
        BenchError: it does not.
    """
    asked = 0
    for case in cases:
        traffic = TRAFFIC[case]
        asked += 1
        status, content = ask(gateway, ground, traffic)
        if status != 200 or len(content) != traffic.answer:
            raise BenchError(
                f"{gateway.name}, {case}: status {status}, {len(content)} bytes"
            )
    return asked


def check_refusal(gateway: Gateway, ground: Ground) -> None:
    """
    See that a gateway before a backend that nobody vouches for refuses it.

    Raises:
        BenchError: it took the stranger's answer, so that its pin or CA is not on.
    """
    status, _ = ask(gateway, ground, TRAFFIC["small"])
    if status not in (502, 503):
        raise BenchError(f"{gateway.name} answers {status} for an unknown backend")


def drain_log(gateway: Gateway) -> int:
    """
    Count the lines of the access log, and empty it so that no disk fills up.
    """
    lines = 0
    with gateway.log.open("rb") as stream:
        while block := stream.read(1 << 20):
            lines += block.count(b"\n")
    os.truncate(gateway.log, 0)
    return lines
