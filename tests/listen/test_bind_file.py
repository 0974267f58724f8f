from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appgw.listen.sockets import CannotListen, addressable, bind_file


class BindFileTests(SynchronousTestCase):
    """
    UNIX sockets that listen.
    """

    def setUp(self) -> None:
        """
        Make a folder whose path is short enough for anybody.
        """
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)
        self.path = self.folder / "a.sock"

    def bound(self, path: Path | None = None) -> socket.socket:
        """
        Bind, and close with the test.
        """
        listening = bind_file(str(path or self.path))
        self.addCleanup(listening.close)
        return listening

    def reach(self, path: Path | None = None) -> None:
        """
        Connect.
        """
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(5)
            with addressable(str(path or self.path)) as address:
                caller.connect(address)

    def refused(self, path: Path | None = None) -> CannotListen:
        """
        Demand that it cannot be had, and that what was there still is.
        """
        path = path or self.path
        error = self.assertRaises(CannotListen, bind_file, str(path))
        self.assertTrue(str(error).startswith(f"cannot listen on {path}: "), error)
        return error

    def test_listens(self) -> None:
        """
        It listens at once, never blocks, is not for child processes, and only
        its owner may connect, whatever the umask.
        """
        for umask in (0, 0o22, 0o77):
            before = os.umask(umask)
            try:
                listening = self.bound()
            finally:
                os.umask(before)
            self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))
            self.assertFalse(listening.getblocking())
            self.assertTrue(fcntl.fcntl(listening, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
            self.reach()
            listening.close()

    def test_stale(self) -> None:
        """
        One that nobody listens on any more is replaced.
        """
        self.bound().close()
        self.assertRaises(ConnectionRefusedError, self.reach)
        self.bound()
        self.reach()

    def test_in_use(self) -> None:
        """
        One on which somebody listens is left to him, be he busy.
        """
        self.bound()
        self.assertEqual(errno.EADDRINUSE, self.refused().errno)
        self.reach()
        other = self.folder / "busy.sock"
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(str(other))
            busy.listen(0)
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(str(other))
                self.assertEqual(errno.EADDRINUSE, self.refused(other).errno)
        self.assertTrue(other.exists())

    def test_something_else(self) -> None:
        """
        What is no socket is never removed, nor is a link followed.
        """
        self.path.write_text("mine")
        self.assertIn("is no socket", str(self.refused()))
        self.assertEqual("mine", self.path.read_text())
        link = self.folder / "link.sock"
        self.bound(self.folder / "b.sock").close()
        link.symlink_to(self.folder / "b.sock")
        self.assertIn("is no socket", str(self.refused(link)))
        folder = self.folder / "folder"
        folder.mkdir()
        self.refused(folder)

    def test_no_folder(self) -> None:
        """
        A folder that isn't there, or may not be written to, is told.
        """
        error = self.refused(self.folder / "none" / "a.sock")
        self.assertIn("No such file", str(error))
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        if os.geteuid() == 0:
            # Root may write anywhere, nobody only where he is let.
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        self.assertIn("Permission denied", str(self.refused()))

    def test_long_path(self) -> None:
        """
        A path longer than the system takes for a socket is no hindrance.
        """
        folder = self.folder / ("x" * 100) / ("y" * 100)
        folder.mkdir(parents=True)
        path = folder / "a.sock"
        for _ in range(2):
            listening = self.bound(path)
            self.reach(path)
            self.assertIn("another program", str(self.refused(path)))
            listening.close()
        none = folder / "none" / ("z" * 50) / "a.sock"
        self.assertIn("No such file", str(self.refused(none)))
        self.assertIn("too long", str(self.refused(folder / ("z" * 120))))
