"""
When each pin was last met, kept over restarts in a small file.

The file may be lost without harm: nothing is decided by it. What it says is for
people, who want to know whether an old certificate is still in use.
"""

from __future__ import annotations

import datetime
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from appgw.config.model import Pin
from appgw.replacing import replace

LARGEST: Final = 4 << 20
"""The most bytes that are read of such a file."""

_DAMAGE: Final = (
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What it comes to, to read something else than was written."""


class StateError(Exception):
    """
    A file that cannot be used, and why.
    """


@attrs.frozen
class Match:
    """
    When a backend has last presented what a pin stands for, and what that was.

    Attributes:
        pin: the digest that the pin has, which its name alone does not tell.
        at: when.
        sha256: of the certificate that was presented, in hex.
        not_before, not_after: its dates.
    """

    pin: str
    at: datetime.datetime
    sha256: str
    not_before: datetime.datetime
    not_after: datetime.datetime


def digest_of(pin: Pin) -> str:
    """
    Return what a pin stands for, as text.
    """
    if pin.sha256 is not None:
        return f"sha256:{pin.sha256.hex()}"
    return f"spki_sha256:{(pin.spki_sha256 or b'').hex()}"


def load(path: Path, pins: Iterable[Pin]) -> dict[str, Match]:
    """
    Read when *pins* were met, by their names; those that never were are missing.

    Raises:
        StateError: the file is there and cannot be used.
    """
    try:
        known = _entries(json.loads(_content(path)))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    except _DAMAGE as error:
        raise StateError(f"{path}: {type(error).__name__}: {error}") from error
    return {
        pin.name: known[pin.name]
        for pin in pins
        if pin.name in known and known[pin.name].pin == digest_of(pin)
    }


def save(path: Path, matches: Mapping[str, Match], pins: Iterable[Pin]) -> None:
    """
    Write when *pins* were met; where the file knows of a later time, that stays:
    several gateways may share one.

    Raises:
        OSError: it cannot be written.
    """
    try:
        found = load(path, pins)
    except StateError:
        found = {}
    for pin in pins:
        ours = matches.get(pin.name)
        theirs = found.get(pin.name)
        if ours is not None and (theirs is None or theirs.at < ours.at):
            found[pin.name] = ours
    written = {name: _entry(match) for name, match in sorted(found.items())}
    replace(path, json.dumps({"pins": written}, indent=1).encode() + b"\n")


def _content(path: Path) -> bytes:
    # Without O_NONBLOCK, a pipe that nobody writes to would hold us here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("this is no file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError("it is too large")
    return data


def _entry(match: Match) -> dict[str, Any]:
    return {
        "pin": match.pin,
        "last_matched": _written(match.at),
        "presented": {
            "sha256": match.sha256,
            "not_before": _written(match.not_before),
            "not_after": _written(match.not_after),
        },
    }


def _entries(read: Any) -> dict[str, Match]:
    found = {}
    for name, entry in read["pins"].items():
        presented = entry["presented"]
        found[name] = Match(
            _text(entry["pin"]),
            _time(entry["last_matched"]),
            _text(presented["sha256"]),
            _time(presented["not_before"]),
            _time(presented["not_after"]),
        )
    return found


def _written(time: datetime.datetime) -> str:
    return time.isoformat(timespec="seconds")


def _time(read: Any) -> datetime.datetime:
    time = datetime.datetime.fromisoformat(read)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


def _text(read: Any) -> str:
    if not isinstance(read, str):
        raise TypeError("no text")
    return read
