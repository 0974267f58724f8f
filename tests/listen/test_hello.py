from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.hello import names, offered

CODES = [b"\x13\x01", b"\x0a\x0a", b"\xc0\x2f"]


def hello(codes: bytes = b"".join(CODES), session: bytes = bytes(32)) -> bytes:
    """
    Return the beginning of a ClientHello in its record.
    """
    body = b"\x03\x03" + bytes(32) + bytes((len(session),)) + session
    body += len(codes).to_bytes(2, "big") + codes + b"\x01\x00\x00\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def client_hello(*suites: bytes) -> bytes:
    """
    Return what OpenSSL begins with.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_tls13_ciphersuites(suites[0])
    context.set_cipher_list(suites[1])
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return connection.bio_read(65536)
    raise AssertionError("no handshake ends by itself")


class HelloTests(SynchronousTestCase):
    def test_openssl(self) -> None:
        """
        What OpenSSL offers is read and named, in its order.
        """
        said = client_hello(b"TLS_AES_128_GCM_SHA256", b"ECDHE-RSA-AES128-GCM-SHA256")
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        told = names(offered(said), connection).split(":")
        self.assertEqual(
            ["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"], told[:2]
        )

    def test_unknown(self) -> None:
        """
        A suite that OpenSSL does not know, such as RFC 8701's, is told by its code.
        """
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.assertEqual(
            "TLS_AES_128_GCM_SHA256:0x0a0a:ECDHE-RSA-AES128-GCM-SHA256",
            names(CODES, connection),
        )
        self.assertEqual("", names([], connection))

    def test_sessions(self) -> None:
        """
        A session id before the suites is passed over, whatever its length.
        """
        for session in (b"", b"x", bytes(32), bytes(255)):
            self.assertEqual(CODES, offered(hello(session=session)))

    def test_bad(self) -> None:
        """
        Whatever else a client begins with, nothing comes of it.
        """
        whole = hello()
        suites_end = whole.index(b"\xc0\x2f") + 2
        for end in range(suites_end):
            self.assertEqual([], offered(whole[:end]))
        self.assertEqual(CODES, offered(whole[:suites_end]))
        for said in (b"GET / HTTP/1.1\r\n\r\n" * 9, bytes(500), b"\xff" * 500):
            self.assertEqual([], offered(said))
            self.assertEqual([], offered(b"\x16\x03\x01\x02\x00\x02" + said))
        self.assertEqual([], offered(hello(b"")))
        self.assertEqual([b"\x13\x01"], offered(hello(b"\x13\x01\x13")))
