"""
What must hold for what clients meet. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from appgw.config.model import Config, Listener
from appgw.config.problems import Finding, KeyPath, Places
from appgw.refusal import Refusal


def frontend_findings(config: Config, places: Places) -> Iterator[Finding]:
    """
    Judge listeners and error pages.
    """
    yield from _listeners(config, places)
    yield from _proxied(config, places)
    yield from _error_pages(config)


def _listeners(config: Config, places: Places) -> Iterator[Finding]:
    if not config.listeners and places.sound("listeners"):
        yield Finding(("listeners",), "none", "at least one listener")
    for name, listener in config.listeners.items():
        here = ("listeners", name)
        keys = ("protocol", "certificate", "certificates")
        if all(places.sound(*here, key) for key in keys):
            yield from _presented(listener, here)
    yield from _bindings(config, places)


def _proxied(config: Config, places: Places) -> Iterator[Finding]:
    """
    Only trusted proxies may say whose connection it is.
    """
    proxied = [name for name, one in config.listeners.items() if one.proxy_protocol]
    if not proxied or not places.sound("trusted_proxies"):
        return
    if not config.trusted_proxies:
        expected = "trusted_proxies besides, as nobody else's PROXY header is believed"
        for name in proxied:
            yield Finding(("listeners", name, "proxy_protocol"), "true", expected)
    for index, network in enumerate(config.trusted_proxies):
        if network.prefixlen == 0:
            found = f"everybody, who may then speak for anybody at {proxied[0]!r}"
            place = ("trusted_proxies", index)
            yield Finding(place, found, "the addresses of your proxies", "warning")


def _presented(listener: Listener, here: KeyPath) -> Iterator[Finding]:
    alone, several = listener.certificate is not None, bool(listener.certificates)
    if listener.protocol == "https" and not listener.presented:
        key = (*here, "certificate")
        yield Finding(key, "nothing", "a certificate, as the protocol is https")
    elif listener.protocol == "https" and alone and several:
        found = "certificates beside certificate"
        yield Finding((*here, "certificates"), found, "one of the two keys")
    elif listener.protocol == "http" and (alone or several):
        key = (*here, "certificate" if alone else "certificates")
        yield Finding(key, "one", "none, as the protocol is http")


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


def _error_pages(config: Config) -> Iterator[Finding]:
    pages: dict[KeyPath, Iterable[int]] = {(): config.custom_error_pages}
    for name, listener in config.listeners.items():
        pages["listeners", name] = listener.custom_error_pages
    answered = {refusal.status for refusal in Refusal}
    for here, statuses in pages.items():
        for status in statuses:
            if status not in answered:
                found = f"a page for {status}, which this version never answers with"
                key = (*here, "custom_error_pages", str(status))
                yield Finding(key, found, "no page for it", "warning")
