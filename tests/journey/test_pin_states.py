from __future__ import annotations

from pathlib import Path

import attrs

from appgw import pinning
from appgw.config import model
from appgw.pin_state import load
from appgw.testing import make_ca, make_certificate, server_context
from tests.journey.kit import LEAF, OK, STRANGER, answering, pin
from tests.journey.lives import DAY, TODAY, LifeTestCase, key_pin, once


class StateTests(LifeTestCase):
    """
    What the state of a pin means to requests.
    """

    async def test_overlap(self) -> None:
        """
        The certificate to come is admitted before it comes, the one to go until
        it has gone: the backend changes at any time, and no request notices.
        """
        renewed = make_certificate(["orders.internal"])
        shown = [server_context(LEAF), server_context(renewed)]
        shown[0].set_tlsext_servername_callback(lambda c: c.set_context(shown[-1]))
        backend = self.backend(once, context=shown[0])
        old, new = pin(LEAF, "old"), pin(renewed, "new", state="next")
        config = self.config(backend, host_name="orders.internal")
        gateway = self.serve(self.pinned(config, old, new))
        shown.reverse()
        self.assertEqual(200, (await self.ask()).status)
        shown.reverse()
        self.assertEqual(200, (await self.ask()).status)
        later = attrs.evolve(old, state="retiring"), attrs.evolve(new, state="active")
        await gateway.apply(self.pinned(config, *later))
        shown.reverse()
        self.assertEqual(200, (await self.ask()).status)
        await self.recorded(3)
        self.assertEqual(
            ["old", "new", "old"], [one["backendPin"] for one in self.lines()]
        )

    async def test_retiring(self) -> None:
        """
        Who still uses a retiring pin is told of once an hour, and counted each
        time; nobody else is told of.
        """
        backend = self.backend(once)
        self.behind(backend, pin(LEAF, "old", state="retiring"))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        line = f"https://127.0.0.1:{backend.port} still presents what the retiring pin"
        self.assertEqual(1, self.messages().count(line))
        self.assertEqual(3, self.count("appgw_pin_matches_total", pin="old"))
        self.gateway.pass_time(pinning.TOLD_EVERY)
        self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(2, self.messages().count(line))

    async def test_active(self) -> None:
        """
        An active pin is counted, and nothing is told of it.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF, "new"))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(1, self.count("appgw_pin_matches_total", pin="new"))
        self.assertNotIn("retiring", self.messages())

    async def test_revoked(self) -> None:
        """
        A revoked certificate is refused although its key is pinned.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, key_pin(), pin(LEAF, "gone", state="revoked"))
        await self.refused(backend, "revoked")
        self.assertEqual(1, self.refusals(backend, "revoked"))
        self.assertEqual(b"", backend.received)

    async def test_revoked_elsewhere(self) -> None:
        """
        It is refused by settings that don't list the pin, too, and where roots
        vouch for it.
        """
        ca = make_ca()
        leaf = make_certificate(["orders.internal"], ["127.0.0.1"], issuer=ca)
        roots = {"corp": model.TrustedRoot(name="corp", certificates=(ca.der,))}
        backend = self.backend(answering(OK), leaf)
        for settings in ({"pins": ("leaf",)}, {"pins": (), "trusted_roots": ("corp",)}):
            config = self.config(backend, **settings)
            pins = {"leaf": pin(leaf)}
            gateway = self.serve(config, pins=pins, trusted_roots=roots)
            self.assertEqual(200, (await self.ask()).status)
            pins["gone"] = pin(leaf, "gone", state="revoked")
            changed = attrs.evolve(config, pins=pins, trusted_roots=roots)
            await gateway.apply(changed)
            await self.refused(backend, "revoked")
            await gateway.stopService()

    async def test_not_yet(self) -> None:
        """
        A pin admits nothing before its first day.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF, not_before=TODAY + 2 * DAY))
        await self.refused(backend, "pin-not-yet-valid")
        self.gateway.pass_days(3)
        self.gateway.pass_time(20)  # it has rested
        self.assertEqual(200, (await self.ask()).status)


class MatchTests(LifeTestCase):
    """
    When a pin was last met.
    """

    def setUp(self) -> None:
        """
        Choose where that is kept.
        """
        super().setUp()
        self.state = Path(self.mktemp()).absolute()

    async def test_written(self) -> None:
        """
        It is written down after a minute, and at the end what is new by then.
        """
        backend = self.backend(once)
        known = pin(LEAF, "orders")
        self.behind(backend, known, pin_state=str(self.state))
        self.assertEqual(200, (await self.ask()).status)
        self.gateway.pass_time(0)
        self.assertFalse(self.state.exists())
        self.gateway.pass_time(pinning.WRITTEN_EVERY)
        first = load(self.state, [known])["orders"]
        self.assertEqual(LEAF.sha256, first.sha256)
        self.assertEqual(LEAF.certificate.not_valid_after_utc, first.not_after)
        self.assertEqual(200, (await self.ask()).status)
        self.gateway.pass_time(0)
        self.assertEqual(first, load(self.state, [known])["orders"])
        await self.gateway.stopService()
        self.assertGreater(load(self.state, [known])["orders"].at, first.at)

    async def test_kept_over_restarts(self) -> None:
        """
        A gateway that meets nothing keeps what another one has met.
        """
        backend = self.backend(once)
        known, other = pin(LEAF, "orders"), pin(STRANGER, "other")
        self.behind(backend, known, other, pin_state=str(self.state))
        self.assertEqual(200, (await self.ask()).status)
        await self.gateway.stopService()
        before = load(self.state, [known, other])
        self.assertEqual(["orders"], list(before))
        self.behind(
            self.backend(once, STRANGER), known, other, pin_state=str(self.state)
        )
        self.assertEqual(200, (await self.ask()).status)
        await self.gateway.stopService()
        after = load(self.state, [known, other])
        self.assertEqual({"orders", "other"}, set(after))
        self.assertEqual(before["orders"], after["orders"])

    async def test_only_what_was_admitted(self) -> None:
        """
        A refused certificate has met nothing.
        """
        backend = self.backend(once)
        known = pin(LEAF, "orders", state="revoked")
        self.behind(backend, known, pin_state=str(self.state))
        self.assertEqual(502, (await self.ask()).status)
        await self.gateway.stopService()
        self.assertFalse(self.state.exists())

    async def test_damaged(self) -> None:
        """
        A file that cannot be read is told of, and replaced; requests go on.
        """
        self.state.write_bytes(b'{"pins": [')
        backend = self.backend(once)
        known = pin(LEAF, "orders")
        self.behind(backend, known, pin_state=str(self.state))
        self.assertIn("When pins last matched is not known: ", self.messages())
        self.assertEqual(200, (await self.ask()).status)
        await self.gateway.stopService()
        self.assertIn("orders", load(self.state, [known]))

    async def test_not_writable(self) -> None:
        """
        A file that cannot be written is told of once; requests go on.
        """
        backend = self.backend(once)
        nowhere = str(self.state / "none" / "pins.state")
        self.behind(backend, pin(LEAF, "orders"), pin_state=nowhere)
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
            self.gateway.pass_time(pinning.WRITTEN_EVERY)
        self.assertEqual(1, self.messages().count("cannot be written"))

    async def test_another_file(self) -> None:
        """
        A reload may name a file, another one, or none.
        """
        backend = self.backend(once)
        known = pin(LEAF, "orders")
        config = self.pinned(self.config(backend), known)
        gateway = self.serve(config)
        self.assertEqual(200, (await self.ask()).status)
        await gateway.apply(attrs.evolve(config, pin_state=str(self.state)))
        gateway.pass_time(pinning.WRITTEN_EVERY)
        self.assertIn("orders", load(self.state, [known]))
        await gateway.apply(config)
        self.assertEqual(200, (await self.ask()).status)
        before = self.state.read_bytes()
        gateway.pass_time(pinning.WRITTEN_EVERY)
        self.assertEqual(before, self.state.read_bytes())
