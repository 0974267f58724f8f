"""
Rewrite rules to spoil.
"""

from __future__ import annotations

import textwrap

from tests.config.samples import ConfigCase

RULES = "rewrite_rule_sets.set.rewrite_rules"
FIRST = f"{RULES}[0]"
CHANGE = "action_set: {request_header_configurations: [{header_name: X}]}"


def of_rule(text: str) -> str:
    """
    A section with one set of one rule.
    """
    lines = textwrap.indent(textwrap.dedent(text).strip("\n"), " " * 8)
    return f"\nrewrite_rule_sets:\n  set:\n    rewrite_rules:\n      -\n{lines}\n"


def asking(*conditions: str, change: str = CHANGE) -> str:
    """
    The text of a rule with conditions.
    """
    lines = "".join(f"- {one}\n" for one in conditions)
    return f"name: a\nconditions:\n{lines}{change}"


def changing(kind: str, *lines: str) -> str:
    """
    The text of a rule with one change: the first of a list, unless of the URL.
    """
    mark = "  " if kind == "url_configuration" else "- "
    first, *rest = lines
    below = "".join(f"    {line}\n" for line in rest)
    return f"name: a\naction_set:\n  {kind}:\n  {mark}{first}\n{below}"


class RewriteCase(ConfigCase):
    def rule(self, text: str, key: str, severity: str = "error") -> str:
        """
        Demand one problem of a rule; tell what was found and expected.
        """
        problem = self.only(self.text(of_rule(text)), f"{FIRST}.{key}", severity)
        return f"{problem.found}, {problem.expected}"
