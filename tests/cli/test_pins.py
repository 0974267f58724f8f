from __future__ import annotations

import base64
import datetime
import socket
from pathlib import Path

import yaml
from click.testing import CliRunner, Result
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from appgw.backend.presented import Presented
from appgw.cli.pins import LookError, Sight, look, pins, read_place, server_name, tell
from appgw.config.read import read
from appgw.testing import make_ca, make_certificate, server_context
from tests.backend.loopback import Backend

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)
CONFIG = """
listeners: {{plain: {{protocol: http, port: 8080}}}}
pools: {{web: {{members: [127.0.0.1]}}}}
backend_settings: {{web: {{protocol: https, pins: [{names}]}}}}
rules: {{all: {{priority: 1, listener: plain, pool: web, backend_settings: web}}}}
{pins}
"""


def run(*arguments: str) -> Result:
    """
    Run ``appgw pins fetch``.
    """
    return CliRunner().invoke(pins, ["fetch", *arguments])


class Says(Protocol):
    """
    Says something that is no TLS to whoever connects, or just hangs up.
    """

    def connectionMade(self) -> None:
        """
        Say it.
        """
        self.transport.write(self.factory.words)
        if not self.factory.words:
            self.transport.loseConnection()


class FetchTests(TestCase):
    def listen(self, words: bytes) -> str:
        """
        Start a server without TLS; return where.
        """
        factory = Factory.forProtocol(Says)
        factory.noisy = False
        factory.words = words
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"127.0.0.1:{port.getHost().port}"

    async def failed(self, expected: str, *arguments: str) -> None:
        """
        Check that there is one line of complaint, and exit code 1.
        """
        result = await deferToThread(run, *arguments)
        self.assertEqual(result.exit_code, 1, result.output)
        self.assertEqual(result.output, f"Error: {arguments[0]}: {expected}\n")

    async def test_what_is_shown(self) -> None:
        """
        Everything by which a certificate is known is shown, and that none of
        it was verified.
        """
        middle = make_ca("the CA", make_ca())
        issued = make_certificate(["a.example", "b.example"], ["::1"], issuer=middle)
        for tls12 in (True, False):
            backend = Backend(self, server_context(issued, tls12))
            result = await deferToThread(run, f"127.0.0.1:{backend.port}")
            await backend.ended()
            self.assertEqual(result.exit_code, 0, result.output)
            for line in (
                "  subject       CN=a.example\n",
                "  issuer        CN=the CA\n",
                "  names         a.example, b.example, ::1\n",
                "  CA            no\n",
                f"  SHA-256       {issued.sha256}\n",
                "  sent with it  1 more certificate that pins do not look at\n",
                "It was NOT verified",
                f"({'TLSv1.2' if tls12 else 'TLSv1.3'}, no server name)",
                issued.cert_pem.decode(),
            ):
                self.assertIn(line, result.output)

    async def test_lines_to_paste(self) -> None:
        """
        The lines make three pins of exactly this certificate and key, when
        they are pasted into a configuration.
        """
        issued = make_certificate(["a.example"])
        backend = Backend(self, server_context(issued))
        where = f"127.0.0.1:{backend.port}"
        result = await deferToThread(run, where, "--sni", "A.example")
        await backend.ended()
        start = result.output.index("pins:\n")
        end = result.output.index("-----BEGIN")
        lines = result.output[start:end]
        names = list(yaml.safe_load(lines)["pins"])
        self.assertEqual(names, ["a-example", "a-example-key", "a-example-file"])
        folder = Path(self.mktemp())
        (folder / "pins").mkdir(parents=True)
        (folder / "pins" / "a-example.pem").write_text(result.output[end:])
        path = folder / "gateway.yaml"
        path.write_text(CONFIG.format(names=", ".join(names), pins=lines))
        leaf, key, file = read(str(path)).pins.values()
        self.assertEqual(leaf.sha256, bytes.fromhex(issued.sha256))
        self.assertEqual(key.spki_sha256, bytes.fromhex(issued.spki_sha256))
        self.assertEqual(file.sha256, leaf.sha256)

    async def test_poor_terminal(self) -> None:
        """
        A terminal without a subject's letters gets them escaped.
        """
        issued = make_certificate(common_name="B\xfccher \u0416")
        backend = Backend(self, server_context(issued))
        where = f"127.0.0.1:{backend.port}"
        runner = CliRunner(charset="latin-1")
        result = await deferToThread(runner.invoke, pins, ["fetch", where])
        await backend.ended()
        self.assertEqual(result.exit_code, 0, result.exception)
        self.assertIn(b"CN=B\xfccher \\u0416\n", result.stdout_bytes)

    async def test_server_name(self) -> None:
        """
        The name given by --sni is asked for; an address is not.
        """
        context = server_context(make_certificate())
        names: list[bytes | None] = []
        context.set_tlsext_servername_callback(
            lambda connection: names.append(connection.get_servername())
        )
        backend = Backend(self, context)
        where = f"127.0.0.1:{backend.port}"
        await deferToThread(run, where)
        await deferToThread(run, where, "--sni", "a.example")
        await backend.ended(2)
        self.assertEqual(names, [None, b"a.example"])

    async def test_refused(self) -> None:
        """
        A port at which nobody listens is said to be one.
        """
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            await self.failed("Connection refused", f"127.0.0.1:{port}")

    async def test_not_tls(self) -> None:
        """
        A server that does not speak TLS is said not to.
        """
        for words in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ESMTP\r\n"):
            await self.failed("this is not TLS", self.listen(words))

    async def test_hung_up(self) -> None:
        """
        A server that hangs up is said to have done so.
        """
        expected = "the connection was closed in the TLS handshake"
        await self.failed(expected, self.listen(b""))

    async def test_nothing_in_common(self) -> None:
        """
        A handshake that fails says what OpenSSL says.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        backend = Backend(self, context)
        result = await deferToThread(run, f"127.0.0.1:{backend.port}")
        await backend.ended()
        self.assertEqual(result.exit_code, 1)
        self.assertIn("the TLS handshake failed: ", result.output)
        self.assertEqual(result.output.count("\n"), 1)

    async def test_mute(self) -> None:
        """
        A server that says nothing is given up.
        """
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            with self.assertRaises(LookError) as raised:
                await deferToThread(look, "127.0.0.1", port, None, 5.0, 0.05)
        self.assertEqual(str(raised.exception), "no TLS handshake within 0.05 s")

    async def test_trickle(self) -> None:
        """
        A server that keeps saying a little is given up as well.
        """
        host, port = read_place(self.listen(b"\x16\x03\x03\x40\x00\x02"))
        with self.assertRaises(LookError) as raised:
            await deferToThread(look, host, port, None, 5.0, 0.05)
        self.assertEqual(str(raised.exception), "no TLS handshake within 0.05 s")

    async def test_full(self) -> None:
        """
        A server that accepts nobody is given up.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            address = full.getsockname()
            first = socket.create_connection(address)
            with first, self.assertRaises(LookError) as raised:
                await deferToThread(look, *address, None, 0.05)
        self.assertEqual(str(raised.exception), "no connection within 0.05 s")


class ArgumentTests(SynchronousTestCase):
    def test_places(self) -> None:
        """
        Names and addresses of both families are read with their port.
        """
        for where, place in (
            ("a.example:443", ("a.example", 443)),
            ("127.0.0.1:65535", ("127.0.0.1", 65535)),
            ("[::1]:443", ("::1", 443)),
            ("[2001:db8::7]:1", ("2001:db8::7", 1)),
        ):
            self.assertEqual(read_place(where), place)

    def test_bad_places(self) -> None:
        """
        Anything else is refused in one line, before a connection is made.
        """
        for where in (
            "a.example",
            "a.example:",
            ":443",
            "a.example:0",
            "a.example:65536",
            "a.example:https",
            "::1:443",
            "[::1]",
            "[a.example]:443",
            "[127.0.0.1]:443",
            "https://a.example:443",
            "user@a.example:443",
            "a b:443",
            "a.example:443\n",
            "a.example:\u0664\u0664\u0663",
            "",
        ):
            with self.assertRaises(LookError, msg=where):
                read_place(where)
            result = run(where)
            self.assertEqual(result.exit_code, 1, where)
            self.assertIn("Error: ", result.output)
            self.assertEqual(result.output.count("\n"), 1, result.output)

    def test_server_names(self) -> None:
        """
        A host's own name is asked for unless another one is; no address ever.
        """
        self.assertEqual(server_name("a.example.", None), "a.example")
        self.assertEqual(server_name("::1", None), None)
        self.assertEqual(server_name("::1", "b.example"), "b.example")
        for name in ("127.0.0.1", "::1", "", "a b", "\xfc.example", "a\n"):
            with self.assertRaises(LookError, msg=name):
                server_name("a.example", name)

    def test_bad_server_name(self) -> None:
        """
        A server name that is none ends in one line.
        """
        result = run("127.0.0.1:443", "--sni", "127.0.0.1")
        self.assertEqual(result.exit_code, 1)
        expected = "Error: 127.0.0.1:443: the server name must be a DNS name in ASCII\n"
        self.assertEqual(result.output, expected)

    def test_unknown_host(self) -> None:
        """
        A name that cannot be looked up is no traceback.
        """
        for host, expected in (
            ("x" * 64, "this is no host name"),
            ("a..b", "this is no host name"),
            ("[fe80::1%nowhere]", "no address is known for the host: "),
        ):
            result = run(f"{host}:443")
            self.assertEqual(result.exit_code, 1)
            self.assertEqual(result.output.count("\n"), 1, result.output)
            self.assertIn(f"Error: {host}:443: {expected}", result.output)


class TellTests(SynchronousTestCase):
    def told(self, der: bytes, now: datetime.datetime = NOW) -> str:
        """
        Tell about a certificate as if it had been presented.
        """
        sight = Sight(Presented.from_der(der), 0, "TLSv1.3")
        return "\n".join(tell("[::1]:443", None, sight, now))

    def test_dates(self) -> None:
        """
        A certificate out of its dates is marked.
        """
        der = make_certificate(not_before=NOW - DAY, not_after=NOW + DAY).der
        self.assertNotIn("allow_expired", self.told(der))
        self.assertIn("EXPIRED: ", self.told(der, NOW + 9 * DAY))
        self.assertIn("NOT YET VALID: ", self.told(der, NOW - 9 * DAY))

    def test_ca(self) -> None:
        """
        A CA is called one.
        """
        self.assertIn("  CA            yes\n", self.told(make_ca().der))

    def test_address_as_a_name(self) -> None:
        """
        A pin for a backend without a name is called by its address.
        """
        told = self.told(make_certificate(key="rsa").der)
        self.assertIn("\n  1: {sha256: ", told)
        issued = make_certificate(key="ed25519")
        spki = base64.b64encode(bytes.fromhex(issued.spki_sha256)).decode()
        self.assertIn(f'\n  1-key: {{spki_sha256: "{spki}"}}', self.told(issued.der))

    def test_many_names(self) -> None:
        """
        A long list of names is cut, none at all is said to be none.
        """
        told = self.told(make_certificate([f"{n}.example" for n in range(999)]).der)
        self.assertIn("19.example, and 979 more\n", told.replace("\n" + " " * 16, " "))
        self.assertIn("  names         (none)\n", self.told(make_certificate().der))

    def test_hostile_certificate(self) -> None:
        """
        What a certificate says never reaches the terminal as a command.
        """
        hostile = "\x1b]0;owned\x07\r\nsha256: x"
        issued = make_certificate([hostile])
        told = self.told(issued.der)
        self.assertTrue(told.replace("\n", "").isprintable())
        self.assertNotIn("\nsha256", told)

    def test_unreadable(self) -> None:
        """
        A certificate that cannot be read ends in one line.
        """
        with self.assertRaises(LookError) as raised:
            self.told(b"no certificate")
        self.assertIn("cannot be read (SHA-256 ", str(raised.exception))
