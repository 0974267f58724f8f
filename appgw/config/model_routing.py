"""
The model's part between the two: rules, path maps, redirects.
"""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class Destination:
    """
    Where a rule, a path rule or a default leads: a pool with its settings, or
    a redirect; never both.

    Attributes:
        rewrite_rule_set: what is changed on the way to the pool and back.
    """

    pool: str | None = None
    backend_settings: str | None = None
    redirect: str | None = None
    rewrite_rule_set: str | None = None


@attrs.frozen(kw_only=True)
class PathRule:
    """
    ARM pathRules: the first whose pattern matches wins.
    """

    name: str
    paths: tuple[str, ...]
    destination: Destination


@attrs.frozen(kw_only=True)
class UrlPathMap:
    """
    ARM urlPathMaps: path rules in order, and what takes the rest.
    """

    name: str
    default: Destination
    path_rules: tuple[PathRule, ...] = ()


@attrs.frozen(kw_only=True)
class Rule:
    """
    ARM requestRoutingRules: binds a listener to what answers it.

    Exactly one of ``url_path_map`` and ``destination`` is set.

    Attributes:
        priority: 1 (first) to 20000, unique.
    """

    name: str
    priority: int
    listener: str
    url_path_map: str | None = None
    destination: Destination | None = None


@attrs.frozen(kw_only=True)
class Redirect:
    """
    Where clients are sent instead (ARM redirectConfigurations).

    Exactly one of ``target_listener`` and ``target_url`` is set.

    Attributes:
        include_path: the request's path goes behind the target's.
        include_query_string: its query goes along.
    """

    name: str
    type: Literal["Permanent", "Found", "SeeOther", "Temporary"]
    target_listener: str | None = None
    target_url: str | None = None
    include_path: bool = False
    include_query_string: bool = False
