from __future__ import annotations

import base64
import datetime

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.presented import Presented
from appgw.backend.target import Target
from appgw.backend.verdict import Verdict, judge
from appgw.config.model import Pin
from appgw.testing import Issued, make_certificate

NOW = datetime.datetime(2026, 6, 15, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
LEAF = make_certificate(["a.example"], not_before=NOW - DAY, not_after=NOW + DAY)


def leaf_pin(issued: Issued = LEAF, **more: object) -> Pin:
    pin = Pin(name="leaf", sha256=bytes.fromhex(issued.sha256))
    return attrs.evolve(pin, **more)


def key_pin(issued: Issued = LEAF, **more: object) -> Pin:
    pin = Pin(name="key", spki_sha256=bytes.fromhex(issued.spki_sha256))
    return attrs.evolve(pin, **more)


def target(*pins: Pin, **more: object) -> Target:
    more.setdefault("pins", pins)
    return Target(address="192.0.2.7", port=9443, name="a.example", **more)


def judged(
    wanted: Target,
    issued: Issued = LEAF,
    now: datetime.datetime = NOW,
    chain_verified: bool = False,
    name_error: str | None = "not compared",
) -> Verdict:
    return judge(
        wanted,
        Presented.from_der(issued.der),
        now,
        chain_verified=chain_verified,
        name_error=name_error,
    )


class PinTests(SynchronousTestCase):
    def refused(self, reason: str, verdict: Verdict) -> None:
        """
        Check that it is a no, and why.
        """
        self.assertEqual((verdict.admitted, verdict.reason), (False, reason))

    def test_pinned_leaf(self) -> None:
        """
        The certificate on the list is admitted, by the name of its pin.
        """
        verdict = judged(target(leaf_pin()))
        self.assertEqual((verdict.admitted, verdict.pin), (True, "leaf"))
        self.assertEqual(verdict.presented, Presented.from_der(LEAF.der))

    def test_any_of_them(self) -> None:
        """
        One of many pins is enough, wherever it stands.
        """
        others = [leaf_pin(make_certificate(), name=f"other{n}") for n in range(3)]
        verdict = judged(target(*others, leaf_pin()))
        self.assertEqual((verdict.admitted, verdict.pin), (True, "leaf"))
        self.refused("not-pinned", judged(target(*others)))

    def test_key_outlives_the_leaf(self) -> None:
        """
        A renewed leaf passes by the pin of its key, not by the old leaf's.
        """
        renewed = make_certificate(["b.example"], key=LEAF.key)
        now = datetime.datetime.now(datetime.UTC)
        self.assertTrue(judged(target(key_pin()), renewed, now).admitted)
        self.refused("not-pinned", judged(target(leaf_pin()), renewed, now))

    def test_leaf_and_key_are_not_mixed_up(self) -> None:
        """
        A leaf's digest among key pins means nothing, and the other way round.
        """
        swapped = Pin(name="x", sha256=bytes.fromhex(LEAF.spki_sha256))
        self.refused("not-pinned", judged(target(swapped)))
        swapped = Pin(name="x", spki_sha256=bytes.fromhex(LEAF.sha256))
        self.refused("not-pinned", judged(target(swapped)))

    def test_half_a_pin_is_none(self) -> None:
        """
        A pin with no digest matches nothing; one with both demands both.
        """
        self.refused("not-pinned", judged(target(Pin(name="empty"))))
        both = attrs.evolve(leaf_pin(), spki_sha256=bytes(32))
        self.refused("not-pinned", judged(target(both)))

    def test_empty_list(self) -> None:
        """
        An empty list of pins admits nobody.
        """
        self.refused("not-pinned", judged(target()))

    def test_nothing_to_trust(self) -> None:
        """
        A target with neither pins nor roots admits nobody.
        """
        nothing = target(pins=None)
        verdict = judged(nothing, chain_verified=True, name_error=None)
        self.refused("no-trust", verdict)

    def test_no_certificate(self) -> None:
        """
        A backend without a certificate is refused.
        """
        verdict = judge(
            target(leaf_pin()), None, NOW, chain_verified=True, name_error=None
        )
        self.refused("no-certificate", verdict)

    def test_unreadable_certificate(self) -> None:
        """
        What cannot be read is refused, even if a pin has its very digest.
        """
        broken = Presented.from_der(LEAF.der[:-1])
        pin = Pin(name="broken", sha256=broken.sha256)
        key = Pin(name="key", spki_sha256=b"")
        verdict = judge(
            target(pin, key), broken, NOW, chain_verified=True, name_error=None
        )
        self.refused("unreadable", verdict)
        self.assertIn(broken.sha256.hex(), verdict.explain(target(pin)))

    def test_every_exception_is_a_no(self) -> None:
        """
        A clock without a zone, or a pin of the wrong kind, admits nobody.
        """
        naive = datetime.datetime(2026, 6, 15, 12)  # noqa: DTZ001
        self.refused("error", judged(target(leaf_pin()), now=naive))
        strange = target(pins=(object(),))
        self.refused("error", judged(strange))


class DateTests(SynchronousTestCase):
    def reason(self, pin: Pin, now: datetime.datetime, **more: object) -> str:
        """
        Judge the leaf by one pin at a certain time.
        """
        return judged(target(pin, **more), now=now, name_error=None).reason

    def test_edges(self) -> None:
        """
        Both ends of the validity belong to it, for leaf pins and key pins.
        """
        second = datetime.timedelta(seconds=1)
        for pin in (leaf_pin(), key_pin()):
            self.assertEqual(self.reason(pin, NOW - DAY), "admitted")
            self.assertEqual(self.reason(pin, NOW + DAY), "admitted")
            self.assertEqual(self.reason(pin, NOW - DAY - second), "not-yet-valid")
            self.assertEqual(self.reason(pin, NOW + DAY + second), "expired")

    def test_allow_expired(self) -> None:
        """
        ``allow_expired`` lifts the dates, before and after.
        """
        for pin in (leaf_pin(allow_expired=True), key_pin(allow_expired=True)):
            self.assertEqual(self.reason(pin, NOW - 9 * DAY), "admitted")
            self.assertEqual(self.reason(pin, NOW + 9 * DAY), "admitted")

    def test_allow_expired_of_another_pin(self) -> None:
        """
        Only the pin that matches lifts the dates; of two, one suffices.
        """
        stranger = leaf_pin(make_certificate(), allow_expired=True)
        late = NOW + 9 * DAY
        verdict = judged(target(stranger, leaf_pin()), now=late)
        self.assertEqual(verdict.reason, "expired")
        verdict = judged(target(leaf_pin(), key_pin(allow_expired=True)), now=late)
        self.assertEqual((verdict.admitted, verdict.pin), (True, "key"))

    def test_roots_hold_the_dates(self) -> None:
        """
        Where roots are demanded too, ``allow_expired`` lifts nothing.
        """
        wanted = target(leaf_pin(allow_expired=True), roots=(b"root",))
        late = judged(wanted, now=NOW + 9 * DAY, chain_verified=True, name_error=None)
        self.assertEqual(late.reason, "expired")
        now = judged(wanted, chain_verified=True, name_error=None)
        self.assertTrue(now.admitted)

    def test_pin_ends_with_its_day(self) -> None:
        """
        A pin's own ``not_after`` holds to the end of that day in UTC.
        """
        pin = leaf_pin(not_after=datetime.date(2026, 6, 15), allow_expired=True)
        last = datetime.datetime(2026, 6, 15, 23, 59, 59, tzinfo=datetime.UTC)
        next_day = last + datetime.timedelta(seconds=1)
        self.assertEqual(self.reason(pin, last), "admitted")
        self.assertEqual(self.reason(pin, next_day), "pin-expired")
        west = datetime.timezone(datetime.timedelta(hours=-7))
        self.assertEqual(self.reason(pin, next_day.astimezone(west)), "pin-expired")

    def test_another_pin_goes_on(self) -> None:
        """
        When one of two matching pins has ended, the other one admits.
        """
        ended = leaf_pin(not_after=datetime.date(2026, 6, 14))
        verdict = judged(target(ended, key_pin()))
        self.assertEqual((verdict.admitted, verdict.pin), (True, "key"))


class ChainAndNameTests(SynchronousTestCase):
    def reasons(self, wanted: Target) -> list[str]:
        """
        Judge with chain and name right, chain wrong, name wrong.
        """
        return [
            judged(wanted, chain_verified=chain, name_error=error).reason
            for chain, error in ((True, None), (False, None), (True, "wrong"))
        ]

    def test_roots(self) -> None:
        """
        Roots demand the chain and the name.
        """
        for wanted in (
            target(pins=None, roots=(b"root",)),
            target(pins=None, roots=()),
            target(pins=None, well_known=True),
        ):
            self.assertEqual(self.reasons(wanted), ["admitted", "chain", "name"])

    def test_pins_and_roots(self) -> None:
        """
        Pins and roots together: both must hold.
        """
        wanted = target(leaf_pin(), roots=(b"root",))
        self.assertEqual(self.reasons(wanted), ["admitted", "chain", "name"])
        wanted = target(leaf_pin(make_certificate()), roots=(b"root",))
        self.assertEqual(self.reasons(wanted), ["not-pinned"] * 3)

    def test_pins_alone(self) -> None:
        """
        With pins alone neither chain nor name matters.
        """
        self.assertEqual(self.reasons(target(leaf_pin())), ["admitted"] * 3)

    def test_pins_and_a_name(self) -> None:
        """
        ``verify_name`` adds the name to the pins, and not the chain.
        """
        wanted = target(leaf_pin(), verify_name=True)
        self.assertEqual(self.reasons(wanted), ["admitted", "admitted", "name"])


class ExplainTests(SynchronousTestCase):
    def test_refusal_says_all(self) -> None:
        """
        A refusal names the backend, what it showed, what was allowed, and the
        command that shows more.
        """
        other = make_certificate()
        wanted = target(leaf_pin(other), key_pin(other), server_name="a.example")
        said = judged(wanted).explain(wanted)
        key = base64.b64encode(bytes.fromhex(LEAF.spki_sha256)).decode()
        for part in (
            "https://192.0.2.7:9443: refused: ",
            f"subject CN=a.example, SHA-256 {LEAF.sha256}, SPKI SHA-256 {key}",
            f"allowed: leaf (SHA-256 {other.sha256}), key (SPKI SHA-256 ",
            "appgw pins fetch 192.0.2.7:9443 --sni a.example",
        ):
            self.assertIn(part, said)
        self.assertNotIn("\n", said)

    def test_address_without_a_name(self) -> None:
        """
        An IPv6 address stands in brackets, and without SNI no option is shown.
        """
        wanted = Target(address="2001:db8::1", port=443, pins=())
        said = judged(wanted).explain(wanted)
        self.assertIn("allowed: nothing", said)
        self.assertTrue(said.endswith("appgw pins fetch [2001:db8::1]:443"), said)

    def test_long_lists_are_cut(self) -> None:
        """
        Of a hundred pins only the first are listed.
        """
        other = make_certificate()
        wanted = target(*(leaf_pin(other, name=f"pin{n}") for n in range(100)))
        said = judged(wanted).explain(wanted)
        self.assertIn("pin9 (", said)
        self.assertNotIn("pin10 (", said)
        self.assertIn("and 90 more", said)

    def test_every_reason_can_be_told(self) -> None:
        """
        Each refusal that the judge can make has its sentence.
        """
        late = NOW + 9 * DAY
        rooted = target(pins=None, roots=())
        ended = leaf_pin(not_after=datetime.date(2000, 1, 1))
        told = {
            verdict.explain(target())
            for verdict in (
                judged(target()),
                judged(target(leaf_pin())),
                judged(target(leaf_pin()), now=late),
                judged(target(leaf_pin()), now=NOW - 9 * DAY),
                judged(target(ended)),
                judged(target(pins=None)),
                judged(rooted, name_error=None),
                judged(rooted, chain_verified=True),
            )
        }
        self.assertEqual(len(told), 8)
