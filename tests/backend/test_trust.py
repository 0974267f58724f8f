from __future__ import annotations

import datetime

from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from twisted.trial.unittest import TestCase

from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, PinRefused
from appgw.testing import Issued, make_ca, make_certificate, server_context
from tests.backend.loopback import SECRET, Backend, hurry, key_pin, pin, target

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


class Loopback(TestCase):
    """
    Real handshakes with Twisted's own TLS, in TLS 1.2 and in TLS 1.3.
    """

    async def admitted(
        self, wanted: Target, issued: Issued, extra: list[Issued] | None = None
    ) -> None:
        """
        Check that the backend gets the request, and the client its answer.
        """
        for tls12 in (True, False):
            backend = Backend(self, server_context(issued, tls12, extra=extra))
            options = PinnedClientTLSOptions(wanted)
            answer = await hurry(backend.port, options)
            self.assertTrue(answer.endswith(b"hello"))
            await backend.ended()
            self.assertEqual(b"".join(backend.received), SECRET * 2)

    async def refused(
        self,
        reason: str,
        wanted: Target,
        issued: Issued,
        extra: list[Issued] | None = None,
    ) -> None:
        """
        Check why it is refused, that the backend gets an alert, and no byte of
        the request: neither with both checks nor with the second alone, which
        takes a chain that it has not seen verified for a wrong one.
        """
        for tls12 in (True, False):
            for blind in (False, True):
                context = server_context(issued, tls12, extra=extra)
                backend = Backend(self, context)
                options = PinnedClientTLSOptions(wanted)
                if blind:
                    options.context.set_verify(SSL.VERIFY_NONE)
                with self.assertRaises(PinRefused) as raised:
                    await hurry(backend.port, options)
                await backend.ended()
                self.assertEqual(backend.received, [])
                expected = {reason} if not blind else {reason, "chain"}
                verdict = raised.exception.verdict
                self.assertIn(verdict.reason, expected)
                self.assertEqual(verdict.presented.sha256.hex(), issued.sha256)
                if not blind:
                    self.assertIn("alert", repr(backend.lost))


class PinnedLeafTests(Loopback):
    async def test_pinned_leaf(self) -> None:
        """
        The backend on the list is spoken to, self-signed or not.
        """
        alone = make_certificate(["a.example"])
        await self.admitted(target(pin(alone)), alone)
        below = make_certificate(issuer=make_ca("middle", make_ca()))
        await self.admitted(target(pin(alone), pin(below)), below)

    async def test_kinds_of_keys(self) -> None:
        """
        RSA and Ed25519 certificates are pinned like any other.
        """
        rsa, ed25519 = make_certificate(key="rsa"), make_certificate(key="ed25519")
        await self.admitted(target(pin(rsa)), rsa)
        await self.admitted(target(key_pin(ed25519)), ed25519)

    async def test_other_leaf_of_the_same_ca(self) -> None:
        """
        Another leaf of the same CA, for the same name, gets nothing.
        """
        root = make_ca()
        ours = make_certificate(["a.example"], issuer=root)
        other = make_certificate(["a.example"], issuer=root)
        await self.refused("not-pinned", target(pin(ours), key_pin(ours)), other)

    async def test_look_alike(self) -> None:
        """
        The same subject, issuer and serial number from another CA are nothing.
        """
        ours, theirs = (
            make_certificate(["a.example"], serial=7, issuer=make_ca("the CA"))
            for _ in range(2)
        )
        self.assertEqual(ours.certificate.issuer, theirs.certificate.issuer)
        await self.refused("not-pinned", target(pin(ours), key_pin(ours)), theirs)

    async def test_pinned_certificate_in_a_strangers_chain(self) -> None:
        """
        Only the leaf counts: a pinned certificate sent after it does not help.
        """
        ours, stranger = make_certificate(), make_certificate()
        wanted = target(pin(ours), key_pin(ours))
        await self.refused("not-pinned", wanted, stranger, [ours])
        root = make_ca()
        below = make_certificate(issuer=root)
        await self.refused("not-pinned", target(pin(root)), below, [root])

    async def test_empty_list(self) -> None:
        """
        An empty list, or no list at all, admits nobody.
        """
        issued = make_certificate(["a.example"])
        await self.refused("not-pinned", target(), issued)
        await self.refused("no-trust", target(pins=None), issued)

    async def test_renewed_leaf(self) -> None:
        """
        A renewed leaf with the same key passes by a key pin only.
        """
        old = make_certificate()
        renewed = make_certificate(key=old.key)
        await self.admitted(target(key_pin(old)), renewed)
        await self.refused("not-pinned", target(pin(old)), renewed)

    async def test_dates(self) -> None:
        """
        A pinned leaf is refused out of its dates, unless its pin lifts them.
        """
        past = make_certificate(not_before=NOW - 9 * DAY, not_after=NOW - DAY)
        early = make_certificate(not_before=NOW + DAY)
        for issued, reason in ((past, "expired"), (early, "not-yet-valid")):
            await self.refused(reason, target(pin(issued)), issued)
            await self.refused(reason, target(key_pin(issued)), issued)
            await self.admitted(target(pin(issued, allow_expired=True)), issued)

    async def test_injected_clock(self) -> None:
        """
        The dates are judged by the clock that was handed in.
        """
        issued = make_certificate()
        backend = Backend(self, server_context(issued))
        options = PinnedClientTLSOptions(target(pin(issued)), lambda: NOW + 999 * DAY)
        with self.assertRaises(PinRefused) as raised:
            await hurry(backend.port, options)
        self.assertEqual(raised.exception.verdict.reason, "expired")
        await backend.ended()

    async def test_name_besides_pins(self) -> None:
        """
        ``verify_name`` demands the name of a pinned certificate too.
        """
        issued = make_certificate(["a.example"])
        await self.admitted(target(pin(issued), verify_name=True), issued)
        await self.admitted(target(pin(issued), name="b.example"), issued)
        wanted = target(pin(issued), name="b.example", verify_name=True)
        await self.refused("name", wanted, issued)


class RootsTests(Loopback):
    def setUp(self) -> None:
        """
        Make a root, and an intermediate below it.
        """
        self.root = make_ca()
        self.middle = make_ca("middle", self.root)

    def rooted(self, **more: object) -> Target:
        """
        Make a target that rests on the root alone, unless more is said.
        """
        more.setdefault("pins", None)
        return target(roots=(self.root.der,), **more)

    async def test_chain_and_name(self) -> None:
        """
        With roots, a leaf of theirs with the right name is admitted.
        """
        direct = make_certificate(["a.example"], issuer=self.root)
        below = make_certificate(["a.example"], issuer=self.middle)
        await self.admitted(self.rooted(), direct)
        await self.admitted(self.rooted(), below)

    async def test_wrong_name(self) -> None:
        """
        With roots, another name is refused, and so is a leaf with none.
        """
        other = make_certificate(["b.example"], issuer=self.root)
        nameless = make_certificate(common_name="a.example", issuer=self.root)
        await self.refused("name", self.rooted(), other)
        await self.refused("name", self.rooted(), nameless)

    async def test_address(self) -> None:
        """
        A backend known by its address needs that address in its certificate.
        """
        wanted = self.rooted(name="127.0.0.1")
        right = make_certificate(ips=["127.0.0.1"], issuer=self.root)
        text = make_certificate(["127.0.0.1"], issuer=self.root)
        await self.admitted(wanted, right)
        await self.refused("name", wanted, text)

    async def test_strangers_chain(self) -> None:
        """
        Another root, a look-alike of ours included, and none at all are refused.
        """
        stranger = make_certificate(["a.example"], issuer=make_ca("stranger"))
        double = make_certificate(["a.example"], issuer=make_ca())
        alone = make_certificate(["a.example"])
        for issued in (stranger, double, alone):
            await self.refused("chain", self.rooted(), issued)
        ours = make_certificate(["a.example"], issuer=self.root)
        await self.refused("chain", target(pins=None, roots=()), ours)
        await self.refused("chain", target(pins=None, well_known=True), ours)

    async def test_broken_chain(self) -> None:
        """
        Errors above the leaf count: an intermediate that is missing, expired,
        or no CA at all.
        """
        below = make_certificate(["a.example"], issuer=self.middle)
        await self.refused("chain", self.rooted(), below, [])
        past = make_certificate(
            common_name="past",
            ca=True,
            issuer=self.root,
            not_before=NOW - 9 * DAY,
            not_after=NOW - DAY,
        )
        leaf = make_certificate(["x.example"], issuer=self.root)
        for issuer in (past, leaf):
            issued = make_certificate(["a.example"], issuer=issuer)
            await self.refused("chain", self.rooted(), issued)

    async def test_leaf_is_no_root(self) -> None:
        """
        A certificate that may not sign is no root, not even of itself.
        """
        alone = make_certificate(["a.example"])
        await self.refused("chain", target(pins=None, roots=(alone.der,)), alone)

    async def test_purpose(self) -> None:
        """
        A certificate for clients does not make a server.
        """
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        issued = make_certificate(["a.example"], issuer=self.root, usages=usages)
        await self.refused("chain", self.rooted(), issued)

    async def test_pins_and_roots(self) -> None:
        """
        Pins and roots: both must hold.
        """
        ours = make_certificate(["a.example"], issuer=self.middle)
        other = make_certificate(["a.example"], issuer=self.middle)
        alone = make_certificate(["a.example"])
        both = self.rooted(pins=(pin(ours), pin(alone)))
        await self.admitted(both, ours)
        await self.refused("not-pinned", both, other)
        await self.refused("chain", both, alone)
