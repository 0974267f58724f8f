from __future__ import annotations

from appgw.config import model
from tests.config.samples import ConfigCase


class StatusTests(ConfigCase):
    def test_off(self) -> None:
        """
        Without the key there is no status port.
        """
        self.assertIsNone(self.sound(self.text()).status)

    def test_defaults(self) -> None:
        """
        It is on loopback, at Prometheus' usual port.
        """
        for text in ("{}", "{address: 127.0.0.1}", "{port: 9100}"):
            config = self.sound(self.text(f"status: {text}\n"))
            self.assertEqual(
                model.Status(address="127.0.0.1", port=9100), config.status
            )

    def test_wrong(self) -> None:
        """
        What is no address, no port or an unknown key is an error.
        """
        for text, key in (
            ("{address: localhost}", "address"),
            ("{port: 0}", "port"),
            ("{path: /metrics}", "path"),
        ):
            self.only(self.text(f"status: {text}  # here\n"), f"status.{key}")

    def test_listeners_port(self) -> None:
        """
        It cannot have a listener's port, be it at an address that contains its
        own or lies in it; another address is another port.
        """
        for listener, status in (
            ("0.0.0.0", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("'::'", "127.0.0.1"),
            ("'::1'", "'::'"),
            ("127.0.0.1", "0.0.0.0"),
        ):
            text = self.text(
                f"status: {{address: {status}, port: 443}}  # here\n",
                listeners=f"shop: {{protocol: https, certificate: shop,"
                f" address: {listener}}}",
            )
            problem = self.only(text, "status.port")
            self.assertIn("which listener 'shop' has", problem.found)
        for listener, status in (("127.0.0.2", "127.0.0.1"), ("'::1'", "0.0.0.0")):
            self.sound(
                self.text(
                    f"status: {{address: {status}, port: 443}}\n",
                    listeners=f"shop: {{protocol: https, certificate: shop,"
                    f" address: {listener}}}",
                )
            )
