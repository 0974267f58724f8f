"""
What a listener asks of a client's handshake, beyond the certificate shown.

Compared by content: two listeners with equal demands may stand in for each
other, and one whose demands have changed is another listener.
"""

from __future__ import annotations

import attrs

from appgw.config.model import Config, Listener
from appgw.config.policies import Policy, resolved


@attrs.frozen(cache_hash=True)
class Demands:
    """
    All that a listener asks of a handshake.
    """

    policy: Policy


def demands_on(config: Config, listener: Listener) -> Demands:
    """
    Work out what an https listener asks of a handshake.

    Raises:
        KeyError: a name that the configuration does not have.
    """
    if listener.ssl_profile is None:
        return Demands(resolved(config.ssl_policy))
    profile = config.ssl_profiles[listener.ssl_profile]
    return Demands(resolved(profile.ssl_policy or config.ssl_policy))
