from __future__ import annotations

import base64
import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from appgw.backend.presented import Presented
from tests.config.samples import (
    DAY,
    NOW,
    PIN,
    SOUND,
    ConfigCase,
    certificate,
    new_key,
    pem,
)

OTHER = "cd" * 32
ROOTED = {"trusted_roots": "corp: {certificate_file: corp.pem}"}


class KeyTests(ConfigCase):
    """
    What the file says of a pin's life.
    """

    def test_all(self) -> None:
        """
        Every key of a pin is read; what is left out has its default.
        """
        text = self.text(
            pins=f"""
                orders: {{sha256: "{PIN}"}}
                next:
                  sha256: "{OTHER}"
                  state: next
                  not_before: 2026-07-01
                  not_after: 2027-06-30
                  owner: payments@example.com
                  comment: "ask first: see #12"
            """,
            backend_settings="orders: {protocol: https, pins: [orders, next]}",
        )
        pins = self.sound(text).pins
        plain, full = pins["orders"], pins["next"]
        self.assertEqual(
            (plain.state, plain.not_before, plain.owner, plain.comment),
            ("active", None, None, None),
        )
        self.assertEqual(full.state, "next")
        self.assertEqual(full.not_before, datetime.date(2026, 7, 1))
        self.assertEqual(full.not_after, datetime.date(2027, 6, 30))
        self.assertEqual(full.owner, "payments@example.com")
        self.assertEqual(full.comment, "ask first: see #12")

    def test_what_is_not_taken(self) -> None:
        """
        A state, a date or a word that is none is an error.
        """
        for key, value in (
            ("state", "old"),
            ("state", "Revoked"),
            ("not_before", "soon"),
            ("owner", "''"),
            ("comment", "''"),
        ):
            pins = f'orders: {{sha256: "{PIN}", {key}: {value}}}  # here'
            self.only(self.text(pins=pins), f"pins.orders.{key}")

    def test_days_in_order(self) -> None:
        """
        A pin's first day is not after its last one.
        """
        days = "not_before: 2026-06-02, not_after: 2026-06-01"
        pins = f'orders: {{sha256: "{PIN}", {days}}}  # here'
        examination = self.examine(self.text(pins=pins))
        keys = [(one.key, one.severity) for one in examination.problems]
        self.assertIn(("pins.orders.not_after", "error"), keys)
        one = pins.replace("06-02", "06-01")
        self.sound(self.text(pins=one))

    def test_pin_state(self) -> None:
        """
        The file that keeps when pins matched is named, and made by the gateway.
        """
        config = self.sound(self.text("pin_state: {file: pins.state}\n"))
        self.assertEqual(config.pin_state, str(self.folder.absolute() / "pins.state"))
        self.assertIsNone(self.sound(self.text()).pin_state)
        text = self.text("pin_state: {file: none/pins.state}  # here\n")
        self.only(text, "pin_state.file", "warning")
        self.only(self.text("pin_state: {}  # here\n"), "pin_state.file")


class ListTests(ConfigCase):
    """
    Lists on which some pins admit nothing.
    """

    def listed(self, *pins: str) -> str:
        """
        Write a configuration whose setting lists these pins.
        """
        names = [f"p{number}" for number in range(len(pins))]
        written = (
            f'{name}: {{sha256: "{number:064x}", {pin}}}'
            for number, (name, pin) in enumerate(zip(names, pins, strict=True), 1)
        )
        listing = f"orders: {{protocol: https, pins: [{', '.join(names)}]}}  # here"
        return self.text(pins="\n".join(written), backend_settings=listing)

    def test_nobody(self) -> None:
        """
        A list on which nothing admits today is a warning.
        """
        key = "backend_settings.orders.pins"
        for pins in (
            ("state: revoked",),
            ("state: revoked", "state: revoked"),
            ("not_before: 2026-06-02",),
            ("state: revoked", "not_before: 2026-06-02"),
        ):
            problem = self.only(self.listed(*pins), key, "warning")
            self.assertIn("no pin that admits anything today", problem.found)

    def test_somebody(self) -> None:
        """
        One that admits is enough, in any state but one.
        """
        for state in ("next", "active", "retiring"):
            self.sound(self.listed("state: revoked", f"state: {state}"))
        self.sound(self.listed("not_before: 2026-06-01, not_after: 2026-06-01"))

    def test_members(self) -> None:
        """
        The same holds for the list of a member.
        """
        text = self.text(
            pins=SOUND["pins"] + f'\ngone: {{sha256: "{OTHER}", state: revoked}}',
            pools="orders: {members: [{address: a, pins: [gone]}]}  # here",
        )
        self.only(text, "pools.orders.members[0].pins", "warning")

    def test_next_without_a_list(self) -> None:
        """
        The pin of a certificate to come does not help on no list.
        """
        pins = f'{SOUND["pins"]}\nnew: {{sha256: "{OTHER}", state: next}}  # here'
        problem = self.only(self.text(pins=pins), "pins.new.state", "warning")
        self.assertIn("no setting and no member lists", problem.found)
        self.sound(self.text(pins=pins.replace("next", "active")))


class RevokedTests(ConfigCase):
    """
    Pins that mean to admit what another one revokes.
    """

    def setUp(self) -> None:
        """
        Make a leaf.
        """
        super().setUp()
        leaf = certificate(new_key(), name="orders")
        self.write("leaf.pem", pem(leaf))
        self.leaf = Presented.from_der(leaf.public_bytes(Encoding.DER))
        self.key = base64.b64encode(self.leaf.spki_sha256).decode()

    def test_told(self) -> None:
        """
        The same leaf, the same key, and a leaf from a file with that key.
        """
        leaf = f'sha256: "{self.leaf.sha256.hex()}"'
        key = f'spki_sha256: "{self.key}"'
        for gone, stays in (
            (leaf, leaf),
            (leaf, "certificate_file: leaf.pem"),
            (key, key),
            (key, "certificate_file: leaf.pem"),
        ):
            text = self.text(
                pins=f"""
                    gone: {{{gone}, state: revoked}}
                    orders: {{{stays}}}  # here
                """
            )
            problem = self.only(text, "pins.orders", "warning")
            self.assertIn("'gone' revokes", problem.found)

    def test_another(self) -> None:
        """
        What is revoked and what is not may stand beside each other, and a digest
        of a leaf is none of a key.
        """
        digest = self.leaf.spki_sha256.hex()
        for gone in (f'sha256: "{OTHER}"', f'sha256: "{digest}"'):
            self.sound(
                self.text(
                    pins=f"""
                        gone: {{{gone}, state: revoked}}
                        orders: {{spki_sha256: "{self.key}"}}
                    """
                )
            )

    def test_out_of_date(self) -> None:
        """
        Nobody needs to know that a revoked certificate has expired.
        """
        old = certificate(new_key(), first=NOW - 9 * DAY, last=NOW - DAY)
        self.write("old.pem", pem(old))
        gone = (
            "gone: {certificate_file: old.pem, state: revoked, not_after: 2026-05-01}"
        )
        self.sound(self.text(pins=f"{SOUND['pins']}\n{gone}"))


class ModeTests(ConfigCase):
    """
    pin_mode.
    """

    def setUp(self) -> None:
        """
        Make a root.
        """
        super().setUp()
        self.write("corp.pem", pem(certificate(new_key(), name="corp", ca=True)))

    def mode(self, settings: str, **sections: str) -> str:
        """
        Write a configuration with these settings.
        """
        settings = f"orders: {{{settings}}}  # here"
        return self.text(backend_settings=settings, **(ROOTED | sections))

    def test_default(self) -> None:
        """
        Pins prevent.
        """
        config = self.sound(self.text())
        self.assertEqual(config.backend_settings["orders"].pin_mode, "prevent")
        self.sound(self.mode("protocol: https, pins: [orders], pin_mode: prevent"))

    def test_detect(self) -> None:
        """
        That pins only detect is a warning for as long as it stands.
        """
        text = (
            "protocol: https, pins: [orders], trusted_roots: [corp], pin_mode: detect"
        )
        problem = self.only(
            self.mode(text), "backend_settings.orders.pin_mode", "warning"
        )
        self.assertIn("let through", problem.found)

    def test_without_roots(self) -> None:
        """
        Without trusted roots nothing would be left to trust: an error.
        """
        text = self.mode("protocol: https, pins: [orders], pin_mode: detect")
        problem = self.only(text, "backend_settings.orders.pin_mode")
        self.assertIn("without trusted_roots", problem.found)

    def test_http(self) -> None:
        """
        With http no certificate is seen: an error.
        """
        self.only(
            self.mode("protocol: http, pin_mode: detect"),
            "backend_settings.orders.pin_mode",
        )

    def test_without_pins(self) -> None:
        """
        Where there is nothing to detect, that is the warning; members' pins count.
        """
        text = "protocol: https, trusted_roots: [well-known], pin_mode: detect"
        key = "backend_settings.orders.pin_mode"
        problem = self.only(self.mode(text), key, "warning")
        self.assertIn("without any pins", problem.found)
        pools = "orders: {members: [{address: a, pins: [orders]}]}"
        problem = self.only(self.mode(text, pools=pools), key, "warning")
        self.assertIn("let through", problem.found)

    def test_another_word(self) -> None:
        """
        There are two modes.
        """
        self.only(
            self.mode("protocol: https, pins: [orders], pin_mode: Detection"),
            "backend_settings.orders.pin_mode",
        )
