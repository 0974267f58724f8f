from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.explain import ask, explained
from appgw.config.model import (
    ClientAuthConfiguration,
    Config,
    SslProfile,
    TrustedClientCertificate,
)
from appgw.testing import make_ca
from tests.route.values import config, listener

STRICT = ClientAuthConfiguration()
PASSING = ClientAuthConfiguration(verify_client_auth_mode="Passthrough")
AUTHORITY = TrustedClientCertificate(name="clients", certificates=(make_ca().der,))


def asking(how: ClientAuthConfiguration) -> Config:
    """
    Two sites, of which one asks for certificates.
    """
    shop = attrs.evolve(listener("shop", "shop.example.com"), ssl_profile="p")
    return attrs.evolve(
        config(shop, listener("open", "open.example.com")),
        ssl_profiles={
            "p": SslProfile(
                name="p",
                trusted_client_certificates=("clients",),
                client_auth_configuration=how,
            )
        },
        trusted_client_certificates={"clients": AUTHORITY},
    )


class ClientTests(SynchronousTestCase):
    """
    What a client has to show.
    """

    def told(self, values: Config, url: str, *fields: str) -> tuple[list[str], bool]:
        """
        Explain a request.
        """
        return explained(values, ask(url, fields, "GET", "192.0.2.1"))

    def test_strict(self) -> None:
        """
        A certificate is taken for granted, and that is said.
        """
        lines, refused = self.told(asking(STRICT), "https://shop.example.com/")
        [line] = [line for line in lines if line.startswith("client ")]
        self.assertIn("must show a certificate", line)
        self.assertFalse(refused)

    def test_passthrough(self) -> None:
        """
        Where one is asked for and not demanded, that is said.
        """
        lines, refused = self.told(asking(PASSING), "https://shop.example.com/")
        [line] = [line for line in lines if line.startswith("client ")]
        self.assertIn("is asked for a certificate", line)
        self.assertFalse(refused)

    def test_nothing(self) -> None:
        """
        Nothing is said where nothing is asked.
        """
        lines, _ = self.told(asking(STRICT), "https://open.example.com/")
        self.assertEqual([], [line for line in lines if line.startswith("client ")])

    def test_without_a_name(self) -> None:
        """
        By its address the first listener is reached, and no other demands.
        """
        for host, refused in (("shop", False), ("open", True)):
            field = f"Host: {host}.example.com"
            _, found = self.told(asking(STRICT), "https://192.0.2.9/", field)
            self.assertEqual(refused, found)
