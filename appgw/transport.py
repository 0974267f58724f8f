"""
TLS straight on the socket, and plain TCP that writes at once.

The one file that touches Twisted's descriptors. A transport here is Twisted's
own ``tcp.Server`` or ``tcp.Client`` with its buffers and producers, whose
system calls go through an ``OpenSSL.SSL.Connection`` on the descriptor. The
rules it keeps:

1. Before the handshake *and* the check are done only ``do_handshake`` is
   called: a send would finish the handshake and put the data on the wire.
2. Queued bytes are never shortened or withdrawn, since OpenSSL wants the same
   bytes again after a short write.
3. ``connectionLost`` never runs inside ``write``; the first error wins.
4. ``tls`` is None before the socket closes, or a stranger's connection that
   reuses the descriptor would be written to.
5. The thread's OpenSSL error queue is cleared before every call, or one
   connection would read another one's failure.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from OpenSSL import SSL
from OpenSSL._util import lib as _openssl
from twisted.internet import main, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import INegotiated, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from appgw.records import Connection

RECORD: Final = 16384
"""The most that one TLS record carries, in bytes."""

READS: Final = 8
"""Records taken off a socket before other connections get their turn."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds, on either side."""

_clear_errors: Callable[[], None] = _openssl.ERR_clear_error


class _Immediate(FileDescriptor):
    """
    Writes at once what the socket takes, and lingers before it closes.

    ``linger`` ends a connection whose peer may still be sending: the answer
    is flushed, the way out closed, and what still comes in discarded, so
    that no reset overtakes the answer (RFC 9112, 9.6).
    """

    failed: Exception | None = None
    lingering = False

    def write(self, data: bytes) -> None:
        """
        Send *data*, queueing what the socket does not take now.
        """
        if not data or not self.connected or self.failed is not None:
            return
        if self.disconnecting or self.lingering:
            return
        if not self._tempDataLen and self.offset == len(self.dataBuffer):
            sent = self.writeSomeData(data)
            if sent.__class__ is not int:
                self._fail(sent)
                return
            if sent == len(data):
                # A pull producer is asked for more from doWrite only.
                if self.producer is not None and not self.streamingProducer:
                    self.startWriting()
                return
            if sent:
                data = memoryview(data)[sent:].tobytes()
        FileDescriptor.write(self, data)

    def writeSequence(self, iovec: Any) -> None:
        """
        Send all of *iovec* as one piece.
        """
        self.write(b"".join(iovec))

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self.reactor.callLater(0, self._lose)

    def _lose(self) -> None:
        if not self.disconnected:
            self.connectionLost(Failure(self.failed))

    def unsent(self) -> int:
        """
        Return how many bytes wait for the socket.
        """
        return self._tempDataLen + len(self.dataBuffer) - self.offset

    def poll(self) -> None:
        """
        Read now what has come already, as the reactor would in its turn.
        """
        if self.connected and self.failed is None:
            result = self.doRead()
            if result is not None and self.failed is None and self.connected:
                self._fail(result)

    def linger(self) -> None:
        """
        Flush, half-close, then discard until the peer closes too.

        Whoever calls this bounds the wait with ``abortConnection``.
        """
        if not self.connected or self.disconnecting or self.lingering:
            return
        self.lingering = True
        self.startReading()
        self.loseWriteConnection()

    def _discard(self) -> Exception | None:
        try:
            for _ in range(READS):
                if not self.socket.recv(65536):
                    return main.CONNECTION_LOST
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        return None

    def _closeWriteConnection(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@implementer(ISSLTransport, INegotiated)
class _TLS(_Immediate):
    """
    The TLS half, mixed in before ``tcp.Server`` or ``tcp.Client``.
    """

    tls: SSL.Connection | None
    _open = False
    _clean = False
    _again: Any = None
    negotiatedProtocol: bytes | None = None

    def getPeerCertificate(self) -> Any:
        """
        The peer's leaf as pyOpenSSL's X509, or None (ISSLTransport).
        """
        return None if self.tls is None else self.tls.get_peer_certificate()

    def startTLS(self, ctx: Any, normal: Any = True) -> None:
        """
        Refuse: this connection is TLS already.
        """
        raise RuntimeError("this transport speaks TLS already")

    def _handshake(self) -> Exception | None:
        assert self.tls is not None
        _clear_errors()
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            self.stopWriting()
            return None
        except SSL.WantWriteError:
            self.startWriting()
            return None
        except SSL.Error as error:
            return self._refuse(error)
        self.stopWriting()
        try:
            self.negotiatedProtocol = self.tls.get_alpn_proto_negotiated() or None
            return self._established()
        except Exception as error:
            return self._refuse(error)

    def _established(self) -> Exception | None:
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
        if self.failed is not None:
            return self.failed
        _clear_errors()
        recv = self.tls.recv  # type: ignore[union-attr]
        result: Exception | None = None
        try:
            data = recv(RECORD)
        except SSL.WantReadError:
            return None
        except SSL.Error as error:
            return self._ended(error)
        if len(data) == RECORD:
            records = [data]
            try:
                while len(records[-1]) == RECORD and len(records) < READS:
                    records.append(recv(RECORD))
            except SSL.WantReadError:
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
        if isinstance(error, SSL.WantWriteError):
            self.startWriting()
        return main.CONNECTION_LOST

    def doWrite(self) -> Exception | None:
        """
        Flush the queue, or carry the handshake on.
        """
        if not self._open:
            return self._handshake()
        return FileDescriptor.doWrite(self)

    def writeSomeData(self, data: bytes) -> int | Exception:
        """
        Send as many records as the socket takes; one call sends one record.
        """
        tls = self.tls
        if tls is None:
            return main.CONNECTION_LOST
        _clear_errors()
        size, sent = len(data), 0
        try:
            while sent < size:
                sent += tls.send(memoryview(data)[sent:] if sent else data)
        except (SSL.WantWriteError, SSL.WantReadError):
            pass
        except SSL.Error:
            return main.CONNECTION_LOST
        return sent

    def startReading(self) -> None:
        """
        Read again, first what OpenSSL holds already decrypted.
        """
        super().startReading()
        if self._open and self._again is None and self.tls is not None:
            if self.tls.pending():
                self._again = self.reactor.callLater(0, self._read_pending)

    def _read_pending(self) -> None:
        self._again = None
        if self.connected and not self.disconnecting:
            result = self.doRead()
            if result is not None:
                self.connectionLost(Failure(result))

    def _postLoseConnection(self) -> Exception:
        self._clean = True
        return main.CONNECTION_DONE

    def _closeWriteConnection(self) -> None:
        self._notify()
        super()._closeWriteConnection()

    def _notify(self) -> None:
        if self.tls is not None and self._open:
            _clear_errors()
            try:
                self.tls.shutdown()
            except SSL.Error:
                pass

    def _drop_tls(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self.tls = None

    def connectionLost(self, reason: Failure) -> None:
        """
        Answer or send close_notify where the end is clean, then close.
        """
        if self._clean and self.failed is None:
            if not reason.check(ConnectionAborted):
                self._notify()
        self._drop_tls()
        super().connectionLost(reason)


class PlainServer(_Immediate, tcp.Server):
    """
    A client's connection in clear text.
    """

    def doRead(self) -> Exception | None:
        """
        Hand what has come to the protocol.
        """
        if self.lingering:
            return self._discard()
        result: Exception | None = tcp.Server.doRead(self)
        return self.failed or result


class TLSServer(_TLS, tcp.Server):
    """
    A client's connection over TLS.

    The real protocol is built after the handshake; until then the port holds
    the connection in ``handshaking`` and the protocol does nothing.
    """

    server: Any

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        client: Any,
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        # Reading starts in the base class: TLS has to be there before.
        sock.setblocking(False)
        self.tls = Connection(server.tls.context(), sock)
        self.tls.set_accept_state()
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        server.handshaking[self] = reactor.seconds() + HANDSHAKE_TIMEOUT

    def _established(self) -> Exception | None:
        assert self.tls is not None
        self.server.handshaking.pop(self, None)
        self.facts = self.server.tls.established(self.tls)
        protocol = self.server.speaking.buildProtocol(self.getPeer())
        if protocol is None:
            return main.CONNECTION_DONE
        self._open = True
        self.protocol = protocol
        protocol.makeConnection(self)
        return None

    def _refuse(self, error: Exception) -> Exception | None:
        answer = self.server.tls.refused(error)
        if not answer:
            return main.CONNECTION_LOST
        # Plain http on a TLS port: no TLS can answer, so plain text does.
        self._drop_tls()
        self._open = self.lingering = True
        try:
            self.socket.send(answer)
        except OSError:
            return main.CONNECTION_LOST
        self._closeWriteConnection()
        return None

    def connectionLost(self, reason: Failure) -> None:
        """
        Forget the handshake, then close.
        """
        self.server.handshaking.pop(self, None)
        super().connectionLost(reason)


class ServerTerms(Protocol):
    """
    What a port asks of whoever decides on TLS for its clients.
    """

    def context(self) -> SSL.Context:
        """
        The context to begin a handshake with.
        """

    def established(self, connection: SSL.Connection) -> Any:
        """
        Judge a finished handshake: the facts of it, or an exception.
        """

    def refused(self, error: Exception) -> bytes:
        """
        Note a failed handshake; plain text to answer it with, or nothing.
        """


class ClientTerms(Protocol):
    """
    What a connection to a backend asks of whoever decides on trust.
    """

    context: SSL.Context

    def prepare(self, connection: SSL.Connection) -> None:
        """
        Set what is the connection's own, such as the SNI.
        """

    def admit(self, connection: SSL.Connection) -> Any:
        """
        Judge the peer after its handshake: a verdict, or an exception.
        """

    def failure(self, connection: SSL.Connection, error: Exception) -> Exception:
        """
        Say why a handshake failed.
        """


class PlainClient(_Immediate, tcp.Client):
    """
    Our connection to a backend in clear text.
    """

    verdict: Any = None

    def doRead(self) -> Exception | None:
        """
        Hand what has come to the protocol.
        """
        result: Exception | None = tcp.Client.doRead(self)
        return self.failed or result


class TLSClient(_TLS, tcp.Client):
    """
    Our connection to a backend over TLS.

    It counts as connected only after the handshake *and* the check, so that
    every failure before them is a failed attempt.
    """

    tls = None
    verdict: Any = None
    connector: Any

    def _connectDone(self) -> None:
        terms = self.connector.terms
        self.connector.await_handshake(self)
        self.tls = Connection(terms.context, self.socket)
        self.tls.set_connect_state()
        terms.prepare(self.tls)
        self.startReading()
        self._handshake()

    def _established(self) -> Exception | None:
        self.verdict = self.connector.terms.admit(self.tls)
        self._open = True
        tcp.Client._connectDone(self)
        return None

    def _refuse(self, error: Exception) -> Exception | None:
        assert self.tls is not None
        self._open = False
        self.failIfNotConnected(self.connector.terms.failure(self.tls, error))
        return None

    def failIfNotConnected(self, err: Any) -> None:
        """
        Let go of TLS before the socket closes, then fail the attempt.
        """
        if not self.connected:
            self._drop_tls()
        super().failIfNotConnected(err)
