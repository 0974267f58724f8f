"""
WebSocket sessions between a client and a backend of the package ``websockets``: both
on an event loop of their own, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.threads import deferToThread
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from appgw.config import model
from appgw.testing import Issued
from tests.journey.kit import LEAF, PLAIN, SECURE, JourneyTests
from tests.wire import trusting

MIB = bytes(range(256)) * 4096
SESSION = {"compression": None, "ping_interval": None, "max_size": 4 << 20}

Session = Callable[[ServerConnection], Awaitable[None]]
Work = Callable[[ClientConnection], Awaitable[Any]]


async def echo(server: ServerConnection) -> None:
    """
    Send every message back as it came.
    """
    async for message in heard(server):
        await server.send(message)


async def heard(end: ClientConnection | ServerConnection) -> AsyncIterator[Any]:
    """
    Yield messages until the session is closed, whatever its code.
    """
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield await end.recv()


@attrs.define
class Chat:
    """
    A backend that speaks WebSocket.

    Attributes:
        listening: accepts nobody before a client asks.
        tls: None for plain http.
        options: of its side of each session.
    """

    listening: socket.socket
    tls: ssl.SSLContext | None
    session: Session
    options: dict[str, Any]

    @property
    def member(self) -> model.Member:
        """
        Return it as a pool's member.
        """
        _, port = self.listening.getsockname()
        return model.Member(address="127.0.0.1", port=port)


class SessionTestCase(JourneyTests):
    """
    A gateway before a backend that speaks WebSocket.
    """

    def chat(
        self, session: Session = echo, issued: Issued | None = LEAF, **more: Any
    ) -> Chat:
        """
        Make a backend; without a certificate it speaks plain http.
        """
        tls = None
        if issued is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            file = Path(self.mktemp())
            file.write_bytes(issued.cert_pem + issued.key_pem)
            tls.load_cert_chain(file)
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        async def watched(server: ServerConnection) -> None:
            try:
                await session(server)
            except Exception as error:
                self.broken.append(error)
                raise

        return Chat(listening, tls, watched, SESSION | more)

    async def talk(
        self, chat: Chat, work: Work, secure: bool = True, **more: Any
    ) -> Any:
        """
        Let a client talk to the backend; return what *work* does.
        """
        address = SECURE if secure else PLAIN
        _, port = self.gateway.addresses()[address, 0]
        uri = f"{'wss' if secure else 'ws'}://{address}:{port}/chat?room=1"
        tls = trusting() if secure else None

        async def play() -> Any:
            serving = serve(
                chat.session, sock=chat.listening.dup(), ssl=chat.tls, **chat.options
            )
            options: dict[str, Any] = SESSION | more
            connecting = connect(uri, ssl=tls, proxy=None, **options)
            async with serving, connecting as client:
                return await work(client)

        return await deferToThread(asyncio.run, play())

    async def each(self, session: Session, work: Work) -> None:
        """
        Let *work* talk to *session* in clear text and over TLS on both sides.
        """
        for secure in (False, True):
            chat = self.chat(session, LEAF if secure else None)
            self.before(chat.member, protocol="https" if secure else "http")
            await self.talk(chat, work, secure)
            await self.recorded(1)
