"""
What there is to try in the demo: for people as curl lines, for ``--check`` as
requests that are made and judged.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import attrs
from treq.client import HTTPClient
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from appgw.backend.target import Target
from appgw.backend.trust import PinnedClientTLSOptions
from appgw.cli.demo_folder import LISTED, STRANGER
from appgw.cli.demo_stage import HERE, Stage
from appgw.config.model import Pin
from appgw.testing import Issued

PATIENCE: Final = 10.0
"""Seconds that a request of the check may take."""

CLAIMED: Final = "203.0.113.9"
"""An address that a client pretends to have (RFC 5737)."""


@attrs.frozen(kw_only=True)
class Reply:
    """
    What came back to one request.

    Attributes:
        status: 200, or what else.
        body: its text.
        cookies: the names of those that were set.
    """

    status: int
    body: str
    cookies: frozenset[str]

    @property
    def backend(self) -> str:
        """
        Who answered; empty where no backend did.
        """
        found = re.match(r"(\w+) answers ", self.body)
        return found[1] if found else ""


Judge = Callable[[Sequence[Reply], Stage], bool]


@attrs.frozen(kw_only=True)
class Step:
    """
    One thing to try.

    Attributes:
        shows: what, in a few words.
        urls: asked one after the other; ``{stray}`` is that backend's port.
        expect: what to see.
        holds: whether that is what came.
        fields: header fields that are sent.
        cookies: cookies are taken and sent back.
        head: the response's head is worth seeing.
        direct: past the gateway, trusting whatever is there.
    """

    shows: str
    urls: tuple[str, ...]
    expect: str
    holds: Judge
    fields: tuple[tuple[str, str], ...] = ()
    cookies: bool = False
    head: bool = False
    direct: bool = False


def _take_turns(replies: Sequence[Reply], _: Stage) -> bool:
    return [one.status for one in replies] == [200, 200] and {
        one.backend for one in replies
    } == set(LISTED)


def _by_path(replies: Sequence[Reply], _: Stage) -> bool:
    return replies[0].body.startswith("blue answers GET /v2/7 ")


def _by_site(replies: Sequence[Reply], _: Stage) -> bool:
    return replies[0].body.startswith("green answers GET / ")


def _stays(replies: Sequence[Reply], _: Stage) -> bool:
    first, *others = replies
    return (
        "ApplicationGatewayAffinity" in first.cookies
        and first.backend in LISTED
        and {one.backend for one in others} == {first.backend}
    )


def _tells_the_truth(replies: Sequence[Reply], _: Stage) -> bool:
    told = replies[0].body.lower()
    return (
        f"\n  x-forwarded-for: {HERE}\n" in told
        and "\n  x-forwarded-proto: https\n" in told
        and "\n  x-original-host: news.example\n" in told
        and "\n  x-appgw-trace-id: " in told
        and "\n  via: 1.1 appgw\n" in told
        and CLAIMED not in told
    )


def _is_refused(replies: Sequence[Reply], stage: Stage) -> bool:
    [reply] = replies
    return (
        reply.status == 502
        and not stage.greeters[STRANGER].seen
        and STRANGER not in reply.body
    )


def _was_never_asked(replies: Sequence[Reply], _: Stage) -> bool:
    return replies[0].body == f"{STRANGER} answers GET / (its request no. 1)\n"


STEPS: Final = (
    Step(
        shows="the members of a pool take turns",
        urls=("https://shop.example/", "https://shop.example/"),
        expect="one answer from green and one from blue",
        holds=_take_turns,
    ),
    Step(
        shows="a path of the same site goes to a pool of its own",
        urls=("https://shop.example/orders/7",),
        expect="blue, asked for /v2/7: that is the path override of the setting",
        holds=_by_path,
    ),
    Step(
        shows="another site on the same port",
        urls=("https://news.example/",),
        expect="always green",
        holds=_by_site,
    ),
    Step(
        shows="affinity: a client that sends the cookie back keeps its backend",
        urls=("https://shop.example/",) * 4,
        expect="four answers from one backend (without -b '' they take turns)",
        holds=_stays,
        cookies=True,
    ),
    Step(
        shows="forwarded headers: who you are, not who you claim to be",
        urls=("https://news.example/headers",),
        expect=f"X-Forwarded-For is {HERE}; {CLAIMED} appears nowhere",
        holds=_tells_the_truth,
        fields=(("X-Forwarded-For", CLAIMED), ("X-Real-IP", CLAIMED)),
    ),
    Step(
        shows="the refusal: stray's certificate is not on the list",
        urls=("https://shop.example/stray/",),
        expect="502; why is told in the demo's terminal, and to nobody else",
        holds=_is_refused,
        head=True,
    ),
    Step(
        shows="stray itself, without the gateway: it works, and had no request before",
        urls=(f"https://{HERE}:{{stray}}/",),
        expect="stray answers its request no. 1",
        holds=_was_never_asked,
        direct=True,
    ),
)


def curl(step: Step, stage: Stage) -> str:
    """
    Write the step as a command for a POSIX shell.
    """
    words = ["curl", "-s"]
    if step.head:
        words.append("-i")
    if step.direct:
        words.append("-k")
    else:
        words += ["--cacert", str(stage.folder / "ca.pem")]
        words += ["--connect-to", f"::{HERE}:{stage.ports['gateway']}"]
    if step.cookies:
        words += ["-b", ""]
    for name, value in step.fields:
        words += ["-H", f"{name}: {value}"]
    return shlex.join([*words, *_urls(step, stage)])


def _urls(step: Step, stage: Stage) -> list[str]:
    return [url.format_map(stage.ports) for url in step.urls]


@implementer(IAgentEndpointFactory)
@attrs.frozen(eq=False)
class _Ways:
    """
    Ways to the gateway whatever the name, and to a backend by its address.

    Each is pinned, by the same code that the gateway pins with.
    """

    reactor: Any
    stage: Stage

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """
        Return the way to what the URI names.
        """
        ports, made = self.stage.ports, self.stage.made
        host: str = uri.host.decode("ascii")
        if host == HERE:
            return self._way(uri.port, None, made.backends[STRANGER])
        return self._way(ports["gateway"], host, made.front)

    def _way(
        self, port: int, name: str | None, issued: Issued
    ) -> IStreamClientEndpoint:
        pin = Pin(name="demo", sha256=bytes.fromhex(issued.sha256))
        target = Target(address=HERE, port=port, server_name=name, pins=(pin,))
        plain = TCP4ClientEndpoint(self.reactor, HERE, port)
        pinned: IStreamClientEndpoint = wrapClientTLS(
            PinnedClientTLSOptions(target), plain
        )
        return pinned


async def tried(step: Step, stage: Stage, reactor: Any) -> str:
    """
    Try one step as a person would.

    Returns:
        Nothing if what came is what was to be expected, else what came.
    """
    agent = Agent.usingEndpointFactory(reactor, _Ways(reactor, stage))
    client = HTTPClient(agent)
    fields = Headers({name: [value] for name, value in step.fields})
    replies = []
    try:
        for url in _urls(step, stage):
            if not step.cookies:
                client = HTTPClient(agent)  # one that remembers none
            response = await client.get(url, headers=fields, timeout=PATIENCE)
            reply = Reply(
                status=response.code,
                body=await response.text(),
                cookies=frozenset(cookie.name for cookie in response.cookies()),
            )
            replies.append(reply)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if step.holds(replies, stage):
        return ""
    return "\n".join(f"{reply.status}\n{reply.body}" for reply in replies)


def told(stage: Stage) -> Iterator[str]:
    """
    Yield the lines that tell what to try.
    """
    for number, step in enumerate(STEPS, 1):
        yield f"{number}. {step.shows}"
        yield f"   {curl(step, stage)}"
        yield f"   -> {step.expect}"
        yield ""
