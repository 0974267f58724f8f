"""
``appgw explain``: what becomes of a request, and why nothing else does.

What is printed is what the gateway decides: the same functions are called, with
the same values.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

import attrs
import click

from appgw.backend.presented import is_address
from appgw.cli.telling import (
    asked_of,
    decided,
    other_listeners,
    other_path_rules,
    sent,
    site_of,
)
from appgw.cli.telling_rewrites import answer_rewrites
from appgw.config.model import Config
from appgw.config.read import ConfigError, read
from appgw.message import (
    Arrival,
    ClientCertificate,
    RequestHead,
    ResponseHead,
    values_of,
)
from appgw.route.decide import Forward, Redirect, Refuse, decide
from appgw.route.listeners import BadHost, host_of
from appgw.route.table import PortTable, Table

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<target>[^#]*)(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_PORT = re.compile(rb":([0-9]+)\Z")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
SHOWN = ClientCertificate(verification="SUCCESS")
"""Clients are taken to have what listeners may ask for."""

_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


class QuestionError(Exception):
    """
    Why there is nothing to explain: one line, meant for a person.
    """


@attrs.frozen(kw_only=True)
class Question:
    """
    A request that nobody has made.

    Attributes:
        host: of the URL: the server name of the handshake, if it is a name.
        port: that it goes to.
        client: the IP address that it comes from.
    """

    head: RequestHead
    host: str
    port: int
    client: str

    @property
    def scheme(self) -> str:
        """
        ``http`` or ``https``.
        """
        return self.head.scheme.decode()

    def arrival(self, config: Config) -> Arrival:
        """
        Return what would be known of the client's connection.
        """
        client = ipaddress.ip_address(self.client)
        named = self.scheme == "https" and not is_address(self.host)
        return Arrival(
            address=str(client),
            port=50000,
            local_port=self.port,
            scheme=self.scheme,
            server_name=self.host if named else None,
            trusted=any(client in network for network in config.trusted_proxies),
        )


def ask(url: str, fields: Iterable[str], method: str, client: str) -> Question:
    """
    Make up a request.

    Args:
        url: http or https; what follows a ``#`` is never sent.
        fields: ``Name: value`` each. A Host among them takes the place of the
            URL's, as it would not in the handshake.
        method: of the request.
        client: the IP address that it comes from.

    Raises:
        QuestionError: no client could make it.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise QuestionError(f"{url}: not an http or https URL")
    if not is_address(client):
        raise QuestionError(f"{client}: not an IP address")
    authority = found["authority"].rpartition("@")[2].encode()
    scheme = found["scheme"].lower()
    host, port = _host_and_port(authority, 443 if scheme == "https" else 80)
    headers = [_field(text) for text in fields]
    hosts = values_of(headers, b"host")
    if len(hosts) > 1:
        raise QuestionError("a request has one Host")
    path, mark, query = found["target"].encode().partition(b"?")
    head = RequestHead(
        method=method.encode(),
        scheme=scheme.encode(),
        authority=hosts[0] if hosts else authority,
        path=path or b"/",
        query=query if mark else None,
        version=(1, 1),
        headers=headers,
    )
    return Question(head=head, host=host, port=port, client=client)


def answer(status: int = 200, fields: Iterable[str] = ()) -> ResponseHead:
    """
    Make up an answer of a backend.

    Raises:
        QuestionError: no backend could give it.
    """
    return ResponseHead(status, b"", [_field(text) for text in fields])


def _host_and_port(authority: bytes, default: int) -> tuple[str, int]:
    try:
        host = host_of(authority)
    except BadHost as error:
        raise QuestionError(f"{authority.decode()}: {error}") from error
    port = _PORT.search(authority)
    return host, int(port[1]) if port else default


def _field(text: str) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise QuestionError(f"{text!r}: not a header such as 'Name: value'")
    return found[1].encode(), found[2].rstrip(" \t").encode()


def port_for(table: Table, question: Question) -> PortTable:
    """
    Return the port that a request comes in by.

    Of several addresses with the same port number it is the one that the URL
    spells out, else one that stands for every address.

    Raises:
        QuestionError: nothing listens there, or not in that scheme.
    """
    ports = [port for port in table.ports.values() if port.port == question.port]
    if not ports:
        numbers = ", ".join(map(str, sorted({port for _, port in table.ports})))
        raise QuestionError(
            f"no listener with a rule has port {question.port}, only {numbers}"
        )
    port = min(
        ports,
        key=lambda port: (
            port.address != question.host,
            port.address not in _ANYWHERE,
            port.address,
        ),
    )
    if port.protocol != question.scheme:
        raise QuestionError(
            f"port {question.port} is for {port.protocol}, not {question.scheme}"
        )
    return port


def explained(
    config: Config, question: Question, answered: ResponseHead | None = None
) -> tuple[list[str], bool]:
    """
    Explain what a configuration makes of a request.

    Args:
        answered: what a backend would say to it; None: 200, and nothing else.

    Returns:
        The lines to print, and whether the request would be refused.

    Raises:
        QuestionError: it would not reach a listener.
    """
    try:
        table = Table.build(config)
    except ValueError as error:
        raise QuestionError(str(error)) from error
    port = port_for(table, question)
    head, arrival = question.head, question.arrival(config)
    if any(True for site in port.sites for _ in asked_of(site)):
        arrival = attrs.evolve(arrival, client_certificate=SHOWN)
    decision = decide(port, head, arrival.server_name, arrival)
    site = site_of(port, decision)
    lines = [*decided(decision, head, arrival), *asked_of(site)]
    others = list(other_listeners(config, port, site, head.authority))
    if isinstance(decision, Forward):
        lines += sent(config, decision, head, arrival)
        if decision.rewritten is not None:
            lines += answer_rewrites(decision.rewritten, answered or answer())
    if isinstance(decision, Forward | Redirect) and site is not None:
        others += other_path_rules(decision, site, head.path)
    if others:
        lines += ["others", *others]
    return lines, isinstance(decision, Refuse)


@click.command()
@click.argument("path", metavar="FILE")
@click.argument("url")
@click.option("-H", "--header", "fields", multiple=True, metavar="'NAME: VALUE'")
@click.option("-X", "--request", "method", default="GET", metavar="METHOD")
@click.option("--from", "client", default="192.0.2.1", metavar="ADDRESS")
@click.option("--status", default=200, type=click.IntRange(100, 599))
@click.option("--answer", "answered", multiple=True, metavar="'NAME: VALUE'")
@click.pass_context
def explain(
    context: click.Context,
    /,
    path: str,
    status: int,
    answered: tuple[str, ...],
    **asked: Any,
) -> None:
    """
    Say what becomes of a request, and why nothing else does.

    FILE is the configuration. Nothing is sent. A Host among the headers takes
    the place of the URL's in the request, but not in the handshake. What is
    rewritten in the answer is told of one with the given status and headers. The
    exit code is 1 for a request that would be refused.
    """
    try:
        question, given = ask(**asked), answer(status, answered)
        lines, refused = explained(read(path), question, given)
    except (QuestionError, ConfigError) as error:
        lines, refused = str(error).splitlines(), True
    for line in lines:
        click.echo("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))
    context.exit(int(refused))
