from __future__ import annotations

import contextlib
import socket

import attrs
from twisted.internet.threads import deferToThread

from appgw.config import model
from appgw.testing import Issued, make_ca, make_certificate
from tests.journey.certificates import CLIENT, ROOT, CertificateJourneys, trusted
from tests.journey.kit import GET, OK, SECURE, answering, turn
from tests.sites import Peer, held

NEWEST = model.SslPolicy(policy_type="CustomV2", min_protocol_version="TLSv1_3")


class ReloadTests(CertificateJourneys):
    """
    A client that stays connected meets the demands in force.
    """

    async def after(
        self, before: model.Config, now: model.Config, shown: Issued | None = CLIENT
    ) -> int:
        """
        Ask, put another configuration in force, ask again on the same connection.
        """
        gateway = self.serve(before)
        client = await self.visitor(shown)
        self.assertEqual(200, (await client.ask(GET)).status)
        await gateway.apply(now)
        status = (await client.ask(GET)).status
        if status == 421:
            await client.ended()
            again = await self.visitor(CLIENT)
            self.assertEqual(200, (await again.ask(GET)).status)
        await gateway.stopService()
        return status

    async def test_demands_that_come_and_go(self) -> None:
        """
        When a listener begins to ask, or to trust somebody else, or stops: 421.
        """
        asking = self.configured(self.backend(answering(OK)))
        nothing = self.asked_nothing(asking)
        other = make_ca("other")
        both = {"clients": trusted(other, ROOT)}
        trusting = attrs.evolve(asking, trusted_client_certificates=both)
        self.assertEqual(421, await self.after(nothing, asking, None))
        self.assertEqual(421, await self.after(asking, nothing))
        self.assertEqual(421, await self.after(asking, trusting))

    async def test_a_policy(self) -> None:
        """
        So it is with another policy, whoever has it.
        """
        asking = self.configured(self.backend(answering(OK)))
        nothing = self.asked_nothing(asking)
        for before in (asking, nothing):
            now = attrs.evolve(before, ssl_policy=NEWEST)
            self.assertEqual(421, await self.after(before, now))

    async def test_what_makes_no_difference(self) -> None:
        """
        Other names, another certificate of ours or another route: it goes on.
        """
        asking = self.configured(self.backend(answering(OK)))
        profile = attrs.evolve(asking.ssl_profiles["asking"], name="renamed")
        shop = attrs.evolve(asking.listeners["shop"], ssl_profile="renamed")
        renamed = attrs.evolve(
            asking,
            ssl_profiles={"renamed": profile},
            listeners=dict(asking.listeners) | {"shop": shop},
        )
        renewed = held(make_certificate(["shop.example"]))
        certified = attrs.evolve(
            asking, certificates=dict(asking.certificates) | {"shop": renewed}
        )
        for now in (asking, renamed, certified):
            self.assertEqual(200, await self.after(asking, now))

    async def test_a_name_that_moves(self) -> None:
        """
        When the name of the handshake means a listener with other demands: 421.
        """
        asking = self.configured(self.backend(answering(OK)))
        shop, other = asking.listeners["shop"], asking.listeners["open"]
        moved = attrs.evolve(
            asking,
            listeners={
                "shop": attrs.evolve(shop, host_names=other.host_names),
                "open": attrs.evolve(other, host_names=shop.host_names),
            },
        )
        self.assertEqual(421, await self.after(asking, moved))
        self.assertEqual(421, await self.after(moved, asking, None))

    async def test_a_handshake_under_way(self) -> None:
        """
        A handshake that began before the listener asked for anything is ended.
        """
        asking = self.configured(self.backend(answering(OK)))
        gateway = self.serve(self.asked_nothing(asking))
        _, port = gateway.addresses()[SECURE, 0]
        with socket.create_connection((SECURE, port), 15) as plain:
            place = gateway._ports._open[SECURE, 0]
            while not place.handshakes():
                await turn()
            await gateway.apply(asking)
            peer = Peer(name=b"shop.example", shown=CLIENT)
            met = await deferToThread(peer.over, plain)
            self.assertNotEqual("", met.refusal)
        while place.handshakes():
            await turn()
        self.assertEqual(0, len(place.door.channels))
        with contextlib.suppress(OSError):
            answer, _ = await self.got(CLIENT)
            self.assertEqual(200, answer.status)
