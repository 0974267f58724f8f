"""
Rewrite rule sets: conditions that all must hold, and what is changed then.

Rules run in the order of their sequence. Each sees the fields as those before it
have left them; server variables tell what the client asked. What is changed in
the request is decided at once, what is changed in the answer once it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from appgw.config import model_rewrites as model
from appgw.message import Arrival, Headers, RequestHead, ResponseHead
from appgw.route.edits import AnswerEdit, Line, RequestEdit
from appgw.route.patterns import Groups, Pattern, Steps
from appgw.route.templates import BadTemplate, Condition
from appgw.route.url_edits import UrlEdit, filled_path, filled_query
from appgw.route.variables import Seen, variable

Held = list[Groups]
"""
What each condition of a rule has captured, in their order: all of them hold.
Those about the answer have captured nothing until it is there.
"""


def condition(values: model.RewriteCondition) -> Condition:
    """
    Read a condition.

    Raises:
        BadVariable, BadPattern: it can't be asked.
    """
    pattern = Pattern.parse(values.pattern, ignore_case=values.ignore_case)
    return Condition(variable(values.variable), pattern, values.negate)


def too_late(conditions: Sequence[Condition], actions: model.ActionSet) -> bool:
    """
    Tell whether a request would have to wait for its own answer.
    """
    return any(each.variable.of_answer for each in conditions) and bool(
        actions.request_header_configurations or actions.url_configuration
    )


@attrs.frozen(eq=False)
class RewriteRule:
    """
    A rule, read.

    Attributes:
        set_name: of the set that it belongs to.
        conditions: as listed, those about the answer among them.
    """

    name: str
    set_name: str
    sequence: int
    conditions: tuple[Condition, ...]
    request: tuple[RequestEdit, ...]
    answer: tuple[AnswerEdit, ...]
    url: UrlEdit | None

    @classmethod
    def parse(cls, values: model.RewriteRule, set_name: str) -> RewriteRule:
        """
        Read a rule of the configuration.

        Raises:
            ValueError: something in it could never be done.
        """
        conditions = tuple(condition(each) for each in values.conditions)
        actions = values.action_set
        if too_late(conditions, actions):
            raise BadTemplate("a condition on the answer", "changes of it only")
        url = actions.url_configuration
        return cls(
            name=values.name,
            set_name=set_name,
            sequence=values.rule_sequence,
            conditions=conditions,
            request=tuple(
                RequestEdit.parse(each, conditions)
                for each in actions.request_header_configurations
            ),
            answer=tuple(
                AnswerEdit.parse(each, conditions)
                for each in actions.response_header_configurations
            ),
            url=None if url is None else UrlEdit.parse(url, conditions),
        )

    def asked(self, seen: Seen) -> Held | None:
        """
        Ask the conditions about the request; None if one of them fails.

        Raises:
            TooManySteps: it would take too long to find out.
        """
        held: Held = []
        for each in self.conditions:
            groups = () if each.variable.of_answer else each.groups(seen)
            if groups is None:
                return None
            held.append(groups)
        return held

    def answered(self, seen: Seen, held: Held) -> Held | None:
        """
        Ask the conditions about the answer; None if one of them fails.

        Args:
            held: of ``asked``.

        Raises:
            TooManySteps: it would take too long to find out.
        """
        found = list(held)
        for index, each in enumerate(self.conditions):
            if each.variable.of_answer:
                groups = each.groups(seen)
                if groups is None:
                    return None
                found[index] = groups
        return found


@attrs.define(eq=False)
class Step:
    """
    What became of one rule.

    Attributes:
        seen: what it saw.
        held: None: a condition about the request failed.
    """

    rule: RewriteRule
    seen: Seen
    held: Held | None


@attrs.define(eq=False)
class Rewritten:
    """
    A request as rules have left it, and what they wait for in its answer.

    Attributes:
        seen: what the next rule sees.
        path: read; ``*`` for an OPTIONS about the server as a whole.
        query: None without one.
        reroute: some rule wants the path map asked again.
        rerouted: the path that it has been asked again with, if it has.
        steps: the rules so far.
    """

    seen: Seen
    path: bytes
    query: bytes | None
    reroute: bool = False
    rerouted: bytes | None = None
    steps: list[Step] = attrs.field(factory=list)
    _for_answers: Steps = attrs.field(factory=Steps)

    @classmethod
    def begin(cls, head: RequestHead, arrival: Arrival, path: bytes) -> Rewritten:
        """
        Begin with a request that no rule has seen.

        Args:
            path: of the request, read.
        """
        return cls(Seen(head, arrival, path, Steps(), {}), path, head.query)

    def request_fields(self, fields: Headers) -> Headers:
        """
        Return the fields of the request to the backend with the changes made.
        """
        edits = self.seen.edits
        if not edits:
            return fields
        waiting = dict(edits)
        changed: Headers = []
        for line in fields:
            lower = line[0].lower()
            if lower not in edits:
                changed.append(line)
            elif lower in waiting:
                _add(changed, waiting.pop(lower))
        for line in waiting.values():
            _add(changed, line)
        return changed

    def answer_fields(
        self, head: ResponseHead, fields: Headers, ours: Sequence[Line], *, final: bool
    ) -> Headers:
        """
        Return the fields of an answer with the changes made.

        Args:
            head: of the backend's answer.
            fields: that the client would get otherwise.
            ours: those among them that set our own cookies.
            final: no other answer follows; to an interim one nothing is added.

        Raises:
            Unrewritable: a value cannot be sent.
            TooManySteps: it would take too long to find out.
        """
        begun = tuple(value.partition(b";")[0] for _, value in ours)
        for step in self.answer_steps(head, fields):
            if step.held is not None:
                for edit in step.rule.answer:
                    seen = step.seen
                    seen.lines = edit.applied(seen, step.held, begun, final)
                fields = step.seen.lines
        return fields

    def answer_steps(self, head: ResponseHead, fields: Headers) -> Iterator[Step]:
        """
        Let one rule after the other see the answer, those that change it.

        What a rule has left in its ``seen.lines``, the next one sees.
        """
        for step in self.steps:
            if step.held is None or not step.rule.answer:
                continue
            seen = attrs.evolve(
                step.seen,
                lines=fields,
                status=head.status,
                length=head.content_length,
                steps=self._for_answers,
            )
            yield Step(step.rule, seen, step.rule.answered(seen, step.held))
            fields = seen.lines


def _add(fields: Headers, line: Line) -> None:
    if line[1]:
        fields.append(line)


@attrs.frozen(eq=False)
class RewriteRuleSet:
    """
    A set, read.

    Attributes:
        rules: in the order of their sequence.
    """

    name: str
    rules: tuple[RewriteRule, ...]

    @classmethod
    def parse(cls, values: model.RewriteRuleSet) -> RewriteRuleSet:
        """
        Read a set of the configuration.

        Raises:
            ValueError: something in it could never be done.
        """
        listed = sorted(values.rewrite_rules, key=lambda rule: rule.rule_sequence)
        rules = (RewriteRule.parse(rule, values.name) for rule in listed)
        return cls(values.name, tuple(rules))

    def variables(self) -> Iterator[str]:
        """
        Yield the name of each variable that its rules ask.
        """
        for rule in self.rules:
            values = [each.value for each in rule.request]
            values += [each.value for each in rule.answer]
            if rule.url is not None:
                values += filter(None, (rule.url.path, rule.url.query))
            for value in values:
                yield from (each.name for each in value.variables(rule.conditions))
            yield from (each.variable.name for each in rule.conditions)

    def apply(self, request: Rewritten, allow_ambiguous: bool) -> None:
        """
        Let each rule see *request*, and change it.

        Args:
            allow_ambiguous: see ``read_path``.

        Raises:
            Unrewritable: what it becomes cannot be sent.
            TooManySteps: it would take too long to find out.
        """
        for rule in self.rules:
            seen = request.seen
            held = rule.asked(seen)
            request.steps.append(Step(rule, seen, held))
            if held is None:
                continue
            if rule.request:
                edits = dict(seen.edits)
                for edit in rule.request:
                    line = edit.made(seen, held)
                    if line is not None:
                        edits[edit.lower] = line
                request.seen = attrs.evolve(seen, edits=edits)
            if rule.url is not None and seen.path != b"*":
                _move(request, rule.url, held, allow_ambiguous)


def _move(request: Rewritten, url: UrlEdit, held: Held, allow_ambiguous: bool) -> None:
    seen = request.steps[-1].seen
    if url.path is not None:
        request.path = filled_path(url.path, seen, held, allow_ambiguous)
    if url.query is not None:
        request.query = filled_query(url.query, seen, held)
    request.reroute = request.reroute or url.reroute
