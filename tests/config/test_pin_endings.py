from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from appgw.config.edit import UneditableError
from appgw.config.model import Pin
from appgw.config.pin_edits import NoStepError, Step, retire, revoke, rotate, same
from tests.config.pin_texts import BLOCK, FLOW, NEW, REST, SHARED, Change, StepCase
from tests.config.samples import PIN


class RetireTests(StepCase):
    """
    The pin that is about to go.
    """

    def setUp(self) -> None:
        """
        Let a rotation have begun.
        """
        super().setUp()
        begun = self.step(
            BLOCK + REST, lambda text, config: rotate(text, config, "orders", NEW, None)
        )
        self.begun = begun.text

    def states(self, step: Step) -> dict[str, str]:
        """
        Return the states that there are.
        """
        return {pin.name: pin.state for pin in step.config.pins.values()}

    def test_successor(self) -> None:
        """
        It is retiring, and the one behind it active; nothing else changes.
        """
        gone, come = self.lines(
            self.begun, lambda text, config: retire(text, config, "orders", None)
        )
        self.assertEqual(gone, ["    state: next"])
        self.assertEqual(come, ["    state: retiring", "    state: active"])
        step = self.step(
            self.begun, lambda text, config: retire(text, config, "orders", None)
        )
        wanted = {"orders": "retiring", "new": "active", "other": "active"}
        self.assertEqual(self.states(step), wanted)

    def test_alone(self) -> None:
        """
        Where nothing follows, that is said, and where no pin would stay.
        """
        step = self.step(
            BLOCK + REST, lambda text, config: retire(text, config, "orders", None)
        )
        self.assertEqual(self.states(step), {"orders": "retiring", "other": "active"})
        self.assertIn(
            "No pin in state next or active is left on backend_settings.orders.pins.",
            step.told,
        )

    def test_several(self) -> None:
        """
        Of several that are next, the one behind it follows; where that does not
        tell, who asks has to.
        """
        second = Pin(name="second", sha256=bytes(31) + b"\x01", state="next")
        both = self.step(
            self.begun,
            lambda text, config: rotate(text, config, "other", second, None),
        ).text
        step = self.step(
            both, lambda text, config: retire(text, config, "orders", None)
        )
        self.assertEqual(self.states(step)["new"], "active")
        self.assertEqual(self.states(step)["second"], "next")
        unclear = both.replace("pins: [orders, new]", "pins: [orders, second, new]")
        config = self.sound_config(unclear)
        with self.assertRaises(NoStepError) as raised:
            retire(unclear, config, "orders", None)
        self.assertIn("say --next NAME", str(raised.exception))
        step = self.step(
            unclear, lambda text, config: retire(text, config, "orders", "new")
        )
        self.assertEqual(self.states(step)["new"], "active")

    def test_no_step(self) -> None:
        """
        What cannot be done is said in a sentence.
        """
        config = self.sound_config(self.begun)
        for name, successor, said in (
            ("none", None, "there is no pin none"),
            ("orders", "none", "there is no pin none"),
            ("orders", "other", "pin other is active, not next"),
            ("new", None, "pin new is next: no backend is to have left it yet"),
        ):
            with self.assertRaises(NoStepError) as raised:
                retire(self.begun, config, name, successor)
            self.assertEqual(str(raised.exception), said)
        for state, said in (
            ("retiring", "pin orders is retiring already"),
            ("revoked", "pin orders is revoked; to retire it would admit it again"),
        ):
            text = BLOCK.replace("owner: payments", f"state: {state}") + REST
            with self.assertRaises(NoStepError) as raised:
                retire(text, self.sound_config(text), "orders", None)
            self.assertEqual(str(raised.exception), said)


class RevokeTests(StepCase):
    """
    The pin that is trusted no more.
    """

    def test_revoked(self) -> None:
        """
        It is revoked, stays on its lists, and where nobody else is left that is
        said.
        """
        for text in (BLOCK, FLOW, SHARED):
            step = self.step(
                text + REST, lambda text, config: revoke(text, config, "orders")
            )
            self.assertEqual(step.config.pins["orders"].state, "revoked")
            self.assertEqual(step.config.backend_settings["orders"].pins[0], "orders")
            self.assertEqual(
                "No pin in state" in " ".join(step.told), text is not SHARED
            )

    def test_again(self) -> None:
        """
        Twice is once.
        """
        text = BLOCK.replace("owner: payments", "state: revoked") + REST
        with self.assertRaises(NoStepError):
            revoke(text, self.sound_config(text), "orders")

    def test_written_elsewhere(self) -> None:
        """
        A pin that is written as an alias is left to an editor; one that others are
        aliases of would change them, which is seen.
        """
        text = f"""
            pins:
              other: &p {{sha256: "{PIN}"}}
              orders: *p
            backend_settings:
              orders: {{protocol: https, pins: [orders, other]}}
            pools: {{orders: {{members: [a]}}}}
        """
        text = text.replace("\n            ", "\n") + "\n" + REST
        config = self.sound_config(text)
        with self.assertRaises(UneditableError):
            revoke(text, config, "orders")
        step = revoke(text, config, "other")
        self.assertFalse(same(step.config, self.sound_config(step.text)))


class AnyTextTests(StepCase):
    """
    Whatever a file looks like.
    """

    @settings(deadline=None, max_examples=30)
    @given(st.data())
    def test_any_style(self, data: st.DataObject) -> None:
        """
        However a configuration is written, each step is taken in it, and comes to
        what it says.
        """
        flow = data.draw(st.sampled_from([True, False, None]))
        text = yaml.safe_dump(
            yaml.load(BLOCK + REST, Loader=yaml.BaseLoader),
            default_flow_style=flow,
            indent=data.draw(st.integers(2, 7)),
            width=data.draw(st.sampled_from([20, 40, 1000])),
            line_break=data.draw(st.sampled_from(["\n", "\r\n", "\r"])),
            explicit_start=data.draw(st.booleans()),
            explicit_end=data.draw(st.booleans()),
            default_style=data.draw(st.sampled_from([None, '"', "'"])),
            sort_keys=data.draw(st.booleans()),
        )
        changes: tuple[Change, ...] = (
            lambda text, config: rotate(text, config, "orders", NEW, None),
            lambda text, config: retire(text, config, "orders", None),
            lambda text, config: revoke(text, config, "orders"),
        )
        for change in changes:
            text = self.step(text, change).text
