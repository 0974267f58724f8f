from __future__ import annotations

import yaml

from appgw.config import shapes
from appgw.config.problems import Places
from tests.config.samples import ConfigCase


class ShapeTests(ConfigCase):
    def test_all_at_once(self) -> None:
        """
        Unknown keys, ranges, types and dangling references come in one run, in
        the order of their lines, though they spoil the same objects.
        """
        text = self.text(
            backend_settings="""
                orders:
                  protocol: https
                  pins: [missing]
                  request_timeout: 2d
                  hostname: a
            """,
            listeners="shop: {protocol: https, port: 0, certificate: shap}",
            rules="shop: {priority: x, listener: shop, pool: [], backend_settings: a}",
        )
        problems = self.examine(text).problems
        self.assertEqual(
            [(p.line, p.key, p.severity) for p in problems],
            [
                (10, "backend_settings.orders.pins[0]", "error"),
                (11, "backend_settings.orders.request_timeout", "error"),
                (12, "backend_settings.orders.hostname", "error"),
                (14, "listeners.shop.port", "error"),
                (14, "listeners.shop.certificate", "error"),
                (16, "rules.shop.priority", "error"),
                (16, "rules.shop.pool", "error"),
                (16, "rules.shop.backend_settings", "error"),
            ],
        )
        self.assertEqual(
            str(problems[0]),
            f"{self.path}:10: backend_settings.orders.pins[0]: found 'missing',"
            " which is not in pins, expected the name of a pin",
        )

    def test_unknown_key_on_top(self) -> None:
        """
        An unknown key is an error that names the nearest known one.
        """
        problem = self.only(
            self.text("trusted_proxy: [10.0.0.0/8]  # here\n"), "trusted_proxy"
        )
        self.assertEqual(problem.expected, "trusted_proxies")

    def test_unknown_key_in_a_section(self) -> None:
        """
        Azure's spelling leads to ours.
        """
        text = self.text(
            listeners="""
                shop:
                  protocol: https
                  certificate: shop
                  hostNames: [a.example.com]  # here
            """
        )
        problem = self.only(text, "listeners.shop.hostNames")
        self.assertEqual(problem.expected, "host_names")

    def test_unknown_key_like_no_other(self) -> None:
        """
        Where no key is near, all are listed.
        """
        text = self.text(pools="orders: {members: [a], zzz: 1}  # here")
        problem = self.only(text, "pools.orders.zzz")
        self.assertEqual(problem.expected, "one of members")

    def test_misspelt_required_key(self) -> None:
        """
        A misspelt key that is required is not missed a second time.
        """
        rule = "{prioritty: 1, listener: shop, pool: orders, backend_settings: orders}"
        text = self.text(rules=f"shop: {rule}  # here")
        self.only(text, "rules.shop.prioritty")

    def test_merge_keys(self) -> None:
        """
        YAML's merge key is a key like others, and unknown.
        """
        text = self.text(pools="orders: {members: [a], <<: {}}  # here")
        self.only(text, "pools.orders.'<<'")

    def test_duplicate_keys(self) -> None:
        """
        A key that stands twice is an error where it stands again.
        """
        text = self.text(
            pools="""
                orders: {members: [a]}
                orders: {members: [b]}  # here
            """
        )
        self.assertIn("first on line 6", self.only(text, "pools.orders").found)
        again = self.text("pools: {}  # here\n")
        self.only(again, "pools")

    def test_complex_keys(self) -> None:
        """
        A key that is no text is an error.
        """
        self.only(self.text("? [a]  # here\n: 1\n"), "(file)")

    def test_missing_keys(self) -> None:
        """
        Required keys are missed where their object stands.
        """
        for section, content, key in (
            ("listeners", "shop: {certificate: shop}  # here", "protocol"),
            ("backend_settings", "orders: {pins: [orders]}  # here", "protocol"),
            ("trusted_roots", "shop: {}  # here", "certificate_file"),
            ("redirects", "shop: {target_url: 'http://a/'}  # here", "type"),
            ("probes", "shop: {}  # here", "path"),
            ("url_path_maps", "shop: {path_rules: []}  # here", "default"),
        ):
            name = content.split(":")[0]
            problem = self.only(
                self.text(**{section: content}), f"{section}.{name}.{key}"
            )
            self.assertEqual(problem.found, "nothing")

    def test_missing_sections(self) -> None:
        """
        A configuration needs listeners and rules.
        """
        problems = self.examine("pools: {}\n").problems
        self.assertEqual([p.key for p in problems], ["listeners", "rules"])

    def test_no_listeners(self) -> None:
        """
        A gateway without listeners serves nobody.
        """
        problems = self.examine("rules: {}\n\nlisteners: {}\n").problems
        self.assertEqual([(p.line, p.key) for p in problems], [(3, "listeners")])

    def test_empty_sections(self) -> None:
        """
        A section whose entries are all commented out is empty.
        """
        self.sound(self.text("probes:\nredirects: ~\n"))

    def test_nothing_as_a_value(self) -> None:
        """
        A key without a value says nothing, and that is an error.
        """
        text = self.text(
            backend_settings="""
                orders:
                  protocol: https
                  pins: [orders]
                  host_name:  # here
            """
        )
        problem = self.only(text, "backend_settings.orders.host_name")
        self.assertEqual(problem.found, "nothing")

    def test_other_shapes(self) -> None:
        """
        A list, a mapping or a text in the place of another is an error.
        """
        for more, key, found in (
            ("forwarded_for_port: [true]  # here", "forwarded_for_port", "a list"),
            ("trusted_proxies: 10.0.0.0/8  # here", "trusted_proxies", "'10.0.0.0/8'"),
            ("trusted_proxies: {a: b}  # here", "trusted_proxies", "a mapping"),
            ("trusted_proxies: [[]]  # here", "trusted_proxies[0]", "a list"),
            ("probes: [a]  # here", "probes", "a list"),
            ("probes: {a: b}  # here", "probes.a", "'b'"),
            ("affinity: azure  # here", "affinity", "'azure'"),
            ("access_log: {}  # here", "access_log.file", "nothing"),
            ("shutdown_timeout: {}  # here", "shutdown_timeout", "a mapping"),
        ):
            self.assertEqual(self.only(self.text(f"{more}\n"), key).found, found)

    def test_ranges(self) -> None:
        """
        Each number has its range.
        """
        settings = "orders: {{protocol: https, pins: [orders], {}}}  # here"
        pools = "orders: {{members: [{{address: a, {}}}]}}  # here"
        probes = "up: {{path: /, {}}}  # here"
        for section, sample, key, values in (
            ("backend_settings", settings, "port", ("0", "65536", "-1")),
            ("backend_settings", settings, "request_timeout", ("0s", "25h", "x")),
            ("backend_settings", settings, "tunnel_idle_timeout", ("0s", "25h", "")),
            ("backend_settings", settings, "affinity_cookie_name", ("a b", "''")),
            ("backend_settings", settings, "path", ("v2", "'/a?b'", "/a/../b")),
            ("backend_settings", settings, "host_name", ("a:80", "'*.a'")),
            ("backend_settings", settings, "verify_name", ("yes", "1")),
            ("pools", pools, "weight", ("0", "1001", "1.5")),
            ("pools", pools, "port", ("0", "65536", "http")),
            ("probes", probes, "unhealthy_threshold", ("0", "21")),
            ("probes", probes, "interval", ("0s", "25h")),
        ):
            for value in values:
                where = (
                    "orders.members[0]" if section == "pools" else sample.split(":")[0]
                )
                text = self.text(**{section: sample.format(f"{key}: {value}")})
                self.only(text, f"{section}.{where}.{key}")

    def test_ranges_on_top(self) -> None:
        """
        The keys on top have their ranges.
        """
        for key, value in (
            ("shutdown_timeout", "25h"),
            ("resolve_interval", "0s"),
            ("max_request_body", "0"),
            ("max_request_body", "32KB"),
            ("forwarded_for_port", "maybe"),
        ):
            self.only(self.text(f"{key}: {value}  # here\n"), key)

    def test_listener_values(self) -> None:
        """
        A listener's address, port, host names and choices are judged.
        """
        for key, value, at in (
            ("address", "localhost", ""),
            ("address", "'[::]'", ""),
            ("port", "65536", ""),
            ("host_names", "[a, '*.*.*.b']", "[1]"),
            ("host_names", "[a.example.com, A.example.com]", "[1]"),
            ("host_names", "[]", ""),
            ("misdirected", "allow", ""),
            ("ambiguous_paths", "route", ""),
        ):
            listener = f"{{protocol: https, certificate: shop, {key}: {value}}}"
            text = self.text(listeners=f"shop: {listener}  # here")
            self.only(text, f"listeners.shop.{key}{at}")

    def test_priorities(self) -> None:
        """
        A priority lies between 1 and 20000.
        """
        for value in ("0", "20001", "first"):
            there = "listener: shop, pool: orders, backend_settings: orders"
            text = self.text(rules=f"shop: {{priority: {value}, {there}}}  # here")
            self.only(text, "rules.shop.priority")

    def test_path_patterns(self) -> None:
        """
        An illegal pattern is shown with its position.
        """
        for pattern in ("orders/*", "/*.jpg", "'/a?b'", "/a//b"):
            there = "pool: orders, backend_settings: orders"
            text = self.text(
                url_path_maps=f"""
                    shop:
                      default: {{{there}}}
                      path_rules:
                        - name: a
                          paths: [/ok, {pattern}]  # here
                          {there.replace(", ", chr(10) + " " * 26)}
                """
            )
            self.only(text, "url_path_maps.shop.path_rules[0].paths[1]")

    def test_names(self) -> None:
        """
        Names that would trouble logs are refused, and shown safely.
        """
        text = self.text('probes: {"a\\u202eb\\n": {path: /}}  # here\n')
        problem = self.only(text, r"probes.'a\u202eb\n'")
        self.assertNotIn("\u202e", str(problem))

    def test_text_of_any_kind(self) -> None:
        """
        Where every text would do, a list still doesn't.
        """
        reader = shapes.Reader(self.folder, Places())
        node = yaml.compose("[a]", Loader=yaml.SafeLoader)
        self.assertIs(shapes.text(str)(reader, node, ("a",)), shapes.BROKEN)
        [problem] = reader.problems
        self.assertEqual((problem.key, problem.expected), ("a", "text"))

    def test_flood(self) -> None:
        """
        The number of problems told is bounded.
        """
        text = "".join(f"key{number}: 1\n" for number in range(5000))
        problems = self.examine(self.text(text)).problems
        self.assertEqual(len(problems), 1000)

    def test_error_after_a_flood(self) -> None:
        """
        No number of warnings hides an error.
        """
        self.write("key", b"k" * 16, mode=0o644)
        self.patch(shapes, "MOST_PROBLEMS", 1)
        text = self.text("affinity: {key_file: key}\nmistake: 1\n")
        examination = self.examine(text)
        self.assertIsNone(examination.config)
        keys = [problem.key for problem in examination.problems]
        self.assertEqual(keys, ["affinity.key_file", "mistake"])
