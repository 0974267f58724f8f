from __future__ import annotations

import datetime

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.lapse import withdrawn
from appgw.backend.presented import Presented
from appgw.backend.revocation import demanded_now
from appgw.backend.target import Target
from appgw.backend.verdict import Verdict
from appgw.config.model import BackendSettings, Config, Member, Pin, PinMode, Pool
from appgw.testing import make_certificate

NOW = datetime.datetime.now(datetime.UTC)
LEAF = make_certificate(["a.example"])
OLD = Pin(name="old", sha256=bytes.fromhex(LEAF.sha256))
KEY = Pin(name="key", spki_sha256=bytes.fromhex(LEAF.spki_sha256))
NEW = Pin(name="new", sha256=bytes(32))
HERE = Member(address="192.0.2.1")
THERE = Member(address="192.0.2.2")
PAIR = ("web", "web")
TARGET = Target(address="192.0.2.1", port=443, pins=(OLD, NEW))
ADMITTED = Verdict(True, "admitted", "old", Presented.from_der(LEAF.der))


def config(
    *pins: Pin,
    members: tuple[Member, ...] = (HERE,),
    protocol: str = "https",
    named: tuple[str, ...] | None = None,
    roots: tuple[str, ...] = (),
    mode: PinMode = "prevent",
) -> Config:
    """
    Return a configuration with these pins, all of them in the setting.
    """
    names = tuple(pin.name for pin in pins) if named is None else named
    settings = BackendSettings(
        name="web",
        protocol=protocol,
        port=443,
        pins=names,
        trusted_roots=roots,
        pin_mode=mode,
    )
    return Config(
        listeners={},
        rules={},
        pins={pin.name: pin for pin in pins},
        pools={"web": Pool(name="web", members=members)},
        backend_settings={"web": settings},
    )


class RevocationTests(SynchronousTestCase):
    """
    Which connections a new configuration cuts.
    """

    def revoked(
        self,
        config: Config,
        member: Member = HERE,
        target: Target = TARGET,
        verdict: Verdict | None = ADMITTED,
    ) -> bool:
        """
        Ask about a connection that the old pin has admitted.
        """
        wanted = demanded_now(config, PAIR, member, target)
        return withdrawn(wanted, verdict, NOW) is not None

    def test_pins_of_the_setting(self) -> None:
        """
        What counts is whether some pin of the setting still means the leaf.
        """
        self.assertFalse(self.revoked(config(OLD)))
        self.assertFalse(self.revoked(config(NEW, OLD)))
        self.assertFalse(self.revoked(config(KEY)))
        self.assertTrue(self.revoked(config(NEW)))
        self.assertTrue(self.revoked(config(OLD, NEW, named=("new",))))
        self.assertTrue(self.revoked(config()))

    def test_pins_of_the_member(self) -> None:
        """
        A member's own pins replace the setting's, those that it has now.
        """
        own = attrs.evolve(HERE, pins=("old",))
        other = attrs.evolve(HERE, pins=("new",))
        both = config(OLD, NEW, named=("new",))
        self.assertFalse(
            self.revoked(config(OLD, NEW, named=("new",), members=(THERE, own)))
        )
        self.assertTrue(self.revoked(config(OLD, NEW, members=(other,)), own))
        self.assertTrue(self.revoked(both, own))
        self.assertTrue(
            self.revoked(config(OLD, members=(attrs.evolve(HERE, pins=()),)))
        )

    def test_member_gone(self) -> None:
        """
        A member that is gone is judged by what it would be allowed now.
        """
        own = attrs.evolve(HERE, pins=("old",))
        for member, pins, named, cut in (
            (HERE, (OLD,), None, False),
            (HERE, (NEW,), None, True),
            (own, (OLD, NEW), ("new",), False),
            (own, (NEW,), None, True),
        ):
            new = config(*pins, named=named, members=(THERE,))
            self.assertIs(cut, self.revoked(new, member))
            self.assertIs(cut, self.revoked(attrs.evolve(new, pools={}), member))

    def test_setting_gone(self) -> None:
        """
        Where the setting is gone as a whole, any pin at all may admit.
        """
        for pins, cut in (((OLD,), False), ((NEW, KEY), False), ((NEW,), True)):
            new = attrs.evolve(config(*pins), backend_settings={})
            self.assertIs(cut, self.revoked(new))
        nothing = attrs.evolve(config(), backend_settings={})
        self.assertTrue(self.revoked(nothing))
        plain = Target(address="192.0.2.1", port=80, protocol="http")
        self.assertFalse(self.revoked(nothing, target=plain, verdict=None))

    def test_pins_no_more(self) -> None:
        """
        Where roots or clear text come instead of pins, these have left as well.
        """
        self.assertTrue(self.revoked(config(protocol="http")))
        self.assertTrue(self.revoked(config(roots=("corp",))))
        self.assertTrue(self.revoked(config(NEW, roots=("corp",))))
        self.assertFalse(self.revoked(config(OLD, roots=("corp",))))

    def test_never_pinned(self) -> None:
        """
        What trust rested on something else for is not cut for want of a pin.
        """
        rooted = attrs.evolve(TARGET, pins=None, roots=(b"corp",))
        self.assertFalse(self.revoked(config(roots=("corp",)), target=rooted))
        self.assertFalse(self.revoked(config(protocol="http"), target=rooted))
        self.assertTrue(self.revoked(config(NEW, roots=("corp",)), target=rooted))

    def test_pins_where_none_were(self) -> None:
        """
        What was connected without any certificate is not what pins ask for.
        """
        plain = Target(address="192.0.2.1", port=80, protocol="http")
        self.assertTrue(self.revoked(config(OLD), target=plain, verdict=None))
        nothing = Verdict(True, "admitted", None, None)
        self.assertTrue(self.revoked(config(OLD), verdict=nothing))

    def test_dates(self) -> None:
        """
        A pin admits what stands from its first day to its last one.
        """
        past, today = datetime.date(2020, 1, 1), NOW.date()
        tomorrow = today + datetime.timedelta(days=1)
        for first, last, cut in (
            (None, past, True),
            (None, today, False),
            (today, today, False),
            (tomorrow, None, True),
        ):
            dated = attrs.evolve(OLD, not_before=first, not_after=last)
            self.assertIs(cut, self.revoked(config(dated)), (first, last))

    def test_states(self) -> None:
        """
        All states admit what stands, but for the one that revokes.
        """
        for state, cut in (
            ("next", False),
            ("active", False),
            ("retiring", False),
            ("revoked", True),
        ):
            new = config(attrs.evolve(OLD, state=state))
            self.assertIs(cut, self.revoked(new), state)

    def test_revoked_wins(self) -> None:
        """
        A revoked certificate or key is cut, whatever else admits it, and whether
        or not the setting lists the pin that revokes it.
        """
        gone_leaf = attrs.evolve(OLD, name="gone", state="revoked")
        gone_key = attrs.evolve(KEY, name="gone", state="revoked")
        for gone in (gone_leaf, gone_key):
            for named in (("old", "key"), ("old", "key", "gone")):
                new = config(OLD, KEY, gone, named=named)
                wanted = demanded_now(new, PAIR, HERE, TARGET)
                self.assertEqual("revoked", withdrawn(wanted, ADMITTED, NOW))
            bare = attrs.evolve(config(OLD, gone), backend_settings={})
            self.assertTrue(self.revoked(bare))

    def test_revoked_under_roots(self) -> None:
        """
        So it is where trust rests on roots alone, before and after.
        """
        rooted = attrs.evolve(TARGET, pins=None, roots=(b"corp",))
        gone = attrs.evolve(OLD, state="revoked")
        new = config(gone, named=(), roots=("corp",))
        self.assertTrue(self.revoked(new, target=rooted))
        other = attrs.evolve(NEW, state="revoked")
        new = config(other, named=(), roots=("corp",))
        self.assertFalse(self.revoked(new, target=rooted))

    def test_detect(self) -> None:
        """
        A pin that goes while pins only detect cuts nothing that roots have
        vouched for.
        """
        both = attrs.evolve(TARGET, roots=(b"corp",))
        new = config(NEW, roots=("corp",), mode="detect")
        self.assertFalse(self.revoked(new, target=both))
        self.assertFalse(self.revoked(new, target=attrs.evolve(both, detect=True)))
        gone = attrs.evolve(OLD, name="gone", state="revoked")
        new = config(NEW, gone, named=("new",), roots=("corp",), mode="detect")
        self.assertTrue(self.revoked(new, target=both))

    def test_detect_without_a_chain(self) -> None:
        """
        Who was admitted by a pin alone is cut when it goes, although pins only
        detect from now on: nobody has looked at its chain.
        """
        new = config(NEW, roots=("corp",), mode="detect")
        self.assertTrue(self.revoked(new))
        new = config(OLD, roots=("corp",), mode="detect")
        self.assertFalse(self.revoked(new))

    def test_prevent_again(self) -> None:
        """
        What was let through while pins only detected is cut when they prevent.
        """
        both = attrs.evolve(TARGET, pins=(NEW,), roots=(b"corp",), detect=True)
        let = attrs.evolve(ADMITTED, pin=None, overlooked="not-pinned")
        new = config(NEW, roots=("corp",))
        self.assertTrue(self.revoked(new, target=both, verdict=let))
        new = config(NEW, roots=("corp",), mode="detect")
        self.assertFalse(self.revoked(new, target=both, verdict=let))
