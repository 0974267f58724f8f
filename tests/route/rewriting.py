"""
Short ways to write down rewrite rules, and to see what they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from appgw.config.model import (
    ActionSet,
    Config,
    HeaderConfiguration,
    HeaderValueMatcher,
    RewriteCondition,
    RewriteRule,
    RewriteRuleSet,
    UrlConfiguration,
)
from appgw.message import Arrival, RequestHead, ResponseHead
from appgw.route.patterns import Steps
from appgw.route.rewrite import RewriteRuleSet as RuleSet
from appgw.route.rewrite import Rewritten
from appgw.route.variables import Seen
from tests.route.values import arrival, head

Line = tuple[bytes, bytes]


def when(variable: str, pattern: str, **more: bool) -> RewriteCondition:
    """
    A condition.
    """
    return RewriteCondition(variable=variable, pattern=pattern, **more)


def field(
    name: str, value: str = "", matching: str | None = None, **more: bool
) -> HeaderConfiguration:
    """
    A field set, or deleted; *matching* is for its header_value_matcher.
    """
    matcher = None
    if matching is not None:
        matcher = HeaderValueMatcher(pattern=matching, **more)
    return HeaderConfiguration(
        header_name=name, header_value=value, header_value_matcher=matcher
    )


def rule(
    *conditions: RewriteCondition,
    request: Sequence[HeaderConfiguration] = (),
    answer: Sequence[HeaderConfiguration] = (),
    name: str = "rule",
    sequence: int = 100,
    **url: Any,
) -> RewriteRule:
    """
    A rule; *url* is for its url_configuration.
    """
    return RewriteRule(
        name=name,
        rule_sequence=sequence,
        conditions=conditions,
        action_set=ActionSet(
            request_header_configurations=tuple(request),
            response_header_configurations=tuple(answer),
            url_configuration=UrlConfiguration(**url) if url else None,
        ),
    )


def rule_set(*rules: RewriteRule, name: str = "set") -> RewriteRuleSet:
    """
    A set of rules.
    """
    return RewriteRuleSet(name=name, rewrite_rules=rules)


def with_sets(values: Config, *sets: RewriteRuleSet, **places: str) -> Config:
    """
    A configuration with sets, used by the path map's rules, and by its default
    as ``default``, or else by the rules of the names given.
    """
    maps, rules = dict(values.url_path_maps), dict(values.rules)
    for name, one in values.url_path_maps.items():
        maps[name] = attrs.evolve(
            one,
            default=_using(one.default, places.get("default")),
            path_rules=tuple(
                attrs.evolve(
                    each, destination=_using(each.destination, places.get(each.name))
                )
                for each in one.path_rules
            ),
        )
    for name, each in values.rules.items():
        if name in places:
            there = _using(each.destination, places[name])
            rules[name] = attrs.evolve(each, destination=there)
    return attrs.evolve(
        values,
        url_path_maps=maps,
        rules=rules,
        rewrite_rule_sets={one.name: one for one in sets},
    )


def _using(destination: Any, name: str | None) -> Any:
    return attrs.evolve(destination, rewrite_rule_set=name)


def seen(
    asked: RequestHead | None = None,
    by: Arrival | None = None,
    *,
    path: bytes = b"/",
    lines: Sequence[Line] = (),
    status: int = 200,
    length: int | None = None,
) -> Seen:
    """
    What a rule sees.
    """
    asked = asked or head(path)
    made = Seen(asked, by or arrival(), path, Steps(), {})
    return attrs.evolve(made, lines=list(lines), status=status, length=length)


def request(
    *rules: RewriteRule,
    asked: RequestHead | None = None,
    by: Arrival | None = None,
    path: bytes | None = None,
    ambiguous: bool = False,
) -> Rewritten:
    """
    What rules make of a request.
    """
    asked = asked or head()
    made = Rewritten.begin(asked, by or arrival(), path or asked.path)
    RuleSet.parse(rule_set(*rules)).apply(made, ambiguous)
    return made


def answer(
    *rules: RewriteRule,
    lines: Sequence[Line] = (),
    asked: RequestHead | None = None,
    status: int = 200,
    ours: Sequence[Line] = (),
    final: bool = True,
) -> list[Line]:
    """
    What rules make of the fields of an answer, which *ours* are added to.
    """
    made = request(*rules, asked=asked)
    given = ResponseHead(status, b"", list(lines), 2)
    return made.answer_fields(given, [*lines, *ours], ours, final=final)
