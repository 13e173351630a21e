"""Independent pieces of work in processes beside this one (joblib); results come in whatever order they finish."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from .errors import Code, RunFailed

WATCH_SECONDS = 1.0
"""Between two looks whether the process that asked for the work is still there."""

Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Generator[Result, None, None]:
    """Do ``work``, which must survive pickling, on every task; closing the generator ends the processes.

    A process also ends itself when this one is gone. Nothing is left in a temporary folder: arrays, too, go through
    pipes alone ("max_nbytes=None").

    Raises
    ------
    RunFailed
        ``WORKER_DIED``: a process was killed from outside; the results until then have been yielded.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # A worker that has grown by 300 MB is replaced by joblib, which warns of a leak; here it is a patient's images.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    jobs = min(jobs, len(tasks))
    # One task at a time is handed out ("batch_size=1"), so that what is stopped has lost little.
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, max_nbytes=None)
    stream = parallel(delayed(_beside)(work, task, os.getpid()) for task in tasks)
    finished = False
    try:
        for result in stream:  # noqa: UP028 - "yield from" would close it before the warnings below are silenced
            yield result
        finished = True
    except TerminatedWorkerError:
        raise RunFailed(
            Code.WORKER_DIED,
            "A worker process was killed from outside, most often because the memory was short.",
            remedy="Close other programs or use fewer jobs; started again, the same command goes on with what is "
            "missing.",
        ) from None
    finally:
        if not finished:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that running work was lost is what stopping means
                # joblib stops handing out tasks, then kills its workers. To shut its executor down from here instead
                # could wait for ever: for a thread that hands out the next task and waits for the same lock.
                stream.close()


def _beside(work: Callable[[Task], Result], task: Task, parent: int) -> Result:
    _end_with(parent)
    return work(task)


_watched: set[int] = set()


def _end_with(parent: int) -> None:
    """End this worker when the process that asked for the work is gone; checked by a thread, once a second."""
    if parent == os.getpid() or parent in _watched:
        return
    _watched.add(parent)
    # Ctrl-C reaches every process of the terminal; the one that asked for the work answers it and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while not _is_gone(parent):
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _is_gone(parent: int) -> bool:
    if os.name != "nt":
        # Its number can outlive it, as long as whoever started it has not asked how it ended.
        return os.getppid() != parent
    import psutil

    return not psutil.pid_exists(parent)
