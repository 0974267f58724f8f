from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.main import main
from appgw.config.model import Pin
from appgw.pin_state import Match, digest_of, save
from appgw.testing import make_certificate

NOW = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
LEAF = make_certificate(["orders.internal"])
KEY = bytes(range(32))
CONFIG = f"""
listeners: {{plain: {{protocol: http, port: 8080}}}}
rules: {{all: {{priority: 1, listener: plain, pool: web, backend_settings: web}}}}
pools:
  web:
    members: ["[::1]:443", {{address: 10.0.0.7, port: 9443, pins: [key]}}]
trusted_roots: {{corp: {{certificate_file: corp.pem}}}}
backend_settings:
  web: {{protocol: https, pins: [leaf, old]}}
  checked: {{protocol: https, pins: [leaf], trusted_roots: [corp], pin_mode: detect}}
pins:
  leaf: {{certificate_file: leaf.pem, owner: payments, comment: "ask\\e[1m first"}}
  key: {{spki_sha256: "{base64.b64encode(KEY).decode()}", state: next}}
  old: {{sha256: "{"ab" * 32}", state: retiring, not_after: 2020-05-01}}
  gone: {{sha256: "{"cd" * 32}", state: revoked, not_before: 2020-01-01}}
"""


class ListTests(SynchronousTestCase):
    """
    ``appgw pins list``.
    """

    def setUp(self) -> None:
        """
        Write a configuration with its files.
        """
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "leaf.pem").write_bytes(LEAF.cert_pem)
        corp = make_certificate(common_name="corp", ca=True)
        (self.folder / "corp.pem").write_bytes(corp.cert_pem)
        self.path = self.folder / "gateway.yaml"
        self.path.write_text(CONFIG)

    def run_on(self, *options: str) -> Result:
        """
        Run the command.
        """
        return CliRunner().invoke(main, ["pins", "list", str(self.path), *options])

    def meet(self) -> None:
        """
        Let the key's pin have matched, and that be known.
        """
        with self.path.open("a") as file:
            file.write("pin_state: {file: pins.state}\n")
        key = Pin(name="key", spki_sha256=KEY)
        match = Match(digest_of(key), NOW, "ef" * 32, NOW - DAY, NOW + DAY)
        save(self.folder / "pins.state", {"key": match}, [key])

    def test_told(self) -> None:
        """
        Each pin is told with all that is known of it, in the file's order.
        """
        result = self.run_on()
        self.assertEqual(result.exit_code, 0, result.output)
        first = LEAF.certificate.not_valid_before_utc
        last = LEAF.certificate.not_valid_after_utc
        expected = f"""\
leaf: active
  stands for    the certificate with SHA-256 {LEAF.sha256}
  subject       CN=orders.internal
  valid         {first:%Y-%m-%d %H:%M} UTC to {last:%Y-%m-%d %H:%M} UTC
  owner         payments
  comment       ask\\x1b[1m first
  settings      web, checked (detects only)
  last matched  not known: no pin_state
key: next
  stands for    any certificate with SPKI SHA-256 {base64.b64encode(KEY).decode()}
  settings      (none)
  members       10.0.0.7 port 9443 of web
  last matched  not known: no pin_state
old: retiring, out of its dates
  stands for    the certificate with SHA-256 {"ab" * 32}
  admits        to the end of 2020-05-01, UTC
  settings      web
  last matched  not known: no pin_state
gone: revoked
  stands for    the certificate with SHA-256 {"cd" * 32}
  admits        from 2020-01-01, UTC
  settings      (none)
  last matched  not known: no pin_state
"""
        self.assertEqual(result.output, expected)

    def test_last_matched(self) -> None:
        """
        When a pin last matched is told, with the dates of what matched it.
        """
        self.meet()
        result = self.run_on()
        self.assertIn(
            "  valid         2026-11-23 12:00 UTC to 2026-11-25 12:00 UTC, as last"
            " presented\n",
            result.output,
        )
        self.assertIn("  last matched  2026-11-24 12:00 UTC\n", result.output)
        self.assertEqual(result.output.count("  last matched  never\n"), 3)

    def test_json(self) -> None:
        """
        For programs it is a list of the same facts.
        """
        self.meet()
        leaf, key, old, gone = json.loads(self.run_on("--json").output)
        self.assertEqual(leaf["sha256"], LEAF.sha256)
        self.assertEqual(leaf["settings"], ["web", "checked"])
        self.assertEqual(leaf["comment"], "ask\x1b[1m first")
        self.assertEqual(len(leaf["valid"]), 2)
        self.assertIsNone(leaf["last_matched"])
        self.assertEqual(
            key["members"], [{"pool": "web", "address": "10.0.0.7", "port": 9443}]
        )
        self.assertEqual(key["spki_sha256"], KEY.hex())
        self.assertEqual(key["last_matched"]["at"], "2026-11-24T12:00:00+00:00")
        self.assertEqual(old["not_after"], "2020-05-01")
        self.assertEqual(
            [one["state"] for one in (leaf, key, old, gone)],
            ["active", "next", "retiring", "revoked"],
        )

    def test_damaged_state(self) -> None:
        """
        Without a readable file of matches, the rest is told.
        """
        self.meet()
        (self.folder / "pins.state").write_bytes(b"x")
        result = self.run_on()
        self.assertEqual(result.exit_code, 0)
        self.assertIn("Warning: ", result.stderr)
        self.assertIn("key: next\n", result.stdout)
        self.assertIsNotNone(json.loads(self.run_on("--json").stdout))

    def test_bad_file(self) -> None:
        """
        A configuration with errors is told of, with exit code 1.
        """
        self.path.write_text(CONFIG.replace("state: next", "state: nxt"))
        result = self.run_on()
        self.assertEqual(result.exit_code, 1)
        self.assertIn("pins.key.state: found 'nxt'", result.output)

    def test_no_pins(self) -> None:
        """
        Where there is none, that is said.
        """
        start = CONFIG.index("trusted_roots:")
        plain = "backend_settings: {web: {protocol: http}}\n"
        text = CONFIG[:start] + plain
        self.path.write_text(text.replace(", pins: [key]", ""))
        self.assertEqual(self.run_on().output, "There are no pins.\n")
