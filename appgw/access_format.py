"""
One exchange as one line of the access log: pure functions of an Outcome.

Every line is printable ASCII and ends in its only newline, whatever bytes the
client sent: nobody writes into the log but us. Both formats run once per request,
so what a connection, a route or a verdict always says is put together only once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from json.encoder import encode_basestring_ascii as quote

from appgw.backend.verdict import Verdict
from appgw.message import Arrival, ClientCertificate, RequestHead, value_of
from appgw.record import Outcome
from appgw.route.table import Way

LONGEST = 4096
"""
Bytes of one field that reach the log.
"""

REMEMBERED = 4096
"""
How many fragments of a kind are kept before all are forgotten.
"""

WORTH_KEEPING = 512
"""
Characters of the longest fragment that is kept: clients choose some of them.
"""

NO_ERROR = "ERRORINFO_NO_ERROR"

VERSIONS = {(1, 0): "HTTP/1.0", (1, 1): "HTTP/1.1", (2, 0): "HTTP/2.0"}

NO_HEAD = RequestHead(
    method=b"",
    scheme=b"",
    authority=b"",
    path=b"",
    query=None,
    version=(0, 0),
    headers=[],
)

PLAIN = re.compile(r"[ !#-\[\]-~]*")

ESCAPES = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100), 0x22, 0x5C)
}


def quoted(value: bytes) -> str:
    r"""
    Return *value* as a JSON string in ASCII; what is no UTF-8 reads ``\xff``.
    """
    if len(value) > LONGEST:
        value = value[:LONGEST] + b"..."
    return quote(value.decode("utf-8", "backslashreplace"))


def escaped(value: bytes) -> str:
    r"""
    Return *value* for a field in double quotes, NGINX's way: ``\x22``.
    """
    if len(value) > LONGEST:
        value = value[:LONGEST] + b"..."
    text = value.decode("latin-1")
    return text if PLAIN.fullmatch(text) else text.translate(ESCAPES)


class Fragments(dict[Hashable, str]):
    """
    What was put together once: key to text, forgotten when there are too many.
    """

    def __init__(self, make: Callable[..., str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Hashable) -> str:
        text = self._make(key)
        if len(text) <= WORTH_KEEPING:
            if len(self) >= REMEMBERED:
                self.clear()
            self[key] = text
        return text


class VerdictFragments:
    """
    The same for verdicts, by identity: one lives as long as its connection, and
    to compare its whole value would cost more than the text.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Verdict, str]] = {}

    def __getitem__(self, verdict: Verdict) -> str:
        entry = self._known.get(id(verdict))
        if entry is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            entry = self._known[id(verdict)] = (verdict, certificate_fields(verdict))
        return entry[1]


def timestamp(second: int) -> str:
    """
    Return *second* (since 1970) as Azure writes it, ISO 8601 in UTC.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(second))


def common_timestamp(second: int) -> str:
    """
    Return *second* (since 1970) as the common log format writes it, in UTC.
    """
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))


def span(milliseconds: int) -> str:
    """
    Return *milliseconds* as seconds.
    """
    return f"{milliseconds / 1000:.3f}"


def rule_fields(route: Way) -> str:
    """
    Return the names that a request met on its way, as JSON fields.
    """
    listener, rule, pool, setting = route.names
    return (
        f'"listenerName":{quote(listener)},"ruleName":{quote(rule)},'
        f'"backendPoolName":{quote(pool)},"backendSettingName":{quote(setting)}'
    )


def listener_fields(listener: str) -> str:
    """
    Return the same for a request that met no rule.
    """
    return (
        f'"listenerName":{quote(listener)},"ruleName":"",'
        '"backendPoolName":"","backendSettingName":""'
    )


def arrival_fields(arrival: Arrival) -> str:
    """
    Return what is known of a client's connection, as JSON fields.
    """
    client = arrival.client_certificate
    return (
        f'"clientIP":{quote(arrival.address)},"clientPort":{arrival.port},'
        f'"sslEnabled":"{"on" if arrival.scheme == "https" else "off"}",'
        f'"sslCipher":{quote(arrival.cipher)},'
        f'"sslProtocol":{quote(arrival.tls_version)},'
        f"{NOT_ASKED if client is None else client_fields(client)}"
    )


def client_fields(client: ClientCertificate) -> str:
    """
    Return what a client has shown when it was asked, as JSON fields.
    """
    return (
        f'"sslClientVerify":{quote(client.verification)},'
        f'"sslClientCertificateFingerprint":"{client.fingerprint}",'
        f'"sslClientCertificateIssuerName":{quoted(client.issuer.encode())}'
    )


def certificate_fields(verdict: Verdict) -> str:
    """
    Return what was thought of the backend's certificate, as JSON fields.

    ``backendPin``: the name of the pin that it met, ``backendCertificateSha256``:
    of its DER, in hex, ``pinDecision``: ``admitted`` or why not, ``detected:`` and
    why not where pins only detect.
    """
    presented, overlooked = verdict.presented, verdict.overlooked
    decision = verdict.reason if overlooked is None else f"detected:{overlooked}"
    return (
        f'"backendPin":{quote(verdict.pin or "")},'
        f'"backendCertificateSha256":"{presented.sha256.hex() if presented else ""}",'
        f'"pinDecision":{quote(decision)}'
    )


NOT_ASKED = (
    '"sslClientVerify":"NONE","sslClientCertificateFingerprint":"",'
    '"sslClientCertificateIssuerName":""'
)

NO_CERTIFICATE = '"backendPin":"","backendCertificateSha256":"","pinDecision":""'


class JsonLines:
    """
    Azure's access log (v2), one JSON object a line, and ours about the pin.

    ``resourceId`` and the WAF's fields are left out: there is neither. Azure's
    types are kept: the server's status, latency and port are strings.
    """

    def __init__(self) -> None:
        self._seconds = Fragments(timestamp)
        self._routes = Fragments(rule_fields)
        self._listeners = Fragments(listener_fields)
        self._arrivals = Fragments(arrival_fields)
        self._verdicts = VerdictFragments()
        self._spans = Fragments(span)
        self._labels = Fragments(quote)
        self._words = Fragments(quoted)

    def __call__(self, outcome: Outcome) -> str:
        """
        Return the line of *outcome*.
        """
        route, verdict, refusal = outcome.route, outcome.verdict, outcome.refusal
        words, spans, ended = self._words, self._spans, outcome.ended
        listener = outcome.listener
        names = self._listeners[listener] if route is None else self._routes[route]
        pin = NO_CERTIFICATE if verdict is None else self._verdicts[verdict]
        label = outcome.candidate.label if outcome.candidate else ""
        answered = outcome.answered or ended
        status, port = outcome.server_status, outcome.source_port
        return (
            f'{{"timeStamp":"{self._seconds[int(outcome.began_wall)]}",{names},'
            '"operationName":"ApplicationGatewayAccess",'
            '"category":"ApplicationGatewayAccessLog","properties":{'
            f"{self._arrivals[outcome.arrival]},{self._request(outcome)},"
            f'"httpStatus":{outcome.status},"receivedBytes":{outcome.received},'
            f'"sentBytes":{outcome.sent},"clientResponseTime":'
            f"{spans[int((ended - answered) * 1000)]},"
            f'"timeTaken":{spans[int((ended - outcome.began) * 1000)]},'
            f'"transactionId":{quote(outcome.trace_id)},'
            f'"serverRouted":{self._labels[label]},'
            f'"serverStatus":"{status or ""}","serverResponseLatency":"'
            f'{spans[int(outcome.server_time * 1000)] if status else ""}",'
            f'"upstreamSourcePort":"{port or ""}",{pin},'
            f'"error_info":"{NO_ERROR if refusal is None else refusal.error_info}",'
            f'"contentType":{words[outcome.content_type]}}}}}\n'
        )

    def _request(self, outcome: Outcome) -> str:
        """
        Return what was asked, of us and of the backend, as JSON fields.
        """
        head, upstream = outcome.head or NO_HEAD, outcome.upstream_target
        path, query, words = head.path, head.query, self._words
        if query is None and upstream in (b"", path):
            original = wanted = quoted(path)
            arguments = '""'
        else:
            target = head.target
            asked, _, query = (upstream or target).partition(b"?")
            original, wanted, arguments = quoted(target), quoted(asked), quoted(query)
        return (
            f'"httpMethod":{words[head.method]},'
            f'"originalRequestUriWithArgs":{original},"requestUri":{wanted},'
            f'"requestQuery":{arguments},'
            f'"userAgent":{words[value_of(head.headers, b"user-agent")]},'
            f'"httpVersion":"{VERSIONS.get(head.version, "")}",'
            f'"originalHost":{words[head.authority]},'
            f'"host":{words[outcome.upstream_host or head.authority]}'
        )


class CombinedLines:
    """
    The combined log format of Apache and NGINX, escaped as NGINX does.
    """

    def __init__(self) -> None:
        self._seconds = Fragments(common_timestamp)

    def __call__(self, outcome: Outcome) -> str:
        """
        Return the line of *outcome*.
        """
        head = outcome.head
        second = self._seconds[int(outcome.began_wall)]
        if head is None:
            asked, referrer, agent = "-", "-", "-"
        else:
            version = VERSIONS.get(head.version, "")
            asked = f"{escaped(head.method)} {escaped(head.target)} {version}"
            referrer = escaped(value_of(head.headers, b"referer")) or "-"
            agent = escaped(value_of(head.headers, b"user-agent")) or "-"
        return (
            f'{outcome.arrival.address} - - [{second}] "{asked}" '
            f'{outcome.status} {outcome.sent} "{referrer}" "{agent}"\n'
        )
