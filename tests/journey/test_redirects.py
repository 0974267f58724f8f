from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.web.static import Data

from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    OK,
    SECURE,
    Backend,
    JourneyTests,
    answering,
    get,
    put,
)
from tests.journey.recorded import Recorded

AWAY = "https://away.example/base?a=b"
WHOLE = {"include_path": True, "include_query_string": True}


class RedirectTests(JourneyTests):
    """
    The listener in clear text redirects; the one with TLS has a pool.
    """

    def redirecting(self, *backends: Backend, **fields: Any) -> model.Config:
        """
        Let the rule of the listener in clear text redirect, by default away.
        """
        config = self.config(*backends)
        if "target_listener" not in fields:
            fields.setdefault("target_url", AWAY)
        fields.setdefault("type", "Found")
        there = model.Destination(redirect="away")
        rule = attrs.evolve(config.rules["plain"], destination=there)
        return attrs.evolve(
            config,
            rules={**config.rules, "plain": rule},
            redirects={"away": model.Redirect(name="away", **fields)},
        )

    def away(self, **fields: Any) -> Recorded:
        """
        Start a gateway that redirects.
        """
        return self.serve(self.redirecting(**fields))

    async def test_to_https(self) -> None:
        """
        Who follows a redirect from http to https finds the same thing there.
        """
        backend = self.backend(answering(OK))
        port = self.free_port(SECURE)
        config = self.redirecting(
            backend, type="Permanent", target_listener="secure", **WHOLE
        )
        secure = attrs.evolve(config.listeners["secure"], port=port)
        self.serve(config, listeners={**config.listeners, "secure": secure})
        wire = get(b"//a/./b?x=%2f").replace(b"shop.example", b"Shop.example:80")
        answer = await self.ask(wire)
        [where] = answer.get(b"location")
        self.assertEqual(301, answer.status)
        self.assertEqual(b"https://shop.example:%d/a/b?x=%%2f" % port, where)
        parts = urlsplit(where.decode())
        client = await self.client(True, parts.hostname.encode(), port=port)  # type: ignore[union-attr]
        self.assertEqual(b"ok", (await client.ask(get(b"/a/b?x=%2f"))).body)
        [seen] = backend.seen
        self.assertEqual(b"/a/b?x=%2f", seen.target)

    async def test_answer(self) -> None:
        """
        The answer says where to go, in a field and in a page, and has a trace id.
        """
        for kind, status, reason in (
            ("Permanent", 301, b"Moved Permanently"),
            ("Found", 302, b"Found"),
            ("SeeOther", 303, b"See Other"),
            ("Temporary", 307, b"Temporary Redirect"),
        ):
            self.away(type=kind, **WHOLE)
            answer = await self.ask(get(b"/<b>'?\"&x"))
            [outcome] = await self.recorded(1)
            self.assertEqual((status, reason), (answer.status, answer.reason))
            self.assertEqual(
                [
                    (b"date", answer.get(b"date")[0]),
                    (b"location", b"https://away.example/base/<b>'?a=b&\"&x"),
                    (b"content-type", b"text/html; charset=utf-8"),
                    (b"x-appgw-trace-id", outcome.trace_id.encode()),
                    (b"content-length", b"%d" % len(answer.body)),
                ],
                answer.headers,
            )
            link = b"https://away.example/base/&lt;b&gt;&#x27;?a=b&amp;&quot;&amp;x"
            self.assertIn(b'<a href="%b">' % link, answer.body)
            self.assertIn(outcome.trace_id.encode(), answer.body)
            self.assertNotIn(b"<b>", answer.body)

    async def test_record(self) -> None:
        """
        It is in the access log and the metrics, with its rule and without a pool.
        """
        self.away()
        answer = await self.ask()
        [outcome] = await self.recorded(1)
        [line] = self.lines()
        for name, value in (
            ("listenerName", "plain"),
            ("ruleName", "plain"),
            ("backendPoolName", ""),
            ("backendSettingName", ""),
            ("httpStatus", 302),
            ("sentBytes", outcome.sent),
            ("serverRouted", ""),
            ("error_info", "ERRORINFO_NO_ERROR"),
            ("contentType", "text/html; charset=utf-8"),
            ("transactionId", answer.get(b"x-appgw-trace-id")[0].decode()),
        ):
            self.assertEqual(value, line[name], name)
        self.assertGreater(outcome.sent, len(answer.body))
        names = {"listener": "plain", "rule": "plain", "pool": "", "setting": ""}
        labels = {**names, "member": "", "status_class": "3xx"}
        self.assertEqual(1, self.count("appgw_requests_total", **labels))

    async def test_head(self) -> None:
        """
        HEAD gets the same head without the page.
        """
        self.away()
        client = await self.client()
        whole = await client.ask(GET)
        head = await client.ask(GET.replace(b"GET", b"HEAD"))
        self.assertEqual(302, head.status)
        self.assertEqual(b"", head.body)
        for name in (b"location", b"content-length", b"content-type"):
            self.assertEqual(whole.get(name), head.get(name))
        self.assertEqual(302, (await client.ask(GET)).status)

    async def test_pipeline(self) -> None:
        """
        Several are answered in order, and the connection is kept.
        """
        self.away(**WHOLE)
        client = await self.client()
        client.write(get(b"/1") + get(b"/2") + put(b"body", b"POST") + get(b"/4"))
        for path in (b"/1", b"/2", b"/", b"/4"):
            answer = await client.answer()
            self.assertEqual(
                [b"https://away.example/base%b?a=b" % path], answer.get(b"location")
            )
            self.assertEqual([], answer.get(b"connection"))

    async def test_unread_body(self) -> None:
        """
        A body that nobody reads ends the connection, after the answer.
        """
        self.away(type="Temporary")
        post = b"POST / HTTP/1.1\r\nHost: shop.example\r\n"
        for framing, body in (
            (b"Content-Length: 1000000", b"x" * 100_000),
            (b"Transfer-Encoding: chunked", b"fffff\r\n" + b"x" * 100_000),
            (b"Content-Length: 9\r\nExpect: 100-continue", b""),
        ):
            client = await self.client()
            answer = await client.ask(post + framing + b"\r\n\r\n" + body)
            self.assertEqual(307, answer.status)
            self.assertEqual([], answer.interim)
            self.assertEqual([b"close"], answer.get(b"connection"))
            self.assertTrue(await client.ended())

    async def test_old_client(self) -> None:
        """
        A client of HTTP/1.0 is redirected if it names a host.
        """
        self.away()
        client = await self.client()
        client.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        self.assertEqual(302, (await client.answer()).status)
        self.assertTrue(await client.ended())
        client = await self.client()
        client.write(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(400, (await client.answer()).status)

    async def test_hostile(self) -> None:
        """
        No request gets a field of its own, or another host, into the answer.
        """
        self.away(target_listener="secure", **WHOLE)
        for target in (b"/%0d%0aX-Evil:%201", b"/%00", b"/\\evil", b"/..;/x", b"/\xff"):
            self.assertEqual(400, (await self.ask(get(target))).status)
        for host in (b"a@evil", b"evil/", b"a,b", b"evil#", b"e vil", b"[::1"):
            wire = GET.replace(b"shop.example", host)
            self.assertEqual(400, (await self.ask(wire)).status)
        for target in (b"//evil.example/x", b"/x?%0d%0aX-Evil:%201", b"/@evil?//e"):
            [where] = (await self.ask(get(target))).get(b"location")
            self.assertTrue(where.startswith(b"https://shop.example:0/"), where)

    async def test_absolute_target(self) -> None:
        """
        The authority of an absolute target is the client's host, not its Host.
        """
        self.away(target_listener="secure", **WHOLE)
        wire = b"GET http://www.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        answer = await self.ask(wire)
        self.assertEqual([b"https://www.example:0/x"], answer.get(b"location"))

    async def test_claimed_host(self) -> None:
        """
        What a proxy says about hosts and schemes sends nobody anywhere, whether
        it is trusted or not.
        """
        claims = (b"X-Forwarded-Host: evil.example", b"X-Forwarded-Proto: https")
        config = self.redirecting(target_listener="secure")
        for proxies in ((), (ipaddress.ip_network("127.0.0.0/8"),)):
            self.serve(config, trusted_proxies=proxies)
            answer = await self.ask(get(b"/", *claims))
            self.assertEqual([b"https://shop.example:0/"], answer.get(b"location"))

    async def test_loop(self) -> None:
        """
        A request that would be sent to itself is 508, and recorded as that.
        """
        self.away(target_url="http://shop.example/a/", include_query_string=True)
        self.assertEqual(302, (await self.ask(get(b"/a?x"))).status)
        self.assertEqual(508, (await self.ask(get(b"/a/?x"))).status)
        first, second = await self.recorded(2)
        self.assertIsNone(first.refusal)
        self.assertIs(Refusal.REDIRECT_LOOP, second.refusal)
        self.assertEqual("ERRORINFO_REDIRECT_LOOP", self.lines()[-1]["error_info"])
        labels = {"reason": "redirect_loop"}
        self.assertEqual(1, self.count("appgw_refusals_total", **labels))

    async def test_without_pools(self) -> None:
        """
        A gateway that only redirects needs no pool.
        """
        config = self.redirecting()
        rules = {"plain": config.rules["plain"]}
        listeners = {"plain": config.listeners["plain"]}
        changes = {"pools": {}, "backend_settings": {}, "pins": {}}
        self.serve(config, rules=rules, listeners=listeners, **changes)
        self.assertEqual(302, (await self.ask()).status)

    async def test_server_as_a_whole(self) -> None:
        """
        OPTIONS * is answered here, and TRACE refused.
        """
        self.away()
        client = await self.client()
        options = GET.replace(b"GET /", b"OPTIONS *")
        self.assertEqual(204, (await client.ask(options)).status)
        trace = GET.replace(b"GET", b"TRACE")
        self.assertEqual(405, (await client.ask(trace)).status)

    async def test_path_map(self) -> None:
        """
        Some paths of a site are redirected while others go to its pool.
        """
        backend = self.backend(answering(OK))
        config = self.redirecting(backend, target_url=f"{AWAY}&old")
        pool = config.rules["secure"].destination
        assert pool is not None
        old = model.PathRule(
            name="old",
            paths=("/old/*",),
            destination=model.Destination(redirect="away"),
        )
        path_map = model.UrlPathMap(name="m", default=pool, path_rules=(old,))
        rule = attrs.evolve(config.rules["plain"], destination=None, url_path_map="m")
        self.serve(
            config,
            rules={**config.rules, "plain": rule},
            url_path_maps={"m": path_map},
        )
        client = await self.client()
        for path, status in ((b"/old/x", 302), (b"/", 200), (b"/OLD/", 302)):
            self.assertEqual(status, (await client.ask(get(path))).status)
        [seen] = backend.seen
        self.assertEqual(b"/", seen.target)

    async def test_mounted(self) -> None:
        """
        What is mounted at a path answers there, whatever the rule redirects.
        """
        gateway = self.away()
        resource = Data(b"token", "text/plain")
        resource.isLeaf = True
        await gateway.mount("plain", "/.well-known/acme-challenge/*", resource)
        client = await self.client()
        challenge = get(b"/.well-known/acme-challenge/x")
        self.assertEqual(b"token", (await client.ask(challenge)).body)
        self.assertEqual(302, (await client.ask(GET)).status)

    async def test_reload(self) -> None:
        """
        A client that stays meets a new redirect at its next request.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        gateway = self.serve(config)
        client = await self.client()
        self.assertEqual(200, (await client.ask(GET)).status)
        for changed, status in ((self.redirecting(backend), 302), (config, 200)):
            await gateway.apply(changed)
            self.assertEqual(status, (await client.ask(GET)).status)
