"""
A gateway that asks clients for certificates, and clients who have some.
"""

from __future__ import annotations

from typing import Any

import attrs

from appgw.config import model
from appgw.testing import Issued, make_ca, make_certificate
from tests.journey.kit import FRONT, GET, SECURE, Backend, JourneyTests
from tests.journey.wire import Client, Message
from tests.sites import TLS13, Peer, held

ROOT = make_ca("root")
CLIENT = make_certificate(common_name="client", issuer=ROOT)
STRICT = model.ClientAuthConfiguration()
PASSING = model.ClientAuthConfiguration(verify_client_auth_mode="Passthrough")


def trusted(*authorities: Issued) -> model.TrustedClientCertificate:
    """
    Trust CAs.
    """
    return model.TrustedClientCertificate(
        name="clients", certificates=tuple(one.der for one in authorities)
    )


def _listener(name: str) -> model.Listener:
    return model.Listener(
        name=name,
        protocol="https",
        address=SECURE,
        port=0,
        host_names=(f"{name}.example",),
        certificate=name,
        ssl_profile="asking" if name == "shop" else None,
    )


class CertificateJourneys(JourneyTests):
    """
    Two listeners on one port: shop.example asks for certificates, open.example
    doesn't.
    """

    def configured(
        self,
        backend: Backend,
        how: model.ClientAuthConfiguration = STRICT,
        **changes: Any,
    ) -> model.Config:
        """
        Make the configuration.
        """
        config = self.config(backend)
        to = config.rules["secure"].destination
        profile = model.SslProfile(
            name="asking",
            trusted_client_certificates=("clients",),
            client_auth_configuration=how,
        )
        config = attrs.evolve(
            config,
            listeners={name: _listener(name) for name in ("shop", "open")},
            rules={
                name: model.Rule(
                    name=name, priority=number, listener=name, destination=to
                )
                for number, name in enumerate(("shop", "open"), 1)
            },
            certificates={"shop": held(FRONT), "open": held(FRONT)},
            ssl_profiles={"asking": profile},
            trusted_client_certificates={"clients": trusted(ROOT)},
        )
        return attrs.evolve(config, **changes)

    def asked_nothing(self, config: model.Config) -> model.Config:
        """
        Return the same without any demand.
        """
        listeners = {
            name: attrs.evolve(listener, ssl_profile=None)
            for name, listener in config.listeners.items()
        }
        return attrs.evolve(config, listeners=listeners)

    async def visitor(
        self, shown: Issued | None, version: int = TLS13, name: bytes = b"shop.example"
    ) -> Client:
        """
        Connect with a certificate, or without one.
        """
        context = Peer(shown=shown, version=version).context([])
        return await self.client(True, name, context=context)

    async def got(
        self, shown: Issued | None, version: int = TLS13, wire: bytes = GET
    ) -> tuple[Message, bool]:
        """
        Ask once; return the answer, and whether the connection ended with it.
        """
        client = await self.visitor(shown, version)
        answer = await client.ask(wire)
        closing = answer.get(b"connection") == [b"close"]
        if closing:
            await client.ended()
        return answer, closing
