from __future__ import annotations

import socket
import threading
from typing import Any

from OpenSSL import SSL
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from appgw import records
from appgw.records import Connection
from appgw.testing import make_certificate, server_context
from tests.wire import PATIENCE


def shaken(context: SSL.Context) -> tuple[Connection, SSL.Connection]:
    """
    Return both ends of a TLS connection, ours first; they block.
    """
    here, there = socket.socketpair()
    here.settimeout(None)
    server = Connection(context, here)
    server.set_accept_state()
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), there)
    client.set_connect_state()
    shaking = threading.Thread(target=client.do_handshake)
    shaking.start()
    server.do_handshake()
    shaking.join()
    return server, client


class RecordTests(TestCase):
    """
    One record in, one record out.
    """

    async def test_in_two_threads(self) -> None:
        """
        Gateways whose reactors run in threads of their own never get each other's
        bytes, though OpenSSL reads for both at once.
        """
        context = server_context(make_certificate(["a.example"]))
        read, both_have_read = records._read, threading.Barrier(2, timeout=PATIENCE)

        def together(*arguments: Any) -> int:
            size: int = read(*arguments)
            both_have_read.wait()
            return size

        ends = [shaken(context) for _ in range(2)]
        self.patch(records, "_read", together)
        reading = []
        for name, (server, client) in zip((b"one", b"two"), ends, strict=True):
            client.send(name)
            reading.append(deferToThread(server.read_record))
        self.assertEqual([b"one", b"two"], [await each for each in reading])
        for end in (one for pair in ends for one in pair):
            end.close()
