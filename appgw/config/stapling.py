"""
OCSP responses to be stapled (RFC 6066, 8): whose they are, and how long they hold.

The signature is for clients to verify; we look for what an operator may have
mixed up or forgotten.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Sequence

import attrs
from cryptography import x509
from cryptography.x509 import ocsp


class NoStaple(ValueError):  # noqa: N818 - says what it is not
    """
    A response that is not about this certificate, or says nothing about it.
    """


@attrs.frozen
class Staple:
    """
    What a response says about one certificate.

    Attributes:
        good: that it is not revoked, and known.
        since, until: when that holds; None: until there is something newer.
    """

    good: bool
    since: datetime.datetime
    until: datetime.datetime | None

    def fresh(self, now: datetime.datetime) -> bool:
        """
        Tell whether it may be shown to clients.
        """
        return (
            self.good
            and self.since <= now
            and (self.until is None or now <= self.until)
        )


def read_staple(response: bytes, chain: Sequence[x509.Certificate]) -> Staple:
    """
    Find what a response (DER) says about a leaf.

    Args:
        chain: leaf first; with its issuer there, the issuer's key is compared, too.

    Raises:
        NoStaple: nothing.
    """
    try:
        said = list(_said_about(chain, response))
    except Exception as error:
        raise NoStaple("an OCSP response that can't be read") from error
    if not said:
        raise NoStaple("an OCSP response about another certificate, or none")
    return said[0]


def _said_about(chain: Sequence[x509.Certificate], response: bytes) -> Iterator[Staple]:
    whole = ocsp.load_der_ocsp_response(response)
    if whole.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
        for single in whole.responses:
            if _is_about(single, chain):
                good = single.certificate_status is ocsp.OCSPCertStatus.GOOD
                yield Staple(good, single.this_update_utc, single.next_update_utc)


def _is_about(
    single: ocsp.OCSPSingleResponse, chain: Sequence[x509.Certificate]
) -> bool:
    leaf = chain[0]
    if single.serial_number != leaf.serial_number:
        return False
    above = [one for one in chain[1:] if one.subject == leaf.issuer]
    if above:
        asked = ocsp.OCSPRequestBuilder().add_certificate(
            leaf, above[0], single.hash_algorithm
        )
        wanted = asked.build()
        return (single.issuer_name_hash, single.issuer_key_hash) == (
            wanted.issuer_name_hash,
            wanted.issuer_key_hash,
        )
    name = leaf.issuer.public_bytes()
    digest = hashlib.new(single.hash_algorithm.name, name, usedforsecurity=False)
    return single.issuer_name_hash == digest.digest()
