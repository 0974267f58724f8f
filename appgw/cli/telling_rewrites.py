"""
Rewrites in words: which rules apply and why, and what each changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from appgw.message import Headers, ResponseHead, values_of
from appgw.route.forwarded import response_headers
from appgw.route.patterns import Groups, Steps, TooManySteps
from appgw.route.rewrite import Rewritten, Step
from appgw.route.templates import Condition, Unrewritable
from appgw.route.url_edits import filled_path, filled_query
from appgw.route.variables import Seen


def request_rewrites(
    request: Rewritten, fields: Headers, ambiguous: bool
) -> Iterator[str]:
    """
    Say what each rule makes of a request.

    Args:
        request: as the rules have left it.
        fields: that a backend would be sent without them.
        ambiguous: see ``read_path``.
    """
    yield "rewrites"
    path, query = request.seen.path, request.seen.head.query
    for step in request.steps:
        yield from _rule(step, of_answer=False)
        held, seen, url = step.held, step.seen, step.rule.url
        if held is None:
            continue
        for edit in step.rule.request:
            line = edit.made(seen, held)
            if line is not None:
                before = _values(seen.edits, fields, edit.lower)
                yield f"    {_text(edit.name)}: {before} -> {_value(line[1])}"
        if url is None or path == b"*":
            continue
        if url.path is not None:
            before, path = _text(path), filled_path(url.path, seen, held, ambiguous)
            yield f"    path {before} -> {_text(path)}"
        if url.query is not None:
            before, query = _value(query), filled_query(url.query, seen, held)
            yield f"    query {before} -> {_value(query)}"
        if url.reroute:
            yield "    the path map is asked again"


def answer_rewrites(request: Rewritten, head: ResponseHead) -> Iterator[str]:
    """
    Say what the rules would make of an answer.

    Args:
        request: as the rules have left it.
        head: of the answer.
    """
    if not any(step.rule.answer for step in request.steps):
        return
    yield f"answered with {head.status}"
    try:
        for step in request.answer_steps(head, response_headers(head)):
            yield from _rule(step, of_answer=True)
            for edit in step.rule.answer if step.held is not None else ():
                before = _values({}, step.seen.lines, edit.lower)
                step.seen.lines = edit.applied(step.seen, step.held or (), (), True)
                after = _values({}, step.seen.lines, edit.lower)
                yield f"    {_text(edit.name)}: {before} -> {after}"
    except (Unrewritable, TooManySteps) as error:
        yield f"    refused    502: {error}"


def _rule(step: Step, *, of_answer: bool) -> Iterator[str]:
    rule = step.rule
    verdict = "does not apply" if step.held is None else "applies"
    if not of_answer and any(each.variable.of_answer for each in rule.conditions):
        verdict = "waits for the answer" if step.held is not None else verdict
    yield f"  rule {rule.name} of {rule.set_name} ({rule.sequence}): {verdict}"
    for each in rule.conditions:
        if each.variable.of_answer == of_answer:
            yield f"    {_condition(each, step.seen)}"


def _condition(each: Condition, seen: Seen) -> str:
    # With steps of its own: behind one that fails, no other has been asked.
    try:
        groups = each.groups(attrs.evolve(seen, steps=Steps()))
    except TooManySteps as error:
        return f"fails  {each.variable.name}: {error}"
    verdict = "fails" if groups is None else "holds"
    values = " and ".join(map(_value, each.variable.all_values(seen)))
    must = "must not match" if each.negate else "must match"
    case = ", in any case" if each.pattern.ignore_case else ""
    return (
        f"{verdict}  {each.variable.name} is {values}, {must} {each.pattern.text}"
        f"{case}{_captured(groups)}"
    )


def _captured(groups: Groups | None) -> str:
    if not groups:
        return ""
    told = (f"{n} is {_value(group)}" for n, group in enumerate(groups, 1))
    return f": {', '.join(told)}"


def _values(
    edits: Mapping[bytes, tuple[bytes, bytes]], fields: Headers, lower: bytes
) -> str:
    edit = edits.get(lower)
    values = values_of(fields, lower) if edit is None else [edit[1]]
    return " and ".join(map(_value, values)) or _value(None)


def _value(value: bytes | None) -> str:
    return f'"{_text(value)}"' if value else "nothing"


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")
