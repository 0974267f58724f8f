"""
A connection before it is known whose it is: the PROXY protocol's header.

What follows the header is TLS's or HTTP's, which read from the socket
themselves. So not one byte too many is taken off it: what has come is looked at
first, and then read as far as the header goes. Once that is whole, the socket
goes to a transport as it would have been made at once without one.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from appgw.proxy_header import MAX_HEADER, BadHeader, client_of, size_of
from appgw.transport import PlainServer, TLSServer

Client = tuple[Any, ...]
"""Address and port, and two numbers more for IPv6: as a socket tells them."""


class _Introduced:
    """
    Comes from a client that a proxy has named, mixed in before the transport.

    Attributes:
        named: there is a client; else it is the proxy that counts as one.
        proxy: who has said so.
    """

    client: Client
    named: bool
    proxy: Client

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        Return the client's address.
        """
        address, port = self.client[:2]
        kind = IPv6Address if ":" in address else IPv4Address
        return kind("TCP", address, port)


class IntroducedPlain(_Introduced, PlainServer):
    """
    The connection of a client that a proxy has named, in clear text.
    """


class IntroducedTLS(_Introduced, TLSServer):
    """
    The same over TLS.
    """


@implementer(IReadDescriptor)
class Introduction:
    """
    Reads the header, and nothing else; a port makes it as it makes a transport.

    Who is not trusted with a header is sent away before one is read. The others
    are among the port's handshakes, and share their time, until a transport
    takes their place there.

    Attributes:
        proxy: who connects.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        client: Client,
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        sock.setblocking(False)
        self.proxy = client
        self._socket: socket.socket | None = sock
        self._protocol = protocol
        self._server = server
        self._number = sessionno
        self._reactor = reactor
        self._held = b""
        if server.proxies.trusts(client[0]):
            server.began(self)
            reactor.addReader(self)
        else:
            self._refuse("untrusted")

    def fileno(self) -> int:
        """
        Return the socket's descriptor, -1 once it is another's, or closed.
        """
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """
        Return what the reactor puts before our log lines.
        """
        return "PROXY"

    def doRead(self) -> None:
        """
        Read on, no further than the header goes.
        """
        sock = self._socket
        if sock is None:
            return
        try:
            whole = self._read(sock)
            client = client_of(self._held) if whole else None
        except BlockingIOError:
            return
        except OSError:
            self._broken_off()
        except BadHeader:
            self._refuse("malformed")
        else:
            if whole:
                self._introduce(sock, client)

    def _read(self, sock: socket.socket) -> bool:
        """
        Read what is there of the header; tell whether that was the rest of it.

        Raises:
            ConnectionError: nothing more will come.
        """
        ahead = sock.recv(MAX_HEADER, socket.MSG_PEEK)
        if not ahead:
            raise ConnectionError
        begun = self._held + ahead
        size = size_of(begun)
        end = len(begun) if size is None else min(size, len(begun))
        self._held += sock.recv(end - len(self._held))
        return len(self._held) == size

    def _introduce(self, sock: socket.socket, client: tuple[str, int] | None) -> None:
        """
        Put a transport in our place.
        """
        server = self._server
        deadline = server.handshaking[self]
        self._let_go()
        kind = IntroducedPlain if server.tls is None else IntroducedTLS
        transport = kind(
            sock, self._protocol, self.proxy, server, self._number, self._reactor
        )
        transport.proxy = self.proxy
        transport.named = client is not None
        if client is not None:
            transport.client = client
        if server.tls is not None:
            # One time-limit for both: it counts from the first.
            server.handshaking[transport] = deadline
            return
        protocol = server.speaking.buildProtocol(transport.getPeer())
        if protocol is None:
            transport.abortConnection()
            return
        transport.protocol = protocol
        protocol.makeConnection(transport)

    # Its end.

    def give_up(self) -> None:
        """
        End what takes too long.
        """
        self._refuse("late")

    def abortConnection(self) -> None:
        """
        End it, and hold it against nobody.
        """
        sock = self._socket
        if sock is not None:
            self._let_go()
            sock.close()

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection has broken, or the reactor has asked for what is gone.
        """
        if self._socket is not None:
            self._broken_off()

    def readConnectionLost(self, reason: Failure) -> None:
        """
        Nothing more will come.
        """
        self.connectionLost(reason)

    def _broken_off(self) -> None:
        # Who says nothing at all has looked whether somebody listens here.
        if self._held:
            self._refuse("unfinished")
        else:
            self.abortConnection()

    def _refuse(self, why: str) -> None:
        self._server.proxies.refused(why, self.proxy[0])
        self.abortConnection()

    def _let_go(self) -> None:
        self._server.settled(self)
        self._reactor.removeReader(self)
        self._socket = None
