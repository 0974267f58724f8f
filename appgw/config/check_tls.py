"""
What must hold for what is asked of clients' TLS.

Pure, but for one thing: OpenSSL is asked what it can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from OpenSSL import SSL

from appgw.config.certificates import key_kind
from appgw.config.demands import asks_clients
from appgw.config.model import Config, Listener, SslPolicy, SslProfile, TLSVersion
from appgw.config.policies import (
    LEGACY,
    SUITES,
    VERSIONS,
    agreed_too_high,
    suites_for,
    suites_of,
    versions_of,
)
from appgw.config.problems import NOT_YET, Finding, KeyPath, Places, Severity

_OPENSSL: Final = dict(
    zip(
        VERSIONS,
        (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION),
        strict=True,
    )
)
_KINDS: Final = ("RSA", "ECDSA")
_MODERN: Final = "AppGwSslPolicy20220101, or AppGwSslPolicy20170401S"


@cache
def speaks(version: TLSVersion) -> bool:
    """
    Tell whether this machine's OpenSSL was built with a version.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    try:
        context.set_max_proto_version(_OPENSSL[version])
        context.set_min_proto_version(_OPENSSL[version])
    except Exception:
        return False
    return True


@cache
def builds(suite: str) -> bool:
    """
    Tell whether this machine's OpenSSL was built with a suite, in IANA's name.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    try:
        context.set_cipher_list(f"{SUITES[suite].openssl}:@SECLEVEL=0".encode())
    except SSL.Error:
        return False
    return True


def tls_findings(config: Config, places: Places) -> Iterator[Finding]:
    """
    Judge policies, profiles, and the listeners that use them.
    """
    found = [*_policies(config, places)]
    yield from found
    wrong = {finding.path[:2] for finding in found if finding.severity == "error"}
    ports: dict[tuple[str, int], list[Listener]] = {}
    for name, listener in config.listeners.items():
        here = ("listeners", name)
        if listener.protocol == "http" and listener.ssl_profile is not None:
            if places.sound(*here, "protocol"):
                key = (*here, "ssl_profile")
                yield Finding(key, "one", "none, as the protocol is http")
        elif listener.protocol == "https" and _known(config, listener, places, wrong):
            yield from _listener(config, listener)
            ports.setdefault((listener.address, listener.port), []).append(listener)
    for listeners in ports.values():
        yield from _neighbours(config, listeners)


def _policies(config: Config, places: Places) -> Iterator[Finding]:
    yield from _policy(config.ssl_policy, places, ("ssl_policy",))
    for name, profile in config.ssl_profiles.items():
        here: KeyPath = ("ssl_profiles", name)
        if profile.ssl_policy is not None:
            yield from _policy(profile.ssl_policy, places, (*here, "ssl_policy"))
        yield from _profile(profile, places, here)


# Policies.


def _policy(policy: SslPolicy, places: Places, here: KeyPath) -> Iterator[Finding]:
    if not places.sound(*here):
        return
    wrong = list(_misfits(policy, here))
    yield from wrong
    if wrong:
        return
    versions = versions_of(policy)
    spoken = [one for one in versions if speaks(one)]
    if len(spoken) < len(versions):
        unspoken = ", ".join(one for one in versions if one not in spoken)
        found = f"{unspoken}, which this machine's OpenSSL was built without"
        severity: Severity = "warning" if spoken else "error"
        yield Finding(here, found, "versions that it has", severity)
    if LEGACY & set(spoken):
        found = f"{' and '.join(sorted(LEGACY & set(spoken)))}, withdrawn by RFC 8996"
        yield Finding(here, found, _MODERN, "warning")
    yield from _suites(policy, spoken, here)


def _misfits(policy: SslPolicy, here: KeyPath) -> Iterator[Finding]:
    """
    Find keys that don't go with the type.
    """
    kind, oldest = policy.policy_type, policy.min_protocol_version
    if kind == "Predefined":
        expected = "none, or policy_type Custom or CustomV2"
        if oldest is not None:
            key = (*here, "min_protocol_version")
            yield Finding(key, "one beside a predefined policy", expected)
        if policy.cipher_suites:
            key = (*here, "cipher_suites")
            yield Finding(key, "some beside a predefined policy", expected)
    else:
        if policy.policy_name is not None:
            found = f"one beside policy_type {kind}"
            yield Finding((*here, "policy_name"), found, "none, or Predefined")
        fitting = VERSIONS[:3] if kind == "Custom" else VERSIONS[2:]
        if oldest not in fitting:
            key = (*here, "min_protocol_version") if oldest else here
            found = oldest or "no min_protocol_version"
            expected = f"{' or '.join(fitting)} with policy_type {kind}"
            yield Finding(key, found, expected)
        if not policy.cipher_suites and oldest != "TLSv1_3":
            found = f"no cipher_suites with policy_type {kind}"
            yield Finding(here, found, "at least one suite")
    if policy.disabled_ssl_protocols and not versions_of(policy):
        key = (*here, "disabled_ssl_protocols")
        yield Finding(key, "every version that is left", "at least one version")


def _suites(
    policy: SslPolicy, versions: list[TLSVersion], here: KeyPath
) -> Iterator[Finding]:
    named = suites_of(policy)
    if versions == ["TLSv1_3"]:
        if policy.cipher_suites:
            key = (*here, "cipher_suites")
            found = "suites of TLS 1.2, where only TLS 1.3 is spoken"
            yield Finding(key, found, "none", "warning")
        return
    built = [name for name in named if builds(name)]
    if len(built) < len(named):
        lacking = ", ".join(name for name in named if name not in built)
        found = f"{lacking}: this machine's OpenSSL was built without"
        yield Finding(here, found, "suites that it has", "warning")
    unserved = [name for name in built if not SUITES[name].served]
    if unserved:
        found = f"{', '.join(unserved)}: never agreed on here, as in Azure's v2"
        yield Finding(here, found, "ECDHE in the place of DHE", "warning")
    useless = [one for one in versions if not suites_for(one, built, _KINDS)]
    if useless:
        found = f"{' and '.join(useless)} without any suite that goes with it"
        severity: Severity = "error" if useless == versions else "warning"
        yield Finding(here, found, "a suite for each version", severity)


# Profiles.


def _profile(profile: SslProfile, places: Places, here: KeyPath) -> Iterator[Finding]:
    how = profile.client_auth_configuration
    key: KeyPath = (*here, "client_auth_configuration")
    if how.verify_client_revocation != "None":
        found = f"{how.verify_client_revocation}, {NOT_YET}"
        yield Finding((*key, "verify_client_revocation"), found, "None")
    trusted = profile.trusted_client_certificates
    if trusted or not places.sound(*here, "trusted_client_certificates"):
        return
    expected = "trusted_client_certificates for it"
    if how.verify_client_auth_mode == "Strict":
        found = "Strict, with no CA that could vouch for a client"
        yield Finding((*key, "verify_client_auth_mode"), found, expected)
    if how.verify_client_cert_issuer_dn:
        found = "true, with no CA that could have issued anything"
        yield Finding((*key, "verify_client_cert_issuer_dn"), found, expected)
    idle = profile.ssl_policy is None and not asks_clients(profile)
    if idle and places.sound(*here):
        found = "neither ssl_policy nor trusted_client_certificates"
        yield Finding(here, found, "one of them", "warning")


# Listeners.


def _known(
    config: Config, listener: Listener, places: Places, wrong: set[KeyPath]
) -> bool:
    """
    Tell whether all that the listener's TLS depends on could be read, and is well.
    """
    name = listener.ssl_profile
    keys = ("protocol", "address", "port", "ssl_profile", "certificates")
    if not all(places.sound("listeners", listener.name, key) for key in keys):
        return False
    if any(path[0] == "ssl_policy" for path in wrong) or not places.sound("ssl_policy"):
        return False
    here = ("ssl_profiles", name or "")
    return name is None or (
        name in config.ssl_profiles and here not in wrong and places.sound(*here)
    )


def _policy_of(config: Config, listener: Listener) -> SslPolicy:
    profile = config.ssl_profiles.get(listener.ssl_profile or "")
    own = None if profile is None else profile.ssl_policy
    return own or config.ssl_policy


def _listener(config: Config, listener: Listener) -> Iterator[Finding]:
    here = ("listeners", listener.name)
    policy = _policy_of(config, listener)
    versions = [one for one in versions_of(policy) if speaks(one)]
    profile = config.ssl_profiles.get(listener.ssl_profile or "")
    if LEGACY & set(versions) and profile is not None and asks_clients(profile):
        # They need the level at which OpenSSL takes any signature for good.
        old = " and ".join(sorted(LEGACY & set(versions)))
        found = f"client certificates beside {old}"
        yield Finding((*here, "ssl_profile"), found, f"a policy such as {_MODERN}")
    certificates = [config.certificates.get(name) for name in listener.presented]
    kinds = [one and key_kind(one) for one in certificates]
    if None in kinds or not kinds:
        return
    keys = {"RSA" if kind == "RSA" else "ECDSA" for kind in kinds}
    suites = [name for name in suites_of(policy) if builds(name)]
    if versions and not any(suites_for(one, suites, keys) for one in versions):
        told = " and ".join(sorted(kind or "" for kind in kinds))
        found = f"a certificate with {told} key, for which its policy has no suite"
        yield Finding(here, found, "a suite that goes with the certificate")


def _neighbours(config: Config, listeners: list[Listener]) -> Iterator[Finding]:
    """
    Find listeners that clients of newer TLS could not reach.
    """
    for listener in listeners:
        for other in listeners:
            versions = versions_of(_policy_of(config, listener))
            beyond = versions_of(_policy_of(config, other))
            high = agreed_too_high(versions, beyond)
            if high is not None:
                found = (
                    f"no {high}, which listener {other.name!r} speaks on the same"
                    " port: the version is agreed on before the name is known"
                )
                place = ("listeners", listener.name)
                yield Finding(place, found, "the same newest version on one port")
                break
