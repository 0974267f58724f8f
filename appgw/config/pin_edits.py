"""
Steps in the life of a pin, as changes to the text of a configuration.

Each gives the text that is to be, and the pins and lists that it must come to:
whoever writes the text reads it first, and compares. Pure.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from appgw.config.check_pins import pin_lists
from appgw.config.edit import Draft, Node, UneditableError, scalar
from appgw.config.model import Config, Pin, PinState
from appgw.config.problems import KeyPath, written

_DATED: Final = re.compile(r"-20[0-9]{2}(?:-[0-9]{2}){0,2}(?:-[0-9])?$")
_LONGEST_NAME: Final = 80


class NoStepError(Exception):
    """
    The step cannot be taken: one sentence, meant for a person.
    """


@attrs.frozen
class Step:
    """
    What a step comes to.

    Attributes:
        text: the configuration's new text.
        config: what it must be read as.
        told: what has been done, in lines for a person.
    """

    text: str
    config: Config
    told: tuple[str, ...]


def rotate(text: str, config: Config, old: str, new: Pin, file: str | None) -> Step:
    """
    Add the pin that is to follow *old*, and list it wherever that one is listed.

    Args:
        text: of the configuration.
        config: what it is read as.
        old: a pin's name.
        new: without an owner it has the old one's.
        file: how its certificate_file is named in the text; None: by its digest.
    """
    before = _pin(config, old)
    if new.name in config.pins:
        raise NoStepError(f"there is a pin {new.name} already")
    for pin in config.pins.values():
        if (new.sha256, new.spki_sha256) == (pin.sha256, pin.spki_sha256):
            raise NoStepError(f"pin {pin.name} ({pin.state}) stands for that already")
    new = attrs.evolve(new, owner=new.owner or before.owner)
    draft = Draft(text)
    pins, key, _ = _entry(draft, old)
    draft.add_mapping(pins, key, new.name, _keys(new, file))
    places = [written(path) for path in _extend(draft, config, old, new)]
    wanted = _listed(attrs.evolve(config, pins=_after(config, old, new)), old, new.name)
    if places:
        told = (f"Pin {new.name} follows {old} on {', '.join(places)}.",)
    else:
        told = (f"Pin {old} stands on no list, and so does {new.name}.",)
    return Step(draft.changed(), wanted, told)


def retire(text: str, config: Config, name: str, successor: str | None) -> Step:
    """
    Mark a pin as one whose certificate is to go, and its successor as active.

    Args:
        successor: a pin in state next; None: the one beside this one, if any.
    """
    pin = _pin(config, name)
    if pin.state == "revoked":
        raise NoStepError(f"pin {name} is revoked; to retire it would admit it again")
    if pin.state == "next":
        raise NoStepError(f"pin {name} is next: no backend is to have left it yet")
    if pin.state == "retiring" and successor is None:
        raise NoStepError(f"pin {name} is retiring already")
    follows = _successor(config, name, successor)
    states: dict[str, PinState] = {name: "retiring"}
    told = [f"Pin {name} is retiring: it admits still, and each match is told."]
    if follows is not None:
        states[follows] = "active"
        told.append(f"Pin {follows} is active.")
    if alone := _left_alone(config, name, states):
        told.append(f"No pin in state next or active is left on {alone}.")
    return _in_states(text, config, states, told)


def revoke(text: str, config: Config, name: str) -> Step:
    """
    Mark a pin as one whose certificate and key are trusted no more, anywhere.
    """
    if _pin(config, name).state == "revoked":
        raise NoStepError(f"pin {name} is revoked already")
    states: dict[str, PinState] = {name: "revoked"}
    told = [
        f"Pin {name} is revoked: what it stands for is refused by every setting.",
        "Connections with it end when that is in force.",
    ]
    if alone := _left_alone(config, name, states):
        told.append(f"No pin in state next or active is left on {alone}.")
    return _in_states(text, config, states, told)


def new_name(config: Config, old: str, today: datetime.date) -> str:
    """
    Make a name for the pin that follows *old*: its name, with the day.
    """
    stem = _DATED.sub("", old)[: _LONGEST_NAME - len("-2026-01-01-99")] or "pin"
    name, number = f"{stem}-{today}", 1
    while name in config.pins:
        number += 1
        name = f"{stem}-{today}-{number}"
    return name


def _pin(config: Config, name: str) -> Pin:
    if name not in config.pins:
        raise NoStepError(f"there is no pin {name}")
    return config.pins[name]


def _successor(config: Config, name: str, asked: str | None) -> str | None:
    """
    Find the pin that follows *name*: the one in state next behind it, or else the
    only one beside it.
    """
    if asked is not None:
        state = _pin(config, asked).state
        if state != "next":
            raise NoStepError(f"pin {asked} is {state}, not next")
        return asked
    beside: dict[str, None] = {}
    behind: dict[str, None] = {}
    for _, names in pin_lists(config):
        if name in names:
            following = names[names.index(name) + 1 :]
            waits = [one for one in names if config.pins[one].state == "next"]
            beside.update(dict.fromkeys(waits))
            behind.update(dict.fromkeys(one for one in following[:1] if one in waits))
    for found in (behind, beside):
        if len(found) == 1:
            return next(iter(found))
    if beside:
        told = ", ".join(beside)
        raise NoStepError(f"several pins are next ({told}): say --next NAME")
    return None


def _left_alone(config: Config, name: str, states: Mapping[str, PinState]) -> str:
    """
    Say on which of the lists with *name* no pin would be next or active.
    """
    after = {pin.name: pin.state for pin in config.pins.values()} | dict(states)
    return ", ".join(
        written(path)
        for path, names in pin_lists(config)
        if name in names and not {"active", "next"} & {after[one] for one in names}
    )


def _in_states(
    text: str, config: Config, states: Mapping[str, PinState], told: list[str]
) -> Step:
    draft, pins = Draft(text), dict(config.pins)
    for name, state in states.items():
        _, key, entry = _entry(draft, name)
        if entry.kind != "mapping":
            raise UneditableError(key.line, f"pin {name} is written as an alias")
        draft.set(entry, "state", state)
        pins[name] = attrs.evolve(pins[name], state=state)
    return Step(draft.changed(), attrs.evolve(config, pins=pins), tuple(told))


def _entry(draft: Draft, name: str) -> tuple[Node, Node, Node]:
    """
    Find the section of pins, the key of one, and its value.
    """
    section = draft.top.get("pins")
    found = None if section is None else section[1].itself.get(name)
    if section is None or found is None:
        raise UneditableError(1, f"pin {name} cannot be found")
    key, value = found
    if key.kind != "scalar":
        raise UneditableError(key.line, f"the name of pin {name} is an alias")
    return section[1].itself, key, value


def _keys(pin: Pin, file: str | None) -> dict[str, str]:
    """
    Return the keys of a pin as they are written.
    """
    values = {}
    if file is not None:
        values["certificate_file"] = scalar(file)
    elif pin.sha256 is not None:
        values["sha256"] = f'"{pin.sha256.hex()}"'
    else:
        digest = base64.b64encode(pin.spki_sha256 or b"").decode("ascii")
        values["spki_sha256"] = f'"{digest}"'
    if pin.owner is not None:
        values["owner"] = scalar(pin.owner)
    values["state"] = pin.state
    return values


def _extend(draft: Draft, config: Config, old: str, new: Pin) -> Iterator[KeyPath]:
    """
    Add *new* to every list that has *old*; yield where those stand.
    """
    done: set[int] = set()
    for path, names in pin_lists(config):
        if old not in names:
            continue
        yield path
        listed = _node_at(draft.top, path)
        if id(listed) in done:
            continue
        done.add(id(listed))
        for item in listed.items:
            if item.itself.value == old:
                draft.add_item(listed, item, new.name)


def _node_at(top: Node, path: KeyPath) -> Node:
    node = top
    for step in path:
        if isinstance(step, int):
            node = node.items[step].itself
            continue
        found = node.get(step)
        if found is None:
            raise UneditableError(node.line, f"there is no {step}")
        node = found[1].itself
    return node


def _after(config: Config, old: str, new: Pin) -> dict[str, Pin]:
    after = {}
    for name, pin in config.pins.items():
        after[name] = pin
        if name == old:
            after[new.name] = new
    return after


def _listed(config: Config, old: str, new: str) -> Config:
    """
    List *new* behind *old* wherever that one is listed.
    """

    def longer(names: tuple[str, ...]) -> tuple[str, ...]:
        if old not in names:
            return names
        at = names.index(old) + 1
        return (*names[:at], new, *names[at:])

    settings = {
        name: attrs.evolve(one, pins=longer(one.pins))
        for name, one in config.backend_settings.items()
    }
    pools = {
        name: attrs.evolve(
            pool,
            members=tuple(
                member
                if member.pins is None
                else attrs.evolve(member, pins=longer(member.pins))
                for member in pool.members
            ),
        )
        for name, pool in config.pools.items()
    }
    return attrs.evolve(config, backend_settings=settings, pools=pools)


def same(one: Config, other: Config) -> bool:
    """
    Tell whether two configurations are one, the words and the order of pins
    included.
    """
    return one == other and [
        (pin.name, pin.owner, pin.comment) for pin in one.pins.values()
    ] == [(pin.name, pin.owner, pin.comment) for pin in other.pins.values()]
