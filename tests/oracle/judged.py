"""
Verdicts that differ from what the payloads' own projects expect, and why.

The same list, for people, is in docs/hardening.md.
"""

from __future__ import annotations

from typing import Final

CONNECT: Final = "CONNECT is answered with 501: a gateway is no forward proxy"
USERINFO: Final = "a name and password in the target hide which host is meant"
FRAGMENT: Final = "a fragment never belongs in a target"

REJECTED: Final = {
    "gunicorn:valid/005": FRAGMENT,
    "gunicorn:valid/013": "llhttp takes no blanks in chunk extensions",
    "gunicorn:valid/031": "methods that llhttp does not know are answered with 501",
    "gunicorn:valid/040": "what follows the last request may reset the connection",
    "gunicorn:valid/rfc9112_target_absolute_userinfo_01": USERINFO,
    "gunicorn:valid/rfc9112_target_authority_connect_01": CONNECT,
    "gunicorn:valid/rfc9112_target_authority_ipv6_01": CONNECT,
    "llhttp:method/1": CONNECT,
    "llhttp:method/2": CONNECT,
    "llhttp:method/3": CONNECT,
    "llhttp:method/14": "PRI begins HTTP/2, which is not spoken here",
    "llhttp:uri/7": FRAGMENT,
    "llhttp:uri/8": CONNECT,
    "llhttp:uri/9": USERINFO,
}
"""Payloads called valid that get no 2xx."""

DROPPED: Final = "the field is dropped before the request goes on"

ACCEPTED: Final = {
    "gunicorn:invalid/019": DROPPED,
    "gunicorn:invalid/040": DROPPED,
    "gunicorn:invalid/041": "two Content-Type fields frame nothing: both go on",
    "gunicorn:invalid/chunked_07": DROPPED,
    "gunicorn:invalid/rfc9110_trailer_forbidden_host_01": DROPPED,
    "llhttp:connection/2": "the first request is answered, what follows not read",
}
"""Payloads called invalid that get 2xx."""
