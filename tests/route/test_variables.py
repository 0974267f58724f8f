from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from appgw.message import Arrival, RequestHead
from appgw.route.variables import _SERVER, BadVariable, Seen, variable
from tests.route.rewriting import Line, seen
from tests.route.values import arrival, head

CLIENT = Arrival(
    "192.0.2.7",
    51234,
    8443,
    "https",
    "shop.example.com",
    "TLSv1.3",
    "TLS_AES_256_GCM_SHA384",
    offered="TLS_AES_256_GCM_SHA384:0x0a0a",
    round_trip=417,
)


VALUES = {
    "add_x_forwarded_for_proxy": b"192.0.2.7",
    "ciphers_supported": b"TLS_AES_256_GCM_SHA384:0x0a0a",
    "ciphers_used": b"TLS_AES_256_GCM_SHA384",
    "client_certificate": b"",
    "client_certificate_end_date": b"",
    "client_certificate_fingerprint": b"",
    "client_certificate_issuer": b"",
    "client_certificate_serial": b"",
    "client_certificate_start_date": b"",
    "client_certificate_subject": b"",
    "client_certificate_verification": b"NONE",
    "client_ip": b"192.0.2.7",
    "client_port": b"51234",
    "client_tcp_rtt": b"417",
    "client_user": b"",
    "cookie_a": b"1",
    "cookie_b_2": b"x=y",
    "host": b"shop.example.com",
    "http_method": b"POST",
    "http_status": b"404",
    "http_version": b"HTTP/1.1",
    "query_string": b"x=1&y=%zz",
    "request_query": b"x=1&y=%zz",
    "request_scheme": b"https",
    "request_uri": b"/a%2fb?x=1&y=%zz",
    "sent_bytes": b"0",
    "server_port": b"8443",
    "ssl_connection_protocol": b"TLSv1.3",
    "ssl_enabled": b"On",
    "uri_path": b"/a%2Fb",
}
"""Of a POST for https://Shop.Example.com:8443/a%2fb?x=1&y=%zz, answered with 404."""


def value(name: str, given: Seen) -> bytes:
    return variable(name).read(given)


def asked(*lines: Line, trusted: bool = False) -> Seen:
    return seen(head(b"/", *lines), arrival(trusted=trusted))


class ServerVariableTests(SynchronousTestCase):
    def test_each(self) -> None:
        """
        Every server variable that Azure lists has its value.
        """
        request = head(
            b"/a%2fb?x=1&y=%zz", (b"Cookie", b"a=1; b_2=x=y"), method=b"POST"
        )
        request.authority = b"Shop.Example.com:8443"
        given = seen(request, CLIENT, path=b"/a%2Fb", status=404)
        for name, expected in VALUES.items():
            self.assertEqual(expected, value(f"var_{name}", given), name)
        listed = {name for name in VALUES if not name.startswith("cookie_")}
        self.assertEqual(listed | {"received_bytes"}, set(_SERVER))

    def test_foreseen(self) -> None:
        """
        What is foreseen of a variable is true of its values.
        """
        for request in (head(b"/a?b"), head(b"*")):
            for scheme in ("http", "https"):
                given = seen(request, arrival(scheme=scheme), path=request.path)
                for name, each in _SERVER.items():
                    known = each.read(given)
                    self.assertTrue(not each.values or known in each.values, name)
                    self.assertTrue(not each.begins or known[:1] in each.begins, name)
                    self.assertFalse(set(known) & set(each.lacks.encode()), name)

    def test_plain(self) -> None:
        """
        In clear text there is no TLS to tell of.
        """
        given = seen(head(), arrival(scheme="http"))
        for name in (
            *("var_ssl_enabled", "var_ssl_connection_protocol"),
            *("var_ciphers_used", "var_ciphers_supported"),
        ):
            self.assertEqual(b"", value(name, given))

    def test_no_query(self) -> None:
        """
        A request without a query has an empty one.
        """
        for name in ("var_query_string", "var_request_query"):
            self.assertEqual(b"", value(name, seen(head(b"/a"))))

    def test_host(self) -> None:
        """
        The host has no port; an IPv6 address keeps its brackets, for URLs.
        """
        for authority, host in (
            (b"SHOP.example.", b"shop.example"),
            (b"shop.example:8443", b"shop.example"),
            (b"[2001:DB8:0::1]:443", b"[2001:db8::1]"),
        ):
            given = seen(head(authority=authority))
            self.assertEqual(host, value("var_host", given))

    def test_received_bytes(self) -> None:
        """
        It is what the request takes on the wire, as far as that is known.
        """
        for target, wire in (
            (b"/a?b", b"GET /a?b HTTP/1.1\r\nHost: shop.example.com\r\nX: 1\r\n\r\n"),
            (b"/", b"GET / HTTP/1.1\r\nHost: shop.example.com\r\nX: 1\r\n\r\n"),
        ):
            request = head(target, (b"X", b"1"))
            for length, body in ((0, 0), (1000, 1000), (None, 0)):
                request.content_length = length
                given = seen(request)
                expected = b"%d" % (len(wire) + body)
                self.assertEqual(expected, value("var_received_bytes", given))

    def test_client_user(self) -> None:
        """
        The user of basic authentication is told, and of nothing else.
        """

        def basic(plain: bytes, scheme: bytes = b"Basic ") -> bytes:
            return scheme + base64.b64encode(plain)

        for credentials, user in (
            (basic(b"ada:secret"), b"ada"),
            (basic(b"ada:", b"basic   "), b"ada"),
            (basic(b"a\r\nX-Evil:z"), b"a\r\nX-Evil"),
            (basic(b"\xff\x00:"), b"\xff\x00"),
            (basic(b"nocolon"), b""),
            (b"Basic !!!", b""),
            (b"Basic", b""),
            (b"Bearer YTpi", b""),
            (b"", b""),
        ):
            given = asked((b"Authorization", credentials))
            self.assertEqual(user, value("var_client_user", given), credentials)

    def test_cookies(self) -> None:
        """
        The first cookie of that very name counts, over all Cookie lines.
        """
        given = asked(
            (b"Cookie", b"A=upper;a=1 ; aa=2; flag; a=3"),
            (b"cookie", b'b="x y"; c=\xff=; d='),
        )
        for name, expected in (
            *(("a", b"1"), ("A", b"upper"), ("aa", b"2"), ("b", b'"x y"')),
            *(("c", b"\xff="), ("d", b""), ("flag", b""), ("e", b"")),
        ):
            self.assertEqual(expected, value(f"var_cookie_{name}", given))

    def test_forwarded_for(self) -> None:
        """
        What a trusted proxy has said is extended, all ports left out.
        """
        lines = (
            (b"X-Forwarded-For", b"198.51.100.1:80, [2001:db8::1]:443"),
            (b"x-forwarded-for", b"[::2],unknown, 10.0.0.1"),
        )
        name = "var_add_x_forwarded_for_proxy"
        self.assertEqual(b"192.0.2.7", value(name, asked(*lines)))
        self.assertEqual(
            b"198.51.100.1, 2001:db8::1, ::2, unknown, 10.0.0.1, 192.0.2.7",
            value(name, asked(*lines, trusted=True)),
        )
        self.assertEqual(b"192.0.2.7", value(name, asked(trusted=True)))


class FieldTests(SynchronousTestCase):
    def test_request(self) -> None:
        """
        A field is found in any case, an underscore standing for a hyphen; lines
        are joined, those of Cookie in the way of cookies.
        """
        given = asked(
            *((b"Accept", b"a"), (b"X-Foo", b"\xff"), (b"accept", b"b")),
            *((b"Cookie", b"a=1"), (b"Cookie", b"b=2"), (b"Connection", b"Upgrade")),
        )
        for name, expected in (
            *(("Accept", b"a, b"), ("x_FOO", b"\xff"), ("cookie", b"a=1; b=2")),
            *(("Connection", b"Upgrade"), ("Host", b"shop.example.com")),
            ("Missing", b""),
        ):
            self.assertEqual(expected, value(f"http_req_{name}", given))

    def test_claims(self) -> None:
        """
        What a client says of itself is not there, unless it is trusted.
        """
        names = (
            *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Port"),
            *(b"X-Forwarded-Host", b"X-Real-IP", b"X-Client-IP", b"X-Rewrite-Url"),
        )
        lines = [(name, b"lie") for name in names]
        for name in names:
            written = f"http_req_{name.decode()}"
            self.assertEqual(b"", value(written, asked(*lines)))
            self.assertEqual(b"lie", value(written, asked(*lines, trusted=True)))

    def test_ours(self) -> None:
        """
        Fields that are ours alone are not read from anybody.
        """
        for name in (
            *(b"X-Original-Host", b"X-Original-URL", b"X-AppGW-Trace-Id"),
            *(b"Forwarded", b"Proxy"),
        ):
            given = asked((name, b"lie"), trusted=True)
            self.assertEqual(b"", value(f"http_req_{name.decode()}", given))

    def test_answer(self) -> None:
        """
        A field of the answer is joined where it is read, and asked line by line.
        """
        given = seen(lines=[(b"Set-Cookie", b"a"), (b"X", b"1"), (b"set-cookie", b"b")])
        cookies = variable("http_resp_Set_Cookie")
        self.assertEqual(b"a, b", cookies.read(given))
        self.assertEqual([b"a", b"b"], cookies.all_values(given))
        self.assertEqual([b""], variable("http_resp_Y").all_values(given))
        self.assertTrue(cookies.of_answer)

    def test_length(self) -> None:
        """
        The answer's length can be asked though its line is not there yet.
        """
        length = variable("http_resp_Content-Length")
        self.assertEqual([b"12"], length.all_values(seen(length=12)))
        self.assertEqual([b""], length.all_values(seen()))

    def test_of_the_connection(self) -> None:
        """
        Fields of the backend's connection are foreseen to be empty, but for what
        stands beside an Upgrade.
        """
        for name in ("Transfer-Encoding", "Keep-Alive", "HTTP2-Settings"):
            self.assertEqual({b""}, variable(f"http_resp_{name}").values)
        connection = variable("http_resp_Connection")
        self.assertEqual({b"", b"Upgrade"}, connection.values)
        for name in ("Content-Type", "Upgrade"):
            self.assertFalse(variable(f"http_resp_{name}").values)


class NameTests(SynchronousTestCase):
    def test_unknown(self) -> None:
        """
        What is no variable of Azure's is refused.
        """
        for name in (
            *("", "host", "var_", "var_nosuch", "var_HOST", "var_cookie_", "http_req_"),
            *("http_resp_", "http_request_X", "{var_host}", "var_host ", "HTTP_REQ_X"),
            *("http_req_a b", "http_req_\xe9", "http_req_a:b", "var_cookie_a;b"),
            *("cookie_a", "http_req_" + "x" * 257),
        ):
            with self.assertRaises(BadVariable):
                variable(name)

    def test_same(self) -> None:
        """
        A field is the same whatever its case; a cookie is not.
        """
        self.assertEqual(
            variable("http_req_User-Agent"), variable("http_req_user_agent")
        )
        self.assertNotEqual(variable("http_req_A"), variable("http_resp_A"))
        self.assertNotEqual(variable("var_cookie_a"), variable("var_cookie_A"))

    def test_every_head(self) -> None:
        """
        No variable stumbles over a head that came over HTTP/1.0 with nothing in it.
        """
        bare = RequestHead(b"GET", b"http", b"x", b"/", None, (1, 0), [])
        for name in _SERVER:
            self.assertIsInstance(value(f"var_{name}", seen(bare)), bytes)
