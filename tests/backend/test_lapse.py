from __future__ import annotations

import datetime

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.lapse import NEVER, changes_at, reusable, withdrawn
from appgw.backend.presented import Presented
from appgw.backend.target import Target
from appgw.backend.verdict import Verdict
from tests.backend.test_verdict import DAY, LEAF, NOW, key_pin, leaf_pin, target

TODAY = NOW.date()
SHOWN = Presented.from_der(LEAF.der)
ADMITTED = Verdict(True, "admitted", "leaf", SHOWN)
MIDNIGHT = datetime.datetime(2026, 6, 16, tzinfo=datetime.UTC)


class WithdrawnTests(SynchronousTestCase):
    """
    Whether pins still admit a connection that stands.
    """

    def test_day_passes(self) -> None:
        """
        A pin's last day ends what it has admitted, unless another pin goes on.
        """
        last = leaf_pin(not_after=TODAY)
        moment = datetime.timedelta.resolution
        self.assertIsNone(withdrawn(target(last), ADMITTED, MIDNIGHT - moment))
        self.assertEqual(withdrawn(target(last), ADMITTED, MIDNIGHT), "pin-expired")
        both = target(last, key_pin())
        self.assertIsNone(withdrawn(both, ADMITTED, MIDNIGHT))

    def test_dates_of_the_certificate(self) -> None:
        """
        The certificate's own dates were right at the handshake, and end nothing.
        """
        late = NOW + 99 * DAY
        self.assertIsNone(withdrawn(target(leaf_pin()), ADMITTED, late))
        rooted = target(pins=None, roots=(b"root",))
        self.assertIsNone(withdrawn(rooted, ADMITTED, late))

    def test_revoked(self) -> None:
        """
        What is revoked is withdrawn, also from where no pins count.
        """
        gone = attrs.evolve(leaf_pin(), state="revoked")
        for wanted in (
            target(key_pin(), revoked=(gone,)),
            target(pins=None, roots=(b"root",), revoked=(gone,)),
        ):
            self.assertEqual(withdrawn(wanted, ADMITTED, NOW), "revoked")

    def test_without_a_certificate(self) -> None:
        """
        Clear text is withdrawn where there are pins, and nowhere else.
        """
        plain = Target(address="192.0.2.7", port=80, protocol="http")
        self.assertIsNone(withdrawn(plain, None, NOW))
        self.assertEqual(withdrawn(target(leaf_pin()), None, NOW), "no-certificate")

    def test_doubt(self) -> None:
        """
        What cannot be judged is withdrawn.
        """
        naive = datetime.datetime(2026, 6, 15, 12)  # noqa: DTZ001
        self.assertEqual(withdrawn(target(leaf_pin()), ADMITTED, naive), "error")


class ReusableTests(SynchronousTestCase):
    """
    Whether a new request may go over a connection that stands.
    """

    def test_dates(self) -> None:
        """
        Not once the certificate has expired, unless its pin lifts that.
        """
        late = NOW + 9 * DAY
        self.assertTrue(reusable(target(leaf_pin()), SHOWN, NOW))
        self.assertFalse(reusable(target(leaf_pin()), SHOWN, late))
        lifting = target(leaf_pin(allow_expired=True))
        self.assertTrue(reusable(lifting, SHOWN, late))
        rooted = target(pins=None, roots=(b"root",))
        self.assertTrue(reusable(rooted, SHOWN, NOW))
        self.assertFalse(reusable(rooted, SHOWN, late))


class ChangesTests(SynchronousTestCase):
    """
    When somebody has to look again.
    """

    def test_pins(self) -> None:
        """
        After the last day of a pin that matches, and of no other.
        """
        wanted = target(leaf_pin(not_after=TODAY))
        self.assertEqual(changes_at(wanted, SHOWN, NOW), MIDNIGHT)
        stranger = attrs.evolve(leaf_pin(not_after=TODAY), sha256=bytes(32))
        wanted = target(stranger, key_pin())
        end = SHOWN.not_after + datetime.timedelta.resolution
        self.assertEqual(changes_at(wanted, SHOWN, NOW), end)

    def test_what_has_passed(self) -> None:
        """
        What has passed comes no more; after all of it, nothing does.
        """
        wanted = target(leaf_pin(not_after=TODAY))
        end = SHOWN.not_after + datetime.timedelta.resolution
        self.assertEqual(changes_at(wanted, SHOWN, MIDNIGHT), end)
        self.assertEqual(changes_at(wanted, SHOWN, end), NEVER)

    def test_the_last_day_of_all(self) -> None:
        """
        A pin to the end of time is one without an end.
        """
        wanted = target(leaf_pin(not_after=datetime.date.max))
        self.assertEqual(changes_at(wanted, SHOWN, NOW + 9 * DAY), NEVER)
        self.assertIsNone(withdrawn(wanted, ADMITTED, NOW + 9 * DAY))
