"""
``appgw pins rotate``, ``retire`` and ``revoke``: a pin's life, written into the
configuration.

The file is replaced only by a text that has been read and found to be what was
meant. Comments, order and everything else in it stay as they are.
"""

from __future__ import annotations

import datetime
import difflib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import click

from appgw.backend.presented import Presented
from appgw.cli.check import printable
from appgw.cli.pins import LookError, facts, look, read_place, server_name
from appgw.config import files, scalars
from appgw.config.edit import UneditableError
from appgw.config.model import Config, Pin
from appgw.config.pin_edits import (
    NoStepError,
    Step,
    new_name,
    retire,
    revoke,
    rotate,
    same,
)
from appgw.config.read import Examination, examine
from appgw.config.scalars import UnfitError
from appgw.replacing import replace

MISMATCH: Final = 2
"""What the command exits with for another certificate than the expected one."""

_LINES: Final = re.compile(
    "[^\n\r\x85\u2028\u2029]*(?:\r\n|[\n\r\x85\u2028\u2029]|\\Z)"
)

Plan = Callable[[str, Config], Step]

_config = click.argument("path", metavar="FILE")
_pin = click.argument("name", metavar="NAME")
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Say what would be done, and write nothing."
)


class MismatchError(Exception):
    """
    The certificate is another one than was expected.
    """


@attrs.frozen
class Source:
    """
    The certificate that a new pin is made of.

    Attributes:
        file: how a configuration names its file; None: it came from a network.
        told: what is to be said of it, in lines.
    """

    presented: Presented
    file: str | None
    told: tuple[str, ...]

    def must_be(self, sha256: bytes | None) -> None:
        """
        Insist on a certificate, if one is expected.

        Raises:
            MismatchError: it is another one.
        """
        if sha256 is not None and sha256 != self.presented.sha256:
            raise MismatchError(f"SHA-256 {sha256.hex()} was expected")


@click.command("rotate")
@_config
@_pin
@click.option(
    "--to", "to", required=True, metavar="FILE|HOST:PORT", help="The new certificate."
)
@click.option("--name", "called", metavar="NEW", help="Of the new pin.")
@click.option("--sni", metavar="NAME", help="The server name to ask HOST for.")
@click.option(
    "--expect", metavar="SHA256", help="Of the new certificate; 2 for another one."
)
@_dry_run
@click.pass_context
def rotate_pin(  # noqa: PLR0913 - as many as there are options
    context: click.Context,
    /,
    path: str,
    name: str,
    to: str,
    called: str | None,
    sni: str | None,
    expect: str | None,
    *,
    dry_run: bool,
) -> None:
    """
    Add the pin that follows another one, in state next.

    FILE is the configuration, NAME the pin whose certificate is to change. The
    new pin stands behind it in every list. It admits from the next reload on, so
    that the backend can change at any time after that.
    """
    try:
        wanted = None if expect is None else scalars.sha256(expect)
        source = _source(path, to, sni)
        _tell(source.told)
        source.must_be(wanted)
        _carry_out(path, _rotation(name, called, source), dry_run=dry_run)
    except UnfitError as error:
        raise click.ClickException(f"--expect: expected {error.expected}") from error
    except (LookError, MismatchError) as error:
        click.echo(f"Error: {printable(f'{to}: {error}')}", err=True)
        context.exit(MISMATCH if isinstance(error, MismatchError) else 1)


@click.command("retire")
@_config
@_pin
@click.option(
    "--next", "successor", metavar="NEXT", help="The pin that is active from now on."
)
@_dry_run
def retire_pin(path: str, name: str, successor: str | None, *, dry_run: bool) -> None:
    """
    Mark a pin as retiring, and the one that follows it as active.

    It admits still, and each backend that presents its certificate is told of
    in the log.
    """
    _carry_out(
        path,
        lambda text, config: retire(text, config, name, successor),
        dry_run=dry_run,
    )


@click.command("revoke")
@_config
@_pin
@_dry_run
def revoke_pin(path: str, name: str, *, dry_run: bool) -> None:
    """
    Mark a pin as revoked: its certificate or key is refused everywhere.

    From the next reload on, whatever other pin or trusted root admits it.
    Connections with it end then.
    """
    _carry_out(path, lambda text, config: revoke(text, config, name), dry_run=dry_run)


def _source(path: str, to: str, sni: str | None) -> Source:
    """
    Get the certificate of a new pin.

    Raises:
        LookError: there is none.
    """
    if _is_there(to):
        try:
            der = files.pinned_leaf(files.load(Path(to)).data)
        except UnfitError as error:
            found = error.found or to
            raise LookError(f"found {found}, expected {error.expected}") from error
        leaf = _readable(Presented.from_der(der))
        return Source(leaf, _named(path, to), (f"{to}:", *facts(leaf, _now())))
    try:
        host, port = read_place(to)
    except LookError as error:
        raise LookError("neither a file nor HOST:PORT") from error
    name = server_name(host, sni)
    sight = look(host, port, name)
    leaf = _readable(sight.presented)
    asked = f"server name {name}" if name else "no server name"
    told = (
        f"{to} presented this certificate ({sight.version}, {asked}).",
        "It was NOT verified: compare its SHA-256 with what the owner tells you.",
        "",
        *facts(leaf, _now()),
    )
    return Source(leaf, None, told)


def _is_there(to: str) -> bool:
    try:
        return Path(to).exists()
    except OSError:
        # A name that no file can have, say.
        return False


def _readable(leaf: Presented) -> Presented:
    if not leaf.readable:
        raise LookError(f"its certificate cannot be read (SHA-256 {leaf.sha256.hex()})")
    return leaf


def _named(path: str, to: str) -> str:
    """
    Name a file as a configuration does: by its way from the configuration's folder,
    unless that leads outside.
    """
    folder, file = Path(path).absolute().parent, Path(to).absolute()
    way = os.path.relpath(file, folder)
    return str(file) if way.startswith(os.pardir) else way


def _rotation(name: str, called: str | None, source: Source) -> Plan:
    """
    Plan a rotation: a pin of a key is followed by a pin of a key.
    """

    def plan(text: str, config: Config) -> Step:
        new, leaf = called, source.presented
        try:
            new = new_name(config, name, _now().date()) if new is None else new
            scalars.name(new)
        except UnfitError as error:
            raise NoStepError(f"--name: expected {error.expected}") from error
        old = config.pins.get(name)
        if old is not None and old.sha256 is None:
            pin = Pin(name=new, spki_sha256=leaf.spki_sha256, state="next")
            return rotate(text, config, name, pin, None)
        der = None if source.file is None else leaf.der
        pin = Pin(name=new, sha256=leaf.sha256, certificate=der, state="next")
        return rotate(text, config, name, pin, source.file)

    return plan


def _carry_out(path: str, plan: Plan, *, dry_run: bool) -> None:
    """
    Take a step, and write it down unless it is only to be told.
    """
    try:
        file = Path(path).resolve(strict=True)
        data = file.read_bytes()
        before = _sound(path, data)
        step = plan(data.decode("utf-8"), before)
        after = step.text.encode("utf-8")
        examination = _as_meant(path, step, after)
        _tell(["", *step.told, ""])
        _tell(_difference(path, data.decode("utf-8"), step.text))
        _tell(_news(path, data, examination))
        if dry_run:
            _tell(["", "Nothing was written."])
            return
        _write(file, data, after)
    except OSError as error:
        said = f"{error.filename or path}: {error.strerror}"
        raise click.ClickException(printable(said)) from error
    except (NoStepError, UneditableError) as error:
        raise click.ClickException(printable(f"{path}: {error}")) from error
    _tell(["", f"{path} is written. To put it in force, send the gateway a SIGHUP."])


def _sound(path: str, data: bytes) -> Config:
    """
    Read a configuration; what is wrong with it has to be mended first.
    """
    examination = examine(path, content=data)
    if examination.config is None:
        errors = [str(p) for p in examination.problems if p.severity == "error"]
        raise click.ClickException("\n".join(map(printable, errors)))
    return examination.config


def _as_meant(path: str, step: Step, after: bytes) -> Examination:
    """
    Read the new text, and make sure that it says what it is to say.
    """
    examination = examine(path, content=after)
    if examination.config is None or not same(examination.config, step.config):
        raise NoStepError(
            "it is written in a form that cannot be changed here without a doubt;"
            " nothing was written, so change it by hand"
        )
    return examination


def _news(path: str, data: bytes, examination: Examination) -> Iterator[str]:
    """
    Say what a check warns of that it did not warn of before.
    """
    known = {(p.key, p.found) for p in examine(path, content=data).problems}
    for problem in examination.problems:
        if (problem.key, problem.found) not in known:
            yield str(problem)


def _write(file: Path, before: bytes, after: bytes) -> None:
    """
    Replace the file, if it still is what was read.
    """
    if file.stat().st_nlink > 1:
        raise NoStepError("it has several names (hard links), and would lose them")
    if file.read_bytes() != before:
        raise NoStepError("somebody has changed it meanwhile; nothing was written")
    replace(file, after, like=file)


def _difference(path: str, before: str, after: str) -> Iterator[str]:
    old, new = (list(filter(None, _LINES.findall(one))) for one in (before, after))
    for line in difflib.unified_diff(old, new, path, path):
        yield line.rstrip("\n\r\x85\u2028\u2029")


def _tell(lines: Iterator[str] | tuple[str, ...] | list[str]) -> None:
    for line in lines:
        click.echo(printable(line))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
