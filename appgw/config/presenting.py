"""
A certificate with its chain and key into one of OpenSSL's contexts.

The same for what is checked, for what clients are shown and for what backends are.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from appgw.config.model import Certificate

NO_AUTO_CHAIN: Final = 0x8
"""SSL_MODE_NO_AUTO_CHAIN: send what the file holds, and look for nothing more."""


def present(
    context: SSL.Context, certificate: Certificate, *, alone: bool = True
) -> None:
    """
    Let a context present a certificate.

    Args:
        alone: there is no other one; else there may be one for each kind of key.

    Raises:
        ValueError, TypeError, SSL.Error: there is no chain in it, the key is
            another's, or OpenSSL doesn't take one of them.
    """
    leaf, *chain = x509.load_pem_x509_certificates(certificate.chain)
    if alone:
        context.use_certificate(leaf)
        for issuer in chain:
            context.add_extra_chain_cert(issuer)
    else:
        # The one way that pyOpenSSL has to a chain for each of several.
        _use_chain(context, certificate.chain)
    key = load_pem_private_key(certificate.key, None)
    context.use_privatekey(key)  # type: ignore[arg-type]
    context.check_privatekey()


def _use_chain(context: SSL.Context, chain: bytes) -> None:
    """
    Load a chain through a file that never lies on any disk.
    """
    file = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        os.write(file, chain)
        context.use_certificate_chain_file(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
