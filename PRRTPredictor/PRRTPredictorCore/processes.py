"""Independent pieces of work in processes beside this one (joblib); results come in whatever order they finish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .errors import Code, RunFailed

Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    """Do ``work``, which must survive pickling, on every task.

    Raises
    ------
    RunFailed
        ``WORKER_DIED``: a process was killed from outside; the results until then have been yielded.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=min(jobs, len(tasks)), return_as="generator_unordered")
    try:
        yield from parallel(delayed(work)(task) for task in tasks)
    except TerminatedWorkerError:
        raise RunFailed(
            Code.WORKER_DIED,
            "A worker process was killed from outside, most often because the memory was short.",
            remedy="Close other programs or use fewer jobs; what was finished is not done again.",
        ) from None
