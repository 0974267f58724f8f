"""
What many keys of the configuration file take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appgw.config import addresses, scalars
from appgw.config.problems import KeyPath
from appgw.config.shapes import Build, listing, text

NAME = text(scalars.name)
NAMES = listing(NAME)
FLAG = text(scalars.boolean)
PORT = text(scalars.port)
PROTOCOL = text(scalars.one_of("http", "https"))
DAY_LONG = text(scalars.duration("1s", "24h"))
PATH = text(addresses.path)
DEFAULT_PORTS = {"http": 80, "https": 443}


def name_of(path: KeyPath) -> str:
    """
    Return the name of the entry that a path leads to.
    """
    return str(path[-1])


def named(kind: Callable[..., Any]) -> Build:
    """
    Make a value of *kind* of an entry's keys and its name.
    """
    return lambda _reader, path, values: kind(name=name_of(path), **values)


def plain(kind: Callable[..., Any]) -> Build:
    """
    Make a value of *kind* of a group's keys.
    """
    return lambda _reader, _path, values: kind(**values)
