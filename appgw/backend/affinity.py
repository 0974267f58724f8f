"""
Keeping a client on its backend: what the cookie says, and reading it back.

The value is a keyed hash: it tells nothing about the backend, and nobody without
the key can make one. Reading is a look-up among the values that were made; so
what is unknown is the same as absent.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Container, Iterable

FieldLines = tuple[tuple[bytes, bytes], ...]

_AZURE_TWIN = "CORS"


def cookie_value(key: bytes, *fields: str) -> bytes:
    """
    Make the value that stands for one backend: 22 characters of base64url.

    Args:
        key: the secret. With the same one, many gateways agree.
        fields: pool, setting, member, and the member's ``address:port``. Each is
            hashed with its length, so that no two lists can be confused.

    Raises:
        ValueError: the key is empty.
    """
    if not key:
        raise ValueError("an affinity key must not be empty")
    encoded = [field.encode() for field in fields]
    message = b"".join(len(field).to_bytes(4, "big") + field for field in encoded)
    digest = hmac.digest(key, message, "sha256")[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=")


def cookie_pattern(name: str, *, azure: bool = False) -> re.Pattern[bytes]:
    """
    Compile what finds our cookie in a Cookie field's value (RFC 6265, 4.2.1).

    Only what has the form of a value of ours is found, quoted or not. One pass in
    C, linear in whatever a client sends.

    Args:
        name: of the cookie; its case counts.
        azure: the twin for cross-site requests is looked for too.
    """
    twin = b"(?:" + _AZURE_TWIN.encode() + b")?" if azure else b""
    return re.compile(
        rb"(?:\A|;)[ \t]*"
        + re.escape(name.encode())
        + twin
        + rb'[ \t]*=[ \t]*("?)([A-Za-z0-9_-]{22})\1[ \t]*(?=;|\Z)'
    )


def cookie_values(pattern: re.Pattern[bytes], line: bytes) -> list[bytes]:
    """
    Return what *pattern* finds in the value of one Cookie field, in order.
    """
    return [found[1] for found in pattern.findall(line)]


class CookieReader:
    """
    Finds the values of one cookie of ours.

    Args:
        name: of the cookie.
        azure: as for cookie_pattern.
    """

    def __init__(self, name: str, *, azure: bool = False) -> None:
        self._name = name.encode()
        self._pattern = cookie_pattern(name, azure=azure)

    def find(self, lines: Iterable[bytes], among: Container[bytes]) -> bytes | None:
        """
        Return the first value that is *among* those made, None without.

        Args:
            lines: the values of a request's Cookie fields, in order.
        """
        for line in lines:
            # Cheap, and true of few: most cookies are none of ours.
            if self._name in line:
                for value in cookie_values(self._pattern, line):
                    if value in among:
                        return value
        return None


def set_cookies(
    name: str, value: bytes, *, secure: bool, azure: bool = False
) -> FieldLines:
    """
    Return the field lines that bind a client (RFC 6265, 4.1).

    Args:
        name: of the cookie.
        value: from cookie_value.
        secure: the client came over https.
        azure: the two cookies that Azure sends instead, the same on http and
            https: a plain one, and a twin that browsers send across sites.
    """
    pair = name.encode() + b"=" + value
    if azure:
        twin = (name + _AZURE_TWIN).encode() + b"=" + value
        return (
            (b"Set-Cookie", pair + b"; Path=/"),
            (b"Set-Cookie", twin + b"; Path=/; SameSite=None; Secure"),
        )
    text = pair + b"; Path=/; HttpOnly; SameSite=Lax"
    return ((b"Set-Cookie", text + b"; Secure" if secure else text),)
