"""
Bytes -> YAML nodes, for bytes that nobody vouches for.

Nodes are composed, never loaded: what a scalar means is for the model to say,
and no tag makes an object. The parser's events are looked over first, as they
come without recursion, so that nesting and aliases are bounded before a tree
is made of them.
"""

from __future__ import annotations

import yaml

from appgw.config.problems import quoted

LARGEST = 4 << 20
"""The most bytes a configuration may have."""

DEEPEST = 20
_TOO_DEEP = (f"more than {DEEPEST} levels", "less nesting")
MOST_NODES = 200_000

# libyaml's parser where PyYAML was built with it: ten times as fast.
Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)


class UnreadableError(Exception):
    """
    This is no YAML document that we take.

    Attributes:
        line: counted from 1.
    """

    def __init__(self, line: int, found: str, expected: str) -> None:
        self.line = line
        self.found = found
        self.expected = expected
        super().__init__(line, found, expected)


def compose(data: bytes) -> yaml.MappingNode:
    """
    Compose the one YAML document that ``data`` holds.

    Args:
        data: UTF-8, at most ``LARGEST`` bytes.

    Returns:
        The mapping on top.

    Raises:
        UnreadableError: for everything else, whatever it is.
    """
    text = _decoded(data)
    try:
        _survey(text)
        node = yaml.compose(text, Loader=Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character
        found = f"the control character U+{code if isinstance(code, int) else 0:04X}"
        raise UnreadableError(line, found, "printable text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if "maximum nesting" in (error.problem or ""):
            # From PyYAML 6.0.4 on, libyaml gives up before we have counted.
            raise UnreadableError(line, *_TOO_DEEP) from None
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableError(line, f"no YAML ({said})", "YAML") from None
    if node is None or is_nothing(node):
        raise UnreadableError(1, "nothing", "listeners and rules")
    if not isinstance(node, yaml.MappingNode):
        found = f"{kind_of(node)} on top"
        line = node.start_mark.line + 1
        raise UnreadableError(line, found, "a mapping with listeners and rules")
    return node


def kind_of(node: yaml.Node) -> str:
    """
    Say what a node is, for a person who wrote something else.
    """
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if is_nothing(node):
        return "nothing"
    return quoted(node.value)


def is_nothing(node: yaml.Node) -> bool:
    """
    Tell whether a value was left out, or is a plain ``null`` or ``~``.
    """
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _decoded(data: bytes) -> str:
    if len(data) > LARGEST:
        found = f"more than {LARGEST >> 20}MiB"
        raise UnreadableError(1, found, "a smaller configuration")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{data[error.start]:02x}"
        raise UnreadableError(line, found, "UTF-8") from None


def _survey(text: str) -> None:
    census = _Census()
    for event in yaml.parse(text, Loader=Loader):
        try:
            census.count(event)
        except _Excess as excess:
            found, expected = excess.args
            raise UnreadableError(_line(event), found, expected) from None


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Excess(Exception):  # noqa: N818 (never leaves this file)
    pass


class _Census:
    """
    Counts the nodes that a document has with its aliases written out.
    """

    def __init__(self) -> None:
        self.nodes = 0
        self.documents = 0
        self.sizes: dict[str, int] = {}
        self.open: list[tuple[str | None, int]] = []

    def count(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _Excess("a second document", "one document")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.open.pop()
            if anchor is not None:
                self.sizes[anchor] = self.nodes - before
        elif isinstance(event, yaml.NodeEvent):
            self.node(event)

    def node(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise _Excess(f"the tag {quoted(tag)}", "no tags")
        if isinstance(event, yaml.AliasEvent):
            self.alias(event.anchor)
        else:
            self.nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            self.open.append((event.anchor, self.nodes - 1))
            if len(self.open) > DEEPEST:
                raise _Excess(*_TOO_DEEP)
        elif isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            self.sizes[event.anchor] = 1
        if self.nodes > MOST_NODES:
            found = f"more than {MOST_NODES} values, with aliases written out"
            raise _Excess(found, "a smaller configuration")

    def alias(self, anchor: str | None) -> None:
        if any(anchor == name for name, _ in self.open):
            raise _Excess(f"the alias {anchor} within itself", "a value")
        # An undefined one is for the composer to name.
        self.nodes += self.sizes.get(anchor or "", 1)
