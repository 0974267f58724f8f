"""
Answers as backends send them, good ones and bad ones, and what is made of them.
"""

from __future__ import annotations

import attrs

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@attrs.frozen
class Read:
    """
    What a parser has made of an answer.
    """

    status: int = 0
    length: int | None = None
    body: bytes = b""
    interim: tuple[int, ...] = ()
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    complete: bool = True
    until_close: bool = False


KEPT: dict[bytes, tuple[Read, bool]] = {
    OK + b"Content-Length: 2\r\n\r\nok": (Read(200, 2, b"ok"), False),
    OK + b"content-length: 0\r\n\r\n": (Read(200, 0), False),
    OK + b"Content-Length: 002\r\n\r\nok": (Read(200, 2, b"ok"), False),
    b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n": (Read(200, 0), False),
    CHUNKED + b"2\r\nok\r\n0\r\n\r\n": (Read(200, None, b"ok"), False),
    CHUNKED + b"1;x=y\r\no\r\n1\r\nk\r\n0\r\n\r\n": (Read(200, None, b"ok"), False),
    CHUNKED + b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n": (
        Read(200, None, trailers=((b"X-Sum", b"1"), (b"x-sum", b"2"))),
        False,
    ),
    OK + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n": (Read(200), False),
    b"HTTP/1.1 204 No Content\r\n\r\n": (Read(204, 0), False),
    b"HTTP/1.1 304 Not Modified\r\n\r\n": (Read(304), False),
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n": (Read(304, 9), False),
    b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n": (
        Read(304),
        False,
    ),
    b"HTTP/1.1 599 Own\r\nContent-Length: 0\r\n\r\n": (Read(599, 0), False),
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n": (
        Read(200, 0, interim=(100,)),
        False,
    ),
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3
    + b"HTTP/1.1 204 No Content\r\n\r\n": (Read(204, 0, interim=(103,) * 3), False),
    # An interim response has no body, whatever it says (RFC 9112, 6.3).
    b"HTTP/1.1 103 Early Hints\r\nContent-Length: 38\r\n\r\n"
    + OK
    + b"Content-Length: 0\r\n\r\n": (Read(200, 0, interim=(103,)), False),
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok": (
        Read(200, 2, b"ok"),
        False,
    ),
    OK + b"Content-Length: 5\r\n\r\n": (Read(200, 5), True),
    OK + b"Transfer-Encoding: chunked\r\n\r\n": (Read(200), True),
    OK + b"X: y\r\n\r\n": (Read(200), True),
}
"""
Answers after which the connection goes on; and whether they answer HEAD.
"""

LAST: dict[bytes, tuple[Read, bool]] = {
    OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok": (
        Read(200, 2, b"ok"),
        False,
    ),
    OK + b"Connection: keep-alive, close\r\nContent-Length: 0\r\n\r\n": (
        Read(200, 0),
        False,
    ),
    OK + b"Connection: close\r\nContent-Length: 5\r\n\r\n": (Read(200, 5), True),
    OK + b"Connection: x\r\nConnection: Close\r\n\r\n": (Read(200), True),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok": (Read(200, 2, b"ok"), False),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n": (Read(200, 2), True),
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n": (
        Read(200, 0),
        False,
    ),
    b"HTTP/1.0 200 OK\r\nConnection: Close, Keep-Alive\r\nContent-Length: 2\r\n\r\n": (
        Read(200, 2),
        True,
    ),
    OK + b"\r\nok": (
        Read(200, None, b"ok", complete=False, until_close=True),
        False,
    ),
    b"HTTP/1.0 200 OK\r\n\r\nok": (
        Read(200, None, b"ok", complete=False, until_close=True),
        False,
    ),
    # What comes behind an answer is nobody's.
    OK + b"Content-Length: 2\r\n\r\nokay": (Read(200, 2, b"ok"), False),
    OK + b"Content-Length: 0\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n": (
        Read(200, 0),
        False,
    ),
    OK + b"Content-Length: 0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n": (
        Read(200, 0),
        False,
    ),
    OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n\r\nx": (Read(200, 0), False),
    CHUNKED + b"0\r\n\r\n0\r\n\r\n": (Read(200), False),
    OK + b"Content-Length: 2\r\n\r\nok": (Read(200, 2), True),
    OK + b"\r\nok": (Read(200), True),
    CHUNKED + b"0\r\n\r\n": (Read(200), True),
    CHUNKED + b"2\r\nok\r\n0\r\n\r\n": (Read(200), True),
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok": (Read(204, 0), False),
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": (
        Read(204, 0),
        False,
    ),
    b"HTTP/1.1 304 Not Modified\r\n\r\nok": (Read(304), False),
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok": (Read(304, 2), False),
}
"""
Answers after which the connection ends.
"""

BAD = (
    b"\x16\x03\x01\x02\x00",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"hello\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    *(
        b"HTTP/1.1 %b OK\r\nContent-Length: 0\r\n\r\n" % status
        for status in (
            b"99 099 000 101 600 999 1000 0200 20 2x0 -200 +200 \xd9\xa2\xd9\xa0"
        ).split()
    ),
    b"HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 O\x1b[2JK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 O\x7fK\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    OK + b" X: a\r\nContent-Length: 0\r\n\r\n",
    OK + b"X : a\r\nContent-Length: 0\r\n\r\n",
    OK + b": a\r\nContent-Length: 0\r\n\r\n",
    OK + b"X\r\nContent-Length: 0\r\n\r\n",
    OK + b"X\xff: a\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\x1bb\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    OK + b"X: a\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    OK + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok",
    *(
        OK + b"Content-Length: %b\r\n\r\nhello" % length
        for length in (
            *(b"+5", b"-5", b"5,5", b"5, 5", b"0x5", b"5.0", b"5_0", b"", b"5 5"),
            *(b"9" * 20, b"18446744073709551616", b"\xd9\xa5", b"5;"),
        )
    ),
    OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    *(
        OK + b"Transfer-Encoding: %b\r\n\r\n0\r\n\r\n" % coding
        for coding in (
            *(b"gzip", b"identity", b"gzip, chunked", b"chunked, gzip", b"xchunked"),
            *(b"chunked, chunked", b"chunked;q=1", b",chunked", b"chunked,", b""),
            b"\x0bchunked",
        )
    ),
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    *(
        CHUNKED + chunks
        for chunks in (
            *(b"G\r\n", b"0x2\r\nok\r\n", b"-2\r\n", b" 2\r\nok", b"\r\n"),
            *(b"2\nok\n0\n\n", b"2\r\nokay\r\n", b"2\r\nok\n", b"0\r\nX : y\r\n\r\n"),
            b"0\r\nContent-Length: 9\r\n\r\n",
            *(b"fffffffffffffffff\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\n\rx"),
        )
    ),
)
"""
No answer that a client may see.
"""
