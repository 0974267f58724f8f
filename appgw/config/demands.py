"""
What a listener asks of a client's handshake, beyond the certificate shown.

Compared by content: two listeners with equal demands may stand in for each
other, and one whose demands have changed is another listener.
"""

from __future__ import annotations

import attrs
from cryptography import x509

from appgw.config.model import Config, Listener, SslProfile, TrustedClientCertificate
from appgw.config.policies import Policy, resolved


@attrs.frozen(cache_hash=True)
class ClientDemand:
    """
    That clients are asked for a certificate, and what is thought of it.

    Attributes:
        authorities: DER of every CA that may vouch for one, without repetition.
        issuers: who may have issued it at first hand; None: any of those.
        strict: requests without a certificate that holds are refused.
    """

    authorities: tuple[bytes, ...]
    issuers: frozenset[x509.Name] | None
    strict: bool


@attrs.frozen(cache_hash=True)
class Demands:
    """
    All that a listener asks of a handshake.

    Attributes:
        client: None: no certificate is asked for.
    """

    policy: Policy
    client: ClientDemand | None = None


def demands_on(config: Config, listener: Listener) -> Demands:
    """
    Work out what an https listener asks of a handshake.

    Raises:
        KeyError: a name that the configuration does not have.
    """
    if listener.ssl_profile is None:
        return Demands(resolved(config.ssl_policy))
    profile = config.ssl_profiles[listener.ssl_profile]
    policy = resolved(profile.ssl_policy or config.ssl_policy)
    return Demands(policy, _client(config, profile))


def _client(config: Config, profile: SslProfile) -> ClientDemand | None:
    if not asks_clients(profile):
        return None
    how = profile.client_auth_configuration
    trusted = [
        config.trusted_client_certificates[name]
        for name in profile.trusted_client_certificates
    ]
    authorities = dict.fromkeys(der for one in trusted for der in one.certificates)
    issuers = None
    if how.verify_client_cert_issuer_dn:
        issuers = frozenset(issuer_of(one) for one in trusted)
    strict = how.verify_client_auth_mode != "Passthrough"
    return ClientDemand(tuple(authorities), issuers, strict)


def asks_clients(profile: SslProfile) -> bool:
    """
    Tell whether a profile asks clients for certificates.
    """
    return bool(
        profile.trusted_client_certificates
        or profile.client_auth_configuration.verify_client_auth_mode
    )


def issuer_of(trusted: TrustedClientCertificate) -> x509.Name:
    """
    Return the name that a client's issuer must have: that of the last CA of the
    longest way down from the root, of two equal ones the first.
    """
    certificates = [x509.load_der_x509_certificate(der) for der in trusted.certificates]
    steps = [steps_from_root(one, certificates) or 0 for one in certificates]
    return certificates[steps.index(max(steps))].subject


def steps_from_root(
    certificate: x509.Certificate, among: list[x509.Certificate]
) -> int | None:
    """
    Count the CAs on the way from a self-issued one; None where there is no way.
    """
    steps = 0
    while certificate.issuer != certificate.subject:
        steps += 1
        above = [one for one in among if one.subject == certificate.issuer]
        if not above or steps > len(among):
            return None
        certificate = above[0]
    return steps
