from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.web.static import Data

from appgw import Gateway
from appgw.config import model
from appgw.refusal import Refusal
from tests.journey.kit import (
    GET,
    OK,
    PLAIN,
    STRANGER,
    Backend,
    JourneyTests,
    answering,
    get,
    put,
    turn,
)
from tests.journey.recorded import Recorded
from tests.journey.reloads import silent
from tests.journey.wire import Message

OURS = "<p>Ours ☂</p>".encode()
THEIRS = b"<p>The shop's</p>"
UNKNOWN = GET.replace(b"shop.example", b"nobody.example")
GATEWAY = {status: b"<p>gateway %d</p>" % status for status in (400, 404, 502, 504)}
SHOP = {status: b"<p>shop %d</p>" % status for status in (405, 413, 421, 502)}


class ErrorPageTests(JourneyTests):
    """
    Pages of the gateway, and of its listener in clear text, which is
    shop.example.
    """

    def paged(self, *backends: Backend | model.Member, **changes: Any) -> Recorded:
        """
        Start a gateway with pages.
        """
        config = self.config(*backends)
        plain = attrs.evolve(
            config.listeners["plain"],
            host_names=("shop.example",),
            custom_error_pages=SHOP,
        )
        changes = {"custom_error_pages": GATEWAY} | changes
        return self.serve(
            config, listeners={**config.listeners, "plain": plain}, **changes
        )

    def assertPage(self, status: int, body: bytes, answer: Message) -> None:
        """
        Fail unless this page was answered.
        """
        self.assertEqual((status, body), (answer.status, answer.body))
        self.assertEqual(
            [b"text/html; charset=utf-8"], answer.get(b"content-type"), status
        )
        self.assertEqual([b"%d" % len(body)], answer.get(b"content-length"))
        self.assertEqual([b"no-store"], answer.get(b"cache-control"))
        [trace_id] = answer.get(b"x-appgw-trace-id")
        self.assertEqual(
            self.gateway.outcomes[-1].trace_id, trace_id.decode(), answer.headers
        )

    async def test_listener_wins(self) -> None:
        """
        A listener's page is shown, else the gateway's, else our own.
        """
        self.paged(self.dead())
        self.assertPage(502, SHOP[502], await self.ask())
        self.assertPage(502, GATEWAY[502], await self.ask(secure=True))
        self.assertPage(400, GATEWAY[400], await self.ask(get(b"/%2f")))
        loop = get(b"/", b"Via: 1.1 appgw, 1.1 appgw")
        self.assertIn(b"<h1>508 Loop Detected</h1>", (await self.ask(loop)).body)

    async def test_no_site(self) -> None:
        """
        Where no listener takes the Host, or none could be read, it is the
        gateway's.
        """
        self.paged()
        self.assertPage(404, GATEWAY[404], await self.ask(UNKNOWN))
        for wire in (
            GET.replace(b"Host: shop.example\r\n", b""),
            GET.replace(b"shop.example", b"a,b"),
            b"GET / HTTP/1.1\r\nHost: shop.example\r\nA B: c\r\n\r\n",
        ):
            self.assertPage(400, GATEWAY[400], await self.ask(wire))

    async def test_head(self) -> None:
        """
        HEAD is answered with the page's length and without the page.
        """
        self.paged(self.dead())
        client = await self.client()
        for _ in range(2):
            answer = await client.ask(GET.replace(b"GET", b"HEAD"))
            self.assertEqual((502, b""), (answer.status, answer.body))
            length = b"%d" % len(SHOP[502])
            self.assertEqual([length], answer.get(b"content-length"))

    async def test_fields(self) -> None:
        """
        What a status needs besides a page is there.
        """
        self.paged()
        answer = await self.ask(GET.replace(b"GET", b"TRACE"))
        self.assertPage(405, SHOP[405], answer)
        self.assertIn(b"GET", answer.get(b"allow")[0])

    async def test_refused_before_its_turn(self) -> None:
        """
        A body that is announced too large is refused by the site that was meant.
        """
        self.paged(self.backend(answering(OK)), max_request_body=10)
        self.assertPage(413, SHOP[413], await self.ask(put(b"x" * 11)))
        [outcome] = await self.recorded(1)
        self.assertEqual("plain", outcome.listener)
        chunks = b"Transfer-Encoding: chunked\r\n\r\nfff\r\n" + b"x" * 0xFFF
        wire = b"PUT / HTTP/1.1\r\nHost: shop.example\r\n" + chunks
        self.assertPage(413, SHOP[413], await self.ask(wire))
        # Nobody serves this Host: our own page, as there is no other for 413.
        wire = put(b"x" * 11).replace(b"shop.example", b"nobody.example")
        answer = await self.ask(wire)
        self.assertIn(b"<h1>413", answer.body)
        self.assertEqual("", self.gateway.outcomes[-1].listener)

    async def test_within_an_exchange(self) -> None:
        """
        A backend that is refused or late brings the page too.
        """
        self.paged(self.backend(answering(OK), STRANGER))
        self.assertPage(502, SHOP[502], await self.ask())
        [outcome] = await self.recorded(1)
        self.assertIs(Refusal.PIN_REFUSED, outcome.refusal)
        backend = self.backend(silent)
        gateway = self.paged(backend)
        client = await self.client()
        client.write(GET)
        while not backend.seen:
            await turn()
        gateway.pass_time(21)
        self.assertPage(504, GATEWAY[504], await client.answer())

    async def test_backends_own(self) -> None:
        """
        What a backend answers is its own affair, errors too.
        """
        for status in (400, 404, 502, 504):
            wire = b"HTTP/1.1 %d X\r\nContent-Length: 6\r\n\r\nitsown" % status
            self.paged(self.backend(answering(wire)))
            answer = await self.ask()
            self.assertEqual((status, b"itsown"), (answer.status, answer.body))

    async def test_mounted(self) -> None:
        """
        A body too large for a mounted resource brings the listener's page.
        """
        gateway = self.paged()
        await gateway.mount("plain", "/at", Data(b"", "text/plain"))
        wire = put(b"").replace(b" / ", b" /at ").replace(b": 0", b": 2000000")
        self.assertPage(413, SHOP[413], await self.ask(wire))

    async def test_large(self) -> None:
        """
        A page as large as it may be arrives whole, one after the other.
        """
        page = b"x" * ((1 << 20) - 1)
        self.paged(custom_error_pages={404: page})
        client = await self.client()
        client.write(UNKNOWN * 3)
        for _ in range(3):
            answer = await client.answer()
            self.assertEqual((404, page), (answer.status, answer.body))

    def written(self, port: int) -> tuple[Path, Path]:
        """
        Write a page for 404 and a configuration; return the paths of both.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        page, path = folder / "404.html", folder / "gateway.yaml"
        page.write_bytes(OURS)
        path.write_text(
            f"""
            listeners:
              a:
                protocol: http
                address: {PLAIN}
                port: {port}
                host_names: [a.example]
            rules: {{a: {{priority: 1, listener: a, redirect: away}}}}
            redirects: {{away: {{type: Found, target_url: "https://a.example/"}}}}
            custom_error_pages: {{404: 404.html}}
            """
        )
        return page, path

    async def test_reload(self) -> None:
        """
        A reload reads the pages again; a bad one leaves the old in force.
        """
        port = self.free_port(PLAIN)
        page, path = self.written(port)
        self.gateway = gateway = Gateway.from_file(str(path), reactor)
        gateway.startService()
        self.addCleanup(gateway.stopService)
        client = await self.client(port=port)
        self.assertEqual(OURS, (await client.ask(UNKNOWN)).body)
        for data, ok, shown in (
            (THEIRS, True, THEIRS),
            (b"\xff", False, THEIRS),
            (OURS, True, OURS),
        ):
            page.write_bytes(data)
            self.assertEqual(ok, await gateway.reload())
            self.assertEqual(shown, (await client.ask(UNKNOWN)).body)
