"""
Where a redirect sends a client (ARM redirectConfigurations).

What can be worked out before a request comes is worked out here. A Location is
always a whole URL: its host is configured or the client's own, and what follows
the host begins with a slash. So nothing in a request can lead to another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs

from appgw.config.model import Listener, Redirect
from appgw.message import RequestHead
from appgw.route.listeners import host_of, without_dot
from appgw.route.paths import BadPath, read_path

STATUSES: Final = {"Permanent": 301, "Found": 302, "SeeOther": 303, "Temporary": 307}

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@attrs.frozen(eq=False, kw_only=True)
class Aim:
    """
    A redirect, ready to be carried out.

    Attributes:
        status: of the answer.
        scheme: ``http`` or ``https``.
        host: without brackets, in lower case; None: the client's own.
        port: where the site is served.
        path: goes before the request's path if that is included.
        query, fragment: of the target itself, empty without.
        include_path, include_query: the request's go along.
    """

    status: int
    scheme: str
    host: str | None
    port: int
    path: bytes = b"/"
    query: bytes = b""
    fragment: bytes = b""
    include_path: bool = False
    include_query: bool = False

    @classmethod
    def parse(cls, redirect: Redirect, listeners: Mapping[str, Listener]) -> Aim:
        """
        Work out what a redirect means.

        Args:
            listeners: by name; its target is among them.

        Raises:
            ValueError: its target is none that could be redirected to.
        """
        make = _at_url if redirect.target_listener is None else _at_listener
        return make(redirect, listeners)

    def origin_for(self, host: str) -> bytes:
        """
        Return how the URL begins, up to its path.

        Args:
            host: the client's, as ``host_of`` returns it.
        """
        return origin(self.scheme, self.host or host, self.port)

    def path_for(self, path: bytes) -> bytes:
        """
        Return the path of the URL.

        Args:
            path: of the request, as ``read_path`` returns it.
        """
        return self.path.rstrip(b"/") + path if self.include_path else self.path

    def location(self, head: RequestHead, path: bytes) -> bytes | None:
        """
        Return the URL for a request; None if it would be sent to itself.

        The query does not count for that: requests are not routed by it, so the
        next one would be sent there again.

        Args:
            head: of the request, whose authority names a host.
            path: as ``read_path`` returns it.
        """
        host = host_of(head.authority)
        there, path_there = self.origin_for(host), self.path_for(path)
        if there == _origin_of(head, host) and _is_read_as(path_there, path):
            return None
        return b"%b%b%b%b" % (there, path_there, self._query(head.query), self.fragment)

    def _query(self, query: bytes | None) -> bytes:
        if query is None or not self.include_query:
            return self.query
        if not self.query:
            return b"?" + query
        return b"%b&%b" % (self.query, query) if query else self.query


def origin(scheme: str, host: str, port: int | None) -> bytes:
    """
    Write down scheme, host and port; a port that goes without saying is not said.

    Args:
        host: without brackets.
        port: None: the scheme's own.
    """
    shown = f"[{host}]" if ":" in host else host
    if port is None or port == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{shown}".encode("ascii")
    return f"{scheme}://{shown}:{port}".encode("ascii")


def has_one_host(listener: Listener) -> bool:
    """
    Tell whether a URL of the listener has a certain host: its one name, or the
    client's own where it takes every Host.
    """
    names = listener.host_names
    return len(names) < 2 and not any(set("*?") & set(name) for name in names)


def _origin_of(head: RequestHead, host: str) -> bytes:
    """
    Return where the client believes that it is.
    """
    # Behind the last colon of a bracketed address stands no number.
    digits = head.authority.rpartition(b":")[2]
    port = int(digits) if b":" in head.authority and digits.isdigit() else None
    return origin(head.scheme.decode("ascii"), host, port)


def _is_read_as(raw: bytes, path: bytes) -> bool:
    try:
        return read_path(raw, allow_ambiguous=True) == path
    except BadPath:
        return False


def _at_listener(redirect: Redirect, listeners: Mapping[str, Listener]) -> Aim:
    listener = listeners[redirect.target_listener or ""]
    if not has_one_host(listener):
        raise ValueError(
            f"redirect {redirect.name}: listener {listener.name} has several"
            " host names or a wildcard"
        )
    names = listener.host_names
    return Aim(
        status=STATUSES[redirect.type],
        scheme=listener.protocol,
        host=without_dot(names[0]) if names else None,
        port=listener.port,
        include_path=redirect.include_path,
        include_query=redirect.include_query_string,
    )


def _at_url(redirect: Redirect, _: Mapping[str, Listener]) -> Aim:
    parts = urlsplit(redirect.target_url or "")
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"redirect {redirect.name} leads to no http or https URL")
    return Aim(
        status=STATUSES[redirect.type],
        scheme=parts.scheme,
        host=host_of(parts.netloc.encode("ascii")),
        port=parts.port or _DEFAULT_PORTS[parts.scheme],
        path=(parts.path or "/").encode("ascii"),
        query=_marked("?", parts.query),
        fragment=_marked("#", parts.fragment),
        include_path=redirect.include_path,
        include_query=redirect.include_query_string,
    )


def _marked(mark: str, text: str) -> bytes:
    return f"{mark}{text}".encode("ascii") if text else b""
