"""
Names that one part of a configuration has for another: each must resolve.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from appgw.config.model import WELL_KNOWN, Config, Destination
from appgw.config.problems import Finding, KeyPath, quoted
from appgw.config.shapes import nearest

Reference = tuple[KeyPath, str, str | None]
"""Where a name stands, the section that it is from, and the name."""

_CALLED = {
    "certificates": "a certificate",
    "pins": "a pin",
    "trusted_roots": "a trusted root",
    "pools": "a pool",
    "backend_settings": "backend settings",
    "probes": "a probe",
    "listeners": "a listener",
    "url_path_maps": "a URL path map",
    "redirects": "a redirect",
    "rewrite_rule_sets": "a rewrite rule set",
    "ssl_profiles": "an SSL profile",
    "trusted_client_certificates": "a trusted client certificate",
}


def dangling(config: Config) -> Iterator[Finding]:
    """
    Find the names that nothing has.
    """
    for path, section, name in references(config):
        known: Mapping[str, Any] = getattr(config, section)
        well_known = section == "trusted_roots" and name == WELL_KNOWN
        if not name or name in known or well_known:
            continue
        expected = f"the name of {_CALLED[section]}"
        if near := nearest(name, known):
            expected += f", such as {quoted(near)}"
        yield Finding(path, f"{quoted(name)}, which is not in {section}", expected)


def destinations(config: Config) -> Iterator[tuple[KeyPath, Destination]]:
    """
    Walk over everything that says where requests go.
    """
    for name, rule in config.rules.items():
        if rule.destination is not None:
            yield ("rules", name), rule.destination
    for name, path_map in config.url_path_maps.items():
        yield ("url_path_maps", name, "default"), path_map.default
        for index, path_rule in enumerate(path_map.path_rules):
            here = ("url_path_maps", name, "path_rules", index)
            yield here, path_rule.destination


def references(config: Config) -> Iterator[Reference]:
    """
    Walk over every name that should be found elsewhere.
    """
    for name, listener in config.listeners.items():
        here: KeyPath = ("listeners", name)
        yield (*here, "certificate"), "certificates", listener.certificate
        several = (*here, "certificates")
        yield from _each(several, "certificates", listener.certificates)
        yield (*here, "ssl_profile"), "ssl_profiles", listener.ssl_profile
    for name, profile in config.ssl_profiles.items():
        section = "trusted_client_certificates"
        here = ("ssl_profiles", name, section)
        yield from _each(here, section, profile.trusted_client_certificates)
    for name, pool in config.pools.items():
        for index, member in enumerate(pool.members):
            here = ("pools", name, "members", index, "pins")
            yield from _each(here, "pins", member.pins or ())
    for name, settings in config.backend_settings.items():
        here = ("backend_settings", name)
        yield from _each((*here, "pins"), "pins", settings.pins)
        roots = (*here, "trusted_roots")
        yield from _each(roots, "trusted_roots", settings.trusted_roots)
        yield (*here, "probe"), "probes", settings.probe
        shown = (*here, "client_certificate")
        yield shown, "certificates", settings.client_certificate
    for name, rule in config.rules.items():
        here = ("rules", name)
        yield (*here, "listener"), "listeners", rule.listener
        yield (*here, "url_path_map"), "url_path_maps", rule.url_path_map
    for here, there in destinations(config):
        yield (*here, "pool"), "pools", there.pool
        yield (*here, "backend_settings"), "backend_settings", there.backend_settings
        yield (*here, "redirect"), "redirects", there.redirect
        rewrites = (*here, "rewrite_rule_set")
        yield rewrites, "rewrite_rule_sets", there.rewrite_rule_set
    for name, redirect in config.redirects.items():
        here = ("redirects", name, "target_listener")
        yield here, "listeners", redirect.target_listener


def _each(path: KeyPath, section: str, names: Iterable[str]) -> Iterator[Reference]:
    for index, name in enumerate(names):
        yield (*path, index), section, name
