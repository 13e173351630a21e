"""Who fits: this process, processes beside it (joblib), or a cluster; results come in whatever order they finish.

Only the process that asked for the fits writes into the run folder, so that a worker that outlives it can do no harm.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ..processes import side_by_side
from .data import TrainingData
from .engine import FitSettings, fit_folds
from .records import FoldResult, FoldTask


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
        """See :meth:`FitWorkers.fit`.

        Raises
        ------
        RunFailed
            ``WORKER_DIED`` when a worker was killed from outside, for want of memory most often.
        """
        jobs = min(self.side_by_side(settings.device), len(groups))
        if jobs <= 1:
            for group in groups:
                yield from fit_folds(group, data, settings)
        else:
            with closing(side_by_side(partial(_fit_group, data=data, settings=settings), groups, jobs)) as fitted:
                for results in fitted:
                    yield from results


def _fit_group(group: Sequence[FoldTask], data: TrainingData, settings: FitSettings) -> tuple[FoldResult, ...]:
    return tuple(fit_folds(group, data, settings))
