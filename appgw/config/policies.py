"""
TLS policies as tables: what each allows, in Azure's names and in OpenSSL's.

Nothing here asks what the OpenSSL at hand can do; ``check_tls`` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from appgw.config.model_frontend import PolicyName, SslPolicy, TLSVersion

VERSIONS: Final[tuple[TLSVersion, ...]] = ("TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")
"""Oldest first."""

LEGACY: Final = frozenset(VERSIONS[:2])
"""Withdrawn by RFC 8996."""

TLS13_SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384")
"""They go with TLS 1.3 in every policy, and nothing changes that."""

DEFAULT_POLICY: Final[PolicyName] = "AppGwSslPolicy20220101"


@attrs.frozen
class Suite:
    """
    A cipher suite of TLS 1.2 or older.

    Attributes:
        exchange: how keys are agreed on: ``ECDHE``, ``DHE`` or ``RSA``.
        key: the kind of certificate that it goes with: RSA, ECDSA or DSS.
        openssl: OpenSSL's name.
        ancient: versions before TLS 1.2 have it, too.
    """

    exchange: str
    key: str
    openssl: str
    ancient: bool

    @property
    def served(self) -> bool:
        """
        False for those that are never agreed on: Azure's v2 leaves out DHE
        whatever a policy lists, and nobody has certificates for DSS.
        """
        return self.exchange != "DHE"


_CIPHERS: Final = {
    "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "AES_256_CBC_SHA384": "AES256-SHA384",
    "AES_256_CBC_SHA256": "AES256-SHA256",
    "AES_128_CBC_SHA256": "AES128-SHA256",
    "AES_256_CBC_SHA": "AES256-SHA",
    "AES_128_CBC_SHA": "AES128-SHA",
    "3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
}
_AGREEMENTS: Final = {
    "ECDHE_RSA": ("ECDHE", "RSA", "ECDHE-RSA-"),
    "ECDHE_ECDSA": ("ECDHE", "ECDSA", "ECDHE-ECDSA-"),
    "DHE_RSA": ("DHE", "RSA", "DHE-RSA-"),
    "DHE_DSS": ("DHE", "DSS", "DHE-DSS-"),
    "RSA": ("RSA", "RSA", ""),
}


def _named(agreement: str, ciphers: str) -> tuple[str, ...]:
    return tuple(f"TLS_{agreement}_WITH_{cipher}" for cipher in ciphers.split())


_STRONG: Final = "AES_256_GCM_SHA384 AES_128_GCM_SHA256"
_OF_2022: Final = f"{_STRONG} AES_256_CBC_SHA384 AES_128_CBC_SHA256"
_OLD: Final = "AES_256_CBC_SHA AES_128_CBC_SHA"
_RSA: Final = f"{_STRONG} AES_256_CBC_SHA256 AES_128_CBC_SHA256 {_OLD}"

_ALL: Final = (
    *_named("ECDHE_RSA", f"{_OF_2022} {_OLD}"),
    *_named("DHE_RSA", f"{_STRONG} {_OLD}"),
    *_named("RSA", _RSA),
    *_named("ECDHE_ECDSA", f"{_OF_2022} {_OLD}"),
    *_named("DHE_DSS", f"AES_256_CBC_SHA256 AES_128_CBC_SHA256 {_OLD}"),
    *_named("RSA", "3DES_EDE_CBC_SHA"),
    *_named("DHE_DSS", "3DES_EDE_CBC_SHA"),
)
_SINCE_2017: Final = (
    *_named(
        "ECDHE_ECDSA",
        "AES_128_GCM_SHA256 AES_256_GCM_SHA384 AES_128_CBC_SHA AES_256_CBC_SHA"
        " AES_128_CBC_SHA256 AES_256_CBC_SHA384",
    ),
    *_named("ECDHE_RSA", f"{_STRONG} {_OLD}"),
    *_named("RSA", _RSA),
)


def _read(name: str) -> Suite:
    agreement, _, cipher = name.removeprefix("TLS_").partition("_WITH_")
    exchange, key, prefix = _AGREEMENTS[agreement]
    return Suite(exchange, key, prefix + _CIPHERS[cipher], cipher.endswith("CBC_SHA"))


SUITES: Final = {name: _read(name) for name in _ALL}
"""Every suite that Azure has a name for, by that name (IANA's)."""

PREDEFINED: Final[dict[PolicyName, tuple[tuple[TLSVersion, ...], tuple[str, ...]]]] = {
    "AppGwSslPolicy20150501": (VERSIONS[:3], _ALL),
    "AppGwSslPolicy20170401": (VERSIONS[1:3], _SINCE_2017),
    "AppGwSslPolicy20170401S": (VERSIONS[2:3], _SINCE_2017),
    "AppGwSslPolicy20220101": (
        VERSIONS[2:],
        _named("ECDHE_ECDSA", _OF_2022) + _named("ECDHE_RSA", _OF_2022),
    ),
    "AppGwSslPolicy20220101S": (
        VERSIONS[2:],
        _named("ECDHE_ECDSA", _STRONG) + _named("ECDHE_RSA", _STRONG),
    ),
}
"""Versions, and suites in our order of preference, those of TLS 1.3 apart."""


@attrs.frozen(cache_hash=True)
class Policy:
    """
    What a handshake may agree on.

    Attributes:
        versions: oldest first; there may be a gap.
        suites: those of TLS 1.2 and before that are served, in OpenSSL's names,
            first choice first.
    """

    versions: tuple[TLSVersion, ...]
    suites: tuple[str, ...]

    @property
    def legacy(self) -> bool:
        """
        Versions are allowed that need OpenSSL's lowest security level.
        """
        return not LEGACY.isdisjoint(self.versions)


def versions_of(policy: SslPolicy) -> tuple[TLSVersion, ...]:
    """
    Return the versions that a policy allows, oldest first.
    """
    if policy.policy_type == "Predefined":
        found, _ = PREDEFINED[policy.policy_name or DEFAULT_POLICY]
    else:
        oldest = VERSIONS.index(policy.min_protocol_version or "TLSv1_2")
        found = VERSIONS[oldest : 4 if policy.policy_type == "CustomV2" else 3]
    return tuple(one for one in found if one not in policy.disabled_ssl_protocols)


def suites_of(policy: SslPolicy) -> tuple[str, ...]:
    """
    Return the suites that a policy names, those of TLS 1.3 apart.
    """
    if policy.policy_type == "Predefined":
        return PREDEFINED[policy.policy_name or DEFAULT_POLICY][1]
    return policy.cipher_suites


def resolved(policy: SslPolicy) -> Policy:
    """
    Work out what a policy comes to.
    """
    suites = [SUITES[name] for name in suites_of(policy)]
    return Policy(
        versions_of(policy), tuple(one.openssl for one in suites if one.served)
    )


def suites_for(
    version: TLSVersion, suites: Iterable[str], keys: Iterable[str]
) -> tuple[str, ...]:
    """
    Return those of *suites* that a version can agree on.

    Args:
        suites: in IANA's names.
        keys: kinds of the certificates that are there: ``RSA``, ``ECDSA``.
    """
    if version == "TLSv1_3":
        return TLS13_SUITES
    kinds = frozenset(keys)
    return tuple(
        name
        for name in suites
        if (suite := SUITES[name]).served
        and suite.key in kinds
        and (suite.ancient or version == "TLSv1_2")
    )


def agreed_too_high(
    versions: Iterable[TLSVersion], others: Iterable[TLSVersion]
) -> TLSVersion | None:
    """
    Find the version that keeps clients from a listener beside others on its port.

    The version is agreed on before the name is known, and it is the highest that
    the client and any listener of the port have in common. A listener that does
    without a version above its own oldest cannot be reached by who speaks that.

    Args:
        versions: of the listener.
        others: of all the others on its port.
    """
    mine = frozenset(versions)
    above = VERSIONS[VERSIONS.index(min(mine, key=VERSIONS.index)) :] if mine else ()
    return next((one for one in above if one in others and one not in mine), None)
