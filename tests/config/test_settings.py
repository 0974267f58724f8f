from __future__ import annotations

from appgw.config.model import ConnectionDraining, OutlierDetection
from tests.config.samples import SOUND, ConfigCase

THERE = "pool: orders, backend_settings: orders"
PINNED = "protocol: https, pins: [orders]"
PLAIN = "orders: {protocol: http}"


class TrustTests(ConfigCase):
    def test_https_without_trust(self) -> None:
        """
        With https, something must say whom to trust.
        """
        text = self.text(backend_settings="orders: {protocol: https}  # here")
        problem = self.only(text, "backend_settings.orders")
        self.assertIn("neither pins nor trusted_roots", problem.found)

    def test_members_pins_are_not_enough(self) -> None:
        """
        Pins of every member don't stand in for those of the settings.
        """
        text = self.text(
            backend_settings="orders: {protocol: https}  # here",
            pools="orders: {members: [{address: a, pins: [orders]}]}",
        )
        self.only(text, "backend_settings.orders")

    def test_empty_lists(self) -> None:
        """
        An empty list of pins or roots is an error, wherever it stands.
        """
        for key in ("pins", "trusted_roots"):
            text = self.text(
                backend_settings=f"orders: {{protocol: https, {key}: []}}  # here"
            )
            self.only(text, f"backend_settings.orders.{key}")
        text = self.text(pools="orders: {members: [{address: a, pins: []}]}  # here")
        self.only(text, "pools.orders.members[0].pins")

    def test_http_with_trust(self) -> None:
        """
        With http, nothing that judges certificates may be set.
        """
        for key, value in (
            ("pins", "[orders]"),
            ("trusted_roots", "[well-known]"),
            ("verify_name", "true"),
        ):
            text = self.text(
                backend_settings=f"orders: {{protocol: http, {key}: {value}}}  # here"
            )
            self.only(text, f"backend_settings.orders.{key}")

    def test_pinned_member_without_tls(self) -> None:
        """
        A member's pins are an error where a rule leads to it in plain text.
        """
        pools = "orders: {members: [a, {address: b, pins: [orders]}]}  # here"
        problem = self.only(
            self.text(pools=pools, backend_settings=PLAIN),
            "pools.orders.members[1].pins",
        )
        self.assertIn("rules.shop uses http settings 'orders'", problem.found)

    def test_pinned_member_without_tls_by_path(self) -> None:
        """
        The same where only a path rule leads there.
        """
        text = self.text(
            pools="orders: {members: [a, {address: b, pins: [orders]}]}  # here",
            backend_settings=SOUND["backend_settings"] + "\nplain: {protocol: http}",
            url_path_maps=f"""
                m:
                  default: {{{THERE}}}
                  path_rules:
                    - {{name: a, paths: [/a], pool: orders, backend_settings: plain}}
            """,
            rules="shop: {priority: 10, listener: shop, url_path_map: m}",
        )
        problem = self.only(text, "pools.orders.members[1].pins")
        self.assertIn("http settings 'plain'", problem.found)

    def test_two_host_names(self) -> None:
        """
        A host name is given or picked, not both.
        """
        both = "host_name: a, pick_host_name_from_backend_address: true"
        text = self.text(backend_settings=f"orders: {{{PINNED}, {both}}}  # here")
        self.only(text, "backend_settings.orders.pick_host_name_from_backend_address")
        self.sound(text.replace("true", "false"))

    def test_https_without_certificate(self) -> None:
        """
        An https listener presents a certificate.
        """
        self.only(
            self.text(listeners="shop: {protocol: https}  # here"),
            "listeners.shop.certificate",
        )

    def test_http_with_certificate(self) -> None:
        """
        An http listener has no use for one.
        """
        text = self.text(listeners="shop: {protocol: http, certificate: shop}  # here")
        self.only(text, "listeners.shop.certificate")


class MemberTests(ConfigCase):
    def test_no_members(self) -> None:
        """
        A pool without members is a warning.
        """
        self.only(
            self.text(pools="orders: {}  # here"), "pools.orders.members", "warning"
        )
        self.only(
            self.text(pools="orders: {members: []}  # here"),
            "pools.orders.members",
            "warning",
        )

    def test_twice(self) -> None:
        """
        A member stands once in a pool, whatever its weight.
        """
        for again in ("A.internal:80", "{address: a.internal, port: 80, weight: 2}"):
            text = self.text(
                pools=f"orders: {{members: [a.internal:80, {again}]}}  # here"
            )
            self.only(text, "pools.orders.members[1]")

    def test_broken_member(self) -> None:
        """
        A member that can't be read leaves the positions of others alone.
        """
        text = self.text(
            pools="""
                orders:
                  members:
                    - "a b"
                    - {address: b, pins: [x]}
            """
        )
        keys = [problem.key for problem in self.examine(text).problems]
        self.assertEqual(
            keys, ["pools.orders.members[0]", "pools.orders.members[1].pins[0]"]
        )


class AffinityTests(ConfigCase):
    settings = "orders: {protocol: https, pins: [orders], cookie_based_affinity: true}"

    def test_without_a_key(self) -> None:
        """
        Affinity without a key file is a warning.
        """
        text = self.text(backend_settings=f"{self.settings}  # here")
        self.only(text, "backend_settings.orders.cookie_based_affinity", "warning")

    def test_short_key(self) -> None:
        """
        A key file must have at least 16 bytes.
        """
        self.write("affinity.key", b"k" * 15)
        text = self.text("affinity: {key_file: affinity.key}  # here\n")
        self.assertIn("15 bytes", self.only(text, "affinity.key_file").found)
        self.write("affinity.key", b"k" * 16)
        self.sound(
            self.text(
                "affinity: {key_file: affinity.key}\n", backend_settings=self.settings
            )
        )

    def test_absent_key(self) -> None:
        """
        A key file that isn't there is an error.
        """
        self.only(
            self.text("affinity: {key_file: none}  # here\n"), "affinity.key_file"
        )

    def test_public_key(self) -> None:
        """
        A key file that everybody may read is a warning.
        """
        self.write("affinity.key", b"k" * 16, mode=0o644)
        text = self.text("affinity: {key_file: affinity.key}  # here\n")
        self.only(text, "affinity.key_file", "warning")

    def test_compat(self) -> None:
        """
        There is one system to be compatible with.
        """
        self.only(self.text("affinity: {compat: aws}  # here\n"), "affinity.compat")


class LogTests(ConfigCase):
    def test_no_folder(self) -> None:
        """
        An access log in a folder that isn't there is a warning.
        """
        text = self.text("access_log: {file: none/access.log}  # here\n")
        self.only(text, "access_log.file", "warning")

    def test_no_path(self) -> None:
        """
        An empty path is none.
        """
        self.only(self.text("access_log: {file: ''}  # here\n"), "access_log.file")

    def test_format(self) -> None:
        """
        The formats are known by their names.
        """
        text = self.text("access_log: {file: a.log, format: xml}  # here\n")
        self.only(text, "access_log.format")


class AlgorithmTests(ConfigCase):
    def test_words(self) -> None:
        """
        The algorithms are known by Azure's words, and no others.
        """
        for word in ("RoundRobin", "LeastConnections", "IpHash"):
            key = f"load_distribution_algorithm: {word}"
            config = self.sound(
                self.text(backend_settings=f"orders: {{{PINNED}, {key}}}")
            )
            settings = config.backend_settings["orders"]
            self.assertEqual(word, settings.load_distribution_algorithm)
        key = "load_distribution_algorithm: Random"
        text = self.text(backend_settings=f"orders: {{{PINNED}, {key}}}  # here")
        key = "backend_settings.orders.load_distribution_algorithm"
        self.assertIn("IpHash", self.only(text, key).expected)


class DrainingTests(ConfigCase):
    def test_read(self) -> None:
        """
        The mark of a member and what a setting does about it are read.
        """
        keys = (
            "connection_draining: {enabled: true, drain_timeout: 90s},"
            " drain_sticky: move"
        )
        text = self.text(
            pools="orders: {members: [a, {address: b, draining: true}]}",
            backend_settings=f"orders: {{{PINNED}, {keys}}}",
        )
        config = self.sound(text)
        settings = config.backend_settings["orders"]
        self.assertEqual(
            (ConnectionDraining(enabled=True, drain_timeout=90.0), "move"),
            (settings.connection_draining, settings.drain_sticky),
        )
        members = config.pools["orders"].members
        self.assertEqual([False, True], [member.draining for member in members])

    def test_bounds(self) -> None:
        """
        A time that Azure would not take, and another word, are errors.
        """
        for keys, key in (
            ("connection_draining: {drain_timeout: 2h}", "drain_timeout"),
            ("connection_draining: {drain_timeout: 0s}", "drain_timeout"),
            ("drain_sticky: stay", "drain_sticky"),
        ):
            text = self.text(backend_settings=f"orders: {{{PINNED}, {keys}}}  # here")
            path = "connection_draining." * (key == "drain_timeout") + key
            self.only(text, f"backend_settings.orders.{path}")

    def test_nobody_is_left(self) -> None:
        """
        A pool whose members are all marked is a warning: new clients get 502.
        """
        members = "[{address: a, draining: true}, {address: b, draining: true}]"
        text = self.text(pools=f"orders: {{members: {members}}}  # here")
        self.only(text, "pools.orders.members", "warning")


class LimitTests(ConfigCase):
    def test_read(self) -> None:
        """
        The limits of connections and of those who wait are read.
        """
        keys = "max_connections: 7, max_pending_requests: 0, pending_timeout: 250ms"
        text = self.text(backend_settings=f"orders: {{{PINNED}, {keys}}}")
        settings = self.sound(text).backend_settings["orders"]
        found = settings.max_connections, settings.max_pending_requests
        self.assertEqual((7, 0, 0.25), (*found, settings.pending_timeout))

    def test_bounds(self) -> None:
        """
        No connection at all, and no time at all, are errors.
        """
        for keys in (
            "max_connections: 0",
            "max_connections: 65536",
            "max_pending_requests: -1",
            "pending_timeout: 0s",
            "slow_start: 2h",
        ):
            text = self.text(backend_settings=f"orders: {{{PINNED}, {keys}}}  # here")
            self.only(text, "backend_settings.orders." + keys.split(":")[0])


class OutlierTests(ConfigCase):
    def outliers(self, keys: str) -> str:
        """
        Return a configuration with these keys of outlier_detection.
        """
        settings = f"orders: {{{PINNED}, outlier_detection: {{{keys}}}}}  # here"
        return self.text(backend_settings=settings)

    def test_read(self) -> None:
        """
        Each key is read; those left out keep their defaults.
        """
        config = self.sound(
            self.outliers(
                "consecutive_failures: 3, base_ejection_time: 1m,"
                " max_ejection_time: 2h, max_ejection_percent: 10,"
                " status_codes: [500, 502-504]"
            )
        )
        self.assertEqual(
            OutlierDetection(
                consecutive_failures=3,
                base_ejection_time=60.0,
                max_ejection_time=7200.0,
                max_ejection_percent=10,
                status_codes=((500, 500), (502, 504)),
            ),
            config.backend_settings["orders"].outlier_detection,
        )
        config = self.sound(self.outliers("consecutive_failures: 3"))
        self.assertEqual(
            OutlierDetection(consecutive_failures=3),
            config.backend_settings["orders"].outlier_detection,
        )

    def test_bounds(self) -> None:
        """
        More than half of a pool, no failures and no time are errors.
        """
        for keys in (
            "max_ejection_percent: 51",
            "consecutive_failures: 0",
            "base_ejection_time: 0s",
            "status_codes: []",
            "status_codes: [600]",
        ):
            key = "backend_settings.orders.outlier_detection." + keys.split(":")[0]
            if "[6" in keys:
                key += "[0]"
            self.only(self.outliers(keys), key)

    def test_longest_before_first(self) -> None:
        """
        The longest rest is no shorter than the first, given or by default.
        """
        key = "backend_settings.orders.outlier_detection.max_ejection_time"
        for keys in ("max_ejection_time: 9s", "base_ejection_time: 6m"):
            self.only(self.outliers(keys), key)
        self.sound(self.outliers("base_ejection_time: 6m, max_ejection_time: 6m"))

    def test_clients_statuses(self) -> None:
        """
        No client can make a member rest by a request that is refused.
        """
        key = "backend_settings.orders.outlier_detection.status_codes[1]"
        self.only(self.outliers("status_codes: [503, 499-599]"), key)
