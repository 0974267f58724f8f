from __future__ import annotations

from typing import Any

import attrs

from appgw.config import model
from tests.backend.zone import hold_names
from tests.journey.kit import LEAF, OK, STRANGER, pin
from tests.journey.probing import BAD, Answers, ProbedTestCase, probes
from tests.journey.wire import Conversation

ONCE = {"unhealthy_threshold": 1}


def with_probe(config: model.Config, **fields: Any) -> model.Config:
    """
    Change the probe.
    """
    it = attrs.evolve(config.probes["it"], **fields)
    return attrs.evolve(config, probes={"it": it})


def with_settings(config: model.Config, **fields: Any) -> model.Config:
    """
    Change the setting.
    """
    web = attrs.evolve(config.backend_settings["web"], **fields)
    return attrs.evolve(config, backend_settings={"web": web})


class ReloadTests(ProbedTestCase):
    """
    What is known survives a reload; what is asked is the new configuration's.
    """

    async def test_health_is_kept(self) -> None:
        """
        Who was unhealthy still is, who was healthy too, and nobody is probed out
        of turn: weights, pins of others and time-outs change neither.
        """
        sick, well = self.backend(Answers(BAD)), self.backend(Answers())
        config = self.probing(sick, well, probe=ONCE)
        self.serve(config)
        await self.settled()
        members = tuple(
            attrs.evolve(member, weight=number)
            for number, member in enumerate(config.pools["web"].members, 2)
        )
        pools = {"web": model.Pool(name="web", members=members)}
        changed = with_probe(config, timeout=7.0, unhealthy_threshold=2, min_servers=1)
        changed = with_settings(changed, request_timeout=9.0)
        await self.gateway.apply(attrs.evolve(changed, pools=pools))
        self.assertEqual((["Down", "Up"], 0), (self.states(), self.under_way()))
        self.assertEqual([200] * 3, await self.statuses(3))
        self.assertEqual((1, 1), (probes(sick), probes(well)))

    async def test_new_pin(self) -> None:
        """
        Who was refused for its certificate is asked anew as soon as its pins
        change, and is back in a moment.
        """
        backend = self.backend(Answers(), STRANGER)
        config = self.probing(backend, probe=ONCE | {"interval": 86400.0})
        self.serve(config)
        await self.settled()
        self.assertEqual((["Down"], [502]), (self.states(), await self.statuses(1)))
        pins = {"leaf": pin(LEAF), "next": pin(STRANGER, "next")}
        changed = with_settings(config, pins=("leaf", "next"))
        await self.gateway.apply(attrs.evolve(changed, pins=pins))
        self.gateway.pass_time(0)
        await self.settled()
        self.assertEqual((["Up"], [200]), (self.states(), await self.statuses(1)))

    async def test_new_question(self) -> None:
        """
        Another path is asked for at once, and what comes of it counts.
        """
        backend = self.backend(Answers())
        config = self.probing(backend)
        self.serve(config)
        await self.settled()
        await self.gateway.apply(with_probe(config, path="/other"))
        self.gateway.pass_time(0)
        await self.settled()
        targets = [one.target for one in backend.seen]
        self.assertEqual([b"/healthz", b"/other"], targets)
        await self.again()
        self.assertEqual(b"/other", backend.seen[-1].target)
        self.assertEqual(3, len(backend.seen))

    async def test_old_question(self) -> None:
        """
        An answer to what is not asked any more is not waited for.
        """
        asked: list[Conversation] = []

        async def silent_at_first(conversation: Conversation) -> None:
            request = await conversation.request()
            if request.target == b"/healthz":
                asked.append(conversation)
            else:
                conversation.write(OK)

        config = self.probing(self.backend(silent_at_first))
        self.serve(config)
        await self.until(lambda: asked)
        await self.gateway.apply(with_probe(config, path="/other"))
        await asked[0].ended()
        self.gateway.pass_time(0)
        await self.settled()
        self.assertEqual(["Up"], self.states())

    async def test_shorter_interval(self) -> None:
        """
        A shorter interval counts from now, a longer one from the next probe on.
        """
        backend = self.backend(Answers())
        config = self.probing(backend, probe={"interval": 3600.0})
        self.serve(config)
        await self.settled()
        await self.gateway.apply(with_probe(config, interval=10.0))
        self.gateway.pass_time(5.0)
        self.assertEqual(0, self.under_way())
        await self.again(1, 5.1)
        self.assertEqual(2, len(backend.seen))
        await self.gateway.apply(with_probe(config, interval=3600.0))
        await self.again(1, 10.0)
        self.assertEqual(3, len(backend.seen))
        await self.again(5, 10.0)
        self.assertEqual(3, len(backend.seen))

    async def test_other_limits(self) -> None:
        """
        A new threshold and new min_servers hold without a new probe.
        """
        backend = self.backend(Answers(BAD))
        config = self.probing(backend, probe={"unhealthy_threshold": 5})
        self.serve(config)
        await self.settled()
        await self.again(2)
        self.assertEqual(["Unknown"], self.states())
        strict = with_probe(config, unhealthy_threshold=4)
        await self.gateway.apply(strict)
        await self.again()
        self.assertEqual((["Down"], [502]), (self.states(), await self.statuses(1)))
        await self.gateway.apply(with_probe(strict, min_servers=1))
        self.assertEqual((["Up"], [200]), (self.states(), await self.statuses(1)))

    async def test_switched_off(self) -> None:
        """
        Without probes nobody is asked any more, and nothing is held against
        anybody; switched on again they begin at once.
        """
        sick = Answers(BAD)
        backend = self.backend(sick)
        config = self.probing(backend, probe=ONCE)
        self.serve(config)
        await self.settled()
        self.assertEqual([502], await self.statuses(1))
        await self.gateway.apply(with_settings(config, probe_enabled=False))
        self.assertEqual((["Unknown"], [200]), (self.states(), await self.statuses(1)))
        await self.again(3)
        self.assertEqual(1, probes(backend))
        await self.gateway.apply(config)
        self.gateway.pass_time(0)
        await self.settled()
        self.assertEqual((2, ["Down"]), (probes(backend), self.states()))

    async def test_to_the_default(self) -> None:
        """
        A setting whose probe is taken away goes on with Azure's default one.
        """
        backend = self.backend(Answers())
        config = self.probing(backend)
        self.serve(config)
        await self.settled()
        await self.gateway.apply(with_settings(config, probe=None))
        self.gateway.pass_time(0)
        await self.settled()
        self.assertEqual([b"/healthz", b"/"], [one.target for one in backend.seen])

    async def test_members_come_and_go(self) -> None:
        """
        A new member is probed at once, one that is gone is not any more, and if
        it comes back nothing is known of it.
        """
        first, second = self.backend(Answers(BAD)), self.backend(Answers())
        config = self.probing(first, probe=ONCE)
        self.serve(config)
        await self.settled()
        await self.gateway.apply(self.probing(second, probe=ONCE))
        self.gateway.pass_time(0)
        await self.settled()
        self.assertEqual((["Up"], 1, 1), (self.states(), probes(first), probes(second)))
        await self.again(2)
        self.assertEqual((1, 3), (probes(first), probes(second)))
        await self.gateway.apply(config)
        self.assertEqual(["Unknown"], self.states())

    async def test_pool_that_is_gone(self) -> None:
        """
        A pool that no rule leads to any more is not probed.
        """
        backend = self.backend(Answers())
        config = self.probing(backend)
        self.serve(config)
        await self.settled()
        await self.gateway.apply(attrs.evolve(config, rules={}))
        await self.again(2)
        self.assertEqual(([], 1), (self.states(), probes(backend)))

    async def test_stays_ready(self) -> None:
        """
        A reload with new members does not make an old gateway unready.
        """
        asked: list[Conversation] = []

        async def silent(conversation: Conversation) -> None:
            await conversation.request()
            asked.append(conversation)

        well, slow = self.backend(Answers()), self.backend(silent)
        self.serve(self.probing(well))
        self.assertFalse(self.gateway.watch.ready())
        await self.settled()
        self.gateway.pass_time(0)
        self.assertTrue(self.gateway.watch.ready())
        await self.gateway.apply(self.probing(well, slow))
        self.gateway.pass_time(0)
        await self.until(lambda: asked)
        self.assertTrue(self.gateway.watch.ready())


class NameTests(ProbedTestCase):
    """
    Members that have names.
    """

    async def test_addresses(self) -> None:
        """
        Each address of a name is probed, a new one soon, one that is gone no
        more; without any the member is unhealthy, as Azure says it.
        """
        backend = self.backend(Answers())
        other = self.backend(Answers(), interface="127.0.0.3")
        zone = hold_names(self)
        members = (model.Member(address="web.internal", port=backend.port),)
        config = self.probing(backend, probe={"port": None})
        pools = {"web": model.Pool(name="web", members=members)}
        self.serve(attrs.evolve(config, pools=pools))
        self.assertEqual(["Down"], self.states())
        self.assertIn("could not create a probe", self.told())
        zone.records["web.internal"] = ["127.0.0.1"]
        zone.answer()
        await self.settled()
        self.assertEqual((["Up"], 1), (self.states(), probes(backend)))
        zone.records["web.internal"] = ["127.0.0.1", "127.0.0.3"]
        self.gateway._names._look_up_all()
        zone.answer()
        self.gateway.pass_time(0)
        await self.settled()
        states = {one.endpoint: one.health for one in self.standings()}
        port = backend.port
        self.assertEqual({f"127.0.0.1:{port}", f"127.0.0.3:{port}"}, set(states))
        self.assertEqual("Up", states[f"127.0.0.1:{port}"])
        self.assertIn("could not connect", self.standings()[1].told)
        zone.records["web.internal"] = ["127.0.0.3"]
        self.gateway._names._look_up_all()
        zone.answer()
        await self.again(2)
        self.assertEqual((1, 0), (probes(backend), probes(other)))

    async def test_waits_for_names(self) -> None:
        """
        A start is not ready before the names that it waits for are probed.
        """
        backend = self.backend(Answers())
        zone = hold_names(self)
        members = (model.Member(address="web.internal", port=backend.port),)
        config = self.probing(backend)
        pools = {"web": model.Pool(name="web", members=members)}
        self.serve(attrs.evolve(config, pools=pools))
        self.gateway.pass_time(0)
        self.assertFalse(self.gateway.watch.ready())
        zone.records["web.internal"] = ["127.0.0.1"]
        zone.answer()
        self.gateway.pass_time(0)
        self.assertFalse(self.gateway.watch.ready())
        await self.settled()
        self.gateway.pass_time(0)
        self.assertTrue(self.gateway.watch.ready())
