from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.route.listeners import BadHost, HostNames, host_of, listener_for


class HostOfTests(SynchronousTestCase):
    def test_equal_names(self) -> None:
        """Case, a port, an empty port and one trailing dot make no difference."""
        for authority in (
            b"shop.example.com",
            b"SHOP.Example.COM",
            b"shop.example.com.",
            b"shop.example.com:",
            b"shop.example.com:443",
            b"shop.example.com.:00443",
        ):
            self.assertEqual("shop.example.com", host_of(authority))

    def test_other_names(self) -> None:
        """Whatever a name may hold stays in it."""
        for authority, host in (
            (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
            (b"a_b.example", "a_b.example"),
            (b"0.0.0.0=5000", "0.0.0.0=5000"),
            (b"10.0.0.7:8080", "10.0.0.7"),
            (b"x:1", "x"),
            (b"x:65535", "x"),
            (b"a" * 255, "a" * 255),
        ):
            self.assertEqual(host, host_of(authority))

    def test_ipv6(self) -> None:
        """An IPv6 address comes without brackets, in its shortest form."""
        self.assertEqual("::1", host_of(b"[::1]"))
        self.assertEqual("2001:db8::1", host_of(b"[2001:DB8:0:0::1]:8443"))

    def test_bad(self) -> None:
        """What names no host for certain is refused."""
        for authority in (
            b"",
            b":80",
            b".",
            b"..",
            b".example",
            b"a..b",
            b"a..",
            b"a@b",
            b"user:secret@a",
            b"a/b",
            b"a b",
            b" a",
            b"a,b",
            b"a%2eb",
            b"a#b",
            b"a?b",
            b"a\\b",
            b"::1",
            b"[::1",
            b"[::1]x",
            b"[]",
            b"[1.2.3.4]",
            b"[::1%25eth0]",
            b"[v1.x]",
            b"a\r\nb",
            b"a\n",
            b"a\0",
            "\u0661.example".encode(),
            b"a" * 256,
        ):
            self.assertRaises(BadHost, host_of, authority)

    def test_bad_port(self) -> None:
        """A port is empty or between 1 and 65535, in five digits at most."""
        for authority in (
            b"a:0",
            b"a:00000",
            b"a:65536",
            b"a:99999",
            b"a:000443",
            b"a:-1",
            b"a:+1",
            b"a:80:80",
            b"a:8o",
        ):
            self.assertRaises(BadHost, host_of, authority)

    @given(st.binary(max_size=20))
    def test_result_is_a_name(self, authority: bytes) -> None:
        """A host that was read is one more time read as itself."""
        try:
            host = host_of(authority)
        except BadHost:
            return
        again = f"[{host}]" if ":" in host else host
        self.assertEqual(host, host_of(again.encode()))
        self.assertNotRegex(host, r"[\s,/@\[\]A-Z]|\.\Z")


class HostNamesTests(SynchronousTestCase):
    def test_any(self) -> None:
        """Without names every Host is taken."""
        self.assertTrue(HostNames.parse(()).take("whatever"))

    def test_exact(self) -> None:
        """A name takes itself and nothing longer."""
        names = HostNames.parse(("A.example.", "b.example"))
        self.assertTrue(names.take("a.example"))
        self.assertTrue(names.take("b.example"))
        self.assertFalse(names.take("x.a.example"))
        self.assertFalse(names.take("a.example.org"))
        self.assertFalse(names.take("axexample"))

    def test_wildcards(self) -> None:
        """An asterisk spans labels, a question mark is one character."""
        for pattern, yes, no in (
            (
                "*.contoso.com",
                ["a.contoso.com", "customer1.b2b.contoso.com"],
                ["contoso.com", "acontoso.com", "a.contoso.com.evil"],
            ),
            ("w??.contoso*.edu", ["www.contoso.edu", "w12.contoso-x.edu"], ["w.c.edu"]),
            ("a?c", ["abc", "a-c"], ["ac", "abbc", "abcd"]),
            ("*", ["a", "a.b"], []),
            ("a+.*", ["a+.b"], ["aa.b"]),
        ):
            names = HostNames.parse(("other.example", pattern))
            self.assertEqual([True] * len(yes), [names.take(name) for name in yes])
            self.assertEqual([False] * len(no), [names.take(name) for name in no])
            self.assertTrue(names.take("other.example"))


@attrs.frozen
class _Place:
    host_names: HostNames


class ListenerForTests(SynchronousTestCase):
    def test_order_alone_decides(self) -> None:
        """The first that takes a name wins, however special the others are."""
        wild = _Place(HostNames.parse(("*.example",)))
        exact = _Place(HostNames.parse(("a.example",)))
        rest = _Place(HostNames.parse(()))
        self.assertIs(wild, listener_for([wild, exact, rest], "a.example"))
        self.assertIs(exact, listener_for([exact, wild, rest], "a.example"))
        self.assertIs(rest, listener_for([rest, wild, exact], "a.example"))

    def test_nobody(self) -> None:
        """A name that nobody takes, and no name, mean nobody."""
        place = _Place(HostNames.parse(("a.example",)))
        self.assertIsNone(listener_for([place], "b.example"))
        self.assertIsNone(listener_for([place], None))
        self.assertIsNone(listener_for([_Place(HostNames.parse(()))], None))
