"""
What becomes of a request: a value, before anything is done about it.

The exchange acts on it, ``appgw explain`` prints it.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from appgw.message import RequestHead
from appgw.refusal import Refusal
from appgw.route.fields import REQUEST, Kind
from appgw.route.forwarded import PSEUDONYM, hops_left
from appgw.route.listeners import BadHost
from appgw.route.paths import BadPath, overridden, read_path
from appgw.route.table import PortTable, Redirection, Route, Site

_QUERY: Final = re.compile(rb'[!"$-~]*+')
"""Visible bytes but ``#``; what they mean is the backend's business."""

_VIA: Final = Kind.VIA


# Plain, as one is made per request.
class Forward:
    """
    Send it to a backend of *route*.

    Attributes:
        path: for the backend, without the query: read, the override applied;
            ``*`` for an OPTIONS about the server as a whole.
    """

    def __init__(self, route: Route, path: bytes) -> None:
        self.route = route
        self.path = path


@attrs.define(eq=False)
class Refuse:
    """
    Answer it here, with an error.

    Attributes:
        site: the one that was meant; None where none was found.
    """

    refusal: Refusal
    site: Site | None


@attrs.define(eq=False)
class Redirect:
    """
    Tell the client to go elsewhere.

    Attributes:
        location: a whole URL.
    """

    route: Redirection
    status: int
    location: bytes


@attrs.define(eq=False)
class Answer:
    """
    Answer it here: it was not to go any further (RFC 9110, 7.6.2), or was about
    a server where there is none but us.

    Attributes:
        status: of an answer without a body.
    """

    site: Site
    status: int = 204


Decision = Forward | Refuse | Answer | Redirect


def decide(table: PortTable, head: RequestHead, server_name: str | None) -> Decision:
    """
    Decide what becomes of a request.

    Args:
        table: of the port that the request came in by.
        head: of the request.
        server_name: the SNI of its connection, None without.
    """
    try:
        site = table.site_of(head.authority)
    except BadHost:
        refusal = Refusal.BAD_HOST if head.authority else Refusal.NO_HOST
        return Refuse(refusal, None)
    if site is None:
        return Refuse(Refusal.UNKNOWN_SITE, None)
    if (server_name is not None or site.tls_demands) and _is_misdirected(
        table, site, server_name
    ):
        return Refuse(Refusal.MISDIRECTED, site)
    if head.method == b"TRACE":
        return Refuse(Refusal.TRACE, site)
    vias = [value for name, value in head.headers if REQUEST[name] is _VIA]
    if vias and _visits(vias) > 1:
        return Refuse(Refusal.LOOP, site)
    if head.method == b"OPTIONS" and hops_left(head.headers) == 0:
        return Answer(site)
    return _route(site, head)


def _is_misdirected(table: PortTable, site: Site, server_name: str | None) -> bool:
    """
    Tell whether the handshake was another site's (RFC 9110, 7.4).
    """
    if server_name is None:
        return bool(site.tls_demands)
    presented = table.presented_for(server_name)
    if presented is site:
        return False
    return (
        site.listener.misdirected != "route"
        or presented.tls_demands != site.tls_demands
    )


def _visits(vias: list[bytes]) -> int:
    """
    Count how often a request has been here (RFC 9110, 7.6.3).
    """
    hops = [hop.split() for hop in b",".join(vias).lower().split(b",")]
    return sum(hop[1:2] == [PSEUDONYM] for hop in hops)


def _route(site: Site, head: RequestHead) -> Decision:
    if head.path == b"*":
        return _about_server(site, head)
    if head.query is not None and not _QUERY.fullmatch(head.query):
        return Refuse(Refusal.BAD_TARGET, site)
    try:
        path = read_path(head.path, site.allow_ambiguous)
        route = site.route_for(path.lower())
        if isinstance(route, Redirection):
            return _redirected(site, route, head, path)
        if route.override is not None:
            path = overridden(route.override, route.pattern, path)
    except BadPath:
        return Refuse(Refusal.BAD_TARGET, site)
    return Forward(route, path)


def _about_server(site: Site, head: RequestHead) -> Decision:
    """
    RFC 9112, 3.2.4: no path, so no path rule, no override, and no URL to send
    the client to.
    """
    if head.method != b"OPTIONS" or head.query is not None:
        return Refuse(Refusal.BAD_TARGET, site)
    if isinstance(site.default, Redirection):
        return Answer(site)
    return Forward(site.default, b"*")


def _redirected(
    site: Site, route: Redirection, head: RequestHead, path: bytes
) -> Redirect | Refuse:
    location = route.aim.location(head, path)
    if location is None:
        return Refuse(Refusal.REDIRECT_LOOP, site)
    return Redirect(route, route.aim.status, location)
