"""
A backend's whole identity.

A Target is everything that makes two connections interchangeable, and it is
the key under which connections are kept. A field added here is part of that
identity unless somebody writes ``eq=False`` and says why.
"""

from __future__ import annotations

from typing import Literal

import attrs

from appgw.config.model import Certificate, Pin


@attrs.frozen(kw_only=True, cache_hash=True)
class Target:
    """
    One address, and all that must hold before a byte is sent to it.

    Attributes:
        address: an IP address, without brackets.
        port: 1 to 65535.
        protocol: ``https``: TLS; ``http``: plain TCP.
        server_name: the SNI, and the DNS name that a name check demands; None
            for a backend known by its IP address only (RFC 6066, 3).
        name: what a name check compares: a DNS name or an IP address.
        pins: any of these leaves or keys; None: pins are not what trust
            rests on. An empty tuple admits nothing.
        revoked: what these stand for is refused, whatever else admits it.
        detect: what pins alone would refuse is admitted; only with roots.
        roots: DER of CAs of which one must have signed the chain; None: chains
            are not verified. An empty tuple admits nothing.
        well_known: the machine's CA store counts among the roots.
        verify_name: the certificate must be valid for ``name``. Always
            true with roots.
        client_certificate: what we present if we are asked; None: nothing.
        alpn: protocols offered, first choice first.
    """

    address: str
    port: int
    protocol: Literal["http", "https"] = "https"
    server_name: str | None = None
    name: str = ""
    pins: tuple[Pin, ...] | None = None
    revoked: tuple[Pin, ...] = ()
    detect: bool = False
    roots: tuple[bytes, ...] | None = None
    well_known: bool = False
    verify_name: bool = False
    client_certificate: Certificate | None = None
    alpn: tuple[bytes, ...] = (b"http/1.1",)

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol}://{host}:{self.port}"
