"""
Listening sockets: bound in one place, before privileges are given up.
"""

from __future__ import annotations

import socket
from typing import Final

BACKLOG: Final = 1024


def bind(address: str, port: int) -> socket.socket:
    """
    Return a socket that listens, not blocking.

    Args:
        address: an IP address; ``::`` serves both families.
        port: 0 for one that is free.

    Raises:
        OSError: it cannot be had; the message names address and port.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            only_six = 0 if address == "::" else 1
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_six)
        # Inherited by each connection: small answers must not wait.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setblocking(False)
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno, f"cannot listen on {address} port {port}: {error.strerror}"
        ) from error
    return listening
