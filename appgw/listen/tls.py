"""
TLS towards clients: which context for which name, and what a handshake settled.

Contexts are made anew now and then, since that is how the keys of session tickets
change. OpenSSL resumes a session before the name counts, and with it everything
that its first handshake had demanded. So where a port's listeners differ in
their demands, or any of them asks for certificates, nothing is resumed there, and
each handshake is judged by the demands of the listener that it asked for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Final

import attrs
from OpenSSL import SSL

from appgw.config.demands import Demands
from appgw.listen.clients import Verification
from appgw.listen.contexts import (
    VERSION_NAMES,
    SiteTLS,
    door_context,
    site_context,
)
from appgw.message import ClientCertificate

RENEWAL: Final = 12 * 3600.0
"""Seconds after which contexts, and with them the ticket keys, are new."""

_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 49\r\nConnection: close\r\n\r\n"
    b"This port speaks https, and you asked with http.\n"
)
_HTTP: Final = ("http request", "https proxy request")
"""What OpenSSL says to plain http, and to CONNECT."""


@attrs.frozen
class Facts:
    """
    What a handshake settled.

    Attributes:
        server_name: the SNI in lower case, None without.
        version, cipher: OpenSSL's names.
        client_certificate: None where the listener asks for none.
    """

    server_name: str | None
    version: str
    cipher: str
    client_certificate: ClientCertificate | None = None


@attrs.frozen(eq=False)
class _Chosen:
    """
    Whose handshake it is, on a port whose listeners differ.
    """

    server_name: str | None
    site: SiteTLS
    verification: Verification | None


class PortTLS:
    """
    The terms of one port.

    Args:
        sites: all that its listeners do in handshakes.
        site_for: which of them for an SNI, or for None.
        failed: told of each handshake that came to nothing.
        wall: seconds since the epoch.

    Attributes:
        curious: see ``ServerTerms``.
        site_for: another function may take its place.
        site_now: what is meant by the configuration in force, which may be a
            newer one when a handshake ends than when it began.
    """

    curious = False

    def __init__(
        self,
        sites: Iterable[SiteTLS],
        site_for: Callable[[str | None], SiteTLS],
        failed: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.sites = frozenset(sites)
        self.site_for = self.site_now = site_for
        self._failed = failed
        self._wall = wall
        self._demands, *others = {site.demands for site in self.sites}
        self._alike = not others and self._demands.client is None
        self._door: SSL.Context | None = None
        self._contexts: dict[SiteTLS, SSL.Context] = {}
        self.renew()

    def renew(self) -> None:
        """
        Make every context anew; connections that stand keep theirs.
        """
        # The name binds a session to this port and this generation.
        session_id = secrets.token_bytes(16)
        self._contexts = {
            site: self._joined(
                site_context(site, self._wall, resuming=self._alike), session_id
            )
            for site in self.sites
        }
        if not self._alike:
            door = door_context(site.demands.policy for site in self.sites)
            self._door = self._joined(door, session_id)

    def _joined(self, context: SSL.Context, session_id: bytes) -> SSL.Context:
        context.set_session_id(session_id)
        context.set_tlsext_servername_callback(self._choose)
        return context

    def context(self) -> SSL.Context:
        """
        Return the context to begin a handshake with.
        """
        return self._door or self._contexts[self.site_for(None)]

    def _choose(self, connection: SSL.Connection) -> None:
        """
        Switch to the context for the SNI; an exception here would be lost.

        OpenSSL calls this for a handshake without SNI as well.
        """
        try:
            name = _text(connection.get_servername())
            site = self.site_for(name)
            if not self._alike:
                self._demand(connection, name, site)
            context = self._contexts[site]
            if context is not connection.get_context():
                connection.set_context(context)
        except Exception:
            connection.set_app_data(SSL.Error("the SNI led nowhere"))

    def _demand(
        self, connection: SSL.Connection, name: str | None, site: SiteTLS
    ) -> None:
        """
        Put a connection on a listener's terms, as far as no context does.

        Raises:
            ValueError: it is too late for that; at the door the handshake ends.
        """
        if not _is_spoken(site.demands, connection.get_protocol_version_name()):
            raise ValueError("the version is not the listener's")
        demand = site.demands.client
        verification = None if demand is None else Verification(demand)
        if verification is not None:
            connection.set_verify(SSL.VERIFY_PEER, verification.verify)
        connection.set_app_data(_Chosen(name, site, verification))

    def established(self, connection: SSL.Connection) -> Facts:
        """
        Return the facts of a finished handshake.

        Raises:
            SSL.Error: something about the SNI went wrong, or the handshake is not
                the one that the listener demands which it asked for.
        """
        chosen = connection.get_app_data()
        if isinstance(chosen, Exception):
            raise chosen
        name, client = _text(connection.get_servername()), None
        version, demands = connection.get_protocol_version_name(), self._demands
        if not self._alike:
            if chosen is None or name != chosen.server_name:
                raise SSL.Error("the handshake was on nobody's terms")
            demands = chosen.site.demands
            if chosen.verification is not None:
                client = chosen.verification.result(connection)
        if demands != self.site_now(name).demands or not _is_spoken(demands, version):
            raise SSL.Error("the handshake was on other terms")
        return Facts(name, version, connection.get_cipher_name() or "", client)

    def refused(self, error: Exception) -> bytes:
        """
        Count a handshake that failed; plain http is told in plain text.
        """
        self._failed()
        reasons = error.args[0] if error.args else ()
        if isinstance(reasons, list) and any(
            isinstance(reason, tuple) and reason[-1] in _HTTP for reason in reasons
        ):
            return _PLAIN_HTTP
        return b""


def _is_spoken(demands: Demands, version: str) -> bool:
    """
    Tell whether the version agreed on, in OpenSSL's words, is one demanded.
    """
    return VERSION_NAMES.get(version) in demands.policy.versions


def _text(name: bytes | None) -> str | None:
    return None if name is None else name.decode("ascii").lower()
