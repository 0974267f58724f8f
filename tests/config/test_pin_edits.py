from __future__ import annotations

import datetime

from appgw.config.model import Config, Pin
from appgw.config.pin_edits import NoStepError, Step, new_name, rotate
from tests.config.pin_texts import (
    BLOCK,
    DIGEST,
    FLOW,
    NEW,
    OTHER,
    REST,
    SHARED,
    StepCase,
)
from tests.config.samples import PIN, certificate, new_key, pem


class RotateTests(StepCase):
    """
    The pin that follows.
    """

    def rotated(self, text: str, config: Config) -> Step:
        """
        Let the new pin follow the one of the orders.
        """
        return rotate(text, config, "orders", NEW, None)

    def test_block(self) -> None:
        """
        It stands behind the old one, written as that one is and with its owner,
        and on every list with it; nothing else changes.
        """
        gone, come = self.lines(BLOCK + REST, self.rotated)
        self.assertEqual(
            come,
            [
                "  new:",
                f'    sha256: "{DIGEST.hex()}"',
                "    state: next",
                "  orders: {protocol: https, pins: [orders, new]}   # one",
                "    - new",
                "      - {address: a, pins: [orders, new, other]}",
            ],
        )
        self.assertEqual(len(gone), 2)
        step = self.step(BLOCK + REST, self.rotated)
        self.assertEqual(list(step.config.pins), ["orders", "new", "other"])
        self.assertEqual(step.config.pins["new"].owner, "payments")
        self.assertIn(
            "backend_settings.orders.pins, backend_settings.more.pins,"
            " pools.orders.members[0].pins",
            step.told[0],
        )
        start = step.text.index("    # kept for the record")
        self.assertLess(start, step.text.index("  new:"))

    def test_flow(self) -> None:
        """
        In braces and brackets it is written in these.
        """
        step = self.step(FLOW + REST, self.rotated)
        self.assertEqual(step.text.count("\n"), (FLOW + REST).count("\n"))
        self.assertIn("members: [{address: a, pins: [other, orders, new]}]", step.text)

    def test_shared(self) -> None:
        """
        A list that several have by an alias is changed once, for all of them.
        """
        step = self.step(SHARED + REST, self.rotated)
        self.assertEqual(step.text.count("new"), 2)
        names = step.config.backend_settings["more"].pins
        self.assertEqual(names, ("orders", "new", "other"))

    def test_names_by_alias(self) -> None:
        """
        A name that is written as an alias is known.
        """
        text = BLOCK.replace("pins: [orders]", "pins: [&o orders]")
        text = text.replace("pins: [orders, other]", "pins: [*o, other]")
        step = self.step(text + REST, self.rotated)
        self.assertIn("[*o, new, other]", step.text)

    def test_line_breaks(self) -> None:
        """
        The text keeps its line breaks, and the end that it has.
        """
        text = (BLOCK + REST).replace("\n", "\r\n").removesuffix("\r\n")
        step = self.step(text, self.rotated)
        self.assertEqual(step.text.count("\n"), step.text.count("\r\n"))
        self.assertFalse(step.text.endswith("\n"))

    def test_file(self) -> None:
        """
        A certificate in a file is named by it.
        """
        leaf = certificate(new_key(), name="new")
        self.write("it's new.pem", pem(leaf))
        config = self.sound_config(
            BLOCK.replace(f'sha256: "{PIN}"', "certificate_file: it's new.pem") + REST
        )
        der = config.pins["orders"].certificate
        sha256 = config.pins["orders"].sha256
        new = Pin(name="new", sha256=sha256, certificate=der, state="next")
        step = self.step(
            BLOCK + REST,
            lambda text, config: rotate(text, config, "orders", new, "it's new.pem"),
        )
        self.assertIn('certificate_file: "it\'s new.pem"', step.text)

    def test_key(self) -> None:
        """
        A key is written in base64.
        """
        new = Pin(name="new", spki_sha256=DIGEST, state="next")
        step = self.step(
            BLOCK + REST, lambda text, config: rotate(text, config, "other", new, None)
        )
        digest = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        self.assertIn(f'new: {{spki_sha256: "{digest}", state: next}}', step.text)

    def test_on_no_list(self) -> None:
        """
        A pin that stands on no list is followed all the same, which is said.
        """
        text = f"{BLOCK}{REST}".replace(
            "  other: {sha", f'  spare: {{sha256: "{"ef" * 32}"}}\n  other: {{sha'
        )
        step = self.step(
            text, lambda text, config: rotate(text, config, "spare", NEW, None)
        )
        self.assertIn("stands on no list", step.told[0])

    def test_no_step(self) -> None:
        """
        What cannot be done is said in a sentence.
        """
        config = self.sound_config(BLOCK + REST)
        twice = Pin(name="new", sha256=bytes.fromhex(OTHER), state="next")
        taken = Pin(name="other", sha256=DIGEST, state="next")
        for old, new, said in (
            ("none", NEW, "there is no pin none"),
            ("orders", taken, "there is a pin other already"),
            ("orders", twice, "pin other (active) stands for that already"),
        ):
            with self.assertRaises(NoStepError) as raised:
                rotate(BLOCK + REST, config, old, new, None)
            self.assertEqual(str(raised.exception), said)

    def test_names(self) -> None:
        """
        The new name is the old one's with the day, not longer than names are, and
        none that there is.
        """
        config = self.sound_config(BLOCK + REST)
        day = datetime.date(2026, 11, 24)
        for old, new in (
            ("orders", "orders-2026-11-24"),
            ("orders-2025", "orders-2026-11-24"),
            ("orders-2025-06", "orders-2026-11-24"),
            ("orders-2026-01-02", "orders-2026-11-24"),
            ("orders-2026-11-24-2", "orders-2026-11-24"),
            ("orders-8443", "orders-8443-2026-11-24"),
            ("-2026", "pin-2026-11-24"),
        ):
            self.assertEqual(new_name(config, old, day), new)
        self.assertLessEqual(len(new_name(config, "x" * 80, day)), 80)
        text = (BLOCK + REST).replace("other", "orders-2026-11-24")
        taken = self.sound_config(text)
        self.assertEqual(new_name(taken, "orders", day), "orders-2026-11-24-2")
