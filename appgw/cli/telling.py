"""
A decision in words: what was decided, what follows, and why nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from appgw.backend.targets import host_for
from appgw.cli.members import told_members
from appgw.cli.telling_rewrites import request_rewrites
from appgw.config.model import Config, Listener
from appgw.message import Arrival, RequestHead
from appgw.refusal import Refusal
from appgw.route.decide import Answer, Decision, Forward, Redirect, Refuse, rewrite
from appgw.route.forwarded import request_headers
from appgw.route.listeners import BadHost, host_of
from appgw.route.paths import BadPath, read_path
from appgw.route.rewrite import Rewritten
from appgw.route.table import PortTable, Route, Site, Way
from appgw.route.templates import Unrewritable

_TRACE_ID = b"(32 hex digits, new for each request)"

_REASONS = {
    Refusal.NO_HOST: "the request has no Host",
    Refusal.BAD_HOST: "the Host is no host name with an optional port",
    Refusal.BAD_TARGET: "a byte in the query that none may have, or a path that"
    " climbs out of the path override",
    Refusal.UNKNOWN_SITE: "no listener of the port takes the Host",
    Refusal.TRACE: "TRACE would show clients the fields that are added here",
    Refusal.MISDIRECTED: "the server name of the handshake is another listener's",
    Refusal.LOOP: "Via tells that the request has been here twice",
    Refusal.REDIRECT_LOOP: "it would be redirected to itself",
    Refusal.HEAD_TOO_LARGE: "its rewrite rules would take too long to match",
}


def decided(decision: Decision, head: RequestHead, arrival: Arrival) -> Iterator[str]:
    """
    Say what was decided about a request.
    """
    path = head.path
    if isinstance(decision, Refuse):
        refusal, site = decision.refusal, decision.site
        why = _why(decision, head, arrival)
        yield f"refused    {refusal.status} {refusal.phrase}: {why}"
        if site is not None:
            yield f"listener   {_told_listener(site.listener)}"
    elif isinstance(decision, Answer):
        yield f"answered   {decision.status} here: Max-Forwards lets it go no further"
        yield f"listener   {_told_listener(decision.site.listener)}"
    elif isinstance(decision, Redirect):
        yield from _told_way(decision.route, path, decision.rewritten)
        redirect, status = decision.route.redirect, HTTPStatus(decision.status)
        yield f"redirect   {redirect.name} ({redirect.type})"
        yield f"answered   {status.value} {status.phrase} here"
        yield f"location   {_text(decision.location)}"
        if decision.rewritten is not None:
            ambiguous = _ambiguous(decision.route.listener)
            yield from request_rewrites(decision.rewritten, head.headers, ambiguous)
    else:
        yield from _told_way(decision.route, path, decision.rewritten)
        yield f"pool       {decision.route.pool}"
        yield f"settings   {_told_settings(decision.route)}"


def _told_way(
    way: Way, path: bytes, rewritten: Rewritten | None = None
) -> Iterator[str]:
    yield f"listener   {_told_listener(way.listener)}"
    yield f"rule       {way.rule.name} (priority {way.rule.priority})"
    read = _read(path, way.listener)
    if read != path:
        yield f"path       {_text(read)}, read from {_text(path)}"
    if rewritten is not None and rewritten.rerouted is not None:
        yield f"rerouted   by the new path {_text(rewritten.rerouted)}"
    if way.pattern is not None:
        yield f"path rule  {way.path_rule}, by {way.pattern.text}"
    elif way.rule.url_path_map is not None:
        yield f"path rule  none: the default of {way.rule.url_path_map}"


def asked_of(site: Site | None) -> Iterator[str]:
    """
    Say what a client has to show in the handshake.
    """
    demands = None if site is None else site.tls_demands
    if demands is not None and demands.client is not None:
        strict = "must show a certificate that holds, which is assumed here"
        passing = "is asked for a certificate, and may go on without"
        yield f"client     {strict if demands.client.strict else passing}"


def _read(path: bytes, listener: Listener) -> bytes:
    return path if path == b"*" else read_path(path, _ambiguous(listener))


def _ambiguous(listener: Listener) -> bool:
    return listener.ambiguous_paths == "allow"


def _why(decision: Refuse, head: RequestHead, arrival: Arrival) -> str:
    refusal, site = decision.refusal, decision.site
    try:
        if refusal is Refusal.BAD_TARGET and site is not None:
            read_path(head.path, site.allow_ambiguous)
        if refusal is Refusal.BAD_REWRITE and site is not None:
            path = _read(head.path, site.listener)
            way = site.default if path == b"*" else site.route_for(path.lower())
            if isinstance(way, Route):
                rewrite(site, way, Rewritten.begin(head, arrival, path))
    except BadPath as error:
        return f"path {_text(head.path)}: {error}"
    except Unrewritable as error:
        return f"its rewrite rules lead to {error}"
    return _REASONS[refusal]


def _told_listener(listener: Listener) -> str:
    host = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{listener.name} ({listener.protocol}://{host}:{listener.port})"


def _told_settings(route: Route) -> str:
    settings = route.settings
    facts = [settings.protocol, f"request_timeout {settings.request_timeout:g}s"]
    if settings.pin_mode == "detect":
        facts.append("pin_mode detect")
    if settings.path is not None:
        facts.append(f"path {settings.path}")
    if settings.cookie_based_affinity:
        facts.append(f"affinity by cookie {settings.affinity_cookie_name}")
    return f"{settings.name} ({', '.join(facts)})"


def sent(
    config: Config, decision: Forward, head: RequestHead, arrival: Arrival
) -> Iterator[str]:
    """
    Say what a member has to show, what is rewritten, and what would be sent.
    """
    route = decision.route
    members = config.pools[route.pool].members
    yield from told_members(config, route, head, arrival)
    host = host_for(route.settings, members[0]) if members else None
    lines = request_headers(
        head, arrival, host or head.authority, _TRACE_ID, config.forwarded_for_port
    )
    target, query, rewritten = decision.path, head.query, decision.rewritten
    if rewritten is not None:
        yield from request_rewrites(rewritten, lines, _ambiguous(route.listener))
        lines, query = rewritten.request_fields(lines), rewritten.query
    yield "sends"
    if query is not None:
        target = b"%b?%b" % (target, query)
    yield f"  {_text(head.method)} {_text(target)} HTTP/1.1"
    for name, value in lines:
        yield f"  {_text(name)}: {_text(value)}"


def other_listeners(
    config: Config, port: PortTable, chosen: Site | None, authority: bytes
) -> Iterator[str]:
    """
    Say why each listener but the chosen one does not answer.
    """
    on_port = {site.listener.name: site for site in port.sites}
    ruled = {rule.listener for rule in config.rules.values()}
    for listener in config.listeners.values():
        site = on_port.get(listener.name)
        if site is not None and site is chosen:
            continue
        if site is not None:
            reason = _why_not(site, chosen, authority)
        elif listener.name not in ruled:
            reason = "no rule leads from it"
        else:
            reason = f"is another way in: {_told_listener(listener)}"
        yield f"  listener {listener.name}: {reason}"


def site_of(port: PortTable, decision: Decision) -> Site | None:
    """
    Return the site that a decision was made for, None where none was found.
    """
    if isinstance(decision, Refuse | Answer):
        return decision.site
    listener = decision.route.listener
    return next(site for site in port.sites if site.listener is listener)


def _why_not(site: Site, chosen: Site | None, authority: bytes) -> str:
    takes = ", ".join(site.host_names.patterns) or "every Host"
    try:
        host = host_of(authority)
    except BadHost:
        return f"takes {takes}, but the Host is none"
    if chosen is not None and site.host_names.take(host):
        return (
            f"takes {takes}, but its rule {site.rule.name} has priority"
            f" {site.rule.priority}, after {chosen.rule.priority}"
        )
    return f"takes {takes}, not {host}"


def other_path_rules(
    decision: Forward | Redirect, site: Site, raw: bytes
) -> Iterator[str]:
    """
    Say why each other pattern of the site's path rules does not match.
    """
    lowered, rewritten = _read(raw, site.listener).lower(), decision.rewritten
    if rewritten is not None and rewritten.rerouted is not None:
        lowered = rewritten.rerouted.lower()
    for other in site.routes:
        if other is decision.route or other.pattern is None:
            continue
        matches = other.pattern.matches(lowered)
        reason = "matches too, but is listed later" if matches else "does not match"
        yield f"  path rule {other.path_rule}: {other.pattern.text} {reason}"


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")
