"""
What must hold for pools and how they are talked to. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from appgw.config.model import BackendSettings, Config, Probe
from appgw.config.problems import Finding, KeyPath, Places
from appgw.config.references import destinations


def backend_findings(config: Config, places: Places) -> Iterator[Finding]:
    """
    Judge pools, settings and probes.
    """
    yield from _settings(config, places)
    yield from _members(config, places)
    yield from _probes(config)
    yield from _affinity(config)


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
        probe = config.probes.get(settings.probe or "")
        if probe is not None:
            yield from _probed(settings, probe, places)
        yield from _outliers(settings, places, (*here, "outlier_detection"))


def _outliers(
    settings: BackendSettings, places: Places, here: KeyPath
) -> Iterator[Finding]:
    rule = settings.outlier_detection
    sound = places.sound(*here, "base_ejection_time")
    if sound and rule.max_ejection_time < rule.base_ejection_time:
        found = f"{rule.max_ejection_time:g}s, less than the base_ejection_time"
        expected = f"at least {rule.base_ejection_time:g}s"
        yield Finding((*here, "max_ejection_time"), found, expected)
    for index, (first, _) in enumerate(rule.status_codes):
        if first < 500:
            found = f"{first}, which says that a request was at fault, if anything"
            yield Finding((*here, "status_codes", index), found, "500 or more")


def _probed(
    settings: BackendSettings, probe: Probe, places: Places
) -> Iterator[Finding]:
    """
    Judge a probe together with the setting that names it.
    """
    here = ("backend_settings", settings.name)
    key = (*here, "probe")
    spoken = places.sound(*here, "protocol")
    if spoken and probe.protocol not in {None, settings.protocol}:
        found = f"{probe.name!r}, whose protocol is {probe.protocol}"
        yield Finding(key, found, f"a probe without one, or {settings.protocol}")
    named = settings.host_name is not None or (
        settings.pick_host_name_from_backend_address
    )
    if probe.pick_host_name_from_backend_settings and not named:
        found = f"{probe.name!r}, which picks this setting's host name"
        expected = "host_name or pick_host_name_from_backend_address in the setting"
        if places.sound(*here):
            yield Finding(key, found, expected)


def _trust(
    settings: BackendSettings, places: Places, here: KeyPath
) -> Iterator[Finding]:
    if settings.protocol == "http":
        for key in ("pins", "trusted_roots", "verify_name", "client_certificate"):
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
        marked = all(member.draining for member in pool.members)
        if pool.members and marked and places.sound(*here):
            expected = "one that isn't, as each new client is answered with 502"
            yield Finding(here, "draining members only", expected, "warning")
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


def _probes(config: Config) -> Iterator[Finding]:
    for name, probe in config.probes.items():
        here = ("probes", name)
        if probe.host is not None and probe.pick_host_name_from_backend_settings:
            key = (*here, "pick_host_name_from_backend_settings")
            yield Finding(key, "true beside host", "one of the two")
        if probe.timeout > probe.interval:
            key = (*here, "timeout")
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
