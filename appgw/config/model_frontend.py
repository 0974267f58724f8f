"""
The model's part towards clients: listeners, and what they present.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Literal

import attrs

Protocol = Literal["http", "https"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    proxy_protocol: bool = False
    misdirected: Literal["refuse", "route"] = "refuse"
    ambiguous_paths: Literal["refuse", "allow"] = "refuse"
    custom_error_pages: Mapping[int, bytes] = attrs.field(
        factory=dict, hash=False, repr=False
    )
