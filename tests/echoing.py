"""
A program of its own: a TLS echo under a reactor, or with few descriptors.

``python -m tests.echoing REACTOR`` says a word to itself and ends;
``python -m tests.echoing REACTOR LIMIT`` prints its port, and serves with at
most so many descriptors until its standard input ends.
"""

from __future__ import annotations

import os
import resource
import sys
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


async def converse_twice() -> None:
    """
    Converse in both kinds of turns.
    """
    for turns in (reactor, poller(reactor)):
        await converse(turns)
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
