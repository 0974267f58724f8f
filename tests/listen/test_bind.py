from __future__ import annotations

import fcntl
import socket

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appgw.listen.sockets import BACKLOG, CannotListen, bind


class BindTests(SynchronousTestCase):
    """
    Sockets that listen.
    """

    def bound(self, address: str, port: int = 0) -> socket.socket:
        """
        Bind, and close with the test.
        """
        try:
            listening = bind(address, port)
        except OSError as error:
            if ":" in address:
                raise SkipTest("no IPv6 here") from error
            raise
        self.addCleanup(listening.close)
        return listening

    def reach(self, listening: socket.socket, address: str) -> socket.socket:
        """
        Connect by *address*; return our end as the accepted one knows it.
        """
        port = listening.getsockname()[1]
        with socket.create_connection((address, port), 5):
            listening.settimeout(5)
            accepted, _ = listening.accept()
            self.addCleanup(accepted.close)
            return accepted

    def test_listens(self) -> None:
        """
        It listens at once, never blocks, and is not for child processes.
        """
        listening = self.bound("127.0.0.1")
        self.assertFalse(listening.getblocking())
        self.assertTrue(fcntl.fcntl(listening, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
        with self.assertRaises(BlockingIOError):
            listening.accept()
        accepted = self.reach(listening, "127.0.0.1")
        self.assertTrue(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertGreater(BACKLOG, 128)

    def test_both_families(self) -> None:
        """
        The unspecified IPv6 address serves IPv4 too.
        """
        listening = self.bound("::")
        for address, seen in (("::1", "::1"), ("127.0.0.1", "::ffff:127.0.0.1")):
            accepted = self.reach(listening, address)
            self.assertEqual(seen, accepted.getpeername()[0])

    def test_one_family(self) -> None:
        """
        Any other IPv6 address is IPv6 alone: its port is free for IPv4.
        """
        port = self.bound("::1").getsockname()[1]
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)

    def test_again(self) -> None:
        """
        A port is free at once for the next process, whatever its last clients do.
        """
        listening = self.bound("127.0.0.1")
        port = listening.getsockname()[1]
        accepted = self.reach(listening, "127.0.0.1")
        accepted.close()
        listening.close()
        self.assertEqual(port, self.bound("127.0.0.1", port).getsockname()[1])

    def test_taken(self) -> None:
        """
        A port that is taken is named, and so is an address that is not ours.
        """
        port = self.bound("127.0.0.1").getsockname()[1]
        with self.assertRaises(CannotListen) as caught:
            bind("127.0.0.1", port)
        self.assertIn(
            f"cannot listen on 127.0.0.1 port {port}: ", str(caught.exception)
        )
        with self.assertRaises(CannotListen) as caught:
            bind("192.0.2.1", 0)
        self.assertIn("192.0.2.1 port 0", str(caught.exception))
