"""
What an idle TLS connection costs a gateway in memory.
"""

from __future__ import annotations

import socket
import ssl
import time

from bench.ground import SMALL, Ground
from bench.peers import Gateway
from bench.processes import BenchError

REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
SETTLE = 0.5


def connect(gateway: Gateway, context: ssl.SSLContext) -> ssl.SSLSocket:
    """
    Open a connection, make one request, and keep it.

    Raises:
        BenchError: the gateway closed it.
    """
    plain = socket.create_connection(("127.0.0.1", gateway.port), 10)
    # The request follows the handshake's last flight at once, not its ACK.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    held = context.wrap_socket(plain, server_hostname="localhost")
    held.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"x" * SMALL):
        more = held.recv(65536)
        if not more:
            raise BenchError(f"{gateway.name} closed an idle connection: {answer!r}")
        answer += more
    return held


def bytes_per_connection(gateway: Gateway, ground: Ground, count: int) -> float:
    """
    Tell what one kept connection costs, in bytes, after a request was answered.

    Args:
        gateway: a fresh one, whose heap holds nothing that was freed.
        ground: whose CA the client knows.
        count: how many are opened; a tenth more come first, so that what is
            loaded once does not count.
    """
    context = ground.client_context()
    held: list[ssl.SSLSocket] = []
    try:
        held.extend(connect(gateway, context) for _ in range(count // 10))
        time.sleep(SETTLE)
        before = gateway.process.memory()
        held.extend(connect(gateway, context) for _ in range(count))
        time.sleep(SETTLE)
        return (gateway.process.memory() - before) / count
    finally:
        for one in held:
            one.close()
