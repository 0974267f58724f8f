"""
What a backend has shown of itself: its leaf certificate, read once.

The bytes come from somebody who may be hostile: nothing here raises because of
them, and what is meant for people is made printable.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from typing import Literal

import attrs
from cryptography import x509
from service_identity import VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)

_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_TOLD = 200


@attrs.frozen(kw_only=True)
class Presented:
    """
    The leaf certificate that a backend has shown; nothing else of its chain.

    Subject and issuer are for people: made printable, and cut.

    Attributes:
        der: the whole certificate.
        sha256: of the DER, 32 raw bytes.
        spki_sha256: of the SubjectPublicKeyInfo's DER (RFC 5280, 4.1.2.7).
        subject, issuer: as RFC 4514 writes names.
        not_before, not_after: both within the validity (RFC 5280, 4.1.2.5).
        is_ca: basicConstraints say so.
        readable: False: the bytes are no certificate that we understand, and
            only ``der`` and ``sha256`` mean anything.
    """

    der: bytes = attrs.field(repr=False)
    sha256: bytes
    spki_sha256: bytes = b""
    subject: str = ""
    issuer: str = ""
    not_before: datetime.datetime = _EPOCH
    not_after: datetime.datetime = _EPOCH
    is_ca: bool = False
    readable: bool = True

    @classmethod
    def from_der(cls, der: bytes) -> Presented:
        """
        Read a certificate. Never raises, whatever the bytes are.
        """
        sha256 = hashlib.sha256(der).digest()
        try:
            certificate = x509.load_der_x509_certificate(der)
            spki = public_key_info(certificate.tbs_certificate_bytes)
            return cls(
                der=der,
                sha256=sha256,
                spki_sha256=hashlib.sha256(spki).digest(),
                subject=_told(certificate, "subject"),
                issuer=_told(certificate, "issuer"),
                not_before=certificate.not_valid_before_utc,
                not_after=certificate.not_valid_after_utc,
                is_ca=_is_ca(certificate),
            )
        except Exception:
            return cls(der=der, sha256=sha256, readable=False)


def name_error(name: str, der: bytes) -> str | None:
    """
    Tell why the certificate is not valid for *name*, None if it is.

    Only the subjectAltName counts (RFC 9525, 6.3); the common name never does.

    Args:
        name: a DNS name, or an IP address, which must be there as such.
        der: the certificate.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        if is_address(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name.removesuffix("."))
    except VerificationError:
        return f"{name} is not among its names"
    except Exception as error:
        return f"{name or 'no name to expect'}: {type(error).__name__}"
    return None


def is_address(name: str) -> bool:
    """
    Tell whether *name* is an IP address, which is never sent as SNI.
    """
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def public_key_info(tbs: bytes) -> bytes:
    """
    Cut the SubjectPublicKeyInfo out of a TBSCertificate (RFC 5280, 4.1).

    Taken as it stands: to load the key and write it anew would lose the
    parameters of some keys, and fails for kinds that are not known here.

    Raises:
        ValueError, IndexError: these bytes are no TBSCertificate.
    """
    tag, at, _ = _element(tbs, 0)
    if tag != 0x30:
        raise ValueError("no sequence")
    tag, _, end = _element(tbs, at)
    if tag == 0xA0:  # the version, left out in certificates of version 1
        at = end
    for _ in range(5):  # serial number, algorithm, issuer, validity, subject
        _, _, at = _element(tbs, at)
    tag, _, end = _element(tbs, at)
    if tag != 0x30 or end > len(tbs):
        raise ValueError("no public key")
    return tbs[at:end]


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """
    Return tag, start and end of the content of the element at *at*.
    """
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[start : start + size], "big")
        start += size
    return tag, start, start + length


def _told(certificate: x509.Certificate, which: Literal["subject", "issuer"]) -> str:
    """
    Write a name for people. One that nobody can read is no reason to refuse.
    """
    try:
        name: x509.Name = getattr(certificate, which)
        return printable(name.rfc4514_string())
    except Exception:
        return "(unreadable)"


def printable(text: str) -> str:
    """
    Escape what a terminal or a log would take as a command, and cut the rest.
    """
    if not text.isprintable():
        text = "".join(
            one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
            for one in text[:_TOLD]
        )
    return text if len(text) <= _TOLD else text[:_TOLD] + "..."


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except Exception:
        return False
    return found.value.ca
