from __future__ import annotations

import datetime
from typing import Any

from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import Issued, make_ca, make_certificate, server_context
from tests.journey.kit import (
    GET,
    LAST,
    LEAF,
    OK,
    STRANGER,
    Backend,
    JourneyTests,
    answering,
    pin,
)
from tests.journey.wire import Conversation

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
EXPIRED = make_certificate(["old"], not_before=NOW - 9 * DAY, not_after=NOW - DAY)
FUTURE = make_certificate(["new"], not_before=NOW + DAY, not_after=NOW + 9 * DAY)


def key_pin(issued: Issued) -> model.Pin:
    """
    Pin a key.
    """
    return model.Pin(name="key", spki_sha256=bytes.fromhex(issued.spki_sha256))


class PinTests(JourneyTests):
    def behind(self, backend: Backend, *pins: model.Pin, **settings: Any) -> None:
        """
        Start a gateway that allows *pins* and nothing else.
        """
        settings = {"pins": tuple(one.name for one in pins)} | settings
        config = self.config(backend, **settings)
        self.serve(config, pins={one.name: one for one in pins})

    async def admitted(self, backend: Backend, name: str, issued: Issued) -> None:
        """
        Assert that a request gets through, and that the log says by which pin.
        """
        answer = await self.ask()
        self.assertEqual((200, b"ok"), (answer.status, answer.body))
        await self.recorded(1)
        (line,) = self.lines()
        self.assertEqual(name, line["backendPin"])
        self.assertEqual(issued.sha256, line["backendCertificateSha256"])
        self.assertEqual("admitted", line["pinDecision"])
        self.assertEqual("ERRORINFO_NO_ERROR", line["error_info"])

    async def refused(self, backend: Backend, reason: str) -> None:
        """
        Assert that not a byte of a request gets through, and who is told what.
        """
        for secure in (False, True):
            answer = await self.ask(GET, secure)
            self.assertEqual(502, answer.status)
            for secret in (b"pin", b"127.0.0.1", b"certificate", b"SHA"):
                self.assertNotIn(secret, answer.body)
        self.assertEqual(b"", backend.received)
        self.assertEqual([], backend.seen)
        outcomes = await self.recorded(2)
        self.assertEqual([Refusal.PIN_REFUSED] * 2, [o.refusal for o in outcomes])
        label = f"127.0.0.1:{backend.port}"
        for line in self.lines():
            self.assertEqual(502, line["httpStatus"])
            self.assertEqual(
                "ERRORINFO_UPSTREAM_CERTIFICATE_REFUSED",
                line["error_info"],
            )
            self.assertEqual(label, line["serverRouted"])
            self.assertEqual("", line["serverStatus"])
            self.assertEqual(reason, line["pinDecision"])
        labels = {"pool": "web", "setting": "web", "member": label, "reason": reason}
        self.assertEqual(2, self.count("appgw_pin_refusals_total", **labels))
        self.assertEqual(2, self.count("appgw_refusals_total", reason="pin_refused"))

    async def test_leaf(self) -> None:
        """
        A backend that presents the pinned leaf is sent the request.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(STRANGER, "other"), pin(LEAF))
        await self.admitted(backend, "leaf", LEAF)

    async def test_key(self) -> None:
        """
        With a pinned key, a renewed certificate is as good as the first.
        """
        renewed = make_certificate(["orders.internal"], key=LEAF.key)
        backend = self.backend(answering(OK), renewed)
        self.behind(backend, key_pin(LEAF))
        await self.admitted(backend, "key", renewed)

    async def test_renewed_leaf(self) -> None:
        """
        With a pinned leaf, a renewed certificate is a stranger.
        """
        backend = self.backend(
            answering(OK), make_certificate(["orders.internal"], key=LEAF.key)
        )
        self.behind(backend, pin(LEAF))
        await self.refused(backend, "not-pinned")

    async def test_stranger(self) -> None:
        """
        A stranger gets nothing; the refusal names backend, pins and a command.
        """
        backend = self.backend(answering(OK), STRANGER)
        self.behind(backend, pin(LEAF))
        await self.refused(backend, "not-pinned")
        said = self.messages()
        label = f"127.0.0.1:{backend.port}"
        for fact in (
            label,
            STRANGER.sha256,
            "orders.internal",
            LEAF.sha256,
            f"appgw pins fetch {label}",
        ):
            self.assertIn(fact, said)

    async def test_old_tls(self) -> None:
        """
        TLS 1.2, where the client speaks last, changes nothing about it.
        """
        context = server_context(STRANGER, tls12_only=True)
        backend = self.backend(answering(OK), context=context)
        self.behind(backend, pin(LEAF))
        await self.refused(backend, "not-pinned")

    async def test_old_tls_admitted(self) -> None:
        """
        A pinned backend may speak TLS 1.2.
        """
        context = server_context(LEAF, tls12_only=True)
        backend = self.backend(answering(OK), context=context)
        self.behind(backend, pin(LEAF))
        await self.admitted(backend, "leaf", LEAF)

    async def test_appended(self) -> None:
        """
        The pinned certificate behind a stranger's own is of no help to him.
        """
        context = server_context(STRANGER, extra=[LEAF])
        backend = self.backend(answering(OK), context=context)
        self.behind(backend, pin(LEAF), key_pin(LEAF))
        await self.refused(backend, "not-pinned")

    async def test_pinned_issuer(self) -> None:
        """
        A pinned CA certificate does not admit what it has signed.
        """
        ca = make_ca()
        leaf = make_certificate(["orders.internal"], issuer=ca)
        backend = self.backend(answering(OK), context=server_context(leaf, extra=[ca]))
        self.behind(backend, pin(ca))
        await self.refused(backend, "not-pinned")

    async def test_empty(self) -> None:
        """
        An empty list admits nobody.
        """
        backend = self.backend(answering(OK))
        self.behind(backend)
        await self.refused(backend, "not-pinned")

    async def test_expired(self) -> None:
        """
        A pinned leaf whose days are over is refused.
        """
        backend = self.backend(answering(OK), EXPIRED)
        self.behind(backend, pin(EXPIRED), key_pin(EXPIRED))
        await self.refused(backend, "expired")

    async def test_not_yet_valid(self) -> None:
        """
        A pinned leaf whose days have not come is refused.
        """
        backend = self.backend(answering(OK), FUTURE)
        self.behind(backend, pin(FUTURE))
        await self.refused(backend, "not-yet-valid")

    async def test_expired_allowed(self) -> None:
        """
        allow_expired lifts the dates for that pin.
        """
        backend = self.backend(answering(OK), EXPIRED)
        self.behind(backend, pin(EXPIRED, allow_expired=True))
        await self.admitted(backend, "leaf", EXPIRED)

    async def test_pin_is_over(self) -> None:
        """
        A pin's own last day ends it, whatever the certificate says.
        """
        backend = self.backend(answering(OK))
        yesterday = (NOW - DAY).date()
        self.behind(backend, pin(LEAF, not_after=yesterday, allow_expired=True))
        await self.refused(backend, "pin-expired")

    async def test_name(self) -> None:
        """
        With verify_name, a pinned leaf must be valid for the host name as well.
        """
        backend = self.backend(answering(OK))
        self.behind(backend, pin(LEAF), verify_name=True, host_name="pay.internal")
        await self.refused(backend, "name")

    async def test_roots_besides(self) -> None:
        """
        Where roots are given besides pins, the pin alone does not do.
        """
        backend = self.backend(answering(OK))
        ca = model.TrustedRoot(name="corp", certificates=(make_ca().der,))
        config = self.config(backend, trusted_roots=("corp",))
        self.serve(config, trusted_roots={"corp": ca})
        await self.refused(backend, "chain")

    async def test_member_pins_replace(self) -> None:
        """
        A member's own pins hold for it instead of the setting's.
        """
        backend, other = (self.backend(answering(OK), one) for one in (LEAF, STRANGER))
        members = (
            model.Member(address="127.0.0.1", port=backend.port, pins=("other",)),
            model.Member(address="127.0.0.1", port=other.port, pins=("other",)),
        )
        pins = {"leaf": pin(LEAF), "other": pin(STRANGER, "other")}
        self.serve(self.config(*members), pins=pins)
        for _ in range(4):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(b"", backend.received)
        self.assertEqual(4, len(other.seen))

    async def test_refusal_tries_the_next(self) -> None:
        """
        A stranger among the members costs no request, and rests.
        """
        stranger, good = (self.backend(answering(OK), one) for one in (STRANGER, LEAF))
        self.behind(stranger, pin(LEAF))
        config = self.config(stranger, good)
        self.gateway.apply(config)
        for _ in range(6):
            self.assertEqual(200, (await self.ask()).status)
        self.assertEqual(b"", stranger.received)
        self.assertEqual(1, len(stranger.conversations))
        outcomes = await self.recorded(6)
        for outcome in outcomes:
            assert outcome.candidate is not None
            assert outcome.verdict is not None
            self.assertEqual(good.port, outcome.candidate.port)
            self.assertTrue(outcome.verdict.admitted)

    async def test_refused_and_dead(self) -> None:
        """
        Where one member is a stranger and one is dead, the record names the
        stranger with its verdict, in either order.
        """
        stranger = self.backend(answering(OK), STRANGER)
        dead = model.Member(address="127.0.0.3", port=1)
        self.serve(self.config(stranger, dead))
        for _ in range(2):
            self.assertEqual(502, (await self.ask()).status)
        for line in (await self.recorded(2)) and self.lines():
            self.assertEqual("not-pinned", line["pinDecision"])
            label = f"127.0.0.1:{stranger.port}"
            self.assertEqual(label, line["serverRouted"])
            self.assertEqual(
                "ERRORINFO_UPSTREAM_CERTIFICATE_REFUSED",
                line["error_info"],
            )

    async def test_swapped(self) -> None:
        """
        A backend that swaps its certificate while its tickets are valid is
        refused: no session is ever resumed.
        """
        context, swapped = server_context(LEAF), server_context(STRANGER)
        shown = [context]
        context.set_tlsext_servername_callback(lambda c: c.set_context(shown[-1]))

        async def once(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(LAST)
            conversation.close()

        backend = self.backend(once, context=context)
        self.behind(backend, pin(LEAF), host_name="orders.internal")
        for _ in range(2):
            self.assertEqual(200, (await self.ask()).status)
        seen = len(backend.received)
        shown.append(swapped)
        self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(seen, len(backend.received))
