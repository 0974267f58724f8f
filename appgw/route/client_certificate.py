"""
Azure's server variables about a client's certificate, for rewrites.

Each value fits into a field line: printable ASCII, whatever the client has shown.
"""

from __future__ import annotations

import datetime
import ssl
from typing import Final
from urllib.parse import quote

from appgw.message import Arrival, ClientCertificate

_NOT_ASKED: Final = ClientCertificate()
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def client_certificate_variables(arrival: Arrival) -> dict[str, bytes]:
    """
    Return the eight variables by name, without ``var_``.

    All are empty for a client that has shown nothing, but for the verification,
    which is ``NONE``. The certificate is PEM with its line ends and a few other
    characters percent-encoded, as NGINX's ``$ssl_client_escaped_cert``: a field
    has one line. Dates and serial number are written as NGINX does.
    """
    shown = arrival.client_certificate or _NOT_ASKED
    texts = {
        "client_certificate": _escaped_pem(shown.der),
        "client_certificate_end_date": _date(shown.not_after),
        "client_certificate_fingerprint": shown.fingerprint,
        "client_certificate_issuer": shown.issuer,
        "client_certificate_serial": shown.serial,
        "client_certificate_start_date": _date(shown.not_before),
        "client_certificate_subject": shown.subject,
        "client_certificate_verification": shown.verification,
    }
    return {name: text.encode("ascii") for name, text in texts.items()}


def _escaped_pem(der: bytes) -> str:
    return quote(ssl.DER_cert_to_PEM_cert(der), safe="") if der else ""


def _date(moment: datetime.datetime | None) -> str:
    if moment is None:
        return ""
    # strftime would ask the locale for the month.
    month = _MONTHS[3 * moment.month - 3 : 3 * moment.month]
    return f"{month} {moment.day:2} {moment:%H:%M:%S} {moment.year} GMT"
