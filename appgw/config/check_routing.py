"""
What must hold for the ways between listeners and pools. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from appgw.config.model import Config, Destination
from appgw.config.problems import Finding, KeyPath, Places
from appgw.config.references import destinations


def routing_findings(config: Config, places: Places) -> Iterator[Finding]:
    """
    Judge rules and path maps.
    """
    yield from _priorities(config, places)
    yield from _destinations(config, places)
    yield from _path_maps(config)


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
        if rule.url_path_map is not None and _leads_nowhere(rule.destination):
            continue
        if (rule.destination is None) == (rule.url_path_map is None):
            yield _not_one(here, rule.destination, rule.url_path_map)
    for here, there in destinations(config):
        mapped = here[0] == "rules" and config.rules[str(here[1])].url_path_map
        if mapped or not _whole(places, here):
            continue
        pooled = there.pool is not None and there.backend_settings is not None
        partly = there.pool is not None or there.backend_settings is not None
        if pooled == (there.redirect is not None) or partly != pooled:
            yield _not_one(here, there)


def _leads_nowhere(there: Destination | None) -> bool:
    """
    Tell whether it says but how requests are rewritten on their way.
    """
    return there is not None and there == Destination(
        rewrite_rule_set=there.rewrite_rule_set
    )


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
        taken = _Taken()
        for index, rule in enumerate(path_map.path_rules):
            first = names.setdefault(rule.name, index)
            if first != index and rule.name:
                found = f"{rule.name!r}, as [{first}] is called"
                yield Finding((*here, index, "name"), found, "a name of its own")
            for place, pattern in enumerate(rule.paths):
                owner = taken.by(pattern.lower(), rule.name)
                if owner != rule.name:
                    key = (*here, index, "paths", place)
                    found = f"{pattern!r}, which path rule {owner!r} takes before it"
                    yield Finding(key, found, "another path", "warning")


class _Taken:
    """
    The patterns of a path map so far, and whose they are.
    """

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._lengths: set[int] = set()

    def by(self, pattern: str, name: str) -> str:
        """
        Return the path rule that takes all that *pattern* matches: one before,
        or the one called *name*, whose pattern it is from now on.
        """
        stem = pattern.removesuffix("*")
        wider = (f"{stem[:end]}*" for end in self._lengths if end <= len(stem))
        for one in (pattern, *wider):
            if one in self._owners:
                return self._owners[one]
        self._owners[pattern] = name
        if pattern.endswith("*"):
            self._lengths.add(len(stem))
        return name
