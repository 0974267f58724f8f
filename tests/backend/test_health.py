from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.health import (
    FIRST_REST,
    LONGEST_REST,
    UNKNOWN,
    Health,
    Rest,
    Rests,
    after_failure,
    after_refusal,
    after_success,
    left_out,
    on_trial,
)
from appgw.backend.target import Target
from appgw.config.model import Pin

NOW = 5000.0
HERE = Target(address="10.0.0.1", port=443)


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


class RestTests(SynchronousTestCase):
    """
    The table of states.
    """

    def test_first_refusal(self) -> None:
        """
        A backend that was well rests ten seconds.
        """
        self.assertEqual(Rest(1, NOW + 10.0), after_refusal(None, NOW))

    def test_doubles_up_to_five_minutes(self) -> None:
        """
        Each refusal after a rest doubles the next one, up to five minutes.
        """
        lengths = []
        rest, now = None, NOW
        for _ in range(8):
            rest = after_refusal(rest, now)
            lengths.append(rest.until - now)
            now = rest.until
        self.assertEqual([10, 20, 40, 80, 160, 300, 300, 300], lengths)

    def test_one_outage_counts_once(self) -> None:
        """
        A hundred requests that meet the same outage do not lengthen the rest.
        """
        rest = first = after_refusal(None, NOW)
        for offset in range(100):
            rest = after_refusal(rest, NOW + offset / 11)
        self.assertIs(first, rest)

    def test_trial_that_fails(self) -> None:
        """
        A refused trial doubles the rest from the moment of the refusal.
        """
        trial = on_trial(Rest(1, NOW), NOW)
        self.assertEqual(Rest(2, NOW + 1 + 20), after_refusal(trial, NOW + 1))

    def test_trial_without_news(self) -> None:
        """
        A trial holds others off for ten seconds and costs no refusal.
        """
        self.assertEqual(Rest(3, NOW + 10, trial=True), on_trial(Rest(3, NOW), NOW))

    def test_years_of_refusals(self) -> None:
        """
        An outage may last for as many refusals as it likes.
        """
        rest = after_refusal(Rest(10**9, NOW), NOW)
        self.assertEqual(Rest(10**9 + 1, NOW + LONGEST_REST), rest)

    @settings(deadline=None, database=None)
    @given(st.lists(st.tuples(st.booleans(), st.floats(0, 1000)), max_size=40))
    def test_bounds(self, events: list[tuple[bool, float]]) -> None:
        """
        Whatever happens in whatever order, a rest ends within five minutes.
        """
        rests, now = Rests(), NOW
        for refusal, pause in events:
            now += pause
            if refusal:
                rests.refused(HERE, now)
                self.assertLessEqual(rests[HERE].until, now + LONGEST_REST)
                self.assertGreater(rests[HERE].until, now)
            elif rests.take_trial(HERE, now):
                self.assertEqual(now + FIRST_REST, rests[HERE].until)


class RestsTests(SynchronousTestCase):
    """
    Those of a pool that are not well.
    """

    def setUp(self) -> None:
        """
        Begin with nobody resting.
        """
        self.rests = Rests()

    def test_one_success_heals(self) -> None:
        """
        After a connection nothing is held against a backend: it starts at ten.
        """
        for now in (NOW, NOW + 10, NOW + 40):
            self.rests.refused(HERE, now)
        self.rests.connected(HERE)
        self.assertEqual({}, self.rests)
        self.rests.refused(HERE, NOW)
        self.assertEqual({HERE: Rest(1, NOW + 10)}, self.rests)

    def test_due_when_the_rest_is_over(self) -> None:
        """
        A trial is given at the end of a rest, not before, and one at a time.
        """
        self.rests.refused(HERE, NOW)
        given = [
            self.rests.take_trial(HERE, NOW + offset)
            for offset in (0, 9.999, 10, 10, 19.999, 20)
        ]
        self.assertEqual([False, False, True, False, False, True], given)

    def test_no_trial_for_the_well(self) -> None:
        """
        A backend that is well needs no trial.
        """
        self.assertFalse(self.rests.take_trial(HERE, NOW))
        self.assertEqual({}, self.rests)

    def test_version_tells_of_changes(self) -> None:
        """
        The version changes with the state, and only with it.
        """
        versions = [self.rests.version]
        for change in (
            lambda: self.rests.refused(HERE, NOW),
            lambda: self.rests.refused(HERE, NOW + 1),
            lambda: self.rests.take_trial(HERE, NOW + 2),
            lambda: self.rests.take_trial(HERE, NOW + 10),
            lambda: self.rests.connected(HERE),
            lambda: self.rests.connected(HERE),
        ):
            change()
            versions.append(self.rests.version)
        self.assertEqual([0, 1, 1, 1, 2, 3, 3], versions)

    def test_other_pins_are_another_backend(self) -> None:
        """
        What was held against an address with one pin is not with another.
        """
        pinned = Target(
            address=HERE.address, port=443, pins=(Pin(name="a", sha256=b"a" * 32),)
        )
        self.rests.refused(pinned, NOW)
        self.assertNotIn(HERE, self.rests)

    def test_forgets_what_is_long_over(self) -> None:
        """
        An entry goes five minutes after its rest has ended, not before.
        """
        self.rests.refused(HERE, NOW)
        self.rests.forget(NOW + 10 + 299)
        self.assertIn(HERE, self.rests)
        self.rests.forget(NOW + 10 + 300)
        self.assertEqual({}, self.rests)
