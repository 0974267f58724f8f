"""
The configuration as values: frozen, complete, valid on their own.

One class per section of the file, named after the ARM type that it stands for;
those of one area stand in a file of their own, and all can be had from here.
References stay names; ``check`` has made sure that each one resolves. Files are
never opened here: certificates and keys are held as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from appgw.config.model_backends import (
    DEFAULT_PROBE,
    WELL_KNOWN,
    Algorithm,
    BackendSettings,
    ConnectionDraining,
    Member,
    OutlierDetection,
    Pin,
    PinMode,
    PinState,
    Pool,
    Probe,
    ProbeMatch,
    TrustedRoot,
)
from appgw.config.model_frontend import (
    Certificate,
    ClientAuthConfiguration,
    Listener,
    Network,
    Protocol,
    SslPolicy,
    SslProfile,
    TLSVersion,
    TrustedClientCertificate,
)
from appgw.config.model_rewrites import (
    ActionSet,
    HeaderConfiguration,
    HeaderValueMatcher,
    RewriteCondition,
    RewriteRule,
    RewriteRuleSet,
    UrlConfiguration,
)
from appgw.config.model_routing import (
    Destination,
    PathRule,
    Redirect,
    Rule,
    UrlPathMap,
)

__all__ = [
    "DEFAULT_PROBE",
    "WELL_KNOWN",
    "AccessLog",
    "ActionSet",
    "Admin",
    "Affinity",
    "Algorithm",
    "BackendSettings",
    "Certificate",
    "ClientAuthConfiguration",
    "Config",
    "ConnectionDraining",
    "Destination",
    "HeaderConfiguration",
    "HeaderValueMatcher",
    "Listener",
    "Member",
    "Network",
    "OutlierDetection",
    "PathRule",
    "Pin",
    "PinMode",
    "PinState",
    "Pool",
    "Probe",
    "ProbeMatch",
    "Protocol",
    "Redirect",
    "RewriteCondition",
    "RewriteRule",
    "RewriteRuleSet",
    "Rule",
    "SslPolicy",
    "SslProfile",
    "Status",
    "TLSVersion",
    "TrustedClientCertificate",
    "TrustedRoot",
    "UrlConfiguration",
    "UrlPathMap",
]


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
class Admin:
    """
    Where the gateway tells its operator how its backends are.

    Attributes:
        socket: absolute path of a UNIX socket.
        asked_for: without it there is no service; False: with a warning there is.
    """

    socket: str
    asked_for: bool = True


@attrs.frozen(kw_only=True)
class Status:
    """
    A port for programs that watch over the gateway, in plain http.
    """

    address: str = "127.0.0.1"
    port: int = 9100


@attrs.frozen(kw_only=True)
class Config:
    """
    A whole configuration. Every section maps a name to its value.

    Attributes:
        custom_error_pages: by status, HTML in UTF-8, where no listener has its own.
        ssl_policy: of every https listener whose profile has none.
        max_request_body: bytes.
        pin_state: absolute path of the file that keeps when pins last matched.
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
    rewrite_rule_sets: Mapping[str, RewriteRuleSet] = attrs.field(factory=dict)
    trusted_client_certificates: Mapping[str, TrustedClientCertificate] = attrs.field(
        factory=dict
    )
    ssl_profiles: Mapping[str, SslProfile] = attrs.field(factory=dict)
    ssl_policy: SslPolicy = attrs.field(factory=SslPolicy)
    access_log: AccessLog | None = None
    pin_state: str | None = None
    admin: Admin | None = None
    status: Status | None = None
    trusted_proxies: tuple[Network, ...] = ()
    forwarded_for_port: bool = False
    affinity: Affinity = Affinity()
    shutdown_timeout: float = 30.0
    resolve_interval: float = 30.0
    max_request_body: int = 4 << 30
    custom_error_pages: Mapping[int, bytes] = attrs.field(factory=dict, repr=False)
