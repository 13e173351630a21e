"""Names on the disk: those that are there to stay, and temporary ones, which tell who writes there.

Plain Python, so that a cohort can be checked before anything is installed.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import platform
import re
import shutil
import sys
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

PARTIAL = ".partial-"
"""How the names of half-written files and folders begin; nothing ever reads them."""

REPLACED = ".replaced-"
"""How the name of an older folder begins until the new one has taken its place."""

_ASIDE = re.compile(r"(\.partial-|\.replaced-)([0-9a-f]{8})-(\d+)-[0-9a-f]{8}-(.+)", re.DOTALL)
"""The machine and the number of the process that writes, and the name that it writes for."""

_FORGOTTEN_S = 24 * 3600.0
"""Whether another machine still works on something cannot be known: after a day without any change, nobody does."""

_LONGEST_NAME = 200
"""Bytes of a name within its temporary one; file systems allow 255 in all."""

_NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES})
"""What file systems answer that cannot flush a folder; EACCES: a folder that one may write into and not list."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # renameat2(2) of Linux; RENAME_SWAP of macOS has the same value


def flush_file(path: Path) -> None:
    """Force a file's content to the disk: without this a power cut may leave a name with nothing behind it."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Force to the disk which names a folder holds: a rename is not there to stay before that."""
    if os.name == "nt":  # Windows cannot open a folder for flushing, and journals the rename itself
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as problem:
        if problem.errno not in _NOT_OFFERED:
            raise


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, to stay; nothing happens to one that is there.

    Raises
    ------
    OSError
        When one cannot be made.
    """
    made = []
    for one in (folder, *folder.parents):
        if os.path.lexists(one):
            break
        made.append(one)
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(made):
        flush_folder(one.parent)


def exchange(first: Path, second: Path) -> bool:
    """Let two names change places in one step, so that neither is ever absent.

    Returns
    -------
    bool
        False, and nothing changed, where the system or the file system does not offer it.
    """
    answer = -1
    with suppress(AttributeError, OSError, TypeError):  # a C library without it; Windows has none to ask
        libc = ctypes.CDLL(None)
        names = os.fsencode(first), os.fsencode(second)
        if sys.platform == "linux":
            answer = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
        elif sys.platform == "darwin":
            answer = libc.renamex_np(*names, _RENAME_EXCHANGE)
    return answer == 0


# --- temporary names --------------------------------------------------------------------------------------------------

_in_work: set[str] = set()
"""Those of this process: another one may have had its number before."""


def aside(path: Path, prefix: str = PARTIAL) -> Path:
    """A temporary name beside ``path``, in work until :func:`remove`; ends alike, for writers that go by the suffix."""
    name = f"{prefix}{this_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{_short(path.name)}"
    _in_work.add(name)
    return path.with_name(name)


def remove(path: Path) -> None:
    """Remove a file or folder as far as that is possible; its temporary name is in work no longer."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    _in_work.discard(path.name)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what processes that are gone left half-written in a folder; what others are writing now stays.

    Parameters
    ----------
    name : str, optional
        Only what was written for this name.
    """
    for entry in set_aside(folder, PARTIAL, name):
        remove(entry)
    if name is not None and os.path.lexists(folder / name):
        for entry in set_aside(folder, REPLACED, name):
            remove(entry)


def set_aside(folder: Path, prefix: str, name: str | None = None) -> list[Path]:
    """What lies in a folder under temporary names (for ``name``) and nobody works on any more."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _ASIDE.fullmatch(entry.name)
            if not match or match[1] != prefix or (name is not None and match[4] != _short(name)):
                continue
            if not (_is_at_work(int(match[3]), entry.name) if match[2] == this_machine() else _is_recent(entry)):
                found.append(folder / entry.name)
    return sorted(found)


@cache
def this_machine() -> str:
    """What tells this machine from others that use the same network folder; not its name, often the institution's."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _short(name: str) -> str:
    if len(encoded := os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return hashlib.sha256(encoded).hexdigest()[:16] + Path(name).suffix[:16]


def _is_recent(entry: os.DirEntry[str]) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:  # gone meanwhile
        return True
    # A folder that was renamed a moment ago keeps the time of its content.
    return time.time() - max(found.st_mtime, found.st_ctime) < _FORGOTTEN_S


def _is_at_work(pid: int, name: str) -> bool:
    if pid == os.getpid():
        return name in _in_work
    try:
        import psutil
    except ImportError:  # nothing but Python is installed: what cannot be known is left alone
        return True
    try:
        # One that has ended keeps its number until whoever started it has asked how.
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # another user's
        return True
