"""
Configurations to spoil: a sound one in sections, with its files.
"""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.model import Config
from appgw.config.read import Examination, Problem, examine

NOW = datetime.datetime(2026, 6, 1, 12, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HERE = "# here"
PIN = "ab" * 32

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

SOUND = {
    "certificates": "shop: {certificate_file: shop.pem, key_file: shop.key}",
    "pins": f'orders: {{sha256: "{PIN}"}}',
    "pools": "orders: {members: [orders.internal]}",
    "backend_settings": "orders: {protocol: https, pins: [orders]}",
    "listeners": "shop: {protocol: https, certificate: shop}",
    "rules": (
        "shop: {priority: 10, listener: shop, pool: orders, backend_settings: orders}"
    ),
}


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    key: Key,
    *,
    name: str = "shop.example.com",
    issuer: tuple[str, Key] | None = None,
    first: datetime.datetime = NOW - DAY,
    last: datetime.datetime = NOW + DAY,
    ca: bool = False,
    serial: int | None = None,
    digest: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    above, signer = issuer or (name, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(above))
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, digest)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def key_pem(key: Key, password: bytes | None = None) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def pfx(
    key: Key,
    leaf: x509.Certificate,
    others: list[x509.Certificate],
    password: bytes | None,
) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"it", key, leaf, others, how)


def said_by(signer: Key, responder: x509.Certificate, **said: Any) -> bytes:
    """
    Sign what a responder says about a certificate (OCSP, DER).
    """
    revoked = said["cert_status"] is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        **said,
        revocation_time=said["this_update"] if revoked else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def called_good(
    leaf: x509.Certificate, authority: x509.Certificate, signer: Key
) -> bytes:
    """
    Let a CA call a certificate good, from yesterday to tomorrow.
    """
    return said_by(
        signer,
        authority,
        cert=leaf,
        issuer=authority,
        algorithm=hashes.SHA1(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=NOW - DAY,
        next_update=NOW + DAY,
    )


class ConfigCase(SynchronousTestCase):
    """
    A folder with shop.pem and shop.key, and ways to judge a configuration there.
    """

    def setUp(self) -> None:
        """
        Make the folder.
        """
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.key = new_key()
        self.write("shop.pem", pem(certificate(self.key)))
        self.write("shop.key", key_pem(self.key))

    def write(self, name: str, data: bytes, mode: int = 0o600) -> Path:
        """
        Put a file into the folder.
        """
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def text(self, more: str = "", **sections: str) -> str:
        """
        Write the sound configuration, some sections of it replaced.
        """
        parts = []
        for name, content in {**SOUND, **sections}.items():
            indented = textwrap.indent(textwrap.dedent(content).strip("\n"), "  ")
            parts.append(f"{name}:\n{indented}\n")
        return "".join(parts) + textwrap.dedent(more)

    def examine(self, text: str | bytes) -> Examination:
        """
        Examine a configuration, at the time that the certificates are made for.
        """
        data = text if isinstance(text, bytes) else text.encode()
        self.path = self.write("gateway.yaml", data)
        return examine(str(self.path), NOW)

    def sound(self, text: str) -> Config:
        """
        Demand that there is nothing to complain of.
        """
        examination = self.examine(text)
        self.assertEqual([str(problem) for problem in examination.problems], [])
        assert examination.config is not None
        return examination.config

    def only(self, text: str, key: str, severity: str = "error") -> Problem:
        """
        Demand exactly one problem, of this key, on the line marked ``# here``.
        """
        examination = self.examine(text)
        lines = text.splitlines()
        [marked] = [at for at, line in enumerate(lines, 1) if line.endswith(HERE)]
        got = [(p.line, p.key, p.severity) for p in examination.problems]
        self.assertEqual(
            got,
            [(marked, key, severity)],
            "\n".join(str(problem) for problem in examination.problems),
        )
        self.assertEqual(examination.config is None, severity == "error")
        [problem] = examination.problems
        self.assertEqual(problem.file, str(self.path))
        return problem
