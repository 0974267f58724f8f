from __future__ import annotations

import itertools
from typing import Any

import attrs
from OpenSSL import SSL

from appgw.backend.presented import Presented
from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import (
    Issued,
    KeyType,
    make_ca,
    make_certificate,
    make_key,
    server_context,
)
from tests.backend.test_trust_connection import Watched
from tests.journey.cutting import Relay
from tests.journey.kit import LEAF, OK, STRANGER, answering, pin
from tests.journey.lives import LifeTestCase, key_pin, once

KINDS: tuple[KeyType, ...] = ("rsa", "ecdsa", "ed25519")
ROOT = make_ca("corp")
NAMED = {"names": ["orders.internal"], "ips": ["127.0.0.1"]}


class KeyTests(LifeTestCase):
    """
    Leaves, keys and chains, with each kind of key.
    """

    def rooted(self, config: model.Config, ca: Issued) -> model.Config:
        """
        Demand a chain to this root as well.
        """
        root = model.TrustedRoot(name="corp", certificates=(ca.der,))
        web = attrs.evolve(config.backend_settings["web"], trusted_roots=("corp",))
        return attrs.evolve(
            config, backend_settings={"web": web}, trusted_roots={"corp": root}
        )

    async def test_admitted(self) -> None:
        """
        RSA, ECDSA and Ed25519 leaves are admitted by their leaf, by their key, and
        by either with a chain, in TLS 1.2 and 1.3.
        """
        for kind, tls12 in itertools.product(KINDS, (True, False)):
            ca = make_ca(key=kind)
            leaf = make_certificate(key=kind, issuer=ca, **NAMED)
            backend = self.backend(once, context=server_context(leaf, tls12))
            spki = Presented.from_der(leaf.der).spki_sha256
            by_key = model.Pin(name="key", spki_sha256=spki)
            for one in (pin(leaf), by_key):
                config = self.pinned(self.config(backend), one)
                for wanted in (config, self.rooted(config, ca)):
                    gateway = self.serve(wanted)
                    self.assertEqual(200, (await self.ask()).status, (kind, tls12))
                    (outcome,) = await self.recorded(1)
                    assert outcome.verdict is not None
                    self.assertEqual(one.name, outcome.verdict.pin)
                    await gateway.stopService()

    async def test_refused(self) -> None:
        """
        Each kind is refused where another leaf, another key or another chain is
        demanded: 502, not a byte at the backend, and counted.
        """
        for kind in KINDS:
            leaf = make_certificate(key=kind, issuer=ROOT, **NAMED)
            backend = self.backend(once, leaf)
            config = self.config(backend)
            other = make_certificate(key=kind, issuer=ROOT, **NAMED)
            spki = Presented.from_der(other.der).spki_sha256
            by_key = model.Pin(name="key", spki_sha256=spki)
            for wanted, reason in (
                (self.pinned(config, pin(other)), "not-pinned"),
                (self.pinned(config, by_key), "not-pinned"),
                (self.rooted(self.pinned(config, pin(leaf)), make_ca()), "chain"),
            ):
                gateway = self.serve(wanted)
                await self.refused(backend, reason)
                self.assertEqual(1, self.refusals(backend, reason))
                await gateway.stopService()
            self.assertEqual(b"", backend.received)

    async def test_authority_as_leaf(self) -> None:
        """
        A CA that presents its own certificate as its leaf is admitted if just that
        is pinned; what it has signed is not.
        """
        ca = make_ca(key=make_key())
        signed = make_certificate(issuer=ca, **NAMED)
        for shown, status in ((ca, 200), (signed, 502)):
            context = server_context(shown, extra=[ca])
            backend = self.backend(once, context=context)
            self.behind(backend, pin(ca))
            self.assertEqual(status, (await self.ask()).status)
            self.assertEqual(status == 200, bool(backend.received))

    async def test_no_alternative_names(self) -> None:
        """
        Without a subjectAltName a pin alone admits, and nothing that looks at the
        name does, whatever the subject's common name is.
        """
        nameless = make_certificate(common_name="orders.internal", issuer=ROOT)
        backend = self.backend(once, nameless)
        config = self.config(backend, host_name="orders.internal")
        pinned = self.pinned(config, pin(nameless))
        web = pinned.backend_settings["web"]
        strict = {"web": attrs.evolve(web, verify_name=True)}
        for wanted in (
            attrs.evolve(pinned, backend_settings=strict),
            self.rooted(pinned, ROOT),
        ):
            gateway = self.serve(wanted)
            await self.refused(backend, "name")
            self.assertEqual(1, self.refusals(backend, "name"))
            self.assertEqual(b"", backend.received)
            await gateway.stopService()
        self.serve(pinned)
        self.assertEqual(200, (await self.ask()).status)


class ServerNameTests(LifeTestCase):
    """
    A backend that presents by name, as one of many behind an address.
    """

    async def test_wrong_name(self) -> None:
        """
        Who asks for another name, or for none, meets another certificate.
        """
        theirs, others = server_context(LEAF), server_context(STRANGER)

        def by_name(connection: SSL.Connection) -> None:
            if connection.get_servername() == b"orders.internal":
                connection.set_context(theirs)

        others.set_tlsext_servername_callback(by_name)
        backend = self.backend(once, context=others)
        for name in ("pay.internal", None):
            config = self.config(backend, host_name=name)
            gateway = self.serve(self.pinned(config, pin(LEAF)))
            await self.refused(backend, "not-pinned")
            self.assertEqual(1, self.refusals(backend, "not-pinned"))
            await gateway.stopService()
        self.assertEqual(b"", backend.received)
        config = self.config(backend, host_name="orders.internal")
        self.serve(self.pinned(config, pin(LEAF)))
        self.assertEqual(200, (await self.ask()).status)


class TicketTests(LifeTestCase):
    """
    Backends that offer to resume.
    """

    async def test_hundred(self) -> None:
        """
        100 new connections are 100 handshakes with a certificate, in TLS 1.2 and
        1.3, and each of them is judged.
        """
        for tls12 in (True, False):
            context = server_context(LEAF, tls12, tickets=True)
            watched = Watched(context)
            backend = self.backend(once, context=context)
            gateway = self.serve(self.pinned(self.config(backend), pin(LEAF)))
            for _ in range(100):
                self.assertEqual(200, (await self.ask()).status)
            self.assertEqual(100, watched.certificates)
            self.assertEqual(100, self.count("appgw_pin_matches_total", pin="leaf"))
            await gateway.stopService()


class MemberTests(LifeTestCase):
    """
    Members with pins of their own.
    """

    async def test_swapped(self) -> None:
        """
        Two members that swap certificates are both refused, although the setting
        lists both: one's key cannot stand in for the other's.
        """
        shown = [server_context(LEAF), server_context(STRANGER)]
        first, second = shown
        doors = [server_context(LEAF), server_context(STRANGER)]
        doors[0].set_tlsext_servername_callback(lambda c: c.set_context(shown[0]))
        doors[1].set_tlsext_servername_callback(lambda c: c.set_context(shown[1]))
        backends = [self.backend(once, context=door) for door in doors]
        members = [
            model.Member(address="127.0.0.1", port=backend.port, pins=(name,))
            for backend, name in zip(backends, ("one", "two"), strict=True)
        ]
        config = self.config(*members, host_name="orders.internal")
        self.serve(self.pinned(config, pin(LEAF, "one"), pin(STRANGER, "two")))
        for _ in range(4):
            self.assertEqual(200, (await self.ask()).status)
        before = [backend.received for backend in backends]
        self.assertTrue(all(before))
        shown[:] = second, first
        for _ in range(4):
            self.assertEqual(502, (await self.ask()).status)
        self.assertEqual(before, [backend.received for backend in backends])
        for backend in backends:
            self.assertEqual(4, self.refusals(backend, "not-pinned"))
        shown[:] = first, second
        self.assertEqual(200, (await self.ask()).status)


class CutTests(LifeTestCase):
    """
    Handshakes that somebody on the way cuts.
    """

    async def cut(self, tls12: bool, side: str) -> int:
        """
        Cut before each record of one side in turn until the request arrives;
        return how many there were before that.
        """
        context = server_context(LEAF, tls12, tickets=False)
        backend = self.backend(answering(OK), context=context)
        relay = Relay(self, backend.port)
        member = model.Member(address="127.0.0.1", port=relay.port)
        gateway = self.serve(self.pinned(self.config(member), pin(LEAF), key_pin()))
        for number in itertools.count():
            setattr(relay, side, number)
            status = (await self.ask()).status
            if backend.received:
                self.assertIn(b"GET / HTTP/1.1\r\n", backend.received)
                break
            self.assertEqual(502, status)
        setattr(relay, side, None)
        self.assertEqual(200, (await self.ask()).status)
        for outcome in self.gateway.outcomes[:number]:
            self.assertIn(outcome.refusal, {Refusal.NO_MEMBER, Refusal.BACKEND_CLOSED})
        self.assertIsNone(self.count_any("appgw_pin_refusals_total"))
        await gateway.stopService()
        return number

    def count_any(self, name: str) -> Any:
        """
        Find a metric with any labels.
        """
        for metric in self.gateway.registry.collect():
            for sample in metric.samples:
                if sample.name == name:
                    return sample.value
        return None

    async def test_backends_records(self) -> None:
        """
        Cut before any record that the backend's handshake has, it is 502, nobody
        is blamed for a certificate, and not a byte of the request arrives.
        """
        for tls12 in (True, False):
            self.assertGreaterEqual(await self.cut(tls12, "of_backend"), 3)

    async def test_gateways_records(self) -> None:
        """
        So it is before any record that our handshake has.
        """
        for tls12 in (True, False):
            self.assertGreaterEqual(await self.cut(tls12, "of_gateway"), 3)
