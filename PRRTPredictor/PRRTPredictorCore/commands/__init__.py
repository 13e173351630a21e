"""What each word of the command line does: reads the arguments, opens the rooms it needs, prints the result.

``data`` reads DICOM and cohorts, ``runs`` trains, reports and packs, ``prediction`` asks a model. Every room is
imported inside the command that needs it, so that ``prrt --help`` starts at once.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import TypeAlias

from ..progress import Progress
from ..records import Notice

Command: TypeAlias = Callable[[Namespace, Progress], int]


def default_jobs() -> int:
    """One process a physical core, since a fit uses one thread."""
    import psutil

    return int(psutil.cpu_count(logical=False) or os.cpu_count() or 1)


def serial_notices(jobs: int) -> tuple[Notice, ...]:
    """What to tell where several processes were wanted and the machine cannot have any, as in some containers."""
    from joblib import effective_n_jobs

    if jobs == 1 or effective_n_jobs(2) > 1:
        return ()
    message = (
        "This machine has no shared memory for processes to work together (/dev/shm on Linux), so that everything was "
        "done in one process: the results are the same, and take longer."
    )
    return (Notice("ONE_PROCESS", message),)
