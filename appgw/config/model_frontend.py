"""
The model's part towards clients: listeners, and what they present.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Literal

import attrs

Protocol = Literal["http", "https"]
PolicyName = Literal[
    "AppGwSslPolicy20150501",
    "AppGwSslPolicy20170401",
    "AppGwSslPolicy20170401S",
    "AppGwSslPolicy20220101",
    "AppGwSslPolicy20220101S",
]
TLSVersion = Literal["TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen(kw_only=True)
class Certificate:
    """
    What a listener presents to clients (ARM sslCertificates), or we to a backend.

    Attributes:
        chain: PEM, leaf first.
        key: PEM, unencrypted.
        ocsp_response: DER, to be stapled while it is in date; None: none is.
    """

    name: str
    chain: bytes
    key: bytes = attrs.field(repr=False)
    ocsp_response: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class SslPolicy:
    """
    Versions and suites of TLS (ARM sslPolicy); ``policies`` says what they are.

    Attributes:
        policy_name: of a predefined one; None: AppGwSslPolicy20220101.
        min_protocol_version, cipher_suites: of the two other types; suites in
            IANA's names, first choice first.
        disabled_ssl_protocols: not spoken, whatever the policy says.
    """

    policy_type: Literal["Predefined", "Custom", "CustomV2"] = "Predefined"
    policy_name: PolicyName | None = None
    min_protocol_version: TLSVersion | None = None
    cipher_suites: tuple[str, ...] = ()
    disabled_ssl_protocols: tuple[TLSVersion, ...] = ()


@attrs.frozen(kw_only=True)
class TrustedClientCertificate:
    """
    A CA that may vouch for clients (ARM trustedClientCertificates).

    Attributes:
        certificates: each one DER: a root and its intermediates.
    """

    name: str
    certificates: tuple[bytes, ...]


@attrs.frozen(kw_only=True)
class ClientAuthConfiguration:
    """
    ARM clientAuthConfiguration.

    Attributes:
        verify_client_cert_issuer_dn: the client's certificate comes from the last
            CA of a trusted chain, and from no other below its root.
        verify_client_auth_mode: None: ``Strict`` where there are trusted client
            certificates; without any, no certificate is asked for.
        verify_client_revocation: only ``None`` can be carried out.
    """

    verify_client_cert_issuer_dn: bool = False
    verify_client_auth_mode: Literal["Strict", "Passthrough"] | None = None
    verify_client_revocation: Literal["None", "OCSP"] = "None"


@attrs.frozen(kw_only=True)
class SslProfile:
    """
    What a listener asks of TLS (ARM sslProfiles).

    Attributes:
        ssl_policy: None: the gateway's.
        trusted_client_certificates: names.
    """

    name: str
    ssl_policy: SslPolicy | None = None
    client_auth_configuration: ClientAuthConfiguration = ClientAuthConfiguration()
    trusted_client_certificates: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Listener:
    """
    A way in (ARM httpListeners with frontendPorts and addresses).

    Attributes:
        address: an IP address; ``::`` serves both families.
        host_names: lower case, ``*`` spans labels, ``?`` is one character;
            empty takes every Host.
        certificate: name, https only.
        certificates: names in its place: one for each kind of key.
        ssl_profile: name; None: the gateway's policy and no client certificates.
        misdirected: ``route``: a Host that means another listener than the
            SNI did is routed when both have the same TLS demands.
        proxy_protocol: each connection is a trusted proxy's, and begins with
            a PROXY header that names the client.
        ambiguous_paths: ``allow``: ``%2f %5c %25XX`` pass, never decoded.
        custom_error_pages: by status, HTML in UTF-8, before the gateway's.
    """

    name: str
    protocol: Protocol
    address: str
    port: int
    host_names: tuple[str, ...] = ()
    certificate: str | None = None
    certificates: tuple[str, ...] = ()
    ssl_profile: str | None = None
    proxy_protocol: bool = False
    misdirected: Literal["refuse", "route"] = "refuse"
    ambiguous_paths: Literal["refuse", "allow"] = "refuse"
    custom_error_pages: Mapping[int, bytes] = attrs.field(
        factory=dict, hash=False, repr=False
    )

    @property
    def presented(self) -> tuple[str, ...]:
        """
        The names of its certificates, however they were given.
        """
        alone = () if self.certificate is None else (self.certificate,)
        return self.certificates or alone
