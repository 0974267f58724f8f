from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from appgw.config.demands import ClientDemand, Demands
from appgw.config.model import Listener
from appgw.message import ClientCertificate, RequestHead
from appgw.refusal import Refusal
from appgw.route.decide import Answer, Forward, Refuse, decide
from appgw.route.table import PortTable
from tests.route.values import arrival, head, listener, path_rule, table

SHOP = listener("shop", "shop.example.com")
API = listener("api", "api.example.com")
SHOWN = ClientCertificate(verification="SUCCESS", der=b"a certificate")
FAILED = ClientCertificate(verification="FAILED:late", der=b"a certificate")


def with_demands(*listeners: Listener, strict: bool = False) -> PortTable:
    """Return a table whose last site asks for certificates."""
    *others, last = table(*listeners).sites
    demands = Demands(last.tls_demands.policy, ClientDemand((), None, strict))
    last = attrs.evolve(last, tls_demands=demands, strict=strict)
    return PortTable("0.0.0.0", 443, "https", (*others, last))


class _Deciding(SynchronousTestCase):
    def assertForward(
        self, path: bytes, port: PortTable, asked: RequestHead, name: str | None = None
    ) -> Forward:
        """Fail unless the request is sent on, with *path*."""
        decision = decide(port, asked, name)
        self.assertIsInstance(decision, Forward)
        assert isinstance(decision, Forward)
        self.assertEqual(path, decision.path)
        return decision

    def assertRefused(
        self,
        refusal: Refusal,
        site: str | None,
        port: PortTable,
        asked: RequestHead,
        name: str | None = None,
    ) -> None:
        """Fail unless the request is refused, on behalf of *site*."""
        decision = decide(port, asked, name)
        self.assertIsInstance(decision, Refuse)
        assert isinstance(decision, Refuse)
        meant = decision.site.listener.name if decision.site else None
        self.assertEqual((refusal, site), (decision.refusal, meant))


class SiteTests(_Deciding):
    def test_host_decides(self) -> None:
        """The Host's listener answers, whatever other fields say."""
        port = table(SHOP, API)
        decision = self.assertForward(
            b"/",
            port,
            head(
                b"/",
                (b"X-Forwarded-Host", b"shop.example.com"),
                (b"X-Original-Host", b"shop.example.com"),
                (b"X-Original-URL", b"/admin"),
                authority=b"API.example.com.:443",
            ),
        )
        self.assertEqual("api", decision.route.listener.name)

    def test_unknown_site(self) -> None:
        """A Host that no listener of the port takes is 404, with and without SNI."""
        port = table(SHOP, API)
        for name in (None, "shop.example.com", "other.example"):
            self.assertRefused(
                Refusal.UNKNOWN_SITE,
                None,
                port,
                head(authority=b"other.example"),
                name,
            )

    def test_bad_host(self) -> None:
        """A Host that is none is 400, and so is an absent one."""
        port = table(listener("all"))
        self.assertRefused(Refusal.BAD_HOST, None, port, head(authority=b"a@b"))
        self.assertRefused(Refusal.NO_HOST, None, port, head(authority=b""))


class MisdirectedTests(_Deciding):
    def asked(self, host: bytes) -> RequestHead:
        """Return a request for a site."""
        return head(b"/", authority=host)

    def test_same_listener(self) -> None:
        """SNI and Host that mean the same listener pass, equal or not."""
        port = table(listener("shop", "*.example.com"), API)
        for name in ("shop.example.com", "SHOP.example.com.", "a.example.com"):
            self.assertForward(b"/", port, self.asked(b"b.example.com"), name)

    def test_other_listener(self) -> None:
        """A Host of another listener than the SNI's is 421."""
        port = table(SHOP, API)
        self.assertRefused(
            Refusal.MISDIRECTED,
            "api",
            port,
            self.asked(b"api.example.com"),
            "shop.example.com",
        )

    def test_unmatched_server_name(self) -> None:
        """An SNI that nobody takes means the first listener, whose key it got."""
        port = table(SHOP, API)
        self.assertForward(b"/", port, self.asked(b"shop.example.com"), "x.example")
        self.assertRefused(
            Refusal.MISDIRECTED,
            "api",
            port,
            self.asked(b"api.example.com"),
            "x.example",
        )

    def test_no_server_name(self) -> None:
        """Without SNI every listener of the port may be asked."""
        port = table(SHOP, API)
        for host in (b"shop.example.com", b"api.example.com"):
            self.assertForward(b"/", port, self.asked(host))

    def test_routed_where_allowed(self) -> None:
        """The listener asked for may allow it, the one of the SNI may not."""
        port = table(SHOP, listener("api", "api.example.com", misdirected="route"))
        self.assertForward(
            b"/", port, self.asked(b"api.example.com"), "shop.example.com"
        )
        self.assertRefused(
            Refusal.MISDIRECTED,
            "shop",
            port,
            self.asked(b"shop.example.com"),
            "api.example.com",
        )

    def test_demands_of_its_own(self) -> None:
        """Without SNI a listener with TLS demands of its own is 421."""
        port = with_demands(SHOP, API)
        asked = self.asked(b"api.example.com")
        self.assertRefused(Refusal.MISDIRECTED, "api", port, asked)
        self.assertForward(b"/", port, asked, "api.example.com")

    def test_demands_of_the_first(self) -> None:
        """Without SNI the first listener's handshake was made, and serves it."""
        port = with_demands(API, SHOP)
        port = PortTable("0.0.0.0", 443, "https", port.sites[::-1])
        self.assertForward(b"/", port, self.asked(b"shop.example.com"))
        self.assertRefused(
            Refusal.MISDIRECTED, "api", port, self.asked(b"api.example.com")
        )

    def test_demands_differ(self) -> None:
        """Nothing allows a detour around TLS demands, in neither direction."""
        port = with_demands(
            listener("shop", "shop.example.com", misdirected="route"),
            listener("api", "api.example.com", misdirected="route"),
        )
        for host, name in (("api", "shop"), ("shop", "api")):
            self.assertRefused(
                Refusal.MISDIRECTED,
                host,
                port,
                self.asked(f"{host}.example.com".encode()),
                f"{name}.example.com",
            )

    def test_equal_demands(self) -> None:
        """Equal demands are compared by content, whoever makes them."""
        shop, api = (
            with_demands(SHOP),
            with_demands(listener("api", "api.example.com", misdirected="route")),
        )
        port = PortTable("0.0.0.0", 443, "https", (*shop.sites, *api.sites))
        asked = self.asked(b"api.example.com")
        self.assertForward(b"/", port, asked, "shop.example.com")
        self.assertForward(b"/", port, asked)


class CertificateTests(_Deciding):
    def decided(self, client: ClientCertificate | None, host: str, name: str) -> object:
        """Return the refusal of a request by a client that has shown this."""
        api = listener("api", "api.example.com")
        port = with_demands(SHOP, api, strict=True)
        decision = decide(
            port,
            head(b"/", authority=f"{host}.example.com".encode()),
            f"{name}.example.com",
            attrs.evolve(arrival(), client_certificate=client),
        )
        return decision.refusal if isinstance(decision, Refuse) else None

    def test_strict(self) -> None:
        """Only who has shown a certificate that holds is let through."""
        for client, refusal in (
            (None, Refusal.NO_CLIENT_CERTIFICATE),
            (ClientCertificate(), Refusal.NO_CLIENT_CERTIFICATE),
            (FAILED, Refusal.BAD_CLIENT_CERTIFICATE),
            (SHOWN, None),
        ):
            self.assertEqual(refusal, self.decided(client, "api", "api"))

    def test_not_asked(self) -> None:
        """Where nothing is demanded, nothing is missed."""
        for client in (None, FAILED, SHOWN):
            self.assertIsNone(self.decided(client, "shop", "shop"))

    def test_next_door(self) -> None:
        """A certificate shown to a neighbour is shown to a neighbour."""
        self.assertEqual(Refusal.MISDIRECTED, self.decided(SHOWN, "api", "shop"))

    def test_passthrough(self) -> None:
        """Whatever was shown is let through where that is wanted."""
        port = with_demands(API)
        for client in (None, ClientCertificate(), FAILED, SHOWN):
            asked = head(b"/", authority=b"api.example.com")
            by = attrs.evolve(arrival(), client_certificate=client)
            decision = decide(port, asked, "api.example.com", by)
            self.assertIsInstance(decision, Forward)

    def test_before_anything_else(self) -> None:
        """A client without a certificate learns nothing about the site."""
        port = with_demands(API, strict=True)
        for asked in (
            head(b"/%2f", authority=b"api.example.com"),
            head(b"/", authority=b"api.example.com", method=b"TRACE"),
        ):
            self.assertRefused(
                Refusal.NO_CLIENT_CERTIFICATE, "api", port, asked, "api.example.com"
            )


class MethodTests(_Deciding):
    def test_trace(self) -> None:
        """TRACE is 405: it would show a client the fields we add."""
        self.assertRefused(Refusal.TRACE, "shop", table(SHOP), head(method=b"TRACE"))

    def test_asterisk(self) -> None:
        """OPTIONS * goes to the default, past path rules and override."""
        port = table(SHOP, path_rules=[path_rule("all", "/*")], override="/v2/")
        decision = self.assertForward(b"*", port, head(b"*", method=b"OPTIONS"))
        self.assertIsNone(decision.route.path_rule)

    def test_asterisk_elsewhere(self) -> None:
        """An asterisk with another method or a query is 400."""
        for asked in (
            head(b"*"),
            head(b"*", method=b"HEAD"),
            head(b"*?a", method=b"OPTIONS"),
            head(b"*/x", method=b"OPTIONS"),
        ):
            self.assertRefused(Refusal.BAD_TARGET, "shop", table(SHOP), asked)

    def test_max_forwards(self) -> None:
        """OPTIONS that may not go further is answered here, and only OPTIONS."""
        port = table(SHOP)
        for value in (b"0", b"000", b"0" * 5000):
            field = (b"Max-Forwards", value)
            decision = decide(port, head(b"*", field, method=b"OPTIONS"), None)
            assert isinstance(decision, Answer)
            self.assertEqual(204, decision.status)
            self.assertIs(port.sites[0], decision.site)
            self.assertForward(b"/", port, head(b"/", field))
        for value in (b"1", b"", b"-0", b"zero", b"9" * 5000):
            field = (b"max-forwards", value)
            self.assertForward(b"/", port, head(b"/", field, method=b"OPTIONS"))

    def test_several_max_forwards(self) -> None:
        """Of several limits the smallest holds."""
        fields = [(b"Max-Forwards", b"7"), (b"max-forwards", b"0")]
        decision = decide(table(SHOP), head(b"/", *fields, method=b"OPTIONS"), None)
        self.assertIsInstance(decision, Answer)


class LoopTests(_Deciding):
    def test_twice_here(self) -> None:
        """A request that has been here twice is 508."""
        for fields in (
            [(b"Via", b"1.1 appgw, 1.1 appgw")],
            [(b"Via", b"1.1 appgw"), (b"vIA", b"1.0 other, HTTP/1.1  APPGW (x)")],
            [(b"via", b",1.1 appgw,,1.1\tappgw,")],
        ):
            self.assertRefused(Refusal.LOOP, "shop", table(SHOP), head(b"/", *fields))

    def test_gateways_in_series(self) -> None:
        """Once is another gateway in front of this one."""
        for value in (b"1.1 appgw", b"1.1 appgw, 1.1 appgw2, 1.1 appgw.example", b""):
            self.assertForward(b"/", table(SHOP), head(b"/", (b"Via", value)))


class PathTests(_Deciding):
    def test_first_match(self) -> None:
        """Path rules are tried in order, in any case, on the one reading."""
        port = table(
            SHOP,
            path_rules=[path_rule("admin", "/admin*"), path_rule("a", "/a*")],
        )
        for target, path, rule in (
            (b"/ADMIN/x", b"/ADMIN/x", "admin"),
            (b"/public/../%61dmin?x=/a", b"/admin", "admin"),
            (b"//admin", b"/admin", "admin"),
            (b"/abc", b"/abc", "a"),
            (b"/b?/admin", b"/b", None),
        ):
            decision = self.assertForward(path, port, head(target))
            self.assertEqual(rule, decision.route.path_rule)
            self.assertEqual(rule or "web", decision.route.pool)

    def test_bad_path(self) -> None:
        """A path without a reading is 400."""
        for target in (b"/a%2fb", b"/../x", b"/a\\b", b"/%zz", b"", b"x", b"/\xff"):
            self.assertRefused(Refusal.BAD_TARGET, "shop", table(SHOP), head(target))

    def test_ambiguous_where_allowed(self) -> None:
        """A listener may let escaped slashes through."""
        port = table(listener("npm", ambiguous_paths="allow"))
        self.assertForward(b"/@scope%2Fpkg", port, head(b"/@scope%2fpkg"))

    def test_query_is_no_business_of_ours(self) -> None:
        """A query of visible bytes is never judged; it is not in the path."""
        for query in (b"", b"a;b", b"a=1&a=2", b"%zz", b"?", b"/../%2f\\%00|"):
            self.assertForward(b"/x", table(SHOP), head(b"/x?" + query))

    def test_bad_query(self) -> None:
        """A query with a fragment, a space, a control or 8-bit byte is 400."""
        for query in (b"#", b"a b", b"\r\n", b"\0", b"\x7f", b"\x80", b"\xce\xb4"):
            self.assertRefused(
                Refusal.BAD_TARGET, "shop", table(SHOP), head(b"/x?" + query)
            )

    def test_override(self) -> None:
        """The settings' override takes the place of what the pattern spells."""
        port = table(SHOP, path_rules=[path_rule("api", "/api/*")], override="/v2/")
        self.assertForward(b"/v2/items", port, head(b"/API/items?x=1"))
        self.assertForward(b"/v2/other", port, head(b"/other"))

    def test_out_of_the_override(self) -> None:
        """A path that would climb out of the override is 400."""
        port = table(SHOP, path_rules=[path_rule("api", "/api*")], override="/v2/")
        self.assertRefused(Refusal.BAD_TARGET, "shop", port, head(b"/api../secret"))
