from __future__ import annotations

import yaml
from twisted.trial.unittest import SynchronousTestCase

from appgw.config import document
from appgw.config.document import UnreadableError, compose


class DocumentTests(SynchronousTestCase):
    def refused(self, data: str | bytes, line: int, found: str) -> None:
        """
        Demand that this is refused, for what is found on that line.
        """
        if isinstance(data, str):
            data = data.encode()
        with self.assertRaises(UnreadableError) as caught:
            compose(data)
        error = caught.exception
        self.assertEqual(error.line, line)
        self.assertIn(found, error.found)
        self.assertNotIn("\n", error.found + error.expected)

    def test_sound(self) -> None:
        """
        A mapping is composed, its scalars left as text, with their lines.
        """
        top = compose(b"a: 010\nb: [yes, 1:30]\n")
        [(_, first), (_, second)] = top.value
        self.assertEqual(first.value, "010")
        self.assertEqual([one.value for one in second.value], ["yes", "1:30"])
        self.assertEqual(second.start_mark.line, 1)

    def test_marked_as_utf8(self) -> None:
        """
        A byte order mark before the first key is no part of it.
        """
        [(key, _)] = compose(b"\xef\xbb\xbfa: 1").value
        self.assertEqual(key.value, "a")

    def test_empty(self) -> None:
        """
        An empty file, or one with only a comment, lacks everything.
        """
        for data in ("", "\n\n", "# nothing\n", "---\n", "---\n...\n"):
            self.refused(data, 1, "nothing")

    def test_other_than_a_mapping(self) -> None:
        """
        A list or a text on top is no configuration.
        """
        self.refused("\n- a\n- b\n", 2, "a list on top")
        self.refused("listeners", 1, "'listeners' on top")
        self.refused("null", 1, "nothing")

    def test_not_utf8(self) -> None:
        """
        Bytes that are no UTF-8 are shown with their line.
        """
        self.refused(b"a: 1\nb: caf\xe9\n", 2, "the byte 0xe9")
        self.refused("a: 1".encode("utf-16"), 1, "the byte 0xff")

    def test_control_characters(self) -> None:
        """
        Control characters are named, not repeated.
        """
        self.refused(b"a: 1\nb: \x1b[31m", 2, "U+001B")
        self.refused(b"a\x00: 1", 1, "U+0000")

    def test_no_yaml(self) -> None:
        """
        What the parser says about text that is no YAML comes with its line.
        """
        self.refused("a: 1\nb: [1, 2\nc: 3\n", 3, "no YAML")
        self.refused("a: 1\n\tb: 2\n", 2, "no YAML")
        self.refused("%YAML 9.9\n---\na: 1\n", 1, "no YAML")

    def test_too_large(self) -> None:
        """
        A file is not parsed at all when it is larger than a limit.
        """
        self.refused(b"#" * (document.LARGEST + 1), 1, "more than 4MiB")

    def test_deep_nesting(self) -> None:
        """
        Nesting is bounded long before recursion could be trouble.
        """
        self.refused("a: " + "[" * 100_000, 1, "more than 20 levels")
        self.refused("a:\n " + "- " * 100_000 + "b", 2, "more than 20 levels")
        self.refused("{a: " * 50_000, 1, "more than 20 levels")

    def test_too_many_values(self) -> None:
        """
        The number of values is bounded.
        """
        self.refused("a: [" + "1," * 300_000 + "]", 1, "more than 200000 values")

    def test_alias_bomb(self) -> None:
        """
        Aliases that multiply count as often as they would be written out.
        """
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        for level in range(1, 10):
            names = ", ".join([f"*a{level - 1}"] * 10)
            lines.append(f"a{level}: &a{level} [{names}]")
        self.refused("\n".join(lines), 6, "with aliases written out")

    def test_alias_within_itself(self) -> None:
        """
        A value that holds itself is refused.
        """
        self.refused("a: &a\n  b: *a\n", 2, "the alias a within itself")

    def test_unknown_alias(self) -> None:
        """
        An alias for nothing is refused.
        """
        self.refused("a: 1\nb: *nowhere\n", 2, "undefined alias")

    def test_aliases(self) -> None:
        """
        An honest alias stands for what it names.
        """
        [(_, first), (_, second)] = compose(b"a: &x [1, 2]\nb: *x\n").value
        self.assertEqual(
            [one.value for one in second.value], [one.value for one in first.value]
        )

    def test_tags(self) -> None:
        """
        No tag is taken, whether it would do harm or not.
        """
        self.refused("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "the tag")
        self.refused("a: !!int 5", 1, "the tag")
        self.refused("a: ! b", 1, "the tag")
        self.refused("a: !custom {b: 1}", 1, "the tag")

    def test_second_document(self) -> None:
        """
        A second document would be read by nobody.
        """
        self.refused("a: 1\n---\nb: 2\n", 2, "a second document")


class PurePythonTests(DocumentTests):
    """
    The same without libyaml.
    """

    def setUp(self) -> None:
        """
        Take the parser away.
        """
        self.patch(document, "Loader", yaml.SafeLoader)
