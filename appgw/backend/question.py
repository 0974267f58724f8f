"""
What a probe asks of a backend, and which answers are good.

Worked out from the configuration, like the identity that the backend must prove:
that one is the requests' own, name and pins and roots, so that no probe calls a
backend healthy which requests would refuse. Only the port may be another one.
"""

from __future__ import annotations

import attrs

from appgw.backend.target import Target
from appgw.config.model import DEFAULT_PROBE, BackendSettings, Config, Probe


@attrs.frozen(kw_only=True)
class Question:
    """
    A probe as it is sent to one address.

    Attributes:
        target: what must hold before anything is sent.
        path: of the request, its query with it.
        host: the Host. It is never sent as SNI.
        status_codes: inclusive ranges.
        body: must occur in the answer's body; None: anything does.
    """

    target: Target
    path: bytes
    host: bytes
    status_codes: tuple[tuple[int, int], ...]
    body: bytes | None

    def takes(self, status: int) -> bool:
        """
        Tell whether *status* is a good one.
        """
        return any(first <= status <= last for first, last in self.status_codes)


def probe_for(config: Config, settings: BackendSettings) -> Probe | None:
    """
    Return the probe of a setting; None where it wants none.

    Raises:
        KeyError: a name that the configuration does not have.
    """
    if not settings.probe_enabled:
        return None
    return DEFAULT_PROBE if settings.probe is None else config.probes[settings.probe]


def question_for(probe: Probe, target: Target, host: bytes | None) -> Question:
    """
    Say what *probe* asks of one address.

    Args:
        target: what requests demand of it.
        host: what requests are sent as Host; None for the client's own.
    """
    if probe.host is not None:
        host = f"[{probe.host}]".encode() if ":" in probe.host else probe.host.encode()
    elif host is None:
        host = b"127.0.0.1"
    wanted = probe.match.body
    return Question(
        target=target if probe.port is None else attrs.evolve(target, port=probe.port),
        path=probe.path.encode(),
        host=host,
        status_codes=probe.match.status_codes,
        body=None if wanted is None else wanted.encode(),
    )
