from __future__ import annotations

from tests.config.samples import ConfigCase

THERE = "pool: orders, backend_settings: orders"


class ProxyProtocolTests(ConfigCase):
    def listening(self, first: str, second: str, more: str = "") -> str:
        """
        Write two listeners of port 80, each with a rule.
        """
        return self.text(
            more or "trusted_proxies: [10.0.0.0/8]",
            listeners=f"""
                one: {{protocol: http, host_names: [a], {first}}}
                two: {{protocol: http, host_names: [b], {second}}}  # here
            """,
            rules=f"""
                one: {{priority: 1, listener: one, {THERE}}}
                two: {{priority: 2, listener: two, {THERE}}}
            """,
        )

    def test_both(self) -> None:
        """
        A flag; without it, clients connect themselves.
        """
        text = self.listening("proxy_protocol: true", "proxy_protocol: true")
        config = self.sound(text)
        self.assertTrue(config.listeners["one"].proxy_protocol)
        config = self.sound(self.listening("port: 80", "proxy_protocol: false"))
        self.assertFalse(config.listeners["one"].proxy_protocol)
        text = self.listening("proxy_protocol: true, port: 81", "port: 80")
        self.assertFalse(self.sound(text).listeners["two"].proxy_protocol)

    def test_other_values(self) -> None:
        """
        It is a flag and nothing else.
        """
        text = self.listening("port: 80", "proxy_protocol: v2")
        self.only(text, "listeners.two.proxy_protocol")

    def test_one_port(self) -> None:
        """
        All listeners of a port begin in one way.
        """
        for first, second in (
            ("proxy_protocol: true", "port: 80"),
            ("port: 80", "proxy_protocol: true"),
            ("proxy_protocol: true", "proxy_protocol: false"),
        ):
            problem = self.only(
                self.listening(first, second), "listeners.two.proxy_protocol"
            )
            self.assertIn("listener 'one' has", problem.found)

    def test_nobody_trusted(self) -> None:
        """
        Without trusted proxies nobody's header could be believed: an error.
        """
        for more in ("forwarded_for_port: true", "trusted_proxies: []"):
            text = self.listening("port: 81", "proxy_protocol: true", more)
            problem = self.only(text, "listeners.two.proxy_protocol")
            self.assertIn("trusted_proxies", problem.expected)

    def test_broken_trust(self) -> None:
        """
        Proxies that can't be read bring no second complaint.
        """
        more = "trusted_proxies: [10.0.0.0/33]  # here"
        text = self.listening("port: 81", "proxy_protocol: true", more)
        self.only(text.replace("}  # here", "}"), "trusted_proxies[0]")

    def test_everybody_trusted(self) -> None:
        """
        Whoever trusts everybody is warned: anybody could name anybody.
        """
        for network in ("0.0.0.0/0", "'::/0'"):
            more = f"trusted_proxies: [10.0.0.0/8, {network}]  # here"
            text = self.listening("port: 81", "proxy_protocol: true", more)
            text = text.replace("}  # here", "}")
            self.only(text, "trusted_proxies[1]", "warning")
            self.sound(text.replace("proxy_protocol: true", "port: 80"))
