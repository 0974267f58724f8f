from __future__ import annotations

import datetime

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.targets import target_for
from appgw.backend.verdict import Verdict
from appgw.config.model import BackendSettings, Member, Pin, PinState
from appgw.testing import make_certificate
from tests.backend.test_verdict import DAY, LEAF, NOW, judged, key_pin, leaf_pin, target

TODAY = NOW.date()
ADMITTING: tuple[PinState, ...] = ("next", "active", "retiring")


def revoked(pin: Pin) -> Pin:
    return attrs.evolve(pin, name=f"gone-{pin.name}", state="revoked")


class StateTests(SynchronousTestCase):
    """
    What the state of a pin means to a handshake.
    """

    def test_states_that_admit(self) -> None:
        """
        A pin admits before the backend changes, while it is in use, and while it
        is about to go.
        """
        for state in ADMITTING:
            for pin in (leaf_pin(state=state), key_pin(state=state)):
                verdict = judged(target(pin))
                self.assertEqual((verdict.admitted, verdict.pin), (True, pin.name))

    def test_revoked(self) -> None:
        """
        A revoked leaf is refused although a key pin admits it, a revoked key
        although a leaf pin does, and the reason names the pin that revokes.
        """
        for gone in (revoked(leaf_pin()), revoked(key_pin())):
            for listed in ((leaf_pin(),), (key_pin(),), (leaf_pin(), key_pin())):
                verdict = judged(target(*listed, revoked=(gone,)))
                found = (verdict.admitted, verdict.reason, verdict.pin)
                self.assertEqual(found, (False, "revoked", gone.name))

    def test_revoked_on_the_list(self) -> None:
        """
        Also a revoked pin among those that admit wins over them, whatever the
        order, and while pins only detect.
        """
        gone = revoked(leaf_pin())
        for pins in ((gone,), (gone, key_pin()), (key_pin(), gone)):
            self.assertEqual(judged(target(*pins)).reason, "revoked")
            wanted = target(*pins, roots=(b"root",), detect=True)
            verdict = judged(wanted, chain_verified=True, name_error=None)
            self.assertEqual(verdict.reason, "revoked")

    def test_revoked_under_roots(self) -> None:
        """
        What is revoked is refused where a chain and a name would do.
        """
        wanted = target(pins=None, roots=(b"root",), revoked=(revoked(key_pin()),))
        verdict = judged(wanted, chain_verified=True, name_error=None)
        self.assertEqual((verdict.admitted, verdict.reason), (False, "revoked"))

    def test_revoked_lifts_nothing(self) -> None:
        """
        Neither dates nor allow_expired of the pin that revokes matter.
        """
        gone = attrs.evolve(
            revoked(leaf_pin()),
            not_after=TODAY - DAY,
            not_before=TODAY + DAY,
            allow_expired=True,
        )
        self.assertEqual(judged(target(leaf_pin(), revoked=(gone,))).reason, "revoked")

    def test_another_revoked(self) -> None:
        """
        What another pin revokes is nothing to this certificate.
        """
        other = revoked(leaf_pin(make_certificate()))
        self.assertTrue(judged(target(leaf_pin(), revoked=(other,))).admitted)

    def test_the_one_that_stays_is_named(self) -> None:
        """
        Of a retiring pin and another that both match, the other one is named:
        nobody has to care.
        """
        for other in ("next", "active"):
            pins = leaf_pin(state="retiring"), key_pin(state=other)
            for listed in (pins, pins[::-1]):
                self.assertEqual(judged(target(*listed)).pin, "key")

    def test_expired_before_state(self) -> None:
        """
        A retiring pin that allows expired certificates admits where the other one
        does not.
        """
        pins = key_pin(), leaf_pin(state="retiring", allow_expired=True)
        verdict = judged(target(*pins), now=NOW + 9 * DAY)
        self.assertEqual((verdict.admitted, verdict.pin), (True, "leaf"))


class FirstDayTests(SynchronousTestCase):
    """
    The day from which a pin admits.
    """

    def test_first_day(self) -> None:
        """
        A pin admits from the first moment of its first day, UTC.
        """
        pin = leaf_pin(not_before=datetime.date(2026, 6, 15), allow_expired=True)
        first = datetime.datetime(2026, 6, 15, tzinfo=datetime.UTC)
        before = first - datetime.timedelta(microseconds=1)
        self.assertEqual(judged(target(pin), now=first).reason, "admitted")
        verdict = judged(target(pin), now=before)
        self.assertEqual((verdict.reason, verdict.pin), ("pin-not-yet-valid", "leaf"))
        self.assertIn("2026-06-15", verdict.explain(target(pin)))
        east = datetime.timezone(datetime.timedelta(hours=7))
        local = before.astimezone(east)
        self.assertEqual(judged(target(pin), now=local).reason, "pin-not-yet-valid")

    def test_both_days(self) -> None:
        """
        A pin of one day admits on that one.
        """
        pin = leaf_pin(not_before=TODAY, not_after=TODAY, allow_expired=True)
        for days, reason in (
            (-1, "pin-not-yet-valid"),
            (0, "admitted"),
            (1, "pin-expired"),
        ):
            self.assertEqual(judged(target(pin), now=NOW + days * DAY).reason, reason)

    def test_another_pin_meanwhile(self) -> None:
        """
        Until one of two matching pins begins, the other one admits.
        """
        early = leaf_pin(not_before=TODAY + DAY)
        self.assertEqual(judged(target(early, key_pin())).pin, "key")


class DetectTests(SynchronousTestCase):
    """
    Pins that only detect.
    """

    def detected(self, *pins: Pin, **more: object) -> Verdict:
        """
        Judge with pins that detect, beside a root that has signed.
        """
        facts = {"chain_verified": True, "name_error": None} | more
        return judged(target(*pins, roots=(b"root",), detect=True), **facts)

    def test_let_through(self) -> None:
        """
        What only pins would refuse is admitted, and why they would is known.
        """
        stranger = leaf_pin(make_certificate())
        for pins, reason, name in (
            ((stranger,), "not-pinned", None),
            ((), "not-pinned", None),
            ((leaf_pin(not_after=TODAY - DAY),), "pin-expired", "leaf"),
            ((leaf_pin(not_before=TODAY + DAY),), "pin-not-yet-valid", "leaf"),
        ):
            verdict = self.detected(*pins)
            self.assertTrue(verdict.admitted)
            found = verdict.reason, verdict.overlooked, verdict.pin
            self.assertEqual(found, ("admitted", reason, name))
            self.assertIsNotNone(verdict.presented)

    def test_pinned(self) -> None:
        """
        What pins admit is admitted by them.
        """
        verdict = self.detected(leaf_pin())
        self.assertEqual((verdict.pin, verdict.overlooked), ("leaf", None))

    def test_chain_name_and_dates(self) -> None:
        """
        Chain, name and dates are demanded as ever.
        """
        stranger = leaf_pin(make_certificate())
        for facts, reason in (
            ({"chain_verified": False}, "chain"),
            ({"name_error": "wrong"}, "name"),
            ({"now": NOW + 9 * DAY}, "expired"),
            ({"now": NOW - 9 * DAY}, "not-yet-valid"),
        ):
            for pin in (stranger, leaf_pin(allow_expired=True)):
                verdict = self.detected(pin, **facts)
                self.assertEqual((verdict.admitted, verdict.reason), (False, reason))

    def test_revoked(self) -> None:
        """
        What is revoked is refused.
        """
        gone = revoked(leaf_pin())
        wanted = target(key_pin(), roots=(b"root",), detect=True, revoked=(gone,))
        verdict = judged(wanted, chain_verified=True, name_error=None)
        self.assertEqual((verdict.admitted, verdict.reason), (False, "revoked"))

    def test_without_roots(self) -> None:
        """
        Without roots there is nothing but pins to trust, so they prevent.
        """
        wanted = target(leaf_pin(make_certificate()), detect=True)
        self.assertEqual(judged(wanted).reason, "not-pinned")

    def test_told(self) -> None:
        """
        The line for the operator says that it was let through, and why not else.
        """
        wanted = target(leaf_pin(make_certificate()), roots=(b"root",), detect=True)
        said = judged(wanted, chain_verified=True, name_error=None).explain(wanted)
        self.assertIn("admitted, as pin_mode is detect, else refused: ", said)
        self.assertIn("its certificate is not on the allow-list", said)
        self.assertIn(LEAF.sha256, said)


class ToldTests(SynchronousTestCase):
    """
    What an operator is told of states.
    """

    def test_owner(self) -> None:
        """
        A refusal names the owner of the pin that matches, printable.
        """
        gone = attrs.evolve(revoked(leaf_pin()), owner="payments\x1b")
        wanted = target(key_pin(), revoked=(gone,))
        said = judged(wanted).explain(wanted)
        self.assertIn("matching pin: gone-leaf (owner: payments\\x1b)", said)
        self.assertTrue(said.isprintable())

    def test_states(self) -> None:
        """
        Of what is allowed, each state is told but the usual one.
        """
        other = make_certificate()
        pins = leaf_pin(other, name="a"), leaf_pin(other, name="b", state="next")
        said = judged(target(*pins)).explain(target(*pins))
        self.assertIn(f"a (SHA-256 {other.sha256})", said)
        self.assertIn(f"b (SHA-256 {other.sha256}, next)", said)


class TargetTests(SynchronousTestCase):
    """
    What becomes of states on the way into a backend's identity.
    """

    def test_revoked_for_everybody(self) -> None:
        """
        Each https target knows what is revoked, listed there or not, and lists
        none of it among what it admits.
        """
        pins = {
            "old": leaf_pin(name="old", state="revoked"),
            "new": leaf_pin(name="new"),
            "far": key_pin(name="far", state="revoked"),
        }
        settings = BackendSettings(
            name="web", protocol="https", port=443, pins=("old", "new")
        )
        member = Member(address="192.0.2.7")
        wanted = target_for(settings, member, "192.0.2.7", pins, {}, {})
        self.assertEqual(wanted.pins, (pins["new"],))
        self.assertEqual(wanted.revoked, (pins["old"], pins["far"]))
        alone = attrs.evolve(settings, pins=("old",))
        wanted = target_for(alone, member, "192.0.2.7", pins, {}, {})
        self.assertEqual(wanted.pins, ())

    def test_words_are_no_identity(self) -> None:
        """
        An owner and a comment make no other target, and cost no connection.
        """
        plain = target(leaf_pin())
        worded = target(leaf_pin(owner="payments", comment="ask first"))
        self.assertEqual(plain, worded)
        self.assertEqual(hash(plain), hash(worded))
        self.assertNotEqual(plain, target(leaf_pin(state="retiring")))
