from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.message import Headers, ResponseHead, value_of, values_of
from appgw.route.forwarded import (
    MAX_FORWARDED_FOR,
    request_headers,
    response_headers,
)
from tests.route.values import arrival, head

_TRACE = b"0123456789abcdef0123456789abcdef"
_OURS = {
    b"via": b"1.1 appgw",
    b"x-forwarded-for": b"192.0.2.7",
    b"x-forwarded-proto": b"https",
    b"x-forwarded-port": b"443",
    b"x-original-host": b"shop.example.com",
    b"x-original-url": b"/a?b",
    b"x-appgw-trace-id": _TRACE,
}
_CLAIMS = (
    (b"X-Forwarded-Host", b"evil"),
    (b"x-forwarded-prefix", b"/evil"),
    (b"X-Original-Thing", b"evil"),
    (b"X-AppGW-Client", b"evil"),
    (b"X-REAL-IP", b"127.0.0.1"),
    (b"X-Client-IP", b"127.0.0.1"),
    (b"X-Host", b"evil"),
    (b"X-Rewrite-URL", b"/evil"),
)


def _sent(
    *lines: tuple[bytes, bytes],
    trusted: bool = False,
    for_port: bool = False,
    address: str = "192.0.2.7",
    method: bytes = b"GET",
    version: tuple[int, int] = (1, 1),
) -> Headers:
    return request_headers(
        head(b"/a?b", *lines, method=method, version=version),
        arrival(address, trusted=trusted),
        b"backend.example",
        _TRACE,
        for_port,
    )


def _passed(*lines: tuple[bytes, bytes], trusted: bool = False) -> list[bytes]:
    """
    What is left of the lines, by name, beside Host and our own.
    """
    ours = {b"host", *_OURS}
    sent = _sent(*lines, trusted=trusted)
    return [name for name, _ in sent if name.lower() not in ours]


def _answered(*lines: tuple[bytes, bytes], date: bytes = b"") -> Headers:
    return response_headers(ResponseHead(200, b"OK", Headers(lines)), date)


class OwnFieldsTests(SynchronousTestCase):
    def test_written(self) -> None:
        """Host comes first, our own fields last, each once and by its name."""
        self.assertEqual(
            [
                (b"Host", b"backend.example"),
                (b"Accept", b"*/*"),
                (b"Via", b"1.1 appgw"),
                (b"X-Forwarded-For", b"192.0.2.7"),
                (b"X-Forwarded-Proto", b"https"),
                (b"X-Forwarded-Port", b"443"),
                (b"X-Original-Host", b"shop.example.com"),
                (b"X-Original-URL", b"/a?b"),
                (b"X-AppGW-Trace-Id", _TRACE),
            ],
            _sent((b"Accept", b"*/*")),
        )

    def test_port(self) -> None:
        """Azure's form of X-Forwarded-For carries the client's port."""
        for address, expected in (
            ("192.0.2.7", b"192.0.2.7:51234"),
            ("2001:db8::7", b"[2001:db8::7]:51234"),
        ):
            sent = _sent(for_port=True, address=address)
            self.assertEqual([expected], values_of(sent, b"x-forwarded-for"))
        self.assertEqual(
            b"2001:db8::7",
            value_of(_sent(address="2001:db8::7"), b"x-forwarded-for"),
        )

    def test_plain_http(self) -> None:
        """X-Forwarded-Proto is the scheme of the client's connection."""
        sent = request_headers(head(), arrival(scheme="http"), b"b", _TRACE, False)
        self.assertEqual([b"http"], values_of(sent, b"x-forwarded-proto"))

    def test_via(self) -> None:
        """Via is extended, with the version that the request came in."""
        sent = _sent((b"via", b"1.0 fred"), (b"Via", b"1.1 p"), version=(1, 0))
        self.assertEqual([b"1.0 fred", b"1.1 p", b"1.0 appgw"], values_of(sent, b"via"))


class ForeignFieldsTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """Everything else goes on in order, repeated, byte for byte."""
        lines = [
            (b"accept", b"a"),
            (b"X-Custom", b"\xff\x80 \t;,\"'"),
            (b"Cookie", b"a=b"),
            (b"ACCEPT", b""),
            (b"Cookie", b"c=d"),
            (b"Authorization", b"Basic eDp5"),
            (b"Range", b"bytes=0-1,2-3"),
            (b"Forwarded-For", b"x"),
        ]
        self.assertEqual(lines, _sent(*lines)[1 : 1 + len(lines)])

    def test_untrusted_claims(self) -> None:
        """Of an untrusted peer's claims nothing goes on."""
        lines = (
            *_CLAIMS,
            (b"Forwarded", b"for=127.0.0.1"),
            (b"proxy", b"http://evil"),
            *((name.title(), b"evil") for name in _OURS if name != b"via"),
        )
        sent = _sent(*lines)
        self.assertEqual([], _passed(*lines))
        for name, value in _OURS.items():
            self.assertEqual([value], values_of(sent, name))

    def test_other_spellings(self) -> None:
        """Names outside letters, digits and hyphens are dropped from anybody."""
        for name in (
            b"X_Forwarded_For",
            b"X-Forwarded-For.",
            b"X-Forwarded-For\xa0",
            b"Content_Length",
            b"a!",
            b"",
            b"\xd0\xa5",
            b"A B",
            b"A\n",
        ):
            for trusted in (True, False):
                self.assertEqual([], _passed((name, b"1"), trusted=trusted))

    def test_hop_by_hop(self) -> None:
        """Fields of the client's connection end here, named or not."""
        lines = [
            (name, b"x")
            for name in (
                b"Keep-Alive",
                b"Proxy-Connection",
                b"Proxy-Authorization",
                b"Proxy-Authenticate",
                b"TE",
                b"Trailer",
                b"Transfer-Encoding",
                b"Upgrade",
                b"HTTP2-Settings",
                b"Content-Length",
                b"Expect",
                b"connection",
            )
        ]
        self.assertEqual([], _passed(*lines))

    def test_named_by_connection(self) -> None:
        """What Connection names ends here too, over all its lines."""
        lines = (
            (b"X-Custom", b"1"),
            (b"Connection", b" x-CUSTOM ,,close"),
            (b"x-custom", b"2"),
            (b"Other", b"3"),
            (b"connection", b"more, keep-alive"),
            (b"More", b"4"),
        )
        self.assertEqual([b"Other"], _passed(*lines))

    def test_connection_cannot_name_ours(self) -> None:
        """Connection cannot name away Host, Via, or who the client is."""
        names = b", ".join([b"host", b"forwarded", *_OURS])
        self.assertEqual(_sent(), _sent((b"Connection", names)))

    def test_connection_cannot_name_a_trusted_claim(self) -> None:
        """What a trusted proxy said about a client, that client cannot undo."""
        lines = (*_CLAIMS, (b"X-Forwarded-For", b"10.0.0.1"), (b"Via", b"1.1 p"))
        names = b",".join(name for name, _ in lines)
        self.assertEqual(
            _sent(*lines, trusted=True),
            _sent(*lines, (b"Connection", names), trusted=True),
        )

    @given(
        names=st.lists(
            st.sampled_from([*_OURS, b"Host", b"close", b"", b"Content-Length"])
            | st.binary(max_size=6),
            max_size=8,
        ),
        lines=st.lists(
            st.tuples(
                st.sampled_from([*_OURS, b"X_Forwarded_For", b"Connection", b"Accept"])
                | st.binary(max_size=6),
                st.binary(max_size=8),
            ),
            max_size=6,
        ),
        trusted=st.booleans(),
    )
    def test_ours_survive(
        self,
        names: list[bytes],
        lines: list[tuple[bytes, bytes]],
        trusted: bool,
    ) -> None:
        """Whatever a client sends, our fields are there."""
        sent = _sent(*lines, (b"Connection", b",".join(names)), trusted=trusted)
        self.assertEqual((b"Host", b"backend.example"), sent[0])
        self.assertEqual(list(_OURS), [name.lower() for name, _ in sent[-7:]])
        for name, _ in sent:
            self.assertRegex(name, rb"\A[A-Za-z0-9-]+\Z")
        for name, expected in _OURS.items():
            found = values_of(sent, name)
            self.assertTrue(found[-1].endswith(expected) or trusted)
            if name != b"via":
                self.assertEqual(1, len(found))
            if not trusted:
                self.assertEqual(expected, found[-1])


class TrustedTests(SynchronousTestCase):
    def chain(self, *values: bytes) -> bytes | None:
        """Return X-Forwarded-For after a trusted peer has sent *values*."""
        lines = [(b"X-Forwarded-For", value) for value in values]
        sent = _sent(*lines, trusted=True)
        self.assertEqual(1, len(values_of(sent, b"x-forwarded-for")))
        return value_of(sent, b"x-forwarded-for")

    def test_claims(self) -> None:
        """A trusted peer's other claims go on; Forwarded and Proxy never do."""
        lines = (*_CLAIMS, (b"Forwarded", b"for=10.0.0.1"), (b"Proxy", b"x"))
        self.assertEqual([name for name, _ in _CLAIMS], _passed(*lines, trusted=True))

    def test_appended(self) -> None:
        """All lines of X-Forwarded-For are joined, and the peer appended."""
        self.assertEqual(b"192.0.2.7", self.chain())
        self.assertEqual(b"192.0.2.7", self.chain(b"", b""))
        self.assertEqual(b"10.0.0.1, 192.0.2.7", self.chain(b"10.0.0.1"))
        self.assertEqual(
            b"unknown, [2001:db8::1]:80, 10.0.0.1,x, 192.0.2.7",
            self.chain(b"unknown, [2001:db8::1]:80", b"", b"10.0.0.1,x"),
        )

    def test_appended_with_port(self) -> None:
        """In Azure's form the peer is appended with its port."""
        sent = _sent((b"X-Forwarded-For", b"a"), trusted=True, for_port=True)
        self.assertEqual(b"a, 192.0.2.7:51234", value_of(sent, b"x-forwarded-for"))

    def test_capped(self) -> None:
        """Of a long list whole entries on the right are kept, up to the cap."""
        entries = [b"10.0.%d.%d" % divmod(n, 256) for n in range(2000)]
        chain = self.chain(b",".join(entries))
        assert chain is not None
        self.assertLessEqual(len(chain), MAX_FORWARDED_FOR + len(b", 192.0.2.7"))
        self.assertGreater(len(chain), MAX_FORWARDED_FOR - 20)
        *kept, last = chain.split(b",")
        self.assertEqual(b" 192.0.2.7", last)
        self.assertEqual(entries[-len(kept) :], kept)

    def test_cap_exactly(self) -> None:
        """A list as long as the cap is kept; one entry longer than it is not."""
        whole = b"a" * MAX_FORWARDED_FOR
        self.assertEqual(whole + b", 192.0.2.7", self.chain(whole))
        self.assertEqual(b"192.0.2.7", self.chain(b"a" + whole))
        for fits in (whole, whole[1:]):
            self.assertEqual(fits + b", 192.0.2.7", self.chain(b"a," + fits))
        self.assertEqual(b"192.0.2.7", self.chain(b"a," + b"b" + whole))

    def test_proto_and_port(self) -> None:
        """Proto and Port are a trusted peer's if single and valid, else ours."""
        for name, field, cases in (
            (
                b"x-forwarded-proto",
                b"X-Forwarded-Proto",
                [
                    ([b"http"], b"http"),
                    ([b"HTTP"], b"http"),
                    ([b"https"], b"https"),
                    ([b"http", b"http"], b"https"),
                    ([b"http, https"], b"https"),
                    ([b"ftp"], b"https"),
                    ([b""], b"https"),
                ],
            ),
            (
                b"x-forwarded-port",
                b"X-Forwarded-Port",
                [
                    ([b"8443"], b"8443"),
                    ([b"1"], b"1"),
                    ([b"65535"], b"65535"),
                    ([b"65536"], b"443"),
                    ([b"0"], b"443"),
                    ([b"9" * 5000], b"443"),
                    ([b"80", b"80"], b"443"),
                    ([b"80,80"], b"443"),
                    ([b"-1"], b"443"),
                    ([b""], b"443"),
                ],
            ),
        ):
            for values, expected in cases:
                lines = [(field, value) for value in values]
                sent = _sent(*lines, trusted=True)
                self.assertEqual([expected], values_of(sent, name), values)


class MaxForwardsTests(SynchronousTestCase):
    def left(self, value: bytes, method: bytes = b"OPTIONS") -> list[bytes]:
        """Return Max-Forwards as it goes on."""
        sent = _sent((b"Max-Forwards", value), method=method)
        return values_of(sent, b"max-forwards")

    def test_counted(self) -> None:
        """OPTIONS has one hop less behind us; other methods do not count."""
        self.assertEqual([b"6"], self.left(b"7"))
        self.assertEqual([b"0"], self.left(b"01"))
        self.assertEqual([b"0"], self.left(b"0"))
        self.assertEqual([b"999999999"], self.left(b"9" * 5000))
        self.assertEqual([], self.left(b"seven"))
        self.assertEqual([b"7"], self.left(b"7", b"GET"))


class ResponseHeadersTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """A backend's fields go on in order, repeated ones as they are."""
        lines = [
            (b"Date", b"Mon, 01 Jan 2029 00:00:00 GMT"),
            *((b"Set-Cookie", b"a=%d, b" % number) for number in range(20)),
            (b"X_Odd.Name!", b"\xff"),
            (b"WWW-Authenticate", b"Basic"),
            (b"Vary", b"*"),
            (b"Via", b"1.1 origin"),
            (b"set-cookie", b"z"),
        ]
        self.assertEqual(lines, _answered(*lines, date=b"now"))

    def test_hop_by_hop(self) -> None:
        """Fields of the backend's connection and what it names end here."""
        names = (
            b"Connection Keep-Alive Proxy-Connection Proxy-Authenticate TE Trailer"
            b" Transfer-Encoding Upgrade Content-Length X-Named"
        ).split()
        lines = [(name, b"x-named") for name in names]
        self.assertEqual([(b"A", b"b")], _answered(*lines, (b"A", b"b")))

    def test_not_a_name(self) -> None:
        """What is no field name is dropped (RFC 9110, 5.1)."""
        for name in (b"", b"a b", b"a:", b"a\xe9", b"a\n", b"a(b)"):
            self.assertEqual([], _answered((name, b"x")))

    def test_date(self) -> None:
        """A response without Date gets one, if one is given."""
        self.assertEqual([(b"Date", b"now")], _answered(date=b"now"))
        self.assertEqual([], _answered())
        for lines in (
            [(b"date", b"then")],
            [(b"date", b"then"), (b"Connection", b"date")],
        ):
            self.assertEqual([(b"date", b"then")], _answered(*lines, date=b"now"))
