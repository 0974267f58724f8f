"""
Stands between a client and the gateway, and takes requests apart.

Towards the gateway every byte travels alone: one segment each, and over TLS one
record each. Answers pass as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time

PAUSE = 0.0002
"""Seconds from one byte to the next, so that each is read alone."""

LONGEST = 0.5
"""Seconds of taking apart; the rest of a long request goes as it is, or the
oracle would take its end for the next one's."""


class Splitter:
    """
    Listens on loopback, and works in a thread until it is closed.

    Args:
        port: of the gateway.
        tls: towards the gateway; None for clear text.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._to = port
        self._tls = tls
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(listening,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """
        End every connection, and the thread.
        """
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, listening: socket.socket) -> None:
        loop = self._loop
        server = loop.run_until_complete(
            asyncio.start_server(self._join, sock=listening)
        )
        loop.run_forever()
        server.close()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()

    async def _join(
        self, client: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(answers), contextlib.suppress(OSError):
            gateway, requests = await asyncio.open_connection(
                "127.0.0.1",
                self._to,
                ssl=self._tls,
                server_hostname="gw.test" if self._tls else None,
            )
            with contextlib.closing(requests):
                up = asyncio.ensure_future(_take_apart(client, requests))
                with contextlib.suppress(OSError):
                    while data := await gateway.read(65536):
                        answers.write(data)
                        await answers.drain()
                up.cancel()


async def _take_apart(
    client: asyncio.StreamReader, requests: asyncio.StreamWriter
) -> None:
    deadline = time.monotonic() + LONGEST
    with contextlib.suppress(OSError):
        while data := await client.read(65536):
            while data:
                size = 1 if time.monotonic() < deadline else len(data)
                requests.write(data[:size])
                data = data[size:]
                # A sleep of asyncio's would be five times as long.
                time.sleep(PAUSE)  # noqa: ASYNC251
                await asyncio.sleep(0)
                await requests.drain()
        requests.close()
