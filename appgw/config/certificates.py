"""
Certificates, keys and pins of a configuration: do they fit, are they in date.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from appgw.config.demands import steps_from_root
from appgw.config.model import (
    Certificate,
    Config,
    Pin,
    TrustedClientCertificate,
    TrustedRoot,
)
from appgw.config.presenting import present
from appgw.config.problems import Finding, KeyPath, Places
from appgw.config.stapling import NoStaple, read_staple

_KINDS: Final = (
    ("RSA", rsa.RSAPublicKey),
    ("ECDSA", ec.EllipticCurvePublicKey),
    ("Ed25519", ed25519.Ed25519PublicKey),
    ("Ed448", ed448.Ed448PublicKey),
    ("DSA", dsa.DSAPublicKey),
)


def certificate_findings(
    config: Config, places: Places, now: datetime.datetime
) -> Iterator[Finding]:
    """
    Judge every certificate that the configuration holds.
    """
    for certificate in config.certificates.values():
        if certificate.chain and certificate.key:
            yield from _presented(certificate, places, now)
            yield from _stapled(certificate, now)
    yield from _uses(config)
    for pin in config.pins.values():
        yield from _pin(pin, now)
    for root in config.trusted_roots.values():
        yield from _root(root, now)
    for trusted in config.trusted_client_certificates.values():
        if trusted.certificates:
            yield from _authorities(trusted, now)


def _presented(
    certificate: Certificate, places: Places, now: datetime.datetime
) -> Iterator[Finding]:
    here = ("certificates", certificate.name)
    packed = places.given(*here, "pfx_file")
    chain_key = (*here, "pfx_file" if packed else "certificate_file")
    chain = x509.load_pem_x509_certificates(certificate.chain)
    yield from _dates(chain_key, chain, now)
    key = load_pem_private_key(certificate.key, None)
    spki = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    owners = [index for index, one in enumerate(chain) if _spki(one) == spki]
    if owners[:1] != [0]:
        belongs = f"that of certificate {owners[0] + 1}" if owners else "another key"
        found = f"{belongs} in the file"
        if not owners:
            found = "a key that belongs to none of the certificates"
        key_key = chain_key if packed else (*here, "key_file")
        yield Finding(key_key, found, "the key of the first certificate, the leaf")
    elif (said := _refusal(certificate)) is not None:
        yield Finding(chain_key, f"what OpenSSL refuses: {said}", "one it serves")


def key_kind(certificate: Certificate) -> str | None:
    """
    Name the kind of a certificate's key; None for one that could not be read.
    """
    if not certificate.chain:
        return None
    leaf = x509.load_pem_x509_certificates(certificate.chain)[0]
    try:
        key = leaf.public_key()
    except Exception:
        return None
    return next((name for name, kind in _KINDS if isinstance(key, kind)), None)


def _stapled(certificate: Certificate, now: datetime.datetime) -> Iterator[Finding]:
    chain = x509.load_pem_x509_certificates(certificate.chain)
    here = ("certificates", certificate.name, "ocsp_response_file")
    if certificate.ocsp_response is None:
        if _must_staple(chain[0]):
            found = "none, where the certificate says that there must be one"
            yield Finding(here, found, "an OCSP response to staple", "warning")
        return
    try:
        staple = read_staple(certificate.ocsp_response, chain)
    except NoStaple as error:
        yield Finding(here, str(error), "a response about this certificate")
        return
    if not staple.good:
        found = "a response that doesn't call the certificate good; it isn't stapled"
    elif staple.fresh(now):
        return
    elif now < staple.since:
        found = f"a response that isn't valid before {staple.since:%Y-%m-%d %H:%M} UTC"
    else:
        found = f"a response that expired on {staple.until:%Y-%m-%d %H:%M} UTC"
    yield Finding(here, found, "one that is valid now", "warning")


def _must_staple(leaf: x509.Certificate) -> bool:
    try:
        found = leaf.extensions.get_extension_for_class(x509.TLSFeature)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return x509.TLSFeatureType.status_request in found.value


def _uses(config: Config) -> Iterator[Finding]:
    """
    Judge certificates where they are used.
    """
    for name, listener in config.listeners.items():
        kinds: dict[str | None, int] = {}
        for index, one in enumerate(listener.certificates):
            kind = (
                key_kind(config.certificates[one])
                if one in config.certificates
                else None
            )
            first = kinds.setdefault(kind, index)
            if first != index and kind is not None:
                key: KeyPath = ("listeners", name, "certificates", index)
                found = f"a certificate with {kind} key, as [{first}] has"
                yield Finding(key, found, "one for each kind of key")
    for name, settings in config.backend_settings.items():
        shown = config.certificates.get(settings.client_certificate or "")
        if shown is not None and shown.chain and not _is_for_clients(shown):
            key = ("backend_settings", name, "client_certificate")
            found = "a certificate whose extended key usage has no clientAuth"
            yield Finding(key, found, "one that is for clients", "warning")


def _is_for_clients(certificate: Certificate) -> bool:
    leaf = x509.load_pem_x509_certificates(certificate.chain)[0]
    try:
        found = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except (x509.ExtensionNotFound, ValueError):
        return True
    fitting = {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }
    return not fitting.isdisjoint(found.value)


def _authorities(
    trusted: TrustedClientCertificate, now: datetime.datetime
) -> Iterator[Finding]:
    """
    Judge a file as Azure does when it is uploaded.
    """
    here = ("trusted_client_certificates", trusted.name, "certificate_file")
    expected = "CA certificates only: one root and its intermediates"
    found = [x509.load_der_x509_certificate(der) for der in trusted.certificates]
    roots = sum(one.subject == one.issuer for one in found)
    if roots != 1:
        yield Finding(here, f"{roots or 'no'} self-issued certificates", expected)
    for one in found:
        if not _is_ca(one):
            said = f"a certificate that is no CA's ({_subject(one)})"
            yield Finding(here, said, expected)
        elif roots == 1 and steps_from_root(one, found) is None:
            said = f"a certificate without a way to the root ({_subject(one)})"
            yield Finding(here, said, "the intermediates between", "warning")
    yield from _dates(here, found, now)


def _refusal(certificate: Certificate) -> str | None:
    """
    Ask OpenSSL, which has the last word on sizes and algorithms.
    """
    try:
        present(SSL.Context(SSL.TLS_METHOD), certificate)
    except (SSL.Error, crypto.Error, TypeError) as error:
        reasons = error.args[0] if error.args else ()
        return str(reasons[0][-1] if reasons and reasons[0] else error)
    return None


def _pin(pin: Pin, now: datetime.datetime) -> Iterator[Finding]:
    if pin.state == "revoked":
        return
    here: KeyPath = ("pins", pin.name)
    today = now.astimezone(datetime.UTC).date()
    if pin.not_after is not None and pin.not_after < today:
        found = f"{pin.not_after}, which has passed: the pin admits nothing"
        yield Finding((*here, "not_after"), found, "a day to come", "warning")
    if pin.certificate is None:
        return
    here = (*here, "certificate_file")
    certificate = x509.load_der_x509_certificate(pin.certificate)
    if not pin.allow_expired:
        yield from _dates(here, [certificate], now)
    if _is_ca(certificate):
        found = f"the certificate of a CA ({_subject(certificate)})"
        expected = "the leaf itself, as a backend hardly presents a CA for its own"
        yield Finding(here, found, expected, "warning")


def _root(root: TrustedRoot, now: datetime.datetime) -> Iterator[Finding]:
    here = ("trusted_roots", root.name, "certificate_file")
    certificates = [x509.load_der_x509_certificate(der) for der in root.certificates]
    yield from _dates(here, certificates, now)
    for certificate in certificates:
        if not _is_ca(certificate):
            found = f"a certificate that is no CA's ({_subject(certificate)})"
            yield Finding(here, found, "a CA, or a pin for this leaf", "warning")


def _dates(
    path: KeyPath, chain: Sequence[x509.Certificate], now: datetime.datetime
) -> Iterator[Finding]:
    for number, certificate in enumerate(chain, 1):
        which = f"certificate {number} of the file" if number > 1 else "a certificate"
        which += f" ({_subject(certificate)})"
        first = certificate.not_valid_before_utc
        last = certificate.not_valid_after_utc
        if now > last:
            found = f"{which} that expired on {last:%Y-%m-%d}"
        elif now < first:
            found = f"{which} that isn't valid before {first:%Y-%m-%d}"
        else:
            continue
        yield Finding(path, found, "one that is valid now", "warning")


def _spki(certificate: x509.Certificate) -> bytes | None:
    try:
        key = certificate.public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:
        # A kind of key that cryptography doesn't know is nobody's match.
        return None


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.value.ca


def _subject(certificate: x509.Certificate) -> str:
    """
    Write the subject on one line: whoever made the file chose it.
    """
    try:
        name = certificate.subject.rfc4514_string()
    except ValueError:
        name = ""
    shown = name if name.isprintable() else ascii(name)
    return shown[:80] or "no subject"
