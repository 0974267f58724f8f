"""
What every gateway of a run stands on: a folder, certificates, ports, one backend.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import trustme

from bench.processes import BenchError, Running, running

CONFIGS = Path(__file__).parent / "configs"
SMALL = 128
LARGE = 1 << 20


def fill(template: str, values: Mapping[str, object]) -> str:
    """
    Put the values in place of ``@NAME@``.

    Raises:
        BenchError: a name has no value.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise BenchError(f"no value for {match[0]}")
        return str(values[match[1]])

    return re.sub(r"@([A-Z_]+)@", value, template)


def free_port() -> int:
    """
    Find a port of the loopback address that nobody uses now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.frozen
class Ground:
    """
    The common ground of a run.

    Attributes:
        values: what the templates in ``configs/`` may name.
        ca: PEM file of the CA that issued front and backend certificates.
        gateway_core, load_core: processor numbers.
    """

    folder: Path
    values: Mapping[str, object]
    ca: Path
    gateway_core: int
    load_core: int

    @property
    def backend_port(self) -> int:
        """
        Where the backend listens whose certificate is pinned.
        """
        return int(str(self.values["BACKEND_PORT"]))

    @property
    def stranger_port(self) -> int:
        """
        Where the backend listens that nobody vouches for.
        """
        return int(str(self.values["STRANGER_PORT"]))

    def client_context(self) -> ssl.SSLContext:
        """
        Make the TLS settings of a client that knows the CA.
        """
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def write(self, template: str, folder: Path, **more: object) -> Path:
        """
        Fill a template of ``configs/`` into a file of the same name.
        """
        path = folder / template
        values = {**self.values, "DIR": folder, **more}
        path.write_text(fill((CONFIGS / template).read_text(), values))
        return path


def make_certificates(folder: Path) -> dict[str, object]:
    """
    Issue the certificates of a run, all ECDSA P-256.

    Returns:
        Their files, and the PIN: the backend leaf's SHA-256 in hex.
    """
    kind = trustme.KeyType.ECDSA
    ca, other_ca = trustme.CA(key_type=kind), trustme.CA(key_type=kind)
    values: dict[str, object] = {"CA": folder / "ca.pem"}
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name, issuer in (("front", ca), ("backend", ca), ("stranger", other_ca)):
        leaf = issuer.issue_cert("localhost", "127.0.0.1", key_type=kind)
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        leaf.cert_chain_pems[0].write_to_path(chain)
        leaf.private_key_pem.write_to_path(key)
        values[f"{name.upper()}_CERTIFICATE"] = chain
        values[f"{name.upper()}_KEY"] = key
        if name == "backend":
            der = ssl.PEM_cert_to_DER_cert(chain.read_text())
            values["PIN"] = hashlib.sha256(der).hexdigest()
    return values


@contextlib.contextmanager
def laid(cores: tuple[int, int]) -> Iterator[Ground]:
    """
    Lay the ground for a run, and take it away afterwards.

    Args:
        cores: the gateway's, and the one of load and backend.
    """
    with tempfile.TemporaryDirectory(prefix="appgw-bench-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        (folder / "files" / "down").write_bytes(b"x" * LARGE)
        values = make_certificates(folder)
        values |= {"SMALL": "x" * SMALL}
        values |= {"BACKEND_PORT": free_port(), "STRANGER_PORT": free_port()}
        yield Ground(folder, values, folder / "ca.pem", *cores)


@contextlib.contextmanager
def backend(ground: Ground) -> Iterator[Running]:
    """
    Run the backend that all gateways share, on the load's core.
    """
    folder = ground.folder
    config = ground.write("backend.conf", folder, PORT=ground.backend_port)
    command = ["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"]
    with running("backend", command, ground.load_core, folder) as process:
        yield process
