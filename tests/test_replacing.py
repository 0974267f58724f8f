from __future__ import annotations

import contextlib
import os
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appgw.replacing import replace


class ReplaceTests(SynchronousTestCase):
    """
    Files that change as a whole or not at all.
    """

    def setUp(self) -> None:
        """
        Make a file.
        """
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "gateway.yaml"
        self.file.write_bytes(b"old")

    def alone(self) -> None:
        """
        Demand that nothing lies beside the file.
        """
        self.assertEqual([self.file], list(self.folder.iterdir()))

    def test_replaced(self) -> None:
        """
        The file has the new content, is another one, and nothing is left over.
        """
        with self.file.open("rb") as reader:
            replace(self.file, b"new")
            self.assertEqual(b"old", reader.read())
        self.assertEqual(b"new", self.file.read_bytes())
        self.alone()

    def test_new(self) -> None:
        """
        A file that was not there is made, for its owner to write.
        """
        self.file.unlink()
        replace(self.file, b"new")
        self.assertEqual(0o644, self.file.stat().st_mode & 0o7755)
        self.alone()

    def test_mode(self) -> None:
        """
        The mode stays, whatever the process's mask.
        """
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        for mode in (0o640, 0o600, 0o664, 0o444):
            self.file.chmod(mode)
            replace(self.file, b"new", like=self.file)
            self.assertEqual(mode, self.file.stat().st_mode & 0o7777)
        self.alone()

    def test_owner(self) -> None:
        """
        The owner stays.
        """
        if os.geteuid() != 0:
            raise SkipTest("only root gives files away")
        os.chown(self.file, 1234, 4321)
        replace(self.file, b"new", like=self.file)
        found = self.file.stat()
        self.assertEqual((1234, 4321), (found.st_uid, found.st_gid))

    def test_attributes(self) -> None:
        """
        Extended attributes stay, where the file system has them.
        """
        with contextlib.suppress(OSError):
            os.setxattr(self.file, "user.note", b"kept")
        before = os.listxattr(self.file)
        replace(self.file, b"new", like=self.file)
        self.assertEqual(before, os.listxattr(self.file))
        for name in before:
            self.assertEqual(b"kept", os.getxattr(self.file, name))

    def test_cannot(self) -> None:
        """
        Where it cannot be done all is as it was, and nothing is left over.
        """
        gone = self.folder / "none"
        with self.assertRaises(OSError):
            replace(self.file, b"new", like=gone)
        with self.assertRaises(OSError):
            replace(gone / "gateway.yaml", b"new")
        self.assertEqual(b"old", self.file.read_bytes())
        self.alone()

    def test_folder_in_its_place(self) -> None:
        """
        A folder is not replaced.
        """
        place = self.folder / "gateway.yaml" / "x"
        with self.assertRaises(OSError):
            replace(place, b"new")
        folder = self.folder / "folder"
        folder.mkdir()
        with self.assertRaises(OSError):
            replace(folder, b"new")
        self.assertEqual({self.file, folder}, set(self.folder.iterdir()))
