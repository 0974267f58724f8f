"""
Files that change as a whole or not at all, whoever reads them meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def replace(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """
    Let *path* be a file with this content.

    It is written beside *path*, in a name that nobody else has, and renamed.

    Args:
        path: what is there is replaced; a symbolic link would be, too.
        data: the whole content.
        like: keep this file's mode, owner and extended attributes, and don't
            return before the disk has it; None: as any new file.

    Raises:
        OSError: it cannot be done; what was there is there.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o644 if like is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if like is not None:
                _liken(descriptor, like)
                file.flush()
                os.fsync(descriptor)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _liken(descriptor: int, like: Path) -> None:
    found = like.stat()
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(like):
        # What the system keeps to itself, or gives to every file by its own rules.
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, name, os.getxattr(like, name))
