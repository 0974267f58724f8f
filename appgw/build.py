"""
From a configuration to all that serves it, before any of it is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
from OpenSSL import SSL

from appgw import resources
from appgw.backend import pool as pools
from appgw.backend.pool import Pair, Pool
from appgw.config.model import Config
from appgw.counters import Counters
from appgw.listen.ports import Key, Terms
from appgw.listen.tls import PortTLS
from appgw.listen.trusted import Proxies
from appgw.means import Means
from appgw.message import Arrival
from appgw.mounts import Mount
from appgw.route.table import PortTable, Table

Shown = Callable[[str | None], str]
"""From an SNI, or None, to the name of the certificate that is presented."""


@attrs.frozen(eq=False)
class Build:
    """
    What a configuration was made into.

    Attributes:
        terms: what each port is served on.
        shown: for each port with TLS.
    """

    config: Config
    table: Table
    pools: Mapping[Pair, Pool]
    terms: Mapping[Key, Terms]
    shown: Mapping[Key, Shown]

    def in_force(self) -> None:
        """
        Let the TLS that stays in service present what is meant now.
        """
        for key, shown in self.shown.items():
            tls = self.terms[key].tls
            if tls is not None:
                tls.certificate_for = shown
                tls.curious = self.table.ports[key].curious

    def renew(self) -> None:
        """
        Change the keys of session tickets.
        """
        for terms in self.terms.values():
            if terms.tls is not None:
                terms.tls.renew()


def build(
    config: Config,
    before: Build | None,
    key: bytes,
    means: Means,
    counters: Counters,
    mounts: Sequence[Mount] = (),
) -> Build:
    """
    Make everything anew; of *before* only health and TLS contexts are taken over.

    Args:
        before: what is in force; it is not changed.
        key: of affinity cookies, where the configuration has none.
        counters: told of clients that came to nothing.
        mounts: stock resources beside the routes.

    Raises:
        ValueError: it cannot be built.
    """
    table = Table.build(config)
    kept = None if before is None else before.pools
    fresh = pools.build(config, config.affinity.key or key, means.seconds, kept)
    means = _configured(means, config)
    secure = {at: p for at, p in table.ports.items() if p.protocol == "https"}
    shown = {at: _shown(port) for at, port in secure.items()}
    terms = {
        key: Terms(
            scheme=port.protocol,
            root=resources.build(port, fresh, means, mounts),
            tls=_tls(config, key, table, shown, before, counters.handshake_failed),
            proxies=_proxies(config, port, counters.proxy_refused),
            max_request_body=config.max_request_body,
            trusted_proxies=config.trusted_proxies,
            curious=port.curious,
            forgotten=_forgotten(before, key, port),
        )
        for key, port in table.ports.items()
    }
    return Build(config, table, fresh, terms, shown)


def _configured(means: Means, config: Config) -> Means:
    return attrs.evolve(
        means,
        forwarded_for_port=config.forwarded_for_port,
        pages=config.custom_error_pages,
    )


def _shown(port: PortTable) -> Shown:
    return lambda name: str(port.presented_for(name).listener.certificate)


def _tls(
    config: Config,
    key: Key,
    table: Table,
    shown: Mapping[Key, Shown],
    before: Build | None,
    handshake_failed: Callable[[], None],
) -> PortTLS | None:
    if key not in shown:
        return None
    names = {str(site.listener.certificate) for site in table.ports[key].sites}
    certificates = {name: config.certificates[name] for name in names}
    old = None if before is None else before.terms.get(key)
    tls = None if old is None else old.tls
    if tls is not None and tls.certificates == certificates:
        # Contexts that would be the same keep the sessions of their clients.
        return tls
    try:
        tls = PortTLS(certificates, shown[key], handshake_failed)
    except (SSL.Error, ValueError) as error:
        told = ", ".join(sorted(names))
        raise ValueError(f"certificate {told}: cannot be used: {error}") from error
    tls.curious = table.ports[key].curious
    return tls


def _proxies(
    config: Config, port: PortTable, refused: Callable[[str], None]
) -> Proxies | None:
    if not port.proxy_protocol:
        return None
    where = f"{port.address} port {port.port}"
    return Proxies(where, config.trusted_proxies, refused)


def _forgotten(
    before: Build | None, key: Key, port: PortTable
) -> Callable[[Arrival], bool] | None:
    """
    Return what tells of a connection that its listener is not there any more.
    """
    old = None if before is None else before.table.ports.get(key)
    if old is None or old.protocol != "https" or port.protocol != "https":
        return None
    there = _listeners(port)
    if there >= _listeners(old):
        return None
    return lambda arrival: (
        old.presented_for(arrival.server_name).listener.name not in there
    )


def _listeners(port: PortTable) -> frozenset[str]:
    return frozenset(site.listener.name for site in port.sites)
