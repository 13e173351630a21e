"""One process a run folder: the second is refused, naming the first; a dead one's lock is taken over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import Code, RunFailed
from ..files import cannot_write, write_json

LOCK_NAME = ".lock"
OWNER_NAME = ".owner.json"


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold a run folder for this process.

    The operating system holds the lock, so that it vanishes with its process however that ends.

    Raises
    ------
    RunFailed
        ``RUN_BUSY`` while another process works on the run; ``OUTPUT`` when the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    begun = run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout:
        raise RunFailed(
            Code.RUN_BUSY,
            f"Another process{_owner(run)} is working on this run.",
            where=run.name,
            remedy="Wait until it has ended, cancel it, or choose another run folder.",
        ) from None
    except OSError as problem:
        raise cannot_write(run / LOCK_NAME, problem) from problem
    owner = run / OWNER_NAME
    try:
        write_json(owner, {"pid": os.getpid()})
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
        if not begun:
            _remove_if_empty(run)


def _remove_if_empty(run: Path) -> None:
    """Leave no folder behind when the run was refused before it began."""
    if [entry.name for entry in run.iterdir()] == [LOCK_NAME]:
        with suppress(OSError):  # another process may have begun one meanwhile
            (run / LOCK_NAME).unlink()
            run.rmdir()


def _owner(run: Path) -> str:
    # The name of the machine is left out on purpose: it often names the institution.
    try:
        owner = json.loads((run / OWNER_NAME).read_text(encoding="utf-8"))
        return f" (pid {int(owner['pid'])})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
