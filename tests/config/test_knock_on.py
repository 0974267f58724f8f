from __future__ import annotations

from tests.config.samples import SOUND, ConfigCase

THERE = "pool: orders, backend_settings: orders"


class KnockOnTests(ConfigCase):
    """
    A value that can't be read brings one complaint, and no more by what it
    can't be compared with.
    """

    def test_protocols(self) -> None:
        """
        With an unknown protocol, certificates and pins are not missed.
        """
        text = self.text(listeners="shop: {protocol: x}  # here")
        self.only(text, "listeners.shop.protocol")
        text = self.text(backend_settings="orders: {protocol: x}  # here")
        self.only(text, "backend_settings.orders.protocol")

    def test_certificate(self) -> None:
        """
        A certificate that is no name is not missed.
        """
        text = self.text(listeners="shop: {protocol: https, certificate: []}  # here")
        self.only(text, "listeners.shop.certificate")

    def test_other_than_mappings(self) -> None:
        """
        An entry that is no mapping lacks none of the keys that it should have.
        """
        for section, name in (
            ("certificates", "shop"),
            ("pins", "orders"),
            ("pools", "orders"),
            ("backend_settings", "orders"),
            ("listeners", "shop"),
            ("rules", "shop"),
            ("trusted_roots", "a"),
            ("probes", "a"),
            ("redirects", "a"),
            ("url_path_maps", "a"),
        ):
            for value in ("5", "[]", ""):
                text = self.text(**{section: f"{name}: {value}  # here"})
                self.only(text, f"{section}.{name}")

    def test_rules(self) -> None:
        """
        Rules that can't be read leave no listener without one.
        """
        for rule in (
            f"shop: {{priority: 10, listener: [], {THERE}}}  # here",
            f"shop: {{priority: 10, listner: shop, {THERE}}}  # here",
        ):
            problems = self.examine(self.text(rules=rule)).problems
            self.assertEqual(len(problems), 1, problems)
        text = self.text().replace(f"rules:\n  {SOUND['rules']}", "rules: 5  # here")
        self.only(text, "rules")

    def test_priorities(self) -> None:
        """
        Priorities that can't be read are neither equal nor in an order.
        """
        text = self.text(
            listeners="""
                all: {protocol: http}
                a: {protocol: http, host_names: [a.example.com]}
            """,
            rules=f"""
                all: {{priority: x, listener: all, {THERE}}}
                a: {{priority: x, listener: a, {THERE}}}
            """,
        )
        keys = [problem.key for problem in self.examine(text).problems]
        self.assertEqual(keys, ["rules.all.priority", "rules.a.priority"])

    def test_host_names(self) -> None:
        """
        A listener whose host names can't be read doesn't take every Host.
        """
        text = self.text(
            listeners="""
                all: {protocol: http, host_names: 5}  # here
                a: {protocol: http, host_names: [a.example.com]}
            """,
            rules=f"""
                all: {{priority: 1, listener: all, {THERE}}}
                a: {{priority: 2, listener: a, {THERE}}}
            """,
        )
        self.only(text, "listeners.all.host_names")

    def test_targets(self) -> None:
        """
        A redirect whose target can't be read is not without one.
        """
        text = self.text("redirects:\n  out: {type: Found, target_url: /a}  # here\n")
        self.only(text, "redirects.out.target_url")

    def test_warnings_beside_errors(self) -> None:
        """
        An error in a rule doesn't hide that a listener has none.
        """
        text = self.text(
            listeners="""
                shop: {protocol: https, certificate: shop}
                plain: {protocol: http}
            """,
            rules=f"shop: {{priority: x, listener: shop, {THERE}}}",
        )
        keys = [problem.key for problem in self.examine(text).problems]
        self.assertEqual(keys, ["listeners.plain", "rules.shop.priority"])
