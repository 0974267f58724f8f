from __future__ import annotations

import datetime

from appgw.config import model
from appgw.testing import Issued, make_ca, make_certificate, server_context
from tests.journey.kit import LEAF, STRANGER, Backend, pin
from tests.journey.probing import Answers, ProbedTestCase

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
EXPIRED = make_certificate(["old"], not_before=NOW - 9 * DAY, not_after=NOW - DAY)
FUTURE = make_certificate(["new"], not_before=NOW + DAY, not_after=NOW + 9 * DAY)

ROOT = make_ca("the root")
MIDDLE = make_ca("between", ROOT)
SIGNED = make_certificate(["orders.internal"], ["127.0.0.1"], issuer=MIDDLE)
OTHER_ROOT = make_ca("another root")

ONCE = {"unhealthy_threshold": 1}
NOT_LISTED = "Backend server certificate is not whitelisted with Application Gateway. "
DATES = (
    'Backend certificate is invalid. Current date is not within the "Valid from" and'
    ' "Valid to" date range on the certificate. '
)


class PinTests(ProbedTestCase):
    """
    Probes see the certificate that requests would see, and judge it alike.
    """

    async def refused(self, backend: Backend, begins: str, reason: str) -> str:
        """
        Demand that the member is unhealthy for its certificate, and has been
        sent not a byte; return what is told.
        """
        self.assertEqual(["Down"], self.states())
        self.assertTrue(self.told().startswith(begins), self.told())
        self.assertEqual([502], await self.statuses(1))
        self.assertEqual(b"", backend.received)
        label = f"127.0.0.1:{backend.port}"
        labels = {"pool": "web", "setting": "web", "member": label, "reason": reason}
        self.assertEqual(1, self.count("appgw_pin_refusals_total", **labels))
        return self.told()

    async def test_stranger(self) -> None:
        """
        A certificate that is not on the list makes unhealthy, in Azure's words;
        both fingerprints are told, in the log as well, and the way to see more.
        """
        backend = self.backend(Answers(), STRANGER)
        await self.probed(backend, probe=ONCE)
        told = await self.refused(backend, NOT_LISTED, "not-pinned")
        self.assertIn(
            f"presented: subject CN=orders.internal, SHA-256 {STRANGER.sha256}", told
        )
        self.assertIn(f"allowed: leaf (SHA-256 {LEAF.sha256})", told)
        self.assertIn(f"appgw pins fetch 127.0.0.1:{backend.port}", told)
        self.assertIn(
            f"127.0.0.1:{backend.port} (pool web, setting web) is unhealthy: {told}",
            self.messages(),
        )

    async def test_dates(self) -> None:
        """
        A listed certificate out of its dates makes unhealthy, and one without
        that demand does not.
        """
        for issued, reason in ((EXPIRED, "expired"), (FUTURE, "not-yet-valid")):
            backend = self.backend(Answers(), issued)
            config = self.probing(backend, probe=ONCE)
            self.serve(config, pins={"leaf": pin(issued)})
            await self.settled()
            await self.refused(backend, DATES, reason)
            self.serve(config, pins={"leaf": pin(issued, allow_expired=True)})
            await self.settled()
            self.assertEqual(["Up"], self.states())

    async def test_pin_ends(self) -> None:
        """
        A pin past its last day makes unhealthy, too.
        """
        backend = self.backend(Answers())
        ended = pin(LEAF, not_after=(NOW - 2 * DAY).date())
        self.serve(self.probing(backend, probe=ONCE), pins={"leaf": ended})
        await self.settled()
        await self.refused(backend, NOT_LISTED, "pin-expired")

    async def test_wrong_name(self) -> None:
        """
        Where the name is verified, a pinned certificate with another makes
        unhealthy; it is the requests' name, whatever Host the probe has.
        """
        backend = self.backend(Answers())
        settings = {"verify_name": True, "host_name": "shop.internal"}
        probe = ONCE | {"host": "orders.internal"}
        await self.probed(backend, probe=probe, **settings)
        told = await self.refused(backend, "The Common Name of the leaf", "name")
        self.assertIn("shop.internal is not among its names", told)

    async def test_member_pins(self) -> None:
        """
        A member's own pins count for its probes, as for its requests.
        """
        backend = self.backend(Answers(), STRANGER)
        member = model.Member(address="127.0.0.1", port=backend.port, pins=("own",))
        pins = {"leaf": pin(LEAF), "own": pin(STRANGER, "own")}
        self.serve(self.probing(member, probe=ONCE), pins=pins)
        await self.settled()
        self.assertEqual(["Up"], self.states())

    async def test_another_behind_the_name(self) -> None:
        """
        A probe that meets the right certificate is no pass for requests that
        meet another one.
        """
        probed, asked = self.backend(Answers()), self.backend(Answers(), STRANGER)
        await self.probed(asked, probe={"port": probed.port})
        self.assertEqual((["Up"], [502]), (self.states(), await self.statuses(1)))
        self.assertEqual(b"", asked.received)


class ChainTests(ProbedTestCase):
    """
    With trusted roots OpenSSL has a say, and Azure a sentence for each.
    """

    async def told_of(
        self,
        issued: Issued,
        *roots: Issued,
        extra: tuple[Issued, ...] | None = None,
        trusted: tuple[str, ...] = ("root",),
    ) -> str:
        """
        Return what is told of a backend with this certificate, under these roots.
        """
        context = server_context(issued, extra=extra)
        backend = self.backend(Answers(), context=context)
        config = self.probing(backend, probe=ONCE, pins=(), trusted_roots=trusted)
        root = model.TrustedRoot(
            name="root", certificates=tuple(one.der for one in roots)
        )
        self.serve(config, trusted_roots={"root": root})
        await self.settled()
        told = self.told()
        await self.gateway.stopService()
        return told

    async def test_whole(self) -> None:
        """
        A whole chain to one of the roots is healthy.
        """
        told = await self.told_of(SIGNED, OTHER_ROOT, ROOT)
        self.assertEqual("Success. Received 200 status code", told)

    async def test_broken(self) -> None:
        """
        Each way in which a chain can be broken is told in the words that Azure
        has for it, and by OpenSSL's.
        """
        selfsigned = make_certificate(["orders.internal"], ["127.0.0.1"])
        well_known = {"trusted": (model.WELL_KNOWN,)}
        for begins, arguments, more in (
            ("The Intermediate certificate is missing", (SIGNED, ROOT), {"extra": ()}),
            ("The Intermediate certificate not signed by", (SIGNED, OTHER_ROOT), {}),
            (
                "The root certificate of the server certificate",
                (SIGNED, OTHER_ROOT),
                {"extra": (MIDDLE, ROOT)},
            ),
            ("The root certificate of the server", (selfsigned, OTHER_ROOT), {}),
            ("The Intermediate certificate is missing", (selfsigned, selfsigned), {}),
            ("The backend Server certificate is not signed", (selfsigned,), well_known),
            ("The Intermediate certificate is not signed", (SIGNED,), well_known),
            (
                "The backend Server certificate is not signed",
                (SIGNED,),
                well_known | {"extra": (MIDDLE, ROOT)},
            ),
        ):
            told = await self.told_of(*arguments, **more)
            self.assertTrue(told.startswith(begins), (begins, told))
            self.assertIn("; presented: subject CN=orders.internal, SHA-256", told)

    async def test_expired_between(self) -> None:
        """
        An intermediate certificate out of its dates is told like a leaf's.
        """
        old = make_certificate(
            common_name="old",
            ca=True,
            issuer=ROOT,
            not_before=NOW - 9 * DAY,
            not_after=NOW - DAY,
        )
        leaf = make_certificate(["orders.internal"], ["127.0.0.1"], issuer=old)
        told = await self.told_of(leaf, ROOT)
        self.assertTrue(told.startswith(DATES), told)

    async def test_no_ca(self) -> None:
        """
        Where no sentence fits, OpenSSL's number is told.
        """
        no_ca = make_certificate(common_name="no CA", issuer=ROOT)
        leaf = make_certificate(["orders.internal"], ["127.0.0.1"], issuer=no_ca)
        told = await self.told_of(leaf, ROOT)
        self.assertRegex(told, r"associated with error code \d+ https://")
