"""
The gateway one would write with Twisted's own parts: ``Site`` in front, treq behind.

It shows what appgw's own data path is for. It does what the others do: TLS on
both sides, the backend's certificate verified, connections kept, an access log.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
)
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

HOP_BY_HOP = (b"connection", b"keep-alive", b"transfer-encoding", b"content-length")


def end_to_end(headers: Headers) -> Headers:
    """
    Copy the fields without those that concern one connection alone.
    """
    copied = headers.copy()
    for name in HOP_BY_HOP:
        copied.removeHeader(name)
    return copied


class Forward(Resource):
    """
    Answers every request with the backend's answer.
    """

    isLeaf = True

    def __init__(self, client: HTTPClient, backend: str) -> None:
        super().__init__()
        self._client = client
        self._backend = backend.encode()

    def render(self, request: Request) -> int:
        """
        Start the request to the backend.
        """
        work = Deferred.fromCoroutine(self._forward(request))
        request.notifyFinish().addErrback(lambda _: work.cancel())
        work.addErrback(self._failed, request)
        return NOT_DONE_YET

    async def _forward(self, request: Request) -> None:
        headers = end_to_end(request.requestHeaders)
        headers.setRawHeaders(b"X-Forwarded-For", [request.getClientAddress().host])
        headers.setRawHeaders(b"X-Forwarded-Proto", [b"https"])
        body = FileBodyProducer(request.content) if request.method == b"POST" else None
        answer = await self._client.request(
            request.method.decode(),
            self._backend + request.uri,
            headers=headers,
            data=body,
            allow_redirects=False,
            unbuffered=True,
        )
        request.setResponseCode(answer.code)
        for name, values in end_to_end(answer.headers).getAllRawHeaders():
            request.responseHeaders.setRawHeaders(name, values)
        if isinstance(answer.length, int):
            length = b"%d" % answer.length
            request.responseHeaders.setRawHeaders(b"Content-Length", [length])
        await answer.collect(request.write)
        request.finish()

    def _failed(self, failure: Failure, request: Request) -> None:
        if failure.check(CancelledError):
            return  # the client has gone
        print(failure.getErrorMessage(), file=sys.stderr)
        if not request.startedWriting:
            request.setResponseCode(502)
            request.finish()
        else:
            request.channel.loseConnection()


class LoggedSite(Site):
    """
    A site whose log stays one file: Twisted's own begins a new one at each MB.
    """

    def _openLogFile(self, path: str) -> Any:
        return Path(path).open("a", buffering=1, encoding="ascii")


async def serve(reactor: Any, config: dict[str, Any], ca_pem: bytes) -> None:
    """
    Serve until a signal ends the process.
    """
    ca = Certificate.loadPEM(ca_pem)
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = 64
    policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([ca]))
    client = HTTPClient(Agent(reactor, policy, pool=pool))
    site = LoggedSite(Forward(client, config["backend"]), logPath=config["access_log"])
    endpoint = serverFromString(
        reactor,
        f"ssl:{config['port']}:interface=127.0.0.1:backlog=4096"
        f":certKey={config['certificate']}:privateKey={config['key']}",
    )
    await endpoint.listen(site)
    await Deferred()


if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[1]).read_text())
    react(serve, [settings, Path(settings["ca"]).read_bytes()])
