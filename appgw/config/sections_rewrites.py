"""
The section about rewrites.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appgw.config import model, scalars
from appgw.config.scalars import UnfitError
from appgw.config.shapes import Key, group, listing, section, text
from appgw.config.vocabulary import FLAG, NAME, named, plain
from appgw.route.edits import answer_name, request_name
from appgw.route.patterns import Pattern
from appgw.route.variables import variable


def _fit(parse: Callable[[str], object]) -> Callable[[str], str]:
    """
    Take a text that *parse* can read, and leave it a text.
    """

    def read(given: str) -> str:
        try:
            parse(given)
        except ValueError as error:
            raise UnfitError(str(error)) from error
        return given

    return read


def _anything(given: str) -> str:
    """
    Take any text, also an empty one; what it means is judged beside others.
    """
    return given


_PATTERN: Final = {
    "pattern": Key(text(_fit(Pattern.parse)), required=True, instead="."),
    "ignore_case": Key(FLAG),
    "negate": Key(FLAG),
}
_CONDITION: Final = {
    "variable": Key(text(_fit(variable)), required=True, instead="var_host"),
    **_PATTERN,
}
_REQUEST_HEADER: Final = {
    "header_name": Key(text(_fit(request_name)), required=True, instead="X"),
    "header_value": Key(text(_anything)),
}
_RESPONSE_HEADER: Final = {
    "header_name": Key(text(_fit(answer_name)), required=True, instead="X"),
    "header_value": Key(text(_anything)),
    "header_value_matcher": Key(group(_PATTERN, plain(model.HeaderValueMatcher))),
}
_URL: Final = {
    "modified_path": Key(text(_anything)),
    "modified_query_string": Key(text(_anything)),
    "reroute": Key(FLAG),
}
_ACTION_SET: Final = {
    "request_header_configurations": Key(
        listing(group(_REQUEST_HEADER, plain(model.HeaderConfiguration)))
    ),
    "response_header_configurations": Key(
        listing(group(_RESPONSE_HEADER, plain(model.HeaderConfiguration)))
    ),
    "url_configuration": Key(group(_URL, plain(model.UrlConfiguration))),
}
_RULE: Final = {
    "name": Key(NAME, required=True, instead=""),
    "rule_sequence": Key(text(scalars.whole(1, 1000))),
    "conditions": Key(
        listing(group(_CONDITION, plain(model.RewriteCondition)), at_least=0)
    ),
    "action_set": Key(
        group(_ACTION_SET, plain(model.ActionSet)),
        required=True,
        instead=model.ActionSet(),
    ),
}
_RULE_SET: Final = {
    "rewrite_rules": Key(
        listing(group(_RULE, plain(model.RewriteRule))), required=True, instead=()
    ),
}

REWRITES: Final = {
    "rewrite_rule_sets": Key(section(_RULE_SET, named(model.RewriteRuleSet))),
}
