"""
Listening sockets: bound in one place, before privileges are given up.
"""

from __future__ import annotations

import socket
from typing import Final

BACKLOG: Final = 1024


class CannotListen(OSError):  # noqa: N818 - says what happened
    """
    An address and port that cannot be had; its text is the whole story.
    """

    def __str__(self) -> str:
        return str(self.strerror)


def bind(address: str, port: int) -> socket.socket:
    """
    Return a socket that listens, not blocking.

    Args:
        address: an IP address; ``::`` serves both families.
        port: 0 for one that is free.

    Raises:
        CannotListen: it cannot be had; the message names address and port.
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
        why = error.strerror
        if isinstance(error, PermissionError):
            why = f"{why}; such a port can only be bound as root, before the start"
        raise CannotListen(
            error.errno, f"cannot listen on {address} port {port}: {why}"
        ) from error
    return listening
