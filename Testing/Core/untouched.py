"""Whether a folder is, byte by byte and entry by entry, what it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

State = dict[str, tuple[object, ...]]


def state_of(folder: Path) -> State:
    """Content, kind, mode and time of change of everything in a folder, the folder itself included.

    A folder's time changes with every file made in it, so that a temporary one that is gone again shows too.
    """
    found: State = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        stat = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        facts = (content, stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ino)
        found[path.relative_to(folder).as_posix()] = facts
    return found


def differences(before: State, after: State) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


@contextmanager
def untouched(folder: Path, *, read_only: bool = False) -> Iterator[None]:
    """Fail when anything in ``folder`` differs afterwards; with ``read_only``, writing is forbidden meanwhile too."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    try:
        if read_only:  # tells at once where the write was tried; root, whom modes do not stop, is found out later
            for path, mode in modes.items():
                path.chmod(mode & ~0o222)
        before = state_of(folder)
        yield
        changed = differences(before, state_of(folder))
        assert not changed, f"changed: {changed}"
    finally:
        if read_only:
            for path, mode in modes.items():
                if os.path.lexists(path):
                    path.chmod(mode)
