"""
What a new configuration demands of a connection that stands.

Only pins are looked at: what else a setting demands was true at the handshake.
"""

from __future__ import annotations

import attrs

from appgw.backend.target import Target
from appgw.backend.targets import revoked_pins
from appgw.config.model import Config, Member, Pin


def demanded_now(
    config: Config, pair: tuple[str, str], member: Member, target: Target
) -> Target:
    """
    Return *target* with the pins that its connections have to meet now.

    Args:
        config: the one in force now.
        pair: pool and setting that the connection is used under.
        member: whose connection it is, as it was then.
        target: what it was connected to.
    """
    settings = config.backend_settings.get(pair[1])
    detect = settings is not None and settings.pin_mode == "detect"
    pins: tuple[Pin, ...] | None
    if settings is not None:
        pins = _pins_now(config, pair, member)
    elif target.pins is None:
        pins = None
    else:
        # The setting is gone as a whole, which ends no request. A certificate
        # that nobody allows any more does.
        pins = tuple(config.pins.values())
    if pins is None and target.pins is not None:
        # Where pins count no longer, those that admitted it have left.
        pins = ()
    revoked = revoked_pins(config.pins)
    return attrs.evolve(target, pins=pins, detect=detect, revoked=revoked)


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
