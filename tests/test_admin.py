from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory

from appgw.config import model
from tests.journey.kit import GET, OK, STRANGER, turn
from tests.journey.probing import BAD, Answers, ProbedTestCase
from tests.journey.recorded import Recorded
from tests.journey.wire import Client, Conversation, Message

ASK = b"GET /backendhealth HTTP/1.1\r\nHost: appgw\r\n\r\n"


class AdminTestCase(ProbedTestCase):
    def setUp(self) -> None:
        """
        Choose a place for the socket.
        """
        super().setUp()
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)
        self.path = self.folder / "admin.sock"

    def with_socket(self, *backends: Any, **settings: Any) -> model.Config:
        """
        Return a configuration with an admin socket.
        """
        admin = model.Admin(socket=str(self.path))
        return attrs.evolve(self.probing(*backends, **settings), admin=admin)

    @contextlib.contextmanager
    def powerless(self) -> Iterator[None]:
        """
        Have no right to the folder, like one who was root and is not any more.
        """
        root = os.geteuid() == 0
        self.folder.chmod(0o500)
        if root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)
            self.folder.chmod(0o700)

    async def operator(self, path: Path | None = None) -> Client:
        """
        Connect to the socket.
        """
        client = Client()
        factory = Factory.forProtocol(lambda: client)
        factory.noisy = False
        # What Wire does to TCP has no meaning here.
        client.connectionMade = lambda: None  # type: ignore[method-assign]
        where = str(path or self.path)
        await UNIXClientEndpoint(reactor, where).connect(factory)
        self.addCleanup(client.reset)
        return client

    async def see(self, wire: bytes = ASK) -> Message:
        """
        Ask on a connection of its own.
        """
        client = await self.operator()
        message = await client.ask(wire)
        client.reset()
        await client.ended()
        return message

    async def servers(self) -> list[dict[str, Any]]:
        """
        Return what is told of the members of the one pool.
        """
        (pool,) = json.loads((await self.see()).body)["backendAddressPools"]
        (setting,) = pool["backendHttpSettingsCollection"]
        servers: list[dict[str, Any]] = setting["servers"]
        return servers


class HealthTests(AdminTestCase):
    """
    What is told.
    """

    async def test_shape(self) -> None:
        """
        It has the shape of Azure's backendhealth, with two fields of ours.
        """
        backend = self.backend(Answers())
        self.serve(self.with_socket(backend))
        await self.settled()
        message = await self.see()
        self.assertEqual(200, message.status)
        self.assertEqual([b"application/json"], message.get(b"content-type"))
        server = {
            "address": "127.0.0.1",
            "health": "Up",
            "healthProbeLog": "Success. Received 200 status code",
            "endpoint": f"127.0.0.1:{backend.port}",
            "probed": True,
        }
        setting = {
            "id": "backendHttpSettingsCollection/web",
            "name": "web",
            "pinMode": "prevent",
        }
        collection = {"backendHttpSettings": setting, "servers": [server]}
        pool = {"id": "backendAddressPools/web", "name": "web"}
        self.assertEqual(
            {
                "backendAddressPools": [
                    {
                        "backendAddressPool": pool,
                        "backendHttpSettingsCollection": [collection],
                    }
                ]
            },
            json.loads(message.body),
        )

    async def test_everybody(self) -> None:
        """
        Every member is there with its reason: both fingerprints where a
        certificate was refused.
        """
        stranger = self.backend(Answers(), STRANGER)
        backends = [self.backend(Answers(BAD)), self.backend(Answers()), stranger]
        self.serve(self.with_socket(*backends, probe={"unhealthy_threshold": 1}))
        await self.settled()
        found = await self.servers()
        states = [server["health"] for server in found]
        self.assertEqual(["Down", "Up", "Down"], states)
        self.assertIn("Received:503", found[0]["healthProbeLog"])
        told = found[2]["healthProbeLog"]
        self.assertTrue(told.startswith("Backend server certificate is not"), told)
        self.assertIn(STRANGER.sha256, told)
        self.assertIn("allowed: leaf (SHA-256 ", told)

    async def test_pool_of_two_settings(self) -> None:
        """
        A pool that is used under two settings is told once, with both.
        """
        backend = self.backend(Answers(), None)
        config = self.with_socket(backend, protocol="http")
        web = config.backend_settings["web"]
        settings = {"web": web, "other": attrs.evolve(web, name="other")}
        there = model.Destination(pool="web", backend_settings="other")
        rule = attrs.evolve(config.rules["secure"], destination=there)
        rules = {"plain": config.rules["plain"], "secure": rule}
        self.serve(config, backend_settings=settings, rules=rules)
        await self.settled()
        (pool,) = json.loads((await self.see()).body)["backendAddressPools"]
        names = [
            collection["backendHttpSettings"]["name"]
            for collection in pool["backendHttpSettingsCollection"]
        ]
        self.assertEqual(["web", "other"], names)

    async def test_nothing_else(self) -> None:
        """
        There is nothing else to be had, and nothing takes a change.
        """
        self.serve(self.with_socket())
        for path in (b"/", b"/backendhealth/x", b"/metrics", b"/.."):
            wire = ASK.replace(b"/backendhealth", path)
            self.assertEqual(404, (await self.see(wire)).status, path)
        wire = ASK.replace(b"GET", b"POST").replace(
            b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(405, (await self.see(wire)).status)

    async def test_no_news(self) -> None:
        """
        That somebody has asked is not logged.
        """
        self.serve(self.with_socket())
        await self.see()
        self.assertNotIn("backendhealth", self.messages())


class SocketTests(AdminTestCase):
    """
    Where it is told.
    """

    async def test_private(self) -> None:
        """
        The socket is its owner's alone, there from the start to the stop.
        """
        gateway = self.serve(self.with_socket())
        found = self.path.stat()
        self.assertTrue(stat.S_ISSOCK(found.st_mode))
        self.assertEqual(0o600, stat.S_IMODE(found.st_mode))
        await gateway.stopService()
        self.assertEqual([], list(self.folder.iterdir()))

    async def test_before_the_start(self) -> None:
        """
        It is made while the ports are bound, before privileges are given up; who
        connects before the start waits for it.
        """
        gateway = self.gateway = Recorded(self.with_socket())
        gateway.privilegedStartService()
        self.addCleanup(gateway.stopService)
        client = await self.operator()
        client.write(ASK)
        gateway.startService()
        self.assertEqual(200, (await client.answer()).status)

    async def test_given_away(self) -> None:
        """
        The file can be given to whom the process will run as.
        """
        gateway = Recorded(self.with_socket())
        gateway.bind()
        user = os.geteuid() or 65534
        gateway.watch.admin.give(user)
        self.assertEqual(user, self.path.stat().st_uid)
        await gateway.stopService()
        self.assertEqual([], list(self.folder.iterdir()))

    async def test_may_not_remove(self) -> None:
        """
        A file that may not be removed any more does not stop the stop, and the
        next who binds it replaces it.
        """
        gateway = self.serve(self.with_socket())
        with self.powerless():
            await gateway.stopService()
        self.assertTrue(self.path.exists())
        gateway.startService()
        self.assertEqual([], await self.servers())

    async def test_never_started(self) -> None:
        """
        One that was bound and not started leaves nothing.
        """
        gateway = Recorded(self.with_socket())
        gateway.bind()
        self.assertTrue(self.path.exists())
        await gateway.stopService()
        self.assertEqual([], list(self.folder.iterdir()))

    async def test_left_behind(self) -> None:
        """
        What a gateway that was killed has left is replaced.
        """
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(self.path))
        self.serve(self.with_socket())
        self.assertEqual([], await self.servers())

    async def test_two_gateways(self) -> None:
        """
        Of two with the same socket the second does not start, and the first
        keeps it; a socket that nobody asked for is done without.
        """
        self.serve(self.with_socket())
        first = self.gateway
        with self.assertRaises(OSError) as caught:
            self.serve(self.with_socket())
        self.assertIn(f"cannot listen on {self.path}: another", str(caught.exception))
        self.assertFalse(self.gateway.running)
        admin = model.Admin(socket=str(self.path), asked_for=False)
        second = self.serve(attrs.evolve(self.probing(), admin=admin))
        self.assertIn("There is no admin socket: cannot listen on", self.messages())
        await second.stopService()
        self.gateway = first
        self.assertEqual([], await self.servers())

    async def test_moves(self) -> None:
        """
        A reload opens, moves and closes it.
        """
        config = self.probing()
        self.serve(config)
        self.assertFalse(self.path.exists())
        await self.gateway.apply(self.with_socket())
        self.assertEqual([], await self.servers())
        before = self.path.stat().st_ino
        await self.gateway.apply(self.with_socket())
        self.assertEqual(before, self.path.stat().st_ino)
        old, self.path = self.path, self.folder / "other.sock"
        await self.gateway.apply(self.with_socket())
        await turn()
        self.assertEqual([], await self.servers())
        self.assertFalse(old.exists())
        await self.gateway.apply(config)
        await turn()
        self.assertEqual([], list(self.folder.iterdir()))

    async def test_cannot_move(self) -> None:
        """
        A reload that cannot have its socket changes nothing, at no port.
        """
        config = self.with_socket()
        gateway = self.serve(config)
        before = gateway.config, gateway.addresses()
        admin = model.Admin(socket=str(self.folder / "none" / "a.sock"))
        status = model.Status(port=0)
        changed = attrs.evolve(config, admin=admin, status=status)
        self.assertRaises(OSError, gateway.apply, changed)
        self.assertEqual(before, (gateway.config, gateway.addresses()))
        self.assertIsNone(gateway.watch.status.address)
        self.assertEqual([], await self.servers())

    async def test_taken_away(self) -> None:
        """
        What somebody else has put in its place is left alone at the stop, and a
        file that is gone does not stop it.
        """
        gateway = self.serve(self.with_socket())
        self.path.unlink()
        self.path.write_text("mine")
        await gateway.stopService()
        self.assertEqual("mine", self.path.read_text())
        self.path.unlink()
        gateway.startService()
        self.path.unlink()
        await gateway.stopService()

    async def test_stop(self) -> None:
        """
        It tells while the gateway stops; whoever is still there in the end is
        cut.
        """
        asked: list[Conversation] = []

        async def slow(conversation: Conversation) -> None:
            await conversation.request()
            asked.append(conversation)

        backend = self.backend(slow)
        config = self.with_socket(backend, probe_enabled=False)
        self.serve(config, shutdown_timeout=1000.0)
        client = await self.client()
        client.write(GET)
        await self.until(lambda: asked)
        stopped = self.gateway.stopService()
        (server,) = await self.servers()
        self.assertEqual("Unknown", server["health"])
        idle = await self.operator()
        asked[0].write(OK)
        await client.answer()
        await stopped
        await idle.ended()
