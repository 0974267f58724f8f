from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.trusted import Proxies, among, plain_address
from appgw.proxy_header import client_of
from tests.proxying import version_1, version_2

NETWORKS = (
    ipaddress.ip_network("192.0.2.0/25"),
    ipaddress.ip_network("2001:db8::/32"),
)


class AddressTests(SynchronousTestCase):
    """
    Addresses as they are compared.
    """

    @given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
    @settings(max_examples=300, deadline=None)
    def test_named_by_a_proxy(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address
    ) -> None:
        """
        Whatever address a header names, that one is compared and no other.
        """
        for header in (version_1(str(address)), version_2(str(address))):
            named = client_of(header)
            assert named is not None
            plain = ipaddress.ip_address(plain_address(named[0]))
            mapped = getattr(address, "ipv4_mapped", None)
            self.assertEqual(mapped or address, plain)

    def test_close_to_mapped(self) -> None:
        """
        Nor is one taken for IPv4 that only looks like it.
        """
        for address in ("::ffff:1", "::ffff:7f00:0:1", "::ffff:0:7f00:1", "::ffff"):
            named = client_of(version_1(address))
            assert named is not None
            plain = ipaddress.ip_address(plain_address(named[0]))
            self.assertEqual(ipaddress.ip_address(address), plain)

    def test_among(self) -> None:
        """
        What is no address belongs nowhere, and nothing belongs to no network.
        """
        self.assertTrue(among("192.0.2.1", NETWORKS))
        self.assertTrue(among("2001:db8::1", NETWORKS))
        for address in ("192.0.2.128", "2001:db9::1", "", "no address"):
            self.assertFalse(among(address, NETWORKS))
        self.assertFalse(among("192.0.2.1", ()))


class ProxiesTests(SynchronousTestCase):
    """
    A port's proxies.
    """

    def setUp(self) -> None:
        """
        Count, and watch the log.
        """
        self.why: list[str] = []
        self.said: list[LogEvent] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)
        self.proxies = Proxies("0.0.0.0 port 443", NETWORKS, self.why.append)

    def test_trusts(self) -> None:
        """
        They are known by their address, by whichever family they come.
        """
        for address, wanted in (
            ("192.0.2.127", True),
            ("::ffff:192.0.2.127", True),
            ("2001:db8::1%lo", True),
            ("192.0.2.128", False),
            ("::ffff:192.0.2.128", False),
            ("::1", False),
        ):
            self.assertEqual(wanted, self.proxies.trusts(address), address)
        self.assertFalse(Proxies("", (), self.why.append).trusts("192.0.2.1"))

    def test_refused(self) -> None:
        """
        Each refusal is counted; the log has the first one for each reason.
        """
        reasons = ["untrusted", "malformed", "late", "unfinished"]
        for number in range(3):
            for why in reasons:
                self.proxies.refused(why, f"::ffff:203.0.113.{number}")
        self.assertEqual(reasons * 3, self.why)
        told = [str(event["log_format"]).format(**event) for event in self.said]
        self.assertEqual(4, len(told))
        for line in told:
            self.assertTrue(line.startswith("0.0.0.0 port 443: refused a connection"))
            self.assertIn("from 203.0.113.0: it", line)
        self.assertIn("trusted_proxies", told[0])
