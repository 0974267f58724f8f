"""
TLS towards clients: which certificate for which name, and on what terms.

The suites are those of Azure's policy AppGwSslPolicy20220101. Contexts are made
anew now and then, since that is how the keys of session tickets change.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from appgw.config.model import Certificate

RENEWAL: Final = 12 * 3600.0
"""Seconds after which contexts, and with them the ticket keys, are new."""

_TLS12_SUITES: Final = ":".join(
    f"ECDHE-{kind}-{suite}"
    for kind in ("ECDSA", "RSA")
    for suite in (
        "AES256-GCM-SHA384",
        "AES128-GCM-SHA256",
        "AES256-SHA384",
        "AES128-SHA256",
    )
).encode()
_TLS13_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 49\r\nConnection: close\r\n\r\n"
    b"This port speaks https, and you asked with http.\n"
)
_HTTP: Final = ("http request", "https proxy request")
"""What OpenSSL says to plain http, and to CONNECT."""


class NoProtocol(SSL.Error):
    """
    The client offers no protocol that we speak (RFC 7301, 3.2).
    """


@attrs.frozen
class Facts:
    """
    What a handshake settled.

    Attributes:
        server_name: the SNI in lower case, None without.
        version, cipher: OpenSSL's names.
    """

    server_name: str | None
    version: str
    cipher: str


class PortTLS:
    """
    The terms of one port.

    Args:
        certificates: PEM chains with their keys, by name.
        certificate_for: the name of the certificate for an SNI, or for None;
            another function may take its place.
        failed: told of each handshake that came to nothing.

    Attributes:
        curious: see ``ServerTerms``.
    """

    curious = False

    def __init__(
        self,
        certificates: Mapping[str, Certificate],
        certificate_for: Callable[[str | None], str],
        failed: Callable[[], None],
    ) -> None:
        self.certificates = certificates
        self.certificate_for = certificate_for
        self._failed = failed
        self._contexts: dict[str, SSL.Context] = {}
        self.renew()

    def renew(self) -> None:
        """
        Make every context anew; connections that stand keep theirs.
        """
        # The name binds a session to this port and this generation.
        session_id = secrets.token_bytes(16)
        self._contexts = {
            name: self._made(certificate, session_id)
            for name, certificate in self.certificates.items()
        }

    def _made(self, certificate: Certificate, session_id: bytes) -> SSL.Context:
        context = server_context(certificate)
        context.set_session_id(session_id)
        context.set_tlsext_servername_callback(self._choose)
        return context

    def context(self) -> SSL.Context:
        """
        Return the context to begin a handshake with.
        """
        return self._contexts[self.certificate_for(None)]

    def _choose(self, connection: SSL.Connection) -> None:
        """
        Switch to the certificate for the SNI; an exception here would be lost.
        """
        try:
            name = _text(connection.get_servername())
            context = self._contexts[self.certificate_for(name)]
            if context is not connection.get_context():
                connection.set_context(context)
        except Exception:
            connection.set_app_data(SSL.Error("the SNI led nowhere"))

    def established(self, connection: SSL.Connection) -> Facts:
        """
        Return the facts of a finished handshake.

        Raises:
            SSL.Error: something about the SNI went wrong.
        """
        wrong = connection.get_app_data()
        if wrong is not None:
            raise wrong
        return Facts(
            _text(connection.get_servername()),
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
        )

    def refused(self, error: Exception) -> bytes:
        """
        Count a handshake that failed; plain http is told in plain text.
        """
        self._failed()
        reasons = error.args[0] if error.args else ()
        if isinstance(reasons, list) and any(
            isinstance(reason, tuple) and reason[-1] in _HTTP for reason in reasons
        ):
            return _PLAIN_HTTP
        return b""


def server_context(certificate: Certificate) -> SSL.Context:
    """
    Make a context that presents *certificate*.

    Raises:
        ValueError, SSL.Error: it is no chain, or the key is another's.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_cipher_list(_TLS12_SUITES)
    context.set_tls13_ciphersuites(_TLS13_SUITES)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Tickets carry the session; nothing has to be kept here.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    leaf, *chain = x509.load_pem_x509_certificates(certificate.chain)
    context.use_certificate(crypto.X509.from_cryptography(leaf))
    for issuer in chain:
        context.add_extra_chain_cert(crypto.X509.from_cryptography(issuer))
    key = load_pem_private_key(certificate.key, None)
    context.use_privatekey(crypto.PKey.from_cryptography_key(key))  # type: ignore[arg-type]
    context.check_privatekey()
    context.set_alpn_select_callback(_select_protocol)
    return context


def _select_protocol(_: SSL.Connection, offered: list[bytes]) -> bytes:
    if b"http/1.1" in offered:
        return b"http/1.1"
    raise NoProtocol("no protocol in common")


def _text(name: bytes | None) -> str | None:
    return None if name is None else name.decode("ascii").lower()
