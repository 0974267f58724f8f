"""
The model's part about rewrites. Patterns and values are kept as text.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class RewriteCondition:
    """
    ARM conditions: all of a rule's must hold.

    Attributes:
        variable: ``http_req_NAME``, ``http_resp_NAME`` or ``var_NAME``.
        pattern: in RE2's syntax; found anywhere in the value.
        negate: the condition holds where the pattern is not found.
    """

    variable: str
    pattern: str
    ignore_case: bool = False
    negate: bool = False


@attrs.frozen(kw_only=True)
class HeaderValueMatcher:
    """
    ARM headerValueMatcher: which lines of a repeated field are meant.
    """

    pattern: str
    ignore_case: bool = False
    negate: bool = False


@attrs.frozen(kw_only=True)
class HeaderConfiguration:
    """
    ARM requestHeaderConfigurations and responseHeaderConfigurations.

    Attributes:
        header_value: with variables in braces; an empty one deletes the field.
        header_value_matcher: for responses only.
    """

    header_name: str
    header_value: str = ""
    header_value_matcher: HeaderValueMatcher | None = None


@attrs.frozen(kw_only=True)
class UrlConfiguration:
    """
    ARM urlConfiguration.

    Attributes:
        modified_path: with variables in braces; None: the path stays.
        modified_query_string: the same; an empty one removes the query.
        reroute: the path map is asked again, with the new path.
    """

    modified_path: str | None = None
    modified_query_string: str | None = None
    reroute: bool = False


@attrs.frozen(kw_only=True)
class ActionSet:
    """
    ARM actionSet: what a rule changes.
    """

    request_header_configurations: tuple[HeaderConfiguration, ...] = ()
    response_header_configurations: tuple[HeaderConfiguration, ...] = ()
    url_configuration: UrlConfiguration | None = None


@attrs.frozen(kw_only=True)
class RewriteRule:
    """
    ARM rewriteRules.

    Attributes:
        rule_sequence: 1 (first) to 1000; of equal ones, as listed.
    """

    name: str
    action_set: ActionSet
    rule_sequence: int = 100
    conditions: tuple[RewriteCondition, ...] = ()


@attrs.frozen(kw_only=True)
class RewriteRuleSet:
    """
    ARM rewriteRuleSets.
    """

    name: str
    rewrite_rules: tuple[RewriteRule, ...] = ()
