from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from appgw.backend.names import PATIENCE, Names
from appgw.backend.pool import Pool
from tests.backend.pools import pool_of
from tests.backend.zone import Zone, addresses, as_address

INTERVAL = 30.0
NAME = "orders.internal"


class NamesTests(SynchronousTestCase):
    """
    Looking up, with a clock that is moved by hand.
    """

    def setUp(self) -> None:
        """
        Make the service on a resolver that is told what it knows.
        """
        self.zone = Zone()
        self.reactor = MemoryReactorClock()
        self.reactor.installNameResolver(self.zone)
        self.names = Names(self.reactor, INTERVAL)
        self.addCleanup(self.stop)
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def stop(self) -> None:
        """
        Stop the service if a test has not.
        """
        if self.names.running:
            self.names.stopService()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def observe(self, event: LogEvent) -> None:
        """
        Keep what the service logs.
        """
        if event.get("log_namespace") == "appgw.backend.names.Names":
            self.logged.append(event)

    def started(self, *members: str) -> Pool:
        """
        Return a pool of *members* that the service keeps, once started.
        """
        pool = pool_of(*members)
        self.names.add([pool])
        self.names.startService()
        return pool

    def test_addresses_need_no_resolver(self) -> None:
        """
        IP addresses are there at once, and nobody is asked about them.
        """
        pool = self.started("10.0.0.1", "[::1]")
        self.assertEqual(["10.0.0.1", "::1"], addresses(pool))
        self.reactor.advance(INTERVAL)
        self.assertEqual([], self.zone.asked)

    def test_both_families(self) -> None:
        """
        Each address of either family is an endpoint, once, in a fixed order.
        """
        self.zone.records[NAME] = [
            "2001:db8::2",
            "10.0.0.10",
            "2001:DB8:0::2",
            "10.0.0.9",
            "10.0.0.10",
            "/run/socket",
        ]
        pool = self.started(NAME)
        self.assertEqual(["10.0.0.9", "10.0.0.10", "2001:db8::2"], addresses(pool))

    def test_nothing_before_the_start(self) -> None:
        """
        Before the service starts nobody is asked.
        """
        self.names.add([pool_of(NAME)])
        self.reactor.advance(INTERVAL)
        self.assertEqual([], self.zone.asked)

    def test_again_at_each_interval(self) -> None:
        """
        After each interval a new address takes the place of the old.
        """
        self.zone.records[NAME] = ["10.0.0.1"]
        pool = self.started(NAME)
        self.zone.records[NAME] = ["10.0.0.2"]
        self.reactor.advance(INTERVAL - 1)
        self.assertEqual(["10.0.0.1"], addresses(pool))
        self.reactor.advance(1)
        self.assertEqual(["10.0.0.2"], addresses(pool))

    def test_shuffled_answers_change_nothing(self) -> None:
        """
        An answer in another order leaves the pool and the log as they are.
        """
        self.zone.records[NAME] = ["10.0.0.1", "10.0.0.2"]
        pool = self.started(NAME)
        before = pool.members
        self.zone.records[NAME].reverse()
        self.reactor.advance(INTERVAL)
        self.assertIs(before, pool.members)
        self.assertEqual(1, len(self.logged))

    def test_last_good_is_kept(self) -> None:
        """
        What fails later changes nothing, and is logged when it begins and ends.
        """
        self.zone.records[NAME] = ["10.0.0.1"]
        pool = self.started(NAME)
        self.zone.records[NAME] = []
        self.reactor.pump([INTERVAL] * 5)
        self.assertEqual(["10.0.0.1"], addresses(pool))
        self.zone.broken = True
        self.reactor.pump([INTERVAL] * 5)
        self.assertEqual(["10.0.0.1"], addresses(pool))
        self.zone.broken = False
        self.zone.records[NAME] = ["10.0.0.1"]
        self.reactor.pump([INTERVAL] * 5)
        self.assertEqual(
            ["info", "warn", "info"], [event["log_level"].name for event in self.logged]
        )

    def test_never_found(self) -> None:
        """
        A name that has no address yields no endpoint and one line in the log.
        """
        pool = self.started(NAME)
        self.reactor.pump([INTERVAL] * 5)
        self.assertEqual([], addresses(pool))
        self.assertEqual(6, len(self.zone.asked))
        (event,) = self.logged
        self.assertEqual((NAME, "none"), (event["name"], event["addresses"]))

    def test_found_at_last(self) -> None:
        """
        A name that was not found at first is taken in when it is.
        """
        pool = self.started(NAME)
        self.zone.records[NAME] = ["10.0.0.1"]
        self.reactor.advance(INTERVAL)
        self.assertEqual(["10.0.0.1"], addresses(pool))

    def test_one_question_for_many_pools(self) -> None:
        """
        A name that several pools have is asked about once, for all of them.
        """
        self.zone.records[NAME] = ["10.0.0.1"]
        pools = [pool_of(NAME), pool_of("10.0.0.9", NAME)]
        self.names.add(pools)
        self.names.startService()
        self.assertEqual([NAME], self.zone.asked)
        self.assertEqual(
            [["10.0.0.1"], ["10.0.0.9", "10.0.0.1"]], [*map(addresses, pools)]
        )

    def test_slow_answers_are_waited_for(self) -> None:
        """
        A name is not asked about again while an answer is on its way.
        """
        self.zone.holding = True
        pool = self.started(NAME)
        self.reactor.advance(INTERVAL)
        self.assertEqual([NAME], self.zone.asked)
        self.zone.records[NAME] = ["10.0.0.1"]
        self.zone.answer()
        self.assertEqual(["10.0.0.1"], addresses(pool))

    def test_patience_ends(self) -> None:
        """
        A look-up without an answer is given up, and its late answer is nobody's.
        """
        self.zone.holding = True
        pool = self.started(NAME)
        late = list(self.zone.pending)
        self.zone.pending.clear()
        self.reactor.pump([INTERVAL] * int(PATIENCE // INTERVAL))
        self.assertEqual([NAME, NAME], self.zone.asked)
        self.zone.records[NAME] = ["10.0.0.2"]
        self.zone.answer()
        for receiver, _ in late:
            receiver.addressResolved(as_address("10.0.0.1"))
            receiver.resolutionComplete()
        self.assertEqual(["10.0.0.2"], addresses(pool))

    def test_stopped(self) -> None:
        """
        After the end nobody is asked, and late answers change nothing.
        """
        self.zone.holding = True
        pool = self.started(NAME)
        self.names.stopService()
        self.reactor.advance(INTERVAL)
        self.zone.records[NAME] = ["10.0.0.1"]
        self.zone.answer()
        self.assertEqual([NAME], self.zone.asked)
        self.assertEqual([], addresses(pool))

    def test_started_again(self) -> None:
        """
        A service that was stopped can be started again.
        """
        pool = self.started(NAME)
        self.names.stopService()
        self.zone.records[NAME] = ["10.0.0.1"]
        self.names.startService()
        self.assertEqual(["10.0.0.1"], addresses(pool))

    def test_added_while_running(self) -> None:
        """
        A pool that comes later has known names at once; only new ones are asked.
        """
        self.zone.records = {NAME: ["10.0.0.1"], "new.internal": ["10.0.0.2"]}
        self.started(NAME)
        self.zone.holding = True
        later = pool_of(NAME, "new.internal")
        self.names.add([later])
        self.assertEqual(["10.0.0.1"], addresses(later))
        self.assertEqual([NAME, "new.internal"], self.zone.asked)
        self.zone.answer()
        self.assertEqual(["10.0.0.1", "10.0.0.2"], addresses(later))

    def test_added_while_asking(self) -> None:
        """
        A pool that comes while its name is being asked about shares the answer.
        """
        self.zone.holding = True
        self.started(NAME)
        later = pool_of(NAME)
        self.names.add([later])
        self.assertEqual([NAME], self.zone.asked)
        self.zone.records[NAME] = ["10.0.0.1"]
        self.zone.answer()
        self.assertEqual(["10.0.0.1"], addresses(later))

    def test_stopped_before_the_start(self) -> None:
        """
        A service that never ran can be stopped.
        """
        self.names.add([pool_of(NAME)])
        self.names.stopService()
        self.assertEqual([], self.zone.asked)

    def test_discarded(self) -> None:
        """
        A pool that was discarded is left alone, its names are forgotten.
        """
        self.zone.records[NAME] = ["10.0.0.1"]
        pool = self.started(NAME, "old.internal")
        kept = pool_of(NAME)
        self.names.add([kept])
        self.names.discard([pool])
        self.zone.asked.clear()
        self.zone.records[NAME] = ["10.0.0.2"]
        self.reactor.advance(INTERVAL)
        self.assertEqual([NAME], self.zone.asked)
        self.assertEqual(["10.0.0.1"], addresses(pool))
        self.assertEqual(["10.0.0.2"], addresses(kept))


class RealResolverTests(TestCase):
    """
    The reactor's own resolver.
    """

    async def test_localhost(self) -> None:
        """
        The name localhost is found, at an address that is this machine's.
        """
        names = Names(reactor, INTERVAL)
        pool = pool_of("localhost")
        names.add([pool])
        names.startService()
        self.addCleanup(names.stopService)
        await names.first_resolution()
        self.assertIn(addresses(pool)[0], ("127.0.0.1", "::1"))
        self.assertEqual("localhost", pool.members[0].target.server_name)
