"""Who fits: this process, processes beside it (joblib), or a cluster; results come in whatever order they finish.

Only the process that asked for the fits writes into the run folder, so that a worker that outlives it can do no harm.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import Code, RunFailed
from .data import TrainingData
from .engine import FitSettings, fit_folds
from .records import FoldResult, FoldTask

WATCH_SECONDS = 1.0
"""Between two looks whether the process that asked for the work is still there."""


class FitWorkers(Protocol):
    """Fits groups of folds; the caller stores the results."""

    def side_by_side(self, device: str) -> int:
        """How many groups are fitted at a time by now, on a device of this kind."""

    def fit(
        self, groups: Sequence[Sequence[FoldTask]], data: TrainingData, settings: FitSettings
    ) -> Generator[FoldResult, None, None]:
        """Fit all groups; closing the generator ends the fits.

        Raises
        ------
        RunFailed
            The workers failed; what was handed over before is good.
        """


@dataclass(frozen=True)
class LocalWorkers:
    """The :class:`FitWorkers` of this machine.

    Attributes
    ----------
    jobs : int
        Processes on the CPU; 1 fits in this process, and so does a GPU.
    """

    jobs: int = 1

    def side_by_side(self, device: str) -> int:
        """See :meth:`FitWorkers.side_by_side`."""
        return self.jobs if device == "cpu" else 1

    def fit(
        self, groups: Sequence[Sequence[FoldTask]], data: TrainingData, settings: FitSettings
    ) -> Generator[FoldResult, None, None]:
        """See :meth:`FitWorkers.fit`; a worker also ends itself when this process is gone.

        Raises
        ------
        RunFailed
            ``TRAINING_FAILED`` when a worker was killed from outside, for want of memory most often.
        """
        jobs = min(self.side_by_side(settings.device), len(groups))
        if jobs <= 1:
            for group in groups:
                yield from fit_folds(group, data, settings)
        else:
            yield from _side_by_side(groups, data, settings, jobs)


def _side_by_side(
    groups: Sequence[Sequence[FoldTask]], data: TrainingData, settings: FitSettings, jobs: int
) -> Generator[FoldResult, None, None]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # A worker that has grown by 300 MB is replaced by joblib, which warns of a leak; here it is a fold's images.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    # One group at a time is handed out ("batch_size=1"), so that a stopped run has lost little.
    work = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs)
    stream = work(delayed(_fit_group)(group, data, settings, os.getpid()) for group in groups)
    finished = False
    try:
        for results in stream:
            yield from results
        finished = True
    except TerminatedWorkerError:
        raise RunFailed(
            Code.TRAINING_FAILED,
            "A worker process was killed from outside, most often because the memory was short.",
            remedy="Close other programs or use fewer jobs; started again, it goes on with the folds that are missing.",
        ) from None
    finally:
        if not finished:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that running fits were lost is what stopping means
                # joblib stops handing out groups, then kills its workers. To shut its executor down from here instead
                # could wait for ever: for a thread that hands out the next group and waits for the same lock.
                stream.close()


def _fit_group(
    group: Sequence[FoldTask], data: TrainingData, settings: FitSettings, parent: int
) -> tuple[FoldResult, ...]:
    _end_with(parent)
    return tuple(fit_folds(group, data, settings))


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
    import psutil

    while psutil.pid_exists(parent):
        time.sleep(WATCH_SECONDS)
    os._exit(1)
