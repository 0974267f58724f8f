from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from twisted.trial.unittest import SynchronousTestCase

from appgw import counters
from appgw.counters import Counters
from appgw.refusal import Refusal
from tests.outcomes import CANDIDATE, make_candidate, make_outcome, make_route

ROW = {
    "listener": "shop",
    "rule": "shop-rule",
    "pool": "orders",
    "setting": "orders-https",
    "member": "10.0.0.7:9443",
    "status_class": "2xx",
}


class CountersTests(SynchronousTestCase):
    """
    What a scrape shows after some requests.
    """

    def setUp(self) -> None:
        """
        Make counters with a registry of their own.
        """
        self.registry = CollectorRegistry()
        self.counters = Counters(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        """
        Return what the registry shows.
        """
        return self.registry.get_sample_value(f"appgw_{name}", labels)

    def count(self, **changes: Any) -> None:
        """
        Count one exchange.
        """
        self.counters.count(make_outcome(**changes))

    def test_sums(self) -> None:
        """
        Requests, bytes and seconds are added up under their names.
        """
        self.count()
        self.count(status=204, received=3, sent=88, ended=101.0, server_time=0.5)
        self.assertEqual(2, self.value("requests_total", **ROW))
        self.assertEqual(10, self.value("request_body_bytes_total", **ROW))
        self.assertEqual(600, self.value("response_bytes_total", **ROW))
        self.assertEqual(1.5, self.value("request_seconds_total", **ROW))
        self.assertEqual(0.625, self.value("backend_seconds_total", **ROW))

    def test_clients_that_came_to_nothing(self) -> None:
        """
        Handshakes that failed are counted, and connections without a PROXY header
        by why.
        """
        self.assertEqual(0, self.value("client_handshakes_failed_total"))
        self.counters.handshake_failed()
        for reason in ("late", "untrusted", "late"):
            self.counters.proxy_refused(reason)
        self.assertEqual(1, self.value("client_handshakes_failed_total"))
        name = "proxy_headers_refused_total"
        self.assertEqual(2, self.value(name, reason="late"))
        self.assertEqual(1, self.value(name, reason="untrusted"))

    def test_status_classes(self) -> None:
        """
        Each class of status has a row; no status, and unheard-of ones, have too.
        """
        for status in (0, 101, 200, 302, 404, 502, 599, 999):
            self.count(status=status)
        seen = {
            label: self.value("requests_total", **(ROW | {"status_class": label}))
            for label in ("none", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "9xx")
        }
        self.assertEqual(
            {
                "none": 1,
                "1xx": 1,
                "2xx": 1,
                "3xx": 1,
                "4xx": 1,
                "5xx": 2,
                "6xx": None,
                "9xx": 1,
            },
            seen,
        )

    def test_rows_are_kept_apart(self) -> None:
        """
        Requests of different rules and members are counted apart.
        """
        self.count()
        self.count(route=make_route("other"))
        self.count(candidate=make_candidate("10.0.0.8", "10.0.0.8"))
        self.count(candidate=None)
        for changes in (
            {},
            {"rule": "other"},
            {"member": "10.0.0.8:9443"},
            {"member": ""},
        ):
            self.assertEqual(1, self.value("requests_total", **(ROW | changes)))

    def test_requests_of_a_pool(self) -> None:
        """
        All requests to a pool under a setting can be told, by whatever rule they
        came and whatever became of them.
        """
        self.assertEqual(0, self.counters.requests("orders", "orders-https"))
        self.count()
        self.count(status=503)
        self.count(route=make_route("other"))
        self.count(candidate=None)
        self.count(route=make_route(pool="web"))
        self.count(route=None, candidate=None, status=404)
        self.assertEqual(4, self.counters.requests("orders", "orders-https"))
        self.assertEqual(1, self.counters.requests("web", "orders-https"))

    def test_requests_without_a_rule(self) -> None:
        """
        What met no rule is counted under its listener, and without one under none.
        """
        nowhere = {**dict.fromkeys(ROW, ""), "status_class": "4xx"}
        self.count(route=None, candidate=None, status=404)
        self.count(route=None, candidate=None, status=400, listener="")
        self.assertEqual(
            1, self.value("requests_total", **(nowhere | {"listener": "shop"}))
        )
        self.assertEqual(1, self.value("requests_total", **nowhere))

    def test_sums_outlive_a_reload(self) -> None:
        """
        A new table with the same names goes on with the same sums.
        """
        self.count()
        self.count(route=make_route())
        self.assertEqual(2, self.value("requests_total", **ROW))

    def test_what_is_known_by_identity_is_bounded(self) -> None:
        """
        Old tables and candidates are let go, and no request is lost by it.
        """
        self.patch(counters, "REMEMBERED", 2)
        for _ in range(7):
            self.count(route=make_route())
        self.assertEqual(7, self.value("requests_total", **ROW))

    def test_members_are_called_as_configured(self) -> None:
        """
        A label shows the host name of the configuration, not the address it has.
        """
        self.count(candidate=make_candidate("orders-1.internal", "10.0.0.9"))
        text = generate_latest(self.registry).decode()
        self.assertIn('member="orders-1.internal:9443"', text)
        self.assertNotIn("10.0.0.9", text)

    def test_refusals(self) -> None:
        """
        Our own answers are counted by reason.
        """
        self.count(refusal=Refusal.NO_MEMBER, status=502)
        self.count(refusal=Refusal.NO_MEMBER, status=502)
        self.count(refusal=Refusal.LOOP, status=508)
        self.assertEqual(2, self.value("refusals_total", reason="no_member"))
        self.assertEqual(1, self.value("refusals_total", reason="loop"))
        self.assertIsNone(self.value("refusals_total", reason="draining"))

    def test_pin_refusals(self) -> None:
        """
        Refused certificates are counted by backend and reason.
        """
        for reason in ("not-pinned", "not-pinned", "expired"):
            self.counters.pin_refused("orders", "orders-https", CANDIDATE, reason)
        names = {
            "pool": "orders",
            "setting": "orders-https",
            "member": "10.0.0.7:9443",
        }
        refused = {
            reason: self.value("pin_refusals_total", **names, reason=reason)
            for reason in ("not-pinned", "expired")
        }
        self.assertEqual({"not-pinned": 2, "expired": 1}, refused)

    def test_connections(self) -> None:
        """
        Connections are shown as they stand at the scrape.
        """
        self.counters.client_connections += 2
        self.counters.client_connections_accepted += 3
        self.assertEqual(2, self.value("client_connections"))
        self.assertEqual(3, self.value("client_connections_accepted_total"))
        self.counters.client_connections -= 1
        self.assertEqual(1, self.value("client_connections"))
        self.assertEqual(0, self.value("backend_connections"))
        self.assertEqual(0, self.value("tunnels"))

    def test_watched(self) -> None:
        """
        A number that somebody else keeps is read at each scrape.
        """
        lost = [4]
        self.counters.watch("access_log_lost", "Lines lost.", lambda: lost[0])
        self.assertEqual(4, self.value("access_log_lost"))
        lost[0] = 5
        self.assertEqual(5, self.value("access_log_lost"))

    def test_registries_are_apart(self) -> None:
        """
        Two gateways in one process count for themselves.
        """
        registry = CollectorRegistry()
        Counters(registry)
        self.count()
        self.assertIsNone(registry.get_sample_value("appgw_requests_total", ROW))
        self.assertEqual(1, self.value("requests_total", **ROW))
