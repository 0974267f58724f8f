"""
The ports of a gateway: bound once, given new terms, drained.

A port is served from a socket that listens before anything is accepted: whoever
connects too early waits in its backlog. What is closed lives on here until its
last client is gone.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
from twisted.web.resource import IResource

from appgw.config.model import Network
from appgw.endpoints import ServerPort
from appgw.listen.door import Door
from appgw.listen.http1 import Channel
from appgw.listen.sockets import bind
from appgw.listen.tls import PortTLS
from appgw.listen.trusted import Proxies
from appgw.message import Arrival

Key = tuple[str, int]
"""Address and port, as configured."""


@attrs.frozen(eq=False, kw_only=True)
class Terms:
    """
    What one port is served on.

    Attributes:
        scheme: ``http`` or ``https``.
        root: where the walk of each request begins.
        tls: None for plain http.
        proxies: who may connect, and say for whom; None: clients themselves do.
        max_request_body: bytes.
        trusted_proxies: whose forwarding headers are believed.
        curious: rewrites ask of clients what only their sockets can tell.
        forgotten: tells of a connection that stands whether the listener it was
            made to is there no more, or demands another handshake; None: all of
            them are there, as they were.
    """

    scheme: str
    root: IResource
    tls: PortTLS | None = None
    proxies: Proxies | None = None
    max_request_body: int
    trusted_proxies: tuple[Network, ...] = ()
    curious: bool = False
    forgotten: Callable[[Arrival], bool] | None = None

    def alike(self, other: Terms) -> bool:
        """
        Tell whether a connection begins in the same way on both.
        """
        proxied = self.proxies is not None
        return self.scheme == other.scheme and proxied == (other.proxies is not None)

    def distrust(self, transport: Any) -> bool:
        """
        Tell of a connection that stands whether its proxy is not one any more.
        """
        proxies = self.proxies
        return proxies is not None and not proxies.trusts(transport.proxy[0])


@attrs.define(eq=False)
class _Place:
    """
    One address and port.

    Attributes:
        served: None until connections are accepted.
    """

    listening: socket.socket
    door: Door
    terms: Terms
    served: ServerPort | None = None

    def accept(self, reactor: Any) -> None:
        """
        Take in those that wait, and everybody who comes.
        """
        if self.served is None:
            terms = self.terms
            port = ServerPort(
                reactor, self.listening, self.door, terms.tls, terms.proxies
            )
            port.startListening()
            self.served = port

    def take_in(self) -> None:
        """
        Accept those that wait now: closing the socket would reset them.
        """
        port = self.served
        before = -1
        while port is not None and port.sessionno > before:
            before = port.sessionno
            port.doRead()

    def close(self) -> None:
        """
        Take in nobody any more.
        """
        if self.served is None:
            self.listening.close()
        else:
            self.served.stopListening()

    def handshakes(self) -> list[Any]:
        """
        Those whose handshake is not over.
        """
        return [] if self.served is None else list(self.served.handshaking)


class Ports:
    """
    Every port of a gateway, and every client.

    Args:
        gone: the root for clients of what is not served any more.
        seconds: a monotonic clock.
        most: clients of one port at one time.

    Attributes:
        accepting: clients are taken in.
    """

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float],
        gone: IResource,
        most: float = math.inf,
    ) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._gone = gone
        self._most = most
        self._open: dict[Key, _Place] = {}
        self._leaving: list[_Place] = []
        self._dismissed = Door(gone, 0, "", seconds)
        self.accepting = False
        self._accepted_before = 0

    # What is served.

    @property
    def accepted(self) -> int:
        """
        How many connections have been accepted so far.
        """
        places = (*self._open.values(), *self._leaving)
        return self._accepted_before + sum(place.door.accepted for place in places)

    def addresses(self) -> dict[Key, tuple[str, int]]:
        """
        Return where each port listens: other than configured for port 0.
        """
        return {
            key: place.listening.getsockname()[:2] for key, place in self._open.items()
        }

    def reserve(self, keys: Iterable[Key]) -> dict[Key, socket.socket]:
        """
        Bind those of *keys* that are not bound yet; all of them, or none.

        Raises:
            OSError: one cannot be had.
        """
        found: dict[Key, socket.socket] = {}
        try:
            for key in keys:
                if key not in self._open:
                    found[key] = bind(*key)
        except OSError:
            for listening in found.values():
                listening.close()
            raise
        return found

    def enforce(
        self, terms: Mapping[Key, Terms], reserved: Mapping[Key, socket.socket]
    ) -> None:
        """
        Serve on *terms* from now on, and nothing else.

        Args:
            reserved: what ``reserve`` has returned for these terms.
        """
        found = dict(reserved)
        for key, place in list(self._open.items()):
            wanted = terms.get(key)
            if wanted is not None and wanted.alike(place.terms):
                self._renew(place, wanted)
                continue
            if wanted is not None:
                # The socket goes on listening, for those who begin otherwise.
                found[key] = place.listening.dup()
            del self._open[key]
            place.close()
            self._leave(place)
        for key, listening in found.items():
            self._open[key] = self._made(key, listening, terms[key])
        if self.accepting:
            self.accept()

    def _made(self, key: Key, listening: socket.socket, terms: Terms) -> _Place:
        port = key[1] or listening.getsockname()[1]
        door = Door(terms.root, port, terms.scheme, self._seconds)
        door.most = self._most
        place = _Place(listening, door, terms)
        self._renew(place, terms)
        return place

    def _renew(self, place: _Place, terms: Terms) -> None:
        place.terms = terms
        place.door.renew(
            terms.root, terms.max_request_body, terms.trusted_proxies, terms.curious
        )
        if terms.tls is not None:
            terms.tls.curious = terms.curious
        if place.served is not None:
            place.served.tls = terms.tls
            place.served.proxies = terms.proxies
        for transport in place.handshakes():
            if terms.distrust(transport):
                transport.abortConnection()
        forgotten = terms.forgotten or (lambda _: False)
        for channel in list(place.door.channels):
            if forgotten(channel.arrival) or terms.distrust(channel.transport):
                self._dismissed.begin_draining()
                channel.move(self._dismissed)

    def _leave(self, place: _Place) -> None:
        place.door.root = self._gone
        place.door.begin_draining()
        self._leaving.append(place)

    def accept(self) -> None:
        """
        Take in clients from now on.
        """
        self.accepting = True
        for place in self._open.values():
            place.accept(self._reactor)

    # Time, and the end.

    def sweep(self, now: float) -> None:
        """
        End what has waited too long; *now* in seconds of our clock.
        """
        turn = self._reactor.seconds()
        for place in (*self._open.values(), *self._leaving):
            place.door.sweep(now)
            if place.served is not None:
                place.served.sweep(turn)
        self._dismissed.sweep(now)
        for place in list(self._leaving):
            if not place.door.channels and not place.handshakes():
                self._leaving.remove(place)
                self._accepted_before += place.door.accepted

    def drain(self) -> None:
        """
        Take in those that have come so far, then nobody; let requests end.
        """
        self.accepting = False
        for place in self._open.values():
            place.take_in()
            place.close()
            place.door.begin_draining()
        self._leaving += self._open.values()
        self._open = {}

    def channels(self) -> Iterator[Channel]:
        """
        Yield every client.
        """
        for place in (*self._open.values(), *self._leaving):
            yield from place.door.channels
        yield from self._dismissed.channels

    def clients(self) -> int:
        """
        Return how many clients there are, those in their handshake included.
        """
        places = (*self._open.values(), *self._leaving)
        shaking = sum(len(place.handshakes()) for place in places)
        return shaking + sum(1 for _ in self.channels())

    def abort(self) -> None:
        """
        Cut every connection.
        """
        for channel in list(self.channels()):
            channel.transport.abortConnection()
        for place in (*self._open.values(), *self._leaving):
            for transport in place.handshakes():
                transport.abortConnection()
