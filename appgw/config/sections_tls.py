"""
The sections about what is asked of clients' TLS: policies, profiles, their CAs.
"""

from __future__ import annotations

import difflib
from typing import Any, Final

from appgw.config import files, model, scalars
from appgw.config.policies import PREDEFINED, SUITES, VERSIONS
from appgw.config.problems import KeyPath, quoted
from appgw.config.scalars import UnfitError
from appgw.config.shapes import Key, Reader, file, group, listing, section, text
from appgw.config.vocabulary import FLAG, NAMES, name_of, named, plain

_IANA: Final = {suite.openssl: name for name, suite in SUITES.items()}


def _suite(text: str) -> str:
    """
    Read the name of a cipher suite.
    """
    if text in SUITES:
        return text
    lowered = {name.lower(): name for name in (*SUITES, *_IANA)}
    near = difflib.get_close_matches(text.lower()[:64], lowered, 1, 0.0)
    name = lowered[near[0]]
    expected = f"a cipher suite that Azure knows, such as {_IANA.get(name, name)}"
    if text.startswith(("TLS_AES_", "TLS_CHACHA20_")):
        expected = "suites of TLS 1.2, as those of TLS 1.3 go without saying"
    raise UnfitError(expected, found=quoted(text))


_VERSION: Final = text(scalars.one_of(*VERSIONS))
_POLICY: Final = {
    "policy_type": Key(text(scalars.one_of("Predefined", "Custom", "CustomV2"))),
    "policy_name": Key(text(scalars.one_of(*PREDEFINED))),
    "min_protocol_version": Key(_VERSION),
    "cipher_suites": Key(listing(text(_suite), at_least=0)),
    "disabled_ssl_protocols": Key(listing(_VERSION, at_least=0)),
}
_CLIENT_AUTH: Final = {
    "verify_client_cert_issuer_dn": Key(FLAG),
    "verify_client_auth_mode": Key(text(scalars.one_of("Strict", "Passthrough"))),
    "verify_client_revocation": Key(text(scalars.one_of("None", "OCSP"))),
}
_SSL_POLICY: Final = group(_POLICY, plain(model.SslPolicy))
_PROFILE: Final = {
    "ssl_policy": Key(_SSL_POLICY),
    "client_auth_configuration": Key(
        group(_CLIENT_AUTH, plain(model.ClientAuthConfiguration))
    ),
    "trusted_client_certificates": Key(NAMES),
}
_AUTHORITY: Final = {
    "certificate_file": Key(file(files.authorities), required=True, instead=()),
}


def _authority(
    _reader: Reader, path: KeyPath, values: dict[str, Any]
) -> model.TrustedClientCertificate:
    return model.TrustedClientCertificate(
        name=name_of(path), certificates=values["certificate_file"]
    )


TLS: Final = {
    "trusted_client_certificates": Key(section(_AUTHORITY, _authority)),
    "ssl_profiles": Key(section(_PROFILE, named(model.SslProfile))),
    "ssl_policy": Key(_SSL_POLICY),
}
