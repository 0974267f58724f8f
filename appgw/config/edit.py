"""
Changes to a YAML text that leave everything else in it as it is, byte for byte.

A change is worked out on the marks of the parser's events and carried out on the
text: comments, order, quotes, widths and line breaks are nobody's business here.
Whoever asks for a change reads the outcome, and compares it with what he meant.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal

import attrs
import yaml

_BREAKS: Final = "\n\r\x85\u2028\u2029"
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_REST_OF_LINE: Final = re.compile(f"[ \t]*(,?)[ \t]*(?:#[^{_BREAKS}]*)?")
_COMMENT: Final = re.compile(f"(?:\r\n|[{_BREAKS}])( +)#[^{_BREAKS}]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*")
_NULLS: Final = frozenset(("null", "Null", "NULL"))

Events = Iterator[yaml.Event]


class UneditableError(Exception):
    """
    The text has a form in which it isn't changed here, but is by an editor.

    Attributes:
        line: counted from 1.
    """

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line


@attrs.define(eq=False)
class Node:
    """
    A part of the text.

    Attributes:
        start, end: the first character, and the one after the last.
        line: counted from 1.
        flow: within brackets or braces of its own.
        value: of a scalar.
        items: of a list; of a mapping the keys and values in turn.
        meant: of an alias, what it stands for.
    """

    kind: Literal["scalar", "list", "mapping", "alias"]
    start: int
    end: int
    line: int
    flow: bool = False
    value: str = ""
    items: list[Node] = attrs.field(factory=list)
    meant: Node | None = None

    @property
    def itself(self) -> Node:
        """
        The node, or what it stands for.
        """
        return self if self.meant is None else self.meant

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """
        Walk over a mapping; over anything else there is nothing to walk.
        """
        items = self.items if self.kind == "mapping" else []
        yield from zip(items[::2], items[1::2], strict=True)

    def get(self, name: str) -> tuple[Node, Node] | None:
        """
        Find a key of a mapping, and its value.
        """
        for key, value in self.pairs():
            if key.itself.value == name and key.itself.kind == "scalar":
                return key, value
        return None


def scalar(text: str) -> str:
    """
    Write a text as YAML does, quoted where it has to be.
    """
    if _PLAIN.fullmatch(text) and text not in _NULLS:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(one: str) -> str:
    if one in {'"', "\\"}:
        return f"\\{one}"
    if one.isprintable():
        return one
    code = ord(one)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Draft:
    """
    A YAML text, and the changes that it will have.

    Args:
        text: one document, known to be sound.

    Attributes:
        top: its node.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._edits: list[tuple[int, int, int, str]] = []
        found = _BREAK.search(text)
        self._break = "\n" if found is None else found[0]
        self._anchors: dict[str, Node] = {}
        # In Python, as libyaml's marks leave a byte order mark out of account.
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        while not isinstance(event := next(events), yaml.NodeEvent):
            pass
        self.top = self._node(event, events)

    def changed(self) -> str:
        """
        Return the text with its changes.
        """
        text = self.text
        # Of those at one place, the first stands first.
        for start, _, end, new in sorted(self._edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def set(self, mapping: Node, name: str, value: str) -> None:
        """
        Let a key of a mapping have a scalar as its value.
        """
        found = mapping.get(name)
        if found is None:
            self.add(mapping, mapping.items[-2], name, scalar(value))
            return
        old = found[1]
        if old.kind != "scalar":
            raise UneditableError(old.line, f"{name} has no value of its own")
        self._replace(old.start, old.end, scalar(value))

    def add(self, mapping: Node, after: Node, name: str, value: str) -> None:
        """
        Add a key behind another one.

        Args:
            after: the other key.
            value: as it is to be written, on one line.
        """
        at = mapping.items.index(after)
        last = mapping.items[at + 1]
        new = f"{scalar(name)}: {value}"
        if mapping.flow:
            self._put_in_flow(after, last, new)
        else:
            column = self._column(after.start)
            self._put_below(last, " " * column + new, column)

    def add_mapping(
        self, mapping: Node, after: Node, name: str, values: Mapping[str, str]
    ) -> None:
        """
        Add a key with a mapping behind another one, in that one's style.

        Args:
            after: the other key, whose value is a mapping.
            values: as they are to be written, each on one line.
        """
        like = mapping.items[mapping.items.index(after) + 1]
        written = [f"{key}: {value}" for key, value in values.items()]
        if mapping.flow or like.flow or like.kind != "mapping":
            self.add(mapping, after, name, f"{{{', '.join(written)}}}")
            return
        inner = " " * self._column(like.items[0].start)
        column = self._column(after.start)
        lines = [" " * column + f"{scalar(name)}:", *(inner + line for line in written)]
        self._put_below(like, self._break.join(lines), column)

    def add_item(self, listed: Node, after: Node, value: str) -> None:
        """
        Add an element to a list behind another one.
        """
        if listed.flow:
            self._put_in_flow(after, after, scalar(value))
            return
        before = self.text[self._line_start(after.start) : after.start]
        dash = before.rstrip(" \t")
        if not dash.endswith("-"):
            raise UneditableError(after.line, "no dash before the element")
        column = len(dash) - 1
        gap = before[len(dash) :]
        self._put_below(after, f"{' ' * column}-{gap}{scalar(value)}", column)

    # Places in the text.

    def _put_in_flow(self, first: Node, last: Node, new: str) -> None:
        """
        Put an element behind the one from *first* to *last*; on a line of its own
        where that one has one.
        """
        indent = self.text[self._line_start(first.start) : first.start]
        rest = _REST_OF_LINE.match(self.text, last.end)
        at = last.end if rest is None else rest.end()
        alone = not indent.strip(" \t") and at == self._line_end(at)
        if rest is None or not alone:
            self._insert(last.end, f", {new}")
        elif rest[1]:
            self._insert(at, f"{self._break}{indent}{new},")
        else:
            self._insert(last.end, ",")
            self._insert(at, f"{self._break}{indent}{new}")

    def _put_below(self, node: Node, lines: str, column: int) -> None:
        """
        Put whole lines below the last one of *node*, and below the comments that
        belong to it, being indented by more than *column*.
        """
        end = node.end
        if end and self.text[end - 1] in _BREAKS:
            self._insert(end, lines + self._break)
            return
        rest = _REST_OF_LINE.match(self.text, end)
        at = self._line_end(end)
        if rest is None or rest[1] or rest.end() != at:
            raise UneditableError(node.line, "something follows on the same line")
        while (comment := _COMMENT.match(self.text, at)) and len(comment[1]) > column:
            at = comment.end()
        self._insert(at, self._break + lines)

    def _insert(self, at: int, new: str) -> None:
        self._replace(at, at, new)

    def _replace(self, start: int, end: int, new: str) -> None:
        self._edits.append((start, len(self._edits), end, new))

    def _column(self, at: int) -> int:
        return at - self._line_start(at)

    def _line_start(self, at: int) -> int:
        while at and self.text[at - 1] not in _BREAKS:
            at -= 1
        return at

    def _line_end(self, at: int) -> int:
        found = _BREAK.search(self.text, at)
        return len(self.text) if found is None else found.start()

    # From the parser's events.

    def _node(self, event: yaml.Event, events: Events) -> Node:
        start, end, line = _place(event)
        if isinstance(event, yaml.AliasEvent):
            return Node(
                "alias", start, end, line, meant=self._anchors[event.anchor or ""]
            )
        if isinstance(event, yaml.ScalarEvent):
            node = Node("scalar", start, end, line, value=event.value)
        else:
            node = self._collection(event, events)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _collection(self, event: yaml.Event, events: Events) -> Node:
        start, end, line = _place(event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        node = Node("mapping" if mapping else "list", start, end, line)
        node.flow = bool(getattr(event, "flow_style", False))
        while not isinstance(inner := next(events), yaml.CollectionEndEvent):
            node.items.append(self._node(inner, events))
        if node.flow:
            _, node.end, _ = _place(inner)
        elif node.items:
            # A block's own end mark lies behind comments that are none of it.
            node.end = node.items[-1].end
        return node


def _place(event: yaml.Event) -> tuple[int, int, int]:
    """
    Return where an event begins, where it ends, and its line.
    """
    start, end = event.start_mark, event.end_mark
    if start is None or end is None:
        raise UneditableError(1, "the parser gives no marks")
    return start.index, end.index, start.line + 1
