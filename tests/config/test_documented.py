from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appgw.config import (
    sections,
    sections_backends,
    sections_frontend,
    sections_rewrites,
    sections_routing,
    sections_tls,
)
from appgw.config.shapes import Key
from tests.config.samples import (
    ConfigCase,
    called_good,
    certificate,
    key_pem,
    new_key,
    pem,
    pfx,
)

DOCS = Path(__file__).parents[2] / "docs"


def document(name: str) -> str:
    """
    Read a page of the documentation, where the tests lie beside it.
    """
    path = DOCS / name
    if not path.exists():
        raise SkipTest("the tests lie apart from docs")
    return path.read_text("utf-8")


class ExampleTests(ConfigCase):
    def setUp(self) -> None:
        """
        Make the files that the example names.
        """
        super().setUp()
        for folder in ("tls", "pins", "ca", "errors"):
            (self.folder / folder).mkdir()
        leaf = certificate(self.key)
        self.write("tls/shop.pem", pem(leaf))
        self.write("tls/shop.key", key_pem(self.key))
        self.write("tls/partners.pfx", pfx(self.key, leaf, [], b"secret"))
        self.write("tls/partners.password", b"secret\n")
        self.write("pins/orders-2026.pem", pem(certificate(new_key(), name="orders")))
        for name in ("corp", "partners"):
            authority = certificate(new_key(), name=name, ca=True)
            self.write(f"ca/{name}.pem", pem(authority))
        self.write("tls/gateway.pem", pem(certificate(self.key, name="gateway")))
        self.write("tls/gateway.key", key_pem(self.key))
        self.write_stapled("tls/partners-rsa")
        self.write("affinity.key", bytes(range(32)))
        for name in ("404", "sorry", "partners"):
            self.write(f"errors/{name}.html", name.encode())

    def write_stapled(self, name: str) -> None:
        """
        Write a certificate with an RSA key, and an OCSP response about it.
        """
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signer = new_key()
        authority = certificate(signer, name="ca", ca=True)
        leaf = certificate(key, issuer=("ca", signer))
        self.write(f"{name}.pem", pem(leaf))
        self.write(f"{name}.key", key_pem(key))
        self.write(f"{name}.ocsp", called_good(leaf, authority, signer))

    def test_sound(self) -> None:
        """
        The documented example is read without a warning.
        """
        config = self.sound(document("example.yaml"))
        rules = ["shop", "partners", "shop-by-balancer", "plain-partners", "plain"]
        self.assertEqual(list(config.rules), rules)
        settings = config.backend_settings["orders"]
        self.assertEqual(settings.pins, ("orders-2026", "orders-2027"))


def every_key() -> set[str]:
    """
    Return each key that the file may have.
    """
    tables: list[Mapping[str, Any]] = [
        value
        for module in (
            sections,
            sections_backends,
            sections_frontend,
            sections_rewrites,
            sections_routing,
            sections_tls,
        )
        for value in vars(module).values()
        if isinstance(value, dict)
        and value
        and all(isinstance(key, Key) for key in value.values())
    ]
    return {key for table in tables for key in table}


class ConfigurationPageTests(SynchronousTestCase):
    def test_every_key(self) -> None:
        """
        The page names every key that the file may have.
        """
        keys = every_key()
        self.assertGreater(len(keys), 50)
        page = document("configuration.md")
        named = set(re.findall(r"`([a-z0-9_]+)", page)) | set(_headings(page))
        self.assertEqual(keys - named, set())


class ParityPageTests(SynchronousTestCase):
    def test_rows(self) -> None:
        """
        Each row names keys that there are, and says one of three things.
        """
        page = document("azure-parity.md")
        rows = re.findall(r"(?m)^\| (?!property)(.+) \|$", page)
        self.assertGreater(len(rows), 20)
        for row in rows:
            cells = [cell.strip() for cell in row.split("|")]
            self.assertEqual(len(cells), 4, row)
            named = set(re.findall(r"`([a-z0-9_]+)`", cells[1]))
            self.assertEqual(named - every_key(), set(), row)
            self.assertIn(cells[2], {"same", "different on purpose", "not yet"})


def _headings(page: str) -> Iterator[str]:
    for heading in re.findall(r"(?m)^## (.+)$", page):
        yield from heading.split()
