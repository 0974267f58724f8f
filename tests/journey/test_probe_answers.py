from __future__ import annotations

from typing import Any

from appgw.backend.probe import MAX_BODY
from tests.journey.kit import OK, turn
from tests.journey.probing import Answers, ProbedTestCase, matching
from tests.journey.wire import Conversation

SLOW = (
    "Time taken by the backend to respond to application gateway's health probe is"
    " more than the timeout threshold in the probe setting."
)


def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    """
    Return an answer of known length.
    """
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


ONCE = matching()


class MatchTests(ProbedTestCase):
    """
    Which answers are good.
    """

    async def health(self, wire: bytes, probe: dict[str, Any]) -> str:
        """
        Return what becomes of a member that answers *wire*.
        """
        await self.probed(self.backend(Answers(wire)), probe=probe)
        (state,) = self.states()
        await self.gateway.stopService()
        return state

    async def test_status(self) -> None:
        """
        By default 200 to 399 are good, else what the probe says.
        """
        for status, states in {
            200: ("Up", "Down"),
            204: ("Up", "Down"),
            302: ("Up", "Down"),
            399: ("Up", "Down"),
            400: ("Down", "Down"),
            401: ("Down", "Up"),
            404: ("Down", "Down"),
            500: ("Down", "Up"),
            503: ("Down", "Up"),
            599: ("Down", "Up"),
        }.items():
            wire = b"HTTP/1.1 %d Some\r\nContent-Length: 0\r\n\r\n" % status
            odd = matching(None, (401, 401), (500, 599))
            found = (await self.health(wire, ONCE), await self.health(wire, odd))
            self.assertEqual(states, found, status)

    async def test_body(self) -> None:
        """
        The text must occur in the body, anywhere in it, as it is written.
        """
        probe = matching("all is well")
        for body, state in {
            b"all is well": "Up",
            b"<p>all is well</p>": "Up",
            b"All is well": "Down",
            b"ll is well": "Down",
            b"": "Down",
        }.items():
            self.assertEqual(state, await self.health(answer(body), probe), body)

    async def test_both(self) -> None:
        """
        Status and body must both be good.
        """
        probe = matching("ok", (200, 200))
        self.assertEqual("Up", await self.health(OK, probe))
        wire = answer(b"ok", b"201 Created")
        self.assertEqual("Down", await self.health(wire, probe))

    async def test_not_in_the_head(self) -> None:
        """
        A field that has the text is no body.
        """
        wire = OK.replace(b"\r\n\r\n", b"\r\nX-State: all is well\r\n\r\n")
        self.assertEqual("Down", await self.health(wire, matching("all is well")))

    async def test_utf8(self) -> None:
        """
        A text beyond ASCII is looked for in UTF-8.
        """
        probe = matching("gr\xfcn")
        self.assertEqual("Up", await self.health(answer("grün".encode()), probe))
        self.assertEqual("Down", await self.health(answer(b"gr\xfcn"), probe))

    async def test_framings(self) -> None:
        """
        Chunks and the connection's end frame a body as well as a length.
        """
        head = b"HTTP/1.1 200 OK\r\n"
        chunks = (
            b"Transfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n"
        )
        probe = matching("all is well")
        self.assertEqual("Up", await self.health(head + chunks, probe))

        async def until_close(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(head + b"\r\nall is well")
            conversation.close()

        await self.probed(self.backend(until_close), probe=probe)
        self.assertEqual(["Up"], self.states())

    async def test_interim(self) -> None:
        """
        Interim responses are no answers.
        """
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        self.assertEqual("Up", await self.health(3 * hints + OK, ONCE))

    async def test_split(self) -> None:
        """
        It does not matter into how many pieces an answer falls.
        """

        async def dripping(conversation: Conversation) -> None:
            await conversation.request()
            for at in range(len(wire)):
                conversation.write(wire[at : at + 1])
                await turn()

        wire = answer(b"so all is well here")
        await self.probed(self.backend(dripping), probe=matching("all is well"))
        self.assertEqual(["Up"], self.states())


class BoundTests(ProbedTestCase):
    """
    What a backend may cost us that says too much, or nothing.
    """

    def deliver(self, head: bytes, sent: list[int], size: int) -> Any:
        """
        Return a script that sends a body for as long as it is taken.
        """

        async def script(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(head)
            while sent[0] < size and conversation.lost is None:
                conversation.write(b"x" * 16384)
                sent[0] += 16384
                await turn()

        return script

    async def test_endless_body(self) -> None:
        """
        An answer whose head is good is good, and of an endless body no more is
        read than the limit.
        """
        sent, size = [0], 1 << 26
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        backend = self.backend(self.deliver(head, sent, size))
        self.serve(self.probing(backend))
        await self.until(lambda: self.states() == ["Up"])
        await backend.conversations[0].ended()
        await self.settled()
        self.assertLess(sent[0], size)

    async def test_beyond_the_limit(self) -> None:
        """
        What stands behind the first 64 KiB is not found, and that is told.
        """
        at_the_end = b"x" * (MAX_BODY - 2) + b"ok"
        probe = matching("ok")
        for body, state in ((at_the_end, "Up"), (b"x" + at_the_end, "Down")):
            await self.probed(self.backend(Answers(answer(body))), probe=probe)
            self.assertEqual([state], self.states())
        self.assertIn("(Only its first 65536 bytes are looked at.)", self.told())

    async def test_short_body(self) -> None:
        """
        Of a shorter body without the text all has been looked at.
        """
        await self.probed(self.backend(Answers(OK)), probe=matching("well"))
        self.assertEqual(
            "Body of the backend's HTTP response did not match the probe setting."
            " Received response body doesn't contain well.",
            self.told(),
        )

    async def test_silent(self) -> None:
        """
        Who does not answer in time is cut off, and the reason is Azure's.
        """
        waiting: list[Conversation] = []

        async def silent(conversation: Conversation) -> None:
            await conversation.request()
            waiting.append(conversation)

        probe = ONCE | {"timeout": 5.0}
        self.serve(self.probing(self.backend(silent), probe=probe))
        await self.until(lambda: waiting)
        self.gateway.pass_time(4.9)
        self.assertEqual((["Unknown"], 1), (self.states(), self.under_way()))
        self.gateway.pass_time(0.2)
        self.assertEqual(["Down"], self.states())
        self.assertEqual(SLOW, self.told())
        await waiting[0].ended()

    async def test_slow_body(self) -> None:
        """
        The time is for all of it: a text that comes too late has not come. One
        that nobody looks for may take longer than the probe has.
        """

        async def slow(conversation: Conversation) -> None:
            await conversation.request()
            conversation.write(OK[:-1])
            await conversation.ended()

        for probe, state in ((matching("ok"), "Down"), (ONCE, "Up")):
            backend = self.backend(slow)
            self.serve(self.probing(backend, probe=probe | {"timeout": 5.0}))
            (check,) = self.gateway.watch.checks._checks.values()
            await self.until(lambda check=check: check.attempt._size)
            self.gateway.pass_time(5.1)
            await backend.conversations[0].ended()
            self.assertEqual(([state], 0), (self.states(), self.under_way()))

    async def test_slow_handshake(self) -> None:
        """
        A handshake that does not end takes no more time than the probe has.
        """

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        backend = self.backend(mute, None)
        self.serve(self.probing(backend, probe=ONCE | {"timeout": 5.0}))
        await self.until(lambda: backend.conversations)
        self.gateway.pass_time(5.1)
        self.assertEqual(SLOW, self.told())
        await backend.conversations[0].ended()

    async def test_late_answer(self) -> None:
        """
        While a probe is under way no other one begins, and its end is one
        failure, not two.
        """
        waiting: list[Conversation] = []

        async def silent(conversation: Conversation) -> None:
            await conversation.request()
            waiting.append(conversation)

        probe = {"timeout": 100.0, "interval": 10.0, "unhealthy_threshold": 2}
        self.serve(self.probing(self.backend(silent), probe=probe))
        await self.until(lambda: waiting)
        for _ in range(5):
            self.gateway.pass_time(10.0)
        self.assertEqual((1, 1), (len(waiting), self.under_way()))
        self.gateway.pass_time(51.0)
        await self.until(lambda: len(waiting) == 2)
        self.assertEqual(["Unknown"], self.states())
