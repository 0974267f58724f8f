"""
Plain integers, added up per request and read when somebody scrapes them.

Labels are names from the configuration and status classes, never what a client
or a backend has said: their number is bounded by the configuration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from appgw.backend.candidate import Candidate
from appgw.record import Outcome
from appgw.refusal import Refusal
from appgw.route.table import Way

LABELS = ("listener", "rule", "pool", "setting", "member", "status_class")
REASON = ("reason",)
MEMBER_LABELS = ("pool", "setting", "member")
PIN_LABELS = (*MEMBER_LABELS, "reason")
HEALTH_LABELS = ("pool", "setting")
RETRY_LABELS = ("pool", "setting", "outcome")
CLASSES = ("none", *(f"{hundred}xx" for hundred in range(1, 10)))

REMEMBERED = 8192
"""
Pairs of route and backend known by identity, those of past reloads included.
"""

SUMS = (
    ("requests", "seen", "Requests that have ended."),
    ("request_body_bytes", "received", "Bytes of the bodies of requests."),
    ("response_bytes", "sent", "Bytes of responses, heads included."),
    ("request_seconds", "seconds", "From a request's first byte to its answer's last."),
    (
        "backend_seconds",
        "waited",
        "From a request sent to the last byte of its answer.",
    ),
)


HealthRow = tuple[str, str, int, int]
"""A pool, a setting, and how many of its members are healthy and unhealthy."""


class Tally:
    """
    The sums of one row of labels.
    """

    __slots__ = ("received", "seconds", "seen", "sent", "waited")

    def __init__(self) -> None:
        self.seen = 0
        self.received = 0
        self.sent = 0
        self.seconds = 0.0
        self.waited = 0.0


def member_name(candidate: Candidate | None) -> str:
    """
    Return a backend's name in labels: as configured, not the address it has now.
    """
    return f"{candidate.member.address}:{candidate.port}" if candidate else ""


def _families(
    *these: tuple[str, str, tuple[str, ...], Iterable[tuple[Sequence[str], int]]],
) -> Iterator[Metric]:
    """
    Yield counters: name, documentation, labels, and a number for each row of them.
    """
    for name, documentation, labels, counted in these:
        family = CounterMetricFamily(f"appgw_{name}", documentation, labels=labels)
        for row, number in counted:
            family.add_metric(row, number)
        yield family


class Counters(Collector):
    """
    What one gateway has done since it started; sums outlive a reload.

    The plain attributes are their owners' to set; ``refresh`` is called before
    they are read, ``health`` to read the members' health.

    Attributes:
        client_connections: open now.
        client_connections_accepted: ever.
        client_handshakes_failed: TLS with a client that came to nothing.
        backend_connections: open now, busy or kept.
        backend_requests_waiting: for one of them, now.
        tunnels: open now.
        backend_connections_made: ever.
        backend_connections_failed: refused, timed out, or broken in TLS; pins
            are counted by ``pin_refused``.
        backend_seconds_connecting: seconds, of those made.

    Args:
        registry: of this gateway alone; reads us at each scrape.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.client_connections = 0
        self.client_connections_accepted = 0
        self.client_handshakes_failed = 0
        self.backend_connections = 0
        self.backend_requests_waiting = 0
        self.tunnels = 0
        self.backend_connections_made = 0
        self.backend_connections_failed = 0
        self.backend_seconds_connecting = 0.0
        self._rows: dict[tuple[str, ...], tuple[Tally, ...]] = {}
        self._by_pair: dict[tuple[str, str], list[tuple[Tally, ...]]] = {}
        self._known: dict[tuple[Way | str, Candidate | None], tuple[Tally, ...]] = {}
        self._refusals: Counter[Refusal] = Counter()
        self._pin_refusals: Counter[tuple[str, ...]] = Counter()
        self._pin_detections: Counter[tuple[str, ...]] = Counter()
        self._pin_matches: Counter[str] = Counter()
        self._proxy_refusals: Counter[str] = Counter()
        self._ejections: Counter[tuple[str, ...]] = Counter()
        self._retries: Counter[tuple[str, ...]] = Counter()
        self.refresh: Callable[[], None] = lambda: None
        self.health: Callable[[], Iterable[HealthRow]] = lambda: ()
        self._watched: list[tuple[str, str, Callable[[], float]]] = []
        registry.register(self)

    def count(self, outcome: Outcome) -> None:
        """
        Add up one exchange.
        """
        key = outcome.listener if outcome.route is None else outcome.route
        try:
            row = self._known[key, outcome.candidate]
        except KeyError:
            row = self._row(key, outcome.candidate)
        tally = row[outcome.status // 100]
        tally.seen += 1
        tally.received += outcome.received
        tally.sent += outcome.sent
        tally.seconds += outcome.ended - outcome.began
        tally.waited += outcome.server_time
        if outcome.refusal is not None:
            self._refusals[outcome.refusal] += 1

    def requests(self, pool: str, setting: str) -> int:
        """
        Return how many requests to a pool under a setting have ended.
        """
        rows = self._by_pair.get((pool, setting), ())
        return sum(tally.seen for row in rows for tally in row)

    def pin_refused(
        self, pool: str, setting: str, candidate: Candidate, reason: str
    ) -> None:
        """
        Count a backend whose certificate was not allowed.

        Args:
            pool: name of the pool.
            setting: name of the backend setting.
            candidate: the backend.
            reason: the verdict's machine word.
        """
        self._pin_refusals[pool, setting, member_name(candidate), reason] += 1

    def pin_detected(
        self, pool: str, setting: str, candidate: Candidate, reason: str
    ) -> None:
        """
        Count a backend whose certificate was let through, as pins only detect.
        """
        self._pin_detections[pool, setting, member_name(candidate), reason] += 1

    def pin_matched(self, pin: str) -> None:
        """
        Count a backend that was admitted by a pin.
        """
        self._pin_matches[pin] += 1

    def handshake_failed(self) -> None:
        """
        Count a client's handshake that came to nothing.
        """
        self.client_handshakes_failed += 1

    def proxy_refused(self, reason: str) -> None:
        """
        Count a connection without a PROXY header where one has to be.
        """
        self._proxy_refusals[reason] += 1

    def ejected(self, pool: str, setting: str, candidate: Candidate) -> None:
        """
        Count a backend that rests from now on, or rests on.
        """
        self._ejections[pool, setting, member_name(candidate)] += 1

    def retried(self, pool: str, setting: str, made: bool) -> None:
        """
        Count a second attempt that was made, or was not as too many were.
        """
        self._retries[pool, setting, "made" if made else "denied"] += 1

    def watch(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """
        Show under ``appgw_NAME`` what *read* returns at each scrape.
        """
        self._watched.append((name, documentation, read))

    def _row(self, key: Way | str, candidate: Candidate | None) -> tuple[Tally, ...]:
        """
        Find the sums of these names, and remember them by identity.
        """
        member = member_name(candidate)
        if isinstance(key, str):
            names = (key, "", "", "", member)
        else:
            names = (*key.names, member)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        row = self._rows.get(names)
        if row is None:
            row = self._rows[names] = tuple(Tally() for _ in CLASSES)
            self._by_pair.setdefault((names[2], names[3]), []).append(row)
        self._known[key, candidate] = row
        return row

    def collect(self) -> Iterator[Metric]:
        """
        Yield every metric as it stands (prometheus_client's Collector).
        """
        self.refresh()
        yield from self._sums()
        yield from self._refused()
        yield from self._pins()
        yield from self._connections()
        yield from self._members()
        for name, documentation, read in self._watched:
            yield GaugeMetricFamily(f"appgw_{name}", documentation, read())

    def _refused(self) -> Iterator[Metric]:
        refusals = [((one.name.lower(),), n) for one, n in self._refusals.items()]
        proxies = [((reason,), n) for reason, n in self._proxy_refusals.items()]
        yield from _families(
            (
                "refusals",
                "Requests that we answered ourselves, or whose answer we cut short.",
                REASON,
                refusals,
            ),
            (
                "proxy_headers_refused",
                "Connections without the PROXY header of a trusted proxy.",
                REASON,
                proxies,
            ),
            (
                "ejections",
                "Rests of backends that failed.",
                MEMBER_LABELS,
                self._ejections.items(),
            ),
            (
                "retries",
                "Second attempts to have a request answered.",
                RETRY_LABELS,
                self._retries.items(),
            ),
        )

    def _pins(self) -> Iterator[Metric]:
        yield from _families(
            (
                "pin_refusals",
                "Connections to backends ended because of the certificate.",
                PIN_LABELS,
                self._pin_refusals.items(),
            ),
            (
                "pin_detections",
                "Connections to backends that pins would end, if they did not detect.",
                PIN_LABELS,
                self._pin_detections.items(),
            ),
            (
                "pin_matches",
                "Handshakes in which a backend was admitted by this pin.",
                ("pin",),
                [((pin,), number) for pin, number in self._pin_matches.items()],
            ),
        )

    def _sums(self) -> Iterator[Metric]:
        for name, attribute, documentation in SUMS:
            family = CounterMetricFamily(f"appgw_{name}", documentation, labels=LABELS)
            for names, row in self._rows.items():
                for label, tally in zip(CLASSES, row, strict=True):
                    if tally.seen:
                        family.add_metric((*names, label), getattr(tally, attribute))
            yield family

    def _connections(self) -> Iterator[Metric]:
        for name, documentation in (
            ("client_connections", "Connections with clients, now."),
            ("backend_connections", "Connections with backends, now."),
            ("backend_requests_waiting", "Requests that wait for one of them, now."),
            ("tunnels", "WebSocket sessions and other tunnels, now."),
        ):
            yield GaugeMetricFamily(f"appgw_{name}", documentation, getattr(self, name))
        for name, documentation in (
            ("client_connections_accepted", "Connections accepted."),
            ("client_handshakes_failed", "TLS handshakes with clients that failed."),
            ("backend_connections_made", "Connections made to backends."),
            ("backend_connections_failed", "Connections to backends that failed."),
            ("backend_seconds_connecting", "Time spent making them, in seconds."),
        ):
            yield CounterMetricFamily(
                f"appgw_{name}", documentation, getattr(self, name)
            )

    def _members(self) -> Iterator[Metric]:
        healthy, unhealthy = (
            GaugeMetricFamily(f"appgw_{name}", documentation, labels=HEALTH_LABELS)
            for name, documentation in (
                ("healthy_members", "Members that probes have found healthy."),
                ("unhealthy_members", "Members that get no requests."),
            )
        )
        for pool, setting, well, unwell in self.health():
            healthy.add_metric((pool, setting), well)
            unhealthy.add_metric((pool, setting), unwell)
        yield from (healthy, unhealthy)
