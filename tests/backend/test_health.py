from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.health import (
    UNKNOWN,
    Health,
    after_failure,
    after_success,
    left_out,
)

NOW = 5000.0


class HealthTests(SynchronousTestCase):
    """
    The table of states.
    """

    def after(self, results: str, threshold: int = 3) -> Health:
        """
        Return what becomes of an unknown one: ``+`` succeeds, ``-`` fails.
        """
        health = UNKNOWN
        for now, result in enumerate(results, 1):
            if result == "+":
                health = after_success(health, f"+{now}", now)
            else:
                health = after_failure(health, f"-{now}", threshold, now)
        return health

    def test_table(self) -> None:
        """
        One success makes healthy; so many failures in a row make unhealthy,
        whatever was before.
        """
        for results, state in {
            "": "unknown",
            "-": "unknown",
            "--": "unknown",
            "---": "unhealthy",
            "----": "unhealthy",
            "+": "healthy",
            "--+": "healthy",
            "+--": "healthy",
            "+---": "unhealthy",
            "+--+--": "healthy",
            "---+": "healthy",
            "---+--": "healthy",
            "---+---": "unhealthy",
        }.items():
            self.assertEqual(state, self.after(results).state, results)

    def test_thresholds(self) -> None:
        """
        The threshold is the probe's, from one failure to twenty.
        """
        self.assertEqual("unhealthy", self.after("+-", 1).state)
        self.assertEqual("healthy", self.after("+" + 19 * "-", 20).state)
        self.assertEqual("unhealthy", self.after("+" + 20 * "-", 20).state)

    def test_since(self) -> None:
        """
        A state began when it changed, not when it was last confirmed.
        """
        for results, since in {"+++": 1, "---": 3, "-----": 3, "---++": 4}.items():
            self.assertEqual(since, self.after(results).since, results)

    def test_told(self) -> None:
        """
        The last probe's sentence is kept, and how many have failed in a row.
        """
        self.assertEqual(("-4", 4), astuple(self.after("----")))
        self.assertEqual(("+4", 0), astuple(self.after("---+")))
        self.assertEqual(("-2", 1), astuple(self.after("+-")))


def astuple(health: Health) -> tuple[str, int]:
    """
    Return what is told, and the failures.
    """
    return health.told, health.failures


class LeftOutTests(SynchronousTestCase):
    """
    Who gets no requests.
    """

    def setUp(self) -> None:
        """
        Have two that are not unhealthy, and three that are since when.
        """
        self.found = [
            ("a", Health("unhealthy", since=10.0)),
            ("b", Health("healthy", since=20.0)),
            ("c", Health("unhealthy", since=30.0)),
            ("d", UNKNOWN),
            ("e", Health("unhealthy", since=20.0)),
        ]

    def test_unhealthy(self) -> None:
        """
        The unhealthy get none; who is unknown does.
        """
        self.assertEqual({"a", "c", "e"}, left_out(self.found, 0))
        self.assertEqual(frozenset(), left_out([], 0))

    def test_min_servers(self) -> None:
        """
        Those are kept in that were well last, and no more than are needed.
        """
        for min_servers, out in (
            (1, "ace"),
            (2, "ace"),
            (3, "ae"),
            (4, "a"),
            (5, ""),
            (99, ""),
        ):
            self.assertEqual(set(out), left_out(self.found, min_servers), min_servers)

    def test_all_unhealthy(self) -> None:
        """
        Where everybody fails, min_servers are left; of equals the first.
        """
        found = [(one, Health("unhealthy", since=5.0)) for one in "abc"]
        self.assertEqual({"a", "b", "c"}, left_out(found, 0))
        self.assertEqual({"b", "c"}, left_out(found, 1))
