"""
The sections between the two: path maps, rules, redirects.
"""

from __future__ import annotations

from typing import Any, Final

from appgw.config import addresses, model, scalars
from appgw.config.problems import KeyPath
from appgw.config.shapes import Key, Reader, group, listing, section, text
from appgw.config.vocabulary import FLAG, NAME, name_of, named, plain

_DESTINATION: Final = {
    "pool": Key(NAME),
    "backend_settings": Key(NAME),
    "redirect": Key(NAME),
    "rewrite_rule_set": Key(NAME),
}


def _take_out_destination(values: dict[str, Any]) -> model.Destination | None:
    there = {key: values.pop(key) for key in _DESTINATION if key in values}
    return model.Destination(**there) if there else None


def _path_rule(
    _reader: Reader, _path: KeyPath, values: dict[str, Any]
) -> model.PathRule:
    there = _take_out_destination(values) or model.Destination()
    return model.PathRule(destination=there, **values)


def _rule(_reader: Reader, path: KeyPath, values: dict[str, Any]) -> model.Rule:
    there = _take_out_destination(values)
    return model.Rule(name=name_of(path), destination=there, **values)


_PATH_RULE: Final = {
    "name": Key(NAME, required=True, instead=""),
    "paths": Key(listing(text(addresses.path_pattern)), required=True, instead=()),
    **_DESTINATION,
}
_PATH_MAP: Final = {
    "default": Key(
        group(_DESTINATION, plain(model.Destination)),
        required=True,
        instead=model.Destination(),
    ),
    "path_rules": Key(listing(group(_PATH_RULE, _path_rule), at_least=0)),
}
_RULE: Final = {
    "priority": Key(text(scalars.whole(1, 20000)), required=True, instead=0),
    "listener": Key(NAME, required=True, instead=""),
    "url_path_map": Key(NAME),
    **_DESTINATION,
}
_REDIRECT: Final = {
    "type": Key(
        text(scalars.one_of("Permanent", "Found", "SeeOther", "Temporary")),
        required=True,
        instead="Found",
    ),
    "target_listener": Key(NAME),
    "target_url": Key(text(addresses.web_address)),
    "include_path": Key(FLAG),
    "include_query_string": Key(FLAG),
}

ROUTING: Final = {
    "url_path_maps": Key(section(_PATH_MAP, named(model.UrlPathMap))),
    "rules": Key(section(_RULE, _rule), required=True, instead={}),
    "redirects": Key(section(_REDIRECT, named(model.Redirect))),
}
