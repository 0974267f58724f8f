from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.rest import (
    Rest,
    Rests,
    State,
    after_answer,
    after_failure,
    after_refusal,
    on_trial,
)
from appgw.backend.target import Target
from appgw.config.model import OutlierDetection, Pin

NOW = 5000.0
HERE = Target(address="10.0.0.1", port=443)
RULE = OutlierDetection()

FAILS = Rest(State.FAILS, failures=2, until=NOW - 1)
RESTS = Rest(State.RESTS, failures=5, rests=1, since=NOW - 4, until=NOW + 6)
DUE = attrs.evolve(RESTS, since=NOW - 10, until=NOW)
TRIAL = attrs.evolve(DUE, state=State.TRIAL, until=NOW + 9)
PROBATION = attrs.evolve(DUE, state=State.PROBATION)


def failed(
    rest: Rest | None,
    sent: float = NOW,
    room: bool = True,
    rule: OutlierDetection = RULE,
) -> Rest:
    return after_failure(rest, NOW, sent, rule, room=room)


class TableTests(SynchronousTestCase):
    """
    The table of states, row by row.
    """

    def test_well(self) -> None:
        """
        One that was well rests ten seconds where it takes no connection, and
        where a request fails it counts.
        """
        rested = Rest(State.RESTS, 0, 1, NOW, NOW + 10)
        self.assertEqual(rested, after_refusal(None, NOW, RULE))
        self.assertEqual(Rest(State.FAILS, 1, until=NOW), failed(None))

    def test_fails(self) -> None:
        """
        Failures in a row make a rest, and so does no connection in between.
        """
        rest = None
        for count in range(1, 5):
            rest = failed(rest)
            self.assertEqual(Rest(State.FAILS, count, until=NOW), rest)
        self.assertEqual(Rest(State.RESTS, 5, 1, NOW, NOW + 10), failed(rest))
        refused = after_refusal(FAILS, NOW, RULE)
        self.assertEqual(Rest(State.RESTS, 2, 1, NOW, NOW + 10), refused)
        self.assertIs(FAILS, after_answer(FAILS, NOW))

    def test_rests(self) -> None:
        """
        Of one that rests, more of the same is no news; a good answer is.
        """
        self.assertIs(RESTS, after_refusal(RESTS, NOW, RULE))
        self.assertIs(RESTS, failed(RESTS))
        back = attrs.evolve(RESTS, state=State.PROBATION, until=NOW)
        self.assertEqual(back, after_answer(RESTS, NOW))

    def test_due_and_on_trial(self) -> None:
        """
        Where finding out goes wrong, the next rest is twice as long; where it
        goes well, the backend is back on probation.
        """
        for rest in (DUE, TRIAL):
            longer = Rest(State.RESTS, 5, 2, NOW, NOW + 20)
            self.assertEqual(longer, after_refusal(rest, NOW, RULE))
            self.assertEqual(attrs.evolve(longer, failures=6), failed(rest))
            self.assertIs(State.PROBATION, after_answer(rest, NOW).state)

    def test_probation(self) -> None:
        """
        On probation one failure is enough, and the next rest is twice as long.
        """
        longer = Rest(State.RESTS, 6, 2, NOW, NOW + 20)
        self.assertEqual(longer, failed(PROBATION))
        refused = after_refusal(PROBATION, NOW, RULE)
        self.assertEqual(attrs.evolve(longer, failures=5), refused)
        self.assertIs(PROBATION, after_answer(PROBATION, NOW))

    def test_trial(self) -> None:
        """
        A trial is waited for as long as a first rest, and costs nothing.
        """
        expected = attrs.evolve(DUE, state=State.TRIAL, until=NOW + 10)
        self.assertEqual(expected, on_trial(DUE, NOW, RULE))

    def test_no_room(self) -> None:
        """
        Where no more may rest, one that fails goes on counting; one that is out
        already stays out.
        """
        many = Rest(State.FAILS, 7, until=NOW - 1)
        counted = Rest(State.FAILS, 8, until=NOW)
        self.assertEqual(counted, failed(many, room=False))
        again = failed(PROBATION, room=False)
        self.assertEqual((State.PROBATION, 6), (again.state, again.failures))
        self.assertIs(State.RESTS, failed(TRIAL, room=False).state)

    def test_no_news_from_before(self) -> None:
        """
        A request that was sent before the last rest says nothing about the trial
        and nothing about the time after.
        """
        for rest in (DUE, TRIAL, PROBATION):
            self.assertIs(rest, failed(rest, sent=rest.since - 1))
            self.assertIsNot(rest, failed(rest, sent=rest.since))

    def test_other_numbers(self) -> None:
        """
        How many failures and how long is up to the setting.
        """
        rule = OutlierDetection(
            consecutive_failures=1, base_ejection_time=2.0, max_ejection_time=3.0
        )
        first = failed(None, rule=rule)
        self.assertEqual(Rest(State.RESTS, 1, 1, NOW, NOW + 2), first)
        again = after_refusal(attrs.evolve(first, until=NOW), NOW, rule)
        self.assertEqual(Rest(State.RESTS, 1, 2, NOW, NOW + 3), again)
        self.assertEqual(NOW + 2, on_trial(first, NOW, rule).until)


class LengthTests(SynchronousTestCase):
    """
    How long rests are.
    """

    def test_doubles_up_to_five_minutes(self) -> None:
        """
        Each refusal after a rest doubles the next one, up to five minutes.
        """
        lengths = []
        rest, now = None, NOW
        for _ in range(8):
            rest = after_refusal(rest, now, RULE)
            lengths.append(rest.until - now)
            now = rest.until
        self.assertEqual([10, 20, 40, 80, 160, 300, 300, 300], lengths)

    def test_one_outage_counts_once(self) -> None:
        """
        A hundred requests that meet the same outage do not lengthen the rest.
        """
        rest = first = after_refusal(None, NOW, RULE)
        for offset in range(100):
            rest = after_refusal(rest, NOW + offset / 11, RULE)
        self.assertIs(first, rest)

    def test_years_of_refusals(self) -> None:
        """
        An outage may last for as many rests as it likes.
        """
        rest = after_refusal(attrs.evolve(DUE, rests=10**9), NOW, RULE)
        self.assertEqual((10**9 + 1, NOW + 300), (rest.rests, rest.until))

    @settings(deadline=None, database=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["refused", "failed", "answered", "ended", "trial"]),
                st.floats(0, 1000),
                st.booleans(),
            ),
            max_size=40,
        )
    )
    def test_bounds(self, events: list[tuple[str, float, bool]]) -> None:
        """
        Whatever happens in whatever order, a rest ends within five minutes, and
        the version tells of everybody who comes or goes.
        """
        rests, now = Rests(), NOW
        for event, pause, room in events:
            now += pause
            before, version = rests.out(HERE), rests.version
            if event == "refused":
                rests.refused(HERE, now, RULE)
                self.assertTrue(rests.out(HERE))
            elif event == "failed":
                rests.failed(HERE, now, now - pause / 2, RULE, room=room)
            elif event == "answered":
                rests.answered(HERE, now)
                self.assertFalse(rests.out(HERE))
            elif event == "ended":
                rests.ended_well(HERE)
            elif rests.take_trial(HERE, now, RULE):
                self.assertEqual(now + 10, rests[HERE].until)
            if rests.out(HERE):
                self.assertLessEqual(rests[HERE].until, now + 300)
            if rests.out(HERE) is not before:
                self.assertGreater(rests.version, version)


class RestsTests(SynchronousTestCase):
    """
    Those of a pool against whom something is held.
    """

    def setUp(self) -> None:
        """
        Begin with nobody resting.
        """
        self.rests = Rests()

    def refuse(self, now: float) -> bool:
        """
        Let a connection not come about.
        """
        return self.rests.refused(HERE, now, RULE)

    def fail(self, now: float) -> bool:
        """
        Let a request fail that was sent just before.
        """
        return self.rests.failed(HERE, now, now, RULE, room=True)

    def test_one_success_heals(self) -> None:
        """
        After an answer that ended well nothing is held against a backend: it
        starts at ten seconds, and counts from one.
        """
        for now in (NOW, NOW + 10, NOW + 40):
            self.refuse(now)
        self.assertTrue(self.rests.answered(HERE, NOW + 41))
        self.assertFalse(self.rests.answered(HERE, NOW + 41))
        self.rests.ended_well(HERE)
        self.assertEqual({}, self.rests)
        for _ in range(4):
            self.fail(NOW)
        self.rests.ended_well(HERE)
        self.assertEqual([False] * 4, [self.fail(NOW) for _ in range(4)])
        self.assertTrue(self.fail(NOW))
        self.assertEqual(NOW + 10, self.rests[HERE].until)

    def test_answers_that_break_off(self) -> None:
        """
        A backend whose answers begin well and break off rests for longer and
        longer, though each of its trials brings it back.
        """
        lengths = []
        now = NOW
        for _ in range(4):
            while not self.fail(now):
                self.rests.answered(HERE, now)
            lengths.append(self.rests[HERE].until - now)
            now = self.rests[HERE].until
            self.assertTrue(self.rests.take_trial(HERE, now, RULE))
            self.assertTrue(self.rests.answered(HERE, now))
        self.assertEqual([10, 20, 40, 80], lengths)

    def test_an_old_answer_ends_during_a_rest(self) -> None:
        """
        An answer that began before the rest and ends well during it does not
        end it.
        """
        self.refuse(NOW)
        self.rests.ended_well(HERE)
        self.assertTrue(self.rests.out(HERE))

    def test_tells_of_new_rests(self) -> None:
        """
        It is told when a rest begins, and not again while it lasts.
        """
        told = [self.refuse(NOW + after) for after in (0, 1, 9.9, 10, 11)]
        self.assertEqual([True, False, False, True, False], told)

    def test_due_when_the_rest_is_over(self) -> None:
        """
        A trial is given at the end of a rest, not before, and one at a time.
        """
        self.refuse(NOW)
        given = [
            self.rests.take_trial(HERE, NOW + offset, RULE)
            for offset in (0, 9.999, 10, 10, 19.999, 20)
        ]
        self.assertEqual([False, False, True, False, False, True], given)

    def test_no_trial_for_the_well(self) -> None:
        """
        A backend that takes its turns needs no trial.
        """
        self.assertFalse(self.rests.take_trial(HERE, NOW, RULE))
        self.assertEqual({}, self.rests)
        self.fail(NOW)
        self.assertFalse(self.rests.take_trial(HERE, NOW + 99, RULE))

    def test_version_tells_of_changes(self) -> None:
        """
        The version changes with who rests, and only with that.
        """
        versions = [self.rests.version]
        for change in (
            lambda: self.refuse(NOW),
            lambda: self.refuse(NOW + 1),
            lambda: self.rests.take_trial(HERE, NOW + 2, RULE),
            lambda: self.rests.take_trial(HERE, NOW + 10, RULE),
            lambda: self.rests.answered(HERE, NOW),
            lambda: self.rests.answered(HERE, NOW),
            lambda: self.rests.ended_well(HERE),
            lambda: self.fail(NOW),
        ):
            change()
            versions.append(self.rests.version)
        self.assertEqual([0, 1, 1, 1, 2, 3, 3, 3, 3], versions)

    def test_other_pins_are_another_backend(self) -> None:
        """
        What was held against an address with one pin is not with another.
        """
        pinned = Target(
            address=HERE.address, port=443, pins=(Pin(name="a", sha256=b"a" * 32),)
        )
        self.rests.refused(pinned, NOW, RULE)
        self.assertNotIn(HERE, self.rests)

    def test_forgets_what_is_long_over(self) -> None:
        """
        An entry goes five minutes after its rest has ended, not before.
        """
        self.refuse(NOW)
        self.rests.forget(NOW + 10 + 299, RULE)
        self.assertIn(HERE, self.rests)
        self.rests.forget(NOW + 10 + 300, RULE)
        self.assertEqual({}, self.rests)
