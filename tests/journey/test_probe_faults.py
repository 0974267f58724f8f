from __future__ import annotations

import os
import resource
import socket
from typing import Any

from appgw.config import model
from appgw.wire import BadField
from tests.journey.kit import LEAF, OK, answering
from tests.journey.probing import INTERVAL, Answers, ProbedTestCase, matching, probes
from tests.journey.wire import Conversation

CONNECT = "Application Gateway could not connect to the backend. Check that the"
UNREAD = "The backend's answer to the health probe could not be read"


ONCE = matching()


class FaultTests(ProbedTestCase):
    """
    Backends that do everything else.
    """

    async def told_of(self, script: Any, issued: Any = LEAF) -> str:
        """
        Return what is told of a backend that follows *script*.
        """
        await self.probed(self.backend(script, issued), probe=ONCE)
        self.assertEqual(["Down"], self.states())
        told = self.told()
        await self.gateway.stopService()
        return told

    async def test_refused(self) -> None:
        """
        A port where nobody listens is unhealthy, in Azure's words.
        """
        await self.probed(self.dead(), probe=ONCE)
        self.assertEqual(["Down"], self.states())
        self.assertTrue(self.told().startswith(CONNECT), self.told())
        self.assertIn("Connection refused", self.told())

    async def test_black_hole(self) -> None:
        """
        So is one that does not even answer SYN.
        """
        self.hurry(connect_timeout=0.01)
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            one = socket.socket()
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        member = model.Member(address="127.0.0.1", port=full.getsockname()[1])
        await self.probed(member, probe=ONCE)
        self.assertTrue(self.told().startswith(CONNECT), self.told())

    async def test_no_tls(self) -> None:
        """
        A backend in clear text under a setting with TLS is told nothing, and
        there is no second attempt in clear text.
        """

        async def plain(conversation: Conversation) -> None:
            conversation.write(OK)

        told = await self.told_of(plain, None)
        self.assertTrue(told.startswith(CONNECT), told)

    async def test_hangs_up(self) -> None:
        """
        Who closes, before or after it was asked, does not respond.
        """

        async def slam(conversation: Conversation) -> None:
            conversation.reset()

        async def leave(conversation: Conversation) -> None:
            await conversation.request()
            conversation.close()

        for script in (slam, leave):
            told = await self.told_of(script)
            self.assertTrue(told.startswith(CONNECT), told)

    async def test_garbage(self) -> None:
        """
        What is no HTTP, or has two readings, is no answer.
        """
        for wire in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
            b"HTTP/1.1 103 Hints\r\n\r\n" * 101,
        ):
            told = await self.told_of(answering(wire))
            self.assertTrue(told.startswith(UNREAD), (wire[:60], told))

    async def test_half_an_answer(self) -> None:
        """
        A head that breaks off is no answer, nor is a body in which the text had
        not come yet.
        """
        for cut, probe in ((20, ONCE), (len(OK) - 1, matching("ok"))):

            async def half(conversation: Conversation, cut: int = cut) -> None:
                await conversation.request()
                conversation.write(OK[:cut])
                conversation.close()

            await self.probed(self.backend(half), probe=probe)
            self.assertEqual(["Down"], self.states())
            self.assertTrue(self.told().startswith(UNREAD), self.told())

    async def test_own_fault(self) -> None:
        """
        Running out of descriptors is no member's fault: nothing is held against
        it, and the next probe is sent as usual.
        """
        backend = self.backend(Answers())
        await self.probed(backend, probe=ONCE)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        await self.again()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertEqual((["Up"], 1), (self.states(), probes(backend)))
        await self.again()
        self.assertEqual((["Up"], 2), (self.states(), probes(backend)))

    async def test_impossible(self) -> None:
        """
        A probe that cannot be written, of a configuration that nobody has
        checked, sends nothing, is held against nobody, and is logged; the
        gateway is ready all the same.
        """
        backend = self.backend(Answers())
        await self.probed(backend, probe=ONCE | {"path": "/a\r\nX: y"})
        self.gateway.pass_time(0)
        self.assertEqual((["Unknown"], 0), (self.states(), len(backend.seen)))
        self.assertTrue(self.gateway.watch.ready())
        self.assertEqual(1, len(self.flushLoggedErrors(BadField)))


class StopTests(ProbedTestCase):
    async def test_nothing_is_left(self) -> None:
        """
        A gateway that stops while it probes leaves nothing, however far the
        probe has come.
        """

        async def silent(conversation: Conversation) -> None:
            await conversation.request()
            await conversation.ended()

        async def mute(conversation: Conversation) -> None:
            await conversation.ended()

        for script, issued in ((silent, LEAF), (mute, None)):
            backend = self.backend(script, issued)
            self.serve(self.probing(backend))
            self.assertEqual(1, self.under_way())
            await self.gateway.stopService()
            self.assertEqual(0, self.under_way())
            self.serve(self.probing(backend))
            await self.until(
                lambda backend=backend, issued=issued: (
                    backend.seen if issued else backend.conversations
                )
            )
            await self.gateway.stopService()
            for conversation in backend.conversations:
                await conversation.ended()

    async def test_started_again(self) -> None:
        """
        A second start begins anew: what was known before it is too old.
        """
        sick = Answers(OK.replace(b"200", b"500"))
        backend = self.backend(sick)
        await self.probed(backend, probe=ONCE)
        self.assertEqual(["Down"], self.states())
        await self.gateway.stopService()
        self.gateway.pass_time(INTERVAL)
        self.assertEqual(0, self.under_way())
        sick.answer = OK
        self.gateway.startService()
        self.assertEqual((["Unknown"], [200]), (self.states(), await self.statuses(1)))
        await self.settled()
        self.assertEqual(["Up"], self.states())
