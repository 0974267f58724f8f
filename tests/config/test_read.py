from __future__ import annotations

import datetime
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from appgw.config import model
from appgw.config.read import ConfigError, examine, read
from tests.config.samples import DAY, NOW, PIN, SOUND, ConfigCase, certificate, pem

DIGEST = bytes.fromhex(PIN)
OPEN = "orders: {protocol: http}"

SETTINGS = """
full:
  protocol: https
  port: 8443
  pins: [orders]
  trusted_roots: [corp, well-known]
  verify_name: true
  cookie_based_affinity: true
  affinity_cookie_name: srv
  request_timeout: 1m
  tunnel_idle_timeout: 1h
  host_name: orders.internal
  path: /v2/
  connection_draining: {enabled: false, drain_timeout: 10s}
"""

TOP = """
access_log: {file: access.log, format: combined}
affinity: {key_file: affinity.key, compat: azure}
trusted_proxies: [10.0.0.0/8, "::1"]
forwarded_for_port: true
shutdown_timeout: 500ms
resolve_interval: 5m
max_request_body: 32KiB
"""

LATER = """
probes:
  up:
    path: /healthz
    host: a.example.com
    interval: 10s
    timeout: 5s
    unhealthy_threshold: 2
    match: {status_codes: [200-299, 401], body: ok}
"""

REDIRECTS = """
redirects:
  out:
    type: Permanent
    target_listener: shop
    include_path: true
    include_query_string: true
"""


class SoundTests(ConfigCase):
    def test_smallest(self) -> None:
        """
        The sample that other tests spoil is sound, and has the defaults.
        """
        config = self.sound(self.text())
        listener = config.listeners["shop"]
        self.assertEqual(
            listener,
            model.Listener(
                name="shop",
                protocol="https",
                address="0.0.0.0",
                port=443,
                certificate="shop",
            ),
        )
        self.assertEqual(
            config.backend_settings["orders"],
            model.BackendSettings(
                name="orders", protocol="https", port=443, pins=("orders",)
            ),
        )
        self.assertEqual(config.pins["orders"].sha256, bytes.fromhex(PIN))
        self.assertEqual(config.rules["shop"].priority, 10)
        self.assertEqual(config.max_request_body, 4 << 30)
        self.assertIsNone(config.access_log)

    def test_pins_and_members(self) -> None:
        """
        Pins of every form, and members of every form, come to the model.
        """
        config = self.sound(
            self.text(
                pins=f"""
                    orders: {{sha256: {PIN}, allow_expired: true}}
                    key: {{spki_sha256: {PIN}, not_after: 2027-05-01}}
                """,
                pools="""
                    orders:
                      members:
                        - Orders-1.internal:8443
                        - {address: "::1", port: 9443, weight: 2, pins: [key]}
                """,
            )
        )
        self.assertEqual(
            config.pins,
            {
                "orders": model.Pin(name="orders", sha256=DIGEST, allow_expired=True),
                "key": model.Pin(
                    name="key",
                    spki_sha256=DIGEST,
                    not_after=datetime.date(2027, 5, 1),
                ),
            },
        )
        self.assertEqual(
            config.pools["orders"].members,
            (
                model.Member(address="orders-1.internal", port=8443),
                model.Member(address="::1", port=9443, weight=2, pins=("key",)),
            ),
        )

    def test_settings(self) -> None:
        """
        Every key of backend settings comes to the model.
        """
        self.write("affinity.key", b"k" * 16)
        config = self.sound(
            self.text(
                trusted_roots=self.root(),
                affinity="key_file: affinity.key",
                backend_settings=SOUND["backend_settings"] + SETTINGS,
            )
        )
        self.assertEqual(
            config.backend_settings["full"],
            model.BackendSettings(
                name="full",
                protocol="https",
                port=8443,
                pins=("orders",),
                trusted_roots=("corp", "well-known"),
                verify_name=True,
                cookie_based_affinity=True,
                affinity_cookie_name="srv",
                request_timeout=60.0,
                tunnel_idle_timeout=3600.0,
                host_name="orders.internal",
                path="/v2/",
                connection_draining=model.ConnectionDraining(drain_timeout=10.0),
            ),
        )

    def root(self) -> str:
        """
        Make a CA's certificate.
        """
        self.write("corp.pem", pem(certificate(self.key, ca=True)))
        return "corp: {certificate_file: corp.pem}"

    def test_listener(self) -> None:
        """
        Every key of a listener comes to the model.
        """
        config = self.sound(
            self.text(
                listeners="""
                    shop:
                      protocol: https
                      address: "::"
                      port: 8443
                      host_names: [Shop.example.com, "*.shop.example.com"]
                      certificate: shop
                      misdirected: route
                      ambiguous_paths: allow
                """
            )
        )
        self.assertEqual(
            config.listeners["shop"],
            model.Listener(
                name="shop",
                protocol="https",
                address="::",
                port=8443,
                host_names=("shop.example.com", "*.shop.example.com"),
                certificate="shop",
                misdirected="route",
                ambiguous_paths="allow",
            ),
        )

    def test_path_map(self) -> None:
        """
        A path map's rules come to the model in their order.
        """
        config = self.sound(
            self.text(
                url_path_maps="""
                    shop:
                      default: {pool: orders, backend_settings: orders}
                      path_rules:
                        - name: api
                          paths: [/api/*, /v1]
                          pool: orders
                          backend_settings: orders
                """,
                rules="shop: {priority: 1, listener: shop, url_path_map: shop}",
            )
        )
        there = model.Destination(pool="orders", backend_settings="orders")
        api = model.PathRule(name="api", paths=("/api/*", "/v1"), destination=there)
        self.assertEqual(
            config.url_path_maps["shop"],
            model.UrlPathMap(name="shop", default=there, path_rules=(api,)),
        )
        self.assertEqual(
            config.rules["shop"],
            model.Rule(name="shop", priority=1, listener="shop", url_path_map="shop"),
        )

    def test_on_top(self) -> None:
        """
        The keys on top come to the model, paths absolute, units resolved.
        """
        self.write("affinity.key", b"k" * 16)
        config = self.sound(self.text(TOP))
        log = str(self.folder.absolute() / "access.log")
        self.assertEqual(
            config.access_log, model.AccessLog(file=log, format="combined")
        )
        self.assertEqual(config.affinity, model.Affinity(key=b"k" * 16, compat="azure"))
        proxies = [str(network) for network in config.trusted_proxies]
        self.assertEqual(proxies, ["10.0.0.0/8", "::1/128"])
        self.assertTrue(config.forwarded_for_port)
        self.assertEqual(config.shutdown_timeout, 0.5)
        self.assertEqual(config.resolve_interval, 300)
        self.assertEqual(config.max_request_body, 32768)

    def test_carried_out_later(self) -> None:
        """
        Probes are read, as long as nothing uses them.
        """
        config = self.sound(self.text(LATER))
        self.assertEqual(
            config.probes["up"],
            model.Probe(
                name="up",
                path="/healthz",
                host="a.example.com",
                interval=10.0,
                timeout=5.0,
                unhealthy_threshold=2,
                match=model.ProbeMatch(
                    status_codes=((200, 299), (401, 401)), body="ok"
                ),
            ),
        )

    def test_redirects(self) -> None:
        """
        Redirects come to the model.
        """
        config = self.sound(self.text(REDIRECTS))
        self.assertEqual(
            config.redirects["out"],
            model.Redirect(
                name="out",
                type="Permanent",
                target_listener="shop",
                include_path=True,
                include_query_string=True,
            ),
        )

    def test_http_ports(self) -> None:
        """
        The default port follows from the protocol.
        """
        config = self.sound(
            self.text(
                listeners="shop: {protocol: http}", backend_settings=OPEN, pins=""
            )
        )
        self.assertEqual(config.listeners["shop"].port, 80)
        self.assertEqual(config.backend_settings["orders"].port, 80)

    def test_read(self) -> None:
        """
        A sound file is read; of any other the error has one line an error.
        """
        tomorrow = datetime.datetime.now(datetime.UTC) + DAY
        self.write("shop.pem", pem(certificate(self.key, last=tomorrow)))
        path = str(self.write("gateway.yaml", self.text().encode()))
        self.assertIn("shop", read(path).listeners)
        text = self.text("one: 1\ntwo: 2\naffinity: {}\n", pools="orders: {}")
        self.write("gateway.yaml", text.encode())
        with self.assertRaises(ConfigError) as caught:
            read(path)
        lines = str(caught.exception).splitlines()
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith(f"{path}:13: one: found an unknown key"))
        self.assertEqual(len(caught.exception.problems), 3)

    def test_relative_to_the_file(self) -> None:
        """
        Paths are relative to the configuration's folder, wherever we run.
        """
        path = self.write("gateway.yaml", self.text().encode())
        here = Path.cwd()
        os.chdir("/")
        self.addCleanup(os.chdir, here)
        self.assertEqual(examine(str(here / path), NOW).problems, ())

    def test_aliases(self) -> None:
        """
        An anchored value may be used again.
        """
        config = self.sound(
            self.text(
                backend_settings="""
                    orders: &orders {protocol: https, pins: [orders]}
                    same: *orders
                """
            )
        )
        self.assertEqual(config.backend_settings["same"].pins, ("orders",))
        self.assertEqual(config.backend_settings["same"].name, "same")


class HostileFileTests(ConfigCase):
    def test_absent(self) -> None:
        """
        A file that isn't there, or is a folder, is an error like others.
        """
        for path, said in (("absent.yaml", "No such file"), (".", "Is a directory")):
            examination = examine(str(self.folder / path), NOW)
            self.assertIsNone(examination.config)
            [problem] = examination.problems
            self.assertEqual((problem.line, problem.key), (1, "(file)"))
            self.assertIn(said, problem.found)

    def test_path_with_a_nul(self) -> None:
        """
        Even a path that no system call takes is only an error.
        """
        self.assertIsNone(examine("a\0b", NOW).config)

    def test_endless(self) -> None:
        """
        An endless file is not read to its end.
        """
        [problem] = examine("/dev/zero", NOW).problems
        self.assertIn("more than 4MiB", problem.found)

    def test_unreadable_document(self) -> None:
        """
        What is no YAML is one problem, on the line where it goes wrong.
        """
        [problem] = self.examine(b"listeners: {}\nrules: {\xff}\n").problems
        self.assertEqual((problem.line, problem.key), (2, "(file)"))

    @settings(deadline=None, max_examples=150)
    @given(st.text(max_size=200) | st.text("abc:-[]{}&*!|>'\"%@`,?# \n\t", max_size=60))
    def test_any_text(self, text: str) -> None:
        """
        Any text gives problems and never raises.
        """
        examination = self.examine(text.encode("utf-8", "surrogatepass"))
        self.assertIsNone(examination.config)
        self.assertTrue(examination.problems)
        for problem in examination.problems:
            self.assertNotIn("\n", str(problem))

    @settings(deadline=None, max_examples=150)
    @given(st.binary(max_size=100))
    def test_any_bytes(self, data: bytes) -> None:
        """
        Any bytes give problems and never raise.
        """
        self.assertTrue(self.examine(data).problems)

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_any_spoiling(self, data: st.DataObject) -> None:
        """
        A sound file of which a piece was replaced is judged, never raises.
        """
        text = self.text("affinity: {compat: azure}\ntrusted_proxies: [10.0.0.0/8]\n")
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        pieces = ["[]", "{}", "~", "*a", "&a ", "x", ": ", "\n", "- ", '"', "9" * 400]
        piece = data.draw(st.sampled_from(pieces) | st.text(max_size=5))
        self.examine((text[:start] + piece + text[end:]).encode("utf-8", "replace"))
