"""
A program of its own: an echo under a reactor, or over TLS with few descriptors.

``python -m tests.echoing REACTOR`` says a word to itself and ends;
``python -m tests.echoing REACTOR LIMIT`` prints its port, and serves with at
most so many descriptors until its standard input ends.
"""

from __future__ import annotations

import os
import resource
import sys
from ipaddress import ip_network
from typing import Any

from twisted.application.reactors import installReactor

if __name__ == "__main__":
    installReactor(sys.argv[1])

from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from appgw.endpoints import ClientEndpoint, ServerPort
from appgw.listen.sockets import bind
from appgw.listen.trusted import Proxies
from appgw.poller import poller
from tests.wire import BackendTerms, Echo, Talker, Talkers, terms

BIG = os.urandom(1 << 20)


def serve(turns: Any) -> ServerPort:
    """
    Serve an echo over TLS in the turns of a reactor, or of our own epoll.
    """
    port = ServerPort(turns, bind("127.0.0.1", 0), Talkers(Echo), terms())
    port.startListening()
    return port


async def converse(turns: Any) -> None:
    """
    Send and receive a MiB, be reset once, end.
    """
    port = serve(turns)
    number = port.getHost().port
    for ending in ("abortConnection", "loseConnection"):
        endpoint = ClientEndpoint(turns, "127.0.0.1", number, BackendTerms())
        talker = await endpoint.connect(Talkers(Talker))
        talker.transport.write(BIG)
        while len(talker.received) < len(BIG):
            await deferLater(reactor, 0.001)
        assert talker.received == BIG
        getattr(talker.transport, ending)()
        while not talker.lost:
            await deferLater(reactor, 0.001)
    await port.stopListening()


async def introduce(turns: Any) -> None:
    """
    Name a client in two pieces, and say a word for it.
    """
    proxies = Proxies("here", (ip_network("127.0.0.0/8"),), sys.stdout.write)
    talkers = Talkers(Echo)
    port = ServerPort(turns, bind("127.0.0.1", 0), talkers, None, proxies)
    port.startListening()
    endpoint = ClientEndpoint(turns, "127.0.0.1", port.getHost().port)
    talker = await endpoint.connect(Talkers(Talker))
    talker.transport.write(b"PROXY TCP4 192.0.2.7 ")
    await deferLater(reactor, 0.001)
    talker.transport.write(b"192.0.2.1 5 443\r\nhello")
    while talker.received != b"hello":
        await deferLater(reactor, 0.001)
    assert talkers.made[0].transport.client == ("192.0.2.7", 5)
    talker.transport.loseConnection()
    while not talkers.made[0].lost:
        await deferLater(reactor, 0.001)
    await port.stopListening()


async def converse_twice() -> None:
    """
    Do all of that in both kinds of turns.
    """
    for turns in (reactor, poller(reactor)):
        await converse(turns)
        await introduce(turns)
    sys.stdout.write(type(reactor).__name__)


class UntilTold(Protocol):
    """
    Ends the program with its standard input.
    """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        End.
        """
        reactor.stop()


def main(arguments: list[str]) -> None:
    """
    Do what the command line says.
    """
    if arguments:
        port = serve(poller(reactor))
        stdio.StandardIO(UntilTold())
        limit = int(arguments[0])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        sys.stdout.write(f"{port.getHost().port}\n")
        sys.stdout.flush()
    else:
        ended: Deferred[Any] = Deferred.fromCoroutine(converse_twice())
        ended.addErrback(lambda failure: failure.printTraceback())
        ended.addBoth(lambda _: reactor.callLater(0, reactor.stop))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[2:])
