from __future__ import annotations

import re

import attrs

from appgw.config import model
from tests.journey.kit import (
    GET,
    OK,
    Backend,
    JourneyTests,
    answering,
    get,
)
from tests.journey.wire import Message

NAME = b"ApplicationGatewayAffinity"


def named(number: int) -> bytes:
    """
    Return an answer that says who gave it.
    """
    return OK.replace(b"ok", b"b%d" % number)


class AffinityTests(JourneyTests):
    def three(self, **settings: object) -> list[Backend]:
        """
        Start three backends behind a gateway with cookies.
        """
        backends = [self.backend(answering(named(number))) for number in range(3)]
        self.before(*backends, cookie_based_affinity=True, **settings)
        return backends

    def cookie(self, answer: Message) -> bytes:
        """
        Return the one cookie that *answer* sets, as name and value.
        """
        (cookie,) = answer.get(b"set-cookie")
        return cookie.partition(b";")[0]

    async def test_bound(self) -> None:
        """
        The first answer binds the client, and none of those after it.
        """
        self.three()
        first = await self.ask()
        cookie = self.cookie(first)
        for _ in range(4):
            answer = await self.ask(get(b"/", b"Cookie: a=b; %b; c=d" % cookie))
            self.assertEqual(first.body, answer.body)
            self.assertEqual([], answer.get(b"set-cookie"))

    async def test_attributes(self) -> None:
        """
        The cookie is out of reach for scripts and other sites, and Secure where
        the client came over TLS; its value tells nothing.
        """
        (backend, *_) = self.three()
        for secure in (False, True):
            (cookie,) = (await self.ask(GET, secure)).get(b"set-cookie")
            told = b"; Path=/; HttpOnly; SameSite=Lax" + b"; Secure" * secure
            pattern = NAME + rb"=[A-Za-z0-9_-]{22}"
            value, mark, rest = cookie.partition(b";")
            self.assertIsNotNone(re.fullmatch(pattern, value), value)
            self.assertEqual(
                sorted(told.lower().split(b"; ")[1:]),
                sorted((mark + rest).lower().split(b"; ")[1:]),
            )
            self.assertNotIn(b"%d" % backend.port, cookie)

    async def test_azure(self) -> None:
        """
        In Azure's way there are two cookies, and either binds.
        """
        backends = [self.backend(answering(named(number))) for number in range(3)]
        config = self.config(*backends, cookie_based_affinity=True)
        self.serve(config, affinity=model.Affinity(compat="azure"))
        first = await self.ask()
        cookies = [one.partition(b";")[0] for one in first.get(b"set-cookie")]
        self.assertEqual(2, len(cookies))
        for cookie in cookies * 2:
            answer = await self.ask(get(b"/", b"Cookie: " + cookie))
            self.assertEqual(first.body, answer.body)

    async def test_forged(self) -> None:
        """
        A forged cookie counts for nothing: turns go on, and a new one is set.
        """
        self.three()
        forged = (b"x", b"0", b"127.0.0.1:1", b"A" * 22, b"A" * 4096, b'"', b"%00")
        seen = set()
        for value in forged:
            line = b"Cookie: %b=%b" % (NAME, value)
            answer = await self.ask(get(b"/", line))
            self.assertEqual(200, answer.status)
            self.assertTrue(self.cookie(answer).startswith(NAME + b"="))
            seen.add(answer.body)
        self.assertEqual(3, len(seen))

    async def test_of_another_pool(self) -> None:
        """
        The same member is somebody else in another pool: its cookie is none.
        """
        backend = self.backend(answering(OK))
        config = self.config(backend, cookie_based_affinity=True)
        web = config.pools["web"]
        to = model.Destination(pool="other", backend_settings="web")
        rules = dict(config.rules)
        rules["secure"] = attrs.evolve(rules["secure"], destination=to)
        pools = {"web": web, "other": attrs.evolve(web, name="other")}
        self.serve(config, pools=pools, rules=rules)
        cookie = self.cookie(await self.ask())
        line = get(b"/", b"Cookie: " + cookie)
        self.assertEqual([], (await self.ask(line)).get(b"set-cookie"))
        self.assertNotEqual(cookie, self.cookie(await self.ask(line, secure=True)))

    async def test_gone(self) -> None:
        """
        Where the bound member is not there any more, another takes over, and
        the client gets a cookie for it.
        """
        backends = [self.backend(answering(named(number))) for number in range(2)]
        config = self.config(*backends, cookie_based_affinity=True)
        dead = self.dead()
        members = (*config.pools["web"].members, dead)
        pools = {"web": model.Pool(name="web", members=members)}
        self.serve(config, pools=pools)
        (pool,) = self.gateway._built.pools.values()
        bound = pool.members[-1].cookie
        line = get(b"/", b"Cookie: %b=%b" % (NAME, bound))
        for _ in range(2):
            answer = await self.ask(line)
            self.assertEqual(200, answer.status)
            self.assertNotIn(bound, self.cookie(answer))
        stays = get(b"/", b"Cookie: " + self.cookie(answer))
        again = await self.ask(stays)
        self.assertEqual((answer.body, []), (again.body, again.get(b"set-cookie")))

    async def test_not_asked_for(self) -> None:
        """
        Without cookie_based_affinity there is no cookie.
        """
        self.before(self.backend(answering(OK)))
        self.assertEqual([], (await self.ask()).get(b"set-cookie"))

    async def test_forwarded(self) -> None:
        """
        Cookies go to the backend as they came, and its own to the client.
        """
        own = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: own=1\r\n\r\n")
        backend = self.backend(answering(own))
        self.before(backend, cookie_based_affinity=True)
        answer = await self.ask(get(b"/", b"Cookie: a=b", b"Cookie: c=d"))
        self.assertEqual([b"a=b", b"c=d"], backend.seen[0].get(b"cookie"))
        self.assertEqual(2, len(answer.get(b"set-cookie")))
        self.assertEqual(b"own=1", answer.get(b"set-cookie")[0])
