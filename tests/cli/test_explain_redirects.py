from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.cli.explain import ask, explained
from appgw.config.model import Config, Destination, PathRule, Redirect
from tests.route.values import config, listener, path_rule


def shop() -> Config:
    """
    A site in clear text with old paths, and one with TLS beside it.
    """
    old = PathRule(
        name="old", paths=("/old/*",), destination=Destination(redirect="new")
    )
    values = config(
        listener("plain", protocol="http", port=80),
        listener("shop", "shop.example.com"),
        path_rules=[path_rule("web", "/web/*"), old, path_rule("all", "/*")],
    )
    rule = attrs.evolve(
        values.rules["shop"],
        url_path_map=None,
        destination=Destination(redirect="away"),
    )
    return attrs.evolve(
        values,
        rules={**values.rules, "shop": rule},
        redirects={
            "new": Redirect(
                name="new",
                type="Permanent",
                target_listener="shop",
                include_path=True,
                include_query_string=True,
            ),
            "away": Redirect(
                name="away", type="SeeOther", target_url="https://shop.example.com/x"
            ),
        },
    )


class RedirectTests(SynchronousTestCase):
    def told(self, url: str, method: str = "GET") -> tuple[list[str], bool]:
        """
        Explain a request.
        """
        return explained(shop(), ask(url, [], method, "192.0.2.1"))

    def test_whole_way(self) -> None:
        """
        Listener, rule, path rule, status and Location are told, and why the
        others lost.
        """
        lines, refused = self.told("http://www.example/a/../OLD/7?a=b#top")
        self.assertFalse(refused)
        self.assertEqual(
            [
                "listener   plain (http://0.0.0.0:80)",
                "rule       plain (priority 10)",
                "path       /OLD/7, read from /a/../OLD/7",
                "path rule  old, by /old/*",
                "redirect   new (Permanent)",
                "answered   301 Moved Permanently here",
                "location   https://shop.example.com/OLD/7?a=b",
                "others",
                "  listener shop: is another way in: shop (https://0.0.0.0:443)",
                "  path rule web: /web/* does not match",
                "  path rule all: /* matches too, but is listed later",
            ],
            lines,
        )

    def test_basic_rule(self) -> None:
        """
        A rule without a path map that redirects is told as such.
        """
        lines, refused = self.told("https://shop.example.com/", "POST")
        self.assertFalse(refused)
        self.assertIn("redirect   away (SeeOther)", lines)
        self.assertIn("answered   303 See Other here", lines)
        self.assertIn("location   https://shop.example.com/x", lines)
        self.assertFalse([line for line in lines if "path rule" in line])

    def test_lost_to_a_redirect(self) -> None:
        """
        What goes to a pool is told which redirect it missed.
        """
        lines, _ = self.told("http://www.example/web/")
        self.assertIn("pool       web", lines)
        self.assertIn("  path rule old: /old/* does not match", lines)

    def test_loop(self) -> None:
        """
        A request that would be sent to itself is refused, with the reason.
        """
        lines, refused = self.told("https://shop.example.com/x?a")
        self.assertTrue(refused)
        self.assertEqual(
            "refused    508 Loop Detected: it would be redirected to itself", lines[0]
        )
