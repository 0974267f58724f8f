from __future__ import annotations

import datetime
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from appgw.cli.main import main
from appgw.config.read import read
from appgw.testing import make_ca, make_certificate, server_context
from tests.backend.loopback import Backend

OLD = make_certificate(["orders.internal"])
NEW = make_certificate(["orders.internal"])
CONFIG = """\
# What this is for.
listeners: {plain: {protocol: http, port: 8080}}
pools: {web: {members: [127.0.0.1]}}
pins:
  orders-2026: {certificate_file: pins/old.pem}   # the first
backend_settings:
  web:
    protocol: https   # always
    pins: [orders-2026]
rules: {all: {priority: 1, listener: plain, pool: web, backend_settings: web}}
"""


class StepCase(TestCase):
    """
    A configuration on the disk.
    """

    def setUp(self) -> None:
        """
        Write it, with its files.
        """
        self.folder = Path(self.mktemp())
        (self.folder / "pins").mkdir(parents=True)
        (self.folder / "pins" / "old.pem").write_bytes(OLD.cert_pem)
        (self.folder / "pins" / "new.der").write_bytes(NEW.der)
        self.path = self.folder / "gateway.yaml"
        self.path.write_text(CONFIG)
        self.new = str(self.folder / "pins" / "new.der")

    def run_on(self, command: str, *options: str, path: Path | None = None) -> Result:
        """
        Run a command on the configuration.
        """
        words = ["pins", command, str(path or self.path), *options]
        return CliRunner().invoke(main, words)

    def rotate(self, *options: str, to: str | None = None) -> Result:
        """
        Let another certificate follow the one that there is.
        """
        return self.run_on("rotate", "orders-2026", "--to", to or self.new, *options)

    def untouched(self, result: Result, said: str, code: int = 1) -> None:
        """
        Demand a complaint, and that nothing was written.
        """
        self.assertEqual(result.exit_code, code, result.output)
        self.assertIn(said, result.output)
        self.assertNotIn("is written", result.output)
        self.assertEqual(self.path.read_text(), CONFIG)
        self.assertEqual(
            {"gateway.yaml", "pins"}, {one.name for one in self.folder.iterdir()}
        )


class RotateTests(StepCase):
    """
    ``appgw pins rotate``.
    """

    def test_file(self) -> None:
        """
        The new pin is the file's certificate, and stands beside the old one; the
        change is shown, and what is to be done next.
        """
        result = self.rotate("--name", "orders-2027")
        self.assertEqual(result.exit_code, 0, result.output)
        new = "orders-2027: {certificate_file: pins/new.der, state: next}"
        for line in (
            f"  SHA-256       {NEW.sha256}\n",
            "Pin orders-2027 follows orders-2026 on backend_settings.web.pins.\n",
            f"--- {self.path}\n+++ {self.path}\n",
            f"\n+  {new}\n",
            "\n-    pins: [orders-2026]\n+    pins: [orders-2026, orders-2027]\n",
            f"\n{self.path} is written. To put it in force, send the gateway a",
        ):
            self.assertIn(line, result.output)
        self.assertNotIn("NOT verified", result.output)
        expected = CONFIG.replace("# the first\n", f"# the first\n  {new}\n")
        expected = expected.replace("[orders-2026]", "[orders-2026, orders-2027]")
        self.assertEqual(self.path.read_text(), expected)
        pins = read(str(self.path)).pins
        self.assertEqual(pins["orders-2027"].sha256, bytes.fromhex(NEW.sha256))

    def test_dry_run(self) -> None:
        """
        A dry run says the same, and writes nothing.
        """
        result = self.rotate("--name", "orders-2027", "--dry-run")
        self.untouched(result, "\nNothing was written.\n", 0)
        self.assertIn("\n+    pins: [orders-2026, orders-2027]\n", result.output)

    def test_name(self) -> None:
        """
        Without a name it is the old one's, with the day.
        """
        self.rotate()
        before = datetime.datetime.now(datetime.UTC).date()
        (name,) = set(read(str(self.path)).pins) - {"orders-2026"}
        yesterday = before - datetime.timedelta(days=1)
        self.assertIn(name, {f"orders-{before}", f"orders-{yesterday}"})

    async def test_from_a_backend(self) -> None:
        """
        From a backend it is the digest, and it is said that nobody has verified
        it.
        """
        backend = Backend(self, server_context(NEW))
        where = f"127.0.0.1:{backend.port}"
        result = await deferToThread(self.rotate, "--name", "next", to=where)
        await backend.ended()
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("It was NOT verified: compare its SHA-256", result.output)
        self.assertIn(f"  SHA-256       {NEW.sha256}\n", result.output)
        pin = read(str(self.path)).pins["next"]
        self.assertEqual(pin.sha256, bytes.fromhex(NEW.sha256))
        self.assertIsNone(pin.certificate)

    async def test_expected(self) -> None:
        """
        Another certificate than the expected one ends it, with exit code 2, and
        the expected one does not.
        """
        backend = Backend(self, server_context(NEW))
        where = f"127.0.0.1:{backend.port}"
        for to in (where, self.new):
            result = await deferToThread(self.rotate, "--expect", OLD.sha256, to=to)
            self.untouched(result, f"SHA-256 {OLD.sha256} was expected", 2)
        colons = ":".join(
            NEW.sha256[at : at + 2].upper() for at in range(0, len(NEW.sha256), 2)
        )
        result = await deferToThread(self.rotate, "--expect", colons, to=where)
        self.assertEqual(result.exit_code, 0, result.output)
        await backend.ended(2)
        self.path.write_text(CONFIG)
        self.untouched(self.rotate("--expect", "abc"), "--expect: expected a SHA-256")

    async def test_server_name(self) -> None:
        """
        The server name asked for is the one given.
        """
        first, named = server_context(OLD), server_context(NEW)

        def by_name(connection: object) -> None:
            if connection.get_servername() == b"orders.internal":
                connection.set_context(named)

        first.set_tlsext_servername_callback(by_name)
        backend = Backend(self, first)
        where, sni = f"127.0.0.1:{backend.port}", ("--sni", "orders.internal")
        result = await deferToThread(self.rotate, to=where)
        self.untouched(result, "pin orders-2026 (active) stands for that already")
        result = await deferToThread(self.rotate, *sni, to=where)
        self.assertEqual(result.exit_code, 0, result.output)
        await backend.ended(2)

    def test_key(self) -> None:
        """
        A pin of a key is followed by a pin of a key.
        """
        digest = f'{{spki_sha256: "{OLD.spki_sha256}"}}'
        self.path.write_text(CONFIG.replace("{certificate_file: pins/old.pem}", digest))
        self.assertEqual(self.rotate("--name", "next").exit_code, 0)
        pin = read(str(self.path)).pins["next"]
        self.assertEqual(pin.spki_sha256, bytes.fromhex(NEW.spki_sha256))
        self.assertIsNone(pin.sha256)

    def test_file_elsewhere(self) -> None:
        """
        A file outside the configuration's folder is named by its whole path.
        """
        elsewhere = Path(self.mktemp()).absolute()
        elsewhere.write_bytes(NEW.cert_pem)
        result = self.rotate("--name", "next", to=str(elsewhere))
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn(f"certificate_file: {elsewhere}", self.path.read_text())

    def test_warnings(self) -> None:
        """
        What a check will warn of from now on is said at once.
        """
        ca = self.folder / "pins" / "new.der"
        ca.write_bytes(make_ca("the CA").der)
        result = self.rotate("--name", "next", "--dry-run")
        self.assertIn("warning: pins.next.certificate_file: found the", result.output)
        self.assertIn("  CA            yes\n", result.output)

    def test_what_is_no_certificate(self) -> None:
        """
        Something else than one certificate ends in one line.
        """
        (self.folder / "pins" / "new.der").write_bytes(OLD.cert_pem + NEW.cert_pem)
        self.untouched(self.rotate(), "2 certificates, expected exactly one")
        self.untouched(self.rotate(to="pins/none.pem"), "neither a file nor HOST:PORT")
        self.untouched(self.rotate(to=str(self.folder)), "Is a directory")
        self.untouched(self.rotate(to="x" * 999), "neither a file nor HOST:PORT")
        self.untouched(self.rotate(to="127.0.0.1:1"), "Connection refused")

    def test_bad_name(self) -> None:
        """
        A name that is none is refused.
        """
        self.untouched(self.rotate("--name", "a b"), "--name: expected a name")

    def test_no_such_pin(self) -> None:
        """
        A pin that is not there cannot be followed.
        """
        result = self.run_on("rotate", "orders", "--to", self.new)
        self.untouched(result, f"{self.path}: there is no pin orders")


class LifeTests(StepCase):
    """
    ``appgw pins retire`` and ``revoke``.
    """

    def states(self) -> dict[str, str]:
        """
        Return the states that the file has.
        """
        return {pin.name: pin.state for pin in read(str(self.path)).pins.values()}

    def test_whole_life(self) -> None:
        """
        A rotation from its beginning to its end, step by step.
        """
        self.rotate("--name", "next")
        self.assertEqual(self.states(), {"orders-2026": "active", "next": "next"})
        result = self.run_on("retire", "orders-2026")
        self.assertIn("Pin next is active.\n", result.output)
        self.assertEqual(self.states(), {"orders-2026": "retiring", "next": "active"})
        result = self.run_on("revoke", "orders-2026")
        self.assertIn("refused by every setting.\n", result.output)
        self.assertEqual(self.states(), {"orders-2026": "revoked", "next": "active"})
        text = self.path.read_text()
        for comment in ("# What this is for.", "# the first", "# always"):
            self.assertIn(comment, text)

    def test_dry_runs(self) -> None:
        """
        Dry runs show the change, and make none.
        """
        for command, state in (("retire", "retiring"), ("revoke", "revoked")):
            result = self.run_on(command, "orders-2026", "--dry-run")
            self.untouched(result, "\nNothing was written.\n", 0)
            self.assertIn(f", state: {state}}}   # the first\n", result.output)

    def test_nobody_left(self) -> None:
        """
        To revoke the last pin of a list is done, and said loudly.
        """
        result = self.run_on("revoke", "orders-2026")
        self.assertEqual(result.exit_code, 0)
        self.assertIn(
            "No pin in state next or active is left on backend_settings.web.pins.",
            result.output,
        )
        self.assertIn("warning: backend_settings.web.pins: found no pin", result.output)

    def test_next(self) -> None:
        """
        Who is active from now on can be said.
        """
        self.rotate("--name", "next")
        result = self.run_on("retire", "orders-2026", "--next", "orders-2026")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("pin orders-2026 is active, not next", result.output)
        self.run_on("retire", "orders-2026", "--next", "next")
        self.assertEqual(self.states(), {"orders-2026": "retiring", "next": "active"})
