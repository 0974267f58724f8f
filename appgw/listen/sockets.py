"""
Listening sockets: bound in one place, before privileges are given up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BACKLOG: Final = 1024

_LONGEST: Final = 107
"""Bytes of a path that the system takes for the address of a UNIX socket."""


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


def bind_file(path: str) -> socket.socket:
    """
    Return a UNIX socket that listens, not blocking, for its owner only.

    One that nobody listens on any more is replaced.

    Args:
        path: absolute.

    Raises:
        CannotListen: it cannot be had; the message names the path.
    """
    listening = socket.socket(
        socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    try:
        _make_way(path)
        # Before it has a name: the file is made with this mode.
        os.fchmod(listening.fileno(), 0o600)
        with addressable(path) as address:
            listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        why = error.strerror or error
        raise CannotListen(error.errno, f"cannot listen on {path}: {why}") from error
    return listening


@contextlib.contextmanager
def addressable(path: str) -> Iterator[str]:
    """
    Give a path for a socket that is short enough for the system.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    folder, name = os.path.split(path)
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{name}"
    finally:
        os.close(opened)


def _make_way(path: str) -> None:
    """
    Remove a socket that somebody has left there.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "something else is there, and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            with addressable(path) as address:
                caller.connect(address)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except BlockingIOError:
            pass  # somebody listens, and is very busy
    raise OSError(errno.EADDRINUSE, "another program listens there")
