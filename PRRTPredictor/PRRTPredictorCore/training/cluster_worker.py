"""What a cluster's worker does: answer whether it can fit, and fit. Runs in the worker's process, imported by name."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import Code, InputRefused, PRRTError
from .records import FoldResult, FoldTask
from .stopping import stopping_when

if TYPE_CHECKING:
    from distributed import Worker

    from .data import TrainingData
    from .engine import FitSettings

PACKAGES = ("torch", "monai", "scikit-learn", "numpy", "scipy", "joblib", "distributed")
"""Those that decide the numbers, and those that carry the work."""


@dataclass(frozen=True)
class WorkerDemand:
    """What a worker must have and see.

    Attributes
    ----------
    software : mapping of str to str
        Versions, of Python and of the packages.
    device : str
        "cpu" or "cuda".
    data : TrainingData or None
        Patients whose prepared images it must be able to read, and the file of CT features.
    ct_encoder : Path or None
    """

    software: Mapping[str, str]
    device: str = "cpu"
    data: TrainingData | None = field(default=None, repr=False)
    ct_encoder: Path | None = None


def demand_of_this_machine() -> WorkerDemand:
    """The software that is installed here."""
    return WorkerDemand(_software())


@lru_cache(maxsize=1)
def _software() -> dict[str, str]:
    found = {"prrtpredictor": __version__, "python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def worker_refusal(demand: WorkerDemand, dask_worker: Worker) -> PRRTError | None:
    """Why the worker in whose process this runs cannot do the fits; None when it can.

    Dask itself fills in an argument of the name ``dask_worker``.
    """
    own = _software()
    differing = [
        f"{name} {own.get(name, 'unknown')} instead of {wanted}"
        for name, wanted in demand.software.items()
        if own.get(name) != wanted
    ]
    if differing:
        return InputRefused(
            Code.CLUSTER_MISMATCH,
            f"A worker of the cluster has {', '.join(differing)}; its folds must not be mixed with others.",
            where=dask_worker.address,
            remedy="Install the same versions for every worker as on this machine.",
        )
    if dask_worker.state.nthreads != 1:
        # Fits draw from torch's generator, of which a process has one.
        return InputRefused(
            Code.CLUSTER_MISMATCH,
            f"A worker of the cluster has {dask_worker.state.nthreads} threads; a fit needs a process of its own.",
            where=dask_worker.address,
            remedy="Start the workers with --nthreads 1 and, with --nworkers, one of them a core.",
        )
    if demand.device == "cuda" and not _has_gpu():
        return InputRefused(
            Code.DEVICE_MISSING,
            "This machine has a GPU, but a worker of the cluster finds none.",
            where=dask_worker.address,
            remedy="Use workers with a GPU, or --device cpu.",
        )
    return _blind(demand, dask_worker.address)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _blind(demand: WorkerDemand, address: str) -> PRRTError | None:
    """The refusal of a worker that lacks one of the files."""
    files = [demand.ct_encoder, demand.data.ct_features if demand.data else None]
    unseen = [path.name for path in files if path and not os.access(path, os.R_OK)]
    if demand.data and not unseen:
        for code in demand.data.codes:
            try:
                demand.data.images.study(code)
            except PRRTError:
                unseen.append(f"the prepared images of {code}")
                break
    if not unseen:
        return None
    return InputRefused(
        Code.CLUSTER_FILES,
        f"A worker of the cluster cannot read {' and '.join(unseen)}.",
        where=address,
        remedy="Put the cache folder (PRRT_CACHE_DIR) and the run folder on a file system that this machine and all "
        "workers see under the same path.",
    )


def fit_on_worker(
    group: Sequence[FoldTask], data: TrainingData, settings: FitSettings, demand: WorkerDemand
) -> tuple[FoldResult, ...]:
    """Fit one group of folds.

    Raises
    ------
    InputRefused
        The worker, which may have joined late, cannot do it; see :func:`worker_refusal`.
    Cancelled
        The run was stopped meanwhile.
    """
    from distributed import Status, get_worker

    from .engine import fit_folds

    worker = get_worker()
    refusal = worker_refusal(replace(demand, data=data, ct_encoder=settings.ct_encoder), worker)
    if refusal is not None:
        raise refusal
    key = worker.get_current_task()

    def dropped() -> bool:
        """Whether nobody waits for this task any more: the scheduler has said so, or is itself gone."""
        task = worker.state.tasks.get(key)
        ending = worker.status in (Status.closing, Status.closed)
        return ending or task is None or task.state == "cancelled"

    with stopping_when(dropped):
        return tuple(fit_folds(group, data, settings))
