"""
The demo's cast: TLS backends that say who they are, and the gateway.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from appgw.cli.demo_folder import BACKENDS, Certificates, contents, write
from appgw.service import Gateway
from appgw.testing import Issued, ServerTLS, server_context

HERE = "127.0.0.1"


class Greeter(Resource):
    """
    Answers everything with its name; ``/headers`` with what it was sent, too.

    Attributes:
        seen: requests so far.
    """

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.seen = 0

    def render(self, request: Any) -> bytes:
        """
        Say who answers what, and how many it has answered.
        """
        self.seen += 1
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        asked = f"{request.method.decode()} {request.uri.decode()}"
        lines = [f"{self.name} answers {asked} (its request no. {self.seen})"]
        if request.path.endswith(b"/headers"):
            lines += (
                f"  {name.decode()}: {value.decode('latin-1')}"
                for name, values in request.requestHeaders.getAllRawHeaders()
                for value in values
            )
        return "\n".join([*lines, ""]).encode()


@attrs.frozen(eq=False, kw_only=True)
class Stage:
    """
    A gateway and its backends, serving on loopback.

    Attributes:
        folder: where the gateway's files are.
        ports: of each backend, and of the ``gateway``.
        made: everybody's certificates.
        greeters: what the backends answer with, by name.
        gateway: started.
    """

    folder: Path
    ports: Mapping[str, int]
    made: Certificates
    greeters: Mapping[str, Greeter]
    gateway: Gateway
    _listening: tuple[Any, ...]

    @classmethod
    def set_up(cls, reactor: Any, folder: Path) -> Stage:
        """
        Write the files, start the backends, then the gateway from its file.

        Raises:
            ForeignFileError: a file is in the way; nothing was started.
            OSError: the folder cannot be written to, or a port cannot be had.
        """
        made = Certificates.make()
        greeters = {name: Greeter(name) for name in BACKENDS}
        listening = {
            name: _listen(reactor, greeters[name], made.backends[name])
            for name in BACKENDS
        }
        ports = {name: port.getHost().port for name, port in listening.items()}
        try:
            gateway = _start(reactor, folder, made, ports)
        except BaseException:
            for port in listening.values():
                port.stopListening()
            raise
        return cls(
            folder=folder,
            ports=ports,
            made=made,
            greeters=greeters,
            gateway=gateway,
            listening=tuple(listening.values()),
        )

    def strike(self) -> Deferred[list[None]]:
        """
        Stop the gateway, then the backends; fires when all ports are closed.
        """
        stopped: Deferred[Any] = self.gateway.stopService()
        stopped.addCallback(
            lambda _: gatherResults(
                [maybeDeferred(port.stopListening) for port in self._listening]
            )
        )
        return stopped


def _listen(reactor: Any, greeter: Greeter, issued: Issued) -> Any:
    site = Site(greeter, reactor=reactor)
    tls = ServerTLS(server_context(issued))
    return reactor.listenSSL(0, site, tls, interface=HERE)


def _start(
    reactor: Any, folder: Path, made: Certificates, ports: dict[str, int]
) -> Gateway:
    """
    Start the gateway from its file, on a free port that is added to *ports*.
    """
    with socket.socket() as held:
        # Bound until the gateway is, so that nobody else is given the port.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HERE, 0))
        ports["gateway"] = held.getsockname()[1]
        write(folder, contents(made, ports))
        gateway = Gateway.from_file(str(folder / "gateway.yaml"), reactor)
        gateway.startService()
    return gateway
