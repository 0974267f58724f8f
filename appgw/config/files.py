"""
The files that a configuration names: certificates, keys, pins, secrets, pages.

Files are opened here and nowhere else; the model holds their bytes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import ocsp

from appgw.config.problems import quoted
from appgw.config.scalars import UnfitError

LARGEST = 1 << 20
"""The most bytes that a file named by a configuration may have."""

SHORTEST_SECRET = 16

_PEM_MARK = b"-----BEGIN "
_KEY_MARK = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_CERTIFICATE = "a certificate, PEM or DER"
_PEM_CHAIN = "certificates in PEM, leaf first"
_PEM_KEY = "an unencrypted private key in PEM"


@attrs.frozen
class Opened:
    """
    A file's content.

    Attributes:
        public: every user of the machine may read it.
    """

    data: bytes = attrs.field(repr=False)
    public: bool


def load(path: Path) -> Opened:
    """
    Read a regular file whole.

    Raises:
        UnfitError: it can't be read, is no file, or is larger than ``LARGEST``.
    """
    name = quoted(str(path), 300)
    try:
        # Without O_NONBLOCK, a pipe that nobody writes to would hold us here.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise UnfitError("a file", found=f"{name}, which is no file")
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UnfitError):
            raise
        said = getattr(error, "strerror", None) or "no path"
        raise UnfitError("a readable file", found=f"{name} ({said})") from None
    if len(data) > LARGEST:
        expected = f"a file of at most {LARGEST >> 20}MiB"
        raise UnfitError(expected, found=f"{name}, which is larger")
    return Opened(data, bool(mode & stat.S_IROTH))


def chain(data: bytes) -> bytes:
    """
    Take the certificates out of a PEM file, leaf first.
    """
    found = _certificates(data) if _PEM_MARK in data else []
    if not found:
        raise UnfitError(_PEM_CHAIN, found="a file without any")
    return b"".join(one.public_bytes(Encoding.PEM) for one in found)


def private_key(data: bytes) -> bytes:
    """
    Take the private key out of a PEM file.
    """
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise UnfitError(_PEM_KEY, found="an encrypted private key") from None
    except Exception:
        raise UnfitError(_PEM_KEY, found=_other_than_key(data)) from None
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _other_than_key(data: bytes) -> str:
    for name, read in (
        ("a private key in DER", lambda: load_der_private_key(data, None)),
        ("a certificate", lambda: _certificates(data)[0]),
    ):
        try:
            read()
        except Exception:  # noqa: S112 (it isn't that, then)
            continue
        return name
    return "a file without one"


def pinned_leaf(data: bytes) -> bytes:
    """
    Take the one certificate (its DER) out of a PEM or DER file.

    A file with more is refused: which of them is the leaf would be a guess,
    and to pin a CA by mistake admits nobody.
    """
    found = _certificates(data)
    if len(found) != 1:
        said = f"{len(found)} certificates" if found else "a file without one"
        raise UnfitError("exactly one certificate: the backend's leaf", found=said)
    return found[0].public_bytes(Encoding.DER)


def roots(data: bytes) -> tuple[bytes, ...]:
    """
    Take the certificates (their DER) out of a PEM bundle or a DER file.
    """
    found = _certificates(data)
    if not found:
        raise UnfitError(_CERTIFICATE, found="a file without one")
    return tuple(one.public_bytes(Encoding.DER) for one in found)


def authorities(data: bytes) -> tuple[bytes, ...]:
    """
    Take the certificates (their DER) of CAs that may vouch for clients.
    """
    if _KEY_MARK.search(data):
        raise UnfitError("certificates of CAs", found="a private key among them")
    return roots(data)


def ocsp_response(data: bytes) -> bytes:
    """
    Take an OCSP response in DER; what it says is judged with its certificate.
    """
    try:
        ocsp.load_der_ocsp_response(data)
    except Exception:
        raise UnfitError("an OCSP response, DER", found="a file without one") from None
    return data


def password(data: bytes) -> bytes:
    """
    Take a password out of a file: its first line.
    """
    first = data.splitlines()[0] if data else b""
    if not first:
        raise UnfitError("a password on the first line", found="an empty line")
    return first


def secret(data: bytes) -> bytes:
    """
    Take a file's bytes as a key for affinity cookies.
    """
    if len(data) < SHORTEST_SECRET:
        expected = f"at least {SHORTEST_SECRET} random bytes"
        raise UnfitError(expected, found=f"a file of {len(data)} bytes")
    return data


def page(data: bytes) -> bytes:
    """
    Take a file's bytes as an error page.
    """
    if not data:
        raise UnfitError("a page", found="an empty file")
    if len(data) >= LARGEST:
        expected = f"a page of less than {LARGEST >> 20}MiB"
        raise UnfitError(expected, found=f"a file of {len(data)} bytes")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"the byte 0x{data[error.start]:02x} at {error.start}"
        raise UnfitError("a page in UTF-8", found=found) from None
    return data


def unpacked(pfx: bytes, password: bytes | None) -> tuple[bytes, bytes]:
    """
    Take the chain (PEM, leaf first) and the key (PEM) out of a PFX file.

    Certificates that don't belong to the leaf's chain, and the root that ends
    it, are left out: a client has no use for them.
    """
    try:
        store = pkcs12.load_pkcs12(pfx, password)
    except Exception:
        given = "with this password" if password else "without a password"
        raise UnfitError(
            "a PFX (PKCS #12) file and its password_file",
            found=f"a file that doesn't open {given}",
        ) from None
    if store.cert is None or store.key is None:
        raise UnfitError(
            "a PFX file with certificate and key", found="no such pair in the file"
        )
    leaf = _sound(store.cert.certificate)
    others = [_sound(extra.certificate) for extra in store.additional_certs]
    certificates = [leaf, *_issuers(leaf, others)]
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
    return pem, store.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _issuers(
    leaf: x509.Certificate, others: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    ordered: list[x509.Certificate] = []
    last = leaf
    while len(ordered) < len(others):
        above = [one for one in others if one.subject == last.issuer]
        if not above or above[0].subject == above[0].issuer:
            break
        last = above[0]
        ordered.append(last)
    return ordered


def _certificates(data: bytes) -> list[x509.Certificate]:
    try:
        if _PEM_MARK not in data:
            return [_sound(x509.load_der_x509_certificate(data))]
        found = x509.load_pem_x509_certificates(data)
    except UnfitError:
        raise
    except Exception:
        found = []
    return [_sound(one) for one in found]


def _sound(certificate: x509.Certificate) -> x509.Certificate:
    """
    Touch what will be judged later: cryptography parses these parts lazily.
    """
    try:
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _ = certificate.subject, certificate.issuer
    except Exception as error:
        said = f"a malformed certificate ({type(error).__name__})"
        raise UnfitError(_CERTIFICATE, found=said) from None
    return certificate
