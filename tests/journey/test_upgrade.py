from __future__ import annotations

from tests.journey.kit import (
    GET,
    LEAF,
    OK,
    PLAIN,
    STRANGER,
    JourneyTests,
    answering,
    get,
    put,
    turn,
)
from tests.journey.tunnels import HIDDEN, SWITCHED, UPGRADE, switching, upgrade
from tests.journey.wire import Conversation


class AgreedTests(JourneyTests):
    """
    Upgrades that a backend agrees to.
    """

    async def test_fields(self) -> None:
        """
        The backend is asked for what the client asks for, the client told what
        the backend says; what is a connection's own does not cross.
        """
        answer = SWITCHED.replace(
            b"\r\n\r\n",
            b"\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=b\r\n\r\n",
        )
        for secure in (False, True):
            backend = self.backend(switching(answer), LEAF if secure else None)
            settings = {} if secure else {"protocol": "http"}
            self.before(backend, cookie_based_affinity=True, **settings)
            client = await self.client(secure)
            client.write(
                upgrade(
                    b"keep-alive, Upgrade, X-Mine",
                    b"Upgrade: WebSocket, x/2",
                    b"X-Mine: 1",
                    b"Sec-WebSocket-Key: abc",
                )
            )
            head = await client.upto(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 101 Switching\r\n"), head)
            for line in (b"Connection: Upgrade", b"Upgrade: x/2", b"X-Own: 1"):
                self.assertEqual(1, head.count(line + b"\r\n"), head)
            self.assertEqual(2, head.count(b"Set-Cookie: "))
            for name in (b"Content-Length", b"Transfer-Encoding", b"Keep-Alive"):
                self.assertNotIn(name, head)
            sent = backend.received.partition(b"\r\n\r\n")[0] + b"\r\n"
            for line in (
                *(b"Connection: Upgrade", b"Upgrade: WebSocket, x/2"),
                *(b"Sec-WebSocket-Key: abc", b"X-Original-URL: /"),
            ):
                self.assertEqual(1, sent.count(line + b"\r\n"), sent)
            self.assertEqual(1, sent.lower().count(b"connection:"))
            self.assertNotIn(b"X-Mine", sent)
            self.assertNotIn(b"Content-Length", sent)

    async def test_interim(self) -> None:
        """
        What the backend says before it agrees goes to the client, too.
        """
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        self.before(self.backend(switching(hints + SWITCHED + b"hello")))
        client = await self.client()
        client.write(UPGRADE)
        self.assertEqual(hints, await client.upto(b"\r\n\r\n"))
        self.assertIn(b" 101 ", await client.upto(b"\r\n\r\n"))
        self.assertEqual(b"hello", await client.take(5))

    async def test_every_method(self) -> None:
        """
        Any request without a body may be upgraded, HEAD as well.
        """
        self.before(self.backend(switching()))
        for method in (b"HEAD", b"OPTIONS", b"POST"):
            client = await self.client()
            length = b"Content-Length: 0\r\n\r\n" if method == b"POST" else b"\r\n"
            wire = UPGRADE.replace(b"GET", method)[:-2] + length
            client.write(wire + b"early")
            await client.upto(b"\r\n\r\n")
            self.assertEqual(b"EARLY", await client.take(5))

    async def test_kept(self) -> None:
        """
        A kept connection will do; one that the backend closes as the request goes
        out costs a GET nothing.
        """

        async def script(conversation: Conversation) -> None:
            while b"Upgrade" not in await conversation.head():
                conversation.write(OK)
            if closes and conversation is backend.conversations[0]:
                conversation.close()
            else:
                conversation.write(SWITCHED)
            await conversation.ended()

        for closes in (False, True):
            backend = self.backend(script)
            self.before(backend)
            client = await self.client()
            self.assertEqual(200, (await client.ask(GET)).status)
            client.write(UPGRADE)
            self.assertIn(b" 101 ", await client.upto(b"\r\n\r\n"))
            self.assertEqual(1 + closes, len(backend.conversations))

    async def test_every_offset(self) -> None:
        """
        However the bytes are cut, on either side, the same comes of them.
        """
        cut = 0

        async def script(conversation: Conversation) -> None:
            await conversation.head()
            wire = SWITCHED + b"from the backend"
            for piece in (wire[:cut], wire[cut:]):
                conversation.write(piece)
                await turn()
            while True:
                await conversation.stirred()

        backend = self.backend(script, None)
        self.before(backend, protocol="http")
        sent = UPGRADE + b"from the client"
        for cut in range(max(len(sent), len(SWITCHED) + 16)):
            client = await self.client()
            for piece in (sent[:cut], sent[cut:]):
                client.write(piece)
                await turn()
            self.assertIn(b" 101 ", await client.upto(b"\r\n\r\n"))
            self.assertEqual(b"from the backend", await client.take(16))
            conversation = backend.conversations[cut]
            await conversation.upto(b"from the client")
            self.assertEqual(b"", conversation.unread + client.unread)
            client.reset()
            await conversation.ended()


class NotAgreedTests(JourneyTests):
    """
    Upgrades of which nothing comes.
    """

    async def test_no_answer_to_that(self) -> None:
        """
        A 101 that does not agree to what was asked is 502; nothing of it, nor what
        follows it, is anybody's.
        """
        for evil in (
            b"",
            b"Connection: Upgrade\r\n",
            b"Upgrade: x\r\n",
            b"Connection: close\r\nUpgrade: x\r\n",
            b"Connection: Upgrade\r\nUpgrade: \r\n",
            b"Connection: Upgrade\r\nUpgrade: ,\r\n",
            b"Connection: Upgrade\r\nUpgrade: y\r\n",
            b"Connection: Upgrade\r\nUpgrade: x/2\r\n",
            b"Connection: Upgrade\r\nUpgrade: x, y\r\n",
            b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
            b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n",
            b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n",
        ):
            head = b"HTTP/1.1 101 Switching\r\n%b\r\nevil" % evil
            backend = self.backend(answering(head))
            self.before(backend)
            client = await self.client()
            client.write(upgrade() + HIDDEN)
            for _ in range(2):
                self.assertEqual(502, (await client.answer()).status, evil)
            self.assertNotIn(b"evil", client.received)
            self.assertFalse(await backend.conversations[0].ended())
            await self.recorded(2)

    async def test_old(self) -> None:
        """
        Nor does HTTP/1.0 know of it.
        """
        old = SWITCHED.replace(b"HTTP/1.1", b"HTTP/1.0")
        self.before(self.backend(answering(old)))
        self.assertEqual(502, (await self.ask(UPGRADE)).status)

    async def test_goes_without(self) -> None:
        """
        What is not for a backend to agree to goes on without its Upgrade.
        """
        backend = self.backend(answering(OK))
        self.before(backend)
        body = put(b"four")[:-6] + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\nfour"
        chunked = upgrade().replace(b"GET", b"POST")[:-2]
        chunked += b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        for wire in (
            *(
                upgrade(
                    b"Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"
                ),
            ),
            *(upgrade(b"Upgrade", b"Upgrade: x", b"HTTP2-Settings: x"),),
            *(
                upgrade(b"Upgrade", b"Upgrade: " + name)
                for name in (
                    *(b"h2c", b"H2C", b"x, h2c", b"h2c/1", b"h2", b"HTTP/2.0"),
                    *(b"http", b"TLS/1.0", b"", b"x;y", b"x y", b"/2", b"x/", b"x/2/3"),
                )
            ),
            *(body, chunked, upgrade().replace(b"HTTP/1.1", b"HTTP/1.0")),
            upgrade(b"Upgrade, close"),
            upgrade(b"keep-alive"),
            get(b"/", b"Connection: Upgrade"),
        ):
            answer = await self.ask(wire)
            self.assertEqual((200, b"ok"), (answer.status, answer.body), wire)
            for name in (b"upgrade", b"connection", b"http2-settings"):
                self.assertEqual([], backend.seen[-1].get(name), wire)

    async def test_body_is_no_request(self) -> None:
        """
        The body of a request with Upgrade is its body, whatever it looks like.
        """
        backend = self.backend(answering(OK))
        self.before(backend)
        wire = put(HIDDEN).replace(
            b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 1
        )
        client = await self.client()
        client.write(wire + GET)
        for method in (b"PUT", b"GET"):
            self.assertEqual(200, (await client.answer(method)).status)
        self.assertEqual(
            [HIDDEN, b""], [one.body for one in backend.seen], backend.received
        )

    async def test_required(self) -> None:
        """
        A backend that requires an upgrade says to what (RFC 9110, 15.5.22).
        """
        required = (
            b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
            b"Connection: upgrade\r\nContent-Length: 0\r\n\r\n"
        )
        self.before(self.backend(answering(required)))
        client = await self.client()
        for wire in (GET, UPGRADE):
            answer = await client.ask(wire)
            self.assertEqual(426, answer.status)
            self.assertEqual([b"websocket"], answer.get(b"upgrade"))
            self.assertEqual([b"Upgrade"], answer.get(b"connection"))

    async def test_pinned(self) -> None:
        """
        A backend whose certificate is not on the list is asked for nothing.
        """
        backend = self.backend(switching(), STRANGER)
        self.before(backend)
        self.assertEqual(502, (await self.ask(UPGRADE)).status)
        self.assertEqual(b"", backend.received)

    async def test_silence(self) -> None:
        """
        Until it has agreed, a backend has the time of every other answer.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        backend = self.backend(mute)
        gateway = self.before(backend, tunnel_idle_timeout=1.0)
        client = await self.client()
        client.write(UPGRADE)
        while not backend.received:
            await turn()
        gateway.later(19)
        await turn()
        self.assertEqual([], gateway.outcomes)
        gateway.later(21)
        self.assertEqual(504, (await client.answer()).status)

    async def test_elsewhere(self) -> None:
        """
        What is answered here is answered as ever.
        """
        self.before(self.backend(switching()))
        client = await self.client(address=PLAIN)
        for path, status in ((b"/%2f", 400), (b"/", 101)):
            client.write(UPGRADE.replace(b"/ ", path + b" ", 1))
            self.assertIn(b" %d " % status, await client.upto(b"\r\n\r\n"))
            if status == 400:
                await client.upto(b"</html>\n")
