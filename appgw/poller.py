"""
Readiness for the data path: an epoll of our own below the reactor's.

A reactor surrounds each ready descriptor with the set-up of a log context,
which costs as much as parsing a request. Here all of our descriptors are one
descriptor to the reactor, and that price is paid once for all that are ready.
Measured: 3 µs less a request.

Those that are ready are served in turns: first everybody is read from, then what
was written leaves, one after the other. Whoever waits on the other side is woken
up once a turn and not once a write. Measured: 4 µs less a request.

Twisted's transports take it for their reactor. Any reactor that can watch
a descriptor will do beneath; where there is no epoll, ``poller`` returns the
reactor itself, and what is written leaves at once.
"""

from __future__ import annotations

import select
from collections.abc import Container
from typing import Any, Final

from twisted.internet import main
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

BATCH: Final = 64
TURNS: Final = 4
"""Descriptors that are served in a turn, and turns before the reactor has its own."""

_IN: Final = getattr(select, "EPOLLIN", 0)
_OUT: Final = getattr(select, "EPOLLOUT", 0)
_ENDED: Final = getattr(select, "EPOLLHUP", 0) | getattr(select, "EPOLLERR", 0)


def poller(reactor: Any) -> Any:
    """
    Return what our transports shall take for their reactor.
    """
    return Poller(reactor) if hasattr(select, "epoll") else reactor


@implementer(IReadDescriptor)
class Poller:
    """
    Watches descriptors for one reactor.

    It opens its epoll with the first descriptor and closes it with the last,
    so that a reactor is left as it was found.

    Attributes:
        turn: whose writes wait for the end of this turn; None between turns.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll: Any = None
        self._watched: dict[int, Any] = {}
        self._masks: dict[int, int] = {}
        # Let go of since the epoll was asked: what it said of them is of others.
        self._let_go: set[int] = set()
        self.turn: list[Any] | None = None
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds

    # What a transport asks of its reactor.

    def addReader(self, descriptor: Any) -> None:
        """
        Call ``doRead`` when there is something to read.
        """
        self._watch(descriptor, _IN)

    def addWriter(self, descriptor: Any) -> None:
        """
        Call ``doWrite`` when there is room to write.
        """
        self._watch(descriptor, _OUT)

    def removeReader(self, descriptor: Any) -> None:
        """
        Call ``doRead`` no more.
        """
        self._forget(descriptor, _IN)

    def removeWriter(self, descriptor: Any) -> None:
        """
        Call ``doWrite`` no more.
        """
        self._forget(descriptor, _OUT)

    def _watch(self, descriptor: Any, event: int) -> None:
        number = descriptor.fileno()
        mask = self._masks.get(number, 0)
        if mask & event:
            return
        if self._epoll is None:
            self._epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
            self._reactor.addReader(self)
        if mask:
            self._epoll.modify(number, mask | event)
        else:
            self._epoll.register(number, event)
        self._masks[number] = mask | event
        self._watched[number] = descriptor

    def _forget(self, descriptor: Any, event: int) -> None:
        number = descriptor.fileno()
        if number == -1:
            numbers = (n for n, one in self._watched.items() if one is descriptor)
            number = next(numbers, -1)
        mask = self._masks.get(number, 0)
        if not mask & event or self._watched[number] is not descriptor:
            return
        mask &= ~event
        if mask:
            self._masks[number] = mask
            self._epoll.modify(number, mask)
            return
        del self._masks[number], self._watched[number]
        self._let_go.add(number)
        self._epoll.unregister(number)
        if not self._watched:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    # What the reactor asks of a descriptor.

    def fileno(self) -> int:
        """
        Return the epoll's descriptor, -1 when nothing is watched.
        """
        return -1 if self._epoll is None else int(self._epoll.fileno())

    def logPrefix(self) -> str:
        """
        Return what the reactor puts before our log lines.
        """
        return "appgw"

    def doRead(self) -> None:
        """
        Serve whoever is ready, and let leave what they write.
        """
        events = self._ask()
        for _ in range(TURNS):
            turn: list[Any] = []
            self.turn = turn
            try:
                self._serve(events)
            finally:
                self.turn = None
            if not turn:
                return
            # What has come before a write leaves is no answer to it.
            events = self._ask()
            # A full list is not the whole of it: anybody may be ready.
            full = len(events) == BATCH
            self._write(turn, self._watched if full else dict(events))
            if not events:
                return
        # The reactor comes back: nothing of these events is lost.

    def _ask(self) -> list[tuple[int, int]]:
        self._let_go.clear()
        if self._epoll is None:
            return []
        events: list[tuple[int, int]] = self._epoll.poll(0, BATCH)
        return events

    def _serve(self, events: list[tuple[int, int]]) -> None:
        watched, let_go = self._watched, self._let_go
        for number, event in events:
            descriptor = watched.get(number)
            if descriptor is None or number in let_go:
                continue
            reading = event & _IN
            try:
                if reading:
                    why = descriptor.doRead()
                    if why is None and event & _OUT:
                        reading = 0
                        why = descriptor.doWrite()
                elif event & _ENDED:
                    reading = self._masks[number] & _IN
                    why = main.CONNECTION_DONE if reading else main.CONNECTION_LOST
                else:
                    why = descriptor.doWrite()
            except Exception as error:
                self.log.failure("A transport failed; this is a bug.")
                why = error
            if why is not None:
                self._end(descriptor, why, reading)

    def _write(self, turn: list[Any], ready: Container[int]) -> None:
        for transport in turn:
            try:
                transport.leave(ready)
            except Exception as error:
                self.log.failure("A transport failed; this is a bug.")
                self._end(transport, error, 0)

    def _end(self, descriptor: Any, why: Any, reading: int) -> None:
        self.removeReader(descriptor)
        failure = Failure(why)
        # What gets out of doRead costs us the reactor, and everybody else too.
        try:
            if reading and why is main.CONNECTION_DONE:
                descriptor.readConnectionLost(failure)
            else:
                self.removeWriter(descriptor)
                descriptor.connectionLost(failure)
        except Exception:
            self.log.failure("A connection's end failed; this is a bug.")

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor is shutting down: so are our descriptors.
        """
        for descriptor in list(self._watched.values()):
            self._end(descriptor, reason.value, 0)
