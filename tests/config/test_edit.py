from __future__ import annotations

import textwrap

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.edit import Draft, Node, UneditableError, scalar


def at(draft: Draft, *path: str | int) -> Node:
    node = draft.top
    for step in path:
        if isinstance(step, int):
            node = node.items[step].itself
        else:
            found = node.get(step)
            assert found is not None, step
            node = found[1].itself
    return node


def key(mapping: Node, name: str) -> Node:
    found = mapping.get(name)
    assert found is not None
    return found[0]


class TextTests(SynchronousTestCase):
    """
    What a change looks like in the text.
    """

    def added(self, text: str, expected: str, inner: bool = False) -> None:
        """
        Add a key behind ``a`` of the mapping ``m``.
        """
        text, expected = textwrap.dedent(text), textwrap.dedent(expected)
        draft = Draft(text)
        mapping = at(draft, "m")
        if inner:
            draft.add_mapping(mapping, key(mapping, "a"), "n", {"x": "1", "y": "2"})
        else:
            draft.add(mapping, key(mapping, "a"), "n", "1")
        self.assertEqual(draft.changed(), expected)
        yaml.safe_load(expected)

    def test_block(self) -> None:
        """
        In a block it stands on a line of its own.
        """
        self.added(
            """\
            # above
            m:
                a: {x: 1}   # beside

                # of b
                b: 2
            """,
            """\
            # above
            m:
                a: {x: 1}   # beside
                n: 1

                # of b
                b: 2
            """,
        )

    def test_comments(self) -> None:
        """
        Comments that are indented as the other key's content stay with it.
        """
        self.added(
            """\
            m:
              a:
                x: 1
                # still a's

                # nobody's
              # not a's
              b: 2
            """,
            """\
            m:
              a:
                x: 1
                # still a's
              n: 1

                # nobody's
              # not a's
              b: 2
            """,
        )

    def test_flow(self) -> None:
        """
        In braces it stands behind a comma; on a line of its own where the other
        key has one.
        """
        self.added("m: {a: 1, b: 2}  # c\n", "m: {a: 1, n: 1, b: 2}  # c\n")
        self.added("m: {a: 1}", "m: {a: 1, n: 1}")
        self.added("m: {\n  a: 1\n  }\n", "m: {\n  a: 1,\n  n: 1\n  }\n")
        self.added(
            """\
            m: {
              a: [1, 2],   # of a
              b: 2
            }
            """,
            """\
            m: {
              a: [1, 2],   # of a
              n: 1,
              b: 2
            }
            """,
        )
        self.added(
            """\
            m: {
              a: 1   # of a
            }
            """,
            """\
            m: {
              a: 1,   # of a
              n: 1
            }
            """,
        )

    def test_mapping(self) -> None:
        """
        A mapping is written as its neighbour is.
        """
        self.added(
            """\
            m:
              a:
                  z: 1
              b: {z: 2}
            """,
            """\
            m:
              a:
                  z: 1
              n:
                  x: 1
                  y: 2
              b: {z: 2}
            """,
            inner=True,
        )
        self.added("m:\n  a: {z: 1}\n", "m:\n  a: {z: 1}\n  n: {x: 1, y: 2}\n", True)
        self.added("m: {a: {z: 1}}\n", "m: {a: {z: 1}, n: {x: 1, y: 2}}\n", True)

    def test_line_breaks(self) -> None:
        """
        Line breaks are the text's own; one that was missing at the end is missing.
        """
        self.added("m:\r\n  a: 1\r\n", "m:\r\n  a: 1\r\n  n: 1\r\n")
        self.added("m:\r\n  a: 1", "m:\r\n  a: 1\r\n  n: 1")
        self.added("m:\n  a: 1", "m:\n  a: 1\n  n: 1")
        self.added("m:\r  a: 1\r", "m:\r  a: 1\r  n: 1\r")
        self.added("\ufeffm: {a: 1}\n", "\ufeffm: {a: 1, n: 1}\n")

    def test_values_of_many_lines(self) -> None:
        """
        It stands below all of the other key's value.
        """
        self.added(
            """\
            m:
              a: |
                one
                two
              b: 1
            """,
            """\
            m:
              a: |
                one
                two
              n: 1
              b: 1
            """,
        )
        self.added(
            """\
            m:
              a: "one
                two"   # c
            """,
            """\
            m:
              a: "one
                two"   # c
              n: 1
            """,
        )
        self.added("m:\n  a:\n  - 1\n  - 2\n", "m:\n  a:\n  - 1\n  - 2\n  n: 1\n")

    def test_set(self) -> None:
        """
        A value is replaced whatever its quotes, and a key is added at the end if
        it is missing.
        """
        for before, after in (
            ("m: {s: old, a: 1}  # c", "m: {s: new, a: 1}  # c"),
            ("m: {'s': 'old'}", "m: {'s': new}"),
            ('m:\n  "s":   "old"  # c\n  a: 1\n', 'm:\n  "s":   new  # c\n  a: 1\n'),
            ("m: {a: 1}", "m: {a: 1, s: new}"),
            ("m:\n  a: 1  # c\n\nb: 1\n", "m:\n  a: 1  # c\n  s: new\n\nb: 1\n"),
        ):
            draft = Draft(before)
            draft.set(at(draft, "m"), "s", "new")
            self.assertEqual(draft.changed(), after)

    def test_set_an_alias(self) -> None:
        """
        A value that stands elsewhere is not replaced there.
        """
        draft = Draft("x: &s old\nm: {s: *s}\n")
        with self.assertRaises(UneditableError) as raised:
            draft.set(at(draft, "m"), "s", "new")
        self.assertEqual(raised.exception.line, 2)

    def listed(self, text: str, expected: str) -> None:
        """
        Add an element behind ``a`` of the list ``l``.
        """
        text, expected = textwrap.dedent(text), textwrap.dedent(expected)
        draft = Draft(text)
        elements = at(draft, "l")
        (after,) = [item for item in elements.items if item.itself.value == "a"]
        draft.add_item(elements, after, "n")
        self.assertEqual(draft.changed(), expected)

    def test_list(self) -> None:
        """
        An element is added in the list's own style.
        """
        self.listed("l: [b, a]", "l: [b, a, n]")
        self.listed("l: [ 'a' ,b ]  # c", "l: [ 'a', n ,b ]  # c")
        self.listed("l:\n- a\n- b\n", "l:\n- a\n- n\n- b\n")
        self.listed("l:\n  -   a  # c\n  - b", "l:\n  -   a  # c\n  -   n\n  - b")
        self.listed("l:\n  - b\n  - a", "l:\n  - b\n  - a\n  - n")
        self.listed("x: &x a\nl: [*x, b]", "x: &x a\nl: [*x, n, b]")
        self.listed(
            """\
            l: [
                a,  # of a
                b,
            ]
            """,
            """\
            l: [
                a,  # of a
                n,
                b,
            ]
            """,
        )

    def test_list_without_a_dash(self) -> None:
        """
        An element on another line than its dash is left to an editor.
        """
        draft = Draft("l:\n  -\n    a\n")
        elements = at(draft, "l")
        with self.assertRaises(UneditableError):
            draft.add_item(elements, elements.items[0], "n")

    def test_several(self) -> None:
        """
        Several changes don't disturb each other.
        """
        draft = Draft("m:\n  a: {s: old}\n  b: {s: old}\nl: [a, b]\n")
        mapping, elements = at(draft, "m"), at(draft, "l")
        draft.set(at(draft, "m", "b"), "s", "new")
        draft.add(mapping, key(mapping, "a"), "n", "1")
        draft.set(at(draft, "m", "a"), "s", "newer")
        draft.add_item(elements, elements.items[0], "n")
        expected = "m:\n  a: {s: newer}\n  n: 1\n  b: {s: new}\nl: [a, n, b]\n"
        self.assertEqual(draft.changed(), expected)
        self.assertEqual(Draft(expected).changed(), expected)


class ScalarTests(SynchronousTestCase):
    """
    How a text is written.
    """

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
    def test_read_back(self, text: str) -> None:
        """
        What is written is read as it was, and as text.
        """
        for context in ("k: {}", "k: [{}]", "{{k: {}}}"):
            node = yaml.compose(context.format(scalar(text)), Loader=yaml.SafeLoader)
            value = node.value[0][1]
            value = value.value[0] if isinstance(value, yaml.SequenceNode) else value
            self.assertEqual(value.value, text)
            self.assertNotEqual(value.tag, "tag:yaml.org,2002:null")

    def test_plain(self) -> None:
        """
        Names and paths stand without quotes, as people write them.
        """
        for text in ("orders-2026", "pins/orders-2026.pem", "retiring"):
            self.assertEqual(scalar(text), text)
        for text in ("null", "a b", "a: b", "-a", "#a", "[a"):
            self.assertTrue(scalar(text).startswith('"'), text)
