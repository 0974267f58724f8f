"""
What tests of a gateway need: certificates made in a moment, and TLS to serve
them with. For this project's tests and for those of programs that embed it.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
KeyType = Literal["ecdsa", "rsa", "ed25519"]

_DAY = datetime.timedelta(days=1)


@attrs.frozen(eq=False)
class Issued:
    """
    A certificate with its private key, as ``make_certificate`` gives it.

    Attributes:
        certificate: the certificate itself.
        key: its private key.
        issuer: who signed it; None for a self-signed one.
    """

    certificate: x509.Certificate
    key: Key = attrs.field(repr=False)
    issuer: Issued | None = None

    @property
    def cert_pem(self) -> bytes:
        """
        The certificate alone, PEM.
        """
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """
        The private key, PEM (PKCS #8), unencrypted.
        """
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def intermediates(self) -> tuple[Issued, ...]:
        """
        The issuers between this certificate and its root, nearest first.
        """
        issuer = self.issuer
        if issuer is None or issuer.issuer is None:
            return ()
        return (issuer, *issuer.intermediates)

    @property
    def chain_pem(self) -> bytes:
        """
        What a server's certificate file holds: the leaf, then intermediates.
        """
        return b"".join(one.cert_pem for one in (self, *self.intermediates))

    @property
    def der(self) -> bytes:
        """
        The certificate alone, DER.
        """
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def sha256(self) -> str:
        """
        The SHA-256 of the certificate's DER, lower-case hex.
        """
        return hashlib.sha256(self.der).hexdigest()

    @property
    def spki_sha256(self) -> str:
        """
        The SHA-256 of the public key's SubjectPublicKeyInfo, lower-case hex.
        """
        spki = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        return hashlib.sha256(spki).hexdigest()

    def write(self, directory: str | Path, name: str) -> tuple[str, str]:
        """
        Write ``NAME.pem`` (leaf, then intermediates) and ``NAME.key``.

        Returns:
            Both paths, the certificate's first.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.chain_pem)
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return str(certificate), str(key)


def make_key(kind: KeyType = "ecdsa") -> Key:
    """
    Make a private key: P-256, RSA of 2048 bits, or Ed25519.
    """
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def make_certificate(  # noqa: PLR0913 - a certificate has that many fields
    names: Sequence[str] = (),
    ips: Sequence[str] = (),
    key: KeyType | Key = "ecdsa",
    *,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
    ca: bool = False,
    issuer: Issued | None = None,
    common_name: str | None = None,
    serial: int | None = None,
    usages: Sequence[x509.ObjectIdentifier] | None = None,
) -> Issued:
    """
    Make one certificate; without an issuer it signs itself.

    Args:
        names, ips: of the subjectAltName, left out when there are none.
        key: the kind of key to make, or a key to use again.
        not_before, not_after: aware; by default a day ago, and in ninety days.
        ca: it may sign others.
        issuer: the CA that signs it.
        common_name: the first name or address by default; cut at 64 letters.
        serial: a random one by default.
        usages: extended; a leaf's are TLS server and client by default.
    """
    private = make_key(key) if isinstance(key, str) else key
    signer = issuer.key if issuer else private
    subject = _subject(common_name or next(iter((*names, *ips)), "appgw testing"))
    builder = (
        _valid(not_before, not_after)
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number() if serial is None else serial)
    )
    builder = _extended(builder, names, ips, ca, usages)
    builder = _identified(builder, private, signer)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, digest), private, issuer)


def make_ca(
    common_name: str = "appgw testing CA",
    issuer: Issued | None = None,
    key: KeyType | Key = "ecdsa",
) -> Issued:
    """
    Make a CA: a root, or an intermediate when it has an issuer.
    """
    return make_certificate(common_name=common_name, ca=True, issuer=issuer, key=key)


def server_context(
    issued: Issued,
    tls12_only: bool = False,
    tickets: bool = True,
    extra: Sequence[Issued] | None = None,
    alpn: Sequence[bytes] = (b"http/1.1",),
) -> SSL.Context:
    """
    Make the TLS context of a test backend.

    Args:
        issued: what it presents.
        tls12_only: no TLS 1.3.
        tickets: it offers session tickets, and resumes.
        extra: certificates sent after the leaf; by default the issuers
            below the root.
        alpn: protocols it speaks; a client that offers none of them is
            served all the same.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    if tls12_only:
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_session_id(b"appgw testing")
    if not tickets:
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
    context.use_certificate(issued.certificate)
    context.use_privatekey(issued.key)
    for one in issued.intermediates if extra is None else extra:
        context.add_extra_chain_cert(one.certificate)
    context.set_alpn_select_callback(_Speaks(tuple(alpn)))
    return context


@attrs.frozen
class _Speaks:
    """
    Chooses the first protocol of ours that the client offers, or none.
    """

    protocols: tuple[bytes, ...]

    def __call__(self, _: SSL.Connection, offered: list[bytes]) -> Any:
        for protocol in self.protocols:
            if protocol in offered:
                return protocol
        return SSL.NO_OVERLAPPING_PROTOCOLS


@implementer(IOpenSSLServerConnectionCreator)
@attrs.frozen(eq=False)
class ServerTLS:
    """
    A context in the form that Twisted's ``SSL4ServerEndpoint``, ``listenSSL``
    and ``TLSMemoryBIOFactory`` take.
    """

    context: SSL.Context

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """
        Make a connection over memory, for Twisted's TLS.
        """
        return SSL.Connection(self.context, None)


def _valid(
    not_before: datetime.datetime | None, not_after: datetime.datetime | None
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .not_valid_before(not_before or now - _DAY)
        .not_valid_after(not_after or now + 90 * _DAY)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _extended(
    builder: x509.CertificateBuilder,
    names: Sequence[str],
    ips: Sequence[str],
    ca: bool,
    usages: Sequence[x509.ObjectIdentifier] | None,
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(one)) for one in ips]
    if alternatives:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
    if usages is None and not ca:
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.add_extension(
        x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=ca,
            crl_sign=ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        ),
        critical=True,
    )


def _identified(
    builder: x509.CertificateBuilder, private: Key, signer: Key
) -> x509.CertificateBuilder:
    own = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(own, critical=False)
    return builder.add_extension(theirs, critical=False)
