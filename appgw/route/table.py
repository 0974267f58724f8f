"""
The configuration as it is asked per request: ports, sites and routes.

Built once per configuration; everything that can be worked out before a
request comes is worked out here. The only things that change afterwards are
bounded memories of names already looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from appgw.config.demands import Demands, demands_on
from appgw.config.model import (
    BackendSettings,
    Config,
    Destination,
    Listener,
    Protocol,
    Redirect,
    Rule,
)
from appgw.route.listeners import HostNames, host_of, listener_for, without_dot
from appgw.route.paths import PathPattern, read_override
from appgw.route.redirect import Aim
from appgw.route.rewrite import RewriteRuleSet
from appgw.route.variables import OF_SOCKETS

Sets = Mapping[str, RewriteRuleSet]
"""Rewrite rule sets, by name."""

_REMEMBERED: Final = 1024
"""Names that a port keeps the answer for; then it starts anew."""


@attrs.frozen(eq=False, kw_only=True)
class _Way:
    """
    A leaf: what becomes of one path pattern's requests, or of all others of a site.

    Attributes:
        path_rule: the name of the path rule; None for a basic rule and for
            the default of a path map.
        pattern: the one of the path rule's patterns that leads here.
    """

    listener: Listener
    rule: Rule
    path_rule: str | None
    pattern: PathPattern | None

    @property
    def names(self) -> tuple[str, str, str, str]:
        """
        Those of listener, rule, pool and settings, for logs and metrics.
        """
        return self.listener.name, self.rule.name, "", ""


@attrs.frozen(eq=False, kw_only=True)
class Route(_Way):
    """
    A leaf whose requests go to a pool.

    Attributes:
        pool: the name of the pool.
        override: the settings' path override as ``read_override`` returns it.
        rewrites: what its requests and their answers are changed by; of several
            routes with the same set it is the same value.
    """

    pool: str
    settings: BackendSettings
    override: bytes | None
    rewrites: RewriteRuleSet | None = None

    @property
    def names(self) -> tuple[str, str, str, str]:
        """
        Those of listener, rule, pool and settings, for logs and metrics.
        """
        return self.listener.name, self.rule.name, self.pool, self.settings.name


@attrs.frozen(eq=False, kw_only=True)
class Redirection(_Way):
    """
    A leaf whose requests are told to go elsewhere.
    """

    redirect: Redirect
    aim: Aim


Way = Route | Redirection


@attrs.frozen(eq=False, kw_only=True)
class Site:
    """
    A listener with its rule.

    Attributes:
        host_names: which names mean it.
        routes: one for each pattern of each path rule, in listed order.
        paths: finds the first of them that matches a lower-cased path, by the
            number of its group; None without path rules.
        default: what takes every other path.
        allow_ambiguous: see ``read_path``.
        tls_demands: what it asks of a client's handshake beyond the certificate
            shown; None over plain http. Sites with equal demands may stand in for
            each other.
        strict: it answers only those whose certificate holds.
    """

    listener: Listener
    rule: Rule
    host_names: HostNames
    routes: tuple[Way, ...]
    paths: re.Pattern[bytes] | None
    default: Way
    allow_ambiguous: bool
    tls_demands: Demands | None = None
    strict: bool = False

    def route_for(self, lowered: bytes) -> Way:
        """
        Return the first route whose pattern matches, else the default.
        """
        if self.paths is not None:
            found = self.paths.match(lowered)
            if found is not None and found.lastindex is not None:
                return self.routes[found.lastindex - 1]
        return self.default


@attrs.frozen(eq=False)
class PortTable:
    """
    All sites of one address and port.

    Attributes:
        sites: in order of their rules' priority.
        proxy_protocol: connections begin with a PROXY header.
        differing: they do not all make the same TLS demands.
    """

    address: str
    port: int
    protocol: Protocol
    sites: tuple[Site, ...]
    proxy_protocol: bool = False
    _by_authority: dict[bytes, Site | None] = attrs.field(
        factory=dict, init=False, repr=False
    )
    _by_server_name: dict[str, Site] = attrs.field(factory=dict, init=False, repr=False)
    differing: bool = attrs.field(init=False)

    @differing.default
    def _differ(self) -> bool:
        return len({site.tls_demands for site in self.sites}) > 1

    def listener_for(self, name: str | None) -> Site | None:
        """
        Return the first site by priority that takes *name*, None if none does.
        """
        return listener_for(self.sites, name)

    def site_of(self, authority: bytes) -> Site | None:
        """
        Return the site that an authority means, None if it means none.

        Raises:
            BadHost: it names no host.
        """
        try:
            return self._by_authority[authority]
        except KeyError:
            site = self.listener_for(host_of(authority))
            if len(self._by_authority) >= _REMEMBERED:
                self._by_authority.clear()
            self._by_authority[authority] = site
            return site

    @property
    def curious(self) -> bool:
        """
        Whether rewrites ask of clients what only their sockets can tell.
        """
        ways = (way for site in self.sites for way in (*site.routes, site.default))
        sets = {way.rewrites for way in ways if isinstance(way, Route)}
        asked = (name for one in sets if one is not None for name in one.variables())
        return any(name in OF_SOCKETS for name in asked)

    def presented_for(self, server_name: str | None) -> Site:
        """
        Return the site whose certificate a client is shown.

        Without SNI, or with one that no listener takes: the first by priority.

        Args:
            server_name: the SNI, None without.
        """
        if server_name is None:
            return self.sites[0]
        site = self._by_server_name.get(server_name)
        if site is None:
            site = self.listener_for(without_dot(server_name)) or self.sites[0]
            if len(self._by_server_name) >= _REMEMBERED:
                self._by_server_name.clear()
            self._by_server_name[server_name] = site
        return site


@attrs.frozen(eq=False)
class Table:
    """
    Everything that routes requests, by address and port as configured.
    """

    ports: Mapping[tuple[str, int], PortTable]

    @classmethod
    def build(cls, config: Config) -> Table:
        """
        Work out the table of a configuration that ``check`` has passed.

        Raises:
            ValueError: something in it cannot be routed by.
        """
        sites: dict[tuple[str, int], list[Site]] = {}
        sets = {
            name: RewriteRuleSet.parse(one)
            for name, one in config.rewrite_rule_sets.items()
        }
        for rule in sorted(config.rules.values(), key=lambda rule: rule.priority):
            site = _site(config, rule, sets)
            key = (site.listener.address, site.listener.port)
            sites.setdefault(key, []).append(site)
        return cls({key: _port(found) for key, found in sites.items()})


def _port(sites: list[Site]) -> PortTable:
    first = sites[0].listener
    for site in sites:
        for key in ("protocol", "proxy_protocol"):
            if getattr(site.listener, key) != getattr(first, key):
                raise ValueError(
                    f"listeners {first.name} and {site.listener.name}"
                    f" share a port but not its {key}"
                )
    return PortTable(
        first.address,
        first.port,
        first.protocol,
        tuple(sites),
        first.proxy_protocol,
    )


def _site(config: Config, rule: Rule, sets: Sets) -> Site:
    listener = config.listeners[rule.listener]
    secure = listener.protocol == "https"
    demands = demands_on(config, listener) if secure else None
    client = None if demands is None else demands.client
    routes: list[Way] = []
    default = rule.destination
    if rule.url_path_map is not None:
        path_map = config.url_path_maps[rule.url_path_map]
        default = path_map.default
        for path_rule in path_map.path_rules:
            for text in path_rule.paths:
                pattern = PathPattern.parse(text)
                to = path_rule.destination
                routes.append(_way(config, rule, path_rule.name, to, pattern, sets))
    return Site(
        listener=listener,
        rule=rule,
        host_names=HostNames.parse(listener.host_names),
        routes=tuple(routes),
        paths=_paths(routes),
        default=_way(config, rule, None, default, None, sets),
        allow_ambiguous=listener.ambiguous_paths == "allow",
        tls_demands=demands,
        strict=client is not None and client.strict,
    )


def _way(
    config: Config,
    rule: Rule,
    path_rule: str | None,
    destination: Destination | None,
    pattern: PathPattern | None,
    sets: Sets,
) -> Way:
    place: dict[str, Any] = {
        "listener": config.listeners[rule.listener],
        "rule": rule,
        "path_rule": path_rule,
        "pattern": pattern,
    }
    there = destination or Destination()
    if there.redirect is not None:
        redirect = config.redirects[there.redirect]
        aim = Aim.parse(redirect, config.listeners)
        return Redirection(**place, redirect=redirect, aim=aim)
    if there.pool is None or there.backend_settings is None:
        raise ValueError(f"rule {rule.name} leads to no pool")
    settings = config.backend_settings[there.backend_settings]
    name = there.rewrite_rule_set
    return Route(
        **place,
        pool=there.pool,
        settings=settings,
        override=None if settings.path is None else read_override(settings.path),
        rewrites=None if name is None else sets[name],
    )


def _paths(routes: Iterable[Way]) -> re.Pattern[bytes] | None:
    """
    One alternation for all patterns: the first that matches wins, as listed.
    """
    groups = [b"(%b)" % r.pattern.expression for r in routes if r.pattern is not None]
    return re.compile(b"|".join(groups)) if groups else None
