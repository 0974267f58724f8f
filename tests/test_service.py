from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor

from appgw import Gateway
from appgw.config import model
from appgw.config.read import ConfigError
from tests.backend.zone import hold_names
from tests.journey.kit import (
    GET,
    OK,
    PLAIN,
    SECURE,
    Backend,
    JourneyTests,
    answering,
    turn,
)

LONG = 1000.0


class StartTests(JourneyTests):
    def behind(self, *backends: Backend, **changes: Any) -> model.Config:
        """
        Return a configuration in clear text all the way.
        """
        config = self.config(*backends, protocol="http")
        return attrs.evolve(config, shutdown_timeout=LONG, **changes)

    def named(self, backend: Backend) -> model.Config:
        """
        Return a configuration whose member has a name.
        """
        member = model.Member(address="web.internal", port=backend.port)
        pool = model.Pool(name="web", members=(member,))
        return self.behind(pools={"web": pool})

    async def test_two_in_one_process(self) -> None:
        """
        Two gateways stand beside each other, each with its own counters.
        """
        backend = self.backend(answering(OK), None)
        first = self.serve(self.behind(backend))
        second = self.serve(self.behind(backend))
        for _ in range(2):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(0, len(first.outcomes))
        self.assertEqual(2, len(second.outcomes))
        self.assertEqual(2, self.count("appgw_client_connections_accepted_total"))
        self.gateway = first
        self.assertEqual(0, self.count("appgw_client_connections_accepted_total"))

    async def test_started_again(self) -> None:
        """
        What was stopped can be started again, and serves as before.
        """
        backend = self.backend(answering(OK), None)
        gateway = self.serve(self.behind(backend))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
            await gateway.stopService()
            self.assertEqual({}, gateway.addresses())
            self.assertFalse(gateway.running)
            gateway.startService()
            await gateway.serving()
        self.assertEqual(200, (await self.ask(secure=True)).status)
        self.assertEqual(4, len(gateway.outcomes))

    async def test_started_again_with_names(self) -> None:
        """
        Names are looked up after a second start, too.
        """
        backend = self.backend(answering(OK), None)
        zone = hold_names(self)
        gateway = self.serve(self.named(backend))
        zone.records["web.internal"] = ["127.0.0.1"]
        zone.answer()
        self.assertEqual(200, (await self.ask()).status)
        await gateway.stopService()
        before = len(zone.asked)
        gateway.startService()
        self.assertEqual(before + 1, len(zone.asked))
        self.assertEqual(200, (await self.ask()).status)

    async def test_backlog(self) -> None:
        """
        Who connects before the members' addresses are known waits for them.
        """
        backend = self.backend(answering(OK), None)
        zone = hold_names(self)
        gateway = self.serve(self.named(backend))
        client = await self.client()
        client.write(GET)
        self.assertEqual([], list(gateway._ports.channels()))
        serving = gateway.serving()
        self.assertNoResult(serving)
        zone.records["web.internal"] = ["127.0.0.1"]
        zone.answer()
        self.successResultOf(serving)
        self.assertEqual(200, (await client.answer()).status)

    async def test_stopped_before_names(self) -> None:
        """
        A start that still waits for addresses can be stopped.
        """
        backend = self.backend(answering(OK), None)
        zone = hold_names(self)
        gateway = self.serve(self.named(backend))
        await gateway.stopService()
        zone.answer()
        await turn()
        self.assertEqual({}, gateway.addresses())
        self.assertFalse(gateway._ports.accepting)

    async def test_taken_port(self) -> None:
        """
        A port that somebody has ends the start, and no other one stays bound.
        """
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
        free.close()
        config = self.config(protocol="http")
        listeners = {
            name: attrs.evolve(config.listeners["plain"], name=name, port=port)
            for name, port in (("plain", other), ("secure", number))
        }
        gateway = Gateway(attrs.evolve(config, listeners=listeners), reactor)
        error = self.assertRaises(OSError, gateway.privilegedStartService)
        self.assertIn(f"cannot listen on 127.0.0.1 port {number}: ", str(error))
        self.assertNotIn("Errno", str(error))
        self.assertEqual({}, gateway.addresses())
        again = socket.socket()
        self.addCleanup(again.close)
        again.bind(("127.0.0.1", other))

    async def test_taken_at_start(self) -> None:
        """
        Without twistd it is the start itself that fails, and nothing runs.
        """
        gateway = Gateway(self.config(protocol="http"), reactor)
        gateway.bind()
        (_, number) = gateway.addresses()[PLAIN, 0]
        self.addCleanup(gateway.stopService)
        config = self.config(protocol="http")
        plain = attrs.evolve(config.listeners["plain"], port=number)
        second = Gateway(
            attrs.evolve(config, listeners=config.listeners | {"plain": plain}),
            reactor,
        )
        self.assertRaises(OSError, second.startService)
        self.assertFalse(second.running)
        self.assertEqual({}, second.addresses())

    async def test_applied_before_the_start(self) -> None:
        """
        A configuration applied before the start is the one that is started.
        """
        old = self.backend(answering(OK), None)
        new = self.backend(answering(OK), None)
        gateway = self.gateway = Gateway(self.behind(old), reactor)
        await gateway.apply(self.behind(new))
        self.assertEqual({}, gateway.addresses())
        gateway.startService()
        self.addCleanup(gateway.stopService)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual((0, 1), (len(old.seen), len(new.seen)))

    async def test_applied_between_bind_and_start(self) -> None:
        """
        Ports follow what is applied while they are bound and not served.
        """
        backend = self.backend(answering(OK), None)
        config = self.behind(backend)
        gateway = self.gateway = Gateway(config, reactor)
        gateway.privilegedStartService()
        self.addCleanup(gateway.stopService)
        rules = {"plain": config.rules["plain"]}
        await gateway.apply(attrs.evolve(config, rules=rules))
        self.assertEqual([(PLAIN, 0)], list(gateway.addresses()))
        await gateway.apply(config)
        self.assertEqual({(PLAIN, 0), (SECURE, 0)}, set(gateway.addresses()))
        gateway.startService()
        self.assertEqual(200, (await self.ask(secure=True)).status)


class ReadingTests(JourneyTests):
    def write(self, port: int, log: str = "access.log", more: str = "") -> Path:
        """
        Write a configuration with one backend on *port*.
        """
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        number = self.__dict__.setdefault("number", listening.getsockname()[1])
        listening.close()
        folder = self.__dict__.setdefault("folder", Path(self.mktemp()))
        folder.mkdir(exist_ok=True)
        path: Path = folder / "gateway.yaml"
        path.write_text(
            f"listeners: {{plain: {{protocol: http, address: 127.0.0.1,"
            f" port: {number}}}}}\n"
            f"rules: {{all: {{priority: 1, listener: plain, pool: web,"
            f" backend_settings: web}}}}\n"
            f"pools: {{web: {{members: ['127.0.0.1:{port}']}}}}\n"
            f"backend_settings: {{web: {{protocol: http, probe_enabled: false}}}}\n"
            f"access_log: {{file: {log}}}\n"
            f"shutdown_timeout: 1s\n{more}"
        )
        return path

    async def ask_file(self, gateway: Gateway) -> int:
        """
        Ask the one listener of the file; return the status.
        """
        (key,) = gateway.addresses()
        client = socket.create_connection(gateway.addresses()[key])
        client.setblocking(False)
        self.addCleanup(client.close)
        client.sendall(GET)
        while True:
            try:
                return int(client.recv(65536).split(b" ")[1])
            except BlockingIOError:
                await turn()

    async def test_reload(self) -> None:
        """
        The file is read again, from where it was; its log may move.
        """
        first = self.backend(answering(OK), None)
        second = self.backend(answering(OK), None)
        path = self.write(first.port)
        gateway = Gateway.from_file(str(path), reactor)
        self.assertEqual(str(path.absolute()), gateway.path)
        gateway.startService()
        self.addCleanup(gateway.stopService)
        self.assertEqual(200, await self.ask_file(gateway))
        self.write(second.port, log="other.log")
        self.assertIs(True, await gateway.reload())
        self.assertEqual(200, await self.ask_file(gateway))
        self.assertEqual((1, 1), (len(first.seen), len(second.seen)))
        await gateway.stopService()
        for name in ("access.log", "other.log"):
            (line,) = (path.parent / name).read_text().splitlines()
            self.assertEqual("plain", json.loads(line)["listenerName"])

    async def test_bad_reload(self) -> None:
        """
        A bad file changes nothing, and the log says why.
        """
        backend = self.backend(answering(OK), None)
        path = self.write(backend.port)
        gateway = Gateway.from_file(str(path), reactor)
        gateway.startService()
        self.addCleanup(gateway.stopService)
        config = gateway.config
        self.write(backend.port, more="listenerz: {}\n")
        self.assertIs(False, await gateway.reload())
        self.assertIn("listenerz", self.messages())
        path.unlink()
        self.assertIs(False, await gateway.reload())
        self.assertIn("No such file", self.messages())
        self.assertIs(config, gateway.config)
        self.assertEqual(200, await self.ask_file(gateway))

    async def test_taken_port(self) -> None:
        """
        A reload that cannot have a new port changes nothing.
        """
        backend = self.backend(answering(OK), None)
        path = self.write(backend.port)
        gateway = Gateway.from_file(str(path), reactor)
        gateway.startService()
        self.addCleanup(gateway.stopService)
        before = gateway.addresses()
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        self.__dict__["number"] = taken.getsockname()[1]
        self.write(backend.port)
        self.assertIs(False, await gateway.reload())
        self.assertIn("cannot listen on 127.0.0.1 port", self.messages())
        self.assertEqual(before, gateway.addresses())
        self.assertEqual(200, await self.ask_file(gateway))

    async def test_no_file(self) -> None:
        """
        What did not come from a file cannot be read again, and says so.
        """
        gateway = Gateway(self.config(protocol="http"), reactor)
        self.assertIs(False, await gateway.reload())
        self.assertIn("no file", self.messages())

    def test_errors(self) -> None:
        """
        A file that is wrong raises all that is wrong with it.
        """
        path = self.write(1, more="listenerz: {}\nruls: {}\n")
        error = self.assertRaises(ConfigError, Gateway.from_file, str(path), reactor)
        self.assertEqual(2, len(str(error).splitlines()))

    def test_unfit_certificate(self) -> None:
        """
        A key of another certificate is a ValueError that names it.
        """
        config = self.config()
        front = attrs.evolve(config.certificates["front"], key=b"nonsense")
        wrong = attrs.evolve(config, certificates={"front": front})
        error = self.assertRaises(ValueError, Gateway, wrong, reactor)
        self.assertIn("certificate front", str(error))
