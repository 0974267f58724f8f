from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.names import Names
from tests.backend.pools import pool_of
from tests.backend.zone import Zone, addresses

INTERVAL = 30.0
NAME = "orders.internal"


class FirstResolutionTests(SynchronousTestCase):
    """
    Waiting for the first answers.
    """

    def setUp(self) -> None:
        """
        Make a service that is running, on a resolver that takes its time.
        """
        self.zone = Zone()
        self.zone.holding = True
        self.reactor = MemoryReactorClock()
        self.reactor.installNameResolver(self.zone)
        self.names = Names(self.reactor, INTERVAL)
        self.names.startService()

    def test_without_names(self) -> None:
        """
        A service without names has nothing to wait for.
        """
        self.names.add([pool_of("10.0.0.1")])
        self.successResultOf(self.names.first_resolution())

    def test_found_or_not(self) -> None:
        """
        It fires when each name was answered, those that do not exist too.
        """
        self.zone.records[NAME] = ["10.0.0.1"]
        pool = pool_of(NAME, "gone.internal")
        self.names.add([pool])
        waiting = self.names.first_resolution()
        self.assertNoResult(waiting)
        self.zone.answer()
        self.successResultOf(waiting)
        self.assertEqual(["10.0.0.1"], addresses(pool))

    def test_bounded(self) -> None:
        """
        Who waits no longer is left alone by an answer that comes later.
        """
        self.names.add([pool_of(NAME)])
        waiting = self.names.first_resolution().addTimeout(5, self.reactor)
        patient = self.names.first_resolution()
        self.reactor.advance(5)
        self.failureResultOf(waiting)
        self.zone.answer()
        self.successResultOf(patient)

    def test_stopped(self) -> None:
        """
        The end of the service lets go who waits.
        """
        self.names.add([pool_of(NAME)])
        waiting = self.names.first_resolution()
        self.names.stopService()
        self.successResultOf(waiting)

    def test_nobody_wants_the_name(self) -> None:
        """
        A name that was discarded is not waited for.
        """
        pool = pool_of(NAME)
        self.names.add([pool])
        waiting = self.names.first_resolution()
        self.names.discard([pool])
        self.successResultOf(waiting)
