"""
Which listener a name means: one answer for SNI and Host alike.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

import attrs

_AUTHORITY: Final = re.compile(
    # RFC 3986, 3.2.2, without the comma (two Hosts joined) and without
    # escapes (a second spelling of the same name).
    rb"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]"
    rb"|(?P<name>[A-Za-z0-9._~!$&'()*+;=-]+))"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_MAX_NAME: Final = 255


class BadHost(ValueError):  # noqa: N818 - it is the Host that is bad
    """
    An authority that names no host, or not one for certain.
    """


def host_of(authority: bytes) -> str:
    """
    Return the host that an authority names (RFC 9110, 7.2).

    Args:
        authority: a Host field's value, or the authority of a target.

    Returns:
        Lower case, without port, one trailing dot and brackets; an IPv6
        address in its shortest form.

    Raises:
        BadHost: it is empty, or has user information, a comma, a space, an
            escape, an empty label, or a port that is none.
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise BadHost("not a host with an optional port")
    if found["port"] and not 1 <= int(found["port"]) <= 65535:
        raise BadHost("the port is not between 1 and 65535")
    if found["literal"] is not None:
        try:
            return str(ipaddress.IPv6Address(found["literal"].decode()))
        except ValueError as error:
            raise BadHost("not an IPv6 address in brackets") from error
    name = without_dot(found["name"].decode())
    if not name or len(name) > _MAX_NAME or name[0] == "." or ".." in name:
        raise BadHost("a label is empty, or the name too long")
    if name[-1] == ".":
        raise BadHost("more than one trailing dot")
    return name


def without_dot(name: str) -> str:
    """
    Return a name in lower case and without one trailing dot.
    """
    return name.lower().removesuffix(".")


@attrs.frozen
class HostNames:
    """
    The names that a listener takes (ARM httpListeners.hostNames).

    Attributes:
        patterns: as configured; none takes every name.
        names: those without a wildcard.
        wildcards: all the others in one expression, None without any.
    """

    patterns: tuple[str, ...]
    names: frozenset[str]
    wildcards: re.Pattern[str] | None

    @classmethod
    def parse(cls, patterns: Iterable[str]) -> HostNames:
        """
        Read host names: ``*`` is any run of characters, ``?`` is one.
        """
        patterns = tuple(patterns)
        lowered = [without_dot(pattern) for pattern in patterns]
        wild = [name for name in lowered if "*" in name or "?" in name]
        return cls(
            patterns,
            frozenset(lowered).difference(wild),
            re.compile("|".join(map(_expression, wild))) if wild else None,
        )

    def take(self, name: str) -> bool:
        """
        Tell whether *name*, as ``host_of`` returns it, is among them.
        """
        return (
            not self.patterns
            or name in self.names
            or (self.wildcards is not None and bool(self.wildcards.fullmatch(name)))
        )


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")


class Named(Protocol):
    """
    What can be found by name: a site.
    """

    @property
    def host_names(self) -> HostNames:
        """
        The names that mean it.
        """


_Site = TypeVar("_Site", bound=Named)


def listener_for(sites: Sequence[_Site], name: str | None) -> _Site | None:
    """
    Return the first site that takes *name*, None if none does.

    The order is that of the rules' priority and nothing else: a wildcard with
    the smaller number wins over an exact name (Azure, multi-site listeners).

    Args:
        sites: of one port, in order of priority.
        name: as ``host_of`` returns it; None: no name was given.
    """
    if name is None:
        return None
    for site in sites:
        if site.host_names.take(name):
            return site
    return None
