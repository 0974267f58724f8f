"""
The resource tree: port -> site -> leaf, each an ``IResource``.

The way in for every request. A port decides once, and the walk follows the
decision; the leaf acts on it. A stock ``IResource`` can be mounted beside ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from appgw.backend.candidate import Pair
from appgw.backend.pool import Pool
from appgw.exchange import Exchange
from appgw.listen.answers import redirection
from appgw.listen.request import Request
from appgw.means import Means, begun, refuse
from appgw.message import RequestHead, ResponseHead, value_of
from appgw.mounted import MountedResource, mounted_at
from appgw.mounts import Mount
from appgw.record import Outcome
from appgw.refusal import Refusal
from appgw.route.decide import Answer, Forward, Refuse, decide
from appgw.route.listeners import BadHost
from appgw.route.paths import read_path
from appgw.route.table import PortTable, Redirection, Site, Way
from appgw.tunnel import Tunnel


class _Leaf:
    isLeaf = True

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """
        Nothing is below a leaf.
        """
        return self

    def putChild(self, path: bytes, child: Any) -> None:
        """
        Refuse: the tree is made from the configuration.
        """
        raise NotImplementedError("nothing can be put below a leaf")


class _Branch:
    isLeaf = False

    def render(self, request: Any) -> int:
        """
        Never called: the walk always reaches a leaf.
        """
        raise NotImplementedError("only leaves answer")

    def putChild(self, path: bytes, child: Any) -> None:
        """
        Refuse: the tree is made from the configuration.
        """
        raise NotImplementedError("the tree is made from the configuration")


@implementer(IResource)
@attrs.frozen(eq=False)
class ForwardResource(_Leaf):
    """
    The leaf of a route: its requests go to the route's pool.
    """

    pool: Pool
    means: Means

    def render(self, request: Request) -> int:
        """
        Begin the exchange; it answers later.
        """
        kind = Tunnel if request.head.upgrade else Exchange
        kind(request, request.decision, self.pool, self.means).start()
        return NOT_DONE_YET


@implementer(IResource)
@attrs.frozen(eq=False)
class RedirectResource(_Leaf):
    """
    The leaf of a redirection: its requests are told where to go.
    """

    means: Means

    def render(self, request: Request) -> int:
        """
        Answer at once, and record it.
        """
        means, decision = self.means, request.decision
        outcome = begun(request, means, decision.route)
        outcome.status = decision.status
        head, body = redirection(
            decision.status,
            decision.location,
            outcome.trace_id,
            means.date(outcome.began_wall),
        )
        outcome.content_type = value_of(head.headers, b"content-type")
        request.respond(head, body, True)
        _record(outcome, request, means)
        return NOT_DONE_YET


@implementer(IResource)
@attrs.frozen(eq=False)
class AnswerResource(_Leaf):
    """
    The leaf for what is answered here, with a page or without a body.
    """

    means: Means

    def render(self, request: Request) -> int:
        """
        Answer at once, and record it.
        """
        means, decision = self.means, request.decision
        site: Site | None = decision.site
        outcome = Outcome(
            request.arrival,
            request.head,
            means.new_id(),
            request.began,
            means.wall(),
            "" if site is None else site.listener.name,
        )
        if isinstance(decision, Refuse):
            outcome.refusal = decision.refusal
            outcome.status = decision.refusal.status
            refuse(request, decision.refusal, outcome.trace_id, means)
        else:
            outcome.status = decision.status
            date = (b"Date", means.date(outcome.began_wall))
            head = ResponseHead(decision.status, b"No Content", [date], 0)
            request.respond(head, b"", True)
        _record(outcome, request, means)
        return NOT_DONE_YET


def _record(outcome: Outcome, request: Request, means: Means) -> None:
    """
    Record what was answered as soon as it was asked.
    """
    outcome.received, outcome.sent = request.received, request.sent
    outcome.answered = outcome.ended = means.seconds()
    means.record(outcome)


@implementer(IResource)
@attrs.frozen(eq=False)
class SiteResource(_Branch):
    """
    One site of a port.

    Attributes:
        leaves: by route.
    """

    leaves: Mapping[Way, ForwardResource | RedirectResource]

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """
        Return the leaf that the decision names.
        """
        return self.leaves[request.decision.route]


@implementer(IResource)
@attrs.frozen(eq=False)
class MountingResource(SiteResource):
    """
    A site with stock resources beside its routes.

    Attributes:
        mounted: the first that matches the path answers.
    """

    allow_ambiguous: bool
    mounted: Sequence[MountedResource]

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """
        Return what is mounted at the path, else the leaf of the decision.
        """
        path = request.head.path
        if path != b"*":
            lowered = read_path(path, self.allow_ambiguous).lower()
            for leaf in self.mounted:
                if leaf.matches(lowered):
                    return leaf
        return super().getChildWithDefault(name, request)


@implementer(IResource)
@attrs.frozen(eq=False)
class PortResource(_Branch):
    """
    The root for one port: decides about each request, once.

    Attributes:
        answers: by site, with its error pages; None: no site was found.
    """

    table: PortTable
    sites: Mapping[Site, SiteResource]
    by_route: Mapping[Way, SiteResource]
    answers: Mapping[Site | None, AnswerResource]

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """
        Return the site that the decision names, or who refuses.
        """
        refusal = request.refusal
        if refusal is not None:
            site = self._meant(request.head)
            request.decision = Refuse(refusal, site)
            return self.answers[site]
        arrival = request.arrival
        decision = decide(self.table, request.head, arrival.server_name, arrival)
        request.decision = decision
        if decision.__class__ is Forward:
            return self.by_route[decision.route]
        if isinstance(decision, Refuse | Answer):
            return self.answers[decision.site]
        return self.by_route[decision.route]

    def _meant(self, head: RequestHead) -> Site | None:
        """
        Find the site of a request that is refused before anybody is asked; of a
        head that could not be read there is no Host to tell.
        """
        try:
            return self.table.site_of(head.authority)
        except BadHost:
            return None


@implementer(IResource)
@attrs.frozen(eq=False)
class GoneResource(_Branch):
    """
    The root for clients of a listener that is not served any more.
    """

    answers: AnswerResource

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """
        Return who refuses: the client shall connect anew (RFC 9110, 15.5.20).
        """
        request.decision = Refuse(request.refusal or Refusal.MISDIRECTED, None)
        return self.answers


def build(
    table: PortTable,
    pools: Mapping[Pair, Pool],
    means: Means,
    mounts: Sequence[Mount] = (),
) -> PortResource:
    """
    Make the tree of one port.
    """
    by_route: dict[Way, SiteResource] = {}
    sites: dict[Site, SiteResource] = {}
    answers: dict[Site | None, AnswerResource] = {None: AnswerResource(means)}
    for site in table.sites:
        own = _with_pages(means, site)
        leaves = {way: _leaf(way, pools, own) for way in (*site.routes, site.default)}
        mounted = mounted_at(site, mounts, own)
        sites[site] = (
            MountingResource(leaves, site.allow_ambiguous, mounted)
            if mounted
            else SiteResource(leaves)
        )
        by_route.update(dict.fromkeys(leaves, sites[site]))
        answers[site] = AnswerResource(own)
    return PortResource(table, sites, by_route, answers)


def _with_pages(means: Means, site: Site) -> Means:
    """
    Let a listener's error pages win over the gateway's.
    """
    pages = site.listener.custom_error_pages
    return attrs.evolve(means, pages={**means.pages, **pages}) if pages else means


def _leaf(
    way: Way, pools: Mapping[Pair, Pool], means: Means
) -> ForwardResource | RedirectResource:
    if isinstance(way, Redirection):
        return RedirectResource(means)
    return ForwardResource(pools[way.pool, way.settings.name], means)
