from __future__ import annotations

import attrs
from OpenSSL import SSL

from appgw.config.demands import Demands
from appgw.config.model import SslPolicy
from appgw.config.policies import SUITES, resolved
from appgw.listen.tls import PortTLS
from appgw.testing import make_certificate
from tests.listen.test_tls import Closing
from tests.sites import TLS12, TLS13, Met, Peer, policy, port_of, site
from tests.wire import WireTestCase

VERSIONS = (
    (SSL.TLS1_VERSION, "TLSv1"),
    (SSL.TLS1_1_VERSION, "TLSv1.1"),
    (TLS12, "TLSv1.2"),
    (TLS13, "TLSv1.3"),
)
SPOKEN = (
    ("AppGwSslPolicy20150501", "TLSv1 TLSv1.1 TLSv1.2"),
    ("AppGwSslPolicy20170401", "TLSv1.1 TLSv1.2"),
    ("AppGwSslPolicy20170401S", "TLSv1.2"),
    ("AppGwSslPolicy20220101", "TLSv1.2 TLSv1.3"),
    ("AppGwSslPolicy20220101S", "TLSv1.2 TLSv1.3"),
)
RSA = make_certificate(["a.example"], key="rsa")
ECDSA = make_certificate(["a.example"])
OTHER = make_certificate(["b.example"])


class PolicyCase(WireTestCase):
    """
    Ports with policies, and peers of one version each.
    """

    def tearDown(self) -> None:
        """
        Nothing that a peer does in a handshake is worth a log line.
        """
        self.assertEqual([], self.flushLoggedErrors())

    def serving(self, **policies: str) -> int:
        """
        Serve a listener for each name, with the policy of this name.
        """
        names = {"a": ECDSA, "b": OTHER}
        tls = port_of(
            {
                f"{name}.example": site(
                    names[name], demands=Demands(policy(f"AppGwSslPolicy{word}"))
                )
                for name, word in policies.items()
            }
        )
        return self.serve(Closing, tls)

    async def meet(self, port: int, **how: object) -> Met:
        """
        Let a peer meet the port.
        """
        met: Met = await self.peer(Peer(**how).meet, port)
        return met


class OnePolicyTests(PolicyCase):
    """
    A port with one policy speaks that, exactly.
    """

    async def test_versions(self) -> None:
        """
        Each predefined policy speaks its versions, and refuses all others.
        """
        for name, spoken in SPOKEN:
            demands = Demands(policy(name))
            tls = port_of({"a.example": site(RSA, demands=demands)})
            port = self.serve(Closing, tls)
            for version, called in VERSIONS:
                met = await self.meet(port, version=version)
                wanted = called if called in spoken.split() else ""
                self.assertEqual(wanted, met.version, (name, met.refusal))
            await self._stop(self.port)

    async def test_suites(self) -> None:
        """
        What can be agreed on in TLS 1.2 is the policy's list, and all of it.
        """
        for name in ("AppGwSslPolicy20170401S", "AppGwSslPolicy20220101S"):
            agreed = set()
            for certificate in (RSA, ECDSA):
                demands = Demands(policy(name))
                tls = port_of({"a.example": site(certificate, demands=demands)})
                port = self.serve(Closing, tls)
                for suite in {one.openssl for one in SUITES.values()}:
                    met = await self.suite(port, suite)
                    agreed.add(met.cipher)
                await self._stop(self.port)
            self.assertEqual(set(policy(name).suites), agreed - {""})

    async def suite(self, port: int, suite: str) -> Met:
        """
        Offer one suite, if OpenSSL has it.
        """
        try:
            return await self.meet(port, version=TLS12, suites=suite.encode())
        except SSL.Error:
            return Met()

    async def test_order(self) -> None:
        """
        Of the suites in common, a custom policy's first one is taken.
        """
        weak, strong = "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-GCM-SHA384"
        custom = attrs.evolve(policy("AppGwSslPolicy20220101"), suites=(weak, strong))
        port = self.serve(
            Closing, port_of({"a.example": site(ECDSA, demands=Demands(custom))})
        )
        both = f"{strong}:{weak}".encode()
        met = await self.meet(port, version=TLS12, suites=both)
        self.assertEqual(weak, met.cipher)

    async def test_only_the_newest(self) -> None:
        """
        With TLS 1.3 alone no list of suites is needed, and TLS 1.2 is refused.
        """
        newest = resolved(
            SslPolicy(policy_type="CustomV2", min_protocol_version="TLSv1_3")
        )
        port = self.serve(
            Closing, port_of({"a.example": site(ECDSA, demands=Demands(newest))})
        )
        self.assertEqual("TLSv1.3", (await self.meet(port)).version)
        self.assertIn("version", (await self.meet(port, version=TLS12)).refusal)

    async def test_a_gap(self) -> None:
        """
        A version in the middle can be left out.
        """
        gap = attrs.evolve(
            policy("AppGwSslPolicy20150501"), versions=("TLSv1_0", "TLSv1_2")
        )
        port = self.serve(
            Closing, port_of({"a.example": site(ECDSA, demands=Demands(gap))})
        )
        for version, called in VERSIONS:
            met = await self.meet(port, version=version)
            self.assertEqual(
                called if called in ("TLSv1", "TLSv1.2") else "", met.version
            )


class TwoPoliciesTests(PolicyCase):
    """
    On one port the name decides about the policy, too.
    """

    async def test_versions(self) -> None:
        """
        What one listener speaks, another one of the port may refuse, with an
        alert; nobody gets through on a neighbour's terms.
        """
        port = self.serving(a="20220101", b="20170401S")
        # As checked at load, this port would not be: it shows both directions.
        for name, certificate, wanted in (
            (b"a.example", "a.example", ("", "", "TLSv1.2", "TLSv1.3")),
            (b"b.example", "b.example", ("", "", "TLSv1.2", "")),
            (b"c.example", "a.example", ("", "", "TLSv1.2", "TLSv1.3")),
            (None, "a.example", ("", "", "TLSv1.2", "TLSv1.3")),
        ):
            for (version, called), version_met in zip(VERSIONS, wanted, strict=True):
                met = await self.meet(port, name=name, version=version)
                self.assertEqual(version_met, met.version, (name, called))
                if met.version:
                    self.assertEqual((certificate,), met.chain)
                else:
                    self.assertIn("alert", met.refusal)

    async def test_old_beside_new(self) -> None:
        """
        A listener with TLS 1.0 doesn't make its neighbour speak it, and each
        one's suites are its own.
        """
        port = self.serving(a="20170401S", b="20150501")
        old = await self.meet(port, name=b"b.example", version=SSL.TLS1_VERSION)
        self.assertEqual(("TLSv1", ("b.example",)), (old.version, old.chain))
        for name in (b"a.example", None):
            met = await self.meet(port, name=name, version=SSL.TLS1_VERSION)
            self.assertIn("alert", met.refusal)
        await self.until(lambda: not self.port.handshaking)
        self.assertEqual(1, len(self.talkers.made))

    async def test_suites(self) -> None:
        """
        The suites are those of the listener that was asked for.
        """
        port = self.serving(a="20220101S", b="20220101")
        suite = b"ECDHE-ECDSA-AES256-SHA384"
        for name, cipher in ((b"a.example", ""), (b"b.example", suite.decode())):
            met = await self.meet(port, name=name, version=TLS12, suites=suite)
            self.assertEqual(cipher, met.cipher)

    def test_the_door(self) -> None:
        """
        Where listeners differ, a handshake begins with what presents nothing.
        """
        demands = [Demands(policy(name)) for name, _ in SPOKEN[3:]]
        sites = [site(ECDSA, demands=one) for one in demands]
        for chosen, begins_with_it in (
            (sites[:1], True),
            ([sites[0], site(OTHER, demands=demands[0])], True),
            (sites, False),
        ):
            tls = PortTLS(chosen, lambda _: sites[0], lambda: None)
            cache = tls.context().get_session_cache_mode()
            self.assertEqual(SSL.SESS_CACHE_OFF, cache)
            resumes = not tls.context().set_options(0) & SSL.OP_NO_TICKET
            self.assertEqual(begins_with_it, resumes)
            shown = SSL.Connection(tls.context(), None).get_certificate()
            self.assertEqual(begins_with_it, shown is not None)

    async def test_a_renewal(self) -> None:
        """
        A handshake that began at the old door ends well on the new contexts.
        """
        port = self.serving(a="20220101", b="20220101S")
        peer = await self.dialled(port)
        await self.until(lambda: self.port.handshaking)
        self.port.tls.renew()
        met = await self.peer(Peer(name=b"b.example").over, peer)
        self.assertEqual(("b.example",), met.chain)

    async def test_terms_that_change(self) -> None:
        """
        A handshake that ends when its listener demands another one is refused;
        one whose listener has only another certificate is not.
        """
        for now, refused in (
            (site(OTHER, demands=Demands(policy("AppGwSslPolicy20220101"))), False),
            (site(ECDSA, demands=Demands(policy("AppGwSslPolicy20170401S"))), True),
        ):
            for policies in ({"a": "20220101"}, {"a": "20220101", "b": "20220101S"}):
                port = self.serving(**policies)
                peer = await self.dialled(port)
                await self.until(lambda: self.port.handshaking)
                self.port.tls.site_now = lambda _, now=now: now
                met = await self.peer(Peer().over, peer)
                self.assertEqual(refused, bool(met.refusal))
                await self.until(lambda: not self.port.handshaking)
                self.assertEqual(not refused, bool(self.talkers.made))
                await self._stop(self.port)
