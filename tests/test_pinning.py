from __future__ import annotations

import datetime
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.model import Config, Pin
from appgw.pin_state import Match, digest_of, load
from appgw.pinning import WRITTEN_EVERY, Matches
from tests.backend.pools import Seconds

NOW = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
OLD = Pin(name="orders", sha256=bytes(32))
NEW = attrs.evolve(OLD, sha256=bytes(range(32)))


def met(pin: Pin) -> Match:
    """
    Let a pin have been met.
    """
    return Match(digest_of(pin), NOW, "ab" * 32, NOW, NOW)


class MatchesTests(SynchronousTestCase):
    """
    When pins were met, in memory.
    """

    def setUp(self) -> None:
        """
        Begin with nothing, and a file to write to.
        """
        self.seconds = Seconds()
        self.matches = Matches(self.seconds)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.file = folder / "pins.state"

    def follow(self, *pins: Pin) -> None:
        """
        Let there be these pins.
        """
        config = Config(
            listeners={},
            rules={},
            pins={pin.name: pin for pin in pins},
            pin_state=str(self.file),
        )
        self.matches.follow(config)

    def test_of_another_time(self) -> None:
        """
        What an old pin of the name stood for is not told as the new one's, whether
        it was met before the change or, by a request from before it, after.
        """
        self.follow(OLD)
        self.matches.note("orders", met(OLD))
        self.follow(NEW)
        self.assertEqual({}, self.matches.met)
        self.matches.note("orders", met(OLD))
        self.assertEqual({}, self.matches.met)
        self.matches.note("orders", met(NEW))
        self.matches.note("gone", met(NEW))
        self.assertEqual({"orders": met(NEW)}, self.matches.met)

    def test_written_in_time(self) -> None:
        """
        What is new is written once a minute, and what is not is never.
        """
        self.follow(OLD)
        self.matches.note("orders", met(OLD))
        self.seconds.now += WRITTEN_EVERY - 1
        self.matches.sweep(self.seconds.now)
        self.assertFalse(self.file.exists())
        self.seconds.now += 1
        self.matches.sweep(self.seconds.now)
        self.assertEqual({"orders": met(OLD)}, load(self.file, [OLD]))
        self.file.unlink()
        self.seconds.now += WRITTEN_EVERY
        self.matches.sweep(self.seconds.now)
        self.matches.write()
        self.assertFalse(self.file.exists())
