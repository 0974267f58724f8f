"""
``appgw health``: how every backend stands, asked of the running gateway.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any, Final

import attrs
import click

from appgw.cli.check import printable
from appgw.config.read import ConfigError, admin_socket
from appgw.listen.sockets import addressable

TIMEOUT: Final = 10.0
"""Seconds that the gateway may take to say anything."""

ALL_HEALTHY: Final = 0
NOT_ALL: Final = 1
NO_ANSWER: Final = 2
"""What the command exits with."""

_WORDS: Final = {"Up": "healthy", "Down": "unhealthy", "Draining": "draining"}


class AskError(Exception):
    """
    Why there is no answer: one line, meant for a person.
    """


@attrs.frozen
class Server:
    """
    One address of a member, as the gateway tells of it.
    """

    pool: str
    setting: str
    address: str
    endpoint: str
    health: str
    told: str
    probed: bool
    detects: bool = False

    @property
    def well(self) -> bool:
        """
        Whether there is nothing to look after.
        """
        return self.health in ("Up", "Draining") or not self.probed


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="What Azure's API would give.")
@click.option(
    "--socket", "where", metavar="PATH", help="The admin socket, if not FILE's."
)
@click.pass_context
def health(context: click.Context, path: str, as_json: bool, where: str | None) -> None:
    """
    Say how every pool, setting and member of a running gateway stands.

    FILE is the gateway's configuration; of it, only the place of the admin
    socket is read. The exit code is 0 if all members that are probed are
    healthy, 1 if not, and 2 if there is no answer.
    """
    try:
        answer = ask(where or socket_of(path))
        servers = list(told(answer))
    except (AskError, ConfigError) as error:
        for line in str(error).splitlines():
            click.echo(f"Error: {line}", err=True)
        context.exit(NO_ANSWER)
    lines = [json.dumps(answer, indent=2)] if as_json else list(table(servers))
    for line in lines:
        click.echo(line if as_json else printable(line))
    well = all(server.well for server in servers)
    context.exit(ALL_HEALTHY if well else NOT_ALL)


def socket_of(path: str) -> str:
    """
    Return the admin socket of the gateway with this configuration.

    Raises:
        AskError: it has none.
        ConfigError: the file does not tell.
    """
    where = admin_socket(path)
    if where is None:
        raise AskError(f"{path}: admin.enabled is false, so there is nobody to ask")
    return where


def ask(where: str) -> Any:
    """
    Ask the gateway that listens there.

    Raises:
        AskError: it does not answer as one.
    """
    connection = _Connection(where)
    try:
        connection.request("GET", "/backendhealth")
        response = connection.getresponse()
        body = response.read()
    except FileNotFoundError:
        raise AskError(f"{where} is not there: the gateway is not running") from None
    except ConnectionRefusedError:
        raise AskError(f"{where}: nobody listens, the gateway has ended") from None
    except PermissionError:
        raise AskError(
            f"{where}: permission denied; ask as the user that the gateway runs as"
        ) from None
    except TimeoutError:
        raise AskError(f"{where}: no answer within {TIMEOUT:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise AskError(f"{where}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise AskError(f"{where}: answers {response.status}, as no gateway does")
    try:
        return json.loads(body)
    except ValueError:
        raise AskError(f"{where}: its answer is not JSON, as no gateway's is") from None


class _Connection(http.client.HTTPConnection):
    def __init__(self, where: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._where = where

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        with addressable(self._where) as address:
            self.sock.connect(address)


def told(answer: Any) -> Iterator[Server]:
    """
    Take the members out of an answer.

    Raises:
        AskError: it has another shape.
    """
    try:
        for pool in answer["backendAddressPools"]:
            for setting in pool["backendHttpSettingsCollection"]:
                for server in setting["servers"]:
                    yield Server(
                        pool["backendAddressPool"]["name"],
                        setting["backendHttpSettings"]["name"],
                        server["address"],
                        server["endpoint"],
                        server["health"],
                        server["healthProbeLog"],
                        server["probed"],
                        setting["backendHttpSettings"].get("pinMode") == "detect",
                    )
    except (KeyError, TypeError) as error:
        raise AskError("its answer is not about backends' health") from error


def table(servers: list[Server]) -> Iterator[str]:
    """
    Write the members one a line, below a heading for each pool and setting.
    """
    rows = [(_member(server), _word(server), server.told) for server in servers]
    wide = max((len(member) for member, _, _ in rows), default=0)
    pair = None
    for server, (member, word, why) in zip(servers, rows, strict=True):
        if pair != (server.pool, server.setting):
            pair = server.pool, server.setting
            detects = " (pin_mode detect)" if server.detects else ""
            yield f"pool {server.pool}, setting {server.setting}{detects}"
        yield f"  {member:<{wide}}  {word:<9}  {why}"
    if not rows:
        yield "no pool has a member"


def _member(server: Server) -> str:
    named = server.endpoint.startswith((f"{server.address}:", f"[{server.address}]:"))
    return server.endpoint if named else f"{server.address} {server.endpoint}".strip()


def _word(server: Server) -> str:
    unknown = "unknown" if server.probed else "unprobed"
    return _WORDS.get(server.health, unknown)
