"""
``appgw pins``: what a backend presents, and the lines that pin it.
"""

from __future__ import annotations

import base64
import datetime
import re
import select
import socket
import sys
import textwrap
import time

import attrs
import click
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from appgw.backend.presented import Presented, is_address, printable

CONNECT_TIMEOUT = 5.0
HANDSHAKE_TIMEOUT = 10.0

_NAMES = 20
_PLAIN = ("wrong version number", "packet length too long", "http request")


class LookError(Exception):
    """
    Why nothing can be shown: one line, meant for a person.
    """


@attrs.frozen
class Sight:
    """
    What was seen of a backend. None of it was verified.

    Attributes:
        presented: the leaf.
        others: how many certificates came after it.
        version: of TLS, ``TLSv1.3``.
    """

    presented: Presented
    others: int
    version: str


@click.group()
def pins() -> None:
    """
    Look at backends' certificates, to pin them.
    """


@pins.command()
@click.argument("where", metavar="HOST:PORT")
@click.option(
    "--sni",
    metavar="NAME",
    help="The server name to ask for. By default HOST, and none for an address.",
)
def fetch(where: str, sni: str | None) -> None:
    """
    Show the certificate that a backend presents.

    Prints the lines that pin it, to be pasted into a configuration. Nothing
    is verified: compare the digests with what the backend's owner says.
    """
    try:
        host, port = read_place(where)
        name = server_name(host, sni)
        sight = look(host, port, name)
        lines = tell(where, name, sight, datetime.datetime.now(datetime.UTC))
    except LookError as error:
        raise click.ClickException(printable(f"{where}: {error}")) from error
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        # A subject may have letters that this terminal has not.
        click.echo(line.encode(encoding, "backslashreplace").decode(encoding))


def read_place(where: str) -> tuple[str, int]:
    """
    Split ``HOST:PORT``, with an IPv6 address in brackets.

    Raises:
        LookError: it is something else.
    """
    found = re.fullmatch(r"(?:\[([^][\s]+)\]|([^][:\s/@]+)):([0-9]{1,5})", where)
    if found is None or not 1 <= int(found[3]) <= 65535:
        raise LookError("expected HOST:PORT, as in 10.0.0.7:443 or [2001:db8::7]:443")
    if found[1] is not None and not (is_address(found[1]) and ":" in found[1]):
        raise LookError("expected an IPv6 address in the brackets")
    return found[1] or found[2], int(found[3])


def server_name(host: str, sni: str | None) -> str | None:
    """
    Choose the SNI: the one asked for, else the host, none for an address.

    Raises:
        LookError: what was asked for is no DNS name (RFC 6066, 3).
    """
    name = (host if sni is None else sni).removesuffix(".")
    if sni is None and is_address(host):
        return None
    if is_address(name) or not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name):
        raise LookError("the server name must be a DNS name in ASCII")
    return name


def look(
    host: str,
    port: int,
    name: str | None,
    connect_timeout: float = CONNECT_TIMEOUT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
) -> Sight:
    """
    Shake hands with whoever is there, and see what it presents.

    Args:
        host: a DNS name or an address without brackets.
        port: 1 to 65535.
        name: the SNI, None for none.
        connect_timeout: seconds for each address of the host.
        handshake_timeout: seconds, from the connection on.

    Raises:
        LookError: there was nothing to see.
    """
    try:
        plain = socket.create_connection((host, port), connect_timeout)
    except socket.gaierror as error:
        raise LookError(
            f"no address is known for the host: {error.strerror}"
        ) from error
    except TimeoutError as error:
        raise LookError(f"no connection within {connect_timeout:g} s") from error
    except ValueError as error:
        raise LookError("this is no host name") from error
    except OSError as error:
        raise LookError(error.strerror or str(error)) from error
    with plain:
        plain.setblocking(False)
        connection = SSL.Connection(_context(), plain)
        connection.set_connect_state()
        if name is not None:
            connection.set_tlsext_host_name(name.encode("ascii"))
        _shake(connection, plain, handshake_timeout)
        return _seen(connection)


def tell(
    where: str, name: str | None, sight: Sight, now: datetime.datetime
) -> list[str]:
    """
    Write down what was seen, and the lines to paste.

    Raises:
        LookError: the certificate cannot be read.
    """
    leaf = sight.presented
    if not leaf.readable:
        raise LookError(f"its certificate cannot be read (SHA-256 {leaf.sha256.hex()})")
    asked = f"server name {name}" if name else "no server name"
    spki = _base64(leaf.spki_sha256)
    lines = [
        f"{where} presented this certificate ({sight.version}, {asked}).",
        "It was NOT verified: compare it with what the backend's owner tells you.",
        "",
        *facts(leaf, now),
        f"  sent with it  {_others(sight.others)}",
        "",
        "To pin it, take one of these lines:",
        "",
        *_lines(name or read_place(where)[0], leaf.sha256.hex(), spki),
    ]
    certificate = x509.load_der_x509_certificate(leaf.der)
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    return [*lines, "", *pem.splitlines()]


def facts(leaf: Presented, now: datetime.datetime) -> list[str]:
    """
    Write down what a certificate is, one fact a line; it must be readable.
    """
    certificate = x509.load_der_x509_certificate(leaf.der)
    return [
        f"  subject       {leaf.subject or '(empty)'}",
        f"  issuer        {leaf.issuer or '(empty)'}",
        f"  names         {_names(certificate)}",
        f"  valid from    {leaf.not_before:%Y-%m-%d %H:%M:%S} UTC",
        f"  valid until   {leaf.not_after:%Y-%m-%d %H:%M:%S} UTC{_dated(leaf, now)}",
        f"  CA            {'yes' if leaf.is_ca else 'no'}",
        f"  SHA-256       {leaf.sha256.hex()}",
        f"  SPKI SHA-256  {_base64(leaf.spki_sha256)}",
    ]


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _lines(host: str, sha256: str, spki: str) -> list[str]:
    pin = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:64] or "backend"
    return [
        "pins:",
        f'  {pin}: {{sha256: "{sha256}"}}  # this certificate',
        f'  {pin}-key: {{spki_sha256: "{spki}"}}  # any with this key',
        f"  {pin}-file: {{certificate_file: pins/{pin}.pem}}  # this one, from a file:",
    ]


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_alpn_protos([b"http/1.1"])
    return context


def _shake(connection: SSL.Connection, plain: socket.socket, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    waiting = select.poll()
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            waiting.register(plain, select.POLLIN)
        except SSL.WantWriteError:
            waiting.register(plain, select.POLLOUT)
        except (SSL.SysCallError, SSL.ZeroReturnError) as error:
            raise LookError("the connection was closed in the TLS handshake") from error
        except SSL.Error as error:
            raise LookError(_reason(error)) from error
        else:
            return
        left = deadline - time.monotonic()
        if left <= 0 or not waiting.poll(left * 1000):
            raise LookError(f"no TLS handshake within {timeout:g} s")


def _reason(error: SSL.Error) -> str:
    queue = error.args[0] if error.args else []
    reasons = [reason for _, _, reason in queue if reason]
    if any(reason in _PLAIN for reason in reasons):
        return "this is not TLS"
    if any(reason.startswith("unexpected eof") for reason in reasons) or not reasons:
        return "the connection was closed in the TLS handshake"
    return f"the TLS handshake failed: {reasons[-1]}"


def _seen(connection: SSL.Connection) -> Sight:
    certificate = connection.get_peer_certificate()
    if certificate is None:
        raise LookError("no certificate was presented")
    der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    others = len(connection.get_peer_cert_chain() or (certificate,)) - 1
    version = connection.get_protocol_version_name()
    return Sight(Presented.from_der(der), others, version)


def _names(certificate: x509.Certificate) -> str:
    """
    Write the subjectAltName for a person, on one line and not too long.
    """
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        names = [_name(one) for one in found.value]
    except x509.ExtensionNotFound:
        return "(none)"
    except Exception:
        return "(unreadable)"
    if len(names) > _NAMES:
        names[_NAMES:] = [f"and {len(names) - _NAMES} more"]
    return textwrap.fill(
        ", ".join(names),
        72,
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _name(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DNSName | x509.IPAddress):
        return printable(str(name.value))
    kind = type(name).__name__.removesuffix("Name")
    return printable(f"{kind} {name.value}")


def _dated(leaf: Presented, now: datetime.datetime) -> str:
    if now > leaf.not_after:
        return " (EXPIRED: refused, unless its pin says allow_expired)"
    if now < leaf.not_before:
        return " (NOT YET VALID: refused, unless its pin says allow_expired)"
    return ""


def _others(count: int) -> str:
    if not count:
        return "no other certificate"
    plural = "certificate that pins do" if count == 1 else "certificates that pins do"
    return f"{count} more {plural} not look at"
