"""
What a rewrite rule puts in place of a request's path, or of its query.

What comes of it is read like what clients send, and nothing that they say leads
out of what their rule's author has written before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

from appgw.config.model_rewrites import UrlConfiguration
from appgw.route.paths import QUERY, BadPath, read_path, visible
from appgw.route.patterns import Groups
from appgw.route.templates import BadTemplate, Condition, Template, Unrewritable
from appgw.route.variables import Seen

_DOTS: Final = re.compile(rb"/(?:\.|%2[Ee]){1,2}(?:/|\Z)")


@attrs.frozen
class UrlEdit:
    """
    Puts something else in place of the path, or of the query.
    """

    path: Template | None
    query: Template | None
    reroute: bool

    @classmethod
    def parse(
        cls, values: UrlConfiguration, conditions: Sequence[Condition]
    ) -> UrlEdit:
        """
        Read what is configured.

        Raises:
            BadTemplate: it cannot be done.
        """
        path = query = None
        if values.modified_path is not None:
            path = path_template(values.modified_path, conditions)
        if values.modified_query_string is not None:
            query = query_template(values.modified_query_string, conditions)
        return cls(path, query, values.reroute)


def path_template(text: str, conditions: Sequence[Condition]) -> Template:
    """
    Read a path to put in place of another.

    Raises:
        BadTemplate: it cannot become a path.
    """
    for mark in "?#":
        if mark in text:
            raise BadTemplate(repr(mark), "a path alone; the query has its own key")
    template = Template.early(visible(text), conditions)
    probe = b"".join(
        part if isinstance(part, bytes) else b"x" for part in template.parts
    )
    try:
        _read(_rooted(probe), template, True)
    except BadPath as error:
        raise BadTemplate("no path", f"a path ({error})") from error
    return template


def _read(raw: bytes, template: Template, allow_ambiguous: bool) -> bytes:
    """
    Read a path; one that variables are part of has no dot segments, or clients
    could climb out of what their author put before them.

    Raises:
        BadPath: it is no path.
    """
    if template.constant is not None:
        # It has but the meaning that its author gave it.
        return read_path(raw, True)
    if _DOTS.search(raw):
        raise BadPath("a dot segment beside variables")
    return read_path(raw, allow_ambiguous)


def query_template(text: str, conditions: Sequence[Condition]) -> Template:
    """
    Read a query to put in place of another.

    Raises:
        BadTemplate: it cannot become a query.
    """
    if "#" in text or text.startswith("?"):
        raise BadTemplate("'?' or '#'", "a query without these marks around it")
    return Template.early(visible(text), conditions)


def filled_path(
    template: Template,
    seen: Seen,
    groups: Sequence[Groups],
    allow_ambiguous: bool,
) -> bytes:
    """
    Return a new path, read like any other.

    Args:
        allow_ambiguous: see ``read_path``.

    Raises:
        Unrewritable: it is no path, or one with two readings.
    """
    raw = _rooted(template.filled(seen, groups))
    try:
        return _read(raw, template, allow_ambiguous)
    except BadPath as error:
        raise Unrewritable(f"path {_shown(raw)}: {error}") from error


def filled_query(
    template: Template, seen: Seen, groups: Sequence[Groups]
) -> bytes | None:
    """
    Return a new query, None for none.

    Raises:
        Unrewritable: a byte in it that no query may hold.
    """
    query = template.filled(seen, groups)
    if not QUERY.fullmatch(query):
        raise Unrewritable(f"query {_shown(query)}: a byte that none may hold")
    return query or None


def _shown(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")


def _rooted(path: bytes) -> bytes:
    return path if path.startswith(b"/") else b"/" + path
