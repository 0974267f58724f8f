"""
The admin socket: how every member stands, for whoever runs the gateway.

A UNIX socket that its owner alone may use. It speaks HTTP and answers
``GET /backendhealth`` as Azure's API of that name does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet import unix
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from appgw.backend.pool import Pool
from appgw.backend.standing import Standing, standings
from appgw.config.model import Admin
from appgw.listen.sockets import bind_file

TIMEOUT: Final = 10
"""Seconds that somebody may be connected to it without saying anything."""

Tell = Callable[[], dict[str, Any]]


def backend_health(pools: Iterable[Pool]) -> dict[str, Any]:
    """
    Say how every member stands, in the shape of Azure's backendhealth.

    Ours are ``endpoint``, the address and port that are probed, ``probed``, and the
    settings' ``pinMode``.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for pool in pools:
        name, setting = pool.pair
        servers = [_server(standing) for standing in standings(pool)]
        settings = _named("backendHttpSettingsCollection", setting)
        collection = {
            "backendHttpSettings": settings | {"pinMode": pool.settings.pin_mode},
            "servers": servers,
        }
        found.setdefault(name, []).append(collection)
    return {
        "backendAddressPools": [
            {
                "backendAddressPool": _named("backendAddressPools", name),
                "backendHttpSettingsCollection": collections,
            }
            for name, collections in found.items()
        ]
    }


def _named(section: str, name: str) -> dict[str, str]:
    return {"id": f"{section}/{name}", "name": name}


def _server(standing: Standing) -> dict[str, Any]:
    return {
        "address": standing.address,
        "health": standing.health,
        "healthProbeLog": standing.told,
        "endpoint": standing.endpoint,
        "probed": standing.probed,
    }


class _BackendHealth(Resource):
    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def render_GET(self, request: Any) -> bytes:
        """
        Answer with everybody's health.
        """
        request.setHeader(b"Content-Type", b"application/json")
        return json.dumps(self._tell(), indent=2).encode() + b"\n"


class _Site(Site):
    displayTracebacks = False
    noisy = False

    def log(self, request: Any) -> None:
        """
        Nothing: what an operator asks is no news to him.
        """


@attrs.frozen
class SocketFile:
    """
    A socket that listens, and the file by which it is reached.
    """

    path: Path
    listening: socket.socket
    made: tuple[int, int]

    @classmethod
    def bind(cls, path: str) -> SocketFile:
        """
        Make both.

        Raises:
            OSError: they cannot be had.
        """
        listening = bind_file(path)
        return cls(Path(path), listening, _identity(Path(path)))

    def remove(self) -> None:
        """
        Remove the file, if it is still ours and we may.

        One that stays is replaced by the next who binds it.
        """
        with contextlib.suppress(OSError):
            if _identity(self.path) == self.made:
                self.path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


class _FilePort(unix.Port):
    """
    Serves a socket that listens, and removes its file in the end.
    """

    def __init__(self, file: SocketFile, factory: Any, reactor: Any) -> None:
        # Twisted would change its mode and insist on removing it, and may have lost
        # the right to either. Of what is not in the file system it does neither.
        super().__init__(b"\0" + os.fsencode(file.path), factory, reactor=reactor)
        self._preexistingSocket = file.listening
        self._file = file

    def connectionLost(self, reason: Failure) -> None:
        """
        Remove the file, too.
        """
        self._file.remove()
        super().connectionLost(reason)


class AdminSocket:
    """
    Serves the admin socket where the configuration wants it.

    Args:
        tell: returns what is told.
    """

    log = Logger()

    def __init__(self, reactor: Any, tell: Tell) -> None:
        root = Resource()
        root.putChild(b"backendhealth", _BackendHealth(tell))
        self._factory = WrappingFactory(_Site(root, reactor=reactor, timeout=TIMEOUT))
        self._factory.noisy = False
        self._reactor = reactor
        self._file: SocketFile | None = None
        self._port: _FilePort | None = None
        self._accepting = False

    @property
    def path(self) -> str | None:
        """
        Where it is, None for nowhere.
        """
        return None if self._file is None else str(self._file.path)

    def reserve(self, admin: Admin | None) -> SocketFile | None:
        """
        Make the socket that *admin* wants, if it is another than before.

        Raises:
            OSError: it cannot be had, and was asked for.
        """
        if admin is None or admin.socket == self.path:
            return None
        try:
            return SocketFile.bind(admin.socket)
        except OSError as error:
            if admin.asked_for:
                raise
            self.log.warn(
                "There is no admin socket: {error}; the key admin.socket names"
                " another place for it.",
                error=error,
            )
            return None

    def enforce(self, admin: Admin | None, reserved: SocketFile | None) -> None:
        """
        Serve there, and nowhere else; *reserved* is what ``reserve`` returned.
        """
        if admin is not None and admin.socket == self.path:
            return
        self._leave()
        self._file = reserved
        if self._accepting:
            self.accept()

    def give(self, user: int) -> None:
        """
        Let the file be *user*'s, as whom the process will go on.
        """
        if self._file is not None:
            os.chown(self._file.path, user, -1, follow_symlinks=False)

    def accept(self) -> None:
        """
        Answer from now on.
        """
        self._accepting = True
        if self._file is not None and self._port is None:
            self._port = _FilePort(self._file, self._factory, self._reactor)
            self._port.startListening()

    def close(self) -> Deferred[Any]:
        """
        Listen no more, and cut everybody.
        """
        self._accepting = False
        for connection in list(self._factory.protocols):
            connection.abortConnection()
        return self._leave()

    def _leave(self) -> Deferred[Any]:
        file, self._file = self._file, None
        port, self._port = self._port, None
        if port is not None:
            return maybeDeferred(port.stopListening)
        if file is not None:
            file.listening.close()
            file.remove()
        return succeed(None)
