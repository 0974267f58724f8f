"""
What must hold within rewrite rule sets, and where they are used. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from appgw.config.model import (
    Config,
    Destination,
    RewriteRule,
    RewriteRuleSet,
    UrlConfiguration,
)
from appgw.config.problems import Finding, KeyPath, Places, quoted
from appgw.config.references import destinations
from appgw.route.edits import AnswerEdit, RequestEdit
from appgw.route.patterns import Steps
from appgw.route.rewrite import condition, too_late
from appgw.route.templates import BadTemplate, Condition
from appgw.route.url_edits import path_template, query_template
from appgw.route.variables import BadVariable

MAX_SETS: Final = 400
MAX_RULES: Final = 40
MAX_CONDITIONS: Final = 40
"""Azure's limits: of a gateway, of a set, of a rule."""

_EVERYTHING: Final = re.compile(r"[(^]*\.\*[)$]*")
_ANSWER_LATE: Final = "a variable of requests, as the rule changes the request"
_ONLY: Final[Mapping[str, Mapping[str, frozenset[bytes]]]] = {
    "http": {
        "var_ciphers_supported": frozenset((b"",)),
        "var_ciphers_used": frozenset((b"",)),
        "var_request_scheme": frozenset((b"http",)),
        "var_ssl_connection_protocol": frozenset((b"",)),
        "var_ssl_enabled": frozenset((b"",)),
    },
    "https": {
        "var_request_scheme": frozenset((b"https",)),
        "var_ssl_enabled": frozenset((b"On",)),
    },
}
"""What variables can be where all listeners speak one protocol."""


def rewrite_findings(config: Config, places: Places) -> Iterator[Finding]:
    """
    Judge rewrite rule sets, and what refers to them.
    """
    sets = config.rewrite_rule_sets
    if len(sets) > MAX_SETS:
        found = f"{len(sets)} sets"
        yield Finding(("rewrite_rule_sets",), found, f"at most {MAX_SETS}")
    spoken = _protocols(config)
    for name, one in sets.items():
        yield from _set(one, places, _ONLY.get(spoken.get(name, ""), {}))
    yield from _uses(config)


def _protocols(config: Config) -> dict[str, str]:
    """
    Find the protocol of all listeners that lead to a set; ``both`` for several.
    """
    found: dict[str, str] = {}
    for rule in config.rules.values():
        listener = config.listeners.get(rule.listener)
        if listener is None:
            continue
        for there in _reached(config, rule.url_path_map, rule.destination):
            name = there.rewrite_rule_set or ""
            same = found.setdefault(name, listener.protocol) == listener.protocol
            found[name] = listener.protocol if same else "both"
    return found


def _reached(
    config: Config, path_map: str | None, there: Destination | None
) -> Iterator[Destination]:
    if there is not None:
        yield there
    mapped = config.url_path_maps.get(path_map or "")
    if mapped is not None:
        yield mapped.default
        yield from (rule.destination for rule in mapped.path_rules)


def _uses(config: Config) -> Iterator[Finding]:
    for here, there in destinations(config):
        key = (*here, "rewrite_rule_set")
        used = config.rewrite_rule_sets.get(there.rewrite_rule_set or "")
        if used is None:
            continue
        if there.redirect is not None:
            expected = "none, as a redirect is not rewritten"
            yield Finding(key, "it beside redirect", expected, "warning")
        if here[0] != "rules":
            continue
        if config.rules[str(here[1])].url_path_map is not None:
            expected = "it in the path map, on path rules and the default"
            yield Finding(key, "it beside url_path_map", expected)
            continue
        for rule in used.rewrite_rules:
            url = rule.action_set.url_configuration
            if url is not None and url.reroute:
                found = f"{used.name!r}, whose rule {rule.name!r} has reroute"
                yield Finding(key, found, "a set without it: there is no path map")
                break


def _set(
    one: RewriteRuleSet, places: Places, only: Mapping[str, frozenset[bytes]]
) -> Iterator[Finding]:
    here: KeyPath = ("rewrite_rule_sets", one.name, "rewrite_rules")
    if len(one.rewrite_rules) > MAX_RULES:
        found = f"{len(one.rewrite_rules)} rules"
        yield Finding(here, found, f"at most {MAX_RULES}")
    names: dict[str, int] = {}
    for index, rule in enumerate(one.rewrite_rules):
        first = names.setdefault(rule.name, index)
        if first != index and rule.name:
            found = f"{rule.name!r}, as [{first}] is called"
            yield Finding((*here, index, "name"), found, "a name of its own")
        yield from _rule(rule, places, (*here, index), only)


def _rule(
    rule: RewriteRule,
    places: Places,
    here: KeyPath,
    only: Mapping[str, frozenset[bytes]],
) -> Iterator[Finding]:
    asked = (*here, "conditions")
    if len(rule.conditions) > MAX_CONDITIONS:
        found = f"{len(rule.conditions)} conditions"
        yield Finding(asked, found, f"at most {MAX_CONDITIONS}")
    if not places.sound(*asked):
        return
    conditions: list[Condition] = []
    for index, values in enumerate(rule.conditions):
        try:
            conditions.append(condition(values))
        except ValueError as error:
            unknown = isinstance(error, BadVariable)
            text = values.variable if unknown else values.pattern
            yield _misfit((*asked, index), text, error)
    if len(conditions) != len(rule.conditions):
        return
    yield from _hopeless(conditions, asked, only)
    yield from _actions(rule, conditions, places, here)


def _misfit(path: KeyPath, text: str, error: ValueError) -> Finding:
    if isinstance(error, BadTemplate):
        return Finding(path, error.found, error.expected)
    return Finding(path, quoted(text), str(error))


def _actions(
    rule: RewriteRule,
    conditions: Sequence[Condition],
    places: Places,
    here: KeyPath,
) -> Iterator[Finding]:
    actions, there = rule.action_set, (*here, "action_set")
    if too_late(conditions, actions):
        for index, each in enumerate(conditions):
            if each.variable.of_answer:
                key = (*here, "conditions", index, "variable")
                yield Finding(key, quoted(each.variable.name), _ANSWER_LATE)
    if actions == type(actions)() and places.sound(*there):
        yield Finding(there, "nothing that changes", "a change", "warning")
    kinds: tuple[tuple[str, Callable[[Any, Any], object]], ...] = (
        ("request_header_configurations", RequestEdit.parse),
        ("response_header_configurations", AnswerEdit.parse),
    )
    for kind, parse in kinds:
        for index, values in enumerate(getattr(actions, kind)):
            try:
                if places.sound(*there, kind, index):
                    parse(values, conditions)
            except ValueError as error:
                at = (*there, kind, index, "header_value")
                yield _misfit(at, values.header_name, error)
    if actions.url_configuration is not None:
        moved = (*there, "url_configuration")
        yield from _url(actions.url_configuration, conditions, moved)


def _url(
    url: UrlConfiguration, conditions: Sequence[Condition], here: KeyPath
) -> Iterator[Finding]:
    kinds = (
        ("modified_path", url.modified_path, path_template),
        ("modified_query_string", url.modified_query_string, query_template),
    )
    for key, text, parse in kinds:
        try:
            if text is not None:
                parse(text, conditions)
        except BadTemplate as error:
            yield _misfit((*here, key), text or "", error)
    if url.reroute and url.modified_path is None:
        expected = "modified_path beside it, or all stays where it was"
        yield Finding((*here, "reroute"), "true alone", expected, "warning")


def _hopeless(
    conditions: Sequence[Condition],
    here: KeyPath,
    only: Mapping[str, frozenset[bytes]],
) -> Iterator[Finding]:
    """
    Find conditions that never hold, and with them rules that never apply.
    """
    seen: dict[tuple[str, str, bool], tuple[int, bool]] = {}
    for index, each in enumerate(conditions):
        name, pattern = each.variable.name, each.pattern
        key = (*here, index, "pattern")
        why = _why_never(each, only.get(name, each.variable.values))
        if why:
            yield Finding(key, f"{quoted(pattern.text)}, {why}", _CHANCE, "warning")
        same = (name, pattern.text, pattern.ignore_case)
        first, negate = seen.setdefault(same, (index, each.negate))
        if negate != each.negate:
            found = f"the contrary of [{first}]"
            yield Finding(key, found, _CHANCE, "warning")


_CHANCE: Final = "a condition that can hold, or the rule never applies"


def _why_never(each: Condition, values: frozenset[bytes]) -> str:
    """
    Say why a condition never holds; nothing where it may.
    """
    pattern, variable = each.pattern, each.variable
    matching = {v for v in values if pattern.search(v, Steps()) is not None}
    if each.negate:
        every = bool(values) and matching == values
        if every or _EVERYTHING.fullmatch(pattern.text):
            return f"which {variable.name} always matches"
        return ""
    if pattern.needs(""):
        return "which matches nothing"
    few = bool(values) and not matching
    start = variable.begins and not set(variable.begins) & set(pattern.begins_with())
    if few or start or (variable.lacks and pattern.needs(variable.lacks)):
        return f"which {variable.name} never matches"
    return ""
