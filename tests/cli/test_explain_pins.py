from __future__ import annotations

import datetime

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.explain import ask, explained
from appgw.config.model import BackendSettings, Config, Member, Pin, Pool
from tests.route.values import config, listener

DIGEST = bytes(range(32))
DAY = datetime.date(2027, 5, 1)


class ExplainTests(SynchronousTestCase):
    """
    What ``appgw explain`` says of pins and their lives.
    """

    def told(self, *pins: Pin, **settings: object) -> list[str]:
        """
        Explain a request to a backend with these pins.
        """
        names = tuple(pin.name for pin in pins)
        web = BackendSettings(
            name="web", protocol="https", port=443, pins=names, **settings
        )
        values: Config = attrs.evolve(
            config(listener("a")),
            backend_settings={"web": web},
            pools={"web": Pool(name="web", members=(Member(address="10.0.0.7"),))},
            pins={pin.name: pin for pin in pins},
        )
        lines, _ = explained(values, ask("https://a.example/", (), "GET", "192.0.2.1"))
        return lines

    def test_states_and_days(self) -> None:
        """
        A state other than the usual one is told, and the days; what is revoked
        admits nobody.
        """
        lines = self.told(
            Pin(name="new", sha256=DIGEST, state="next", not_before=DAY),
            Pin(name="old", sha256=bytes(32), state="retiring", not_after=DAY),
            Pin(name="gone", spki_sha256=DIGEST, state="revoked"),
        )
        digest, other, day = DIGEST.hex(), "00" * 32, "2027-05-01 UTC"
        for line in (
            "  https://10.0.0.7:443, must show new or old",
            f"  pin new: next, certificate SHA-256 {digest}, from {day}",
            f"  pin old: retiring, certificate SHA-256 {other}, to the end of {day}",
            f"  pin gone: revoked, public key SHA-256 {digest}",
        ):
            self.assertIn(line, lines)

    def test_mode(self) -> None:
        """
        That pins only detect is told with the settings.
        """
        lines = self.told(
            Pin(name="new", sha256=DIGEST),
            pin_mode="detect",
            trusted_roots=("well-known",),
        )
        told = "settings   web (https, request_timeout 20s, pin_mode detect)"
        self.assertIn(told, lines)
