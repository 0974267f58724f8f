from __future__ import annotations

import os
from pathlib import Path

from click.testing import Result
from twisted.trial.unittest import SkipTest

from appgw.cli import pin_steps
from tests.cli.test_pin_steps import CONFIG, NEW, StepCase


class OnDiskTests(StepCase):
    """
    What becomes of the file itself.
    """

    def revoke(self, path: Path | None = None) -> Result:
        """
        Change the file.
        """
        return self.run_on("revoke", "orders-2026", path=path)

    def test_mode(self) -> None:
        """
        Its mode stays, and nothing lies beside it.
        """
        self.path.chmod(0o640)
        self.assertEqual(self.revoke().exit_code, 0)
        self.assertEqual(self.path.stat().st_mode & 0o7777, 0o640)
        self.assertEqual(
            {"gateway.yaml", "pins"}, {one.name for one in self.folder.iterdir()}
        )

    def test_symbolic_link(self) -> None:
        """
        A symbolic link stays one; what it leads to is changed, and files are looked
        for beside the link, as ever.
        """
        elsewhere = Path(self.mktemp()).absolute()
        elsewhere.mkdir()
        real = self.path.rename(elsewhere / "real.yaml")
        self.path.symlink_to(real)
        result = self.revoke()
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertTrue(self.path.is_symlink())
        self.assertIn("state: revoked", real.read_text())
        self.assertEqual([real], list(elsewhere.iterdir()))

    def test_hard_link(self) -> None:
        """
        A file with two names would lose one of them, and is left alone.
        """
        other = Path(self.mktemp()).absolute()
        os.link(self.path, other)
        self.untouched(self.revoke(), "it has several names (hard links)")

    def test_line_breaks(self) -> None:
        """
        Line breaks of another kind stay, and so does a missing last one.
        """
        data = CONFIG.replace("\n", "\r\n").removesuffix("\r\n").encode()
        self.path.write_bytes(data)
        result = self.revoke()
        self.assertEqual(result.exit_code, 0, result.output)
        expected = data.replace(b"old.pem}", b"old.pem, state: revoked}")
        self.assertEqual(self.path.read_bytes(), expected)
        self.assertNotIn("\\r", result.output)

    def test_changed_meanwhile(self) -> None:
        """
        What somebody has written in the meantime is not lost.
        """

        def meanwhile(*these: object) -> list[str]:
            self.path.write_text(CONFIG + "# mine\n")
            return []

        self.patch(pin_steps, "_difference", meanwhile)
        result = self.revoke()
        self.assertEqual(result.exit_code, 1)
        self.assertIn("somebody has changed it meanwhile", result.output)
        self.assertEqual(self.path.read_text(), CONFIG + "# mine\n")

    def test_bad_file(self) -> None:
        """
        A file with errors has to be mended first.
        """
        text = CONFIG.replace("8080", "80800")
        self.path.write_text(text)
        result = self.revoke()
        self.assertEqual(result.exit_code, 1)
        self.assertIn("listeners.plain.port: found '80800'", result.output)
        self.assertEqual(self.path.read_text(), text)

    def test_not_there(self) -> None:
        """
        A file that is not there is said not to be.
        """
        result = self.revoke(self.folder / "none.yaml")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("No such file or directory", result.output)

    def test_not_allowed(self) -> None:
        """
        Where nothing may be written, nothing is.
        """
        if os.geteuid() == 0:
            raise SkipTest("root may write anywhere")
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        self.untouched(self.revoke(), "Permission denied")

    def test_in_doubt(self) -> None:
        """
        A form in which a change would change more is left to an editor.
        """
        text = CONFIG.replace(
            "  orders-2026: {certificate_file: pins/old.pem}",
            f'  other: &o {{sha256: "{NEW.sha256}"}}\n  orders-2026: *o',
        )
        self.path.write_text(text)
        result = self.run_on("revoke", "other")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("change it by hand", result.output)
        result = self.revoke()
        self.assertEqual(result.exit_code, 1)
        self.assertIn("line 6: pin orders-2026 is written as an alias", result.output)
        self.assertEqual(self.path.read_text(), text)
