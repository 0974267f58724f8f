"""
A port as its channels know it: the root of its tree, its limits, its clients.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.web.resource import IResource

from appgw.config.model import Network
from appgw.listen.hello import names, offered
from appgw.listen.http1 import Channel
from appgw.listen.trusted import among, plain_address
from appgw.message import Arrival

_TCPI_RTT: Final = 68
"""Where Linux's struct tcp_info has the round trip, in microseconds."""


class Door(Factory):
    """
    Makes a channel for each client of one port.

    A reload changes the attributes; each request looks at them anew.

    Attributes:
        root: the resource that a request's walk begins at.
        max_request_body: bytes.
        trusted_proxies: whose forwarding headers are believed.
        curious: it is of interest what only clients' sockets can tell.
        draining: each connection ends after the request under way, or the next
            one if that comes within moments.
        drained_since: when that began, in seconds of the clock.
        accepted: how many connections there have been.
        channels: the clients that are here.
        seconds: a monotonic clock.
        most: clients at one time; a further one is hung up on.
    """

    log = Logger()

    noisy = False
    curious = False
    draining = False
    drained_since = 0.0
    most: float = math.inf

    def __init__(
        self,
        root: IResource,
        port: int,
        scheme: str,
        seconds: Callable[[], float],
    ) -> None:
        self.root = root
        self.port = port
        self.scheme = scheme
        self.seconds = seconds
        self.max_request_body = 0
        self.trusted_proxies: tuple[Network, ...] = ()
        self.accepted = 0
        self.channels: set[Channel] = set()

    def buildProtocol(self, addr: Any) -> Any:
        """
        Make the channel of a new connection.
        """
        if len(self.channels) >= self.most:
            return None
        self.accepted += 1
        return Channel(self)

    def arrival(self, transport: Any) -> Arrival:
        """
        Put together what is known of a connection.
        """
        address = plain_address(transport.client[0])
        facts = getattr(transport, "facts", None)
        # Through a proxy that has named nobody come others' words, not its own.
        named = getattr(transport, "named", True)
        trusted = named and among(address, self.trusted_proxies)
        round_trip = _round_trip(transport.socket) if self.curious else 0
        if facts is None:
            return Arrival(
                address,
                transport.client[1],
                self.port,
                self.scheme,
                trusted=trusted,
                round_trip=round_trip,
            )
        return Arrival(
            address,
            transport.client[1],
            self.port,
            self.scheme,
            facts.server_name,
            facts.version,
            facts.cipher,
            trusted,
            facts.client_certificate,
            names(offered(transport.hello), transport.tls) if self.curious else "",
            round_trip,
        )

    def renew(
        self,
        root: IResource,
        max_request_body: int,
        trusted: tuple[Network, ...],
        curious: bool = False,
    ) -> None:
        """
        Serve on other terms from the next request on.
        """
        self.root = root
        self.max_request_body = max_request_body
        if (trusted, curious) != (self.trusted_proxies, self.curious):
            self.trusted_proxies = trusted
            self.curious = curious
            for channel in self.channels:
                channel.arrival = self.arrival(channel.transport)

    def sweep(self, now: float) -> None:
        """
        End what has waited too long; *now* in seconds of our clock.
        """
        for channel in list(self.channels):
            try:
                channel.sweep(now)
                if self.draining:
                    channel.drain(now)
            except Exception:
                # It would end the sweeps, and with them everybody's time-outs.
                self.log.failure("A client could not be looked at; this is a bug.")
                channel.transport.abortConnection()

    def begin_draining(self) -> None:
        """
        Let each connection end after its request; sweeps end the idle ones.
        """
        self.draining = True
        self.drained_since = self.seconds()


def _round_trip(connection: socket.socket) -> int:
    """
    Return how long a packet and its receipt take, in microseconds.
    """
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_RTT + 4)
    except OSError:
        return 0  # it has gone already
    microseconds: int = struct.unpack_from("I", info, _TCPI_RTT)[0]
    return microseconds
