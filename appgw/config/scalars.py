"""
Text -> value, for each kind of scalar that the configuration has.

Each parser takes the text of a scalar and raises ``UnfitError`` with what it
would have taken.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Callable

Duration = Callable[[str], float]

_WHOLE = re.compile(r"[0-9]{1,15}")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)?")
_SECONDS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)?")
_BYTES = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_BYTES["TiB"] = 1 << 40
_HEX_DIGEST = re.compile(r"[0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
# RFC 9110, 5.6.2
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_STATUSES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


class UnfitError(ValueError):
    """
    A value that its key does not take.

    Attributes:
        expected: what it would have taken.
        found: what there was, where that isn't the text itself.
    """

    def __init__(self, expected: str, found: str | None = None) -> None:
        self.expected = expected
        self.found = found
        super().__init__(expected, found)


def boolean(text: str) -> bool:
    """
    Read ``true`` or ``false``, in any case.
    """
    if text.lower() not in {"true", "false"}:
        raise UnfitError("true or false")
    return text.lower() == "true"


def one_of(*words: str) -> Callable[[str], str]:
    """
    Read one of some words, as written.
    """

    def read(text: str) -> str:
        if text not in words:
            raise UnfitError(" or ".join(words))
        return text

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """
    Read a decimal number between two others, both included.
    """

    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise UnfitError(f"a whole number from {low} to {high}")
        return int(text)

    return read


port = whole(1, 65535)


def duration(low: str, high: str) -> Duration:
    """
    Read seconds: ``500ms``, ``20s``, ``5m``, ``1h``, or a plain number.
    """
    least, most = _seconds(low), _seconds(high)
    expected = f"a duration from {low} to {high}, such as 500ms, 20s, 5m or 1h"

    def read(text: str) -> float:
        seconds = _seconds(text)
        if seconds is None or least is None or most is None:
            raise UnfitError(expected)
        if not least <= seconds <= most:
            raise UnfitError(expected)
        return seconds

    return read


def _seconds(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _SECONDS[match[2]] if match else None


def size(low: str, high: str) -> Callable[[str], int]:
    """
    Read bytes: ``32KiB``, ``10MiB``, ``4GiB``, or a plain number.
    """
    least, most = _bytes(low), _bytes(high)
    expected = f"a size from {low} to {high}, such as 32KiB, 10MiB or 4GiB"

    def read(text: str) -> int:
        count = _bytes(text)
        if not least <= count <= most:
            raise UnfitError(expected)
        return count

    return read


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _BYTES[match[2]] if match else -1


def sha256(text: str) -> bytes:
    """
    Read a SHA-256 in hex, of any case, with or without colons.
    """
    if not _HEX_DIGEST.fullmatch(text):
        raise UnfitError("a SHA-256: 64 hex digits, with or without colons")
    return bytes.fromhex(text.replace(":", ""))


def spki_sha256(text: str) -> bytes:
    """
    Read a SHA-256 in base64 (RFC 7469, 2.4) or in hex.
    """
    if _HEX_DIGEST.fullmatch(text):
        return sha256(text)
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    # Written back it must be the same: base64 has spare bits at its end.
    if len(digest) != 32 or base64.b64encode(digest).decode() != text:
        raise UnfitError("a SHA-256: base64 (44 characters) or 64 hex digits")
    return digest


def date(text: str) -> datetime.date:
    """
    Read a day: ``2027-05-01``.
    """
    try:
        if _DATE.fullmatch(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        pass
    raise UnfitError("a date such as 2027-05-01")


def name(text: str) -> str:
    """
    Read a name that the author of the file gives to something.
    """
    if not _NAME.fullmatch(text):
        raise UnfitError("a name: at most 80 letters, digits, '_', '-' and '.'")
    return text


def cookie_name(text: str) -> str:
    """
    Read the name of a cookie (RFC 6265, 4.1.1).
    """
    if not _TOKEN.fullmatch(text):
        raise UnfitError("a cookie's name: letters, digits and !#$%&'*+.^_`|~-")
    return text


def status_range(text: str) -> tuple[int, int]:
    """
    Read ``200-399`` or ``401`` as a first and a last status.
    """
    match = _STATUSES.fullmatch(text)
    if match:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last:
            return first, last
    raise UnfitError("a status such as 401, or a range such as 200-399")


def some_text(longest: int) -> Callable[[str], str]:
    """
    Read any text, but not an empty one.
    """

    def read(text: str) -> str:
        if not 1 <= len(text) <= longest:
            raise UnfitError(f"1 to {longest} characters")
        return text

    return read
