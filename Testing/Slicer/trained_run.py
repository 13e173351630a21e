"""A small run and a model, trained once on made patients for all tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from PRRTPredictorLib.TrainingLogic import TrainingLogic, TrainingPlan
from PRRTPredictorLib.Worker import Job

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
        patch.setenv("PRRT_CONFIG_DIR", str(_once(factory, "config")))
        patch.setenv("PRRT_CACHE_DIR", str(_once(factory, "cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def made_cohort(factory: pytest.TempPathFactory) -> Path:
    """Twelve SYNTHETIC patients."""
    folder = _once(factory, "made") / "cohort"
    if not folder.exists():
        Job.start(["synth", f"--out={folder}", "--patients=12", "--seed=5", "--jobs=1"]).wait()
    return folder


def trained_run(factory: pytest.TempPathFactory) -> TrainedRun:
    """The plan of a finished run, and its fusion model packed; needs :func:`private_folders`."""
    cohort = made_cohort(factory)
    folder = _once(factory, "trained")
    plan = TrainingPlan(
        cohort / "cohort.csv", folder / "run", ("rf_labs", MODEL), "quick", repeats=1, seed=2, device="cpu", jobs=1
    )
    trained = TrainedRun(cohort, plan, folder / "model")
    if not trained.model.exists():
        logic = TrainingLogic()
        logic.train(plan)
        logic.packModel(plan.run, MODEL, trained.model).wait()
    return trained


def _once(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder for the whole session, whichever test module asks first."""
    if name not in _FOLDERS:
        _FOLDERS[name] = factory.mktemp(name)
    return _FOLDERS[name]


_FOLDERS: dict[str, Path] = {}
