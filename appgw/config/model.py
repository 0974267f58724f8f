"""
The configuration as values: frozen, complete, valid on their own.

One class per section of the file, named after the ARM type that it stands for.
References stay names; ``check`` has made sure that each one resolves. Files are
never opened here: certificates and keys are held as bytes.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping
from typing import Literal

import attrs

Protocol = Literal["http", "https"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WELL_KNOWN = "well-known"
"""The reserved name among trusted_roots: the machine's own store of CAs."""


@attrs.frozen(kw_only=True)
class Certificate:
    """
    What a listener presents (ARM sslCertificates).

    Attributes:
        chain: PEM, leaf first.
        key: PEM, unencrypted.
    """

    name: str
    chain: bytes
    key: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Pin:
    """
    One entry of the allow-list (ARM authenticationCertificates).

    Exactly one of ``sha256`` (of the leaf's DER) and ``spki_sha256`` (of its
    SubjectPublicKeyInfo's DER) is set, 32 raw bytes.

    Attributes:
        certificate: DER, where the pin came from a certificate_file.
        not_after: the last day (UTC) on which this pin admits anything.
        allow_expired: the presented certificate's dates are not judged.
    """

    name: str
    sha256: bytes | None = None
    spki_sha256: bytes | None = None
    certificate: bytes | None = None
    not_after: datetime.date | None = None
    allow_expired: bool = False


@attrs.frozen(kw_only=True)
class TrustedRoot:
    """
    CA certificates that may vouch for a backend (ARM trustedRootCertificates).

    Attributes:
        certificates: each one DER.
    """

    name: str
    certificates: tuple[bytes, ...]


@attrs.frozen(kw_only=True)
class Member:
    """
    One backend address of a pool (ARM backendAddresses).

    Attributes:
        address: host name in lower case, or an IP address without brackets.
        port: wins over the setting's, for traffic and probes.
        weight: its share, 1 to 1000.
        pins: names that replace the setting's for this member; None: inherit.
    """

    address: str
    port: int | None = None
    weight: int = 1
    pins: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class Pool:
    """
    A named set of members (ARM backendAddressPools).
    """

    name: str
    members: tuple[Member, ...] = ()


@attrs.frozen(kw_only=True)
class ConnectionDraining:
    """
    ARM connectionDraining. Durations in seconds.
    """

    enabled: bool = False
    drain_timeout: float = 30.0


@attrs.frozen(kw_only=True)
class BackendSettings:
    """
    How to talk to a pool (ARM backendHttpSettingsCollection).

    Attributes:
        pins, trusted_roots: names; both given: both must hold.
        verify_name: the certificate's name is checked besides the pins.
        request_timeout: seconds, 1 to 86400.
        host_name: Host and SNI; None: the client's Host, the member's SNI.
        path: the path override, starts with a slash.
    """

    name: str
    protocol: Protocol
    port: int
    pins: tuple[str, ...] = ()
    trusted_roots: tuple[str, ...] = ()
    verify_name: bool = False
    cookie_based_affinity: bool = False
    affinity_cookie_name: str = "ApplicationGatewayAffinity"
    request_timeout: float = 20.0
    host_name: str | None = None
    pick_host_name_from_backend_address: bool = False
    path: str | None = None
    probe: str | None = None
    connection_draining: ConnectionDraining = ConnectionDraining()


@attrs.frozen(kw_only=True)
class ProbeMatch:
    """
    What a healthy answer looks like (ARM probes.match).

    Attributes:
        status_codes: inclusive ranges.
    """

    status_codes: tuple[tuple[int, int], ...] = ((200, 399),)
    body: str | None = None


@attrs.frozen(kw_only=True)
class Probe:
    """
    A health probe (ARM probes). Read and checked; not carried out yet.
    """

    name: str
    path: str
    host: str | None = None
    interval: float = 30.0
    timeout: float = 30.0
    unhealthy_threshold: int = 3
    match: ProbeMatch = ProbeMatch()


@attrs.frozen(kw_only=True)
class Listener:
    """
    A way in (ARM httpListeners with frontendPorts and addresses).

    Attributes:
        address: an IP address; ``::`` serves both families.
        host_names: lower case, ``*`` spans labels, ``?`` is one character;
            empty takes every Host.
        certificate: name, https only.
        misdirected: ``route``: a Host that means another listener than the
            SNI did is routed when both have the same TLS demands.
        ambiguous_paths: ``allow``: ``%2f %5c %25XX`` pass, never decoded.
    """

    name: str
    protocol: Protocol
    address: str
    port: int
    host_names: tuple[str, ...] = ()
    certificate: str | None = None
    misdirected: Literal["refuse", "route"] = "refuse"
    ambiguous_paths: Literal["refuse", "allow"] = "refuse"


@attrs.frozen(kw_only=True)
class Destination:
    """
    Where a rule, a path rule or a default leads: a pool with its settings, or
    a redirect; never both.
    """

    pool: str | None = None
    backend_settings: str | None = None
    redirect: str | None = None


@attrs.frozen(kw_only=True)
class PathRule:
    """
    ARM pathRules: the first whose pattern matches wins.
    """

    name: str
    paths: tuple[str, ...]
    destination: Destination


@attrs.frozen(kw_only=True)
class UrlPathMap:
    """
    ARM urlPathMaps: path rules in order, and what takes the rest.
    """

    name: str
    default: Destination
    path_rules: tuple[PathRule, ...] = ()


@attrs.frozen(kw_only=True)
class Rule:
    """
    ARM requestRoutingRules: binds a listener to what answers it.

    Exactly one of ``url_path_map`` and ``destination`` is set.

    Attributes:
        priority: 1 (first) to 20000, unique.
    """

    name: str
    priority: int
    listener: str
    url_path_map: str | None = None
    destination: Destination | None = None


@attrs.frozen(kw_only=True)
class Redirect:
    """
    ARM redirectConfigurations. Read and checked; not carried out yet.
    """

    name: str
    type: Literal["Permanent", "Found", "SeeOther", "Temporary"]
    target_listener: str | None = None
    target_url: str | None = None
    include_path: bool = False
    include_query_string: bool = False


@attrs.frozen(kw_only=True)
class AccessLog:
    """
    Where exchanges are recorded.

    Attributes:
        file: absolute path.
    """

    file: str
    format: Literal["json", "combined"] = "json"


@attrs.frozen(kw_only=True)
class Affinity:
    """
    How affinity cookies are made.

    Attributes:
        key: the secret; None: a random one per start.
        compat: ``azure`` gives Azure's two cookies exactly.
    """

    key: bytes | None = attrs.field(default=None, repr=False)
    compat: Literal["azure"] | None = None


@attrs.frozen(kw_only=True)
class Config:
    """
    A whole configuration. Every section maps a name to its value.

    Attributes:
        max_request_body: bytes.
        resolve_interval, shutdown_timeout: seconds.
    """

    listeners: Mapping[str, Listener]
    rules: Mapping[str, Rule]
    certificates: Mapping[str, Certificate] = attrs.field(factory=dict)
    pins: Mapping[str, Pin] = attrs.field(factory=dict)
    trusted_roots: Mapping[str, TrustedRoot] = attrs.field(factory=dict)
    pools: Mapping[str, Pool] = attrs.field(factory=dict)
    backend_settings: Mapping[str, BackendSettings] = attrs.field(factory=dict)
    probes: Mapping[str, Probe] = attrs.field(factory=dict)
    url_path_maps: Mapping[str, UrlPathMap] = attrs.field(factory=dict)
    redirects: Mapping[str, Redirect] = attrs.field(factory=dict)
    access_log: AccessLog | None = None
    trusted_proxies: tuple[Network, ...] = ()
    forwarded_for_port: bool = False
    affinity: Affinity = Affinity()
    shutdown_timeout: float = 30.0
    resolve_interval: float = 30.0
    max_request_body: int = 4 << 30
