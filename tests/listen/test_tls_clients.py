from __future__ import annotations

import datetime
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from appgw.config.demands import Demands
from appgw.listen.clients import (
    DEEPEST,
    NOT_SHOWN,
)
from appgw.message import ClientCertificate
from appgw.testing import Issued, make_ca, make_certificate
from tests.listen.test_tls_tickets import Greeting
from tests.sites import TLS12, TLS13, Met, Peer, asking, policy, port_of, site
from tests.wire import WireTestCase

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
SERVER = make_certificate(["a.example"])
OPEN = make_certificate(["open.example"])
ROOT = make_ca("root")
MIDDLE = make_ca("middle", ROOT)
CLIENT = make_certificate(common_name="client", issuer=ROOT)
BELOW = make_certificate(common_name="below", issuer=MIDDLE)


class ClientCase(WireTestCase):
    """
    A port that asks for certificates, beside one that doesn't.
    """

    def tearDown(self) -> None:
        """
        Nothing that a client shows is worth a log line.
        """
        self.assertEqual([], self.flushLoggedErrors())

    def serving(self, demands: Demands | None = None, beside: bool = True) -> int:
        """
        Serve a.example on these demands and, beside it, open.example on none.
        """
        sites = {"a.example": site(SERVER, demands=demands or asking(ROOT))}
        if beside:
            sites["open.example"] = site(OPEN)
        self.tls = port_of(sites)
        return self.serve(Greeting, self.tls)

    async def shown(
        self, port: int, client: Issued | None, version: int = TLS13, **how: Any
    ) -> ClientCertificate | None:
        """
        Let a client in, and return what it has shown.
        """
        count = len(self.talkers.made)
        met = await self.peer(Peer(shown=client, version=version, **how).meet, port)
        self.assertEqual(b"hello", met.data, met.refusal)
        talker = await self.talker(count)
        shown: ClientCertificate | None = talker.transport.facts.client_certificate
        return shown


class VerificationTests(ClientCase):
    """
    What becomes of a certificate, in TLS 1.2 and 1.3.
    """

    async def outcome(
        self, client: Issued | None, demands: Demands, *wanted: str
    ) -> None:
        """
        Show a certificate; demand this verification, with and without a
        neighbour on the port.
        """
        for beside in (True, False):
            port = self.serving(demands, beside)
            for version in (TLS12, TLS13):
                shown = await self.shown(port, client, version)
                assert shown is not None
                verification = shown.verification
                self.assertTrue(verification.startswith(wanted), verification)
                self.assertEqual(b"" if client is None else client.der, shown.der)
            await self._stop(self.port)

    async def test_admitted(self) -> None:
        """
        One that a trusted CA has issued.
        """
        await self.outcome(CLIENT, asking(ROOT), "SUCCESS")

    async def test_nothing(self) -> None:
        """
        Nothing shown is no failure of the handshake.
        """
        await self.outcome(None, asking(ROOT), "NONE")

    async def test_every_kind_of_key(self) -> None:
        """
        RSA and Ed25519 are as good as P-256.
        """
        for kind in ("rsa", "ed25519"):
            client = make_certificate(common_name="client", issuer=ROOT, key=kind)
            await self.outcome(client, asking(ROOT), "SUCCESS")

    async def test_another_authority(self) -> None:
        """
        A CA that nobody trusts, also one with the same name.
        """
        for name in ("other", "root"):
            stranger = make_certificate(common_name="client", issuer=make_ca(name))
            await self.outcome(
                stranger,
                asking(ROOT),
                "FAILED:unable to get local issuer certificate",
                "FAILED:certificate signature failure",
            )

    async def test_self_signed(self) -> None:
        """
        Nobody vouches for himself, not even with the name of a CA.
        """
        said = "FAILED:self-signed certificate"
        await self.outcome(make_certificate(["a"]), asking(ROOT), said)

    async def test_dates(self) -> None:
        """
        Out of date, by its own dates or by those of its CA.
        """
        old = make_certificate(
            issuer=ROOT, not_before=NOW - 9 * DAY, not_after=NOW - DAY
        )
        early = make_certificate(issuer=ROOT, not_before=NOW + DAY)
        late = make_certificate(
            common_name="late",
            ca=True,
            not_before=NOW - 9 * DAY,
            not_after=NOW - DAY,
        )
        below = make_certificate(issuer=late)
        expired = "FAILED:certificate has expired"
        await self.outcome(old, asking(ROOT), expired)
        await self.outcome(early, asking(ROOT), "FAILED:certificate is not yet valid")
        await self.outcome(below, asking(late), expired)

    async def test_for_servers_only(self) -> None:
        """
        A certificate that is meant for servers.
        """
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        server = make_certificate(issuer=ROOT, usages=usages)
        said = "FAILED:unsuitable certificate purpose"
        await self.outcome(server, asking(ROOT), said)

    async def test_issued_by_a_leaf(self) -> None:
        """
        A leaf can't issue anything.
        """
        forged = make_certificate(common_name="forged", issuer=CLIENT)
        await self.outcome(
            forged,
            asking(ROOT),
            "FAILED:invalid CA certificate",
            "FAILED:unsuitable certificate purpose",
        )

    async def test_intermediates(self) -> None:
        """
        An intermediate comes from the client, or from the file.
        """
        await self.outcome(BELOW, asking(ROOT), "SUCCESS")
        alone = attrs.evolve(BELOW, issuer=None)
        said = "FAILED:unable to get local issuer certificate"
        await self.outcome(alone, asking(ROOT), said)
        await self.outcome(alone, asking(ROOT, MIDDLE), "SUCCESS")

    async def test_a_long_chain(self) -> None:
        """
        A chain that is longer than any is not followed to its end.
        """
        above = ROOT
        for number in range(DEEPEST + 2):
            above = make_ca(f"number {number}", above)
            if number == DEEPEST - 1:
                just = make_certificate(common_name="just", issuer=above)
        far = make_certificate(common_name="far", issuer=above)
        await self.outcome(just, asking(ROOT), "SUCCESS")
        await self.outcome(far, asking(ROOT), "FAILED:certificate chain too long")

    async def test_an_intermediate_is_no_root(self) -> None:
        """
        A file without the root vouches for nobody.
        """
        said = "FAILED:unable to get issuer certificate"
        again = "FAILED:unable to get local issuer certificate"
        await self.outcome(BELOW, asking(MIDDLE), said, again)

    async def test_the_issuer(self) -> None:
        """
        Where the issuer is named, another CA of the same chain is not enough.
        """
        demands = asking(ROOT, MIDDLE, issuers=[MIDDLE])
        await self.outcome(BELOW, demands, "SUCCESS")
        await self.outcome(CLIENT, demands, "FAILED:issuer DN mismatch")

    async def test_nobody_trusted(self) -> None:
        """
        Without any CA whatever is shown has failed.
        """
        said = "FAILED:unable to get local issuer certificate"
        await self.outcome(CLIENT, asking(strict=False), said)

    async def test_whom_we_trust(self) -> None:
        """
        Clients are told which CAs, by the listener that asks only.
        """
        port = self.serving(asking(ROOT, MIDDLE))
        for version in (TLS12, TLS13):
            for name, wanted in (
                (b"a.example", ("root", "middle")),
                (b"open.example", ()),
            ):
                how = Peer(name=name, version=version)
                met = await self.peer(how.meet, port)
                self.assertEqual(wanted, met.authorities)

    async def test_our_own_chain(self) -> None:
        """
        CAs for clients are no part of what we present, even if they could be.
        """
        server = make_certificate(["a.example"], issuer=ROOT)
        sites = {"a.example": site(server, demands=asking(ROOT))}
        port = self.serve(Greeting, port_of(sites))
        met: Met = await self.peer(Peer().meet, port)
        self.assertEqual(("a.example",), met.chain)


class NeighbourTests(ClientCase):
    """
    A listener that asks, beside one that doesn't.
    """

    async def test_nothing_asked(self) -> None:
        """
        Where nothing is asked nothing is shown, whatever the client has.
        """
        port = self.serving()
        for version in (TLS12, TLS13):
            shown = await self.shown(port, CLIENT, version, name=b"open.example")
            self.assertIsNone(shown)

    async def test_the_first(self) -> None:
        """
        Without SNI, or with an unknown one, the first listener's demands hold.
        """
        port = self.serving()
        for name in (None, b"c.example"):
            shown = await self.shown(port, CLIENT, name=name)
            assert shown is not None
            self.assertEqual("SUCCESS", shown.verification)
            self.assertEqual(NOT_SHOWN, await self.shown(port, None, name=name))

    async def test_beside_old_versions(self) -> None:
        """
        A neighbour with TLS 1.0 lowers nobody's standards for keys.
        """
        old = Demands(policy("AppGwSslPolicy20150501"))
        demands = asking(ROOT)
        demands = attrs.evolve(demands, policy=policy("AppGwSslPolicy20170401S"))
        tls = port_of(
            {
                "a.example": site(SERVER, demands=demands),
                "old.example": site(OPEN, demands=old),
            }
        )
        port = self.serve(Greeting, tls)
        weak = rsa.generate_private_key(65537, 1024)
        client = make_certificate(common_name="weak", issuer=ROOT, key=weak)
        for issued, verification in (
            (client, "FAILED:EE certificate key too weak"),
            (CLIENT, "SUCCESS"),
        ):
            how = {"suites": b"ALL", "version": TLS12}
            shown = await self.shown(port, issued, **how)
            assert shown is not None
            self.assertEqual(verification, shown.verification)

    async def test_another_authority_each(self) -> None:
        """
        Each listener has its own CAs, and none of its neighbour's.
        """
        other = make_ca("other")
        theirs = make_certificate(common_name="theirs", issuer=other)
        tls = port_of(
            {
                "a.example": site(SERVER, demands=asking(ROOT)),
                "b.example": site(OPEN, demands=asking(other)),
            }
        )
        port = self.serve(Greeting, tls)
        for name, client, holds in (
            (b"a.example", CLIENT, True),
            (b"a.example", theirs, False),
            (b"b.example", CLIENT, False),
            (b"b.example", theirs, True),
        ):
            for version in (TLS12, TLS13):
                shown = await self.shown(port, client, version, name=name)
                assert shown is not None
                self.assertEqual(holds, shown.verified)
