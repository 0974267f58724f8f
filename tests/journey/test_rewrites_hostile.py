from __future__ import annotations

import ipaddress

import attrs

from appgw.refusal import Refusal
from tests.journey.kit import GET, OK, answering, get
from tests.journey.rewriting import RewritingTests, saying
from tests.journey.wire import Conversation
from tests.proxying import version_1, version_2
from tests.route.rewriting import field, rule, rule_set, when, with_sets


class HostileTests(RewritingTests):
    """
    Clients and backends that try to make something of somebody's rules.
    """

    async def test_injected(self) -> None:
        """
        A line break wrapped up in base64 is refused, before a backend is asked.
        """
        backend = self.backend(answering(OK))
        self.rewriting(backend, rule(request=[field("X-User", "{var_client_user}")]))
        basic = b"Authorization: Basic YQ0KWC1FdmlsOiAx"
        self.assertEqual(400, (await self.ask(get(b"/", basic))).status)
        honest = b"Authorization: Basic YWRhOnNlY3JldA=="
        self.assertEqual(200, (await self.ask(get(b"/", honest))).status)
        [asked] = backend.seen
        self.assertEqual([b"ada"], asked.get(b"x-user"))
        refused, _ = await self.recorded(2)
        self.assertIs(Refusal.BAD_REWRITE, refused.refusal)

    async def test_injected_into_answer(self) -> None:
        """
        In an answer it is 502, and the backend's connection ends.
        """
        backend = self.backend(answering(OK))
        self.rewriting(backend, rule(answer=[field("X-User", "{var_client_user}")]))
        basic = b"Authorization: Basic YQ0KWC1FdmlsOiAx"
        client = await self.client()
        self.assertEqual(502, (await client.ask(get(b"/", basic))).status)
        self.assertNotIn(b"X-Evil", client.received)
        [outcome] = await self.recorded(1)
        self.assertIs(Refusal.BAD_ANSWER, outcome.refusal)
        await backend.conversations[0].ended()
        self.assertIn("An answer could not be rewritten", self.messages())

    async def test_path(self) -> None:
        """
        A path put together of a client's words has one reading, or is refused.
        """
        backend = self.backend(answering(OK))
        self.rewriting(
            backend,
            rule(
                when("http_req_X-Tenant", "(.+)"),
                modified_path="/tenants/{http_req_X-Tenant_1}/x",
            ),
        )
        client = await self.client()
        for word, status in (
            *((b"../..", 400), (b"a/../../..", 400), (b"%2e%2e%2f", 400)),
            *((b"a b", 400), (b"a?b", 400), (b"a#b", 400), (b"\xe9", 400)),
            *((b"..", 400), (b"b/..", 400), (b"a", 200), (b"a//b.c", 200)),
        ):
            found = await client.ask(get(b"/", b"X-Tenant: " + word))
            self.assertEqual(status, found.status, word)
        self.assertEqual(
            [b"/tenants/a/x", b"/tenants/a/b.c/x"],
            [asked.target for asked in backend.seen],
        )

    async def test_long_values(self) -> None:
        """
        A pattern that would take long on a long field is not tried: 431, and the
        next request is served.
        """
        backend = self.backend(answering(OK))
        self.rewriting(
            backend, rule(when("http_req_X", "(.*[ab]){99}$"), modified_path="/b")
        )
        client = await self.client()
        long = get(b"/", b"X: " + b"ab" * 16000)
        self.assertEqual(431, (await client.ask(long)).status)
        self.assertEqual(200, (await client.ask(GET)).status)
        self.assertEqual(1, len(backend.seen))

    async def test_long_answer(self) -> None:
        """
        From a backend it is 502.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(saying(b"X: " + b"ab" * 16000))

        self.rewriting(
            self.backend(script),
            rule(when("http_resp_X", "(.*[ab]){99}$"), answer=[field("X")]),
        )
        self.assertEqual(502, (await self.ask()).status)

    async def test_bytes(self) -> None:
        """
        Bytes that are no UTF-8 go through, either way.
        """
        backend = self.backend(answering(saying(b"X-A: <\xff\xfe>")))
        self.rewriting(
            backend,
            rule(
                when("http_req_X-A", "^<(.*)>$"),
                request=[field("X-B", "{http_req_X-A_1}")],
            ),
            rule(
                when("http_resp_X-A", "^<(.*)>$"),
                answer=[field("X-B", "{http_resp_X-A_1}")],
            ),
        )
        found = await self.ask(get(b"/", b"X-A: <\xc3\x28>"))
        self.assertEqual([b"\xff\xfe"], found.get(b"x-b"))
        self.assertEqual([b"\xc3\x28"], backend.seen[0].get(b"x-b"))


class SocketTests(RewritingTests):
    """
    What only a socket can tell.
    """

    async def test_offered_suites(self) -> None:
        """
        The suites that a client offers are told by their names.
        """
        backend = self.backend(answering(OK))
        self.rewriting(
            backend,
            rule(
                request=[
                    field("X-Offered", "{var_ciphers_supported}"),
                    field("X-Used", "{var_ciphers_used}"),
                    field("X-Rtt", "{var_client_tcp_rtt}"),
                ]
            ),
        )
        await self.ask(secure=True)
        await self.ask()
        secure, plain = backend.seen
        [offered] = secure.get(b"x-offered")
        self.assertIn(secure.get(b"x-used")[0], offered.split(b":"))
        self.assertIn(b"TLS_CHACHA20_POLY1305_SHA256", offered.split(b":"))
        self.assertEqual([], plain.get(b"x-offered"))
        for asked in backend.seen:
            [microseconds] = asked.get(b"x-rtt")
            self.assertGreater(int(microseconds), 0)

    async def test_behind_proxy(self) -> None:
        """
        The same of a client that a proxy's header names: it is not the header that
        is looked at.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        asking = rule(
            request=[
                field("X-Offered", "{var_ciphers_supported}"),
                field("X-Client", "{var_client_ip}"),
            ]
        )
        proxied = attrs.evolve(config.listeners["secure"], proxy_protocol=True)
        config = with_sets(config, rule_set(asking), secure="set")
        self.serve(
            config,
            listeners=dict(config.listeners) | {"secure": proxied},
            trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),),
        )
        for header in (version_1("192.0.2.7", 7), version_2("192.0.2.7", 7)):
            client = await self.client(True, header=header)
            self.assertEqual(200, (await client.ask(GET)).status)
            asked = backend.seen[-1]
            self.assertIn(b"TLS_AES_128_GCM_SHA256", asked.get(b"x-offered")[0])
            self.assertEqual([b"192.0.2.7"], asked.get(b"x-client"))

    async def test_not_asked(self) -> None:
        """
        Where no rule asks, nobody looks.
        """
        self.rewriting(self.backend(answering(OK)), rule(request=[field("X", "x")]))
        await self.ask(secure=True)
        [outcome] = await self.recorded(1)
        self.assertEqual("", outcome.arrival.offered)
        self.assertEqual(0, outcome.arrival.round_trip)

    async def test_reload(self) -> None:
        """
        A client that was there before is told by what is known of it.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        self.serve(config)
        client = await self.client()
        await client.ask(GET)
        asking = rule_set(rule(request=[field("X-Rtt", "{var_client_tcp_rtt}")]))
        self.gateway.apply(with_sets(config, asking, plain="set"))
        await client.ask(GET)
        self.assertGreater(int(backend.seen[-1].get(b"x-rtt")[0]), 0)
