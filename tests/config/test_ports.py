from __future__ import annotations

import socket

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.config.samples import ConfigCase


class PortTests(ConfigCase):
    def beside(self, first: str, second: str) -> str:
        """
        Write two listeners, each with a rule.
        """
        there = "pool: orders, backend_settings: orders"
        return self.text(
            listeners=f"""
                one: {{{first}}}
                two: {{{second}}}  # here
            """,
            rules=f"""
                one: {{priority: 1, listener: one, {there}}}
                two: {{priority: 2, listener: two, {there}}}
            """,
        )

    def test_two_protocols(self) -> None:
        """
        One port speaks one protocol.
        """
        text = self.beside(
            "protocol: http, port: 443, host_names: [a]",
            "protocol: https, certificate: shop, host_names: [b]",
        )
        self.only(text, "listeners.two.protocol")

    def test_both_without_host_names(self) -> None:
        """
        Only one listener of a port can take every Host.
        """
        text = self.beside("protocol: http", "protocol: http, address: 0.0.0.0")
        self.only(text, "listeners.two.host_names")

    def test_each_told_once(self) -> None:
        """
        Of many listeners that clash each is told once, and the first not.
        """
        there = "pool: orders, backend_settings: orders"
        numbers = range(5)
        text = self.text(
            listeners="\n".join(f"l{n}: {{protocol: http}}" for n in numbers),
            rules="\n".join(
                f"r{n}: {{priority: {n + 1}, listener: l{n}, {there}}}" for n in numbers
            ),
        )
        keys = [problem.key for problem in self.examine(text).problems]
        self.assertEqual(keys, [f"listeners.l{n}.host_names" for n in numbers[1:]])

    def test_same_host_name(self) -> None:
        """
        A host name belongs to one listener of a port.
        """
        text = self.beside(
            "protocol: http, host_names: [a.example.com, '*.example.com']",
            "protocol: http, host_names: [b.example.com, '*.Example.com']",
        )
        self.only(text, "listeners.two.host_names[1]")

    def test_one_address_within_another(self) -> None:
        """
        An address that contains another can't have the same port.
        """
        for first, second in (
            ("'::'", "0.0.0.0"),
            ("0.0.0.0", "'::'"),
            ("'::'", "127.0.0.1"),
            ("'::'", "'::1'"),
            ("0.0.0.0", "127.0.0.1"),
            ("10.0.0.7", "0.0.0.0"),
        ):
            text = self.beside(
                f"protocol: http, address: {first}, host_names: [a]",
                f"protocol: http, address: {second}, host_names: [b]",
            )
            self.only(text, "listeners.two.address")

    def test_side_by_side(self) -> None:
        """
        Listeners that don't meet are left alone.
        """
        for first, second in (
            ("protocol: http, host_names: [a]", "protocol: http, host_names: [b]"),
            (
                "protocol: http, host_names: ['*.a']",
                "protocol: http, host_names: [b.a]",
            ),
            ("protocol: http, port: 8080", "protocol: http"),
            ("protocol: http", "protocol: https, certificate: shop"),
            (
                "protocol: http, address: 127.0.0.1",
                "protocol: http, address: 127.0.0.2",
            ),
            ("protocol: http, address: 0.0.0.0", "protocol: http, address: '::1'"),
            (
                "protocol: http, address: '::'",
                "protocol: http, address: '::', host_names: [a], port: 81",
            ),
        ):
            self.sound(self.beside(first, second))

    def test_broken_port(self) -> None:
        """
        A port that can't be read brings no second complaint.
        """
        text = self.beside("protocol: http", "protocol: http, port: x")
        self.only(text, "listeners.two.port")


class SystemTests(SynchronousTestCase):
    def listening(self, address: str, port: int) -> socket.socket:
        """
        Listen at an address, the way that Twisted does.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family)
        self.addCleanup(sock.close)
        if address == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen()
        return sock

    def test_what_the_system_allows(self) -> None:
        """
        The system refuses what is called a clash here.
        """
        if not socket.has_dualstack_ipv6():
            raise SkipTest("this machine has no IPv6")
        for first, second in (
            ("::", "0.0.0.0"),
            ("::", "127.0.0.1"),
            ("::", "::1"),
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.1", "0.0.0.0"),
        ):
            port = self.listening(first, 0).getsockname()[1]
            with self.assertRaises(OSError):
                self.listening(second, port)
        port = self.listening("127.0.0.1", 0).getsockname()[1]
        self.listening("127.0.0.2", port)
