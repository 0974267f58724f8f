"""
The sections about what is asked of clients' TLS: policies and profiles.
"""

from __future__ import annotations

import difflib
from typing import Final

from appgw.config import model, scalars
from appgw.config.policies import PREDEFINED, SUITES, VERSIONS
from appgw.config.problems import quoted
from appgw.config.scalars import UnfitError
from appgw.config.shapes import Key, group, listing, section, text
from appgw.config.vocabulary import named, plain

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
_SSL_POLICY: Final = group(_POLICY, plain(model.SslPolicy))
_PROFILE: Final = {
    "ssl_policy": Key(_SSL_POLICY),
}
TLS: Final = {
    "ssl_profiles": Key(section(_PROFILE, named(model.SslProfile))),
    "ssl_policy": Key(_SSL_POLICY),
}
