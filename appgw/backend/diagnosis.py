"""
What came of a probe, in Azure's own sentences.

Whoever has looked one up in Azure's documentation finds it here again; what we
know beyond it follows in the same line. For the operator's eyes only.
"""

from __future__ import annotations

import errno
from typing import Final

from appgw.backend.presented import printable
from appgw.backend.question import Question
from appgw.backend.target import Target
from appgw.backend.verdict import Reason, Verdict

OUR_OWN: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL),
)
"""What keeps us from connecting to anybody: no member's fault."""

NOT_PROBED_YET: Final = (
    "The backend health status could not be retrieved. It has not been probed yet."
)
NOT_PROBED: Final = (
    "The backend health status could not be retrieved. Its setting says"
    " probe_enabled: false."
)
NO_ADDRESS: Final = (
    "Application Gateway could not create a probe for this backend. This usually"
    " happens when the FQDN of the backend has not been entered correctly."
)
TOO_SLOW: Final = (
    "Time taken by the backend to respond to application gateway's health probe is"
    " more than the timeout threshold in the probe setting."
)
_NO_CONNECTION: Final = (
    "Application Gateway could not connect to the backend. Check that the backend"
    " responds on the port used for the probe. Also check whether any"
    " NSG/UDR/Firewall is blocking access to the Ip and port of this backend."
)
_NOT_LISTED: Final = (
    "Backend server certificate is not whitelisted with Application Gateway."
)
_DATES: Final = (
    'Backend certificate is invalid. Current date is not within the "Valid from"'
    ' and "Valid to" date range on the certificate.'
)
_NAME: Final = (
    "The Common Name of the leaf certificate presented by the backend server does"
    " not match the Probe or Backend Setting hostname of the application gateway."
)
_NO_LEAF: Final = (
    "The Leaf certificate is missing from the certificate chain presented by the"
    " backend server. Ensure the chain is complete and correctly ordered on the"
    " backend server."
)
_ORDERED: Final = (
    " Ensure the certificate chain is complete and correctly ordered on the backend"
    " server."
)
_NO_INTERMEDIATE: Final = (
    "The Intermediate certificate is missing from the certificate chain presented"
    " by the backend server." + _ORDERED
)
_ROOT: Final = (
    "The root certificate of the server certificate used by the backend doesn't"
    " match the trusted root certificate added to the application gateway. Ensure"
    " that you add the correct root certificate to allowlist the backend."
)
_UNKNOWN_ROOT: Final = (
    "The backend Server certificate is not signed by a well-known Certificate"
    " Authority (CA). To use unknown CA certificates, its Root certificate must be"
    " uploaded to the Backend Setting of the application gateway."
)
_UNSIGNED: Final = (
    "The Intermediate certificate not signed by any Root certificates uploaded to"
    " the application gateway." + _ORDERED
)
_UNKNOWN_INTERMEDIATE: Final = (
    "The Intermediate certificate is not signed by a well-known Certificate"
    " Authority (CA)." + _ORDERED
)
_UNVERIFIED: Final = "The validity of the backend certificate could not be verified."

_REASONS: Final[dict[Reason, str]] = {
    "no-certificate": _NO_LEAF,
    "no-trust": _NOT_LISTED,
    "revoked": _NOT_LISTED,
    "not-pinned": _NOT_LISTED,
    "pin-expired": _NOT_LISTED,
    "pin-not-yet-valid": _NOT_LISTED,
    "expired": _DATES,
    "not-yet-valid": _DATES,
    "name": _NAME,
}

# OpenSSL's X509_V_ERR_*.
_OUT_OF_DATE: Final = (9, 10)
_SELF_SIGNED_LEAF: Final = 18
_SELF_SIGNED_ROOT: Final = 19
_NO_ISSUER: Final = (2, 20, 21)


def success(status: int) -> str:
    """
    Say that an answer was good.
    """
    return f"Success. Received {status} status code"


def overlooked(told: str, verdict: Verdict | None, target: Target) -> str:
    """
    Add to what is *told* what pins that only detect would have refused.
    """
    if verdict is None or verdict.overlooked is None:
        return told
    return f"{told}. {verdict.explain(target)}"


def no_connection(why: str) -> str:
    """
    Say that no connection came about, TLS included, or that it ended unused.
    """
    return f"{_NO_CONNECTION} ({printable(why)})"


def bad_answer(why: str) -> str:
    """
    Say that what came was no whole answer; Azure has no sentence for it.
    """
    said = "The backend's answer to the health probe could not be read"
    return f"{said}: {printable(why)}"


def wrong_status(question: Question, status: int) -> str:
    """
    Say that an answer has another status than wanted.
    """
    wanted = ",".join(
        str(first) if first == last else f"{first}-{last}"
        for first, last in question.status_codes
    )
    return (
        "Status code of the backend's HTTP response did not match the probe setting."
        f" Expected:{wanted} Received:{status}."
    )


def wrong_body(question: Question, looked_at: int | None) -> str:
    """
    Say that an answer's body lacks what it must have.

    Args:
        looked_at: so many bytes of a longer body; None: all of it.
    """
    wanted = printable((question.body or b"").decode())
    said = (
        "Body of the backend's HTTP response did not match the probe setting."
        f" Received response body doesn't contain {wanted}."
    )
    if looked_at is not None:
        said += f" (Only its first {looked_at} bytes are looked at.)"
    return said


def refused(verdict: Verdict, target: Target) -> str:
    """
    Say that the certificate is not allowed: what was presented, and what is.
    """
    if verdict.reason == "chain":
        sentence = _chain(verdict, target)
    else:
        sentence = _REASONS.get(verdict.reason, _UNVERIFIED)
    return f"{sentence} {verdict.explain(target)}"


def _chain(verdict: Verdict, target: Target) -> str:
    """
    Say, as Azure does, at which of its links a chain broke.
    """
    code, depth = verdict.openssl
    own_roots = target.roots or ()
    if code in _OUT_OF_DATE:
        return _DATES
    if code == _SELF_SIGNED_LEAF and verdict.presented is not None:
        if verdict.presented.der in own_roots:
            # No CA, so it vouches for nobody, not even for itself.
            return _NO_INTERMEDIATE
        return _ROOT if own_roots else _UNKNOWN_ROOT
    if code == _SELF_SIGNED_ROOT:
        return _ROOT if own_roots else _UNKNOWN_ROOT
    if code in _NO_ISSUER and depth == 0:
        return _NO_INTERMEDIATE
    if code in _NO_ISSUER:
        return _UNSIGNED if own_roots else _UNKNOWN_INTERMEDIATE
    if not code:
        return _UNVERIFIED
    return (
        f"{_UNVERIFIED} To find out the reason, check OpenSSL diagnostics for the"
        f" message associated with error code {code}"
    )
