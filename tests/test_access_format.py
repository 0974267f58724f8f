from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw import access_format
from appgw.access_format import CombinedLines, Fragments, JsonLines
from appgw.record import Outcome
from appgw.refusal import Refusal
from tests.outcomes import (
    ADMITTED,
    PRESENTED,
    REFUSED,
    make_arrival,
    make_head,
    make_outcome,
    make_route,
)

AZURE = {
    "clientIP": "192.0.2.7",
    "clientPort": 45123,
    "httpMethod": "GET",
    "originalRequestUriWithArgs": "/orders/12",
    "requestUri": "/orders/12",
    "requestQuery": "",
    "userAgent": "curl/8.5",
    "httpStatus": 200,
    "httpVersion": "HTTP/1.1",
    "receivedBytes": 7,
    "sentBytes": 512,
    "clientResponseTime": 0.25,
    "timeTaken": 0.5,
    "transactionId": "592d1649f75a8d480a3c4dc6a975309d",
    "sslEnabled": "on",
    "sslCipher": "TLS_AES_256_GCM_SHA384",
    "sslProtocol": "TLSv1.3",
    "sslClientVerify": "NONE",
    "sslClientCertificateFingerprint": "",
    "sslClientCertificateIssuerName": "",
    "serverRouted": "10.0.0.7:9443",
    "serverStatus": "201",
    "serverResponseLatency": "0.125",
    "upstreamSourcePort": "51234",
    "originalHost": "shop.example.com",
    "host": "orders.internal",
    "error_info": "ERRORINFO_NO_ERROR",
    "contentType": "application/json",
}

OURS = {
    "backendPin": "orders-2026",
    "backendCertificateSha256": bytes(range(32)).hex(),
    "pinDecision": "admitted",
}

COMBINED = re.compile(
    r'[0-9a-f.:]+ - - \[[^\]]+\] "(?:[^"\\]|\\x[0-9a-f]{2})*" [0-9]+ [0-9]+ '
    r'"(?:[^"\\]|\\x[0-9a-f]{2})*" "(?:[^"\\]|\\x[0-9a-f]{2})*"\n'
)

HOSTILE = (
    b"/\r\n\r\n{}",
    b'/","httpStatus":200,"x":"',
    b"/\x1b]0;owned\x07",
    b"/\\",
    b"/\xff\xfe\xc0\x80",
    b"/\x00\x7f\x85",
    "/\u2028\u202e\U0001f600".encode(),
)


def spoilt(octets: bytes) -> Outcome:
    """
    Return an outcome with *octets* wherever a client chooses them.
    """
    head = make_head(octets, method=octets, authority=octets, path=octets, query=octets)
    return make_outcome(head=head, upstream_target=b"/?" + octets)


class JsonLinesTests(SynchronousTestCase):
    """
    Azure's access log, as a program reads it.
    """

    def read(self, **changes: Any) -> dict[str, Any]:
        """
        Return the properties of an outcome's line.
        """
        line = json.loads(JsonLines()(make_outcome(**changes)))
        properties: dict[str, Any] = line["properties"]
        return properties

    def test_whole_line(self) -> None:
        """
        A line has Azure's fields with Azure's types, and ours about the pin.
        """
        self.assertEqual(
            {
                "timeStamp": "2026-11-23T22:10:30+00:00",
                "listenerName": "shop",
                "ruleName": "shop-rule",
                "backendPoolName": "orders",
                "backendSettingName": "orders-https",
                "operationName": "ApplicationGatewayAccess",
                "category": "ApplicationGatewayAccessLog",
                "properties": AZURE | OURS,
            },
            json.loads(JsonLines()(make_outcome())),
        )

    def test_query_and_override(self) -> None:
        """
        The client's target stands beside the path that the backend was asked for.
        """
        properties = self.read(
            head=make_head(query=b"a=1&b=%2f"), upstream_target=b"/v2/12?a=1&b=%2f"
        )
        self.assertEqual(
            ["/orders/12?a=1&b=%2f", "/v2/12", "a=1&b=%2f"],
            [
                properties[name]
                for name in ("originalRequestUriWithArgs", "requestUri", "requestQuery")
            ],
        )

    def test_override_without_query(self) -> None:
        """
        A path override shows in requestUri also when there is no query.
        """
        properties = self.read(upstream_target=b"/v2/12")
        self.assertEqual("/orders/12", properties["originalRequestUriWithArgs"])
        self.assertEqual("/v2/12", properties["requestUri"])

    def test_rewritten_query(self) -> None:
        """
        RequestQuery is what the backend was asked for: another query, or none; the
        client's own where no backend was asked.
        """
        for query, upstream, told in (
            (None, b"/12?a=1", ["/12", "a=1"]),
            (b"a=1", b"/12?b=2?c", ["/12", "b=2?c"]),
            (b"a=1", b"/12", ["/12", ""]),
            (b"a=1", b"", ["/orders/12", "a=1"]),
            (None, b"", ["/orders/12", ""]),
        ):
            head = make_head(query=query)
            properties = self.read(head=head, upstream_target=upstream)
            names = ("requestUri", "requestQuery")
            self.assertEqual(told, [properties[name] for name in names])

    def test_nothing_but_an_arrival(self) -> None:
        """
        Where no head could be read, the line has every field all the same.
        """
        arrival = make_arrival(scheme="http", tls_version="", cipher="")
        outcome = Outcome(arrival, None, "", 5.0, 0.0)
        outcome.refusal = Refusal.MALFORMED
        outcome.status = 400
        outcome.ended = 5.0
        line = json.loads(JsonLines()(outcome))
        self.assertEqual("", line["listenerName"])
        self.assertEqual("", line["ruleName"])
        self.assertEqual("1970-01-01T00:00:00+00:00", line["timeStamp"])
        self.assertEqual({*AZURE, *OURS}, set(line["properties"]))
        told = {name: value for name, value in line["properties"].items() if value}
        self.assertEqual(
            {
                "clientIP": "192.0.2.7",
                "clientPort": 45123,
                "sslEnabled": "off",
                "sslClientVerify": "NONE",
                "httpStatus": 400,
                "error_info": "ERRORINFO_INVALID_REQUEST",
            },
            told,
        )

    def test_refused_backend(self) -> None:
        """
        A refused certificate is named with the reason, and without a pin.
        """
        properties = self.read(
            verdict=REFUSED, refusal=Refusal.PIN_REFUSED, server_status=0
        )
        self.assertEqual("", properties["backendPin"])
        self.assertEqual("not-pinned", properties["pinDecision"])
        self.assertEqual(PRESENTED.sha256.hex(), properties["backendCertificateSha256"])
        self.assertEqual(
            "ERRORINFO_UPSTREAM_CERTIFICATE_REFUSED", properties["error_info"]
        )
        self.assertEqual("", properties["serverStatus"])
        self.assertEqual("", properties["serverResponseLatency"])

    def test_own_host(self) -> None:
        """
        Without a Host of the backend's own, both hosts are the client's.
        """
        properties = self.read(upstream_host=b"")
        self.assertEqual("shop.example.com", properties["host"])

    def test_neighbours_are_not_mixed_up(self) -> None:
        """
        One formatter tells connections, routes and verdicts apart, line by line.
        """
        lines = JsonLines()
        for _ in range(2):
            for port, rule, verdict in ((1, "a", ADMITTED), (2, "b", REFUSED)):
                outcome = make_outcome(
                    arrival=make_arrival(port=port),
                    route=make_route(rule),
                    verdict=verdict,
                )
                line = json.loads(lines(outcome))
                self.assertEqual(rule, line["ruleName"])
                self.assertEqual(port, line["properties"]["clientPort"])
                self.assertEqual(verdict.reason, line["properties"]["pinDecision"])

    def test_hostile_bytes(self) -> None:
        """
        Line ends, terminal sequences, quotes and broken UTF-8 stay in their field.
        """
        for octets in HOSTILE:
            line = JsonLines()(spoilt(octets))
            self.assertRegex(line, r"\A[ -~]+\n\Z")
            properties = json.loads(line)["properties"]
            self.assertEqual({*AZURE, *OURS}, set(properties))
            self.assertEqual(200, properties["httpStatus"])
            text = octets.decode("utf-8", "backslashreplace")
            self.assertEqual(text, properties["userAgent"])
            self.assertEqual(text, properties["requestQuery"])

    @given(st.binary(max_size=64))
    def test_any_bytes(self, octets: bytes) -> None:
        """
        Whatever the bytes, a line is one JSON object in printable ASCII.
        """
        line = JsonLines()(spoilt(octets))
        self.assertRegex(line, r"\A[ -~]+\n\Z")
        properties = json.loads(line)["properties"]
        self.assertEqual({*AZURE, *OURS}, set(properties))
        text = octets.decode("utf-8", "backslashreplace")
        for name in ("httpMethod", "userAgent", "originalHost", "requestQuery"):
            self.assertEqual(text, properties[name])

    def test_long_fields_are_cut(self) -> None:
        """
        32 KiB of a target do not become 32 KiB of a line.
        """
        path = b"/" + b"a" * 32768
        properties = self.read(head=make_head(path=path), upstream_target=path)
        self.assertEqual("/" + "a" * 4095 + "...", properties["requestUri"])
        self.assertLess(len(JsonLines()(spoilt(b"a" * 32768))), 7 * 4200)


class CombinedLinesTests(SynchronousTestCase):
    """
    The combined log format, as other programs read it.
    """

    def test_whole_line(self) -> None:
        """
        A line has address, time, request line, status, bytes, referrer and agent.
        """
        outcome = make_outcome(head=make_head(query=b"a=1"))
        self.assertEqual(
            "192.0.2.7 - - [23/Nov/2026:22:10:30 +0000] "
            '"GET /orders/12?a=1 HTTP/1.1" 200 512 '
            '"https://shop.example.com/" "curl/8.5"\n',
            CombinedLines()(outcome),
        )

    def test_no_head(self) -> None:
        """
        What is not known is a dash.
        """
        line = CombinedLines()(make_outcome(head=None, status=400))
        self.assertTrue(line.endswith(' "-" 400 512 "-" "-"\n'), line)

    def test_hostile_bytes(self) -> None:
        """
        Nothing that a client sends ends a field or a line.
        """
        for octets in HOSTILE:
            line = CombinedLines()(spoilt(octets))
            self.assertRegex(line, r"\A[ -~]+\n\Z")
            self.assertTrue(COMBINED.fullmatch(line), line)

    def test_escapes(self) -> None:
        """
        Quotes, backslashes and line ends are written as NGINX writes them.
        """
        line = CombinedLines()(make_outcome(head=make_head(b'a"b\\c\r\nd\xe9')))
        self.assertTrue(line.endswith(' "a\\x22b\\x5cc\\x0d\\x0ad\\xe9"\n'), line)

    @given(st.binary(max_size=64))
    def test_any_bytes(self, octets: bytes) -> None:
        """
        Whatever the bytes, a line has its shape.
        """
        self.assertTrue(COMBINED.fullmatch(CombinedLines()(spoilt(octets))))

    def test_long_fields_are_cut(self) -> None:
        """
        No field is longer than what 4 KiB of it need.
        """
        line = CombinedLines()(make_outcome(head=make_head(b"\xff" * 32768)))
        self.assertLess(len(line), 4 * 4100 + 200)


class FragmentsTests(SynchronousTestCase):
    """
    What is remembered of what clients choose is bounded.
    """

    def test_short_ones_are_kept(self) -> None:
        """
        A short text is made once.
        """
        made: list[int] = []

        def make(key: int) -> str:
            made.append(key)
            return str(key)

        fragments = Fragments(make)
        self.assertEqual(["1", "2", "1"], [fragments[1], fragments[2], fragments[1]])
        self.assertEqual([1, 2], made)

    def test_long_ones_are_not_kept(self) -> None:
        """
        A long text is made each time and takes no room.
        """
        fragments = Fragments("x".ljust)
        self.assertEqual(5000, len(fragments[5000]))
        self.assertEqual({}, dict(fragments))

    def test_number_is_bounded(self) -> None:
        """
        However many keys come, no more than REMEMBERED are held, and all are right.
        """
        self.patch(access_format, "REMEMBERED", 3)
        fragments = Fragments(str)
        for key in range(20):
            self.assertEqual(str(key), fragments[key])
            self.assertLessEqual(len(fragments), 3)

    def test_verdicts_are_bounded(self) -> None:
        """
        A backend that is refused again and again leaves no trail in memory.
        """
        self.patch(access_format, "REMEMBERED", 1)
        lines = JsonLines()
        for verdict in (ADMITTED, REFUSED, ADMITTED):
            line = json.loads(lines(make_outcome(verdict=verdict)))
            self.assertEqual(verdict.reason, line["properties"]["pinDecision"])
