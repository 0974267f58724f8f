"""
What listeners do in handshakes, made in a line; and peers who tell what they saw.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from OpenSSL import SSL
from OpenSSL._util import lib

from appgw.config.demands import ClientDemand, Demands
from appgw.config.model import Certificate, SslPolicy
from appgw.config.policies import Policy, resolved
from appgw.listen.contexts import SiteTLS
from appgw.listen.tls import PortTLS
from appgw.testing import Issued

DEFAULT = resolved(SslPolicy())
TLS12, TLS13 = SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION
PATIENCE = 15.0


def name_of(issued: Issued) -> str:
    """
    Return a certificate's common name.
    """
    return _short(issued.certificate.subject)


def held(issued: Issued, **more: Any) -> Certificate:
    """
    Make a certificate as the configuration holds it.
    """
    return Certificate(
        name=name_of(issued), chain=issued.chain_pem, key=issued.key_pem, **more
    )


def policy(name: str) -> Policy:
    """
    Return a predefined policy.
    """
    return resolved(SslPolicy(policy_name=name))


def asking(
    *authorities: Issued, strict: bool = True, issuers: Sequence[Issued] | None = None
) -> Demands:
    """
    Demand certificates under these CAs.
    """
    names = None
    if issuers is not None:
        names = frozenset(one.certificate.subject for one in issuers)
    ders = tuple(one.der for one in authorities)
    return Demands(DEFAULT, ClientDemand(ders, names, strict))


def site(*issued: Issued, demands: Demands | None = None) -> SiteTLS:
    """
    Make what a listener with these certificates does in a handshake.
    """
    return SiteTLS(tuple(held(one) for one in issued), demands or Demands(DEFAULT))


def port_of(
    sites: Mapping[str, SiteTLS],
    failed: Callable[[], None] = lambda: None,
    **more: Any,
) -> PortTLS:
    """
    Make the terms of a port: each name its own site, all others the first.
    """
    first = next(iter(sites.values()))
    return PortTLS(
        sites.values(), lambda name: sites.get(name or "", first), failed, **more
    )


def showing(context: ssl.SSLContext, issued: Issued) -> ssl.SSLContext:
    """
    Let a peer show a certificate.
    """
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*issued.write(Path(folder), "peer"))
    return context


@attrs.frozen(kw_only=True)
class Peer:
    """
    A client of pyOpenSSL, for what the standard library's cannot do.

    Attributes:
        version: the one that it speaks.
        signatures: algorithms that it takes, in OpenSSL's words; None: any.
        shown: the certificate that it shows, with what chain.
    """

    name: bytes | None = b"a.example"
    version: int = TLS13
    signatures: bytes | None = None
    suites: bytes | None = None
    shown: Issued | None = None
    stapling: bool = False

    def context(self, staples: list[bytes]) -> SSL.Context:
        """
        Make the context of a connection.
        """
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(self.version)
        context.set_max_proto_version(self.version)
        if self.suites is not None or self.version < TLS12:
            suites = self.suites or b"ALL"
            context.set_cipher_list(suites + b":@SECLEVEL=0")
        if self.signatures is not None:
            assert lib.SSL_CTX_set1_sigalgs_list(context._context, self.signatures)
        if self.shown is not None:
            context.use_certificate(self.shown.certificate)
            context.use_privatekey(self.shown.key)
            for issuer in self.shown.intermediates:
                context.add_extra_chain_cert(issuer.certificate)
        if self.stapling:
            context.set_ocsp_client_callback(
                lambda _connection, response, _: not staples.append(response)
            )
        return context

    def meet(self, port: int) -> Met:
        """
        Connect, shake hands, read once, and tell.
        """
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
            return self.over(plain)

    def over(self, plain: socket.socket) -> Met:
        """
        Do the same over a connection that stands.
        """
        staples: list[bytes] = []
        plain.settimeout(None)
        connection = SSL.Connection(self.context(staples), plain)
        connection.set_connect_state()
        if self.name is not None:
            connection.set_tlsext_host_name(self.name)
        if self.stapling:
            connection.request_ocsp()
        try:
            connection.do_handshake()
            data = connection.recv(1 << 16)
        except SSL.ZeroReturnError:
            data = b""
        except SSL.Error as error:
            return Met(refusal=str(error) or type(error).__name__)
        chain = connection.get_peer_cert_chain(as_cryptography=True) or ()
        asked_of = connection.get_client_ca_list(as_cryptography=True)
        return Met(
            version=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            chain=tuple(_short(one.subject) for one in chain),
            authorities=tuple(map(_short, asked_of)),
            staple=staples[-1] if staples else None,
            data=data,
        )


def _short(name: x509.Name) -> str:
    return name.rfc4514_string().removeprefix("CN=")


@attrs.frozen(kw_only=True)
class Met:
    """
    What a peer has seen.

    Attributes:
        chain: common names, leaf first.
        authorities: that a certificate was asked of.
        staple: None: nobody asked; empty: there was none.
        refusal: what it was told instead of all this.
    """

    version: str = ""
    cipher: str = ""
    chain: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    staple: bytes | None = None
    data: bytes = b""
    refusal: str = ""
