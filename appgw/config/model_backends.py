"""
The model's part towards backends: pools, settings, pins, probes.
"""

from __future__ import annotations

import datetime
from typing import Literal

import attrs

from appgw.config.model_frontend import Protocol

Algorithm = Literal["RoundRobin", "LeastConnections", "IpHash"]

WELL_KNOWN = "well-known"
"""The reserved name among trusted_roots: the machine's own store of CAs."""

PinState = Literal["next", "active", "retiring", "revoked"]
PinMode = Literal["prevent", "detect"]


@attrs.frozen(kw_only=True)
class Pin:
    """
    One entry of the allow-list (ARM authenticationCertificates).

    Exactly one of ``sha256`` (of the leaf's DER) and ``spki_sha256`` (of its
    SubjectPublicKeyInfo's DER) is set, 32 raw bytes.

    Attributes:
        certificate: DER, where the pin came from a certificate_file.
        state: all but ``revoked`` admit; what that one stands for is refused by
            every setting, whatever else admits it.
        not_before, not_after: the first and the last day (UTC) on which this pin
            admits anything.
        allow_expired: the presented certificate's dates are not judged.
        owner, comment: for people; they make no pin another one.
    """

    name: str
    sha256: bytes | None = None
    spki_sha256: bytes | None = None
    certificate: bytes | None = None
    state: PinState = "active"
    not_before: datetime.date | None = None
    not_after: datetime.date | None = None
    allow_expired: bool = False
    owner: str | None = attrs.field(default=None, eq=False)
    comment: str | None = attrs.field(default=None, eq=False)

    def admits_on(self, day: datetime.date) -> bool:
        """
        Tell whether its state and its own dates let it admit anything on *day*.
        """
        return (
            self.state != "revoked"
            and (self.not_before is None or self.not_before <= day)
            and (self.not_after is None or day <= self.not_after)
        )


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
        draining: it gets no new clients.
    """

    address: str
    port: int | None = None
    weight: int = 1
    pins: tuple[str, ...] | None = None
    draining: bool = False


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
    ARM connectionDraining.

    Attributes:
        drain_timeout: seconds.
    """

    enabled: bool = False
    drain_timeout: float = 30.0


@attrs.frozen(kw_only=True)
class OutlierDetection:
    """
    When a member that fails is left out for a while. Durations in seconds.

    Attributes:
        consecutive_failures: requests in a row that make a rest.
        base_ejection_time: the first rest; each further one doubles it.
        max_ejection_time: beyond which no rest grows.
        max_ejection_percent: of a pool's members, how many may rest because
            requests failed; 0: none.
        status_codes: inclusive ranges of statuses that count as failures.
    """

    consecutive_failures: int = 5
    base_ejection_time: float = 10.0
    max_ejection_time: float = 300.0
    max_ejection_percent: int = 50
    status_codes: tuple[tuple[int, int], ...] = ()


@attrs.frozen(kw_only=True)
class BackendSettings:
    """
    How to talk to a pool (ARM backendHttpSettingsCollection).

    Attributes:
        pins, trusted_roots: names; both given: both must hold.
        pin_mode: ``detect``: what only pins would refuse is told, and let through.
        verify_name: the certificate's name is checked besides the pins.
        client_certificate: name: what we present to a backend that asks for it.
        request_timeout: seconds, 1 to 86400.
        tunnel_idle_timeout: seconds, 1 to 86400, without a byte either way.
        host_name: Host and SNI; None: the client's Host, the member's SNI.
        path: the path override, starts with a slash.
        probe: a probe's name; None: Azure's default probe.
        probe_enabled: members are probed at all.
        drain_sticky: what becomes of those bound to a member that drains.
        load_distribution_algorithm: ARM loadDistributionAlgorithm.
        slow_start: seconds until a member that is new has its whole share.
        max_connections: to each backend, idle ones included.
        max_pending_requests: that may wait for one of them, for each backend.
        pending_timeout: seconds that they wait at most.
    """

    name: str
    protocol: Protocol
    port: int
    pins: tuple[str, ...] = ()
    trusted_roots: tuple[str, ...] = ()
    pin_mode: PinMode = "prevent"
    verify_name: bool = False
    client_certificate: str | None = None
    cookie_based_affinity: bool = False
    affinity_cookie_name: str = "ApplicationGatewayAffinity"
    request_timeout: float = 20.0
    tunnel_idle_timeout: float = 300.0
    host_name: str | None = None
    pick_host_name_from_backend_address: bool = False
    path: str | None = None
    probe: str | None = None
    probe_enabled: bool = True
    connection_draining: ConnectionDraining = ConnectionDraining()
    drain_sticky: Literal["keep", "move"] = "keep"
    load_distribution_algorithm: Algorithm = "RoundRobin"
    slow_start: float = 0.0
    outlier_detection: OutlierDetection = OutlierDetection()
    max_connections: int = 1024
    max_pending_requests: int = 0
    pending_timeout: float = 5.0


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
    A health probe (ARM probes). Durations in seconds.

    Attributes:
        path: starts with a slash, may have a query.
        protocol: the setting's, or None, which means the same.
        host: the Host; None: the setting's, else 127.0.0.1.
        pick_host_name_from_backend_settings: there must be one of the setting's.
        port: wins over the member's and the setting's.
        interval: from the beginning of one probe to that of the next.
        unhealthy_threshold: failures in a row.
        min_servers: how many are taken for healthy at least.
    """

    name: str
    path: str
    protocol: Protocol | None = None
    host: str | None = None
    pick_host_name_from_backend_settings: bool = False
    port: int | None = None
    interval: float = 30.0
    timeout: float = 30.0
    unhealthy_threshold: int = 3
    min_servers: int = 0
    match: ProbeMatch = ProbeMatch()


DEFAULT_PROBE = Probe(name="", path="/", host="127.0.0.1")
"""What Azure does where a setting names no probe."""
