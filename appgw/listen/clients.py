"""
Clients' certificates: OpenSSL's findings, noted instead of acted on.

Every failure is answered with a page, as Azure does, so the handshake goes on
whatever is found; the requests are refused (``appgw.route.decide``).
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib

from appgw.config.demands import ClientDemand
from appgw.message import ClientCertificate

LARGEST: Final = 16384
"""Bytes of a certificate that is read; a larger one has failed."""

DEEPEST: Final = 10
"""CAs between a client and its root, for each of which a signature is verified."""

NOT_SHOWN: Final = ClientCertificate()
_UNPRINTABLE: Final = re.compile("[^ -~]")


class Verification:
    """
    What the verification of one client's certificate comes to.

    Args:
        demand: of the listener that the client asked for.
    """

    __slots__ = ("_demand", "_failed", "_proven")

    def __init__(self, demand: ClientDemand) -> None:
        self._demand = demand
        self._failed: str | None = None
        self._proven = False

    def verify(
        self,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        ok: int,
    ) -> bool:
        """
        OpenSSL's verify callback: note the first error and go on.
        """
        if not ok:
            self._failed = self._failed or _said(error)
        elif not depth:
            self._proven = True
        return True

    def result(self, connection: SSL.Connection) -> ClientCertificate:
        """
        Return what the client has shown, once the handshake is over.
        """
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return NOT_SHOWN
        failed = self._failed
        if failed is None and not self._proven:
            failed = "not verified"
        der = certificate.public_bytes(Encoding.DER)
        return read_client_certificate(der, failed, self._demand.issuers)


def _said(error: int) -> str:
    said: bytes = ffi.string(lib.X509_verify_cert_error_string(error))
    return said.decode("ascii", "replace")


def read_client_certificate(
    der: bytes, failed: str | None, issuers: frozenset[x509.Name] | None
) -> ClientCertificate:
    """
    Read a client's certificate. Never raises, and never takes long, whatever the
    bytes are.

    Args:
        failed: why it does not hold; None if OpenSSL has found nothing.
        issuers: who may have issued it; None: anybody in the chain verified.
    """
    fingerprint = hashlib.sha1(der, usedforsecurity=False).hexdigest()
    if len(der) > LARGEST:
        why = "FAILED:certificate too large"
        return ClientCertificate(verification=why, der=der, fingerprint=fingerprint)
    try:
        certificate = x509.load_der_x509_certificate(der)
        if failed is None and issuers is not None and certificate.issuer not in issuers:
            failed = "issuer DN mismatch"
        return ClientCertificate(
            verification="SUCCESS" if failed is None else f"FAILED:{failed}",
            der=der,
            fingerprint=fingerprint,
            subject=written(certificate.subject),
            issuer=written(certificate.issuer),
            serial=_hex(certificate.serial_number),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    except Exception:
        why = f"FAILED:{failed or 'unreadable certificate'}"
        return ClientCertificate(verification=why, der=der, fingerprint=fingerprint)


def written(name: x509.Name) -> str:
    """
    Write a name as RFC 4514 does, in printable ASCII: a client chose it.
    """
    return _UNPRINTABLE.sub(_escaped, name.rfc4514_string())


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"\\{byte:02X}" for byte in found[0].encode("utf-8"))


def _hex(number: int) -> str:
    digits = f"{abs(number):X}"
    padded = digits.zfill(len(digits) + len(digits) % 2)
    return f"-{padded}" if number < 0 else padded
