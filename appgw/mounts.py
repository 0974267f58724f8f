"""
Where stock resources are mounted: at which listener, at which paths.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.web import server
from twisted.web.resource import IResource

from appgw.config.model import Config
from appgw.route.paths import PathPattern


class Place(server.Site):
    """
    Where a resource stands: what of the path lies before it, and what behind.
    """

    displayTracebacks = False

    def __init__(self, resource: IResource, pattern: PathPattern, reactor: Any) -> None:
        super().__init__(resource, reactor=reactor)
        cut = len(pattern.prefix) if pattern.exact else pattern.prefix.rfind(b"/") + 1
        self._before = cut

    def getResourceFor(self, request: Any) -> Any:
        """
        Walk on from here, as Twisted does from its root.
        """
        before, behind = request.path[: self._before], request.path[self._before :]
        request.prepath = _segments(before.strip(b"/"))
        # A path that ends here is the resource's own; a slash is its first child.
        request.postpath = (
            []
            if len(request.path) == self._before and not before.endswith(b"/")
            else _segments(behind) or [b""]
        )
        return super().getResourceFor(request)


def _segments(path: bytes) -> list[bytes]:
    return [unquote_to_bytes(one) for one in path.split(b"/")] if path else []


@attrs.frozen(eq=False)
class Mount:
    """
    A resource at a listener's paths.
    """

    listener: str
    pattern: PathPattern
    place: Place


class Mountable(MultiService):
    """
    A service with listeners at which stock resources can be mounted.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._mounts: tuple[Mount, ...] = ()

    @property
    def config(self) -> Config:
        """
        The configuration in force.
        """
        raise NotImplementedError

    def apply(self, config: Config) -> Deferred[None]:
        """
        Put *config* in force.
        """
        raise NotImplementedError

    def mount(self, listener: str, paths: str, resource: IResource) -> Deferred[None]:
        """
        Let *resource* answer at some paths of a listener, instead of backends.

        It stays over reloads, and rests while there is no such listener. Of
        several that match, the first that was mounted answers.

        Args:
            listener: its name.
            paths: as in a path rule: ``/metrics``, or ``/status/*``, where the
                resource stands at the last slash and has children behind it.

        Returns:
            Fires once it is in force.

        Raises:
            ValueError: there is no such listener, or *paths* is no pattern.
        """
        if listener not in self.config.listeners:
            raise ValueError(f"there is no listener {listener!r}")
        pattern = PathPattern.parse(paths)
        place = Place(resource, pattern, self._reactor)
        before = self._mounts
        self._mounts = (*before, Mount(listener, pattern, place))
        try:
            return self.apply(self.config)
        except BaseException:
            self._mounts = before
            raise
