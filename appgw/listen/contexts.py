"""
OpenSSL's contexts for a port: what each listener presents, and on what terms.

Through SNI a connection changes to another context, and with it certificate and
suites; versions, options and modes stay those of the context that it began with.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.logger import Logger

from appgw.config.demands import Demands
from appgw.config.model import Certificate, TLSVersion
from appgw.config.policies import TLS13_SUITES, VERSIONS, Policy
from appgw.config.presenting import NO_AUTO_CHAIN, present
from appgw.config.stapling import Staple, read_staple
from appgw.listen.clients import DEEPEST

_log = Logger()

Wall = Callable[[], float]

VERSION_NAMES: Final[dict[str, TLSVersion]] = {
    "TLSv1": "TLSv1_0",
    "TLSv1.1": "TLSv1_1",
    "TLSv1.2": "TLSv1_2",
    "TLSv1.3": "TLSv1_3",
}
"""From OpenSSL's names to the configuration's."""

_OPENSSL: Final = dict(
    zip(
        VERSIONS,
        (
            (SSL.TLS1_VERSION, SSL.OP_NO_TLSv1),
            (SSL.TLS1_1_VERSION, SSL.OP_NO_TLSv1_1),
            (SSL.TLS1_2_VERSION, SSL.OP_NO_TLSv1_2),
            (SSL.TLS1_3_VERSION, SSL.OP_NO_TLSv1_3),
        ),
        strict=True,
    )
)
_STALE: Final = (
    "Certificate {name}: its OCSP response is not stapled, as it is out of date or"
    " does not call the certificate good."
)
_LOWEST_LEVEL: Final = "@SECLEVEL=0"
"""TLS 1.0 and 1.1 sign with SHA-1 and MD5, which OpenSSL does on no other."""


class NoProtocol(SSL.Error):
    """
    The client offers no protocol that we speak (RFC 7301, 3.2).
    """


@attrs.frozen(cache_hash=True)
class SiteTLS:
    """
    What one listener does in a handshake.

    Attributes:
        certificates: what it presents: one for each kind of key.
    """

    certificates: tuple[Certificate, ...]
    demands: Demands


def site_context(site: SiteTLS, wall: Wall, *, resuming: bool) -> SSL.Context:
    """
    Make a context that presents a listener's certificates.

    Args:
        wall: seconds since the epoch, for the dates of what is stapled.
        resuming: clients may come back with a session ticket.

    Raises:
        ValueError, SSL.Error: there is no chain in it, or the key is another's.
    """
    policy = site.demands.policy
    context = _bare_context([policy], policy.suites, resuming=resuming)
    for certificate in site.certificates:
        present(context, certificate, alone=len(site.certificates) == 1)
    client = site.demands.client
    if client is not None:
        _trust(context, client.authorities)
    staples = Staples.of(site.certificates, wall)
    if staples.responses:
        context.set_ocsp_server_callback(staples)
    return context


def door_context(policies: Iterable[Policy]) -> SSL.Context:
    """
    Make the context that handshakes begin with where listeners differ.

    It speaks whatever any of them speaks and presents nothing, so that nothing
    comes of a handshake which stays with it.
    """
    policies = list(policies)
    suites = dict.fromkeys(suite for policy in policies for suite in policy.suites)
    return _bare_context(policies, suites, resuming=False)


def _bare_context(
    policies: list[Policy], suites: Iterable[str], *, resuming: bool
) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    spoken = [one for one in VERSIONS if any(one in p.versions for p in policies)]
    context.set_min_proto_version(_OPENSSL[spoken[0]][0])
    context.set_max_proto_version(_OPENSSL[spoken[-1]][0])
    for version in VERSIONS:
        if version not in spoken:
            context.set_options(_OPENSSL[version][1])
    context.set_options(
        SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    if suites:
        levels = [_LOWEST_LEVEL] if any(policy.legacy for policy in policies) else []
        context.set_cipher_list(":".join([*suites, *levels]).encode())
    context.set_tls13_ciphersuites(":".join(TLS13_SUITES).encode())
    context.set_mode(SSL.MODE_RELEASE_BUFFERS | NO_AUTO_CHAIN)
    context.set_verify_depth(DEEPEST)
    # Tickets carry the session; nothing has to be kept here.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if not resuming:
        context.set_options(SSL.OP_NO_TICKET)
    context.set_alpn_select_callback(_select_protocol)
    return context


def _trust(context: SSL.Context, authorities: Iterable[bytes]) -> None:
    store = context.get_cert_store()
    for der in authorities:
        authority = x509.load_der_x509_certificate(der)
        context.add_client_ca(authority)
        if store is not None:
            store.add_cert(crypto.X509.from_cryptography(authority))


def _select_protocol(_: SSL.Connection, offered: list[bytes]) -> bytes:
    if b"http/1.1" in offered:
        return b"http/1.1"
    raise NoProtocol("no protocol in common")


@attrs.frozen(eq=False)
class Staples:
    """
    The OCSP responses of a context, for clients that ask.

    Attributes:
        responses: by the DER of the leaf, with what each says.
    """

    responses: dict[bytes, tuple[bytes, Staple]]
    wall: Wall

    @classmethod
    def of(cls, certificates: Iterable[Certificate], wall: Wall) -> Staples:
        """
        Read those that there are.

        Raises:
            ValueError: one is about another certificate.
        """
        responses = {}
        now = datetime.datetime.fromtimestamp(wall(), datetime.UTC)
        for certificate in certificates:
            response = certificate.ocsp_response
            if response is None:
                continue
            chain = x509.load_pem_x509_certificates(certificate.chain)
            staple = read_staple(response, chain)
            responses[chain[0].public_bytes(Encoding.DER)] = (response, staple)
            if not staple.fresh(now):
                _log.warn(_STALE, name=certificate.name)
        return cls(responses, wall)

    def __call__(self, connection: SSL.Connection, _: object) -> bytes:
        """
        Return what to staple beside the certificate chosen; nothing if it is late.
        """
        shown = connection.get_certificate(as_cryptography=True)
        der = b"" if shown is None else shown.public_bytes(Encoding.DER)
        if der not in self.responses:
            return b""
        response, staple = self.responses[der]
        now = datetime.datetime.fromtimestamp(self.wall(), datetime.UTC)
        return response if staple.fresh(now) else b""
