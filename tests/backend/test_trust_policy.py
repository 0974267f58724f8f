from __future__ import annotations

import contextlib

import attrs
from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseNeverReceived,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface.verify import verifyObject

from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions, PinningPolicy, PinRefused
from appgw.testing import make_ca, make_certificate, server_context
from tests.backend.loopback import SECRET, Backend, Pair, key_pin, pin, target

LOST = (RequestTransmissionFailed, ResponseNeverReceived)
"""How Agent tells of a connection lost; which one is a matter of timing."""

ISSUED = make_certificate(["a.example"])


class AgentTests(TestCase):
    """
    A stock Agent, and treq over it.
    """

    def setUp(self) -> None:
        """
        Start a backend, and allow nobody yet.
        """
        self.backend = Backend(self, server_context(ISSUED))
        self.targets: dict[tuple[bytes, int], Target | None] = {}

    def client(self) -> HTTPClient:
        """
        Make a client with a pool of its own.
        """
        policy = PinningPolicy(lambda *where: self.targets[where])
        pool = HTTPConnectionPool(reactor, persistent=False)
        return HTTPClient(Agent(reactor, policy, pool=pool))

    def allow(self, wanted: Target | None, host: bytes = b"127.0.0.1") -> str:
        """
        Set what is demanded of the backend; return its URL.
        """
        self.targets[host, self.backend.port] = wanted
        return f"https://{host.decode()}:{self.backend.port}/"

    async def refused(self, url: str) -> str:
        """
        Check that the backend gets no byte; return the reason.
        """
        with self.assertRaises(LOST) as raised:
            await self.client().post(url, data=b"a secret")
        await self.backend.ended()
        self.assertEqual(self.backend.received, [])
        (failure,) = raised.exception.reasons
        self.assertIs(failure.type, PinRefused)
        return failure.value.verdict.reason

    async def test_pinned_backend(self) -> None:
        """
        A pinned backend answers.
        """
        url = self.allow(target(pin(ISSUED)))
        response = await self.client().get(url)
        self.assertEqual((response.code, await response.text()), (200, "hello"))
        await self.backend.ended()
        self.assertTrue(b"".join(self.backend.received).startswith(b"GET / "))

    async def test_stranger(self) -> None:
        """
        A stranger gets nothing, not even the head of a request.
        """
        url = self.allow(target(pin(make_certificate())))
        self.assertEqual(await self.refused(url), "not-pinned")

    async def test_no_target(self) -> None:
        """
        Where the policy knows no target, nobody is admitted.
        """
        self.assertEqual(await self.refused(self.allow(None)), "not-pinned")

    async def test_unknown_host(self) -> None:
        """
        A look-up that raises is a no.
        """
        url = f"https://127.0.0.1:{self.backend.port}/"
        self.assertEqual(await self.refused(url), "not-pinned")

    async def test_plain_target(self) -> None:
        """
        A target that knows no TLS admits nobody over TLS.
        """
        plain = Target(address="127.0.0.1", port=80, protocol="http")
        self.assertEqual(await self.refused(self.allow(plain)), "no-trust")

    async def test_change_of_pins(self) -> None:
        """
        The next connection is judged by the pins that hold then.
        """
        client = self.client()
        url = self.allow(target(pin(ISSUED)))
        response = await client.get(url)
        await response.text()
        self.allow(target(pin(make_certificate())))
        with self.assertRaises(LOST):
            await client.get(url)
        await self.backend.ended(2)


class PolicyTests(TestCase):
    def test_interface(self) -> None:
        """
        The policy is what Twisted's Agent asks for.
        """
        verifyObject(IPolicyForHTTPS, PinningPolicy(lambda *_: None))

    def test_one_context_for_each_target(self) -> None:
        """
        Equal targets share their context, unequal ones never do.
        """
        other = make_certificate()
        root = make_ca()
        targets = [
            target(pin(ISSUED)),
            target(pin(ISSUED), pin(other)),
            target(key_pin(ISSUED)),
            target(pin(ISSUED, allow_expired=True)),
            target(pin(ISSUED), server_name="a.example"),
            target(pin(ISSUED), verify_name=True),
            target(pin(ISSUED), roots=(root.der,)),
            target(),
            target(pins=None),
        ]
        policy = PinningPolicy(lambda _, port: targets[port])
        made = [policy.creatorForNetloc(b"a.example", n) for n in range(len(targets))]
        self.assertEqual(len(set(targets)), len(targets))
        self.assertEqual(len({id(one.context) for one in made}), len(targets))
        targets[0] = target(pin(ISSUED))
        self.assertIs(policy.creatorForNetloc(b"b.example", 0), made[0])

    def test_memory_is_bounded(self) -> None:
        """
        However many targets there have been, only some are kept.
        """
        policy = PinningPolicy(lambda _, port: target(name=str(port)))
        first = policy.creatorForNetloc(b"a.example", 0)
        for port in range(1, 300):
            policy.creatorForNetloc(b"a.example", port)
        again = policy.creatorForNetloc(b"a.example", 0)
        self.assertIsNot(again, first)
        self.assertEqual(again.target, first.target)

    def test_refusal_as_an_error(self) -> None:
        """
        The error that ends a connection tells all in one line.
        """
        wanted = target(pin(ISSUED))
        options = PinnedClientTLSOptions(wanted)
        verdict = options.verdict(options.clientConnectionForTLS(None))
        error = PinRefused(verdict, wanted)
        self.assertEqual(str(error), verdict.explain(wanted))
        self.assertIn("127.0.0.1:443: refused: the handshake has not", str(error))

    def test_silence_before_admission(self) -> None:
        """
        Twisted's connection neither writes nor reads before it is admitted,
        where a bare one would end the handshake by itself and write.
        """
        options = PinnedClientTLSOptions(target(pin(ISSUED)))
        for checked in (True, False):
            pair = Pair.of(options, server_context(ISSUED))
            if checked:
                pair = attrs.evolve(pair, client=options.clientConnectionForTLS(None))
            for end in (pair.client, pair.server):
                with contextlib.suppress(SSL.WantReadError):
                    end.do_handshake()
                pair.carry()
            for act in (pair.client.send, pair.client.recv):
                with contextlib.suppress(SSL.WantReadError):
                    act(SECRET if act == pair.client.send else 1024)
            pair.carry()
            got = b""
            with contextlib.suppress(SSL.WantReadError):
                got = pair.server.recv(1024)
            self.assertEqual(got, b"" if checked else SECRET)
