"""How cost grows: linearly with patients, folds and voxels, or not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..side_by_side import Point, Sweep
from ..workplace import Workplace

if TYPE_CHECKING:
    from PRRTPredictorCore.records import Cohort
    from PRRTPredictorCore.training.data import TrainingData

PATIENTS = (29, 58, 116, 232)
FOLDS = (3, 6, 12, 24)
CT_SLICES = (40, 75, 150, 300)
MODEL_GRIDS = ((38, 25, 25), (38, 50, 50), (75, 50, 50), (150, 50, 50), (150, 100, 100))
EPOCHS = 3


def sweeps(bench: Workplace) -> Iterator[Sweep]:
    """The sweeps, each size timed once after a run that is not."""
    yield Sweep(
        "scaling-prepare",
        "DICOM cohort to tensors",
        "SYNTHETIC patients with small images, nothing cached, one process",
        "patients",
        tuple(Point(n, _seconds(lambda n=n: _prepare(bench, n))) for n in PATIENTS),
    )
    yield Sweep(
        "scaling-train-patients",
        "fitting, by patients",
        f"one fold of `pet_ct_labs` at one thread, {EPOCHS} epochs",
        "patients",
        tuple(Point(n, _seconds(lambda n=n: _fit(bench, n, 1))) for n in PATIENTS),
    )
    yield Sweep(
        "scaling-train-folds",
        "fitting, by folds",
        f"`pet_ct_labs` of 58 patients, one fold after the other at one thread, {EPOCHS} epochs",
        "folds",
        tuple(Point(n, _seconds(lambda n=n: _fit(bench, 58, n))) for n in FOLDS),
    )
    yield Sweep(
        "scaling-ct",
        "reading and preparing a study, by CT voxels",
        "from DICOM files to 75 x 50 x 50, PET as long as the CT",
        "CT slices of 512²",
        tuple(Point(n, _seconds(_study(bench, n))) for n in CT_SLICES),
    )
    yield Sweep(
        "scaling-network",
        "one training step, by voxels of the model's grid",
        "`pet_ct_labs`, 8 patients, forward and backward, one thread",
        "voxels",
        tuple(Point(float(k * j * i), _seconds(_step((k, j, i)))) for k, j, i in MODEL_GRIDS),
    )


def _seconds(run: Callable[[], Any]) -> float:
    run()  # makes and loads what is kept
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


@lru_cache(maxsize=1)
def _cohort(bench: Workplace) -> Cohort:
    from PRRTPredictorCore.cohort.table import read_cohort

    cohort = read_cohort(bench.cohort(PATIENTS[-1]))
    # Short and long by turns, so that every beginning of the list holds both.
    by_outcome = [[p for p in cohort.patients if p.outcome.long_pfs is long] for long in (True, False)]
    share = len(by_outcome[0]) / len(cohort.patients)
    mixed = [by_outcome[0 if int((n + 1) * share) > int(n * share) else 1].pop() for n in range(PATIENTS[-1] - 2)]
    return replace(cohort, patients=(*mixed, *by_outcome[0], *by_outcome[1]))


def _prepare(bench: Workplace, patients: int) -> None:
    from PRRTPredictorCore.imaging.cache import prepare_cohort

    cache = bench.folder / "scaling-cache"
    shutil.rmtree(cache, ignore_errors=True)
    prepare_cohort(_cohort(bench).patients[:patients], cache_dir=cache)


@lru_cache(maxsize=len(PATIENTS))
def _data(bench: Workplace, patients: int) -> TrainingData:
    from PRRTPredictorCore.imaging.cache import prepare_cohort
    from PRRTPredictorCore.training.data import gather_training_data

    cohort = replace(_cohort(bench), patients=_cohort(bench).patients[:patients])
    data, _ = gather_training_data(cohort, prepare_cohort(cohort.patients))
    return data


def _fit(bench: Workplace, patients: int, folds: int) -> None:
    from PRRTPredictorCore.models.presets import preset_named
    from PRRTPredictorCore.training.engine import FitSettings, fit_folds
    from PRRTPredictorCore.training.records import FoldTask
    from PRRTPredictorCore.training.splits import make_splits

    data = _data(bench, patients)
    preset = replace(preset_named("tuned"), epochs=EPOCHS, patience=0, inner_validation=0.0)
    splits = make_splits(data.codes, data.y.tolist(), folds=3, repeats=max(1, folds // 3), seed=0)[:folds]
    tasks = [FoldTask("pet_ct_labs", split.repeat, split.fold, split.train, split.test) for split in splits]
    for task in tasks:
        for _ in fit_folds([task], data, FitSettings(preset, 0)):
            pass


def _study(bench: Workplace, slices: int) -> Callable[[], Any]:
    from PRRTPredictorCore.dicom.series import load_ct
    from PRRTPredictorCore.dicom.suv import load_pet
    from PRRTPredictorCore.imaging.preprocess import prepare_study

    patient = bench.full_patient()

    def files(series: str) -> Sequence[Path]:
        return sorted((patient / series).iterdir())[:slices]

    return lambda: prepare_study(load_pet(files("pet")), load_ct(files("ct")))


def _step(shape: tuple[int, int, int]) -> Callable[[], Any]:
    import torch

    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.presets import preset_named
    from PRRTPredictorCore.models.registry import model_spec

    network = FusionNetwork(model_spec("pet_ct_labs"), preset_named("tuned"), 4)
    pet, ct = torch.rand(8, 1, *shape), torch.rand(8, 1, *shape)
    labs = torch.rand(8, 4)

    def step() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        network(pet, ct, labs).sum().backward()
        torch.set_num_threads(threads)

    return step
