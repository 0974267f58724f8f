from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.pool import Pool
from appgw.config.model import (
    Affinity,
)
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


class AffinityTests(SynchronousTestCase):
    """
    Keeping a client where it was.
    """

    def setUp(self) -> None:
        """
        Make a pool of three with affinity.
        """
        self.pool = pool_of(A, B, C, cookie_based_affinity=True)
        self.b = by_address(self.pool)[B]

    def cookie(self, *values: bytes) -> bytes:
        """
        Return a Cookie field's value with *values* under our name.
        """
        return b"; ".join(b"ApplicationGatewayAffinity=" + value for value in values)

    def test_stays(self) -> None:
        """
        Who comes with the cookie that it was given comes to the same member.
        """
        for candidate in self.pool.members:
            ((_, line),) = candidate.set_cookies(None, secure=False)
            affinity = self.pool.affinity_in([line.partition(b";")[0]])
            self.assertEqual([candidate.address] * 4, firsts(self.pool, 4, affinity))

    def test_the_others_follow(self) -> None:
        """
        After the one it is bound to, a request is offered the others.
        """
        offered = addresses(self.pool.candidates(self.b.cookie))
        self.assertEqual(B, offered[0])
        self.assertEqual([A, C], sorted(offered[1:]))

    def test_unknown_is_absent(self) -> None:
        """
        Forged, truncated, oversized, binary values and raw addresses bind nobody.
        """
        cookie = self.b.cookie
        for value in (
            b"A" * 22,
            cookie[:-1],
            cookie + b"A",
            b"A" * 4096,
            b"\x00\xff",
            b"1",
            b"10.0.0.2:443",
        ):
            self.assertIsNone(self.pool.affinity_in([self.cookie(value)]), value)
        self.assertIsNone(self.pool.affinity_in([]))
        self.assertEqual(3, len(set(firsts(self.pool, 3, b"A" * 22))))

    def test_a_forged_one_never_wins(self) -> None:
        """
        Beside a good value a forged one changes nothing, whatever the order.
        """
        good, forged = self.cookie(self.b.cookie), self.cookie(b"A" * 22)
        quoted = self.cookie(b'"' + self.b.cookie + b'"')
        for lines in itertools.permutations([b"a=b", forged, good]):
            self.assertEqual(self.b.cookie, self.pool.affinity_in(lines))
            joined = [b"; ".join(lines)]
            self.assertEqual(self.b.cookie, self.pool.affinity_in(joined))
        self.assertEqual(self.b.cookie, self.pool.affinity_in([forged, quoted]))

    def test_the_first_of_two_good_ones(self) -> None:
        """
        Of two good values the first wins, in one line and in two.
        """
        other = by_address(self.pool)[A].cookie
        both = (self.cookie(self.b.cookie), self.cookie(other))
        self.assertEqual(self.b.cookie, self.pool.affinity_in(both))
        self.assertEqual(self.b.cookie, self.pool.affinity_in([b"; ".join(both)]))

    def test_set_when_it_went_elsewhere(self) -> None:
        """
        A cookie is set for a new client and for one that moved, not for who stayed.
        """
        other = by_address(self.pool)[A].cookie
        self.assertEqual((), self.b.set_cookies(self.b.cookie, secure=True))
        for affinity in (None, other):
            ((name, line),) = self.b.set_cookies(affinity, secure=True)
            self.assertEqual(b"Set-Cookie", name)
            self.assertEqual(
                b"ApplicationGatewayAffinity="
                + self.b.cookie
                + b"; Path=/; HttpOnly; SameSite=Lax; Secure",
                line,
            )

    def test_off(self) -> None:
        """
        Without affinity no cookie is read, and none is set.
        """
        pool = pool_of(A, B)
        for candidate in pool.members:
            self.assertEqual((), candidate.set_cookies(None, secure=True))
        self.assertIsNone(pool.affinity_in([self.cookie(self.b.cookie)]))

    def test_own_name(self) -> None:
        """
        The setting's cookie name is the one that is read and set.
        """
        pool = pool_of(A, cookie_based_affinity=True, affinity_cookie_name="stay")
        (only,) = pool.members
        self.assertEqual(only.cookie, pool.affinity_in([b"stay=" + only.cookie]))
        ((_, line),) = only.set_cookies(None, secure=False)
        self.assertTrue(line.startswith(b"stay="))

    def test_azures_twins(self) -> None:
        """
        In Azure's manner both cookies are set, and either one binds.
        """
        pool = pool_of(
            A, B, cookie_based_affinity=True, affinity=Affinity(compat="azure")
        )
        for candidate in pool.members:
            lines = candidate.set_cookies(None, secure=True)
            self.assertEqual(2, len(lines))
            for _, line in lines:
                sent_back = line.partition(b";")[0]
                self.assertEqual(candidate.cookie, pool.affinity_in([sent_back]))

    def test_gateways_agree(self) -> None:
        """
        With the same key two gateways give the same value, with another not.
        """
        config = config_of(A, B, cookie_based_affinity=True)
        mine, yours, others = (
            [c.cookie for c in Pool(config, PAIR, key=key, seconds=Seconds()).members]
            for key in (KEY, KEY, b"another")
        )
        self.assertEqual(mine, yours)
        self.assertFalse(set(mine) & set(others))

    def test_names_at_one_address(self) -> None:
        """
        Two names that have the same address are two backends.
        """
        pool = pool_of("a.internal", "b.internal", cookie_based_affinity=True)
        pool.resolve({"a.internal": [A], "b.internal": [A]})
        one, two = pool.members
        self.assertNotEqual(one.cookie, two.cookie)
        self.assertNotEqual(one.target, two.target)
        self.assertIs(two, next(pool.candidates(two.cookie)))
