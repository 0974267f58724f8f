"""
What must hold between the parts of a configuration. Pure.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import islice

from appgw.config.certificates import certificate_findings
from appgw.config.model import BackendSettings, Config, Destination, Redirect
from appgw.config.ports import clashes
from appgw.config.problems import Finding, KeyPath, Places, Problem
from appgw.config.references import dangling, destinations

MOST_DANGLING = 1000

_NOT_YET = "which this version does not carry out"


def check(config: Config, places: Places, now: datetime.datetime) -> list[Problem]:
    """
    Find everything that is wrong with a configuration.

    Args:
        config: from a file or made in a program.
        places: the file's lines; ``Places()`` for one made in a program.
        now: what certificates' dates are compared with.
    """
    findings = [
        *islice(dangling(config), MOST_DANGLING),
        *_listeners(config, places),
        *clashes(config, places),
        *_priorities(config, places),
        *_destinations(config, places),
        *_path_maps(config),
        *_settings(config, places),
        *_members(config, places),
        *_redirects(config, places),
        *_probes(config),
        *_affinity(config),
        *certificate_findings(config, places, now),
    ]
    return [places.problem(finding) for finding in findings]


def _listeners(config: Config, places: Places) -> Iterator[Finding]:
    if not config.listeners and places.sound("listeners"):
        yield Finding(("listeners",), "none", "at least one listener")
    for name, listener in config.listeners.items():
        here = ("listeners", name)
        key = (*here, "certificate")
        if not places.sound(*here, "protocol") or not places.sound(*key):
            continue
        if listener.protocol == "https" and listener.certificate is None:
            yield Finding(key, "nothing", "a certificate, as the protocol is https")
        if listener.protocol == "http" and listener.certificate is not None:
            yield Finding(key, "one", "none, as the protocol is http")
    yield from _bindings(config, places)


def _bindings(config: Config, places: Places) -> Iterator[Finding]:
    """
    One listener, one rule.
    """
    bound: dict[str, str] = {}
    for name, rule in config.rules.items():
        first = bound.setdefault(rule.listener, name)
        if first != name and rule.listener:
            found = f"{rule.listener!r}, which rule {first!r} has"
            yield Finding(("rules", name, "listener"), found, "one rule a listener")
    # A rule that can't be read may have been meant for any of them.
    readable = all(rule.listener for rule in config.rules.values())
    if not readable or (not config.rules and not places.sound("rules")):
        return
    for name in config.listeners:
        if name not in bound:
            expected = "a rule, as without one each request is answered with 404"
            yield Finding(("listeners", name), "no rule for it", expected, "warning")


def _priorities(config: Config, places: Places) -> Iterator[Finding]:
    taken: dict[int, str] = {}
    for name, rule in config.rules.items():
        key = ("rules", name, "priority")
        if not places.sound(*key):
            continue
        first = taken.setdefault(rule.priority, name)
        if first != name:
            found = f"{rule.priority}, which rule {first!r} has"
            yield Finding(key, found, "a priority of its own")
    yield from _shadows(config, places)


def _shadows(config: Config, places: Places) -> Iterator[Finding]:
    """
    Find rules after one that takes every Host of their port.
    """
    greedy: dict[tuple[str, int], str] = {}
    for rule in sorted(config.rules.values(), key=lambda rule: rule.priority):
        listener = config.listeners.get(rule.listener)
        key = ("rules", rule.name, "priority")
        if listener is None or not places.sound(*key):
            continue
        port = (listener.address, listener.port)
        if listener.host_names and port in greedy:
            found = f"{rule.priority}, after rule {greedy[port]!r} took every Host"
            yield Finding(key, found, "a smaller number than that rule's", "warning")
        if not listener.host_names and places.sound(
            "listeners", listener.name, "host_names"
        ):
            greedy.setdefault(port, rule.name)


def _destinations(config: Config, places: Places) -> Iterator[Finding]:
    for name, rule in config.rules.items():
        here: KeyPath = ("rules", name)
        if not _whole(places, here, "url_path_map"):
            continue
        if (rule.destination is None) == (rule.url_path_map is None):
            yield _not_one(here, rule.destination, rule.url_path_map)
    for here, there in destinations(config):
        if there.redirect is not None and there.redirect in config.redirects:
            found = f"a redirect, {_NOT_YET}"
            yield Finding((*here, "redirect"), found, "pool and backend_settings")
        mapped = here[0] == "rules" and config.rules[str(here[1])].url_path_map
        if mapped or not _whole(places, here):
            continue
        pooled = there.pool is not None and there.backend_settings is not None
        partly = there.pool is not None or there.backend_settings is not None
        if pooled == (there.redirect is not None) or partly != pooled:
            yield _not_one(here, there)


def _whole(places: Places, here: KeyPath, *more: str) -> bool:
    if here[-1] == "default" and not places.sound(*here):
        return False
    keys = ("pool", "backend_settings", "redirect", *more)
    return all(places.sound(*here, key) for key in keys)


def _not_one(
    here: KeyPath, there: Destination | None, path_map: str | None = None
) -> Finding:
    there = there or Destination()
    given = {
        "url_path_map": path_map,
        "pool": there.pool,
        "backend_settings": there.backend_settings,
        "redirect": there.redirect,
    }
    found = " and ".join(key for key, value in given.items() if value is not None)
    ways = "pool with backend_settings, or redirect"
    if here[0] == "rules":
        ways = f"url_path_map, or {ways}"
    return Finding(here, found or "no destination", f"exactly one of: {ways}")


def _path_maps(config: Config) -> Iterator[Finding]:
    for name, path_map in config.url_path_maps.items():
        here = ("url_path_maps", name, "path_rules")
        names: dict[str, int] = {}
        patterns: dict[str, str] = {}
        for index, rule in enumerate(path_map.path_rules):
            first = names.setdefault(rule.name, index)
            if first != index and rule.name:
                found = f"{rule.name!r}, as [{first}] is called"
                yield Finding((*here, index, "name"), found, "a name of its own")
            for place, pattern in enumerate(rule.paths):
                owner = patterns.setdefault(pattern.lower(), rule.name)
                if owner != rule.name:
                    key = (*here, index, "paths", place)
                    found = f"{pattern!r}, which path rule {owner!r} takes before it"
                    yield Finding(key, found, "another path", "warning")


def _settings(config: Config, places: Places) -> Iterator[Finding]:
    for name, settings in config.backend_settings.items():
        here: KeyPath = ("backend_settings", name)
        if places.sound(*here, "protocol"):
            yield from _trust(settings, places, here)
        if settings.host_name is not None and (
            settings.pick_host_name_from_backend_address
        ):
            key: KeyPath = (*here, "pick_host_name_from_backend_address")
            yield Finding(key, "true beside host_name", "one of the two")
        if settings.probe is not None and settings.probe in config.probes:
            found = f"a health probe, {_NOT_YET}"
            yield Finding((*here, "probe"), found, "no probe")
        if settings.connection_draining.enabled:
            key = (*here, "connection_draining", "enabled")
            yield Finding(key, f"true, {_NOT_YET}", "false")


def _trust(
    settings: BackendSettings, places: Places, here: KeyPath
) -> Iterator[Finding]:
    if settings.protocol == "http":
        for key in ("pins", "trusted_roots", "verify_name"):
            if getattr(settings, key):
                expected = "none, as with protocol http no certificate is seen"
                yield Finding((*here, key), "it", expected)
        return
    rests = settings.pins or settings.trusted_roots
    sound = places.sound(*here, "pins") and places.sound(*here, "trusted_roots")
    if not rests and sound:
        expected = "one of them: with protocol https nothing is trusted by default"
        yield Finding(here, "neither pins nor trusted_roots", expected)


def _members(config: Config, places: Places) -> Iterator[Finding]:
    for name, pool in config.pools.items():
        here: KeyPath = ("pools", name, "members")
        if not pool.members and places.sound(*here):
            expected = "one, as without members each request is answered with 502"
            yield Finding(here, "no members", expected, "warning")
        seen: dict[tuple[str, int | None], int] = {}
        for index, member in enumerate(pool.members):
            first = seen.setdefault((member.address, member.port), index)
            if first != index and places.sound(*here, index):
                found = f"the address and port of [{first}]"
                yield Finding((*here, index), found, "it once; a weight gives more")
            if member.pins == ():
                pins = (*here, index, "pins")
                yield Finding(pins, "an empty list", "at least one element")
    yield from _pinned_without_tls(config)


def _pinned_without_tls(config: Config) -> Iterator[Finding]:
    pairs = {
        (there.pool, there.backend_settings): here
        for here, there in reversed([*destinations(config)])
    }
    for (pool_name, settings_name), here in pairs.items():
        pool = config.pools.get(pool_name or "")
        settings = config.backend_settings.get(settings_name or "")
        if pool is None or settings is None or settings.protocol != "http":
            continue
        for index, member in enumerate(pool.members):
            if member.pins:
                place = ".".join(map(str, here))
                found = f"pins where {place} uses http settings {settings.name!r}"
                key = ("pools", pool.name, "members", index, "pins")
                yield Finding(key, found, "https settings, or no pins")


def _redirects(config: Config, places: Places) -> Iterator[Finding]:
    for name, redirect in config.redirects.items():
        here = ("redirects", name)
        keys = ("target_listener", "target_url")
        if not all(places.sound(*here, key) for key in keys):
            continue
        targets = [key for key in keys if getattr(redirect, key) is not None]
        if len(targets) != 1:
            found = " and ".join(targets) or "no target"
            yield Finding(here, found, f"exactly one of {' and '.join(keys)}")
        yield from _target(config, redirect)


def _target(config: Config, redirect: Redirect) -> Iterator[Finding]:
    listener = config.listeners.get(redirect.target_listener or "")
    if listener is None:
        return
    names = listener.host_names
    if len(names) > 1 or any(set("*?") & set(name) for name in names):
        key = ("redirects", redirect.name, "target_listener")
        found = f"{listener.name!r}, which has many host names or a wildcard"
        yield Finding(key, found, "a listener with one host name, or a target_url")


def _probes(config: Config) -> Iterator[Finding]:
    for name, probe in config.probes.items():
        if probe.timeout > probe.interval:
            key = ("probes", name, "timeout")
            found = f"{probe.timeout:g}s, longer than the interval"
            yield Finding(key, found, f"at most {probe.interval:g}s", "warning")


def _affinity(config: Config) -> Iterator[Finding]:
    if config.affinity.key is not None:
        return
    for name, settings in config.backend_settings.items():
        if settings.cookie_based_affinity:
            key = ("backend_settings", name, "cookie_based_affinity")
            found = "true without affinity.key_file"
            expected = "the file, or each start makes a new key and clients move"
            yield Finding(key, found, expected, "warning")
            return
