"""
Our connections to a backend that lives in a thread.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from appgw.endpoints import ClientEndpoint
from appgw.listen.sockets import bind
from appgw.testing import Issued, make_certificate
from appgw.transport import TLSClient
from tests.wire import PATIENCE, Talker, Talkers, WireTestCase

SECRET = b"GET /secret HTTP/1.1\r\n\r\n"


class Asking(Talker):
    """
    Says its secret as soon as it may.
    """

    def makeConnection(self, transport: Any) -> None:
        """
        Ask.
        """
        super().makeConnection(transport)
        transport.write(SECRET)


def served(context: ssl.SSLContext, connection: socket.socket) -> bytes:
    """
    Serve one connection over TLS; return what came over it.
    """
    try:
        with context.wrap_socket(connection, server_side=True) as peer:
            data: bytes = peer.recv(1000)
            peer.sendall(b"answer")
            with contextlib.suppress(OSError):
                peer.unwrap()
            return data
    except OSError:
        return b""


class ClientTestCase(WireTestCase):
    """
    Our connections to a backend that lives in a thread.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.talkers = Talkers(Asking)
        self.listening = bind("127.0.0.1", 0)
        self.listening.setblocking(True)
        self.listening.settimeout(PATIENCE)
        self.addCleanup(self.listening.close)
        self.address = self.listening.getsockname()[1]

    def tearDown(self) -> None:
        """
        Nothing that a backend does in a handshake is worth a log line.
        """
        self.assertEqual([], self.flushLoggedErrors())
        left = [one for one in reactor.getReaders() if isinstance(one, TLSClient)]
        self.assertEqual([], left)

    def connect(self, terms: Any = None, **more: Any) -> Deferred[Any]:
        """
        Connect to where we listen.
        """
        endpoint = ClientEndpoint(reactor, "127.0.0.1", self.address, terms, **more)
        return endpoint.connect(self.talkers)

    def backend(self, work: Callable[[socket.socket], Any]) -> Deferred[Any]:
        """
        Accept one connection in a thread and work on it there.
        """

        def accepting() -> Any:
            connection, _ = self.listening.accept()
            connection.settimeout(PATIENCE)
            with connection:
                return work(connection)

        return self.peer(accepting)

    def tls_backend(self, issued: Issued | None = None) -> Deferred[Any]:
        """
        Answer one request over TLS; fires with the request.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        folder = self.mktemp()
        context.load_cert_chain(
            *(issued or make_certificate(["a.example"])).write(folder, "leaf")
        )
        return self.backend(lambda connection: served(context, connection))
