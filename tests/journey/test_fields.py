from __future__ import annotations

import ipaddress
from typing import Any

import attrs
from OpenSSL import SSL

from appgw import means
from appgw.config import model
from appgw.refusal import Refusal
from appgw.testing import server_context
from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    Backend,
    JourneyTests,
    answering,
    get,
)


class RequestTests(JourneyTests):
    """
    What a backend is sent.
    """

    async def sent(self, wire: bytes, secure: bool = False, **settings: Any) -> Backend:
        """
        Send *wire* through a fresh gateway.
        """
        backend = self.backend(answering(OK))
        self.before(backend, **settings)
        self.assertEqual(200, (await self.ask(wire, secure)).status)
        return backend

    async def test_ours(self) -> None:
        """
        The fields that we answer for say the truth, whatever the client said.
        """
        lies = (
            *(b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-for: 7.7.7.7"),
            *(b"X-Forwarded-Proto: gopher", b"X-Forwarded-Port: 1"),
            *(b"X-Forwarded-Host: evil", b"Forwarded: for=6.6.6.6"),
            *(b"X_Forwarded_For: 6.6.6.6", b"X-Original-Host: evil"),
            *(b"X-Original-URL: /admin", b"X-AppGW-Trace-Id: evil"),
            *(b"X-Real-IP: 6.6.6.6", b"Proxy: evil", b"X-Rewrite-Url: /admin"),
        )
        for secure in (False, True):
            backend = await self.sent(get(b"/a?b=%zz", *lies), secure)
            (request,) = backend.seen
            address = "127.0.0.2" if secure else "127.0.0.1"
            _, port = self.gateway.addresses()[address, 0]
            (outcome,) = await self.recorded(1)
            self.assertEqual(b"/a?b=%zz", request.target)
            self.assertEqual(
                [
                    (b"host", b"shop.example"),
                    (b"via", b"1.1 appgw"),
                    (b"x-forwarded-for", outcome.arrival.address.encode()),
                    (b"x-forwarded-proto", b"https" if secure else b"http"),
                    (b"x-forwarded-port", b"%d" % port),
                    (b"x-original-host", b"shop.example"),
                    (b"x-original-url", b"/a?b=%zz"),
                    (b"x-appgw-trace-id", outcome.trace_id.encode()),
                ],
                request.headers,
            )
            (line,) = self.lines()[-1:]
            self.assertEqual(outcome.trace_id, line["transactionId"])

    async def test_of_the_connection(self) -> None:
        """
        What belongs to the client's connection ends here, with what its
        Connection names; ours stay.
        """
        backend = await self.sent(
            get(
                b"/",
                b"Connection: close, X-Secret, X-Forwarded-For, Host",
                b"X-Secret: 1",
                b"Keep-Alive: timeout=5",
                b"Proxy-Connection: keep-alive",
                b"Proxy-Authorization: x",
                b"TE: trailers",
                b"Trailer: X",
                b"Upgrade: h2c",
                b"Accept: a",
                b"Accept: b",
            )
        )
        (request,) = backend.seen
        names = [name for name, _ in request.headers]
        for gone in (
            *(b"connection", b"x-secret", b"keep-alive", b"proxy-connection"),
            *(b"proxy-authorization", b"te", b"trailer", b"upgrade"),
        ):
            self.assertNotIn(gone, names)
        self.assertEqual([b"a", b"b"], request.get(b"accept"))
        self.assertEqual(1, len(request.get(b"x-forwarded-for")))
        self.assertEqual([b"shop.example"], request.get(b"host"))

    async def test_trusted(self) -> None:
        """
        A trusted peer's account of the client is extended, and kept.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend)
        proxies = (ipaddress.ip_network("127.0.0.0/8"),)
        self.serve(config, trusted_proxies=proxies, forwarded_for_port=True)
        told = (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https")
        client = await self.client()
        await client.ask(get(b"/", *told))
        (request,) = backend.seen
        (outcome,) = await self.recorded(1)
        port = outcome.arrival.port
        self.assertEqual(
            [b"6.6.6.6, 127.0.0.1:%d" % port], request.get(b"x-forwarded-for")
        )
        self.assertEqual([b"https"], request.get(b"x-forwarded-proto"))

    async def test_host(self) -> None:
        """
        The Host is the client's, or as configured; X-Original-Host tells.
        """
        for settings, host in (
            ({}, b"shop.example"),
            ({"host_name": "orders.internal"}, b"orders.internal"),
            ({"pick_host_name_from_backend_address": True}, b"127.0.0.1"),
        ):
            backend = await self.sent(GET, **settings)
            (request,) = backend.seen
            self.assertTrue(request.get(b"host")[0].startswith(host))
            self.assertEqual([b"shop.example"], request.get(b"x-original-host"))
            (outcome,) = await self.recorded(1)
            self.assertEqual(request.get(b"host")[0], outcome.upstream_host)

    async def test_absolute_target(self) -> None:
        """
        An absolute target's authority wins over Host (RFC 9112, 3.2.2).
        """
        wire = b"GET http://shop.example/x HTTP/1.1\r\nHost: evil\r\n\r\n"
        backend = await self.sent(wire)
        (request,) = backend.seen
        self.assertEqual(b"/x", request.target)
        self.assertEqual([b"shop.example"], request.get(b"host"))

    async def test_server_name(self) -> None:
        """
        SNI is the configured name, none for an address, and never the Host.
        """
        names: list[bytes | None] = []

        def noted(connection: SSL.Connection) -> None:
            names.append(connection.get_servername())

        for settings in ({"host_name": "orders.internal"}, {}):
            context = server_context(LEAF)
            context.set_tlsext_servername_callback(noted)
            self.before(self.backend(answering(OK), context=context), **settings)
            await self.ask()
        self.assertEqual([b"orders.internal", None], names)

    async def test_path(self) -> None:
        """
        A path is normalised once, and the override put before it.
        """
        odd = get(b"/a/./b/../%7ec//d?x=/../y&z=%2f")
        backend = await self.sent(odd)
        self.assertEqual(b"/a/~c/d?x=/../y&z=%2f", backend.seen[0].target)
        backend = await self.sent(odd, path="/v2/")
        self.assertEqual(b"/v2/a/~c/d?x=/../y&z=%2f", backend.seen[0].target)
        (outcome,) = await self.recorded(1)
        self.assertEqual(b"/v2/a/~c/d?x=/../y&z=%2f", outcome.upstream_target)

    async def test_framing(self) -> None:
        """
        A request without a body has no framing, unless its method foresees one.
        """
        for method, lengths in ((b"GET", []), (b"DELETE", []), (b"POST", [b"0"])):
            wire = GET.replace(b"GET", method).replace(b" 0\r\n", b" 0\r\n")
            backend = await self.sent(wire)
            self.assertEqual(lengths, backend.seen[0].get(b"content-length"))
            self.assertEqual([], backend.seen[0].get(b"transfer-encoding"))
        inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        wire = get(b"/", b"Content-Length: %d" % len(inner)) + inner
        backend = await self.sent(wire)
        self.assertEqual([inner], [request.body for request in backend.seen])

    async def test_old_client(self) -> None:
        """
        A client of HTTP/1.0 is served if it names a host, and kept if it asks.
        """
        backend = self.backend(answering(OK))
        self.before(backend)
        for more in (b"", b"Connection: keep-alive\r\n"):
            client = await self.client()
            for _ in range(2 if more else 1):
                client.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n%b\r\n" % more)
                head = await client.upto(b"\r\n\r\n")
                self.assertEqual(b"ok", await client.take(2))
                self.assertIn(b" 200 OK", head)
                self.assertEqual(bool(more), b"Connection: keep-alive" in head)
            if not more:
                self.assertTrue(await client.ended())
        self.assertEqual(3, len(backend.seen))
        for request in backend.seen:
            self.assertEqual([b"1.0 appgw"], request.get(b"via"))
            self.assertEqual([b"shop.example"], request.get(b"host"))
        client = await self.client()
        client.write(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(400, (await client.answer()).status)
        self.assertEqual(3, len(backend.seen))

    async def test_loop(self) -> None:
        """
        A gateway that is its own backend stops going round.
        """
        self.before(protocol="http")
        _, port = self.gateway.addresses()["127.0.0.1", 0]
        config = self.gateway.config
        member = model.Member(address="127.0.0.1", port=port)
        looping = {"web": model.Pool(name="web", members=(member,))}
        self.gateway.apply(attrs.evolve(config, pools=looping))
        self.assertEqual(508, (await self.ask()).status)

    async def test_bad_field(self) -> None:
        """
        Should a line break ever get past the parser, it is 400, not a bug.
        """
        backend = self.backend(answering(OK))
        self.before(backend)
        self.patch(means, "request_headers", lambda *_: [(b"X", b"a\r\nY: b")])
        self.assertEqual(400, (await self.ask()).status)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.MALFORMED, outcome.refusal)
        self.assertEqual(b"", backend.received)
        await backend.conversations[0].ended()


class AnswerTests(JourneyTests):
    """
    What a client is sent.
    """

    async def test_of_the_connection(self) -> None:
        """
        What belongs to the backend's connection ends here; the rest goes on in
        its order, cookies one by one.
        """
        lines = (
            *(b"Connection: keep-alive, X-Secret", b"X-Secret: 1", b"Upgrade: h2c"),
            *(b"Keep-Alive: timeout=9", b"Proxy-Authenticate: x", b"Trailer: X"),
            *(b"Set-Cookie: a=1", b"Server: s", b"Set-Cookie: b=2", b"X-Y_Z: \xe9"),
        )
        answer = OK.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
        self.before(self.backend(answering(answer)))
        found = await self.ask()
        dates = found.get(b"date")
        self.assertEqual(1, len(dates))
        self.assertEqual(
            [
                (b"set-cookie", b"a=1"),
                (b"server", b"s"),
                (b"set-cookie", b"b=2"),
                (b"x-y_z", b"\xe9"),
                (b"date", dates[0]),
                (b"content-length", b"2"),
            ],
            found.headers,
        )

    async def test_date(self) -> None:
        """
        A backend's own Date is kept.
        """
        dated = OK.replace(b"\r\n\r\n", b"\r\nDate: long ago\r\n\r\n")
        self.before(self.backend(answering(dated)))
        self.assertEqual([b"long ago"], (await self.ask()).get(b"date"))

    async def test_bytes(self) -> None:
        """
        A body is passed on as bytes, whatever it is encoded in.
        """
        bomb = bytes(range(256)) * 40
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        )
        self.before(self.backend(answering(head % len(bomb) + bomb)))
        self.assertEqual(bomb, (await self.ask()).body)

    async def test_bad_field(self) -> None:
        """
        Should a line break ever get past the parser, it is 502, not a bug, and
        nothing of the answer follows.
        """
        good = means.response_headers
        bad = [True]

        def first_is_bad(*args: Any) -> Any:
            return [*good(*args), (b"X", b"a\r\nY: b" if bad.pop() else b"a")]

        self.patch(means, "response_headers", first_is_bad)
        hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        for answer in (OK, hints + OK, hints * 3 + OK):
            bad[:] = [False] * 9 + [True]
            backend = self.backend(answering(answer))
            self.before(backend)
            client = await self.client()
            self.assertEqual(502, (await client.ask(GET)).status)
            (outcome,) = await self.recorded(1)
            self.assertIs(Refusal.BAD_ANSWER, outcome.refusal)
            await backend.conversations[0].ended()
            self.assertNotIn(b" 103 ", client.received)
            self.assertEqual(1, client.received.count(b"HTTP/1.1"))
