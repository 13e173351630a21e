"""A small run and a model, trained once on made patients for all tests that need a real one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from PRRTPredictorLib.TrainingLogic import TrainingLogic, TrainingPlan
from PRRTPredictorLib.Worker import Job

sys.path.append(str(Path(__file__).parents[1] / "Core"))
from private_key import with_key

MODEL = "pet_ct_labs"


@dataclass(frozen=True)
class TrainedRun:
    """``cohort`` is the folder with ``cohort.csv`` and ``dicom``."""

    cohort: Path
    plan: TrainingPlan
    model: Path


def private_folders(factory: pytest.TempPathFactory) -> Iterator[None]:
    """A study key and a cache of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in private_environment(factory).items():
            patch.setenv(name, value)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def private_environment(factory: pytest.TempPathFactory) -> dict[str, str]:
    """A study key and a cache of the tests' own, for a child process."""
    shared = _shared(factory)
    with _once(shared / "config") as made:
        if not made:
            with_key(shared / "config")
    return {"PRRT_CONFIG_DIR": str(shared / "config"), "PRRT_CACHE_DIR": str(shared / "cache")}


def made_cohort(factory: pytest.TempPathFactory) -> Path:
    """Twelve SYNTHETIC patients; nobody may change them."""
    folder = _shared(factory) / "cohort"
    with _once(folder) as made:
        if not made:
            Job.start(["synth", f"--out={folder}", "--patients=12", "--seed=5", "--jobs=1"]).wait()
    return folder


def trained_run(factory: pytest.TempPathFactory) -> TrainedRun:
    """The plan of a finished run, and its fusion model packed; needs :func:`private_folders`."""
    cohort = made_cohort(factory)
    folder = _shared(factory) / "trained"
    plan = TrainingPlan(
        cohort / "cohort.csv", folder / "run", ("rf_labs", MODEL), "quick", repeats=1, seed=2, device="cpu", jobs=1
    )
    trained = TrainedRun(cohort, plan, folder / "model")
    with _once(folder) as made:
        if not made:
            logic = TrainingLogic()
            logic.train(plan)
            logic.packModel(plan.run, MODEL, trained.model).wait()
    return trained


def _shared(factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole session, whatever the number of pytest's workers."""
    folder = factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared"


@contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Whether ``folder`` was filled before; the others wait while one fills it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        yield done.exists()
        done.touch()
