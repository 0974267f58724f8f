from __future__ import annotations

from typing import Any

from appgw.config import model
from tests.config.samples import ConfigCase

PINNED = "protocol: https, pins: [orders]"


class ProbeTests(ConfigCase):
    """
    Probes, and the settings that name them.
    """

    def probe(self, text: str) -> model.Probe:
        """
        Read a probe.
        """
        config = self.sound(self.text(f"probes: {{up: {{{text}}}}}\n"))
        return config.probes["up"]

    def refuse(self, text: str, key: str, severity: str = "error") -> Any:
        """
        Demand a problem of this key of a probe.
        """
        whole = self.text(f"probes: {{up: {{path: /, {text}}}}}  # here\n")
        return self.only(whole, f"probes.up.{key}", severity)

    def together(self, probe: str, settings: str) -> str:
        """
        Write a setting that names a probe.
        """
        return self.text(
            f"probes: {{up: {{path: /, {probe}}}}}\n",
            backend_settings=f"orders: {{{settings}, probe: up}}  # here",
        )

    def test_defaults(self) -> None:
        """
        The defaults are Azure's.
        """
        probe = self.probe("path: /")
        self.assertEqual(model.Probe(name="up", path="/"), probe)
        self.assertEqual((30.0, 30.0), (probe.interval, probe.timeout))
        self.assertEqual((3, 0), (probe.unhealthy_threshold, probe.min_servers))
        self.assertEqual(((200, 399),), probe.match.status_codes)
        self.assertIsNone(probe.match.body)
        default = model.DEFAULT_PROBE
        self.assertEqual(("/", "127.0.0.1"), (default.path, default.host))
        self.assertEqual((30.0, 30.0), (default.interval, default.timeout))
        self.assertEqual(3, default.unhealthy_threshold)

    def test_everything(self) -> None:
        """
        Each property of Azure's has its key.
        """
        probe = self.probe(
            "path: '/healthz?deep=1', protocol: https, host: Orders.internal.,"
            " port: 9000, interval: 1m, timeout: 5s, unhealthy_threshold: 20,"
            " min_servers: 2, match: {status_codes: [200-204, 401], body: 'all well'}"
        )
        match = model.ProbeMatch(status_codes=((200, 204), (401, 401)), body="all well")
        self.assertEqual(
            model.Probe(
                name="up",
                path="/healthz?deep=1",
                protocol="https",
                host="orders.internal",
                port=9000,
                interval=60.0,
                timeout=5.0,
                unhealthy_threshold=20,
                min_servers=2,
                match=match,
            ),
            probe,
        )

    def test_ranges(self) -> None:
        """
        What is out of Azure's ranges is an error.
        """
        for key, *values in (
            ("interval", "0s", "500ms", "86401", "soon"),
            ("timeout", "0s", "86401", "-1s"),
            ("unhealthy_threshold", "0", "21", "three"),
            ("min_servers", "-1", "10001", "all"),
            ("port", "0", "65536"),
            ("protocol", "tcp", "HTTPS"),
            ("host", "a b", "'a:80'", "https://a"),
            ("pick_host_name_from_backend_settings", "maybe"),
        ):
            for value in values:
                self.refuse(f"{key}: {value}", key)
        self.refuse("match: {status_codes: [99]}", "match.status_codes[0]")
        self.refuse("match: {status_codes: []}", "match.status_codes")
        self.refuse(f"match: {{body: {'x' * 4091}}}", "match.body")

    def test_paths(self) -> None:
        """
        A path starts with a slash; its query is ASCII, and a fragment is none.
        """
        for path in ("/", "/a?b", "/a?b=%20&c=/?", "/a?"):
            self.assertEqual(path, self.probe(f"path: '{path}'").path)
        for path in ("a", "?a", "/a b", "/a?b c", "/a#b", "/a?b#c", "/\xfc", "/a?\xfc"):
            text = self.text(f"probes: {{up: {{path: '{path}'}}}}  # here\n")
            self.only(text, "probes.up.path")

    def test_slow_probe(self) -> None:
        """
        A time-out longer than the interval is a warning.
        """
        problem = self.refuse("interval: 5s, timeout: 6s", "timeout", "warning")
        self.assertIn("longer than the interval", problem.found)

    def test_two_hosts(self) -> None:
        """
        A host beside the setting's own is one too many.
        """
        key = "pick_host_name_from_backend_settings"
        self.refuse(f"host: a, {key}: true", key)
        self.probe(f"path: /, host: a, {key}: false")

    def test_nothing_to_pick(self) -> None:
        """
        A probe that picks the setting's host name needs one that has it.
        """
        pick = "pick_host_name_from_backend_settings: true"
        text = self.together(pick, PINNED)
        problem = self.only(text, "backend_settings.orders.probe")
        self.assertIn("picks this setting's host name", problem.found)
        for named in ("host_name: a", "pick_host_name_from_backend_address: true"):
            self.sound(self.together(pick, f"{PINNED}, {named}"))

    def test_other_protocol(self) -> None:
        """
        A probe never speaks clear text where requests don't, nor the other way
        round.
        """
        for spoken, settings in (("http", PINNED), ("https", "protocol: http")):
            text = self.together(f"protocol: {spoken}", settings)
            problem = self.only(text, "backend_settings.orders.probe")
            self.assertIn(f"whose protocol is {spoken}", problem.found)
        self.sound(self.together("protocol: https", PINNED))
        self.sound(self.together("protocol: http", "protocol: http"))

    def test_no_such_probe(self) -> None:
        """
        A probe that isn't there is an error, and a near name is told.
        """
        text = self.text(
            "probes: {healthy: {path: /}}\n",
            backend_settings=f"orders: {{{PINNED}, probe: health}}  # here",
        )
        problem = self.only(text, "backend_settings.orders.probe")
        self.assertIn("'healthy'", problem.expected)

    def test_switched_off(self) -> None:
        """
        Probes are on unless a setting says otherwise, and it may name one then.
        """
        config = self.sound(self.text())
        self.assertTrue(config.backend_settings["orders"].probe_enabled)
        settings = f"orders: {{{PINNED}, probe: up, probe_enabled: false}}"
        text = self.text("probes: {up: {path: /}}\n", backend_settings=settings)
        self.assertFalse(self.sound(text).backend_settings["orders"].probe_enabled)

    def test_one_mistake_one_complaint(self) -> None:
        """
        A setting whose protocol cannot be read is told of that only.
        """
        text = self.together("protocol: https", "protocol: htps, pins: [orders]")
        self.only(text, "backend_settings.orders.protocol")
