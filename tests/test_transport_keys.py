from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.wire import Talker, WireTestCase, terms, trusting

BIG = os.urandom(1 << 20) * 6

KEY_UPDATE = b"\x18\x00\x00\x01\x01"
"""A message that changes the sender's keys and asks for the same (RFC 8446, 4.6.3)."""

HANDSHAKE, DATA = b"\x16", b"\x17"


def derived(secret: bytes, label: bytes, size: int) -> bytes:
    """
    Derive a key, or the next secret (RFC 8446, 7.1).
    """
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(full),)) + full + b"\x00"
    kind = hashes.SHA384() if len(secret) == 48 else hashes.SHA256()
    return HKDFExpand(kind, size, info).derive(secret)


def record(secret: bytes, sequence: int, content: bytes, kind: bytes) -> bytes:
    """
    Seal one record by hand (RFC 8446, 5.2).
    """
    key = derived(secret, b"key", 32 if len(secret) == 48 else 16)
    mask = derived(secret, b"iv", 12)
    nonce = bytes(
        a ^ b for a, b in zip(mask, sequence.to_bytes(12, "big"), strict=True)
    )
    inner = content + kind
    head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
    return head + AESGCM(key).encrypt(nonce, inner, head)


class HandmadePeer:
    """
    The standard library's TLS over a socket, and a way past it to the records.
    """

    def __init__(self, raw: Any, key_log: str) -> None:
        context = trusting(keylog_filename=key_log)
        self.raw = raw
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)

    def wanted(self, call: Any, *arguments: Any) -> Any:
        """
        Carry bytes until *call* has what it wants.
        """
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.raw.recv(1 << 20))

    def flush(self) -> None:
        """
        Send what TLS has made.
        """
        self.raw.sendall(self.outgoing.read())

    def shake(self) -> None:
        """
        Shake hands.
        """
        self.wanted(self.tls.do_handshake)
        self.flush()

    def read(self, size: int) -> bytes:
        """
        Read so many bytes.
        """
        found = bytearray()
        while len(found) < size:
            found += self.wanted(self.tls.read, 1 << 16)
        return bytes(found)


class KeyTests(WireTestCase):
    """
    TLS 1.3 changes its keys in the midst of everything.
    """

    async def test_new_keys_while_we_are_held_up(self) -> None:
        """
        New keys are answered between our records, and nothing is lost or lasts.
        """
        port = self.serve(Talker, terms())
        log = self.mktemp()
        peer = HandmadePeer(await self.dialled(port), log)
        await self.peer(peer.shake)
        talker = await self.talker()
        talker.transport.write(BIG)
        self.assertGreater(talker.transport.unsent(), 0)
        secret = self._secret(log)
        hand = peer.raw.sendall
        hand(record(secret, 0, KEY_UPDATE, HANDSHAKE))
        secret = derived(secret, b"traffic upd", len(secret))
        hand(record(secret, 0, b"one ", DATA) + record(secret, 1, b"two ", DATA))
        await self.until(lambda: talker.received == b"one two ")
        self.assertTrue(await self.peer(peer.read, len(BIG)) == BIG)
        talker.transport.write(b"on new keys")
        self.assertEqual(b"on new keys", await self.peer(peer.read, 11))
        hand(record(secret, 2, KEY_UPDATE, HANDSHAKE))
        secret = derived(secret, b"traffic upd", len(secret))
        hand(record(secret, 0, b"three", DATA))
        await self.until(lambda: talker.received == b"one two three")
        talker.transport.write(b"once more")
        self.assertEqual(b"once more", await self.peer(peer.read, 9))
        self.assertEqual([], talker.lost)

    @staticmethod
    def _secret(log: str) -> bytes:
        for line in Path(log).read_text().splitlines():
            if line.startswith("CLIENT_TRAFFIC_SECRET_0 "):
                return bytes.fromhex(line.split()[2])
        raise AssertionError(log)
