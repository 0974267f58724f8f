"""
Values with variables in braces: ``https://{var_host}{var_uri_path_1}``.

Everything that can be wrong with one is found when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from appgw.route.patterns import Groups, Pattern
from appgw.route.variables import BadVariable, Seen, Variable, variable

MAX_TEXT: Final = 8192
"""Characters of a value as configured."""

MAX_VALUE: Final = 32768
"""Bytes of a value once its variables are filled in."""

_REFERENCE: Final = re.compile(r"\{([A-Za-z0-9!#$%&'*+.^_`|~-]+)\}")
_NUMBERED: Final = re.compile(r"(.+)_([0-9]{1,3})")
_MATCHER: Final = "capt_header_value_matcher"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class BadTemplate(ValueError):  # noqa: N818 - it is the value that is bad
    """
    A value that could never be filled in.

    Attributes:
        found: what is wrong with it.
        expected: what it would have to be.
    """

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}, expected {expected}")
        self.found = found
        self.expected = expected


class Unrewritable(Exception):  # noqa: N818 - says what happened
    """
    What a rule makes of this request, or of this answer, cannot be sent.
    """


@attrs.frozen
class Condition:
    """
    One condition of a rule.

    Attributes:
        negate: it holds where the pattern does not match.
    """

    variable: Variable
    pattern: Pattern
    negate: bool = False

    def groups(self, seen: Seen) -> Groups | None:
        """
        Return what its pattern captures, None if the condition does not hold.

        Where an answer has a field several times, the pattern matches if it
        matches one of the lines.

        Raises:
            TooManySteps: it would take too long to find out.
        """
        for value in self.variable.all_values(seen):
            found = self.pattern.search(value, seen.steps)
            if found is not None:
                return None if self.negate else found
        return () if self.negate else None


@attrs.frozen
class Capture:
    """
    What a group has captured.

    Attributes:
        condition: whose pattern it is of, by its place in the rule; None: that
            of the header_value_matcher.
    """

    condition: int | None
    group: int


Part = bytes | Variable | Capture


@attrs.frozen
class Template:
    """
    A value, read.

    Attributes:
        text: as configured.
        parts: of which it is put together.
        constant: the value, if it is always the same.
    """

    text: str
    parts: tuple[Part, ...]
    constant: bytes | None

    @classmethod
    def parse(
        cls,
        text: str,
        conditions: Sequence[Condition] = (),
        matcher: Pattern | None = None,
    ) -> Template:
        """
        Read a value for a field of an answer.

        Args:
            conditions: of the rule, for their captures.
            matcher: of the header_value_matcher beside the value, likewise.

        Raises:
            BadTemplate: it is no text, or something in it cannot be filled in.
        """
        if len(text) > MAX_TEXT:
            raise BadTemplate(f"{len(text)} characters", f"at most {MAX_TEXT}")
        if _CONTROL.search(text):
            raise BadTemplate("a control character", "text on one line")
        parts = tuple(_parts(text, conditions, matcher))
        if not any(isinstance(part, Variable | Capture) for part in parts):
            return cls(text, parts, text.encode().strip(b" \t"))
        return cls(text, parts, None)

    @classmethod
    def early(cls, text: str, conditions: Sequence[Condition] = ()) -> Template:
        """
        Read a value for something in a request.

        Raises:
            BadTemplate: as ``parse``, or it would have to wait for the answer.
        """
        template = cls.parse(text, conditions)
        for needed in template.variables(conditions):
            if needed.of_answer:
                found = f"{{{needed.name}}} in a request"
                raise BadTemplate(found, "what is known before the answer")
        return template

    def variables(self, conditions: Sequence[Condition]) -> Iterator[Variable]:
        """
        Yield each variable that is in it, whole or in part.
        """
        for part in self.parts:
            if isinstance(part, Variable):
                yield part
            elif isinstance(part, Capture) and part.condition is not None:
                yield conditions[part.condition].variable

    def filled(
        self, seen: Seen, groups: Sequence[Groups], matched: Groups = ()
    ) -> bytes:
        """
        Return the value.

        Args:
            groups: what each condition of the rule captures.
            matched: what the header_value_matcher does.

        Raises:
            Unrewritable: it is too long, or would break a message apart.
        """
        if self.constant is not None:
            return self.constant
        pieces = []
        for part in self.parts:
            if isinstance(part, bytes):
                pieces.append(part)
            elif isinstance(part, Variable):
                pieces.append(part.read(seen))
            else:
                of = matched if part.condition is None else groups[part.condition]
                pieces.append(of[part.group - 1] or b"")
        value = b"".join(pieces).strip(b" \t")
        if len(value) > MAX_VALUE:
            raise Unrewritable(f"more than {MAX_VALUE} bytes")
        if b"\n" in value or b"\r" in value or b"\0" in value:
            raise Unrewritable("a line break or NUL")
        return value


def _parts(
    text: str, conditions: Sequence[Condition], matcher: Pattern | None
) -> Iterator[Part]:
    end = 0
    for found in _REFERENCE.finditer(text):
        if found.start() > end:
            yield text[end : found.start()].encode()
        yield _reference(found[1], conditions, matcher)
        end = found.end()
    if end < len(text):
        yield text[end:].encode()


def _reference(
    name: str, conditions: Sequence[Condition], matcher: Pattern | None
) -> Variable | Capture:
    """
    Read what stands between braces.

    A number at its end is that of a group where a condition is about what
    stands before it. A cookie's name can end in a number, too.
    """
    numbered = _NUMBERED.fullmatch(name)
    if numbered is not None:
        of, group = numbered[1], int(numbered[2])
        if of == _MATCHER:
            return _of_matcher(name, group, matcher)
        wanted = _known(of)
        if wanted is not None:
            index = _captures(wanted, group, conditions)
            if index is not None:
                return Capture(index, group)
            if not name.startswith("var_cookie_"):
                expected = f"a condition on {of}, not negated, with {_groups(group)}"
                raise BadTemplate(f"{{{name}}}", expected)
    try:
        return variable(name)
    except BadVariable as error:
        raise BadTemplate(f"{{{name}}}", str(error)) from error


def _known(name: str) -> Variable | None:
    try:
        return variable(name)
    except BadVariable:
        return None


def _captures(
    wanted: Variable, group: int, conditions: Sequence[Condition]
) -> int | None:
    """
    Find the first condition on a variable that captures so much.
    """
    return next(
        (
            index
            for index, condition in enumerate(conditions)
            if condition.variable == wanted
            and not condition.negate
            and 1 <= group <= condition.pattern.groups
        ),
        None,
    )


def _of_matcher(name: str, group: int, matcher: Pattern | None) -> Capture:
    if matcher is None or not 1 <= group <= matcher.groups:
        expected = f"a header_value_matcher, not negated, with {_groups(group)}"
        raise BadTemplate(f"{{{name}}}", expected)
    return Capture(None, group)


def _groups(number: int) -> str:
    return f"{max(number, 1)} or more groups in its pattern"
