"""
Who a request may be sent to: an address of a member, and all that is known of it.
"""

from __future__ import annotations

import attrs

from appgw.backend.affinity import FieldLines, cookie_value, set_cookies
from appgw.backend.place import STEPS, Place
from appgw.backend.question import Question, probe_for, question_for
from appgw.backend.target import Target
from appgw.backend.targets import Endpoint, host_for, target_for
from appgw.config.model import BackendSettings, Config, Member

Pair = tuple[str, str]
"""The names of a pool and of the setting that it is used under."""

Key = tuple[str, str]
"""A member's address as configured, and the IP address and port that it has."""

Spot = tuple[str, int | None, str]
"""
What a candidate's health is kept by, over reloads: its member's address and own
port as configured, and the address and port that these lead to.
"""


@attrs.define(eq=False)
class Candidate:
    """
    An endpoint that a request may be sent to.

    Attributes:
        member: whose address it is.
        address: IP address without brackets.
        port: 1 to 65535.
        target: the whole identity.
        label: ``address:port``, IPv6 in brackets.
        host: the Host to send; None: the client's own.
        cookie: the affinity value, empty without cookie_based_affinity.
        question: what probes ask of it; None: it is not probed.
        place: what is counted of its address and port, by all that stand for them.
        share: of the pool's requests, in proportion.
        step: of its slow start, to STEPS.
    """

    member: Member
    address: str
    port: int
    target: Target
    label: str
    host: bytes | None
    cookie: bytes
    question: Question | None
    place: Place
    _set_cookies: tuple[FieldLines, FieldLines]
    share: float = 1.0
    step: int = STEPS

    @property
    def key(self) -> Key:
        """
        What its place is known by.
        """
        return self.member.address, self.label

    @property
    def load(self) -> float:
        """
        Requests under way, as measured by its share.
        """
        return self.place.busy / self.share

    @property
    def spot(self) -> Spot:
        """
        What its health is kept by.
        """
        return self.member.address, self.member.port, self.label

    def set_cookies(self, affinity: bytes | None, *, secure: bool) -> FieldLines:
        """
        Return the Set-Cookie lines for a response that this candidate gave.

        Args:
            affinity: what affinity_in found in the request.
            secure: the client came over https.
        """
        if affinity == self.cookie:
            return ()
        return self._set_cookies[secure]


def candidate_for(
    config: Config, pair: Pair, endpoint: Endpoint, key: bytes
) -> Candidate:
    """
    Work out all that is to be known of an endpoint.

    Args:
        pair: the names of pool and setting that it is a candidate under.
        key: of the affinity cookies.

    Raises:
        KeyError: a name that the configuration does not have.
    """
    member, address = endpoint
    settings = config.backend_settings[pair[1]]
    known = config.pins, config.trusted_roots, config.certificates
    target = target_for(settings, member, address, *known)
    bare = f"[{address}]" if ":" in address else address
    label = f"{bare}:{target.port}"
    host = host_for(settings, member)
    probe = probe_for(config, settings)
    cookie = b""
    if settings.cookie_based_affinity:
        cookie = cookie_value(key, *pair, member.address, label)
    return Candidate(
        member=member,
        address=address,
        port=target.port,
        target=target,
        label=label,
        host=host,
        cookie=cookie,
        question=None if probe is None else question_for(probe, target, host),
        place=Place(),
        set_cookies=_lines(config, settings, cookie),
    )


def _lines(
    config: Config, settings: BackendSettings, cookie: bytes
) -> tuple[FieldLines, FieldLines]:
    """
    Return what binds a client: over http, and over https.
    """
    if not cookie:
        return ((), ())
    name, azure = settings.affinity_cookie_name, config.affinity.compat == "azure"
    return (
        set_cookies(name, cookie, secure=False, azure=azure),
        set_cookies(name, cookie, secure=True, azure=azure),
    )
