from __future__ import annotations

from typing import Any

import attrs
from OpenSSL import SSL, crypto

from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import Issued, make_ca, make_certificate, server_context
from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    STRANGER,
    Backend,
    answering,
    get,
    turn,
)
from tests.journey.probing import ProbedTestCase
from tests.sites import held

ROOT = make_ca("root")
US = make_certificate(common_name="us", issuer=ROOT)
RENEWED = make_certificate(common_name="us", issuer=ROOT, serial=77)
UNKNOWN = make_certificate(common_name="unknown")
NEEDS = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


class PresentingTests(ProbedTestCase):
    """
    Backends that demand a certificate of us.
    """

    def demanding(self, tls12: bool = False, issued: Issued = LEAF) -> Backend:
        """
        Start a backend that serves only whom our CA has vouched for.
        """
        context = server_context(issued, tls12)
        context.set_verify(NEEDS, self._verify)
        context.add_client_ca(ROOT.certificate)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(ROOT.certificate))
        self.seen: list[int] = []
        return self.backend(answering(OK), context=context)

    def _verify(
        self, connection: Any, shown: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        if not depth:
            self.seen.append(shown.to_cryptography().serial_number)
        return bool(ok)

    def presenting(self, backend: Backend, issued: Issued | None = US) -> model.Config:
        """
        Show backends this certificate.
        """
        config = self.config(
            backend, client_certificate=None if issued is None else "us"
        )
        known = dict(config.certificates)
        if issued is not None:
            known["us"] = attrs.evolve(held(issued), name="us")
        return attrs.evolve(config, certificates=known)

    async def test_presented(self) -> None:
        """
        Who has a certificate for it is served, in TLS 1.2 and 1.3.
        """
        for tls12 in (True, False):
            gateway = self.serve(self.presenting(self.demanding(tls12)))
            self.assertEqual(200, (await self.ask()).status)
            self.assertEqual([US.certificate.serial_number], self.seen)
            await gateway.stopService()

    async def test_none(self) -> None:
        """
        Without one it is 502, and the log says what the backend wants.
        """
        for tls12, said in (
            (True, "it asks for a client certificate"),
            (False, "alert certificate required"),
        ):
            self.said.clear()
            backend = self.demanding(tls12)
            gateway = self.serve(self.presenting(backend, None))
            self.assertEqual(502, (await self.ask()).status)
            await self.logged(said)
            self.assertIn(f"127.0.0.1:{backend.port}", self.messages())
            self.assertEqual(b"", backend.received)
            await gateway.stopService()

    async def test_one_that_it_refuses(self) -> None:
        """
        With one that the backend doesn't know it is 502, and the log says so.
        """
        for tls12 in (True, False):
            self.said.clear()
            gateway = self.serve(self.presenting(self.demanding(tls12), UNKNOWN))
            self.assertEqual(502, (await self.ask()).status)
            await self.logged("alert unknown ca")
            await gateway.stopService()

    async def logged(self, said: str) -> None:
        """
        Wait until the log says so: in TLS 1.3 a backend refuses us when our part
        of the handshake is over.
        """
        while said not in self.messages():
            await turn()

    async def test_probes(self) -> None:
        """
        Probes show the certificate, too; without one the member is unhealthy, and
        it is told why.
        """
        for tls12, issued, health, said in (
            (True, None, "Down", "it asks for a client certificate"),
            (False, None, "Down", "alert certificate required"),
            (True, US, "Up", "Success"),
            (False, US, "Up", "Success"),
        ):
            config = self.presenting(self.demanding(tls12), issued)
            web = config.backend_settings["web"]
            probed = attrs.evolve(web, probe="it", probe_enabled=True)
            probe = model.Probe(name="it", path="/", unhealthy_threshold=1)
            gateway = self.serve(
                attrs.evolve(
                    config, backend_settings={"web": probed}, probes={"it": probe}
                )
            )
            await self.settled()
            self.assertEqual([health], self.states())
            self.assertIn(said, self.told())
            await gateway.stopService()

    async def test_a_stranger(self) -> None:
        """
        A backend that isn't on the list never sees who we are.
        """
        for tls12 in (True, False):
            gateway = self.serve(self.presenting(self.demanding(tls12, STRANGER)))
            self.assertEqual(502, (await self.ask()).status)
            self.assertEqual([], self.seen)
            [outcome] = await self.recorded(1)
            self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
            await gateway.stopService()

    def three_ways(self, config: model.Config) -> model.Config:
        """
        Lead a path each to settings with our certificate, another and none.
        """
        web = config.backend_settings["web"]
        settings = {"web": web} | {
            name: attrs.evolve(web, name=name, client_certificate=shown)
            for name, shown in (("other", "other"), ("nobody", None))
        }
        to = model.Destination(pool="web", backend_settings="web")
        paths = tuple(
            model.PathRule(
                name=name,
                paths=(f"/{name}",),
                destination=attrs.evolve(to, backend_settings=name),
            )
            for name in settings
        )
        maps = model.UrlPathMap(name="map", default=to, path_rules=paths)
        rules = {
            name: attrs.evolve(rule, destination=None, url_path_map="map")
            for name, rule in config.rules.items()
        }
        return attrs.evolve(
            config,
            backend_settings=settings,
            certificates=dict(config.certificates) | {"other": held(UNKNOWN)},
            url_path_maps={"map": maps},
            rules=rules,
        )

    async def test_two_settings(self) -> None:
        """
        Two settings that show different certificates, or none, share no
        connection to one backend.
        """
        context = server_context(LEAF)
        context.set_verify(SSL.VERIFY_PEER, self._any)
        backend = self.backend(answering(OK), context=context)
        self.serve(self.three_ways(self.presenting(backend)))
        client = await self.client()
        for _ in range(2):
            for path in (b"/web", b"/other", b"/nobody"):
                self.assertEqual(200, (await client.ask(get(path))).status)
        shown = {
            bytes(one.received).split()[1]: self._shown(one)
            for one in backend.conversations
        }
        self.assertEqual(
            {b"/web": "CN=us", b"/other": "CN=unknown", b"/nobody": ""}, shown
        )
        self.assertEqual(3, len(backend.conversations))

    def _any(self, *_: Any) -> bool:
        return True

    def _shown(self, conversation: Any) -> str:
        found = conversation.transport.getPeerCertificate()
        if found is None:
            return ""
        return str(found.to_cryptography().subject.rfc4514_string())

    async def test_renewed(self) -> None:
        """
        A renewed certificate is shown from the next request on.
        """
        backend = self.demanding()
        gateway = self.serve(self.presenting(backend))
        client = await self.client()
        self.assertEqual(200, (await client.ask(GET)).status)
        await gateway.apply(self.presenting(backend))
        self.assertEqual(200, (await client.ask(GET)).status)
        await gateway.apply(self.presenting(backend, RENEWED))
        self.assertEqual(200, (await client.ask(GET)).status)
        serials = [one.certificate.serial_number for one in (US, RENEWED)]
        self.assertEqual(serials, self.seen)
        await backend.conversations[0].ended()
