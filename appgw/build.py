"""
From a configuration to all that serves it, before any of it is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
from OpenSSL import SSL

from appgw import resources
from appgw.backend import pool as pools
from appgw.backend.candidate import Pair
from appgw.backend.pool import Pool
from appgw.config.demands import Demands
from appgw.config.model import Config
from appgw.counters import Counters
from appgw.listen.contexts import SiteTLS
from appgw.listen.ports import Key, Terms
from appgw.listen.tls import PortTLS
from appgw.listen.trusted import Proxies
from appgw.means import Means
from appgw.message import Arrival
from appgw.mounts import Mount
from appgw.route.table import PortTable, Site, Table

Shown = Callable[[str | None], SiteTLS]
"""From an SNI, or None, to what is done in the handshake."""


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

    def in_force(self, before: Build | None) -> None:
        """
        Let the pools take over from *before*, and the TLS that stays in service
        present what is meant now; what goes shall end the handshakes that are
        meant otherwise now.
        """
        pools.hand_over({} if before is None else before.pools, self.pools)
        for key, shown in self.shown.items():
            old = None if before is None else before.terms.get(key)
            tls = self.terms[key].tls
            if tls is not None:
                tls.site_for = tls.site_now = shown
            if old is not None and old.tls is not None:
                old.tls.site_now = shown

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
    sites = _secure(config, table)
    shown = {at: _shown(table.ports[at], known) for at, known in sites.items()}
    terms = {
        key: Terms(
            scheme=port.protocol,
            root=resources.build(port, fresh, means, mounts),
            tls=_tls(key, sites, shown, before, means, counters.handshake_failed),
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
        trusted_proxies=config.trusted_proxies,
        forwarded_for_port=config.forwarded_for_port,
        pages=config.custom_error_pages,
    )


def _secure(config: Config, table: Table) -> dict[Key, dict[Site, SiteTLS]]:
    """
    Say for every site of the ports with TLS what is done in its handshakes.
    """
    known = config.certificates
    return {
        key: {
            site: SiteTLS(
                tuple(known[name] for name in site.listener.presented),
                site.tls_demands,
            )
            for site in port.sites
            if site.tls_demands is not None
        }
        for key, port in table.ports.items()
        if port.protocol == "https"
    }


def _shown(port: PortTable, sites: Mapping[Site, SiteTLS]) -> Shown:
    return lambda name: sites[port.presented_for(name)]


def _tls(
    key: Key,
    sites: Mapping[Key, Mapping[Site, SiteTLS]],
    shown: Mapping[Key, Shown],
    before: Build | None,
    means: Means,
    handshake_failed: Callable[[], None],
) -> PortTLS | None:
    if key not in sites:
        return None
    wanted = frozenset(sites[key].values())
    old = None if before is None else before.terms.get(key)
    tls = None if old is None else old.tls
    if tls is not None and tls.sites == wanted:
        # Contexts that would be the same keep the sessions of their clients.
        return tls
    try:
        return PortTLS(wanted, shown[key], handshake_failed, means.wall)
    except (SSL.Error, ValueError) as error:
        names = {name for site in sites[key] for name in site.listener.presented}
        told = ", ".join(sorted(names))
        raise ValueError(f"certificate {told}: cannot be used: {error}") from error


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
    Return what tells of a connection that its listener is not there any more, or
    that its handshake would have to be another one now.
    """
    old = None if before is None else before.table.ports.get(key)
    if old is None or old.protocol != "https" or port.protocol != "https":
        return None
    there = _listeners(port)
    if (
        there >= _listeners(old)
        and _demands(port) == _demands(old)
        and (not port.differing)
    ):
        return None
    return lambda arrival: _is_forgotten(old, port, there, arrival.server_name)


def _is_forgotten(
    old: PortTable, new: PortTable, there: frozenset[str], name: str | None
) -> bool:
    before, now = old.presented_for(name), new.presented_for(name)
    return before.listener.name not in there or before.tls_demands != now.tls_demands


def _listeners(port: PortTable) -> frozenset[str]:
    return frozenset(site.listener.name for site in port.sites)


def _demands(port: PortTable) -> frozenset[Demands | None]:
    return frozenset(site.tls_demands for site in port.sites)
