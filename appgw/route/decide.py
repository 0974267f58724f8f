"""
What becomes of a request: a value, before anything is done about it.

The exchange acts on it, ``appgw explain`` prints it.
"""

from __future__ import annotations

from typing import Final

import attrs

from appgw.message import Arrival, ClientCertificate, RequestHead
from appgw.refusal import Refusal
from appgw.route.fields import REQUEST, Kind
from appgw.route.forwarded import PSEUDONYM, hops_left
from appgw.route.listeners import BadHost
from appgw.route.paths import QUERY, BadPath, overridden, read_path
from appgw.route.patterns import TooManySteps
from appgw.route.rewrite import Rewritten
from appgw.route.table import PortTable, Redirection, Route, Site, Way
from appgw.route.templates import Unrewritable

_VIA: Final = Kind.VIA
_NOBODY: Final = Arrival("", 0, 0, "http")


# Plain, as one is made per request.
class Forward:
    """
    Send it to a backend of *route*.

    Attributes:
        path: for the backend, without the query: read, rewritten, the override
            applied; ``*`` for an OPTIONS about the server as a whole.
        rewritten: what rules have made of the request; None without any.
    """

    def __init__(
        self, route: Route, path: bytes, rewritten: Rewritten | None = None
    ) -> None:
        self.route = route
        self.path = path
        self.rewritten = rewritten


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
        rewritten: what rules have led here; None if the path did.
    """

    route: Redirection
    status: int
    location: bytes
    rewritten: Rewritten | None = None


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


def decide(
    table: PortTable,
    head: RequestHead,
    server_name: str | None,
    arrival: Arrival = _NOBODY,
) -> Decision:
    """
    Decide what becomes of a request.

    Args:
        table: of the port that the request came in by.
        head: of the request.
        server_name: the SNI of its connection, None without.
        arrival: what else is known of that connection, such as what the client
            has shown.
    """
    try:
        site = table.site_of(head.authority)
    except BadHost:
        refusal = Refusal.BAD_HOST if head.authority else Refusal.NO_HOST
        return Refuse(refusal, None)
    if site is None:
        return Refuse(Refusal.UNKNOWN_SITE, None)
    if (server_name is not None or table.differing) and _is_misdirected(
        table, site, server_name
    ):
        return Refuse(Refusal.MISDIRECTED, site)
    if site.strict:
        refused = _certificate_refusal(arrival.client_certificate)
        if refused is not None:
            return Refuse(refused, site)
    if head.method == b"TRACE":
        return Refuse(Refusal.TRACE, site)
    vias = [value for name, value in head.headers if REQUEST[name] is _VIA]
    if vias and _visits(vias) > 1:
        return Refuse(Refusal.LOOP, site)
    if head.method == b"OPTIONS" and hops_left(head.headers) == 0:
        return Answer(site)
    return _route(site, head, arrival)


def _is_misdirected(table: PortTable, site: Site, server_name: str | None) -> bool:
    """
    Tell whether the handshake was another site's (RFC 9110, 7.4).
    """
    presented = table.presented_for(server_name)
    if presented is site:
        return False
    return (
        # Without SNI nobody was meant, and any site will do.
        (server_name is not None and site.listener.misdirected != "route")
        or presented.tls_demands != site.tls_demands
    )


def _certificate_refusal(client: ClientCertificate | None) -> Refusal | None:
    if client is not None and client.verified:
        return None
    if client is None or not client.der:
        return Refusal.NO_CLIENT_CERTIFICATE
    return Refusal.BAD_CLIENT_CERTIFICATE


def _visits(vias: list[bytes]) -> int:
    """
    Count how often a request has been here (RFC 9110, 7.6.3).
    """
    hops = [hop.split() for hop in b",".join(vias).lower().split(b",")]
    return sum(hop[1:2] == [PSEUDONYM] for hop in hops)


def _route(site: Site, head: RequestHead, arrival: Arrival) -> Decision:
    if head.path == b"*":
        return _about_server(site, head, arrival)
    if head.query is not None and not QUERY.fullmatch(head.query):
        return Refuse(Refusal.BAD_TARGET, site)
    try:
        path = read_path(head.path, site.allow_ambiguous)
        route = site.route_for(path.lower())
        if isinstance(route, Redirection):
            return _redirected(site, route, head, path)
        if route.rewrites is not None:
            return _rewritten(site, route, Rewritten.begin(head, arrival, path))
        if route.override is not None:
            path = overridden(route.override, route.pattern, path)
    except BadPath:
        return Refuse(Refusal.BAD_TARGET, site)
    return Forward(route, path)


def _about_server(site: Site, head: RequestHead, arrival: Arrival) -> Decision:
    """
    RFC 9112, 3.2.4: no path, so no path rule, no override, and no URL to send
    the client to.
    """
    if head.method != b"OPTIONS" or head.query is not None:
        return Refuse(Refusal.BAD_TARGET, site)
    if isinstance(site.default, Redirection):
        return Answer(site)
    if site.default.rewrites is not None:
        return _rewritten(site, site.default, Rewritten.begin(head, arrival, b"*"))
    return Forward(site.default, b"*")


def _rewritten(site: Site, route: Route, request: Rewritten) -> Decision:
    try:
        way = rewrite(site, route, request)
    except Unrewritable:
        return Refuse(Refusal.BAD_REWRITE, site)
    except TooManySteps:
        return Refuse(Refusal.HEAD_TOO_LARGE, site)
    if isinstance(way, Redirection):
        # The client is told about its own path, not about what became of it.
        return _redirected(site, way, request.seen.head, request.seen.path, request)
    path = request.path
    if way.override is not None and path != b"*":
        path = overridden(way.override, way.pattern, path)
    return Forward(way, path, request)


def rewrite(site: Site, route: Route, request: Rewritten) -> Way:
    """
    Let the rules of *route* change a request.

    Where one of them wants it, the path map is asked again, with the new path.
    That happens once: the rules of the new route change the request too, but
    wherever they move it, it goes to that route.

    Returns:
        Where it goes.

    Raises:
        Unrewritable: what it becomes cannot be sent.
        TooManySteps: it would take too long to find out.
    """
    rules = route.rewrites
    if rules is not None:
        rules.apply(request, site.allow_ambiguous)
    if not request.reroute:
        return route
    request.rerouted = request.path
    other = site.route_for(request.path.lower())
    if (
        isinstance(other, Route)
        and other.rewrites is not None
        and other.rewrites is not rules
    ):
        other.rewrites.apply(request, site.allow_ambiguous)
    return other


def _redirected(
    site: Site,
    route: Redirection,
    head: RequestHead,
    path: bytes,
    rewritten: Rewritten | None = None,
) -> Redirect | Refuse:
    location = route.aim.location(head, path)
    if location is None:
        return Refuse(Refusal.REDIRECT_LOOP, site)
    return Redirect(route, route.aim.status, location, rewritten)
