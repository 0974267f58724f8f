from __future__ import annotations

import re

import attrs
from OpenSSL import SSL

from appgw.config import model
from appgw.testing import server_context
from tests.journey.kit import GET, LEAF, OK, JourneyTests, answering, get
from tests.journey.rewriting import RewritingTests, saying
from tests.route.rewriting import field, rule, rule_set, when, with_sets


class RequestTests(RewritingTests):
    """
    What a backend is asked.
    """

    async def test_request(self) -> None:
        """
        The backend is asked with the fields, the path and the query of the rules,
        and the log says so.
        """
        backend = self.backend(answering(OK))
        self.rewriting(
            backend,
            rule(
                when("var_uri_path", "^/(.+)/(.+)$"),
                request=[
                    field("X-Forwarded-For", "for {var_add_x_forwarded_for_proxy}"),
                    field("X-Original-URL"),
                    field("Host", "in.example:81"),
                    field("X-Was", "{http_req_Accept} {var_request_scheme}"),
                ],
                modified_path="buy.aspx",
                modified_query_string="category={var_uri_path_1}&p={var_uri_path_2}",
            ),
            path="/v2/",
        )
        await self.ask(get(b"/fashion/./shirts?x", b"Accept: a", b"Accept: b"), True)
        [asked] = backend.seen
        self.assertEqual(b"/v2/buy.aspx?category=fashion&p=shirts", asked.target)
        for name, values in (
            (b"host", [b"in.example:81"]),
            (b"x-forwarded-for", [b"for 127.0.0.1"]),
            (b"x-original-url", []),
            (b"x-original-host", [b"shop.example"]),
            (b"x-was", [b"a, b https"]),
            (b"accept", [b"a", b"b"]),
        ):
            self.assertEqual(values, asked.get(name))
        await self.recorded(1)
        [line] = self.lines()
        self.assertEqual("/fashion/./shirts?x", line["originalRequestUriWithArgs"])
        self.assertEqual("/v2/buy.aspx", line["requestUri"])
        self.assertEqual("category=fashion&p=shirts", line["requestQuery"])
        self.assertEqual("in.example:81", line["host"])
        self.assertEqual("shop.example", line["originalHost"])

    async def test_host(self) -> None:
        """
        Another Host is another Host, and nothing else: the name that the backend's
        certificate is asked for stays.
        """
        names: list[bytes | None] = []

        def noted(connection: SSL.Connection) -> None:
            names.append(connection.get_servername())

        context = server_context(LEAF)
        context.set_tlsext_servername_callback(noted)
        backend = self.backend(answering(OK), context=context)
        change = rule(request=[field("Host", "other.example")])
        self.rewriting(backend, change, host_name="orders.internal")
        await self.ask()
        self.assertEqual([b"orders.internal"], names)
        [asked] = backend.seen
        self.assertEqual([b"other.example"], asked.get(b"host"))
        self.assertEqual([b"shop.example"], asked.get(b"x-original-host"))

    async def test_query_removed(self) -> None:
        """
        A query that a rule removes is not sent, nor logged as sent.
        """
        backend = self.backend(answering(OK))
        self.rewriting(backend, rule(modified_query_string=""))
        await self.ask(get(b"/a?x=1"))
        self.assertEqual(b"/a", backend.seen[0].target)
        await self.recorded(1)
        [line] = self.lines()
        self.assertEqual(("/a", ""), (line["requestUri"], line["requestQuery"]))

    async def test_framing_stays(self) -> None:
        """
        A body arrives as it was sent, whatever fields are rewritten around it.
        """
        backend = self.backend(answering(OK))
        change = rule(request=[field("X-A", "a"), field("Content-Type", "text/x")])
        self.rewriting(backend, change)
        chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n"
        wire = b"POST / HTTP/1.1\r\nHost: shop.example\r\n"
        client = await self.client()
        await client.ask(wire + b"Content-Length: 5\r\n\r\nabcde")
        await client.ask(wire + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        for asked in backend.seen:
            self.assertEqual(b"abcde", asked.body)
            self.assertEqual([b"a"], asked.get(b"x-a"))
            self.assertEqual([b"text/x"], asked.get(b"content-type"))


class AnswerTests(RewritingTests):
    """
    What a client is answered.
    """

    async def test_security_headers(self) -> None:
        """
        HSTS is added to each answer, also to a backend's error; what tells of the
        inside is taken out.
        """
        for status in (b"200 OK", b"404 Not Found", b"503 Service Unavailable"):
            answer = saying(b"Server: IIS", b"X-Powered-By: ASP.NET", status=status)
            self.rewriting(
                self.backend(answering(answer)),
                rule(
                    answer=[
                        field("Strict-Transport-Security", "max-age=31536000"),
                        field("X-Frame-Options", "DENY"),
                        field("Server"),
                        field("X-Powered-By"),
                    ]
                ),
            )
            found = await self.ask(secure=True)
            self.assertEqual(int(status[:3]), found.status)
            names = [name for name, _ in found.headers]
            self.assertEqual(
                [
                    *(b"date", b"strict-transport-security"),
                    *(b"x-frame-options", b"content-length"),
                ],
                names,
            )
            self.assertEqual(b"ok", found.body)

    async def test_location(self) -> None:
        """
        A redirect that a backend makes to itself leads to the site instead.
        """
        answer = saying(b"Location: http://web.internal:81/x?y=z", status=b"302 Found")
        self.rewriting(
            self.backend(answering(answer)),
            rule(
                when("http_resp_Location", r"^https?://[^/]*\.internal(?::\d+)?(/.*)$"),
                answer=[
                    field(
                        "Location",
                        "{var_request_scheme}://{var_host}{http_resp_Location_1}",
                    )
                ],
            ),
        )
        for secure, scheme in ((False, b"http"), (True, b"https")):
            found = await self.ask(secure=secure)
            expected = scheme + b"://shop.example/x?y=z"
            self.assertEqual([expected], found.get(b"location"))

    async def test_cookies(self) -> None:
        """
        Of three cookies and ours only the one that is meant is changed.
        """
        answer = saying(
            b"Set-Cookie: a=1; Path=/",
            b"Set-Cookie: session=2; Path=/old",
            b"Set-Cookie: c=3",
        )
        self.rewriting(
            self.backend(answering(answer)),
            rule(
                answer=[
                    field(
                        "Set-Cookie",
                        "session={capt_header_value_matcher_1}; Path=/; Secure",
                        "^session=([^;]*)",
                    )
                ]
            ),
            cookie_based_affinity=True,
        )
        client = await self.client(True)
        first = (await client.ask(GET)).get(b"set-cookie")
        self.assertEqual(
            [b"a=1; Path=/", b"session=2; Path=/; Secure", b"c=3"], first[:3]
        )
        [ours] = first[3:]
        found = re.match(rb"(ApplicationGatewayAffinity=[\w-]+); Path=/; ", ours)
        assert found is not None
        again = await client.ask(get(b"/", b"Cookie: " + found[1]))
        self.assertEqual(first[:3], again.get(b"set-cookie"))

    async def test_affinity_survives(self) -> None:
        """
        A rule that takes all cookies away leaves ours, and the client its backend.
        """
        backends = [self.backend(answering(saying(b"Set-Cookie: a=1"))) for _ in "ab"]
        config = self.config(*backends, cookie_based_affinity=True)
        taking = rule_set(rule(answer=[field("Set-Cookie")]))
        self.serve(with_sets(config, taking, plain="set"))
        client = await self.client()
        [ours] = (await client.ask(GET)).get(b"set-cookie")
        cookie = b"Cookie: " + ours.partition(b";")[0]
        for _ in range(4):
            again = await client.ask(get(b"/", cookie))
            self.assertEqual([], again.get(b"set-cookie"))
        self.assertEqual([0, 5], sorted(len(backend.seen) for backend in backends))

    async def test_interim(self) -> None:
        """
        What is taken out of answers is taken out of interim ones as well.
        """
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Secret: 1\r\n\r\n"
        self.rewriting(
            self.backend(answering(hints + saying(b"X-Secret: 2"))),
            rule(answer=[field("X-Secret"), field("X-New", "n")]),
        )
        found = await self.ask()
        [early] = found.interim
        self.assertEqual([(b"link", b"</a>")], early.headers)
        self.assertEqual(([], [b"n"]), (found.get(b"x-secret"), found.get(b"x-new")))

    async def test_next_candidate(self) -> None:
        """
        The next backend is asked for the same as the one that was not there.
        """
        backend = self.backend(answering(OK))
        changing = rule_set(
            rule(
                request=[field("X-A", "{http_req_X-A}b"), field("Host", "in.example")],
                modified_path="/b",
            )
        )
        config = self.config(self.dead(), self.dead(), backend)
        self.serve(with_sets(config, changing, plain="set"))
        for _ in range(3):
            await self.ask(get(b"/a", b"X-A: a"))
        for asked in backend.seen:
            self.assertEqual(b"/b", asked.target)
            self.assertEqual([b"ab"], asked.get(b"x-a"))
            self.assertEqual([b"in.example"], asked.get(b"host"))

    async def test_own_answers(self) -> None:
        """
        Our own answers are not rewritten.
        """
        adding = rule_set(rule(answer=[field("X-New", "n")]))
        self.serve(with_sets(self.config(self.dead()), adding, plain="set"))
        found = await self.ask()
        self.assertEqual((502, []), (found.status, found.get(b"x-new")))
        traced = await self.ask(GET.replace(b"GET", b"TRACE"))
        self.assertEqual((405, []), (traced.status, traced.get(b"x-new")))


class RerouteTests(JourneyTests):
    async def test_reroute(self) -> None:
        """
        A request goes to the pool that its new path leads to.
        """
        web, shoes = self.backend(answering(OK)), self.backend(answering(OK))
        config = self.config(web)
        member = model.Member(address="127.0.0.1", port=shoes.port)
        there = model.Destination(pool="shoes", backend_settings="web")
        path_map = model.UrlPathMap(
            name="map",
            default=model.Destination(pool="web", backend_settings="web"),
            path_rules=(
                model.PathRule(name="shoes", paths=("/listing1",), destination=there),
            ),
        )
        plain = attrs.evolve(
            config.rules["plain"], destination=None, url_path_map="map"
        )
        config = attrs.evolve(
            config,
            pools=config.pools | {"shoes": model.Pool(name="shoes", members=(member,))},
            url_path_maps={"map": path_map},
            rules=config.rules | {"plain": plain},
        )
        moving = rule_set(
            rule(
                when("var_query_string", "(?:^|&)category=shoes(?:&|$)"),
                modified_path="/listing1",
                reroute=True,
            )
        )
        self.serve(with_sets(config, moving, default="set"))
        for target in (b"/listing?category=any", b"/listing?category=shoes"):
            self.assertEqual(200, (await self.ask(get(target))).status)
        self.assertEqual([b"/listing?category=any"], [m.target for m in web.seen])
        self.assertEqual([b"/listing1?category=shoes"], [m.target for m in shoes.seen])
        outcomes = await self.recorded(2)
        pools = [outcome.route.pool for outcome in outcomes if outcome.route]
        self.assertEqual(["web", "shoes"], pools)
