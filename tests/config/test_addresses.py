from __future__ import annotations

import ipaddress
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config import addresses
from appgw.config.scalars import UnfitError


class AddressCase(SynchronousTestCase):
    def refused(self, parse: Callable[[str], object], *texts: str) -> None:
        """
        Demand that each text is refused, and that it is said what would do.
        """
        taken = []
        for text in texts:
            try:
                taken.append((text, parse(text)))
            except UnfitError as unfit:
                self.assertTrue(unfit.expected)
        self.assertEqual(taken, [])


class HostTests(AddressCase):
    def test_addresses(self) -> None:
        """
        IP addresses come out in their shortest form.
        """
        self.assertEqual(addresses.ip_address("0.0.0.0"), "0.0.0.0")
        self.assertEqual(addresses.ip_address("2001:DB8:0::1"), "2001:db8::1")
        odd = ("", "localhost", "[::]", "1.2.3", "256.0.0.1", "fe80::1%eth0", "*")
        self.refused(addresses.ip_address, *odd, "::ffff:10.0.0.1", "010.0.0.1")

    def test_hosts(self) -> None:
        """
        Host names are lower-cased and lose the dot at their end.
        """
        self.assertEqual(addresses.host("Orders.Internal."), "orders.internal")
        self.assertEqual(addresses.host("my_app"), "my_app")
        self.assertEqual(addresses.host("10.0.0.7"), "10.0.0.7")
        self.assertEqual(addresses.host("::1"), "::1")

    def test_no_hosts(self) -> None:
        """
        Ports, schemes, wildcards, and names that look like a wrong address are
        no host names.
        """
        odd = ("", ".", "a..b", "-a", "a-", "a:80", "http://a", "a/b", "*.a", "é.de")
        self.refused(addresses.host, *odd, "10.0.0.256", "1.2.3", "a" * 64, "a b")
        self.refused(addresses.host, ".".join(["a" * 50] * 6), "user@a", "a\n", "[::1]")

    def test_hosts_with_ports(self) -> None:
        """
        A member is a host with or without a port, IPv6 in brackets then.
        """
        for text, expected in (
            ("orders-1.internal", ("orders-1.internal", None)),
            ("Orders:9443", ("orders", 9443)),
            ("10.0.0.7:65535", ("10.0.0.7", 65535)),
            ("[::1]:443", ("::1", 443)),
            ("[2001:db8::7]", ("2001:db8::7", None)),
            ("2001:db8::7", ("2001:db8::7", None)),
        ):
            self.assertEqual(addresses.host_and_port(text), expected)
        odd = ("", ":80", "a:", "a:0", "a:65536", "a:b", "a:80:80", "[a]:80", "[::1")
        self.refused(addresses.host_and_port, *odd, "[]:80", "a:+80", "https://a")

    def test_networks(self) -> None:
        """
        Networks have no bits beyond their prefix.
        """
        self.assertEqual(
            addresses.network("10.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8")
        )
        self.assertEqual(addresses.network("::1"), ipaddress.ip_network("::1/128"))
        self.refused(addresses.network, "", "10.0.0.1/8", "10.0.0.0/33", "any", "10/8")


class SiteNameTests(AddressCase):
    def test_taken(self) -> None:
        """
        Azure's examples of legal wildcards are taken, in lower case.
        """
        for text in ("w??.contoso*.edu.*", "*.contoso-*.com", "*", "shop.example.com"):
            self.assertEqual(addresses.site_name(text), text)
        self.assertEqual(addresses.site_name("*.Shop.COM"), "*.shop.com")

    def test_refused(self) -> None:
        """
        Too many wildcards, two kinds of them in one part, or letters that no
        host name has are refused.
        """
        many = (
            "*.contoso.*.*.com",
            "????.contoso.*",
            "?????.com",
            "**.com",
            "a*b*.com",
        )
        mixed = ("*?.com", "?*.com", "a?b*.com")
        odd = ("", "a..b", "a.", "a:80", "a_b.com", "é.com", "a b", "/", "[::1]")
        self.refused(
            addresses.site_name, *many, *mixed, *odd, "a" * 64, "a." * 130 + "a"
        )


class PathTests(AddressCase):
    def test_patterns(self) -> None:
        """
        A pattern starts with a slash and has a star at its end at most.
        """
        for text in ("/", "/*", "/orders/*", "/images*", "/a%2Fb", "/a;b=c/d,e", "/~x"):
            self.assertEqual(addresses.path_pattern(text), text)

    def test_no_patterns(self) -> None:
        """
        Stars elsewhere, queries and fragments are refused.
        """
        stars = ("/images/*.jpg", "/*.jpg", "/Repos/*/Comments/*", "/**", "/a**")
        odd = (
            "",
            "*",
            "orders/*",
            "/a?b=c",
            "/a#b",
            "/a b",
            "/é",
            "/a\\b",
            "/%zz",
            "/%4",
        )
        self.refused(addresses.path_pattern, *stars, *odd)

    def test_reasons(self) -> None:
        """
        A refusal says what is wrong with the pattern, not only that it is.
        """
        for text, reason in (
            ("orders/*", "starts with '/'"),
            ("/a?b=c", "without a query"),
            ("/a#b", "without a query or a fragment"),
            ("/*.jpg", "a '*' only at the end"),
            ("/%61", "without %XX escapes"),
            ("//", "without '//'"),
        ):
            with self.assertRaises(UnfitError) as caught:
                addresses.path_pattern(text)
            self.assertIn(reason, caught.exception.expected)

    def test_patterns_that_cannot_match(self) -> None:
        """
        A pattern that no normalised path could match is refused.
        """
        odd = ("//a", "/a//b", "/a/../b", "/./a", "/a/..", "/%61", "/%7E", "/%2e%2e/")
        self.refused(addresses.path_pattern, *odd)

    def test_paths(self) -> None:
        """
        A path override is a path, without a query.
        """
        self.assertEqual(addresses.path("/v2/"), "/v2/")
        self.refused(addresses.path, "", "v2", "/v2?x", "/a b", "/a\r\nX: y", "/a/../b")

    def test_web_addresses(self) -> None:
        """
        A redirect's target is an absolute http or https URL.
        """
        for text in (
            "https://www.example.com:8443/path?x=1",
            "HTTP://Www.example.com",
            "https://10.0.0.7/#/login?next=/",
            "https://[::1]:8443/a;b=(c)/%2F//?a=%20&b='?'#top",
            "https://xn--bcher-kva.example?",
        ):
            self.assertEqual(addresses.web_address(text), text)

    def test_no_web_addresses(self) -> None:
        """
        Nothing else is, above all nothing that a client would read differently.
        """
        odd = ("", "/path", "ftp://a/", "https://", "https://a b/", "javascript:1")
        self.refused(addresses.web_address, *odd, "https://a:x/", "https://u@a/")
        self.refused(
            addresses.web_address, "https://a/\r\nX: y", "https://[::1/", "//a/"
        )
        odd = (
            "https://::1/",
            "https://a:/",
            "https://a:0/",
            "https://a/\\b",
            "https:a",
        )
        self.refused(
            addresses.web_address, *odd, "https:///a", "https://?a", "https://#"
        )
        odd = (
            "%zz",
            "%2",
            "|",
            '"',
            "<b>",
            "{a}",
            "\t",
            "\0",
            "\u00e9",
            "^",
            "`",
            "#a#b",
        )
        for end in odd:
            self.refused(addresses.web_address, f"https://a/{end}", f"https://a/?{end}")

    @settings(deadline=None)
    @given(st.text(max_size=300) | st.text("ab.:*?/%[]0123", max_size=40))
    def test_any_text(self, text: str) -> None:
        """
        Whatever the text, a parser takes it or raises UnfitError.
        """
        for parse in (
            addresses.host,
            addresses.host_and_port,
            addresses.ip_address,
            addresses.network,
            addresses.path,
            addresses.path_pattern,
            addresses.site_name,
            addresses.web_address,
        ):
            try:
                parse(text)
            except UnfitError as unfit:
                self.assertTrue(unfit.expected)
