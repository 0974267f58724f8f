"""
Stock resources beside the routes of a real gateway.
"""

from __future__ import annotations

import hashlib

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.web.http import Request as StockRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Session
from twisted.web.static import Data, File

from appgw.mounted import MAX_BODY
from appgw.refusal import Refusal
from tests.journey.kit import get, turn
from tests.stock import MountedTestCase, Spy

POST = b"POST /at HTTP/1.1\r\nHost: shop.example\r\n"


class KindsTests(MountedTestCase):
    """
    The resources that people have.
    """

    async def test_data(self) -> None:
        """
        A page stands at its path, and everything else goes to the backend.
        """
        self.mount(("/robots.txt", Data(b"Disallow: /", "text/plain")))
        answer = await self.ask(get(b"/robots.txt"))
        self.assertEqual((200, b"Disallow: /"), (answer.status, answer.body))
        self.assertEqual([b"text/plain"], answer.get(b"content-type"))
        self.assertEqual([b"11"], answer.get(b"content-length"))
        self.assertEqual(1, len(answer.get(b"date")))
        self.assertEqual([], answer.get(b"server"))
        for path in (b"/", b"/robots.txt/x", b"/robots"):
            self.assertEqual(b"ok", (await self.ask(get(path))).body)
        self.assertEqual(b"ok", (await self.ask(get(b"/robots.txt"), True)).body)

    async def test_paths(self) -> None:
        """
        A path is matched as routes match it: in one reading, without its case.
        """
        self.mount(("/at/*", Spy(b"here")))
        for path in (b"/AT/", b"/a%74/", b"//at/", b"/x/../at/", b"/./at/"):
            self.assertEqual(b"here", (await self.ask(get(path))).body, path)
        for path in (b"/at", b"/at%2f", b"/..;/at/", b"/../at/"):
            self.assertNotEqual(b"here", (await self.ask(get(path))).body, path)

    async def test_files(self) -> None:
        """
        A folder serves its files, ranges and conditions included.
        """
        content = bytes(range(256)) * 2000
        folder = self.folder("sub/a b.bin", content)
        self.mount(("/files/*", File(str(folder))))
        client = await self.client()
        answer = await client.ask(get(b"/files/sub/a%20b.bin"))
        self.assertEqual(
            hashlib.sha256(content).digest(), hashlib.sha256(answer.body).digest()
        )
        part = await client.ask(get(b"/files/sub/a%20b.bin", b"Range: bytes=1-3"))
        self.assertEqual((206, content[1:4]), (part.status, part.body))
        (modified,) = answer.get(b"last-modified")
        same = await client.ask(
            get(b"/files/sub/a%20b.bin", b"If-Modified-Since: " + modified)
        )
        self.assertEqual((304, b""), (same.status, same.body))
        head = await client.ask(get(b"/files/sub/a%20b.bin").replace(b"GET", b"HEAD"))
        self.assertEqual([b"512000"], head.get(b"content-length"))
        missing = await client.ask(get(b"/files/none"))
        self.assertEqual(404, missing.status)
        listed = await client.ask(get(b"/files/"))
        self.assertIn(b"sub/", listed.body)
        moved = await client.ask(get(b"/files/sub"))
        self.assertTrue(moved.get(b"location")[0].endswith(b"/files/sub/"))

    async def test_tree(self) -> None:
        """
        A resource has its children behind its place.
        """

        class Tree(Resource):
            def render_GET(self, request: Request) -> bytes:
                return b"%r %r" % (request.prepath, request.postpath)

        root = Tree()
        root.putChild(b"", Data(b"index", "text/plain"))
        child = Tree()
        child.isLeaf = True
        root.putChild(b"a", child)
        self.mount(("/tree/*", root), ("/tree", root))
        for path, body in (
            (b"/tree", b"[b'tree'] []"),
            (b"/tree/", b"index"),
            (b"/tree/a", b"[b'tree', b'a'] []"),
            (b"/tree/a/%41/", b"[b'tree', b'a'] [b'A', b'']"),
        ):
            self.assertEqual(body, (await self.ask(get(path))).body)
        self.assertEqual(404, (await self.ask(get(b"/tree/b"))).status)
        wrong = await self.ask(get(b"/tree").replace(b"GET", b"POST"))
        self.assertEqual(405, wrong.status)

    async def test_root(self) -> None:
        """
        A resource can stand at the root, before everything.
        """
        root = Resource()
        root.putChild(b"", Data(b"index", "text/plain"))
        root.putChild(b"a", Data(b"child", "text/plain"))
        self.mount(("/*", root))
        self.assertEqual(b"index", (await self.ask(get(b"/"))).body)
        self.assertEqual(b"child", (await self.ask(get(b"/a"))).body)
        options = get(b"*").replace(b"GET", b"OPTIONS")
        self.assertEqual(b"ok", (await self.ask(options)).body)

    async def test_metrics(self) -> None:
        """
        An exposition of the gateway's own metrics can be mounted at it.
        """

        class Metrics(Resource):
            isLeaf = True

            def render_GET(inner, request: Request) -> bytes:  # noqa: N805
                request.setHeader("Content-Type", CONTENT_TYPE_LATEST)
                return generate_latest(self.gateway.registry)

        self.mount(("/metrics", Metrics()))
        await self.ask()
        answer = await self.ask(get(b"/metrics"))
        self.assertIn(b"# TYPE appgw_requests_total counter", answer.body)

    async def test_later(self) -> None:
        """
        A resource may answer later, piece by piece.
        """
        spy = self.spy(NOT_DONE_YET)
        client = await self.client()
        client.write(get(b"/at") + get(b"/at"))
        request = await spy.visited()
        finished = request.notifyFinish()
        request.setResponseCode(202, b"Ac\r\ncepted")
        request.addCookie("a", "b")
        request.write(b"one ")
        request.write(b"two")
        request.finish()
        self.successResultOf(finished)
        answer = await client.answer()
        self.assertEqual((202, b"one two"), (answer.status, answer.body))
        self.assertEqual([b"chunked"], answer.get(b"transfer-encoding"))
        self.assertEqual([b"a=b"], answer.get(b"set-cookie"))
        self.assertEqual(b"Ac cepted", answer.reason)
        self.assertEqual(2, len(spy.asked))

    async def test_redirect(self) -> None:
        """
        A resource may send its client elsewhere.
        """

        def elsewhere(request: StockRequest) -> bytes:
            request.redirect(b"https://other.example/")
            return b""

        self.spy(elsewhere)
        answer = await self.ask(get(b"/at"))
        self.assertEqual(302, answer.status)
        self.assertEqual([b"https://other.example/"], answer.get(b"location"))


class RequestTests(MountedTestCase):
    """
    What a resource is told.
    """

    async def test_values(self) -> None:
        """
        Method, path, query, fields, cookies and addresses are there.
        """
        spy = self.spy()
        asked = get(
            b"/at?a=1&a=2&b=", b"X-Own: y", b"Cookie: c=d", b"Connection: x-own"
        )
        await self.ask(asked.replace(b"GET", b"PATCH"))
        request = spy.asked[0]
        self.assertEqual(
            (b"PATCH", b"/at?a=1&a=2&b=", b"/at", b"HTTP/1.1"),
            (request.method, request.uri, request.path, request.clientproto),
        )
        self.assertEqual({b"a": [b"1", b"2"], b"b": [b""]}, request.args)
        self.assertEqual(b"d", request.getCookie(b"c"))
        self.assertEqual(b"shop.example", request.getRequestHostname())
        self.assertEqual("127.0.0.1", request.getClientAddress().host)
        self.assertIsNone(request.getHeader("x-own"))

    async def test_upgrade(self) -> None:
        """
        A resource is not asked to upgrade: it has no connection to go on with.
        """
        spy = self.spy()
        wire = get(b"/at", b"Connection: Upgrade", b"Upgrade: websocket")
        self.assertEqual(200, (await self.ask(wire)).status)
        for name in ("upgrade", "connection"):
            self.assertIsNone(spy.asked[0].getHeader(name))

    async def test_secure(self) -> None:
        """
        A client over TLS is told from another.
        """
        spy = Spy(lambda request: b"%r" % request.isSecure())
        self.mount(("/at", spy))
        self.gateway.mount("secure", "/at", spy)
        self.assertEqual(b"True", (await self.ask(get(b"/at"), secure=True)).body)
        self.assertEqual(b"False", (await self.ask(get(b"/at"))).body)

    async def test_claims_of_strangers(self) -> None:
        """
        Forwarding fields are ours, as they are towards a backend.
        """
        spy = self.spy()
        await self.ask(get(b"/at", b"X-Forwarded-For: 10.9.9.9", b"X_Forwarded_For: x"))
        (outcome,) = await self.recorded(1)
        request = spy.asked[0]
        self.assertEqual("127.0.0.1", request.getHeader("x-forwarded-for"))
        self.assertIsNone(request.getHeader("x_forwarded_for"))
        self.assertEqual(outcome.trace_id, request.getHeader("x-appgw-trace-id"))

    async def test_bodies(self) -> None:
        """
        Bodies of every kind are whole before the resource renders, forms read.
        """
        spy = self.spy(lambda request: b"%r" % request.args)
        client = await self.client()
        client.write(POST + b"Content-Length: 4\r\n\r\nbo")
        await turn()
        self.assertEqual([], spy.asked)
        client.write(b"dy")
        await client.answer(b"POST")
        client.write(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        await client.answer(b"POST")
        self.assertEqual([b"body", b"abc"], spy.bodies)
        self.assertEqual("3", spy.asked[1].getHeader("content-length"))
        form = b"Content-Type: application/x-www-form-urlencoded\r\n"
        client.write(POST + form + b"Content-Length: 3\r\n\r\na=b")
        self.assertEqual(b"{b'a': [b'b']}", (await client.answer(b"POST")).body)

    async def test_bad_form(self) -> None:
        """
        A form that cannot be read is refused.
        """
        self.spy()
        client = await self.client()
        form = b"Content-Type: multipart/form-data; boundary=x\r\n"
        client.write(POST + form + b"Content-Length: 3\r\n\r\na=b")
        self.assertEqual(400, (await client.answer(b"POST")).status)
        (outcome,) = await self.recorded(1)
        self.assertIs(Refusal.MALFORMED, outcome.refusal)

    async def test_continue(self) -> None:
        """
        A client that waits to be told to go on is told so.
        """
        spy = self.spy()
        client = await self.client()
        client.write(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        await client.upto(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.write(b"body")
        self.assertEqual(b"spied", (await client.answer(b"POST")).body)
        self.assertEqual([b"body"], spy.bodies)

    async def test_too_large(self) -> None:
        """
        A body that is too large to be kept is refused, announced or not.
        """
        spy = self.spy()
        full = b"Content-Length: %d\r\n\r\n%b" % (MAX_BODY, b"a" * MAX_BODY)
        client = await self.client()
        client.write(POST + full)
        self.assertEqual(200, (await client.answer(b"POST")).status)
        chunks = b"10000\r\n%b\r\n" % (b"a" * 65536)
        for data in (
            b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1),
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 16 + b"1\r\nb\r\n",
        ):
            client = await self.client()
            client.write(POST + data)
            self.assertEqual(413, (await client.answer(b"POST")).status)
        self.assertEqual(1, len(spy.asked))
        outcomes = await self.recorded(3)
        self.assertEqual([200, 413, 413], [one.status for one in outcomes])

    async def test_sessions(self) -> None:
        """
        A session is found again, over a reload too.
        """
        found: list[Session] = []

        def in_session(request: Request) -> bytes:
            session = request.getSession()
            found.append(session)
            self.addCleanup(lambda: session.uid in sessions and session.expire())
            sessions.update(session.site.sessions)
            return b""

        sessions: dict[bytes, Session] = {}
        self.spy(in_session)
        answer = await self.ask(get(b"/at"))
        await self.gateway.apply(self.gateway.config)
        cookie = answer.get(b"set-cookie")[0].partition(b";")[0]
        await self.ask(get(b"/at", b"Cookie: " + cookie))
        self.assertIs(found[0], found[1])
        found[0].expire()
        sessions.clear()
