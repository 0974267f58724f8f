"""
What a rewrite rule changes: fields of the request, and of the answer.

No rule reaches what frames a message, what belongs to one connection, or what
ties a request to its trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

from appgw.config.model_rewrites import HeaderConfiguration
from appgw.message import Headers
from appgw.route.fields import HOP_BY_HOP
from appgw.route.listeners import BadHost, host_of
from appgw.route.patterns import Groups, Pattern
from appgw.route.templates import BadTemplate, Condition, Template, Unrewritable
from appgw.route.variables import Seen

MAX_NAME: Final = 256
"""Characters of a field's name."""

_REQUEST_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_ANSWER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIXED: Final = HOP_BY_HOP | {b"connection", b"content-length", b"x-appgw-trace-id"}
_FIXED_IN_REQUEST: Final = _FIXED | {b"expect", b"via"}
_HOST: Final = b"host"
_SET_COOKIE: Final = b"set-cookie"

Line = tuple[bytes, bytes]


class BadName(ValueError):  # noqa: N818 - it is the name that is bad
    """
    A field that no rule can set or delete.
    """


def request_name(text: str) -> str:
    """
    Read the name of a field of requests.

    Raises:
        BadName: it is none, or nobody's to rewrite.
    """
    return _name(text, _REQUEST_NAME, _FIXED_IN_REQUEST)


def answer_name(text: str) -> str:
    """
    Read the name of a field of answers.

    Raises:
        BadName: it is none, or nobody's to rewrite.
    """
    return _name(text, _ANSWER_NAME, _FIXED)


def _name(text: str, form: re.Pattern[str], fixed: frozenset[bytes]) -> str:
    if not form.fullmatch(text) or len(text) > MAX_NAME:
        raise BadName(f"a header's name, of {form.pattern[1:-2]}")
    if text.lower().encode() in fixed:
        raise BadName("another header: this one is the gateway's own")
    return text


@attrs.frozen
class RequestEdit:
    """
    Sets or deletes a field of the request.
    """

    name: bytes
    lower: bytes
    value: Template

    @classmethod
    def parse(
        cls, values: HeaderConfiguration, conditions: Sequence[Condition]
    ) -> RequestEdit:
        """
        Read what is configured.

        Raises:
            BadName, BadTemplate: it cannot be done.
        """
        if values.header_value_matcher is not None:
            raise BadTemplate("a header_value_matcher", "one for responses only")
        name = request_name(values.header_name).encode()
        edit = cls(name, name.lower(), Template.early(values.header_value, conditions))
        constant = edit.value.constant
        if edit.lower == _HOST and constant is not None:
            try:
                host_of(constant)
            except BadHost as error:
                raise BadTemplate("no Host", f"a host ({error})") from error
        return edit

    def made(self, seen: Seen, groups: Sequence[Groups]) -> Line | None:
        """
        Return the line; one without a value deletes; None leaves all as it is.

        Raises:
            Unrewritable: the value cannot be sent.
        """
        value = self.value.filled(seen, groups)
        if self.lower == _HOST:
            if not value:
                return None
            try:
                host_of(value)
            except BadHost as error:
                raise Unrewritable(f"a Host that is none: {error}") from error
        return self.name, value


@attrs.frozen
class AnswerEdit:
    """
    Sets or deletes a field of the answer.

    Attributes:
        matcher: which lines of the field are meant.
        negate: those are meant that the matcher does not match.
        by_line: each line that is meant gets a value of its own; otherwise one
            value takes the place of all.
        own: the conditions about this field, by their place in the rule; without
            a matcher, the lines are meant that they hold for.
    """

    name: bytes
    lower: bytes
    value: Template
    matcher: Pattern | None
    negate: bool
    by_line: bool
    own: tuple[tuple[int, Condition], ...]

    @classmethod
    def parse(
        cls, values: HeaderConfiguration, conditions: Sequence[Condition]
    ) -> AnswerEdit:
        """
        Read what is configured.

        Raises:
            BadName, BadPattern, BadTemplate: it cannot be done.
        """
        name = answer_name(values.header_name).encode()
        lower = name.lower()
        matcher, negate, given = None, False, values.header_value_matcher
        if given is not None:
            negate = given.negate
            matcher = Pattern.parse(given.pattern, ignore_case=given.ignore_case)
        template = Template.parse(
            values.header_value, conditions, None if negate else matcher
        )
        fields = {variable.field for variable in template.variables(conditions)}
        by_line = matcher is not None or lower in fields
        own = tuple(
            (index, condition)
            for index, condition in enumerate(conditions)
            if condition.variable.field == lower and not condition.negate
        )
        return cls(name, lower, template, matcher, negate, by_line, own)

    def applied(
        self,
        seen: Seen,
        groups: Sequence[Groups],
        ours: tuple[bytes, ...],
        adding: bool,
    ) -> Headers:
        """
        Return the answer's fields with the change made.

        Args:
            ours: how our own Set-Cookie values begin: none of them goes.
            adding: a field that is not there is added.

        Raises:
            Unrewritable: a value cannot be sent.
            TooManySteps: it would take too long to find out.
        """
        if self.by_line:
            return self._line_by_line(seen, groups, ours)
        value = self.value.filled(seen, groups)
        if self.lower != _SET_COOKIE:
            return _replaced(seen.lines, self.lower, (self.name, value), adding)
        cookie = _cookie(value)
        lines = [
            line
            for line in seen.lines
            if line[0].lower() != _SET_COOKIE
            or line[1].startswith(ours)
            or (value and _cookie(line[1]) != cookie)
        ]
        if value and adding:
            lines.append((self.name, value))
        return lines

    def _line_by_line(
        self, seen: Seen, groups: Sequence[Groups], ours: tuple[bytes, ...]
    ) -> Headers:
        """
        Give each line that is meant its own new value.
        """
        lines = []
        others = [line for line in seen.lines if line[0].lower() != self.lower]
        for line in seen.lines:
            value: bytes | None = None
            if line[0].lower() == self.lower:
                alone = attrs.evolve(seen, lines=[line, *others])
                value = self._of_line(line[1], alone, groups)
            if value is None or _lost(line[1], value, ours):
                lines.append(line)
            elif value:
                lines.append((self.name, value))
        return lines

    def _of_line(
        self, old: bytes, alone: Seen, groups: Sequence[Groups]
    ) -> bytes | None:
        """
        Return the new value of a line, None if it is not meant.

        Args:
            alone: what would be seen if this were the field's only line.
        """
        matched: Groups = ()
        if self.matcher is not None:
            found = self.matcher.search(old, alone.steps)
            if (found is None) != self.negate:
                return None
            matched = found or ()
        of_line = list(groups)
        for index, condition in self.own:
            captured = condition.groups(alone)
            if captured is not None:
                of_line[index] = captured
            elif self.matcher is None:
                return None
        return self.value.filled(alone, of_line, matched)


def _replaced(lines: Headers, lower: bytes, line: Line, adding: bool) -> Headers:
    """
    Put one line in place of all of its name, or none if it has no value.
    """
    kept = []
    waits = bool(line[1])
    for old in lines:
        if old[0].lower() != lower:
            kept.append(old)
        elif waits:
            kept.append(line)
            waits = False
    if waits and adding:
        kept.append(line)
    return kept


def _cookie(value: bytes) -> bytes:
    """
    Return the name of the cookie that a Set-Cookie value sets.
    """
    return value.partition(b";")[0].partition(b"=")[0].strip()


def _lost(old: bytes, new: bytes, ours: tuple[bytes, ...]) -> bool:
    """
    Tell whether a cookie of ours would not be set any more.
    """
    return any(old.startswith(one) and not new.startswith(one) for one in ours)
