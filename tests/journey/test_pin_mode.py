from __future__ import annotations

from typing import Any

import attrs

from appgw.backend.standing import standings
from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import Issued, make_ca, make_certificate
from tests.journey.kit import LEAF, OK, Backend, answering, pin, turn
from tests.journey.lives import DAY, NOW, LifeTestCase, once
from tests.journey.probing import Answers
from tests.journey.reloads import beginning

ROOT = make_ca("corp")
SIGNED = make_certificate(["orders.internal"], ["127.0.0.1"], issuer=ROOT)
ROOTS = {"corp": model.TrustedRoot(name="corp", certificates=(ROOT.der,))}


def issued(**more: Any) -> Issued:
    """
    Issue another certificate for the backend.
    """
    more = {"names": ["orders.internal"], "ips": ["127.0.0.1"]} | more
    return make_certificate(issuer=ROOT, **more)


class DetectTests(LifeTestCase):
    """
    Pins that only detect, beside a root.
    """

    def detecting(
        self, backend: Backend, *pins: model.Pin, **more: Any
    ) -> model.Config:
        """
        Demand what the root has signed, and detect what isn't pinned.
        """
        more = {"pin_mode": "detect", "trusted_roots": ("corp",)} | more
        config = self.config(backend, **more)
        return attrs.evolve(
            self.pinned(config, *(pins or (pin(LEAF),))), trusted_roots=ROOTS
        )

    def detections(self, backend: Backend, reason: str) -> float | None:
        """
        Count what was let through.
        """
        member = f"127.0.0.1:{backend.port}"
        labels = {"pool": "web", "setting": "web", "member": member, "reason": reason}
        return self.count("appgw_pin_detections_total", **labels)

    async def test_let_through(self) -> None:
        """
        A certificate that isn't pinned is let through: logged once, counted for
        each handshake, and shown with each request.
        """
        backend = self.backend(once, SIGNED)
        self.serve(self.detecting(backend))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(3, self.detections(backend, "not-pinned"))
        self.assertIsNone(self.refusals(backend, "not-pinned"))
        await self.recorded(3)
        for line in self.lines():
            self.assertEqual("detected:not-pinned", line["pinDecision"])
            self.assertEqual(SIGNED.sha256, line["backendCertificateSha256"])
            self.assertEqual("ERRORINFO_NO_ERROR", line["error_info"])
        said = self.messages()
        self.assertEqual(1, said.count("admitted, as pin_mode is detect, else refused"))
        self.assertIn(SIGNED.sha256, said)

    async def test_pinned(self) -> None:
        """
        One that is pinned is admitted by its pin, and nothing is told.
        """
        backend = self.backend(once, SIGNED)
        self.serve(self.detecting(backend, pin(SIGNED)))
        self.assertEqual(200, (await self.ask()).status)
        await self.recorded(1)
        self.assertEqual("admitted", self.lines()[0]["pinDecision"])
        self.assertEqual(1, self.count("appgw_pin_matches_total", pin="leaf"))
        self.assertIsNone(self.detections(backend, "not-pinned"))

    async def test_once_per_handshake(self) -> None:
        """
        Of a kept connection it is counted once.
        """
        backend = self.backend(answering(OK), SIGNED)
        self.serve(self.detecting(backend))
        for _ in range(3):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(1, self.detections(backend, "not-pinned"))

    async def test_chain_name_and_dates(self) -> None:
        """
        Chain, name and dates are demanded as ever, and not a byte is sent.
        """
        for shown, reason in (
            (LEAF, "chain"),
            (issued(ips=[], names=["other.internal"]), "name"),
            (issued(ips=[], names=[]), "name"),
            (issued(not_before=NOW - 9 * DAY, not_after=NOW - DAY), "expired"),
            (issued(not_before=NOW + DAY), "not-yet-valid"),
        ):
            backend = self.backend(answering(OK), shown)
            gateway = self.serve(self.detecting(backend, pin(shown)))
            await self.refused(backend, reason)
            self.assertEqual(b"", backend.received)
            await gateway.stopService()

    async def test_revoked(self) -> None:
        """
        What is revoked is refused, and cut where it is under way.
        """
        backend = self.backend(beginning, SIGNED)
        config = self.detecting(backend)
        gateway = self.serve(config)
        conversation = await self.begun(await self.client(), backend)
        gone = pin(SIGNED, "gone", state="revoked")
        await gateway.apply(self.detecting(backend, pin(LEAF), gone))
        await conversation.ended()
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        await self.refused(backend, "revoked")

    async def test_prevent(self) -> None:
        """
        When pins prevent again, what they would have refused is cut.
        """
        backend = self.backend(beginning, SIGNED)
        gateway = self.serve(self.detecting(backend))
        conversation = await self.begun(await self.client(), backend)
        await gateway.apply(self.detecting(backend, pin_mode="prevent"))
        await conversation.ended()
        await self.refused(backend, "not-pinned")

    async def test_pin_removed(self) -> None:
        """
        A pin that goes while pins only detect ends nothing.
        """
        backend = self.backend(beginning, SIGNED)
        gateway = self.serve(self.detecting(backend, pin(SIGNED)))
        client = await self.client()
        conversation = await self.begun(client, backend)
        await gateway.apply(self.detecting(backend))
        conversation.write(b"-end.")
        self.assertEqual(b"-end.", await client.take(5))

    async def test_said_while_it_stands(self) -> None:
        """
        The log says so at the start and at each reload, until pins prevent.
        """
        backend = self.backend(answering(OK), SIGNED)
        config = self.detecting(backend)
        gateway = self.serve(config)
        line = "Setting web has pin_mode detect"
        self.assertEqual(1, self.messages().count(line))
        await gateway.apply(config)
        self.assertEqual(2, self.messages().count(line))
        await gateway.apply(self.detecting(backend, pin_mode="prevent"))
        self.assertEqual(2, self.messages().count(line))

    async def test_probes(self) -> None:
        """
        A member that only detection lets in is healthy, and what its pins would
        do is told; its probes are counted, too.
        """
        backend = self.backend(Answers(), SIGNED)
        config = self.detecting(backend, probe="it", probe_enabled=True)
        probe = model.Probe(name="it", path="/")
        gateway = self.serve(config, probes={"it": probe})
        (pool,) = gateway._built.pools.values()
        while not gateway.watch.checks.all_asked or not pool.health:
            gateway.pass_time(0)
            await turn()
        (standing,) = standings(pool)
        self.assertEqual("Up", standing.health)
        self.assertIn("Success. Received 200 status code. https://", standing.told)
        self.assertIn("else refused: its certificate is not on", standing.told)
        self.assertEqual(1, self.detections(backend, "not-pinned"))
        (told,) = gateway.watch.backend_health()["backendAddressPools"]
        (setting,) = told["backendHttpSettingsCollection"]
        self.assertEqual("detect", setting["backendHttpSettings"]["pinMode"])

    async def test_shared(self) -> None:
        """
        Where two pools have a backend in common, each one's counter shows it.
        """
        backend = self.backend(answering(OK), SIGNED)
        config = self.detecting(backend)
        pools = {
            name: attrs.evolve(config.pools["web"], name=name)
            for name in ("web", "again")
        }
        to = model.Destination(pool="again", backend_settings="web")
        rules = dict(config.rules)
        rules["secure"] = attrs.evolve(rules["secure"], destination=to)
        self.serve(config, pools=pools, rules=rules)
        self.assertEqual(200, (await self.ask()).status)
        member = f"127.0.0.1:{backend.port}"
        labels = {"setting": "web", "member": member, "reason": "not-pinned"}
        for pool in pools:
            number = self.count("appgw_pin_detections_total", pool=pool, **labels)
            self.assertEqual(1, number)
