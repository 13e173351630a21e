"""Locks between processes: held by the operating system, so that they vanish with their process however that ends.

The file names its holder. It may be removed while it is held; whoever opened it before that notices and begins anew,
so that two processes never hold the same lock by way of two files.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOOK_AGAIN_S = 0.05
_NAMING_S = 0.5
"""A holder writes its number into the file within a moment of taking the lock."""

_MOST_BEGINNINGS = 1000
"""Each means that another process removed the file meanwhile."""

_OPENING = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
"""A link is not followed: in a folder from somebody else it could name any file, which would be emptied."""

_LOCKED_BYTE = 1 << 30
"""On Windows a locked byte cannot be read: one far behind the holder's number."""


class LockTaken(Exception):
    """Another process holds the lock.

    Attributes
    ----------
    pid : int or None
        Its number, where the file tells it.
    """

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}" if pid else "held by another process")
        self.pid = pid


@contextmanager
def holding(path: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the block runs; its folder is made.

    Parameters
    ----------
    patience_s : float
        How long to wait for another holder.

    Raises
    ------
    LockTaken
        Another process, or another place of this one, holds it.
    OSError
        The file cannot be made there, or the file system knows no locks.
    """
    handle = _taken(path, time.monotonic() + patience_s)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode("ascii"))
        yield
    finally:
        with suppress(OSError):  # a full disk must not keep the lock
            os.ftruncate(handle, 0)
        _unlock(handle)
        os.close(handle)


def _taken(path: Path, deadline: float) -> int:
    for _ in range(_MOST_BEGINNINGS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, _OPENING, 0o666)
        except (FileNotFoundError, FileExistsError):  # the folder was removed meanwhile, even while it was made
            if os.path.lexists(path.parent) and not path.parent.is_dir():
                raise
            continue
        try:
            locked = _lock(handle)
            if locked and _is_named(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if locked:
            continue
        if time.monotonic() >= deadline:
            raise LockTaken(_holder(path))
        time.sleep(_LOOK_AGAIN_S)
    raise FileNotFoundError(2, "It is removed again and again", str(path))


def _is_named(path: Path, handle: int) -> bool:
    """Whether the locked file is still the one of that name; its last holder may have removed it."""
    if os.name == "nt":  # an open file cannot be removed there
        return True
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> int | None:
    deadline = time.monotonic() + _NAMING_S
    while time.monotonic() < deadline:
        with suppress(OSError, ValueError):
            return int(path.read_text(encoding="ascii"))
        time.sleep(_LOOK_AGAIN_S)
    return None


def _lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(handle: int) -> None:
    # By name, not only by closing: a forked child may hold the same open file.
    if sys.platform == "win32":
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(handle, fcntl.LOCK_UN)
