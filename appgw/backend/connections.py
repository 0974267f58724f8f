"""
Connections to backends, kept per Target and never shared across two.

A connection carries one request at a time and offers it as a stream: head,
body, trailers, pause, resume, abort. Whatever is doubtful about an answer ends
the connection, so that no byte of it can reach another client.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from appgw.backend.kept import (
    Attempts,
    Judged,
    Kept,
    PinnedTerms,
    Waiter,
    not_told,
)
from appgw.backend.stream import Stream
from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, utc_now
from appgw.config.model import BackendSettings


@attrs.define(eq=False)
class Connections:
    """
    Every connection to every backend of a gateway.

    Args:
        seconds: a monotonic clock.

    Attributes:
        attempts: how connecting went so far.
        now: the time that certificates' dates are judged by, aware.
        judged: told of each verdict on a backend, once for each handshake.
    """

    reactor: Any
    seconds: Callable[[], float]
    now: Callable[[], datetime.datetime] = utc_now
    judged: Judged = not_told
    kept: dict[Target, Kept] = attrs.field(factory=dict)
    attempts: Attempts = attrs.field(factory=Attempts)
    _retained: set[Target] | None = None

    def idle(self, target: Target) -> Stream | None:
        """
        Take a kept connection, the last used first; None when there is none.
        """
        kept = self.kept.get(target)
        if kept is None:
            return None
        idle = kept.idle
        while idle:
            stream = idle.pop()
            transport = stream.transport
            if transport.connected and transport.failed is None:
                if stream.idle_until > self.seconds():
                    return stream
                transport.loseConnection()
        return None

    def connect(self, target: Target, limit: int) -> Deferred[Stream]:
        """
        Open a connection to *target*.

        Fires with the stream, or fails with PinRefused or one of Twisted's
        connection errors.

        Args:
            limit: of connections, idle ones included.

        Raises:
            TooManyConnections: at once.
        """
        return self._kept_for(target).connect(limit)

    def wait(self, target: Target, settings: BackendSettings, fresh: bool) -> Waiter:
        """
        Wait for a connection to *target*, behind those who wait already.

        Args:
            settings: how many connections there may be, how many may wait for
                one, and for how long.
            fresh: take none that has carried another request.

        Raises:
            TooManyConnections: at once, as too many wait.
        """
        return self._kept_for(target).wait(settings, fresh)

    def apart(self, target: Target) -> Kept:
        """
        Prepare for connections to *target* that serve no requests.

        They are judged like all others, but not counted, and none is kept.
        """
        terms = self._kept_for(target).terms
        return Kept(target, self.reactor, self.seconds, terms, Attempts(), retired=True)

    def _kept_for(self, target: Target) -> Kept:
        kept = self.kept.get(target)
        if kept is None:
            terms = None
            if target.protocol == "https":
                options = PinnedClientTLSOptions(target, self.now)
                terms = PinnedTerms(options, self.judged)
            kept = Kept(target, self.reactor, self.seconds, terms, self.attempts)
            kept.retired = self._retained is not None and target not in self._retained
            self.kept[target] = kept
        return kept

    def spend(self, stream: Stream) -> None:
        """
        Send nothing new over *stream*; a request that it carries may end.
        """
        kept = self.kept.get(stream.target)
        if kept is not None:
            kept.spend(stream)

    def streams(self) -> Iterable[Stream]:
        """
        Every connection there is, idle or lent.
        """
        return [stream for kept in self.kept.values() for stream in kept.all]

    def waiting(self) -> int:
        """
        How many requests wait for a connection.
        """
        return sum(len(kept.waiting) for kept in self.kept.values())

    def tunnels(self) -> list[Stream]:
        """
        Return those that are tunnels.
        """
        return [stream for stream in self.streams() if stream.switched]

    def busy(self) -> bool:
        """
        Whether any connection stands or is under way.
        """
        return any(kept.all or kept.dialling for kept in self.kept.values())

    def retain(self, targets: set[Target]) -> None:
        """
        Close what is idle to any other target, and keep no more of those.
        """
        self._retained = targets
        for target, kept in list(self.kept.items()):
            if target in targets:
                kept.retired = False
                continue
            kept.retired = True
            for stream in list(kept.idle):
                kept.idle.remove(stream)
                stream.transport.loseConnection()
            if kept.empty():
                del self.kept[target]

    def sweep(self, now: float) -> None:
        """
        Close what has been idle for too long.
        """
        for stream in self.tunnels():
            stream.user.sweep(now)
        for target, kept in list(self.kept.items()):
            kept.sweep(now)
            if kept.retired and kept.empty():
                del self.kept[target]

    def close(self) -> None:
        """
        End every connection and every attempt.
        """
        for kept in self.kept.values():
            kept.waiting.clear()
            for attempt in list(kept.dialling):
                attempt.cancel()
        for stream in self.streams():
            stream.transport.abortConnection()
