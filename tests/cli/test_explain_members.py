from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.backend.pool import Pool
from appgw.cli.explain import ask, explained
from appgw.config.model import Affinity, BackendSettings, Config, Member
from appgw.config.model import Pool as Members
from tests.route.values import config, listener

A, B, C = (Member(address=f"10.0.0.{number}") for number in (1, 2, 3))
CLIENTS = [f"198.51.100.{number}" for number in range(20)]
KEY = b"k" * 16


class MembersTests(SynchronousTestCase):
    """
    Who could take a request.
    """

    def values(self, *members: Member, **settings: Any) -> Config:
        """
        Return a configuration whose one rule leads to *members*.
        """
        values = config(listener("all", protocol="http", port=80))
        made = BackendSettings(name="web", protocol="http", port=80, **settings)
        return attrs.evolve(
            values,
            pools={"web": Members(name="web", members=members)},
            backend_settings={"web": made},
            affinity=Affinity(key=KEY),
        )

    def told(
        self, values: Config, client: str = "192.0.2.1", *fields: str
    ) -> list[str]:
        """
        Return the lines about members.
        """
        lines, _ = explained(values, ask("http://a.example/", fields, "GET", client))
        first = next(n for n, line in enumerate(lines) if line.startswith("members"))
        return lines[first : lines.index("sends")]

    def test_in_turn(self) -> None:
        """
        Each member's share is told, and that turns decide.
        """
        heavy = attrs.evolve(B, weight=3)
        self.assertEqual(
            [
                "members    in turn, by weight",
                "  http://10.0.0.1:80, 1 of 4 requests",
                "  http://10.0.0.2:80, 3 of 4 requests",
                "  (as if all were well; appgw health tells how they are)",
            ],
            self.told(self.values(A, heavy)),
        )

    def test_alone(self) -> None:
        """
        An only member has no share to tell of.
        """
        told = self.told(self.values(A))
        self.assertEqual(
            ["members    in turn, by weight", "  http://10.0.0.1:80"], told
        )

    def test_least_connections(self) -> None:
        """
        It is told where the less busy gets a request.
        """
        values = self.values(A, B, load_distribution_algorithm="LeastConnections")
        expected = "members    in turn, by weight, or the less busy of two"
        self.assertEqual(expected, self.told(values)[0])

    def test_by_address(self) -> None:
        """
        Where the client's address decides, members are told in the order that it
        gives, the same as the gateway's.
        """
        values = self.values(A, B, C, load_distribution_algorithm="IpHash")
        pool = Pool(values, ("web", "web"), key=KEY, seconds=float)
        firsts = set()
        for client in CLIENTS:
            told = self.told(values, client)
            expected = [c.label for c in pool.candidates(None, client)]
            found = [line.split("//")[1].split(",")[0] for line in told[1:4]]
            self.assertEqual(expected, found)
            self.assertIn(f", asked first: {client} belongs to it, 1 of 3", told[1])
            firsts.add(found[0])
        self.assertEqual(3, len(firsts))

    def test_by_address_and_names(self) -> None:
        """
        Where a member's addresses aren't known here, nobody is said to be first.
        """
        named = Member(address="web.internal")
        values = self.values(A, named, load_distribution_algorithm="IpHash")
        for client in CLIENTS:
            told = self.told(values, client)
            self.assertEqual("  http://10.0.0.1:80, 1 of 2 requests", told[1])

    def test_behind_a_proxy(self) -> None:
        """
        Whom a trusted proxy names is who the client is.
        """
        values = self.values(A, B, C, load_distribution_algorithm="IpHash")
        trusting = attrs.evolve(values, trusted_proxies=(ip_network("192.0.2.0/24"),))
        told = self.told(trusting, "192.0.2.1", "X-Forwarded-For: 198.51.100.7")
        self.assertEqual(self.told(values, "198.51.100.7"), told)

    def test_bound(self) -> None:
        """
        The member that the affinity cookie names is told first; one that nobody
        has made names none.
        """
        values = self.values(A, B, C, cookie_based_affinity=True)
        pool = Pool(values, ("web", "web"), key=KEY, seconds=float)
        cookie = pool.members[1].cookie.decode()
        field = "Cookie: ApplicationGatewayAffinity="
        told = self.told(values, "192.0.2.1", field + cookie)
        expected = "  http://10.0.0.2:80, asked first: the affinity cookie names it"
        self.assertEqual(f"{expected}, 1 of 3 requests", told[1])
        told = self.told(values, "192.0.2.1", field + "A" * 22)
        self.assertEqual("  http://10.0.0.1:80, 1 of 3 requests", told[1])

    def test_draining(self) -> None:
        """
        It is told of a marked member who still comes to it; the others share the
        requests.
        """
        marked = attrs.evolve(B, draining=True)
        for settings, who in (
            ({}, "nobody"),
            ({"cookie_based_affinity": True}, "only clients that are bound to it"),
            ({"cookie_based_affinity": True, "drain_sticky": "move"}, "nobody"),
        ):
            told = self.told(self.values(A, marked, C, **settings))
            self.assertEqual(f"  http://10.0.0.2:80, draining: {who}", told[2])
            self.assertEqual("  http://10.0.0.3:80, 1 of 2 requests", told[3])
