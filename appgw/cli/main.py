"""
The ``appgw`` command.
"""

from __future__ import annotations

import click

from appgw.cli.check import check
from appgw.cli.demo import demo
from appgw.cli.explain import explain
from appgw.cli.health import health
from appgw.cli.pin_list import list_pins
from appgw.cli.pin_steps import retire_pin, revoke_pin, rotate_pin
from appgw.cli.pins import pins


@click.group()
@click.version_option(package_name="appgw")
def main() -> None:
    """
    An application gateway that pins the certificates of its backends.

    These commands look at things; to run a gateway:
    twistd appgw --config FILE
    """


for command in (check, explain, health, pins, demo):
    main.add_command(command)
for step in (list_pins, rotate_pin, retire_pin, revoke_pin):
    pins.add_command(step)
