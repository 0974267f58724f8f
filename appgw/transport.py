"""
TLS straight on the socket, and plain TCP that writes at once.

With ``appgw.immediate`` and ``appgw.introduction`` the only file that touches
Twisted's descriptors. A transport here is Twisted's own ``tcp.Server`` or
``tcp.Client`` with its buffers and producers, whose system calls go through an
``OpenSSL.SSL.Connection`` on the descriptor. The rules it keeps:

1. Before the handshake *and* the check are done only ``do_handshake`` is
   called: a send would finish the handshake and put the data on the wire.
2. Queued bytes are never shortened or withdrawn, since OpenSSL wants the same
   bytes again after a short write.
3. ``connectionLost`` never runs inside ``write``; the first error wins.
4. ``tls`` is None before the socket closes, or a stranger's connection that
   reuses the descriptor would be written to.
5. The thread's OpenSSL error queue is cleared before a verdict of OpenSSL's
   counts, or one connection would read another one's failure.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import lib as _openssl
from twisted.internet import main, tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import INegotiated, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from appgw.immediate import READS, Immediate, Plain
from appgw.records import RECORD, Connection

HELLO: Final = 4096
"""Bytes of a client's first message that are looked at, where somebody asks."""

# A read may have to write and a write to read: TLS 1.3 changes keys at any time.
_WAITS: Final = (SSL.WantReadError, SSL.WantWriteError)

_clear_errors: Callable[[], None] = _openssl.ERR_clear_error


class Alerted(ConnectionLost):
    """
    The peer broke TLS off, and said why.

    Attributes:
        said: what, in OpenSSL's words.
    """

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@implementer(ISSLTransport, INegotiated)
class _TLS(Immediate):
    """
    The TLS half, mixed in before ``tcp.Server`` or ``tcp.Client``.
    """

    tls: Connection | None
    _open = False
    _again: Any = None
    negotiatedProtocol: bytes | None = None

    def getPeerCertificate(self) -> Any:
        """
        The peer's leaf as pyOpenSSL's X509, or None (ISSLTransport).
        """
        return None if self.tls is None else self.tls.get_peer_certificate()

    def _handshake(self) -> Exception | None:
        tls = self.tls
        if tls is None:
            return None  # it has failed, and the reactor did not know yet
        _clear_errors()
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            self.stopWriting()
            return None
        except SSL.WantWriteError:
            self.startWriting()
            return None
        except Exception as error:
            return self._refuse(error)
        self.stopWriting()
        try:
            self.negotiatedProtocol = tls.get_alpn_proto_negotiated() or None
            self._judge(tls)
        except Exception as error:
            return self._refuse(error)
        self._open = True
        return self._begin()

    def _judge(self, tls: SSL.Connection) -> None:
        raise NotImplementedError  # pragma: no cover - both ends have their own

    def _begin(self) -> Exception | None:
        raise NotImplementedError  # pragma: no cover - both ends have their own

    def _refuse(self, error: Exception) -> Exception | None:
        raise NotImplementedError  # pragma: no cover - both ends have their own

    def doRead(self) -> Exception | None:
        """
        Hand up to eight records to the protocol, or carry the handshake on.
        """
        if not self._open:
            return self._handshake()
        if self.lingering:
            return self._discard()
        failed = self.failed
        if failed is not None:
            return failed
        read = self.tls.read_record  # type: ignore[union-attr]
        result: Exception | None = None
        try:
            data = read()
        except _WAITS:
            return None
        except SSL.Error as error:
            return self._ended(error)
        if len(data) == RECORD:
            records = [data]
            try:
                while len(records[-1]) == RECORD and len(records) < READS:
                    records.append(read())
            except _WAITS:
                pass
            except SSL.Error as error:
                result = self._ended(error)
            data = b"".join(records)
        self.protocol.dataReceived(data)
        return self.failed or result

    def _ended(self, error: SSL.Error) -> Exception:
        if isinstance(error, SSL.ZeroReturnError):
            self._clean = True
            return main.CONNECTION_DONE
        tls: Any = self.tls
        # Who was told that we have ended may end in any way.
        self.hung_up = self._writeDisconnected or tls.hung_up()
        said = tls.alert()
        return main.CONNECTION_LOST if said is None else Alerted(said)

    def doWrite(self) -> Exception | None:
        """
        Flush the queue, or carry the handshake on.
        """
        if not self._open:
            return self._handshake()
        return super().doWrite()

    def writeSomeData(self, data: bytes) -> int | Exception:
        """
        Send as many records as the socket takes; one call sends one record.
        """
        tls = self.tls
        if tls is None:
            return main.CONNECTION_LOST
        size, sent = len(data), 0
        try:
            while sent < size:
                sent += tls.write_record(memoryview(data)[sent:] if sent else data)
        except _WAITS:
            pass
        except SSL.Error:
            return main.CONNECTION_LOST
        return sent

    def startReading(self) -> None:
        """
        Read again, first what OpenSSL holds already decrypted.
        """
        super().startReading()
        tls = self.tls if self._open and self._again is None else None
        if tls is not None and tls.pending():
            self._again = self.reactor.callLater(0, self._read_pending)

    def stopReading(self) -> None:
        """
        Read no more, not even what is decrypted already.
        """
        super().stopReading()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _read_pending(self) -> None:
        self._again = None
        self.poll()

    def _postLoseConnection(self) -> Exception:
        self._clean = True
        return main.CONNECTION_DONE

    def _closeWriteConnection(self) -> None:
        self._notify()
        super()._closeWriteConnection()

    def _notify(self) -> None:
        if self.tls is not None and self._open and not self._silent:
            _clear_errors()
            with contextlib.suppress(SSL.Error):
                self.tls.shutdown()

    def connectionLost(self, reason: Failure) -> None:
        """
        Answer or send close_notify where the end is clean, then close.
        """
        if self._clean and self.failed is None:
            self._notify()
        self.tls = None
        super().connectionLost(reason)


class PlainServer(Plain, tcp.Server):
    """
    A client's connection in clear text.
    """


class TLSServer(_TLS, tcp.Server):
    """
    A client's connection over TLS.

    The real protocol is built after the handshake; until then the port holds
    the connection in ``handshaking`` and the protocol does nothing.

    Attributes:
        hello: what the client began with, where the terms are curious.
    """

    server: Any
    hello = b""

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        client: Any,
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        self.terms = server.tls
        # Reading starts in the base class: TLS has to be there before.
        sock.setblocking(False)
        self.tls = Connection(self.terms.context(), sock)
        self.tls.set_accept_state()
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        # Not yet: a write would end the handshake and send.
        self.connected = 0
        server.began(self)

    def _handshake(self) -> Exception | None:
        if self.terms.curious and not self.hello:
            with contextlib.suppress(OSError):
                self.hello = self.socket.recv(HELLO, socket.MSG_PEEK)
        return super()._handshake()

    def _judge(self, tls: SSL.Connection) -> None:
        self.facts = self.terms.established(tls)

    def _begin(self) -> Exception | None:
        self.server.settled(self)
        self.connected = 1
        protocol = self.server.speaking.buildProtocol(self.getPeer())
        if protocol is None:
            return self._postLoseConnection()
        self.protocol = protocol
        protocol.makeConnection(self)
        return None

    def _refuse(self, error: Exception) -> Exception | None:
        answer = self.terms.refused(error)
        if not answer:
            return main.CONNECTION_LOST
        # Plain http on a TLS port: no TLS can answer, so plain text does.
        self.tls = None
        self._open = self.lingering = self._writeDisconnected = True
        try:
            self.socket.send(answer)
        except OSError:
            return main.CONNECTION_LOST
        self._closeWriteConnection()
        return None

    def give_up(self) -> None:
        """
        End a handshake whose time is up.
        """
        if not self.lingering:
            self.terms.refused(TimeoutError())
        self.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """
        Forget the handshake, then close.
        """
        self.server.settled(self)
        super().connectionLost(reason)


class _Dialled(tcp.Client):
    """
    What both kinds of connection to a backend have in common.
    """

    verdict: Any = None

    def createInternetSocket(self) -> socket.socket:
        """
        Make the socket; a small piece does not wait for another one's receipt.
        """
        made: socket.socket = super().createInternetSocket()
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class PlainClient(Plain, _Dialled):
    """
    Our connection to a backend in clear text.
    """


class TLSClient(_TLS, _Dialled):
    """
    Our connection to a backend over TLS.

    It counts as connected only after the handshake *and* the check, so that
    every failure before them is a failed attempt.
    """

    tls = None
    connector: Any

    def _connectDone(self) -> None:
        terms = self.connector.terms
        self.connector.await_handshake(self)
        self.tls = Connection(terms.context, self.socket)
        self.tls.set_connect_state()
        terms.prepare(self.tls)
        self.startReading()
        self._handshake()

    def _judge(self, tls: SSL.Connection) -> None:
        self.verdict = self.connector.terms.admit(tls)

    def _begin(self) -> Exception | None:
        super()._connectDone()
        return None

    def _refuse(self, error: Exception) -> Exception | None:
        self.failIfNotConnected(self.connector.terms.failure(self.tls, error))
        return None

    def failIfNotConnected(self, err: Any) -> None:
        """
        Let go of TLS before the socket closes, then fail the attempt.
        """
        if not self.connected:
            self.tls = None
        super().failIfNotConnected(err)
