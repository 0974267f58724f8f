"""
Both ends of a tunnel as blocking peers, who close one side and go on reading.

Each call belongs in a thread: ``deferToThread(peer.take, 5)``.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

from OpenSSL import SSL

from tests.wire import PATIENCE, RESET

_PATIENCE = struct.pack("ll", int(PATIENCE), 0)


class Cut(Exception):  # noqa: N818 - says what happened
    """
    The connection ended, and not in the way that its protocol foresees; what came
    before it did, and why.
    """


class Peer:
    """
    One end of a connection, in clear text or over TLS.

    Args:
        connection: stands.
        tls: None for clear text.
        name: ``client``, or ``backend``, which takes the server's part in TLS.
    """

    def __init__(
        self, connection: socket.socket, tls: SSL.Context | None, name: str
    ) -> None:
        self.socket, self.name = connection, name
        connection.settimeout(None)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, _PATIENCE)
        self.wire: Any = connection
        self.unread = b""
        if tls is not None:
            self.wire = SSL.Connection(tls, connection)
            if name == "backend":
                self.wire.set_accept_state()
            else:
                self.wire.set_connect_state()
            self.wire.do_handshake()

    def send(self, data: bytes) -> None:
        """
        Send all of *data*.
        """
        self.wire.sendall(data)

    def _more(self) -> bytes:
        try:
            data: bytes = self.wire.recv(65536)
        except SSL.ZeroReturnError:
            return b""
        except (OSError, SSL.Error) as error:
            raise Cut(repr(error)) from error
        return data

    def upto(self, mark: bytes) -> bytes:
        """
        Read up to the end of *mark*.
        """
        while mark not in self.unread:
            more = self._more()
            if not more:
                raise Cut("too early")
            self.unread += more
        found, _, self.unread = self.unread.partition(mark)
        return found + mark

    def rest(self) -> bytes:
        """
        Read up to the clean end.
        """
        data, self.unread = self.unread, b""
        try:
            while more := self._more():
                data += more
        except Cut as cut:
            raise Cut(data, str(cut)) from cut
        return data

    def finish(self) -> None:
        """
        Say that nothing more comes, and go on listening.
        """
        if self.wire is self.socket:
            self.socket.shutdown(socket.SHUT_WR)
        else:
            self.wire.shutdown()

    def cut(self) -> None:
        """
        End TCP with a reset.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def hang_up(self) -> None:
        """
        End TCP, and say nothing to TLS.
        """
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Listening:
    """
    A backend's port.

    Args:
        tls: None for clear text.
    """

    def __init__(self, tls: SSL.Context | None) -> None:
        self.tls = tls
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE)
        self.port: int = self.socket.getsockname()[1]

    def accept(self) -> Peer:
        """
        Take one connection.
        """
        connection, _ = self.socket.accept()
        return Peer(connection, self.tls, "backend")
