"""What a script needs that Slicer runs without a window: its progress on the terminal, and an honest exit status.

    Slicer --no-main-window --python-script myscript.py

``Testing/Python/`` of the source has whole scripts to begin with.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import slicer

from PRRTPredictorCore.errors import PRRTError
from PRRTPredictorCore.records import RESEARCH_USE_NOTICE
from PRRTPredictorLib.Messages import describe
from PRRTPredictorLib.Worker import Progressed


def runAndExit(main: Callable[[], None]) -> None:
    """Run a script's ``main``, then end Slicer with the exit status of ``prrt``: 0 only where it came to its end.

    A PRRTError is logged as message, place and remedy. Any other exception is raised on for its traceback, and Slicer
    ends with 1.

    Examples
    --------
    >>> def main() -> None:
    ...     results = TrainingLogic().train(TrainingPlan(Path("cohort.csv"), Path("run")), onProgress=printProgress)
    ...     print(results.models[0].auroc.mean)
    >>> runAndExit(main)
    """
    status = 1
    try:
        print(RESEARCH_USE_NOTICE)
        main()
        status = 0
    except PRRTError as error:
        logging.error("%s: %s", error.code.value, describe(error))
        status = error.exit_code
    finally:
        slicer.util.exit(status)


def printProgress(progressed: Progressed) -> None:
    """Print one line on how far the work is to stderr, where it does not mix with a script's results."""
    eta = "" if progressed.etaSeconds is None else f", {progressed.etaSeconds / 60:.0f} min left"
    print(
        f"{progressed.stage} {progressed.done}/{progressed.total} {progressed.message}{eta}",
        file=sys.stderr,
        flush=True,
    )
