"""
Whether a connection that stands is still allowed by a new configuration.

Only pins are looked at: what else a setting demands was true at the handshake.
"""

from __future__ import annotations

import attrs

from appgw.backend.target import Target
from appgw.backend.verdict import Verdict, still_admits
from appgw.config.model import Config, Member, Pin


def is_revoked(
    config: Config,
    pair: tuple[str, str],
    member: Member,
    target: Target,
    verdict: Verdict | None,
) -> bool:
    """
    Tell whether the certificate of a connection has left its setting.

    Args:
        config: the one in force now.
        pair: pool and setting that the connection is used under.
        member: whose connection it is, as it was then.
        target: what it was connected to.
        verdict: why it was admitted; None over plain TCP.
    """
    if pair[1] in config.backend_settings:
        pins = _pins_now(config, pair, member)
    elif target.pins is None:
        pins = None
    else:
        # The setting is gone as a whole, which ends no request. A certificate
        # that nobody allows any more does.
        pins = tuple(config.pins.values())
    if pins is None and target.pins is None:
        return False
    # Where pins count no longer, those that admitted it have left.
    return not still_admits(attrs.evolve(target, pins=pins or ()), verdict)


def _pins_now(
    config: Config, pair: tuple[str, str], member: Member
) -> tuple[Pin, ...] | None:
    """
    Return what *member* may present; None where pins are not what counts.
    """
    pool = config.pools.get(pair[0])
    settings = config.backend_settings[pair[1]]
    if settings.protocol == "http":
        return None
    now = member
    for other in () if pool is None else pool.members:
        if (other.address, other.port) == (member.address, member.port):
            now = other
    names = settings.pins if now.pins is None else now.pins
    if not names and settings.trusted_roots:
        return None
    return tuple(config.pins[name] for name in names if name in config.pins)
