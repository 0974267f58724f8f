"""
Configurations with pins, as texts, and the steps that are taken in them.
"""

from __future__ import annotations

from collections.abc import Callable

from appgw.config.model import Config, Pin
from appgw.config.pin_edits import Step, same
from tests.config.samples import PIN, ConfigCase

DIGEST = bytes(range(32))
NEW = Pin(name="new", sha256=DIGEST, state="next")
OTHER = "cd" * 32
Change = Callable[[str, Config], Step]

BLOCK = f"""\
pins:
  orders:
    sha256: "{PIN}"   # the first one
    owner: payments
    # kept for the record
  other: {{sha256: "{OTHER}"}}
backend_settings:
  orders: {{protocol: https, pins: [orders]}}   # one
  more:
    protocol: https
    pins:
    - other
    - orders   # two
pools:
  orders:
    members:
      - {{address: a, pins: [orders, other]}}
      - {{address: b, pins: [other]}}
      - c
"""
FLOW = f"""\
pins: {{orders: {{sha256: "{PIN}"}}, other: {{sha256: {OTHER}}}}}
backend_settings: {{orders: {{protocol: https, pins: [orders]}}}}
pools: {{orders: {{members: [{{address: a, pins: [other, orders]}}]}}}}
"""
SHARED = f"""\
pins:
  orders: {{sha256: "{PIN}"}}
  other: {{sha256: "{OTHER}"}}
backend_settings:
  orders: {{protocol: https, pins: &pins [orders, other]}}
  more: {{protocol: https, pins: *pins}}
pools:
  orders: {{members: [{{address: a, pins: *pins}}]}}
"""
REST = """\
listeners: {shop: {protocol: http, port: 8080}}
rules: {shop: {priority: 10, listener: shop, pool: orders, backend_settings: orders}}
"""


class StepCase(ConfigCase):
    """
    Configurations with pins, and what becomes of them.
    """

    def sound_config(self, text: str) -> Config:
        """
        Read a configuration; it may have warnings.
        """
        examination = self.examine(text)
        assert examination.config is not None, examination.problems
        return examination.config

    def step(self, text: str, change: Change) -> Step:
        """
        Take a step, and demand that its text is read as what it says.
        """
        step = change(text, self.sound_config(text))
        self.assertTrue(same(step.config, self.sound_config(step.text)), step.text)
        return step

    def lines(self, text: str, change: Change) -> tuple[list[str], list[str]]:
        """
        Take a step; return the lines that have gone and those that have come.
        """
        before, after = text.splitlines(), self.step(text, change).text.splitlines()
        gone = [line for line in before if line not in after]
        return gone, [line for line in after if line not in before]
