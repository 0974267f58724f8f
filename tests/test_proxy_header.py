from __future__ import annotations

import contextlib
import ipaddress
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.trial.unittest import SynchronousTestCase

from appgw.proxy_header import (
    MAX_HEADER,
    MAX_LINE,
    BadHeader,
    client_of,
    size_of,
)
from tests.proxying import (
    LOCAL,
    NOBODY,
    PROXY,
    SIGNATURE,
    TCP4,
    TCP6,
    UDP4,
    UDP6,
    UNIX,
    framed,
    version_1,
    version_2,
)

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
PORTS = st.integers(0, 65535)
HEADERS = st.one_of(
    st.builds(version_1, ADDRESSES, PORTS, own_port=PORTS),
    st.builds(version_2, ADDRESSES, PORTS, st.binary(max_size=40)),
    st.builds(framed, st.binary(max_size=40)),
    st.just(NOBODY),
)


def read(wire: bytes) -> tuple[str, int] | None:
    """
    Read the header that *wire* begins with; it must be whole.
    """
    size = size_of(wire)
    assert size is not None
    assert size <= len(wire)
    return client_of(wire[:size])


class LineTests(SynchronousTestCase):
    """
    Version 1.
    """

    def refused(self, line: bytes) -> None:
        """
        Assert that no client comes of it.
        """
        with self.assertRaises(BadHeader, msg=line):
            read(line + b"GET / HTTP/1.1\r\n\r\n")

    def test_both_families(self) -> None:
        """
        The client's address and port are told, the address in its short form.
        """
        for client, told in (
            ("192.0.2.7", "192.0.2.7"),
            ("255.255.255.255", "255.255.255.255"),
            ("2001:db8::7", "2001:db8::7"),
            ("2001:0DB8:0000:0000:0000:0000:0000:0007", "2001:db8::7"),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ):
            self.assertEqual((told, 45123), read(version_1(client)))

    def test_ports(self) -> None:
        """
        A port is any number of 16 bits.
        """
        for port in (0, 1, 65535):
            self.assertEqual(("192.0.2.7", port), read(version_1(port=port)))
            self.assertEqual(("192.0.2.7", 45123), read(version_1(own_port=port)))

    def test_unknown(self) -> None:
        """
        A proxy that cannot say for whom it speaks may say anything with it.
        """
        for rest in (b"", b" ", b" \xff\x00 more", b" ::1 ::1 1 2", b" " + b"x" * 91):
            line = b"PROXY UNKNOWN%b\r\n" % rest
            self.assertIsNone(read(line + b"GET"), rest)
            self.assertEqual(len(line), size_of(line + b"GET"))

    def test_longest(self) -> None:
        """
        A line has at most 107 bytes, its end included.
        """
        longest = b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n"
        self.assertEqual(MAX_LINE, len(longest))
        self.assertIsNone(read(longest))
        for end in range(MAX_LINE):
            self.assertIsNone(size_of(longest[:end]))
        self.refused(longest.replace(b"\r\n", b"f\r\n"))
        self.refused(b"PROXY UNKNOWN " + b"f" * 92)
        with self.assertRaises(BadHeader):
            size_of(b"PROXY TCP4 " + b"1" * 96)

    def test_ends(self) -> None:
        """
        A line ends with CRLF, and has neither of them before.
        """
        whole = version_1()[:-2]
        for end in (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r \r\n", b" \r\n"):
            self.refused(whole + end)
        self.refused(b"PROXY UNKNOWN\n")
        self.refused(b"PROXY UNKNOWN a\rb\r\n")

    def test_addresses_that_are_none(self) -> None:
        """
        What is no address of its family, in its one spelling, is refused.
        """
        for kind, address in (
            *((b"TCP4", one) for one in (b"1.2.3", b"1.2.3.4.5", b"256.1.1.1")),
            *((b"TCP4", one) for one in (b"01.2.3.4", b"1.2.3.04", b"0x1.2.3.4")),
            *((b"TCP4", one) for one in (b"::1", b"::ffff:1.2.3.4", b"a", b"")),
            *((b"TCP4", one) for one in (b"1.2.3.4/8", b"[1.2.3.4]", b"1.2.3.4%lo")),
            *((b"TCP4", one) for one in (b"1.2.3.4\x00", b"1.2.3.\xb2", b"-1.2.3.4")),
            *((b"TCP6", one) for one in (b"1.2.3.4", b":::", b"1::2::3", b"1:2")),
            *((b"TCP6", one) for one in (b"fe80::1%lo", b"12345::", b"[::1]", b"g::")),
            *((b"TCP6", one) for one in (b"1:2:3:4:5:6:7:8:9", b"::1.2.3.999")),
        ):
            good = b"::1" if kind == b"TCP6" else b"127.0.0.1"
            self.refused(b"PROXY %b %b %b 1 2\r\n" % (kind, address, good))
            self.refused(b"PROXY %b %b %b 1 2\r\n" % (kind, good, address))

    def test_ports_that_are_none(self) -> None:
        """
        So is what is no port.
        """
        for port in (
            *(b"", b"-1", b"+1", b"65536", b"99999", b"100000", b"00", b"01"),
            *(b"1_0", b"1.0", b"0x1", b"a", "٣".encode(), b"1\x00", b"1e1"),
        ):
            self.refused(b"PROXY TCP4 1.2.3.4 1.2.3.4 %b 2\r\n" % port)
            self.refused(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 %b\r\n" % port)

    def test_other_forms(self) -> None:
        """
        Every word has its place, with one space before it.
        """
        good = version_1()
        self.assertEqual(("192.0.2.7", 45123), read(good))
        for at, byte in enumerate(good[:-2]):
            if byte == 32:
                self.refused(good[:at] + b"  " + good[at + 1 :])
                self.refused(good[:at] + b"\t" + good[at + 1 :])
                self.refused(good[:at] + good[at + 1 :])
        for line in (
            b"PROXY \r\n",
            b"PROXY TCP4\r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY UNKNOWNX\r\n",
            b"PROXY unknown\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        ):
            self.refused(line)


class BytesTests(SynchronousTestCase):
    """
    Version 2.
    """

    def test_both_families(self) -> None:
        """
        The client's address and port are told, whatever follows them.
        """
        for client in ("192.0.2.7", "0.0.0.0", "2001:db8::7", "::", "::ffff:1.2.3.4"):
            for more in (b"", b"\x04\x00\x00", b"\x04\xff\xff", bytes(500)):
                wire = version_2(client, 65535, more)
                self.assertEqual((client, 65535), read(wire + HELLO), client)
                self.assertEqual(len(wire), size_of(wire + HELLO))

    def test_nobody(self) -> None:
        """
        A proxy that speaks for itself, or for what has no address here, is taken
        as it is; the rest of its header is passed over.
        """
        for command, family in (
            *((LOCAL, family) for family in (0, TCP4, UDP6, UNIX, 0xFF)),
            *((PROXY, family) for family in (0, UNIX, 0x32, UDP4, UDP6)),
            *((PROXY, family) for family in (0x01, 0x02, 0x10, 0x20, 0x30)),
        ):
            for content in (b"", b"x" * 5, bytes(300)):
                wire = framed(content, command, family)
                self.assertIsNone(read(wire + HELLO))
                self.assertEqual(len(wire), size_of(wire + HELLO))

    def test_unknown_kinds(self) -> None:
        """
        Other versions, commands, families and transports are refused.
        """
        wrong = [
            *((version << 4 | 1, TCP4) for version in range(16) if version != 2),
            *((0x20 | command, TCP4) for command in range(2, 16)),
            *((PROXY, family << 4 | 1) for family in range(4, 16)),
            *((PROXY, 0x10 | transport) for transport in range(3, 16)),
        ]
        for command, family in wrong:
            with self.assertRaises(BadHeader, msg=(command, family)):
                read(framed(bytes(12), command, family))

    def test_wrong_versions_soon(self) -> None:
        """
        What cannot become a header any more is refused before it is whole.
        """
        for beginning in (
            *(b"G", b"P\x00", b"PROXYX", b"PROXY\r\n", b"proxy ", HELLO[:1]),
            *(b"\r\n\r\nG", SIGNATURE + b"\x11", SIGNATURE + b"\x22"),
        ):
            with self.assertRaises(BadHeader, msg=beginning):
                size_of(beginning)

    def test_lengths_that_lie(self) -> None:
        """
        A length that leaves no room for the addresses is refused.
        """
        for family, needed in ((TCP4, 12), (TCP6, 36)):
            for length in range(needed):
                with self.assertRaises(BadHeader):
                    read(framed(bytes(100), PROXY, family, length))
            self.assertIsNotNone(read(framed(bytes(100), PROXY, family, needed)))

    def test_longest(self) -> None:
        """
        So is one beyond all measure, before any of it has come.
        """
        longest = framed(bytes(MAX_HEADER - 16))
        self.assertEqual(MAX_HEADER, size_of(longest[:16]))
        self.assertIsNone(read(longest))
        for length in (MAX_HEADER - 15, 65535):
            with self.assertRaises(BadHeader):
                size_of(framed(length=length))

    def test_truncated(self) -> None:
        """
        A header that ends too soon has not come yet.
        """
        wire = version_2("2001:db8::7")
        self.assertEqual([None] * 16, [size_of(wire[:end]) for end in range(16)])
        sizes = {size_of(wire[:end]) for end in range(16, len(wire))}
        self.assertEqual({len(wire)}, sizes)


class RandomTests(SynchronousTestCase):
    @given(HEADERS, st.binary(max_size=60))
    @settings(max_examples=300, deadline=None)
    def test_cut_anywhere(self, header: bytes, rest: bytes) -> None:
        """
        However little or much has come, the header ends at the same byte.
        """
        wire = header + rest
        sizes = [size_of(wire[:end]) for end in range(len(wire) + 1)]
        self.assertEqual({len(header)}, set(sizes[len(header) :]))
        self.assertLessEqual(set(sizes), {None, len(header)})

    @given(
        st.one_of(
            st.binary(max_size=200),
            st.binary(max_size=200).map(b"PROXY ".__add__),
            st.binary(max_size=200).map(SIGNATURE.__add__),
            st.text("PROXYTCP46UNKW 0123456789abcdef.:\r\n").map(str.encode),
            st.builds(
                lambda start, rest: start + rest,
                st.sampled_from((b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN")),
                st.text(" 0123456789abcdef.:\r\n").map(str.encode),
            ),
        )
    )
    @settings(max_examples=500, deadline=None)
    def test_nonsense(self, wire: bytes) -> None:
        """
        Nothing but a clean no comes of what is no header; a yes is an address.
        """
        with contextlib.suppress(BadHeader):
            size = size_of(wire)
            if size is None:
                self.assertLess(len(wire), MAX_LINE)
            elif size <= len(wire):
                self.check(client_of(wire[:size]))

    @given(HEADERS, st.data())
    @settings(max_examples=500, deadline=None)
    def test_damaged(self, header: bytes, data: st.DataObject) -> None:
        """
        A header with a wrong byte is refused, or is a header all the same.
        """
        wire = bytearray(header)
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at] = data.draw(st.integers(0, 255))
        with contextlib.suppress(BadHeader):
            size = size_of(bytes(wire))
            if size is not None and size <= len(wire):
                self.check(client_of(bytes(wire[:size])))

    def check(self, client: tuple[str, int] | None) -> None:
        """
        Assert that *client* is an address and a port, or nobody.
        """
        if client is not None:
            address, port = client
            ipaddress.ip_address(address)
            self.assertIn(port, range(65536))

    @given(ADDRESSES, PORTS)
    @settings(max_examples=200, deadline=None)
    def test_as_twisted_reads(self, client: str, port: int) -> None:
        """
        Of headers as they should be, Twisted's parsers say the same.
        """
        for wire, parser in (
            (version_1(client, port), V1Parser()),
            (version_2(client, port), V2Parser()),
        ):
            info, rest = parser.feed(wire + HELLO)
            assert info is not None
            theirs = (ipaddress.ip_address(info.source.host), info.source.port)
            told = read(wire)
            assert told is not None
            self.assertEqual(theirs, (ipaddress.ip_address(told[0]), told[1]))
            self.assertEqual(HELLO, rest)

    def test_ports_of_version_2(self) -> None:
        """
        The client's port is the first of the two.
        """
        there = bytes(8) + struct.pack("!HH", 1, 2)
        self.assertEqual(("0.0.0.0", 1), read(framed(there, PROXY, TCP4)))
