"""
Text -> host names, addresses, paths: what the configuration knows of the web.

The rules for a listener's host names and for path patterns are Azure's.
"""

from __future__ import annotations

import ipaddress
import re
import string

from appgw.config.model import Network
from appgw.config.scalars import UnfitError, port

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_SITE_LABEL = re.compile(r"[a-z0-9*?-]{1,63}")
_HOST_AND_PORT = re.compile(r"\[([^\[\]]*)\](?::([0-9]+))?|([^:]*)(?::([0-9]+))?")
# What RFC 3986, 3.3 lets stand in a path, without a semicolon's cousins ? and #.
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()+,;=:@*/-]|%[0-9A-Fa-f]{2})*")
_IN_QUERY = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_WEB_ADDRESS = re.compile(
    rf"(?i:https?)://(?P<host>[^/?#]+)(?:{_PATH.pattern})?"
    rf"(?:\?{_IN_QUERY})?(?:#{_IN_QUERY})?"
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
# RFC 3986, 2.3
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_LONGEST_HOST = 253
_MOST_STARS = 2
_MOST_WILDCARDS = 4


def ip_address(text: str) -> str:
    """
    Read an IP address; the answer is its shortest form.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UnfitError("an IP address such as 0.0.0.0, 10.0.0.7 or ::") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise UnfitError("an IP address without a zone")
        if address.ipv4_mapped is not None:
            raise UnfitError(f"{address.ipv4_mapped}, as IPv4 writes it")
    return str(address)


def network(text: str) -> Network:
    """
    Read a CIDR block, or one address.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        base = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UnfitError("a network such as 10.0.0.0/8 or fd00::/8") from None
    raise UnfitError(f"{base}: no bits beyond the prefix")


def host(text: str) -> str:
    """
    Read a host name (lower-cased, no dot at its end) or an IP address.
    """
    if _is_address(text):
        return ip_address(text)
    lowered = text.lower().removesuffix(".")
    labels = lowered.split(".")
    fits = all(_LABEL.fullmatch(label) for label in labels)
    # A name whose last label is a number would be taken for an address.
    if not fits or len(lowered) > _LONGEST_HOST or labels[-1].isdigit():
        raise UnfitError("a host name or an IP address, without a port")
    return lowered


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_and_port(text: str) -> tuple[str, int | None]:
    """
    Read ``host``, ``host:port``, ``[IPv6]:port`` or a bare IPv6 address.
    """
    if _is_address(text):
        return ip_address(text), None
    match = _HOST_AND_PORT.fullmatch(text)
    try:
        if match and match[1] is not None:
            address = ip_address(match[1])
            return address, port(match[2]) if match[2] else None
        if match:
            return host(match[3]), port(match[4]) if match[4] else None
    except UnfitError:
        pass
    raise UnfitError("host, host:port or [IPv6]:port, with a port from 1 to 65535")


def site_name(text: str) -> str:
    """
    Read a host name that a listener takes, with Azure's wildcards.

    ``*`` stands at most once in a part between dots and twice in all, ``?``
    never beside it in one part, four wildcards in all.
    """
    lowered = text.lower()
    labels = lowered.split(".")
    if len(lowered) > _LONGEST_HOST or not all(map(_SITE_LABEL.fullmatch, labels)):
        raise UnfitError("a host name of letters, digits, '-' and '.', '*' or '?'")
    if any(label.count("*") > 1 for label in labels):
        raise UnfitError("at most one '*' between two dots")
    if any("*" in label and "?" in label for label in labels):
        raise UnfitError("no '*' and '?' between the same two dots")
    stars = lowered.count("*")
    if stars > _MOST_STARS:
        raise UnfitError(f"at most {_MOST_STARS} '*' in a host name")
    if stars + lowered.count("?") > _MOST_WILDCARDS:
        raise UnfitError(f"at most {_MOST_WILDCARDS} wildcards in a host name")
    return lowered


def path(text: str) -> str:
    """
    Read a path that requests are made with.
    """
    _judge_path(text)
    return text


def path_and_query(text: str) -> str:
    """
    Read a path that requests are made with, and the query behind it, if any.
    """
    before, _, query = text.partition("?")
    _judge_path(before)
    if not re.fullmatch(_IN_QUERY, query):
        raise UnfitError("a query of ASCII and %XX escapes, without '#'")
    return text


def path_pattern(text: str) -> str:
    """
    Read a path rule's pattern: an exact path, or with a ``*`` at its end.

    It must have the one form that requests' paths are brought to before they
    are compared, or it would never match.
    """
    if "?" in text or "#" in text:
        raise UnfitError("a path without a query or a fragment")
    if "*" in text[:-1]:
        raise UnfitError("a '*' only at the end of a path")
    _judge_path(text)
    return text


def _judge_path(text: str) -> None:
    if not _PATH.fullmatch(text):
        raise UnfitError("a path that starts with '/', of ASCII and %XX escapes")
    if any(chr(int(code, 16)) in _UNRESERVED for code in _ESCAPE.findall(text)):
        raise UnfitError("letters, digits and -._~ without %XX escapes")
    if "//" in text or {".", ".."} & set(text.split("/")):
        raise UnfitError("a path without '//', '/./' and '/../'")


def web_address(text: str) -> str:
    """
    Read an absolute http or https URL (RFC 3986), as it is written to clients.
    """
    expected = "a URL such as https://www.example.com/, of ASCII and %XX escapes"
    found = _WEB_ADDRESS.fullmatch(text)
    # Without brackets an IPv6 address is no host of a URL.
    if found is None or (found["host"].count(":") > 1 and found["host"][0] != "["):
        raise UnfitError(expected)
    try:
        host_and_port(found["host"])
    except UnfitError:
        raise UnfitError(expected) from None
    return text
