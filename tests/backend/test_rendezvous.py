from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend import rendezvous
from appgw.backend.rendezvous import Rendezvous, network_of, score

CLIENTS = [f"10.{number // 250}.{number % 250}.7" for number in range(3000)]
patient = settings(deadline=None, database=None)


def among(**shares: float) -> Rendezvous[str]:
    """
    Return the choices among backends with these shares.
    """
    return Rendezvous([(name, share, name) for name, share in shares.items()])


class NetworkTests(SynchronousTestCase):
    """
    What of an address counts.
    """

    def test_ipv4(self) -> None:
        """
        All of an IPv4 address counts, in whatever form it comes.
        """
        self.assertEqual(bytes([192, 0, 2, 1]), network_of("192.0.2.1"))
        self.assertEqual(network_of("192.0.2.1"), network_of("::ffff:192.0.2.1"))
        self.assertNotEqual(network_of("192.0.2.1"), network_of("192.0.2.2"))

    def test_ipv6(self) -> None:
        """
        Of an IPv6 address the /64 counts, whatever a client does within it.
        """
        home = network_of("2001:db8:1:2::1")
        for inside in ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:DB8:1:2:0::9"):
            self.assertEqual(home, network_of(inside))
        self.assertNotEqual(home, network_of("2001:db8:1:3::1"))

    def test_no_address(self) -> None:
        """
        What is no address counts as it is.
        """
        self.assertEqual(b"unix", network_of("unix"))


class ScoreTests(SynchronousTestCase):
    """
    What decides.
    """

    def test_everywhere_the_same(self) -> None:
        """
        The score depends on nothing but its arguments: gateways agree, today
        and tomorrow.
        """
        found = score(bytes([192, 0, 2, 1]), b"10.0.0.1:443", 2.0)
        self.assertAlmostEqual(6.875099837299405, found, 9)

    @patient
    @given(st.binary(max_size=16), st.binary(max_size=60), st.floats(0.001, 1000))
    def test_finite(self, client: bytes, backend: bytes, share: float) -> None:
        """
        Every score is a number above 0 and grows with the share.
        """
        found = score(client, backend, share)
        self.assertTrue(0 < found < float("inf"))
        self.assertGreater(score(client, backend, share * 2), found)


class RendezvousTests(SynchronousTestCase):
    """
    Who belongs to whom.
    """

    def test_stays(self) -> None:
        """
        A client belongs to the same backend each time, wherever it stands in
        the list.
        """
        one, two = among(a=1, b=1, c=1), among(c=1, a=1, b=1)
        for client in CLIENTS[:200]:
            first = one.first(client)
            self.assertEqual(first, one.first(client))
            self.assertEqual(first, two.first(client))
            self.assertEqual(first, one.order(client)[0])

    def test_order(self) -> None:
        """
        Each client has an order of its own, with everybody in it once.
        """
        four = among(a=1, b=1, c=1, d=1)
        orders = Counter("".join(four.order(client)) for client in CLIENTS)
        self.assertEqual(24, len(orders))
        self.assertEqual({"abcd"}, {"".join(sorted(order)) for order in orders})

    def test_shares(self) -> None:
        """
        Each gets clients in proportion to its share.
        """
        found = Counter(map(among(a=1, b=2, c=3).first, CLIENTS))
        for name, share in (("a", 500), ("b", 1000), ("c", 1500)):
            self.assertLess(abs(found[name] - share), 120)

    def test_one_goes(self) -> None:
        """
        Where one goes, its own clients move, to all of the others, and no other
        client does.
        """
        before, after = among(a=1, b=2, c=1, d=1), among(a=1, c=1, d=1)
        moved = Counter()
        for client in CLIENTS:
            was, now = before.first(client), after.first(client)
            if was == "b":
                moved[now] += 1
                self.assertEqual(before.order(client)[1], now)
            else:
                self.assertEqual(was, now)
        self.assertEqual({"a", "c", "d"}, set(moved))
        self.assertLess(max(moved.values()), 2 * min(moved.values()))

    @patient
    @given(st.floats(0.1, 10), st.floats(1.01, 10))
    def test_one_grows(self, share: float, factor: float) -> None:
        """
        Where one's share grows, clients move to it and nowhere else.
        """
        before, after = among(a=1, b=share, c=1), among(a=1, b=share * factor, c=1)
        for client in CLIENTS[:100]:
            was, now = before.first(client), after.first(client)
            self.assertIn(now, {was, "b"})

    def test_remembers_so_many(self) -> None:
        """
        What is remembered of clients does not grow for ever, and who is not
        remembered belongs to the same backend still.
        """
        self.patch(rendezvous, "REMEMBERED", 10)
        three = among(a=1, b=1, c=1)
        expected = [three.order(client)[0] for client in CLIENTS[:50]]
        for _ in range(2):
            self.assertEqual(expected, [three.first(client) for client in CLIENTS[:50]])
            self.assertLessEqual(len(three._firsts), 10)
