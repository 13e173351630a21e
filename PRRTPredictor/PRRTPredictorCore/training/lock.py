"""One process a run folder: the second is refused, naming the first; a dead one's lock is taken over.

Evaluating a run and writing its report have a lock of their own, since both may be done while it is trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..disk import remove_leftovers
from ..errors import Code, RunFailed
from ..files import cannot_write
from ..locks import LockTaken, holding

LOCK_NAME = ".lock"
RESULTS_LOCK_NAME = ".report.lock"
_PATIENCE_S = 120.0
"""Evaluating a run, or writing its report, takes seconds."""


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold a run folder for this process.

    The operating system holds the lock, so that it vanishes with its process however that ends.

    Raises
    ------
    RunFailed
        ``RUN_BUSY`` while another process works on the run; ``OUTPUT`` when the folder cannot be written.
    """
    begun = run.exists()
    with ExitStack() as held:
        try:
            held.enter_context(holding(run / LOCK_NAME))
        except LockTaken as taken:
            raise _busy(run, taken, "Wait until it has ended, cancel it, or choose another run folder.") from None
        except OSError as problem:
            raise cannot_write(run / LOCK_NAME, problem) from problem
        try:
            yield
        finally:
            if not begun:
                if os.name == "nt":  # an open file cannot be removed there, nor one that the next process has opened
                    held.close()
                _remove_if_empty(run)


@contextmanager
def results_lock(run: Path) -> Iterator[None]:
    """Hold what is made of a run, so that one process after the other writes it and files are never mixed.

    Raises
    ------
    RunFailed
        ``RUN_BUSY`` when another process takes minutes over it, ``OUTPUT`` when the folder cannot be written.
    """
    with ExitStack() as held:
        try:
            held.enter_context(holding(run / RESULTS_LOCK_NAME, patience_s=_PATIENCE_S))
        except LockTaken as taken:
            raise _busy(run, taken, "Wait until it has ended, or cancel it.") from None
        except OSError as problem:
            raise cannot_write(run / RESULTS_LOCK_NAME, problem) from problem
        remove_leftovers(run)
        yield


def _busy(run: Path, taken: LockTaken, remedy: str) -> RunFailed:
    # The name of the machine is left out on purpose: it often names the institution.
    who = f"Another process (pid {taken.pid})" if taken.pid else "Another process"
    return RunFailed(Code.RUN_BUSY, f"{who} is working on this run.", where=run.name, remedy=remedy)


def _remove_if_empty(run: Path) -> None:
    """Leave no folder behind when the run was refused before it began.

    Done while the lock is held: a process that has opened its file already sees that it is gone, and begins anew.
    """
    with suppress(OSError):  # another process may have begun a run meanwhile
        if [entry.name for entry in run.iterdir()] == [LOCK_NAME]:
            (run / LOCK_NAME).unlink()
            run.rmdir()
