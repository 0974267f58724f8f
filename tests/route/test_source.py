from __future__ import annotations

import ipaddress

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.route.source import MOST_HOPS, source_of
from tests.route.values import arrival, head

PROXIES = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fd00::/8"))


def came_from(*chains: bytes, trusted: bool = True, address: str = "10.0.0.1") -> str:
    """
    Return where a request with these lines of X-Forwarded-For comes from.
    """
    lines = [(b"X-Forwarded-For", chain) for chain in chains]
    peer = attrs.evolve(arrival(), address=address, trusted=trusted)
    asked = head()
    asked.headers = lines
    return source_of(asked, peer, PROXIES)


class SourceTests(SynchronousTestCase):
    """
    Whom a request comes from.
    """

    def test_stranger(self) -> None:
        """
        Of a peer that is not trusted, its own address counts, whatever it says.
        """
        found = came_from(b"203.0.113.9", trusted=False, address="192.0.2.1")
        self.assertEqual("192.0.2.1", found)

    def test_trusted(self) -> None:
        """
        A trusted proxy says on the right who called it.
        """
        for chain in (
            b"203.0.113.9",
            b"1.1.1.1, 203.0.113.9",
            b"evil, 203.0.113.9 ",
            b"10.0.0.9,203.0.113.9:4711",
        ):
            self.assertEqual("203.0.113.9", came_from(chain), chain)
        self.assertEqual("203.0.113.9", came_from(b"1.1.1.1", b"203.0.113.9"))

    def test_several_proxies(self) -> None:
        """
        Proxies that call proxies are passed over, for as long as they are trusted.
        """
        chain = b"1.1.1.1, 203.0.113.9, 10.2.3.4, fd00::7, 10.0.0.8"
        self.assertEqual("203.0.113.9", came_from(chain))

    def test_ipv6(self) -> None:
        """
        IPv6 addresses come bare, in brackets, or with a port behind these.
        """
        for entry in (b"2001:db8::1", b"[2001:db8::1]", b"[2001:DB8:0::1]:443"):
            self.assertEqual("2001:db8::1", came_from(entry), entry)
        self.assertEqual("203.0.113.9", came_from(b"::ffff:203.0.113.9"))

    def test_silent(self) -> None:
        """
        Where the proxies say nothing, the nearest of them is whom it comes from.
        """
        self.assertEqual("10.0.0.1", came_from())
        self.assertEqual("10.0.0.1", came_from(b""))
        self.assertEqual("10.0.0.5", came_from(b"10.0.0.5"))

    def test_unreadable(self) -> None:
        """
        What cannot be read ends the chain: further left nobody is to be believed.
        """
        for entry in (b"unknown", b"_hidden", b"1.2.3", b"\xff", b"[", b"", b"1:2"):
            self.assertEqual("10.0.0.5", came_from(b"1.1.1.1," + entry + b", 10.0.0.5"))

    def test_endless(self) -> None:
        """
        Of a chain of any length, so many entries are looked at.
        """
        chain = b"203.0.113.9" + b", 10.0.0.5" * MOST_HOPS
        self.assertEqual("10.0.0.5", came_from(chain))
        chain = b"203.0.113.9" + b", 10.0.0.5" * (MOST_HOPS - 1)
        self.assertEqual("203.0.113.9", came_from(chain))

    @given(st.lists(st.binary(max_size=40), max_size=5))
    def test_whatever_comes(self, chains: list[bytes]) -> None:
        """
        It is an address whatever the field says.
        """
        ipaddress.ip_address(came_from(*chains))
