from __future__ import annotations

import datetime
import ipaddress
import textwrap
from pathlib import Path

import attrs
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.explain import Question, QuestionError, ask, explain, explained
from appgw.config.model import BackendSettings, Config, Listener, Member, Pin, Pool
from appgw.testing import make_certificate
from tests.route.values import config, listener, path_rule

_DIGEST = bytes(range(32))
_CLIENT = "192.0.2.1"


def _told(
    values: Config, url: str, *fields: str, method: str = "GET", client: str = _CLIENT
) -> tuple[str, bool]:
    lines, refused = explained(values, ask(url, fields, method, client))
    return "\n".join(lines), refused


_ORDERS = BackendSettings(
    name="orders",
    protocol="https",
    port=443,
    pins=("leaf",),
    path="/v2/",
    host_name="orders.internal",
    cookie_based_affinity=True,
)
_MEMBERS = (
    Member(address="orders-1.internal"),
    Member(address="10.0.0.7", port=9443, weight=2, pins=("key",)),
)
_PINS = (
    Pin(name="leaf", sha256=_DIGEST),
    Pin(
        name="key",
        spki_sha256=_DIGEST[::-1],
        not_after=datetime.date(2027, 5, 1),
        allow_expired=True,
    ),
    Pin(name="unused", sha256=_DIGEST),
)


def _shop() -> Config:
    """
    Two sites and a rest on one port, and one pool with pins.
    """
    values = config(
        listener("shop", "shop.example.com"),
        listener("api", "*.example.com"),
        listener("rest"),
        listener("plain", protocol="http", port=80),
        path_rules=[
            path_rule("admin", "/admin/*"),
            path_rule("orders", "/orders/*", "/o"),
            path_rule("all", "/*"),
        ],
    )
    return attrs.evolve(
        values,
        listeners={**values.listeners, "idle": listener("idle", "idle.example")},
        backend_settings={**values.backend_settings, "orders": _ORDERS},
        pools={**values.pools, "orders": Pool(name="orders", members=_MEMBERS)},
        pins={pin.name: pin for pin in _PINS},
    )


class _Explaining(SynchronousTestCase):
    def assertTold(self, text: str, *expected: str) -> None:
        """Fail unless each of the lines is among the text's."""
        lines = text.splitlines()
        for line in expected:
            self.assertIn(line, lines, text)


class ForwardTests(_Explaining):
    def test_whole_way(self) -> None:
        """Listener, rule, path rule, pool, members, pins and head are told."""
        text, refused = _told(
            _shop(),
            "https://shop.example.com/x/../Orders/7?a=b#top",
            "Accept: */*",
            "X-Forwarded-For: 127.0.0.1",
        )
        self.assertFalse(refused)
        self.assertTold(
            text,
            "listener   shop (https://0.0.0.0:443)",
            "rule       shop (priority 10)",
            "path       /Orders/7, read from /x/../Orders/7",
            "path rule  orders, by /orders/*",
            "pool       orders",
            "settings   orders (https, request_timeout 20s, path /v2/,"
            " affinity by cookie ApplicationGatewayAffinity)",
            "members    in turn, by weight",
            "  https://orders-1.internal:443, 1 of 3 requests, SNI orders.internal,"
            " must show leaf",
            "  https://10.0.0.7:9443, 2 of 3 requests, SNI orders.internal,"
            " must show key",
            f"  pin leaf: certificate SHA-256 {_DIGEST.hex()}",
            f"  pin key: public key SHA-256 {_DIGEST[::-1].hex()}, to the end of"
            " 2027-05-01 UTC, expired or not",
            "  GET /v2/7?a=b HTTP/1.1",
            "  Host: orders.internal",
            "  Accept: */*",
            "  X-Forwarded-For: 192.0.2.1",
            "  X-Original-Host: shop.example.com",
            "  X-Original-URL: /x/../Orders/7?a=b",
        )
        self.assertNotIn("unused", text)

    def test_others(self) -> None:
        """Each other listener and path rule is told with what it lacks."""
        text, _ = _told(_shop(), "https://shop.example.com/orders/7")
        self.assertTold(
            text,
            "  listener api: takes *.example.com, but its rule api has priority 20,"
            " after 10",
            "  listener rest: takes every Host, but its rule rest has priority 30,"
            " after 10",
            "  listener plain: is another way in: plain (http://0.0.0.0:80)",
            "  listener idle: no rule leads from it",
            "  path rule admin: /admin/* does not match",
            "  path rule orders: /o does not match",
            "  path rule all: /* matches too, but is listed later",
        )
        self.assertNotIn("listener shop:", text)
        text, _ = _told(_shop(), "https://api.example.com/")
        self.assertTold(
            text, "  listener shop: takes shop.example.com, not api.example.com"
        )

    def test_default(self) -> None:
        """The default of a path map, and a rule without one, are told apart."""
        values = config(listener("a"), path_rules=[path_rule("x", "/x")])
        self.assertTold(
            _told(values, "https://a.example/y")[0],
            "path rule  none: the default of map",
        )
        text, _ = _told(config(listener("a")), "https://a.example")
        self.assertNotIn("path rule", text)
        self.assertTold(text, "  GET / HTTP/1.1")
        self.assertNotIn("others", text)

    def test_client_decides(self) -> None:
        """The client's address tells whether its claims are believed."""
        values = attrs.evolve(
            _shop(),
            trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),),
        )
        for client, chain in (
            ("10.0.0.1", "127.0.0.1, 10.0.0.1"),
            ("192.0.2.9", "192.0.2.9"),
            ("2001:db8::1", "2001:db8::1"),
        ):
            text, _ = _told(
                values,
                "https://shop.example.com/",
                "X-Forwarded-For: 127.0.0.1",
                client=client,
            )
            self.assertTold(text, f"  X-Forwarded-For: {chain}")

    def test_other_demands(self) -> None:
        """Roots, names and the member's own Host are told."""
        values = config(listener("a"))
        settings = BackendSettings(
            name="web",
            protocol="https",
            port=443,
            trusted_roots=("well-known",),
            pick_host_name_from_backend_address=True,
        )
        members = (Member(address="web.internal"),)
        values = attrs.evolve(
            values,
            backend_settings={"web": settings},
            pools={"web": Pool(name="web", members=members)},
        )
        text, _ = _told(values, "https://a.example/")
        self.assertTold(
            text,
            "  https://web.internal:443, SNI web.internal, Host web.internal,"
            " signed under well-known, valid for web.internal",
            "  Host: web.internal",
        )

    def test_empty_pool(self) -> None:
        """A pool without members is told to be one."""
        values = attrs.evolve(config(listener("a")), pools={"web": Pool(name="web")})
        text, _ = _told(values, "https://a.example/")
        self.assertTold(text, "members    none: 502", "  Host: a.example")


class RefusedTests(_Explaining):
    def test_reasons(self) -> None:
        """A refusal is told with its status, its reason and whose it is."""
        sited = config(listener("a", "a.example"), listener("b", "b.example"))
        for url, fields, method, expected in (
            ("https://c.example/", [], "GET", ["404 Not Found: no listener of the"]),
            (
                "https://a.example/",
                ["Host: b.example"],
                "GET",
                ["421 Misdirected Request: the server name", "listener   b ("],
            ),
            ("https://a.example/", ["Host: x@y"], "GET", ["400 Bad Request: the Host"]),
            ("https://a.example/", ["host:"], "GET", ["400 Bad Request: the request"]),
            (
                "https://a.example/x%2fy",
                [],
                "GET",
                ["400 Bad Request: path /x%2fy: an escaped slash"],
            ),
            (
                "https://a.example/?\u00e9",
                [],
                "GET",
                ["400 Bad Request: a byte in the"],
            ),
            ("https://a.example/", [], "TRACE", ["405 Method Not Allowed: TRACE"]),
            (
                "https://a.example/",
                ["Via: 1.1 appgw, 1.1 appgw"],
                "GET",
                ["508 Loop Detected: Via", "listener   a ("],
            ),
        ):
            text, refused = _told(sited, url, *fields, method=method)
            self.assertTrue(refused)
            for line in expected:
                self.assertIn(line, text)
            self.assertNotIn("sends", text)

    def test_nobody_takes_it(self) -> None:
        """Each listener says what it takes where none takes the Host."""
        values = config(listener("a", "a.example", "*.b.example"), listener("c", "c"))
        text, _ = _told(values, "https://x/")
        self.assertTold(
            text,
            "  listener a: takes a.example, *.b.example, not x",
            "  listener c: takes c, not x",
        )
        text, _ = _told(values, "https://x/", "Host: a,b")
        self.assertTold(text, "  listener c: takes c, but the Host is none")

    def test_answered(self) -> None:
        """A request that ends here without an error is no refusal."""
        text, refused = _told(
            config(listener("a")), "https://a/", "Max-Forwards: 0", method="OPTIONS"
        )
        self.assertFalse(refused)
        self.assertIn("answered   204 here: Max-Forwards", text)


class AskTests(_Explaining):
    def asked(self, url: str, *fields: str) -> Question:
        """Return a question as a browser would put it."""
        return ask(url, fields, "GET", _CLIENT)

    def test_port(self) -> None:
        """The port is the URL's, or the scheme's own."""
        for url, port in (
            ("http://a", 80),
            ("HTTPS://a/x:1", 443),
            ("https://user@a:8443?x", 8443),
            ("http://[::1]:8080/", 8080),
            ("http://[::1]/", 80),
        ):
            self.assertEqual(port, self.asked(url).port)

    def test_server_name(self) -> None:
        """The handshake names the URL's host, whatever Host says, but no address."""
        values = config(listener("a"))
        for url, name in (
            ("https://A.example:443/", "a.example"),
            ("https://10.0.0.1/", None),
            ("https://[::1]/", None),
            ("http://a.example/", None),
        ):
            arrival = self.asked(url, "Host: b.example").arrival(values)
            self.assertEqual(name, arrival.server_name)

    def test_impossible(self) -> None:
        """What no client could ask is told in one line."""
        for url, fields in (
            ("ftp://a/", []),
            ("a.example/x", []),
            ("https:///x", []),
            ("https://a:99999/", []),
            ("https://a b/", []),
            ("https://a/", ["no colon"]),
            ("https://a/", ["A: b\r\nC: d"]),
            ("https://a/", ["A b: c"]),
            ("https://a/", ["Host: a", "host: b"]),
        ):
            self.assertRaises(QuestionError, self.asked, url, *fields)
        self.assertRaises(QuestionError, ask, "https://a/", [], "GET", "nowhere")

    def test_no_such_port(self) -> None:
        """A port that nobody serves, or in another scheme, is told."""
        values = config(listener("a"), listener("b", protocol="http", port=80))
        for url, expected in (
            ("https://a:444/", "no listener with a rule has port 444, only 80, 443"),
            ("http://a:443/", "port 443 is for https, not http"),
        ):
            error = self.assertRaises(QuestionError, _told, values, url)
            self.assertEqual(expected, str(error))

    def test_address(self) -> None:
        """Of addresses with the same port the URL's counts, else the general one."""
        first: Listener = attrs.evolve(listener("first"), address="10.0.0.1")
        values = config(first, listener("general"))
        for url, expected in (
            ("https://10.0.0.1/", "first"),
            ("https://10.0.0.2/", "general"),
            ("https://a.example/", "general"),
        ):
            self.assertIn(f"rule       {expected} ", _told(values, url)[0])

    def test_unroutable(self) -> None:
        """A pattern that nothing could match is told instead of a traceback."""
        values = config(listener("a"), path_rules=[path_rule("x", "/..;/*")])
        error = self.assertRaises(QuestionError, _told, values, "https://a/")
        self.assertIn("'/..;/*'", str(error))


class CommandTests(_Explaining):
    def run_on(self, yaml: str, *arguments: str) -> tuple[int, str]:
        """Run the command on a file; return its exit code and output."""
        folder = Path(self.mktemp())
        folder.mkdir()
        make_certificate(["shop.example.com"]).write(folder, "shop")
        path = folder / "gateway.yaml"
        path.write_text(textwrap.dedent(yaml))
        result = CliRunner().invoke(explain, [str(path), *arguments])
        return result.exit_code, result.output

    _YAML = """
        certificates: {shop: {certificate_file: shop.pem, key_file: shop.key}}
        pools: {web: {members: [10.0.0.7]}}
        backend_settings: {web: {protocol: http, port: 8080}}
        listeners:
          shop: {protocol: https, host_names: [shop.example.com], certificate: shop}
        rules: {shop: {priority: 1, listener: shop, pool: web, backend_settings: web}}
        """

    def test_from_file(self) -> None:
        """A request that would be sent on exits with 0."""
        code, output = self.run_on(
            self._YAML, "https://shop.example.com/a", "-H", "Accept: x\x1b[0m"
        )
        self.assertEqual(0, code, output)
        self.assertTold(
            output,
            "listener   shop (https://0.0.0.0:443)",
            "  http://10.0.0.7:8080",
            "  Accept: x\\x1b[0m",
        )

    def test_refused(self) -> None:
        """A request that would be refused exits with 1."""
        code, output = self.run_on(self._YAML, "https://other.example/")
        self.assertEqual(1, code)
        self.assertIn("404 Not Found", output)

    def test_impossible(self) -> None:
        """A question without an answer exits with 1 and says why."""
        self.assertEqual(
            (1, "x: not an http or https URL\n"), self.run_on(self._YAML, "x")
        )

    def test_broken_file(self) -> None:
        """A configuration with errors exits with 1 and lists them."""
        code, output = self.run_on("listeners: {}", "https://a/")
        self.assertEqual(1, code)
        self.assertIn("gateway.yaml:", output)
        self.assertNotIn("Traceback", output)
