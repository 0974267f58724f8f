from __future__ import annotations

import io
import sys
from unittest import skipUnless

from click.testing import CliRunner, Result

from appgw.cli.check import check, report
from appgw.config.document import LARGEST
from tests.config.samples import PIN, ConfigCase

SOUND = f"""\
listeners:
  plain: {{protocol: http, port: 8080}}
rules:
  plain: {{priority: 1, listener: plain, pool: a, backend_settings: a}}
pools:
  a: {{members: [localhost]}}
pins:
  a: {{sha256: {PIN}}}
backend_settings:
  a: {{protocol: https, pins: [a]}}
"""


class CheckTests(ConfigCase):
    def run_on(self, text: str | bytes) -> Result:
        """
        Run the command on a file of this content.
        """
        data = text if isinstance(text, bytes) else text.encode()
        self.path = self.write("gateway.yaml", data)
        return CliRunner().invoke(check, [str(self.path)])

    def test_sound(self) -> None:
        """
        A sound file is summed up in one line, with exit code 0.
        """
        result = self.run_on(SOUND)
        self.assertEqual(
            result.output,
            f"{self.path}: in order, 1 listener, 1 rule, 1 pool, 1 pin, 0 warnings\n",
        )
        self.assertEqual(result.exit_code, 0)

    def test_warnings(self) -> None:
        """
        Warnings alone leave the exit code at 0.
        """
        result = self.run_on(SOUND.replace("members: [localhost]", ""))
        lines = result.output.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(
            lines[0],
            f"{self.path}:6: warning: pools.a.members: found no members, expected one,"
            " as without members each request is answered with 502",
        )
        self.assertTrue(lines[1].endswith(", 1 warning"), lines[1])
        self.assertEqual(result.exit_code, 0)

    def test_errors(self) -> None:
        """
        Errors are told all at once, one a line, with exit code 1.
        """
        text = SOUND.replace("8080", "80800").replace("pool: a", "pool: b")
        result = self.run_on(text + "max_request_bdy: 1\n")
        lines = result.output.splitlines()
        self.assertEqual(
            lines,
            [
                (
                    f"{self.path}:2: listeners.plain.port: found '80800',"
                    " expected a whole number from 1 to 65535"
                ),
                (
                    f"{self.path}:4: rules.plain.pool: found 'b', which is not in"
                    " pools, expected the name of a pool"
                ),
                (
                    f"{self.path}:11: max_request_bdy: found an unknown key,"
                    " expected max_request_body"
                ),
                f"{self.path}: 3 errors, 0 warnings",
            ],
        )
        self.assertEqual(result.exit_code, 1)

    def test_no_file(self) -> None:
        """
        A file that isn't there is reported like all else.
        """
        result = CliRunner().invoke(check, ["absent.yaml"])
        self.assertEqual(
            result.output.splitlines(),
            [
                (
                    "absent.yaml:1: (file): found 'absent.yaml' (No such file or"
                    " directory), expected a readable file"
                ),
                "absent.yaml: 1 error, 0 warnings",
            ],
        )
        self.assertEqual(result.exit_code, 1)

    def test_hostile_files(self) -> None:
        """
        Whatever the file, there are lines and an exit code, and no traceback.
        """
        for data in (
            b"",
            b"\xff\xfe",
            b"- a\n",
            b"a: !!python/object/apply:os.system [id]",
            b"[" * 100_000,
            b"a: &a [*a]",
            b"\x00",
            b" " * (LARGEST + 1),
        ):
            result = self.run_on(data)
            self.assertEqual(result.exit_code, 1)
            self.assertIsInstance(result.exception, SystemExit)
            lines = result.output.splitlines()
            self.assertEqual(len(lines), 2, result.output)
            self.assertTrue(lines[0].startswith(f"{self.path}:1: (file): found "))

    def test_hostile_keys(self) -> None:
        """
        Nothing from the file reaches the terminal as a control character.
        """
        result = self.run_on(SOUND + '"a\\e[31m\\n\\u202eb": "\\a"\n')
        self.assertEqual(len(result.output.splitlines()), 2)
        for line in result.output.splitlines():
            self.assertTrue(line.isprintable())

    def test_narrow_terminal(self) -> None:
        """
        A terminal without the characters that a file has gets escapes.
        """
        self.path = self.write("gateway.yaml", (SOUND + "clé: 1\n").encode())
        output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        self.patch(sys, "stdout", output)
        with self.assertRaises(SystemExit) as caught:
            check([str(self.path)])
        self.assertEqual(caught.exception.code, 1)
        output.flush()
        self.assertIn(rb"'cl\xe9'", output.buffer.getvalue())

    @skipUnless(sys.platform == "linux", "file names are bytes on Linux")
    def test_name_that_is_no_text(self) -> None:
        """
        A file's name may be any bytes.
        """
        lines, code = report("abs\udcffent.yaml")
        self.assertEqual((len(lines), code), (2, 1))
        result = CliRunner().invoke(check, ["abs\udcffent.yaml"])
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(len(result.output.splitlines()), 2)

    def test_help(self) -> None:
        """
        The command explains itself.
        """
        result = CliRunner().invoke(check, ["--help"])
        self.assertIn("FILE:LINE: key: found X, expected Y", result.output)
        self.assertEqual(result.exit_code, 0)
