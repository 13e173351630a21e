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

Command: TypeAlias = Callable[[Namespace, Progress], int]


def default_jobs() -> int:
    """One process a physical core, since a fit uses one thread."""
    import psutil

    return int(psutil.cpu_count(logical=False) or os.cpu_count() or 1)
