"""
Pinned TLS towards backends: the contexts, and the two moments of the check.

The verdict itself is in ``appgw.backend.verdict``. It is asked for twice: in the
verify callback, so that a stranger gets an alert instead of the rest of the
handshake, and after the handshake, when the stranger's key has been proven.
Only the second one lets requests through.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import attrs
from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from appgw.backend.presented import Presented, is_address, name_error, printable
from appgw.backend.target import Target
from appgw.backend.verdict import Verdict, judge, needs_chain, needs_name
from appgw.config.presenting import NO_AUTO_CHAIN, present

_FINISHED = b"SSL negotiation finished successfully"
_KEPT = 256
_VERIFIED = object()
_ERRORS = {
    code: name.removeprefix("ERR_").lower().replace("_", " ")
    for name, code in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}


class PinRefused(SSL.Error):
    """
    A backend is not the one that was configured; nothing was sent to it.

    An ``SSL.Error``, because that is what Twisted's TLS takes for the end of a
    connection.

    Attributes:
        verdict: why.
        target: what was demanded.
    """

    def __init__(self, verdict: Verdict, target: Target) -> None:
        self.verdict = verdict
        self.target = target
        # Twisted looks for a reason in OpenSSL's error queue: args[0][-1][2].
        super().__init__([("appgw", "pins", verdict.explain(target))])

    def __str__(self) -> str:
        return self.verdict.explain(self.target)


def utc_now() -> datetime.datetime:
    """
    Return the time, aware.
    """
    return datetime.datetime.now(datetime.UTC)


def presented_by(certificate: crypto.X509) -> Presented:
    """
    Read a certificate as OpenSSL hands it out.
    """
    return Presented.from_der(_der(certificate))


@implementer(IOpenSSLClientConnectionCreator)
class PinnedClientTLSOptions:
    """
    TLS towards one target. Keep it: the context is made once, here.

    With Twisted's TLS it goes wherever an ``IOpenSSLClientConnectionCreator``
    goes. Over a socket: make ``SSL.Connection(options.context, socket)``, call
    ``prepare``, then only ``do_handshake`` until it returns, then ``verdict``;
    before that has admitted, neither send nor receive. The connection's
    app data are ours.

    With trusted roots, the machine's clock counts for the dates of the chain.

    Attributes:
        target: what is demanded; kept connections belong to it alone.
        context: for connections to this target only.

    Raises:
        ValueError: the server's name is not ASCII, or a root is no certificate.
        ValueError, SSL.Error: the client certificate cannot be presented.
    """

    def __init__(
        self, target: Target, now: Callable[[], datetime.datetime] = utc_now
    ) -> None:
        self.target = target
        self._now = now
        self._chained = needs_chain(target)
        self._named = needs_name(target)
        self._roots = frozenset(target.roots or ())
        self._sni = _server_name(target)
        self._alpn = list(target.alpn)
        # The last leaf, and what is wrong with its name: the same one comes
        # again and again, and only the dates have to be judged anew.
        self._leaf: tuple[Presented, str | None] | None = None
        self.context = _context(target)
        self.context.set_verify(SSL.VERIFY_PEER, self._verify)

    def prepare(self, connection: SSL.Connection) -> None:
        """
        Make a fresh connection of our context ready for ``do_handshake``.
        """
        connection.set_app_data(None)
        connection.set_connect_state()
        if self._sni is not None:
            connection.set_tlsext_host_name(self._sni)
        if self._alpn:
            connection.set_alpn_protos(self._alpn)

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """
        Make the connection for Twisted's TLS; it checks itself.
        """
        connection = _CheckedConnection(self)
        self.prepare(connection)
        return connection

    def refusal(self, connection: SSL.Connection) -> Verdict | None:
        """
        Return the no that ended the handshake; None if something else did.

        For the moment when ``do_handshake`` has raised. Never raises.
        """
        found = connection.get_app_data()
        return found if isinstance(found, Verdict) else None

    def verdict(self, connection: SSL.Connection) -> Verdict:
        """
        Judge a connection whose handshake is over. Never raises.

        A connection that was refused stays refused, and one that is still in
        its handshake is refused too: its peer has not proven its key yet.
        """
        try:
            return self.refusal(connection) or self._judge_finished(connection)
        except Exception as error:
            return Verdict(False, "error", None, None, type(error).__name__)

    def _judge_finished(self, connection: SSL.Connection) -> Verdict:
        if connection.get_state_string() != _FINISHED:
            return Verdict(False, "unfinished")
        certificate = connection.get_peer_certificate()
        if certificate is None:
            return self._judge(None, None, chain_verified=False)
        presented, error = self._read(certificate)
        holds = self._chained and self._chain_holds(connection, presented.der)
        return self._judge(presented, error, chain_verified=holds)

    def _judge(
        self, presented: Presented | None, error: str | None, *, chain_verified: bool
    ) -> Verdict:
        return judge(
            self.target,
            presented,
            self._now(),
            chain_verified=chain_verified,
            name_error=error,
        )

    def _read(self, certificate: crypto.X509) -> tuple[Presented, str | None]:
        der = _der(certificate)
        known = self._leaf
        if known is not None and known[0].der == der:
            return known
        error = name_error(self.target.name, der) if self._named else "not compared"
        self._leaf = known = (Presented.from_der(der), error)
        return known

    def _chain_holds(self, connection: SSL.Connection, leaf: bytes) -> bool:
        """
        Tell whether OpenSSL has verified a chain from this leaf to our roots.

        A chain alone is no proof: OpenSSL keeps one that it found wrong, too.
        """
        if connection.get_app_data() is not _VERIFIED:
            return False
        chain = connection.get_verified_chain()
        if not chain or _der(chain[0]) != leaf:
            return False
        return self.target.well_known or _der(chain[-1]) in self._roots

    def _verify(
        self,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        ok: int,
    ) -> bool:
        """
        OpenSSL's verify callback: True goes on, False ends with an alert.

        pyOpenSSL forgets an error that is answered with True. Where roots are
        demanded, none is. Where they are not, the chain means nothing.
        """
        try:
            verdict = self._verdict_so_far(connection, certificate, error, depth, ok)
        except Exception as failure:
            verdict = Verdict(False, "error", None, None, type(failure).__name__)
        if verdict is None:
            return True
        if verdict.admitted:
            # Depth 0 comes last, and no error got past us on the way to it.
            connection.set_app_data(_VERIFIED)
            return True
        connection.set_app_data(verdict)
        return False

    def _verdict_so_far(
        self,
        connection: SSL.Connection,
        certificate: crypto.X509,
        error: int,
        depth: int,
        ok: int,
    ) -> Verdict | None:
        broken = self._chained and not ok  # never admitted: see judge
        if depth and not broken:
            return None
        if depth:
            sent = connection.get_peer_cert_chain()
            certificate = sent[0] if sent else certificate
        presented, mismatch = self._read(certificate)
        verdict = self._judge(presented, mismatch, chain_verified=not broken)
        if broken and verdict.reason == "chain":
            said = f"depth {depth}: {_ERRORS.get(error, f'error {error}')}"
            return attrs.evolve(verdict, detail=printable(said), openssl=(error, depth))
        return verdict


@implementer(IPolicyForHTTPS)
class PinningPolicy:
    """
    Pins for a stock ``twisted.web.client.Agent``, and for treq over it.

    A name for which there is no target is refused by an empty list of pins.
    Agent keeps connections by scheme, host and port, not by target: give each
    policy an agent of its own. ``http`` URLs never ask a policy.

    Attributes:
        target_for: from host and port to the target; None or any exception
            for those that are not known.
    """

    def __init__(
        self,
        target_for: Callable[[bytes, int], Target | None],
        now: Callable[[], datetime.datetime] = utc_now,
    ) -> None:
        self._target_for = target_for
        self._now = now
        self._kept: dict[Target, PinnedClientTLSOptions] = {}

    def creatorForNetloc(self, hostname: bytes, port: int) -> PinnedClientTLSOptions:
        """
        Return the options of the target for this host and port.
        """
        try:
            target = self._target_for(hostname, port)
        except Exception:
            target = None
        if target is None:
            host = hostname.decode("ascii", "replace")
            return PinnedClientTLSOptions(
                Target(address=host, port=port, pins=()), self._now
            )
        options = self._kept.get(target)
        if options is None:
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            options = PinnedClientTLSOptions(target, self._now)
            self._kept[target] = options
        return options


class _CheckedConnection(SSL.Connection):
    """
    A connection over memory that keeps silent until it is admitted.

    Twisted's TLS knows one moment for a check, the end of the handshake, and
    that is where this one stands: a handshake with a stranger never ends well.
    """

    def __init__(self, options: PinnedClientTLSOptions) -> None:
        super().__init__(options.context, None)
        self._options = options
        self._admitted = False

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (SSL.WantReadError, SSL.WantWriteError):
            raise
        except SSL.Error as error:
            refused = self._options.refusal(self)
            if refused is None:
                raise
            raise PinRefused(refused, self._options.target) from error
        verdict = self._options.verdict(self)
        if not verdict.admitted:
            raise PinRefused(verdict, self._options.target)
        self._admitted = True

    def send(self, buf: bytes | bytearray | memoryview, flags: int = 0) -> int:
        # Without this, OpenSSL would end the handshake by itself and send.
        if not self._admitted:
            raise SSL.WantReadError
        return super().send(buf, flags)

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        if not self._admitted:
            raise SSL.WantReadError
        return super().recv(bufsiz, flags)


def _context(target: Target) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # Never resume: a resumed handshake carries no certificate to judge.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS | NO_AUTO_CHAIN)
    if target.client_certificate is not None:
        present(context, target.client_certificate)
        # By RSA a server proves its key only after it has seen ours: whoever shows
        # a pinned certificate that is not his would learn who we are.
        context.set_cipher_list(b"DEFAULT:!kRSA")
    if not needs_chain(target):
        # Whoever signed the leaf: spare us the work of finding out.
        context.set_verify_depth(0)
        return context
    if target.well_known:
        context.set_default_verify_paths()
    store = context.get_cert_store()
    for der in target.roots or ():
        root = x509.load_der_x509_certificate(der)
        if store is not None and _may_sign(root):
            store.add_cert(crypto.X509.from_cryptography(root))
    return context


def _may_sign(root: x509.Certificate) -> bool:
    """
    Tell a CA from a leaf, which OpenSSL would take for a root of itself.

    Version 1 has no extensions to tell by; there, the operator's word counts.
    """
    if root.version is x509.Version.v1:
        return True
    try:
        found = root.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return found.value.ca


def _server_name(target: Target) -> bytes | None:
    name = (target.server_name or "").removesuffix(".")
    if not name or is_address(name):
        return None
    return name.encode("ascii")


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
