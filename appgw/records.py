"""
OpenSSL's two calls of the data path, without what surrounds them.

pyOpenSSL looks for trouble around each call, which costs more than the call's
own share of Python. Here it is looked for only when OpenSSL reports trouble;
what is raised then is the same. Measured: 1.8 µs less a call.
"""

from __future__ import annotations

import threading
from typing import Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

RECORD: Final = 16384
"""The most that one TLS record carries, in bytes."""

_read: Final = lib.SSL_read
_write: Final = lib.SSL_write
_from: Final = ffi.from_buffer
_clear_errors: Final = lib.ERR_clear_error
_next_error: Final = lib.ERR_get_error
_reason_of: Final = lib.ERR_reason_error_string
_EOF: Final = getattr(lib, "SSL_R_UNEXPECTED_EOF_WHILE_READING", None)

_BROKEN: Final = b"error"


class _Buffer(threading.local):
    """
    What is read into: one for all of a thread's connections, since it is emptied
    before any other reads. OpenSSL runs in several threads at once.
    """

    def __init__(self) -> None:
        self.into = ffi.new("char[]", RECORD)
        self.content = ffi.buffer(self.into)


_BUFFER: Final = _Buffer()


def _last_error() -> int:
    """
    Empty the thread's queue; return the newest of what was in it, 0 for nothing.
    """
    last = 0
    while code := _next_error():
        last = code
    return last


class Connection(SSL.Connection):
    """
    pyOpenSSL's connection with a short way in and a short way out.

    OpenSSL takes a failure that another connection has left in the thread's queue
    for this one's. So where a call fails, it is made once more with an empty queue,
    and that verdict counts.
    """

    _failure = 0

    def read_record(self) -> bytes:
        """
        Return what one record carries.

        Raises:
            SSL.Error: as pyOpenSSL's ``recv``.
        """
        into = _BUFFER.into
        size = _read(self._ssl, into, RECORD)
        if size <= 0:
            self._failure = _last_error()
            size = _read(self._ssl, into, RECORD)
            if size == 0 and self.get_state_string() == _BROKEN:
                # After an alert OpenSSL 3 calls the second failure a clean end.
                raise SSL.Error([])
            if size <= 0:
                self._raise_ssl_error(self._ssl, size)
        data: bytes = _BUFFER.content[:size]
        return data

    def alert(self) -> str | None:
        """
        Return what the peer said when it broke TLS off under the last read.

        None where it said nothing, or the read has ended in another way.
        """
        if not self.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
            # What was newest in the queue may be another connection's.
            return None
        reason = _reason_of(self._failure)
        said = "" if reason == ffi.NULL else ffi.string(reason).decode("ascii")
        return said if " alert " in said else None

    def hung_up(self) -> bool:
        """
        Tell whether reading has failed because TCP ended, not because it broke.
        """
        return bool(lib.ERR_GET_REASON(self._failure) == _EOF)

    def write_record(self, data: bytes | memoryview) -> int:
        """
        Send the beginning of *data*, never empty; return how many bytes.

        Raises:
            SSL.Error: as pyOpenSSL's ``send``.
        """
        size = len(data)
        content = data if data.__class__ is bytes else _from(data)
        sent: int = _write(self._ssl, content, size)
        if sent <= 0:
            _clear_errors()
            sent = _write(self._ssl, content, size)
            if sent <= 0:
                self._raise_ssl_error(self._ssl, sent)
        return sent
