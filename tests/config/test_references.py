from __future__ import annotations

from tests.config.samples import SOUND, ConfigCase

THERE = "pool: orders, backend_settings: orders"
WITH = "backend_settings: orders"
RULE = SOUND["rules"]

SETTINGS = "orders: {protocol: https, pins: [orders], "
RULE_FOR = "shop: {priority: 10, listener: shop, "
NOWHERE = (
    (
        "listeners",
        "shop: {protocol: https, certificate: x}",
        "shop.certificate",
    ),
    ("backend_settings", f"{SETTINGS} probe: x}}", "orders.probe"),
    (
        "backend_settings",
        f"{SETTINGS} trusted_roots: [x]}}",
        "orders.trusted_roots[0]",
    ),
    ("rules", RULE_FOR + "url_path_map: x}", "shop.url_path_map"),
    ("rules", RULE_FOR + "pool: x, backend_settings: orders}", "shop.pool"),
    (
        "rules",
        RULE_FOR + "pool: orders, backend_settings: x}",
        "shop.backend_settings",
    ),
    ("rules", RULE_FOR + "redirect: x}", "shop.redirect"),
    (
        "pools",
        "orders: {members: [{address: a, pins: [orders, x]}]}",
        "orders.members[0].pins[1]",
    ),
    (
        "redirects",
        "out: {type: Found, target_listener: x}",
        "out.target_listener",
    ),
    ("url_path_maps", "m: {default: {redirect: x}}", "m.default.redirect"),
)


class ReferenceTests(ConfigCase):
    def test_dangling(self) -> None:
        """
        Every kind of reference that leads nowhere is an error at its place.
        """
        for section, content, key in NOWHERE:
            text = self.text(**{section: f"{content}  # here"})
            problem = self.only(text, f"{section}.{key}")
            self.assertIn("'x', which is not in", problem.found)

    def test_dangling_listener(self) -> None:
        """
        A rule for no listener is an error, and the listener lacks a rule.
        """
        problems = self.examine(
            self.text(rules=RULE.replace("listener: shop", "listener: shap"))
        ).problems
        self.assertEqual(
            [(p.line, p.key, p.severity) for p in problems],
            [(10, "listeners.shop", "warning"), (12, "rules.shop.listener", "error")],
        )
        self.assertIn("such as 'shop'", problems[1].expected)

    def test_path_rules(self) -> None:
        """
        References of path rules are found at their positions.
        """
        text = self.text(
            url_path_maps=f"""
                shop:
                  default: {{{THERE}}}
                  path_rules:
                    - {{name: a, paths: [/a], {THERE}}}
                    - {{name: b, paths: [/b], pool: x, {WITH}}}  # here
            """
        )
        self.only(text, "url_path_maps.shop.path_rules[1].pool")

    def test_broken_is_not_absent(self) -> None:
        """
        What is there but has mistakes of its own is not missed.
        """
        text = self.text(pools="orders: {members: 5}  # here")
        self.only(text, "pools.orders.members")

    def test_well_known(self) -> None:
        """
        The machine's own CAs are there under their reserved name only.
        """
        settings = "orders: {protocol: https, trusted_roots: [well-known]}"
        self.sound(self.text(backend_settings=settings))
        self.write("ca.pem", (self.folder / "shop.pem").read_bytes())
        roots = "well-known: {certificate_file: ca.pem}  # here"
        problems = self.examine(self.text(trusted_roots=roots)).problems
        errors = [p.key for p in problems if p.severity == "error"]
        self.assertEqual(errors, ["trusted_roots.well-known"])
