"""
Headers of the PROXY protocol as a proxy writes them, and a port that takes them.
"""

from __future__ import annotations

import ipaddress
import ssl
import struct
from collections.abc import Iterator
from typing import Any

from twisted.internet.protocol import Factory

from appgw.introduction import Introduction
from appgw.listen.trusted import Proxies
from tests.wire import Echo, OwnTestCase, Talkers, trusting

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, UDP4, TCP6, UDP6, UNIX = 0x11, 0x12, 0x21, 0x22, 0x31

NOBODY = b"PROXY UNKNOWN\r\n"


def version_1(
    client: str = "192.0.2.7",
    port: int = 45123,
    own: str | None = None,
    own_port: int = 443,
) -> bytes:
    """
    Name a client in text.
    """
    number = ipaddress.ip_address(client).version
    own = own or ("198.51.100.1" if number == 4 else "2001:db8:ffff::1")
    kind = "TCP4" if number == 4 else "TCP6"
    return f"PROXY {kind} {client} {own} {port} {own_port}\r\n".encode()


def version_2(client: str = "192.0.2.7", port: int = 45123, more: bytes = b"") -> bytes:
    """
    Name a client in bytes, *more* of them behind its address.
    """
    address = ipaddress.ip_address(client)
    width = 4 if address.version == 4 else 16
    there = address.packed + bytes(width) + struct.pack("!HH", port, 443) + more
    return framed(there, PROXY, TCP4 if address.version == 4 else TCP6)


def framed(
    content: bytes = b"",
    command: int = LOCAL,
    family: int = 0,
    length: int | None = None,
) -> bytes:
    """
    Put the fixed part of version 2 before *content*.
    """
    size = len(content) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, size) + content


class Introducing(Factory):
    """
    Says something of its own before what it is wrapped around says anything.
    """

    noisy = False

    def __init__(self, header: bytes, factory: Factory) -> None:
        self.header = header
        self.factory = factory

    def buildProtocol(self, addr: Any) -> Any:
        """
        Let the protocol begin a moment later.
        """
        protocol: Any = self.factory.buildProtocol(addr)
        begin = protocol.makeConnection

        def introduce(transport: Any) -> None:
            transport.write(self.header)
            begin(transport)

        protocol.makeConnection = introduce
        return protocol


LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
IPV6 = "2001:db8::7"
CLIENTS = ("192.0.2.7", IPV6)


def headers() -> Iterator[tuple[bytes, str | None]]:
    """
    Yield every kind of header, and whom it names.
    """
    for client in CLIENTS:
        yield version_1(client), client
        yield version_2(client), client
        yield version_2(client, more=b"\x04\x00\x40" + bytes(64)), client
    yield NOBODY, None
    yield b"PROXY UNKNOWN ::1 ::1 1 2\r\n", None
    yield framed(), None
    yield framed(bytes(30), PROXY, 0), None


class Whispering:
    """
    TLS of a peer whose bytes go where the test wants them.
    """

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(
            self.incoming, self.outgoing, server_hostname="a.example"
        )
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.hello = self.outgoing.read()

    def finish(self) -> bytes:
        """
        Shake hands, now that the hello is sent; speak, and return the echo.
        """
        said = False
        while True:
            try:
                self.tls.do_handshake()
                if not said:
                    self.tls.write(GET)
                    said = True
                    self.peer.sendall(self.outgoing.read())
                return self.tls.read(100)
            except ssl.SSLWantReadError:
                self.peer.sendall(self.outgoing.read())
                self.incoming.write(self.peer.recv(65536))


class IntroductionCase(OwnTestCase):
    """
    A port for proxies, who are here on loopback.
    """

    def begin(
        self,
        kind: Any = Echo,
        tls: Any = None,
        networks: Any = LOOPBACK,
        address: str = "127.0.0.1",
    ) -> int:
        """
        Serve those who are introduced.
        """
        self.why: list[str] = []
        self.talkers = Talkers(kind)
        proxies = Proxies("here", networks, self.why.append)
        return self.open(self.talkers, tls, proxies, address)

    async def introduction(self) -> Introduction:
        """
        Wait for a connection of which nothing is known.
        """
        await self.until(lambda: self.port.handshaking)
        (one,) = self.port.handshaking
        assert isinstance(one, Introduction)
        return one

    def tearDown(self) -> None:
        """
        Nothing that anybody says is worth a traceback.
        """
        self.assertEqual([], self.flushLoggedErrors())
