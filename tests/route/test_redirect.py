from __future__ import annotations

import string
from typing import Any
from urllib.parse import urlsplit

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.model import Destination, Listener, PathRule, Redirect, UrlPathMap
from appgw.message import RequestHead
from appgw.refusal import Refusal
from appgw.route.decide import Answer, Decision, Forward, Refuse, decide
from appgw.route.decide import Redirect as Redirected
from appgw.route.listeners import BadHost, host_of
from appgw.route.paths import read_path
from appgw.route.redirect import Aim
from appgw.route.table import Redirection, Table
from tests.route.values import WEB, config, head, listener

PLAIN = listener("plain", protocol="http", port=80)
URL = "https://new.example/base/"


def redirect(target: str, **more: Any) -> Redirect:
    """
    A redirect to a URL, or to the listener of that name.
    """
    key = "target_url" if "://" in target else "target_listener"
    return Redirect(**{"name": "out", "type": "Found", key: target} | more)


def location(
    target: str | Listener, asked: RequestHead | None = None, **more: Any
) -> bytes | None:
    """
    Return where a request is sent.
    """
    asked = asked or head()
    asked.scheme = b"http"
    known = {} if isinstance(target, str) else {target.name: target}
    name = target if isinstance(target, str) else target.name
    aim = Aim.parse(redirect(name, **more), known)
    return aim.location(asked, read_path(asked.path, True))


BOTH = {"include_path": True, "include_query_string": True}


class TargetTests(SynchronousTestCase):
    def test_statuses(self) -> None:
        """Each of Azure's four types has its status."""
        for kind, status in (
            ("Permanent", 301),
            ("Found", 302),
            ("SeeOther", 303),
            ("Temporary", 307),
        ):
            aim = Aim.parse(redirect(URL, type=kind), {})
            self.assertEqual(status, aim.status)

    def test_listener(self) -> None:
        """A listener stands for its scheme, its name and its port if it is odd."""
        for names, protocol, port, expected in (
            (["Shop.example"], "https", 443, b"https://shop.example/"),
            (["shop.example"], "https", 8443, b"https://shop.example:8443/"),
            (["shop.example"], "http", 8080, b"http://shop.example:8080/"),
            (["shop.example"], "https", 80, b"https://shop.example:80/"),
            ([], "https", 443, b"https://www.example/"),
            ([], "https", 8443, b"https://www.example:8443/"),
        ):
            target = listener("to", *names, protocol=protocol, port=port)  # type: ignore[arg-type]
            asked = head(b"/x?y", authority=b"www.example")
            self.assertEqual(expected, location(target, asked))

    def test_clients_host(self) -> None:
        """The client's own Host goes on in one form, without its port."""
        to = listener("to", port=8443)
        for authority, expected in (
            (b"WWW.example.:80", b"https://www.example:8443/"),
            (b"www.example:", b"https://www.example:8443/"),
            (b"10.0.0.7:8080", b"https://10.0.0.7:8443/"),
            (b"[::1]", b"https://[::1]:8443/"),
            (b"[2001:DB8:0::1]:80", b"https://[2001:db8::1]:8443/"),
        ):
            asked = head(authority=authority)
            self.assertEqual(expected, location(to, asked))

    def test_nothing_included(self) -> None:
        """Without flags neither path nor query go along."""
        for target, expected in (
            (URL, b"https://new.example/base/"),
            ("HTTPS://New.example", b"https://new.example/"),
            ("https://new.example?a=b", b"https://new.example/?a=b"),
            ("http://new.example:80/a%2fb?x#y?z", b"http://new.example/a%2fb?x#y?z"),
            ("http://[2001:DB8::0:1]:81", b"http://[2001:db8::1]:81/"),
        ):
            self.assertEqual(expected, location(target, head(b"/p?q")))

    def test_path(self) -> None:
        """A path goes behind the target's with one slash between, as it is read."""
        for target, path, expected in (
            ("https://new.example", b"/a", b"https://new.example/a"),
            ("https://new.example/", b"/a/", b"https://new.example/a/"),
            (URL, b"/", b"https://new.example/base/"),
            ("https://new.example/base", b"/", b"https://new.example/base/"),
            (URL, b"/a/../%62//c%c3%a9", b"https://new.example/base/b/c%C3%A9"),
            ("https://new.example/x//", b"/a", b"https://new.example/x/a"),
        ):
            found = location(target, head(path + b"?q"), include_path=True)
            self.assertEqual(expected, found)

    def test_query(self) -> None:
        """A query goes along byte for byte, behind the target's own."""
        for target, query, expected in (
            ("https://new.example/", b"?a=%zz|%2f&b", b"/?a=%zz|%2f&b"),
            ("https://new.example/", b"?", b"/?"),
            ("https://new.example/", b"", b"/"),
            ("https://new.example/?x=1", b"?a=1", b"/?x=1&a=1"),
            ("https://new.example/?x=1", b"?", b"/?x=1"),
            ("https://new.example/?x=1", b"", b"/?x=1"),
            ("https://new.example/?x=1#top", b"??", b"/?x=1&?#top"),
        ):
            asked = head(b"/p" + query)
            found = location(target, asked, include_query_string=True)
            self.assertEqual(b"https://new.example" + expected, found)

    def test_impossible(self) -> None:
        """A target that could mean several hosts, or none, is no aim."""
        for wrong in (
            listener("to", "a.example", "b.example"),
            listener("to", "*.example"),
            listener("to", "a?.example"),
        ):
            self.assertRaises(ValueError, location, wrong)
        for url in ("ftp://a.example/", "https://", "https://a@b/", "https://a:x/"):
            self.assertRaises(ValueError, location, url)
        neither = Redirect(name="out", type="Found")
        self.assertRaises(ValueError, Aim.parse, neither, {})


class SafetyTests(SynchronousTestCase):
    """
    Nothing in a request leads to another host, or breaks a field apart.
    """

    def test_paths_like_hosts(self) -> None:
        """What looks like a host in a path stays in the path."""
        for path, expected in (
            (b"//evil.example", b"/evil.example"),
            (b"///evil.example//x", b"/evil.example/x"),
            (b"/@evil.example", b"/@evil.example"),
            (b"/.evil.example", b"/.evil.example"),
            (b"/:81/", b"/:81/"),
            (b"/%40evil.example", b"/%40evil.example"),
            (b"/https://evil.example", b"/https:/evil.example"),
        ):
            for target in (listener("to"), "https://shop.example.com"):
                found = location(target, head(path), **BOTH)
                self.assertEqual(b"https://shop.example.com" + expected, found)

    @given(
        authority=st.text("aB.-;'&", min_size=1, max_size=9)
        | st.text(string.printable, max_size=20),
        path=st.text("/\\.%@:a0dD", max_size=20) | st.text(string.printable),
        query=st.none() | st.text("?#&=%a0dD") | st.text(string.printable),
        target=st.sampled_from(
            ["https://new.example", "http://new.example/base/?x=1#f", "to"]
        ),
        flags=st.fixed_dictionaries({name: st.booleans() for name in BOTH}),
    )
    def test_any_request(
        self,
        authority: str,
        path: str,
        query: str | None,
        target: str,
        flags: dict[str, bool],
    ) -> None:
        """A Location is visible ASCII, and has the host that it should have."""
        asked = RequestHead(
            method=b"GET",
            scheme=b"http",
            authority=authority.encode(),
            path=b"/" + path.encode(),
            query=None if query is None else query.encode(),
            version=(1, 1),
            headers=head().headers,
        )
        decision = decided(redirect(target, **flags), asked)
        if not isinstance(decision, Redirected):
            self.assertIsInstance(decision, Refuse)
            return
        wire = decision.location
        self.assertEqual(b"", wire.translate(None, bytes(range(0x21, 0x7F))))
        host = host_of(asked.authority) if target == "to" else "new.example"
        parts = urlsplit(wire.decode("ascii"))
        self.assertEqual(host, host_of(parts.netloc.encode()))
        self.assertTrue(parts.path.startswith("/"))


def decided(
    out: Redirect,
    asked: RequestHead,
    *more: Listener,
    path_rules: tuple[PathRule, ...] = (),
    default: Destination | None = None,
) -> Decision:
    """
    Decide about a request to a listener in clear text, with paths that are
    redirected there; beside it is an https listener called ``to``.
    """
    values = config(*(more or (PLAIN, listener("to"))))
    path_map = UrlPathMap(
        name="plain",
        default=default or Destination(redirect="out"),
        path_rules=path_rules,
    )
    first, *others = values.rules.values()
    first = attrs.evolve(first, url_path_map="plain", destination=None)
    values = attrs.evolve(
        values,
        rules={each.name: each for each in (first, *others)},
        url_path_maps={"plain": path_map},
        redirects={"out": out},
    )
    port = Table.build(values).ports["0.0.0.0", 80]
    asked.scheme = b"http"
    return decide(port, asked, None)


OLD = PathRule(
    name="old", paths=("/old", "/old/*"), destination=Destination(redirect="out")
)


class DecideTests(SynchronousTestCase):
    def assertSent(self, expected: bytes, decision: Decision) -> Redirection:
        """Fail unless the request is redirected to *expected*."""
        assert isinstance(decision, Redirected), decision
        self.assertEqual(expected, decision.location)
        return decision.route

    def test_path_rule(self) -> None:
        """A path rule may redirect where all else goes to a pool."""
        out = redirect(URL, type="Permanent", **BOTH)
        for target, expected in (
            (b"/OLD/x?y", b"https://new.example/base/OLD/x?y"),
            (b"/old", b"https://new.example/base/old"),
        ):
            decision = decided(out, head(target), path_rules=(OLD,), default=WEB)
            way = self.assertSent(expected, decision)
            assert isinstance(decision, Redirected)
            self.assertEqual(301, decision.status)
            self.assertEqual("old", way.path_rule)
            self.assertEqual(("plain", "plain", "", ""), way.names)
        for target in (b"/older", b"/new/old"):
            decision = decided(out, head(target), path_rules=(OLD,), default=WEB)
            self.assertIsInstance(decision, Forward)

    def test_default(self) -> None:
        """The default of a path map may redirect what no path rule takes."""
        shop = PathRule(name="shop", paths=("/shop/*",), destination=WEB)
        for target, kind in ((b"/x", Redirected), (b"/shop/x", Forward)):
            decision = decided(redirect(URL), head(target), path_rules=(shop,))
            self.assertIsInstance(decision, kind)

    def test_every_method(self) -> None:
        """Whatever is asked is redirected, but for TRACE and loops."""
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"):
            decision = decided(redirect("to"), head(method=method))
            self.assertSent(b"https://shop.example.com/", decision)
        for asked, refusal in (
            (head(method=b"TRACE"), Refusal.TRACE),
            (head(b"/", (b"Via", b"1.1 appgw, 1.1 appgw")), Refusal.LOOP),
        ):
            decision = decided(redirect("to"), asked)
            assert isinstance(decision, Refuse)
            self.assertIs(refusal, decision.refusal)

    def test_server_as_a_whole(self) -> None:
        """OPTIONS * has no URL to go to: it is answered here."""
        for asked in (
            head(b"*", method=b"OPTIONS"),
            head(b"/", (b"Max-Forwards", b"0"), method=b"OPTIONS"),
        ):
            decision = decided(redirect("to", **BOTH), asked)
            assert isinstance(decision, Answer)
            self.assertEqual(204, decision.status)

    def test_bad_path(self) -> None:
        """A path without a reading is refused instead of passed on."""
        for target in (b"/a%2fb", b"/../x", b"/%0d%0aX:%20y", b"/a\\b", b"/x?\r\ny"):
            decision = decided(redirect("to", **BOTH), head(target))
            assert isinstance(decision, Refuse)
            self.assertIs(Refusal.BAD_TARGET, decision.refusal)

    def test_ambiguous_where_allowed(self) -> None:
        """What a listener lets pass is passed on, never decoded."""
        npm = listener("npm", protocol="http", port=80, ambiguous_paths="allow")
        asked = head(b"/%2f%2fevil.example%5cx")
        decision = decided(redirect("to", **BOTH), asked, npm, listener("to"))
        expected = b"https://shop.example.com/%2F%2Fevil.example%5Cx"
        self.assertSent(expected, decision)


class LoopTests(SynchronousTestCase):
    """
    No request is ever sent to its own URL.
    """

    def sent(self, target: str, url: bytes, authority: bytes, **more: Any) -> bool:
        """Tell whether a request in clear text is redirected at all."""
        decision = decided(redirect(target, **more), head(url, authority=authority))
        if isinstance(decision, Refuse):
            self.assertIs(Refusal.REDIRECT_LOOP, decision.refusal)
            assert decision.site is not None
            self.assertEqual("plain", decision.site.listener.name)
            self.assertEqual(508, decision.refusal.status)
        return isinstance(decision, Redirected)

    def test_own_url(self) -> None:
        """A URL that is the request's own, however it is written, is 508."""
        for target, url, authority in (
            ("http://a.example/", b"/", b"a.example"),
            ("http://A.example:80", b"/?x", b"a.example."),
            ("http://a.example/?x#y", b"/?z", b"A.EXAMPLE:80"),
            ("http://a.example/x", b"//./%78", b"a.example"),
            ("http://a.example/%78/../%7e", b"/~", b"a.example"),
            ("http://a.example:8080/", b"/", b"a.example:8080"),
            ("http://[2001:DB8::0:1]/", b"/", b"[2001:db8::1]:080"),
        ):
            self.assertFalse(self.sent(target, url, authority), target)

    def test_own_path(self) -> None:
        """So is the request's own path on its own host."""
        flags = {"include_path": True}
        for url in (b"/", b"/x?y", b"/a//b"):
            self.assertFalse(self.sent("http://a.example", url, b"a.example", **flags))
            self.assertFalse(self.sent("plain", url, b"a.example", **flags))

    def test_other_url(self) -> None:
        """Another scheme, host, port or path is another URL."""
        for target, url, authority in (
            ("https://a.example/", b"/", b"a.example"),
            ("http://b.example/", b"/", b"a.example"),
            ("http://a.example:8080/", b"/", b"a.example"),
            ("http://a.example/", b"/", b"a.example:8080"),
            ("http://a.example/X", b"/x", b"a.example"),
            ("http://a.example/..;/", b"/", b"a.example"),
            ("http://[::1]/", b"/", b"[::2]"),
        ):
            self.assertTrue(self.sent(target, url, authority), target)

    @given(st.text("/.%2eEfFaA5cC;~", max_size=12).map("/".__add__))
    def test_following(self, target: str) -> None:
        """Who follows a redirect to a fixed path is not redirected again."""
        out = redirect(f"http://a.example{target}")
        first = decided(out, head(b"/other", authority=b"a.example"))
        assert isinstance(first, Redirected)
        path = first.location.removeprefix(b"http://a.example")
        second = decided(out, head(path, authority=b"a.example"))
        assert isinstance(second, Refuse)
        self.assertIn(second.refusal, (Refusal.REDIRECT_LOOP, Refusal.BAD_TARGET))

    def test_bad_host(self) -> None:
        """A Host that is none never comes so far."""
        aim = Aim.parse(redirect(URL), {})
        self.assertRaises(BadHost, aim.location, head(authority=b"a@b"), b"/")
