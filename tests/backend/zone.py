"""
A resolver that says what it is told to, when it is told to.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from appgw.backend.pool import Pool


@implementer(IHostResolution)
class Resolution:
    """
    A resolution that is under way, and cannot be cancelled.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """
        Do nothing.
        """


@implementer(IHostnameResolver)
class Zone:
    """
    A resolver that knows what it is told, and answers when it is told to.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.pending: list[tuple[IResolutionReceiver, str]] = []
        self.holding = False
        self.broken = False

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """
        Answer at once, or later while holding.
        """
        self.asked.append(hostName)
        if self.broken:
            raise UnicodeError("label too long")
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        self.pending.append((resolutionReceiver, hostName))
        if not self.holding:
            self.answer()
        return resolution

    def answer(self) -> None:
        """
        Answer all that was asked.
        """
        pending, self.pending = self.pending, []
        for receiver, name in pending:
            for text in self.records.get(name, []):
                receiver.addressResolved(as_address(text))
            receiver.resolutionComplete()


def hold_names(test: TestCase) -> Zone:
    """
    Let the reactor's names resolve when the test says so.
    """
    zone = Zone()
    zone.holding = True
    before = reactor.installNameResolver(zone)
    test.addCleanup(reactor.installNameResolver, before)
    return zone


def as_address(text: str) -> IAddress:
    """
    Return *text* as Twisted's resolvers hand it over.
    """
    if text.startswith("/"):
        return UNIXAddress(text)
    kind = IPv6Address if ":" in text else IPv4Address
    return kind("TCP", text, 0)


def addresses(pool: Pool) -> list[str]:
    """
    Return the addresses that *pool* has now.
    """
    return [candidate.address for candidate in pool.members]
