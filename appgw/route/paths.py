"""
The one reading of a path, and the patterns that are matched against it.

What ``read_path`` returns is what is matched and what is forwarded, so that
nothing behind us can find another path in it than we did. Where two readings
are possible there is none: the path is refused.
"""

from __future__ import annotations

import re
import string
from typing import Final

import attrs

_UNRESERVED: Final = (string.ascii_letters + string.digits + "-._~").encode()
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_ALLOWED: Final = _VISIBLE.translate(None, b"#?\\")
QUERY: Final = re.compile(rb'[!"$-~]*+')
"""Visible bytes but ``#``; what they mean is the backend's business."""

_PLAIN: Final = re.compile(rb"/[!\"$&->@-\[\]-~]*")
"""Allowed bytes but ``%``; an expression for segments, too, would need possessive
groups, and those match too much before Python 3.11.5 (gh-106052)."""

_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")
_ESCAPES: Final = {
    (b"%02x" % byte if lower else b"%02X" % byte): (
        bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte
    )
    for byte in range(256)
    for lower in (True, False)
}

_NEVER: Final = re.compile(
    rb"%[01][0-9A-F]|%7F"  # control bytes
    rb"|%C[01]%[89AB][0-9A-F]|%E0%[89][0-9A-F]|%F0%8[0-9A-F]"  # overlong UTF-8
    # Dot segments that only some readers see: /..;x/ and, where escaped
    # separators are let through, ..%2F.
    rb"|(?:/|%2F|%5C)\.\.?(?:;|%3B|%2F|%5C)|(?:%2F|%5C)\.\.?(?:/|\Z)"
)
_AMBIGUOUS: Final = re.compile(rb"%2F|%5C|%25[0-9A-Fa-f]{2}")
_SLASHES: Final = re.compile(rb"//+")


class BadPath(ValueError):  # noqa: N818 - it is the path that is bad
    """
    A path, or a pattern, that has no reading or more than one.
    """


def read_path(raw: bytes, allow_ambiguous: bool) -> bytes:
    """
    Return the one reading of a path (RFC 3986, 6.2.2).

    Unreserved escapes are decoded, others written in upper case, dot segments
    removed, then repeated slashes merged. Reading a result again changes
    nothing.

    Args:
        raw: the path of the target as received, without its query.
        allow_ambiguous: ``%2f``, ``%5c`` and ``%25`` before two hex digits
            pass, and are never decoded.

    Raises:
        BadPath: there is no such reading.
    """
    # find, not "in", which takes a byte string for a number first.
    if _PLAIN.fullmatch(raw) and raw.find(b"/.") < 0 and raw.find(b"//") < 0:
        return raw
    return _read_carefully(raw, allow_ambiguous)


def _read_carefully(raw: bytes, allow_ambiguous: bool) -> bytes:
    if raw[:1] != b"/":
        raise BadPath("a path starts with a slash")
    if raw.translate(None, _ALLOWED):
        raise BadPath("a byte that no path may hold")
    path = _ESCAPE.sub(_decoded, raw)
    # Only now: escapes may have hidden what these look for.
    if _NEVER.search(path):
        raise BadPath("an escape or a dot segment that readers differ on")
    if not allow_ambiguous and _AMBIGUOUS.search(path):
        raise BadPath("an escaped slash, backslash or percent sign")
    return _SLASHES.sub(b"/", _without_dot_segments(path))


def _decoded(escape: re.Match[bytes]) -> bytes:
    digits = escape[1]
    if digits is None:
        raise BadPath("a percent sign without two hex digits")
    return _ESCAPES.get(digits) or _ESCAPES[digits.upper()]


def _without_dot_segments(path: bytes) -> bytes:
    """
    RFC 3986, 5.2.4; a ``..`` past the root is refused instead of ignored.
    """
    kept: list[bytes] = []
    segments = path[1:].split(b"/")
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise BadPath("a dot segment past the root")
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def visible(text: str) -> str:
    """
    Return a path or query from a configuration, where it need not be escaped,
    with escapes for spaces and all that isn't ASCII.
    """
    return "".join(
        chr(byte) if byte < 0x7F and byte != 0x20 else f"%{byte:02X}"
        for byte in text.encode()
    )


def _configured(path: str, text: str) -> bytes:
    """
    Read a path from a configuration, where it need not be escaped.

    Args:
        path: what to read.
        text: what somebody wrote, for the error.
    """
    try:
        return read_path(visible(path).encode(), True)
    except BadPath as error:
        raise BadPath(f"{text!r}: {error}") from error


@attrs.frozen
class PathPattern:
    """
    One entry of a path rule's ``paths`` (ARM pathRules.paths).

    Attributes:
        text: as configured.
        prefix: what a lower-cased path equals or starts with.
        exact: it has to be equal.
    """

    text: str
    prefix: bytes
    exact: bool

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """
        Read a pattern: it starts with ``/``; ``*`` stands at its end only.

        Raises:
            BadPath: it is none, or could match no path.
        """
        exact = not text.endswith("*")
        stem = text if exact else text[:-1]
        if not stem.startswith("/"):
            raise BadPath(f"{text!r}: a pattern starts with a slash")
        if "*" in stem:
            raise BadPath(f"{text!r}: a pattern has its asterisk at the end")
        # The x keeps what may be half a segment from being read as a whole
        # one: /.* is about /.git, not about the root.
        read = _configured(stem if exact else stem + "x", text)
        return cls(text, (read if exact else read[:-1]).lower(), exact)

    @property
    def expression(self) -> bytes:
        """
        A regular expression that matches where ``matches`` does.
        """
        return re.escape(self.prefix) + (rb"\Z" if self.exact else b"")

    def matches(self, lowered: bytes) -> bool:
        """
        Tell whether a path, already read and lower-cased, is meant.
        """
        if self.exact:
            return lowered == self.prefix
        return lowered.startswith(self.prefix)

    def strip(self, path: bytes) -> bytes:
        """
        Return what follows the part that the pattern spells out.

        All of the path, if the pattern does not match it.
        """
        if self.matches(path.lower()):
            return path[len(self.prefix) :]
        return path


def read_override(text: str) -> bytes:
    """
    Read a path override (ARM backendHttpSettings.path).

    Raises:
        BadPath: it is no path.
    """
    return _configured(text, text)


def overridden(override: bytes, pattern: PathPattern | None, path: bytes) -> bytes:
    """
    Return the path with *override* in place of what *pattern* spells out.

    Args:
        override: of ``read_override``.
        pattern: of the path rule that matched, None without one: all of the
            path is kept behind the override.
        path: of ``read_path``.

    Raises:
        BadPath: what was cut off left something else than a path, as
            ``/a*`` does of ``/a../b``.
    """
    rest = path if pattern is None else pattern.strip(path)
    if not rest:
        return override
    whole = override.rstrip(b"/") + b"/" + rest.lstrip(b"/")
    if read_path(whole, True) != whole:
        raise BadPath("a path that leaves its override")
    return whole
