from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.target import Target
from appgw.backend.targets import host_for, ip_literal, name_for, target_for
from appgw.config.model import BackendSettings, Member, Pin, TrustedRoot

ONE = Pin(name="one", sha256=b"\x01" * 32)
TWO = Pin(name="two", spki_sha256=b"\x02" * 32)
PINS = {"one": ONE, "two": TWO}
ROOTS = {
    "corp": TrustedRoot(name="corp", certificates=(b"first", b"second")),
    "more": TrustedRoot(name="more", certificates=(b"second", b"third")),
}
PINNED = BackendSettings(name="s", protocol="https", port=8443, pins=("one",))
ROOTED = attrs.evolve(PINNED, pins=(), trusted_roots=("corp",))
NAMED = Member(address="orders.internal")
NUMBERED = Member(address="10.0.0.7")


def target(settings: BackendSettings, member: Member = NAMED) -> Target:
    """
    Return the target of *member* at a fixed address.
    """
    return target_for(settings, member, "10.0.0.7", PINS, ROOTS, {})


class WhereTests(SynchronousTestCase):
    """
    Address, port and protocol.
    """

    def test_the_settings_port(self) -> None:
        """
        A member without a port is met at the setting's.
        """
        found = target(PINNED)
        self.assertEqual(("10.0.0.7", 8443), (found.address, found.port))

    def test_the_members_port_wins(self) -> None:
        """
        A member's own port wins over the setting's.
        """
        self.assertEqual(9443, target(PINNED, Member(address="x", port=9443)).port)

    def test_http(self) -> None:
        """
        Plain http has neither name nor trust: an address is the whole identity.
        """
        plain = BackendSettings(name="p", protocol="http", port=80, host_name="x.test")
        expected = Target(address="10.0.0.7", port=80, protocol="http", alpn=())
        self.assertEqual(expected, target(plain))


class NameTests(SynchronousTestCase):
    """
    SNI, the name that is checked, and the Host.
    """

    def test_a_named_member(self) -> None:
        """
        A member known by name gives its name for both.
        """
        found = target(PINNED)
        self.assertEqual("orders.internal", found.server_name)
        self.assertEqual("orders.internal", found.name)

    def test_a_member_by_address(self) -> None:
        """
        An IP address is checked as such and never sent as SNI.
        """
        found = target(PINNED, NUMBERED)
        self.assertIsNone(found.server_name)
        self.assertEqual("10.0.0.7", found.name)

    def test_ipv6(self) -> None:
        """
        An IPv6 address is checked in its one spelling, without brackets and zone.
        """
        for text in ("[::1]", "0:0::1", "::1%lo"):
            found = target(PINNED, Member(address=text))
            self.assertEqual((None, "::1"), (found.server_name, found.name))

    def test_host_name_wins(self) -> None:
        """
        The setting's host_name stands before a member's name or address.
        """
        settings = attrs.evolve(PINNED, host_name="Shop.Example.")
        for member in (NAMED, NUMBERED):
            found = target(settings, member)
            self.assertEqual("shop.example", found.server_name)
            self.assertEqual("shop.example", found.name)

    def test_host_name_is_an_address(self) -> None:
        """
        A host_name that is an IP address is no SNI either.
        """
        found = target(attrs.evolve(PINNED, host_name="192.0.2.1"))
        self.assertEqual((None, "192.0.2.1"), (found.server_name, found.name))

    def test_picked_from_the_address(self) -> None:
        """
        With pick_host_name_from_backend_address it is the member's.
        """
        settings = attrs.evolve(PINNED, pick_host_name_from_backend_address=True)
        self.assertEqual("orders.internal", name_for(settings, NAMED))
        self.assertEqual(b"orders.internal", host_for(settings, NAMED))
        self.assertEqual(b"10.0.0.7", host_for(settings, NUMBERED))
        self.assertEqual(b"[::1]", host_for(settings, Member(address="::1")))

    def test_host(self) -> None:
        """
        Without either the Host is the client's, with host_name it is that.
        """
        self.assertIsNone(host_for(PINNED, NAMED))
        settings = attrs.evolve(PINNED, host_name="shop.example")
        self.assertEqual(b"shop.example", host_for(settings, NAMED))

    def test_addresses_and_names(self) -> None:
        """
        Only what is an IP address for certain is taken for one.
        """
        spelled = {
            text: ip_literal(text)
            for text in ("10.0.0.7", "[2001:DB8::1]", "::ffff:1.2.3.4", "::1%eth0")
        }
        self.assertEqual(
            {
                "10.0.0.7": "10.0.0.7",
                "[2001:DB8::1]": "2001:db8::1",
                "::ffff:1.2.3.4": "::ffff:102:304",
                "::1%eth0": "::1%eth0",
            },
            spelled,
        )
        for text in ("", "localhost", "10.0.0", "010.0.0.1", "1.2.3.4.", "[::1", "1"):
            self.assertIsNone(ip_literal(text), text)


class TrustTests(SynchronousTestCase):
    """
    Pins, roots and the check of the name.
    """

    def test_pins_alone(self) -> None:
        """
        With pins neither chain nor name are asked for.
        """
        found = target(PINNED)
        self.assertEqual((ONE,), found.pins)
        self.assertIsNone(found.roots)
        self.assertFalse(found.verify_name)
        self.assertFalse(found.well_known)

    def test_pins_with_a_name(self) -> None:
        """
        verify_name adds the name to pins alone.
        """
        self.assertTrue(target(attrs.evolve(PINNED, verify_name=True)).verify_name)

    def test_member_pins_replace(self) -> None:
        """
        A member's pins stand instead of the setting's, not beside them.
        """
        member = attrs.evolve(NAMED, pins=("two",))
        self.assertEqual((TWO,), target(PINNED, member).pins)

    def test_roots_alone(self) -> None:
        """
        Roots bring every certificate they have, and the check of the name.
        """
        found = target(attrs.evolve(ROOTED, trusted_roots=("corp", "more")))
        self.assertEqual((b"first", b"second", b"third"), found.roots)
        self.assertIsNone(found.pins)
        self.assertTrue(found.verify_name)

    def test_well_known(self) -> None:
        """
        The reserved name stands for the machine's store, and for no file.
        """
        found = target(attrs.evolve(ROOTED, trusted_roots=("well-known",)))
        self.assertTrue(found.well_known)
        self.assertEqual((), found.roots)
        self.assertTrue(found.verify_name)

    def test_both(self) -> None:
        """
        Pins besides roots: both are part of the identity.
        """
        found = target(attrs.evolve(PINNED, trusted_roots=("corp", "well-known")))
        self.assertEqual((ONE,), found.pins)
        self.assertEqual((b"first", b"second"), found.roots)
        self.assertTrue(found.well_known)

    def test_member_pins_besides_roots(self) -> None:
        """
        A pinned member under a setting with roots must satisfy both.
        """
        found = target(ROOTED, attrs.evolve(NAMED, pins=("two",)))
        self.assertEqual((TWO,), found.pins)
        self.assertEqual((b"first", b"second"), found.roots)

    def test_neither(self) -> None:
        """
        Without pins and roots nothing is admitted.
        """
        found = target(attrs.evolve(PINNED, pins=()))
        self.assertEqual((), found.pins)
        self.assertIsNone(found.roots)

    def test_an_empty_list_admits_nothing(self) -> None:
        """
        A member's empty list is not taken for no list, whatever the setting has.
        """
        member = attrs.evolve(NAMED, pins=())
        for settings in (PINNED, ROOTED):
            self.assertEqual((), target(settings, member).pins)

    def test_a_name_that_is_not_there(self) -> None:
        """
        A dangling reference is an error, never a shorter list.
        """
        for settings in (
            attrs.evolve(PINNED, pins=("one", "gone")),
            attrs.evolve(ROOTED, trusted_roots=("gone",)),
        ):
            self.assertRaises(KeyError, target, settings)


class IdentityTests(SynchronousTestCase):
    """
    Who may share connections.
    """

    def test_the_same(self) -> None:
        """
        What was built twice from the same configuration is one identity.
        """
        self.assertEqual(target(PINNED), target(PINNED))
        self.assertEqual(hash(target(PINNED)), hash(target(PINNED)))

    def test_different_trust(self) -> None:
        """
        At one address, any difference in what must be proved keeps them apart.
        """
        settings = [
            PINNED,
            attrs.evolve(PINNED, pins=("two",)),
            attrs.evolve(PINNED, pins=("one", "two")),
            attrs.evolve(PINNED, pins=()),
            attrs.evolve(PINNED, verify_name=True),
            attrs.evolve(PINNED, host_name="other.internal"),
            attrs.evolve(PINNED, trusted_roots=("corp",)),
            ROOTED,
            attrs.evolve(ROOTED, trusted_roots=("more",)),
            attrs.evolve(ROOTED, trusted_roots=("corp", "well-known")),
        ]
        found = {target(setting) for setting in settings}
        self.assertEqual(len(settings), len(found))

    def test_a_pin_that_changed(self) -> None:
        """
        A pin of the same name with other contents is another identity.
        """
        changed = {"one": attrs.evolve(ONE, sha256=b"\x09" * 32)}
        self.assertNotEqual(
            target(PINNED), target_for(PINNED, NAMED, "10.0.0.7", changed, {}, {})
        )
