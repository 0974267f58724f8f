"""
The gateways that are compared: how each is started, and which version it is.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from bench.ground import Ground, free_port
from bench.processes import PATH, Running, running

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
APPGW = ROOT / ".venv-compiled" / "bin"
"""
Of `make compiled`: the interpreter that everything in Python is measured with.
"""

PYTHON = str(APPGW / "python")


@attrs.frozen(kw_only=True)
class Peer:
    """
    A gateway that can be measured.

    Attributes:
        name, title: how it is called on the command line, and in the tables.
        pins: how it knows the backend, as the tables say it.
        template: its configuration in ``configs/``.
        command: what starts it, from the configuration's path.
        version: what tells its version; the first number in the output counts.
        compiled: it has to be appgw's compiled form.
        environment: added to ours, from its folder.
    """

    name: str
    title: str
    pins: str
    template: str
    command: Callable[[str], Sequence[str]]
    version: Sequence[str]
    compiled: bool = False
    environment: Callable[[Path], dict[str, str]] = lambda _: {}

    def tell_version(self) -> str:
        """
        Ask the program for its version.
        """
        done = subprocess.run(
            self.version,
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PATH": PATH},
        )
        found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout + done.stderr)
        return found[0] if found else "?"


def _nginx(config: str) -> Sequence[str]:
    folder = str(Path(config).parent)
    return ["nginx", "-p", folder, "-c", config, "-e", "stderr"]


def _envoy(config: str) -> Sequence[str]:
    flush = ["--file-flush-interval-msec", "1000"]
    quiet = ["--log-level", "warning", "--disable-hot-restart"]
    return [str(BIN / "envoy"), "-c", config, "--concurrency", "1", *flush, *quiet]


def _caddy(config: str) -> Sequence[str]:
    return [str(BIN / "caddy"), "run", "--adapter", "caddyfile", "--config", config]


def _stock(config: str) -> Sequence[str]:
    return [PYTHON, "-m", "bench.stock", config]


def _appgw(config: str) -> Sequence[str]:
    return [str(APPGW / "twistd"), "-n", "--pidfile=", "appgw", "--config", config]


def _version_of(package: str) -> Sequence[str]:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return [PYTHON, "-c", code]


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="appgw",
            title="appgw",
            pins="pinned leaf",
            template="appgw.yaml",
            command=_appgw,
            version=_version_of("appgw"),
            compiled=True,
            environment=lambda _: {"PYTHONPATH": ""},
        ),
        Peer(
            # The sources of this folder, which come before what is installed.
            name="plain",
            title="appgw, not compiled,",
            pins="pinned leaf",
            template="appgw.yaml",
            command=_appgw,
            version=_version_of("appgw"),
        ),
        Peer(
            name="nginx",
            title="NGINX",
            pins="CA and name",
            template="nginx.conf",
            command=_nginx,
            version=["nginx", "-v"],
        ),
        Peer(
            name="envoy",
            title="Envoy",
            pins="pinned leaf",
            template="envoy.yaml",
            command=_envoy,
            version=[str(BIN / "envoy"), "--version"],
        ),
        Peer(
            name="caddy",
            title="Caddy",
            pins="CA and name",
            template="Caddyfile",
            command=_caddy,
            version=[str(BIN / "caddy"), "version"],
            environment=lambda folder: {"GOMAXPROCS": "1", "HOME": str(folder)},
        ),
        Peer(
            name="stock",
            title="Twisted, Site and treq",
            pins="CA and name",
            template="stock.json",
            command=_stock,
            version=_version_of("twisted"),
        ),
    )
}


@attrs.frozen(eq=False)
class Gateway:
    """
    A peer that runs now.

    Attributes:
        port: where it listens, on the loopback address.
        log: its access log.
    """

    peer: Peer
    port: int
    log: Path
    process: Running

    @property
    def name(self) -> str:
        """
        The peer's name.
        """
        return self.peer.name


@contextlib.contextmanager
def started(
    peer: Peer,
    ground: Ground,
    backend_port: int | None = None,
    wrap: Callable[[Sequence[str]], Sequence[str]] = lambda command: command,
) -> Iterator[Gateway]:
    """
    Run a peer, in a folder of its own, until the block ends.

    Args:
        peer: which one.
        ground: what it stands on.
        backend_port: another backend than the one it pins.
        wrap: changes its command, as a profiler needs it.
    """
    port = free_port()
    folder = ground.folder / f"{peer.name}-{port}"
    folder.mkdir()
    config = ground.write(
        peer.template,
        folder,
        PORT=port,
        BACKEND_PORT=backend_port or ground.backend_port,
    )
    command = wrap(peer.command(str(config)))
    environment = {"PYTHONPATH": str(ROOT), **peer.environment(folder)}
    with running(
        peer.name, command, ground.gateway_core, folder, environment
    ) as process:
        yield Gateway(peer, port, folder / "access.log", process)
