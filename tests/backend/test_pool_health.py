from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.health import Health
from appgw.backend.pool import Pool
from appgw.backend.standing import Standing, standings
from appgw.config import model
from tests.backend.pools import (
    KEY,
    PAIR,
    A,
    B,
    C,
    Seconds,
    addresses,
    by_address,
    config_of,
    firsts,
    pool_of,
)

UNWELL = Health("unhealthy", 3, "Because.", 5.0)


def make_unwell(pool: Pool, *unwell: str, since: float = 5.0) -> None:
    """
    Say that probes have found these addresses unhealthy, and the others not.
    """
    for address, candidate in by_address(pool).items():
        state = "unhealthy" if address in unwell else "healthy"
        pool.health[candidate.spot] = Health(state, 3, "Because.", since)
    pool.arrange_anew()


class CandidatesTests(SynchronousTestCase):
    """
    Who is proposed, and who never is.
    """

    def test_left_out(self) -> None:
        """
        An unhealthy member is proposed to nobody, not even as the last resort.
        """
        pool = pool_of(A, B, C)
        self.assertEqual([A, B, C], firsts(pool, 3))
        make_unwell(pool, B)
        self.assertEqual({A, C}, set(firsts(pool, 6)))
        for _ in range(3):
            self.assertEqual({A, C}, set(addresses(pool.candidates())))

    def test_nobody(self) -> None:
        """
        Where all are unhealthy, nobody is proposed.
        """
        pool = pool_of(A, B)
        self.assertEqual(2, len(list(pool.candidates())))
        make_unwell(pool, A, B)
        self.assertEqual([], addresses(pool.candidates()))

    def test_back(self) -> None:
        """
        Who is well again takes its turns from the next request on.
        """
        pool = pool_of(A, B)
        make_unwell(pool, A, B)
        self.assertEqual([], addresses(pool.candidates()))
        make_unwell(pool)
        self.assertEqual({A, B}, set(firsts(pool, 2)))

    def test_unknown(self) -> None:
        """
        Of whom nothing is known yet, is proposed like the healthy.
        """
        pool = pool_of(A, B, C)
        make_unwell(pool, B)
        del pool.health[by_address(pool)[C].spot]
        self.assertEqual({A, C}, set(firsts(pool, 4)))

    def test_amid_rests(self) -> None:
        """
        Rests order those that are left: all of them at rest are tried, and an
        unhealthy one is not, though its rest be over and a trial due.
        """
        seconds = Seconds()
        pool = pool_of(A, B, C, seconds=seconds)
        for candidate in pool.members:
            pool.refused(candidate)
        make_unwell(pool, A)
        self.assertEqual({B, C}, set(addresses(pool.candidates())))
        seconds.now += 11
        for _ in range(3):
            self.assertEqual({B, C}, set(addresses(pool.candidates())))
        pool.revive(by_address(pool)[B])
        # The trial is C's, the only one left that is due.
        self.assertEqual([C, B], addresses(pool.candidates()))
        self.assertEqual([B, C], addresses(pool.candidates()))

    def test_bound(self) -> None:
        """
        A client that is bound to an unhealthy member goes elsewhere, is given
        another cookie there, and comes back to its own when that is well.
        """
        pool = pool_of(A, B, cookie_based_affinity=True)
        bound = by_address(pool)[A]
        name = pool.settings.affinity_cookie_name.encode()
        affinity = pool.affinity_in([name + b"=" + bound.cookie])
        self.assertEqual([A, A], firsts(pool, 2, affinity))
        make_unwell(pool, A)
        self.assertEqual([B, B], firsts(pool, 2, affinity))
        self.assertNotEqual((), by_address(pool)[B].set_cookies(affinity, secure=True))
        make_unwell(pool)
        self.assertEqual(bound.cookie, pool.affinity_in([name + b"=" + bound.cookie]))
        self.assertEqual([A, A], firsts(pool, 2, affinity))

    def test_min_servers(self) -> None:
        """
        So many stay in, those that were well last.
        """
        probe = model.Probe(name="it", path="/", min_servers=2)
        pool = pool_of(A, B, C, probe="it", probes={"it": probe})
        make_unwell(pool, A, B, C)
        pool.health[by_address(pool)[C].spot] = Health("unhealthy", 1, "", 9.0)
        self.assertEqual({A, C}, set(addresses(pool.candidates())))

    def test_not_probed(self) -> None:
        """
        Where a setting wants no probes, what they had found does not count.
        """
        before = pool_of(A, B)
        make_unwell(before, A, B)
        config = config_of(A, B, probe_enabled=False)
        pool = Pool(config, PAIR, key=KEY, seconds=Seconds(), before=before)
        self.assertEqual({A, B}, set(addresses(pool.candidates())))

    def test_handed_on(self) -> None:
        """
        The next pool of the same names goes on with what is known, whatever
        pins, weights and order have become.
        """
        before = pool_of(A, B)
        make_unwell(before, B)
        member = model.Member(address=B, weight=7, pins=("next",))
        config = config_of(member, A, C, pins=("leaf", "next"))
        pool = Pool(config, PAIR, key=KEY, seconds=Seconds(), before=before)
        self.assertEqual({A, C}, set(addresses(pool.candidates())))

    def test_another_port(self) -> None:
        """
        Another port at the same address is another backend.
        """
        before = pool_of(A)
        make_unwell(before, A)
        for member, settings in (
            (model.Member(address=A, port=9000), {}),
            (A, {"port": 9000}),
        ):
            config = config_of(member, **settings)
            pool = Pool(config, PAIR, key=KEY, seconds=Seconds(), before=before)
            self.assertEqual([A], addresses(pool.candidates()))

    def test_new_addresses(self) -> None:
        """
        A name's new address is unknown, and one that stays keeps its health.
        """
        pool = pool_of("orders.internal")
        pool.resolve({"orders.internal": [A, B]})
        make_unwell(pool, A)
        pool.resolve({"orders.internal": [A, C]})
        self.assertEqual([C], addresses(pool.candidates()))


class StandingTests(SynchronousTestCase):
    """
    What operators are told.
    """

    def told(self, pool: Pool) -> dict[str, tuple[str, str]]:
        """
        Return health and reason by endpoint.
        """
        return {one.endpoint: (one.health, one.told) for one in standings(pool)}

    def probed(self, *members: str, **settings: Any) -> Pool:
        """
        Return a pool of members, the first of them unhealthy, the second not.
        """
        pool = pool_of(*members, **settings)
        make_unwell(pool, members[0])
        del pool.health[by_address(pool)[members[-1]].spot]
        return pool

    def test_states(self) -> None:
        """
        Each has Azure's word and what its last probe came to.
        """
        told = self.told(self.probed(A, B, C))
        self.assertEqual(("Down", "Because."), told[f"{A}:443"])
        self.assertEqual(("Up", "Because."), told[f"{B}:443"])
        state, why = told[f"{C}:443"]
        self.assertEqual("Unknown", state)
        self.assertEqual(
            "The backend health status could not be retrieved."
            " It has not been probed yet.",
            why,
        )

    def test_kept_in(self) -> None:
        """
        Whom min_servers keeps in counts as healthy, and why is told.
        """
        probe = model.Probe(name="it", path="/", min_servers=3)
        told = self.told(self.probed(A, B, C, probe="it", probes={"it": probe}))
        self.assertEqual(
            ("Up", "Because. (It stays in, because of min_servers.)"), told[f"{A}:443"]
        )

    def test_not_probed(self) -> None:
        """
        Who is not probed is unknown, and that this is meant is told.
        """
        pool = self.probed(A, B, probe_enabled=False)
        for one in standings(pool):
            self.assertEqual(("Unknown", False), (one.health, one.probed))
            self.assertIn("probe_enabled: false", one.told)

    def test_names(self) -> None:
        """
        A name is told with each of its addresses, in the configuration's order;
        one without any is unhealthy, as Azure says it.
        """
        pool = pool_of("late.internal", "orders.internal", "::1")
        pool.resolve({"orders.internal": [B, A]})
        found = [(one.address, one.endpoint) for one in standings(pool)]
        self.assertEqual(
            [
                ("late.internal", ""),
                ("orders.internal", f"{B}:443"),
                ("orders.internal", f"{A}:443"),
                ("::1", "[::1]:443"),
            ],
            found,
        )
        first = next(standings(pool))
        self.assertEqual(
            Standing(
                "late.internal",
                "",
                "Down",
                "Application Gateway could not create a probe for this backend. This"
                " usually happens when the FQDN of the backend has not been entered"
                " correctly.",
            ),
            first,
        )
