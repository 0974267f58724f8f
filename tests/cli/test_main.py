from __future__ import annotations

import importlib.metadata
import subprocess
import sys

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.main import main

LOOKS = """
import sys
import {module}
print("twisted.internet.reactor" in sys.modules)
"""


class MainTests(SynchronousTestCase):
    def test_commands(self) -> None:
        """
        The help lists every command, each with a sentence.
        """
        result = CliRunner().invoke(main, ["--help"])
        self.assertEqual(result.exit_code, 0)
        listed = result.output.partition("Commands:\n")[2].splitlines()
        self.assertEqual(
            [line.split()[0] for line in listed],
            ["check", "demo", "explain", "health", "pins"],
        )
        for line in listed:
            self.assertGreater(len(line.split()), 3, line)

    def test_help_of_commands(self) -> None:
        """
        Each command explains itself.
        """
        for command in main.commands:
            result = CliRunner().invoke(main, [command, "--help"])
            self.assertEqual(result.exit_code, 0)
            self.assertIn(f"Usage: main {command} [OPTIONS]", result.output)

    def test_version(self) -> None:
        """
        The version is the package's.
        """
        result = CliRunner().invoke(main, ["--version"])
        self.assertEqual(result.exit_code, 0)
        self.assertIn(importlib.metadata.version("appgw"), result.output)

    def test_unknown(self) -> None:
        """
        An unknown command is an error of usage.
        """
        result = CliRunner().invoke(main, ["examine"])
        self.assertEqual(result.exit_code, 2)
        self.assertIn("examine", result.output)

    def test_entry_point(self) -> None:
        """
        Installing the package installs the command.
        """
        [entry] = importlib.metadata.entry_points(group="console_scripts", name="appgw")
        self.assertIs(entry.load(), main)

    def test_no_reactor(self) -> None:
        """
        Neither the command nor the package chooses a reactor by being imported.
        """
        for module in ("appgw", "appgw.cli.main"):
            looked = subprocess.run(
                [sys.executable, "-c", LOOKS.format(module=module)],
                capture_output=True,
                check=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(looked.stdout, "False\n", module)
