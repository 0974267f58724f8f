from __future__ import annotations

import configparser
import re
import shlex
import socket
from pathlib import Path
from typing import Any

import click
from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import LogEvent, eventAsText, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from appgw import Gateway
from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions
from appgw.cli.main import main
from appgw.config.model import Pin
from appgw.config.read import examine
from appgw.testing import Issued, ServerTLS, make_certificate, server_context

ROOT = Path(__file__).parents[1]
NAME = "shop.example.com"
ASKS = b"GET /orders/7 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n"

UNLIKE = (
    (r"\b[0-9a-f]{64}\b", "(SHA-256)"),
    (r"\b[0-9a-f]{32}\b", "(trace id)"),
    (r"[A-Za-z0-9+/]{43}=", "(SPKI)"),
    (r"[0-9-]{10}T[0-9:]{8}\+[0-9]{4}", "(time)"),
    (r"\[appgw\.[\w.]+#warn\]", "(module)"),
    (r"Date: [A-Za-z0-9:, ]+ GMT", "Date: (date)"),
    (r"127\.0\.0\.1:[0-9]+", "(backend)"),
)
"""What differs from one run to another."""


def page() -> str:
    """
    Read the README, where the tests lie beside it.
    """
    path = ROOT / "README.md"
    if not path.exists():
        raise SkipTest("the tests lie apart from the README")
    return path.read_text("utf-8")


def block(language: str) -> str:
    """
    Return the one example in this language.
    """
    [found] = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page())
    return str(found)


def likened(text: str) -> str:
    """
    Replace what differs from one run to another.
    """
    for pattern, name in UNLIKE:
        text = re.sub(pattern, name, text)
    return text


class Client(Protocol):
    """
    Sends one request and keeps all of the answer's page, or as much as came.
    """

    def __init__(self) -> None:
        self.received = b""
        self.answered: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        """
        Ask.
        """
        self.transport.write(ASKS)

    def dataReceived(self, data: bytes) -> None:
        """
        Close at the end of the page.
        """
        self.received += data
        if self.received.endswith((b"</html>\n", b"hello\n")):
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Hand out what came.
        """
        self.answered.callback(self.received.decode().replace("\r\n", "\n"))


class Backend(Protocol):
    """
    Says hello to whatever comes, and remembers it.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Answer at once.
        """
        self.factory.received.append(data)
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")


class EmbeddingTests(TestCase):
    """
    The README's configuration in the README's program, with real sockets.
    """

    def setUp(self) -> None:
        """
        Make the certificates that the configuration names, and the file.
        """
        folder = Path(self.mktemp())
        self.front = make_certificate([NAME])
        self.pinned = make_certificate(["orders.internal"])
        self.front.write(folder / "tls", "shop")
        (folder / "pins").mkdir()
        (folder / "pins" / "orders-2026.pem").write_bytes(self.pinned.cert_pem)
        self.path = folder / "gateway.yaml"
        self.log: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        """
        Keep the refusals.
        """
        text = eventAsText(event)
        if "refused:" in text:
            self.log.append(text)

    def backend(self, issued: Issued) -> Any:
        """
        Start a backend, and write the README's file for it.
        """
        factory = Factory.forProtocol(Backend)
        factory.noisy = False
        factory.received = []
        tls = ServerTLS(server_context(issued))
        port = reactor.listenSSL(0, factory, tls, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        held = socket.socket()
        self.addCleanup(held.close)
        # Bound until the gateway is, so that nobody else is given the port.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        self.write(port.getHost().port, held.getsockname()[1])
        return factory

    def write(self, backend: int, gateway: int) -> None:
        """
        Write the README's file with these ports in the place of its own.
        """
        text = block("yaml")
        for old, new in (
            ("127.0.0.1:9443", f"127.0.0.1:{backend}"),
            ("port: 8443", f"address: 127.0.0.1, port: {gateway}"),
        ):
            self.assertEqual(text.count(old), 1)
            text = text.replace(old, new)
        self.path.write_text(text)

    def embed(self) -> Gateway:
        """
        Run the README's program up to where twistd takes over.
        """
        names: dict[str, Any] = {}
        program = block("python").replace('"gateway.yaml"', repr(str(self.path)))
        exec(compile(program, "README.md", "exec"), names)
        service = IService(names["application"])
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        gateway: Gateway = names["gateway"]
        return gateway

    async def ask(self, gateway: Gateway) -> str:
        """
        Send a request through the gateway, and return the whole answer.
        """
        [(_, port)] = gateway.addresses().values()
        pin = Pin(name="front", sha256=bytes.fromhex(self.front.sha256))
        target = Target(
            address="127.0.0.1", port=port, server_name=NAME, pins=(pin,), name=NAME
        )
        way = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        pinned = wrapClientTLS(PinnedClientTLSOptions(target), way)
        client = await pinned.connect(Factory.forProtocol(Client))
        client.answered.addTimeout(30, reactor)
        return str(await client.answered)

    async def test_admitted(self) -> None:
        """
        The backend whose certificate is listed is asked, and its answer given.
        """
        backend = self.backend(self.pinned)
        answer = await self.ask(self.embed())
        self.assertTrue(answer.endswith("\n\nhello\n"), answer)
        asked = [one for one in backend.received if b"appgw-probe" not in one]
        self.assertEqual(len(asked), 1)
        self.assertEqual(self.log, [])

    async def test_refused(self) -> None:
        """
        Another one gets nothing; client and log are told what the README shows.
        """
        backend = self.backend(make_certificate(["orders.internal"]))
        answer = await self.ask(self.embed())
        self.assertEqual(likened(answer), likened(block("http")))
        [line] = self.log
        self.assertEqual(likened(line), likened(block("log").rstrip("\n")))
        self.assertEqual(backend.received, [])

    def test_configuration(self) -> None:
        """
        The configuration as it stands there is without errors or warnings.
        """
        self.path.write_text(block("yaml"))
        self.assertEqual(examine(str(self.path)).problems, ())


class PageTests(SynchronousTestCase):
    """
    What else the README says.
    """

    def test_not_yet(self) -> None:
        """
        What cannot be done yet is refused in the words that are shown.
        """
        path = Path(self.mktemp())
        waf = "waf: true, priority: 10"
        path.write_text(block("yaml").replace("priority: 10", waf))
        found = [str(one) for one in examine(str(path)).problems]
        shown = block("text").rstrip("\n").replace("gateway.yaml", str(path))
        self.assertIn(shown, found)

    def test_commands(self) -> None:
        """
        The commands of appgw that are shown exist, with these options.
        """
        lines = re.findall(r"(?m)^appgw ([^#\n]*?) *(?:#.*)?$", page())
        self.assertEqual(len(lines), 4)
        for line in lines:
            command: click.Command = main
            words = shlex.split(line)
            while isinstance(command, click.Group):
                command = command.commands[words.pop(0)]
            command.make_context("appgw", words)

    def test_dependencies(self) -> None:
        """
        The table of packages is setup.cfg's list.
        """
        metadata = configparser.ConfigParser()
        metadata.read(ROOT / "setup.cfg")
        needed = metadata["options"]["install_requires"].split()
        listed = page().partition("## What it is built on")[2]
        self.assertEqual(
            {re.split("[<>=~!]", one)[0].lower() for one in needed},
            {name.lower() for name in re.findall(r"(?m)^\| ([\w\[\]-]+) \| ", listed)}
            - {"package"},
        )

    def test_links(self) -> None:
        """
        Every page that is linked to is there, with its heading.
        """
        links = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", page())
        self.assertGreater(len(links), 4)
        for path, heading in links:
            text = (ROOT / path).read_text("utf-8")
            titles = re.findall(r"(?m)^#+ (.+)$", text)
            anchors = [title.lower().replace(" ", "-") for title in titles]
            if heading:
                self.assertIn(heading, anchors)
