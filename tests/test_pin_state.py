from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw import pin_state
from appgw.config.model import Pin
from appgw.pin_state import Match, StateError, digest_of, load, save

NOW = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
LEAF = Pin(name="leaf", sha256=bytes(range(32)))
KEY = Pin(name="key", spki_sha256=bytes(range(32)))


def met(pin: Pin, at: datetime.datetime = NOW) -> Match:
    """
    Let a pin have been met.
    """
    return Match(digest_of(pin), at, "ab" * 32, NOW - DAY, NOW + DAY)


class StateTests(SynchronousTestCase):
    """
    The file that keeps when pins were met.
    """

    def setUp(self) -> None:
        """
        Choose a file.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        self.file = folder / "pins.state"

    def test_read_back(self) -> None:
        """
        What is written is read again, for the pins that there are.
        """
        known = {"leaf": met(LEAF), "key": met(KEY)}
        save(self.file, known, [LEAF, KEY])
        self.assertEqual(known, load(self.file, [LEAF, KEY]))
        self.assertEqual({"key": known["key"]}, load(self.file, [KEY]))

    def test_nothing_yet(self) -> None:
        """
        Without a file, nothing is known.
        """
        self.assertEqual({}, load(self.file, [LEAF]))

    def test_another_pin_of_that_name(self) -> None:
        """
        What was known of a name is nothing to a pin that stands for something
        else, a key for a leaf included.
        """
        save(self.file, {"leaf": met(LEAF)}, [LEAF])
        other = attrs.evolve(LEAF, sha256=bytes(32))
        self.assertEqual({}, load(self.file, [other]))
        key = attrs.evolve(KEY, name="leaf")
        self.assertEqual({}, load(self.file, [key]))
        worded = attrs.evolve(LEAF, state="retiring", owner="somebody")
        self.assertIn("leaf", load(self.file, [worded]))

    def test_later_one_stays(self) -> None:
        """
        Of what two gateways write, the later time stays.
        """
        save(self.file, {"leaf": met(LEAF), "key": met(KEY)}, [LEAF, KEY])
        later = {"leaf": met(LEAF, NOW + DAY), "key": met(KEY, NOW - DAY)}
        save(self.file, later, [LEAF, KEY])
        found = load(self.file, [LEAF, KEY])
        self.assertEqual(NOW + DAY, found["leaf"].at)
        self.assertEqual(NOW, found["key"].at)

    def test_forgotten(self) -> None:
        """
        Pins that are gone are not written any more.
        """
        save(self.file, {"leaf": met(LEAF), "key": met(KEY)}, [LEAF, KEY])
        save(self.file, {}, [KEY])
        self.assertEqual(["key"], list(json.loads(self.file.read_bytes())["pins"]))

    def test_damaged(self) -> None:
        """
        Whatever else the file holds is an error that says so in one line, and is
        replaced.
        """
        save(self.file, {"leaf": met(LEAF)}, [LEAF])
        sound = self.file.read_bytes()
        entry = json.loads(sound)["pins"]["leaf"]
        broken = [
            {"pins": {"leaf": entry | {"last_matched": one}}}
            for one in ("soon", "2026-11-24T12:00:00", 7, None, {"": ""})
        ]
        texts = [json.dumps(one).encode() for one in broken]
        for content in (
            b"",
            b"\xff\xfe",
            b"null",
            b"[]",
            b'{"pins": []}',
            b'{"pins": {"leaf": null}}',
            b'{"pins": {"leaf": {}}}',
            sound[:-20],
            b"[" * 100_000,
            *texts,
        ):
            self.file.write_bytes(content)
            with self.assertRaises(StateError) as raised:
                load(self.file, [LEAF])
            self.assertIn(str(self.file), str(raised.exception))
            self.assertNotIn("\n", str(raised.exception))
            save(self.file, {"leaf": met(LEAF)}, [LEAF])
            self.assertEqual(sound, self.file.read_bytes())

    def test_large(self) -> None:
        """
        A file that is too large is not read to its end.
        """
        self.patch(pin_state, "LARGEST", 1000)
        self.file.write_bytes(b" " * 1001)
        with self.assertRaises(StateError) as raised:
            load(self.file, [LEAF])
        self.assertIn("too large", str(raised.exception))

    def test_no_file(self) -> None:
        """
        A pipe, or a folder, is no such file, and holds nobody up.
        """
        os.mkfifo(self.file)
        with self.assertRaises(StateError):
            load(self.file, [LEAF])
        with self.assertRaises(StateError):
            load(self.file.parent, [LEAF])

    def test_not_readable(self) -> None:
        """
        A path that leads through a file is an error.
        """
        self.file.write_bytes(b"")
        with self.assertRaises(StateError) as raised:
            load(self.file / "x", [LEAF])
        self.assertIn("Not a directory", str(raised.exception))
