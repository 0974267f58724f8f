"""
What must hold for redirects: one target, and never back to where they began.

Whether a redirect leads back is found out by following it, as a client would,
with the routes that will be in force. Only what leads back for certain is an
error: where the names of other people's machines lead, nobody here knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import attrs

from appgw.config.model import Config
from appgw.config.problems import Finding, KeyPath, Places, quoted
from appgw.route.listeners import without_dot
from appgw.route.paths import BadPath, read_path
from appgw.route.redirect import Aim, has_one_host, origin
from appgw.route.table import PortTable, Redirection, Site, Table

MOST_HOPS: Final = 20
"""Redirects in a row that browsers follow."""

MOST_REQUESTS: Final = 20_000
"""Requests that are followed."""

_TARGETS: Final = ("target_listener", "target_url")
_ROUTES: Final = ("listeners", "url_path_maps", "rules", "redirects")
_SOME_HOST: Final = "host.invalid"
_SOME_SEGMENT: Final = b"(any-path)"
"""
Stand for all that no configuration spells out.
"""


def redirect_findings(config: Config, places: Places) -> Iterator[Finding]:
    """
    Judge the redirects.
    """
    findings = [*_targets(config, places)]
    yield from findings
    if not findings and all(places.sound(section) for section in _ROUTES):
        yield from _loops(config)


def _targets(config: Config, places: Places) -> Iterator[Finding]:
    for name, redirect in config.redirects.items():
        here = ("redirects", name)
        if not all(places.sound(*here, key) for key in _TARGETS):
            continue
        targets = [key for key in _TARGETS if getattr(redirect, key) is not None]
        if len(targets) != 1:
            found = " and ".join(targets) or "no target"
            yield Finding(here, found, f"exactly one of {' and '.join(_TARGETS)}")
        listener = config.listeners.get(redirect.target_listener or "")
        if listener is not None and not has_one_host(listener):
            key = (*here, "target_listener")
            found = f"{listener.name!r}, which has many host names or a wildcard"
            yield Finding(key, found, "a listener with one host name, or a target_url")


@attrs.frozen
class _Request:
    """
    What counts of a request: where it arrives, and for what.

    Attributes:
        path: as ``read_path`` returns it.
    """

    port: PortTable
    host: str
    path: bytes

    @property
    def url(self) -> str:
        """
        How a client would write it.
        """
        start = origin(self.port.protocol, self.host, self.port.port)
        return (start + self.path).decode("ascii")


_Trail = list[tuple[Redirection, _Request]]


def _loops(config: Config) -> Iterator[Finding]:
    try:
        table = Table.build(config)
    except (KeyError, ValueError):
        # A reference that dangles, a rule that leads nowhere: told already.
        return
    told: set[KeyPath] = set()
    for request in islice(_requests(table), MOST_REQUESTS):
        trail = _round(config, table, request)
        keys = [_key(config, way) for way, _ in trail]
        if keys and not told.intersection(keys):
            told.update(keys)
            yield Finding(keys[0], _shown(trail), "a redirect that leads elsewhere")


def _requests(table: Table) -> Iterator[_Request]:
    """
    Make up requests that stand for all that are redirected.
    """
    for port in table.ports.values():
        for site in port.sites:
            for way in (*site.routes, site.default):
                if isinstance(way, Redirection):
                    for host in _hosts(site):
                        yield _Request(port, host, _path(way))


def _hosts(site: Site) -> list[str]:
    """
    Return a host for each name that the site takes.
    """
    patterns = site.host_names.patterns or (_SOME_HOST, site.listener.address)
    names = map(without_dot, patterns)
    return [name.replace("*", "x").replace("?", "x") for name in names]


def _path(way: Redirection) -> bytes:
    if way.pattern is None:
        return b"/" + _SOME_SEGMENT
    return way.pattern.prefix + (b"" if way.pattern.exact else _SOME_SEGMENT)


def _round(config: Config, table: Table, request: _Request | None) -> _Trail:
    """
    Follow a request from redirect to redirect.

    Returns:
        The round that it goes in, with its beginning once more at its end;
        nothing if it arrives somewhere. Where no request comes back because
        paths grow, all since the last redirect was met first.
    """
    trail: _Trail = []
    while request is not None and len(trail) <= MOST_HOPS:
        way = _redirection_of(request)
        if way is None:
            return []
        step = (way, request)
        if step in trail:
            return [*trail[trail.index(step) :], step]
        trail.append(step)
        request = _next(config, table, way, request)
    ways = [way for way, _ in trail]
    return [] if request is None else trail[ways.index(ways[-1]) :]


def _redirection_of(request: _Request) -> Redirection | None:
    site = request.port.listener_for(request.host)
    way = None if site is None else site.route_for(request.path.lower())
    return way if isinstance(way, Redirection) else None


def _next(
    config: Config, table: Table, way: Redirection, request: _Request
) -> _Request | None:
    """
    Return the request that a client makes next, None if it is not of us.
    """
    aim, target = way.aim, way.redirect.target_listener
    host = aim.host or request.host
    if target is None:
        port = _ours(table, aim, host, request)
    else:
        listener = config.listeners[target]
        port = table.ports.get((listener.address, listener.port))
    site = None if port is None else port.listener_for(host)
    if port is None or site is None:
        return None
    try:
        path = read_path(aim.path_for(request.path), site.allow_ambiguous)
    except BadPath:
        return None
    return _Request(port, host, path)


def _ours(table: Table, aim: Aim, host: str, request: _Request) -> PortTable | None:
    """
    Return the port that a URL leads to, if that is certain: the client is there
    already, the port has the URL's address, or a listener there spells out its
    name.
    """
    here = request.port
    found = [
        port
        for port in table.ports.values()
        if (port.protocol, port.port) == (aim.scheme, aim.port)
        and (_is_at(port, host) or (port is here and host == request.host))
    ]
    if here in found:
        return here
    return found[0] if len(found) == 1 else None


def _is_at(port: PortTable, host: str) -> bool:
    site = port.listener_for(host)
    named = site is not None and host in site.host_names.names
    return named or port.address == host


def _key(config: Config, way: Redirection) -> KeyPath:
    """
    Return the key that says to redirect there.
    """
    rule = way.rule
    if rule.url_path_map is None:
        return ("rules", rule.name, "redirect")
    here = ("url_path_maps", rule.url_path_map)
    if way.pattern is None:
        return (*here, "default", "redirect")
    path_rules = config.url_path_maps[rule.url_path_map].path_rules
    index = [path_rule.name for path_rule in path_rules].index(way.path_rule or "")
    return (*here, "path_rules", index, "redirect")


def _shown(trail: _Trail) -> str:
    way, request = trail[0]
    name, url = repr(way.redirect.name), quoted(request.url, 200)
    if trail[-1] != trail[0] or len(trail) == 1:
        return f"{name}, by which {url} leads on and on"
    if len(trail) == 2:
        return f"{name}, which sends {url} to itself"
    return f"{name}, by which {url} comes back after {len(trail) - 1} redirects"
