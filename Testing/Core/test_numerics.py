"""A NaN or an infinity, wherever it comes in, stops the fold with a reason and never the run; what is left is read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from training_stand_in import TINY, TINY_PAPER, InMemoryStudies, tiny_cohort, tiny_config

from PRRTPredictorCore.errors import Code, CohortRefused
from PRRTPredictorCore.models.encoder_files import write_encoder
from PRRTPredictorCore.models.presets import Preset
from PRRTPredictorCore.models.pretrained import ct_encoder_for
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.progress import silent
from PRRTPredictorCore.records import LARGEST_INPUT
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.ctfeatures import with_ct_features
from PRRTPredictorCore.training.data import TrainingData, gather_training_data
from PRRTPredictorCore.training.engine import FitSettings, fit_folds
from PRRTPredictorCore.training.notices import run_notices
from PRRTPredictorCore.training.records import FoldResult, FoldTask
from PRRTPredictorCore.training.store import RunStore
from PRRTPredictorCore.training.trainer import FoldTrainer

COHORT, IMAGES = tiny_cohort()
DATA, _ = gather_training_data(COHORT, IMAGES)
TRAIN, TEST = DATA.codes[:12], DATA.codes[12:]
BAD = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf}
UNCHECKED = replace(TINY, patience=0)
"""Without validation patients, whose loss would show that something is amiss."""


def fit(model: str, data: TrainingData = DATA, preset: Preset = TINY) -> FoldResult:
    (result,) = fit_folds([FoldTask(model, 0, 0, TRAIN, TEST)], data, FitSettings(preset, seed=3))
    return result


def spoilt(code: str, bad: float, images: InMemoryStudies = IMAGES) -> InMemoryStudies:
    """One voxel of a patient's images, which a window would hide if it is an infinity."""

    def change(values: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = values.copy()
        changed[0, 0, 0] = bad
        return changed

    return images.changed(code, change)


def assert_readable(run: Path) -> None:
    """Every file of every fold is there, and finite, however its fit ended."""
    store = RunStore(run)
    for model in store.manifest.models:
        for task in store.finished(model):
            place = (model, task.repeat, task.fold)
            store.load_fold(*place)
            store.gradients(*place)
            store.embeddings(*place)
            store.permutations(*place)
        assert all(np.isfinite(fold.logit).all() for fold in store.predictions(model))


# --- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_voxel_that_is_no_number_stops_the_folds_that_learn_from_it(bad: float, tmp_path: Path) -> None:
    code = COHORT.patients[3].code
    models = ("rf_labs", "pet_labs", "pet_ct_labs_pretrained")
    store = run_crossval(COHORT, spoilt(code, bad), tiny_config(*models), tmp_path)
    assert not store.missing()
    for model in models:
        for task in store.tasks(model):
            reason = store.outcome(model, task.repeat, task.fold).reason
            if model == "rf_labs":
                assert reason == ""
            elif code in task.train:
                assert reason.startswith("NOT_FINITE: A model input is not a number.")
            else:
                assert reason == "1 held-out patient(s) got an answer that is not a number."
    assert_readable(tmp_path)
    told = run_notices(store)
    assert [notice.code for notice in told] == ["FIT_STOPPED"] * 2
    assert "2 of 2 fits of pet_labs" in told[0].message
    assert 0 < store.cohort.images[0].suv_p99 < 20


def test_an_image_without_any_number_stops_no_run(tmp_path: Path) -> None:
    images = IMAGES.changed(COHORT.patients[0].code, lambda values: np.full_like(values, np.nan))
    store = run_crossval(COHORT, images, tiny_config("pet_labs"), tmp_path)
    assert all(store.outcome("pet_labs", 0, fold).reason for fold in range(2))
    assert_readable(tmp_path)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("model", ["pet_labs", "ct_labs"])
def test_the_other_held_out_patients_are_answered_as_ever(model: str, bad: float) -> None:
    result = fit(model, replace(DATA, images=spoilt(TEST[0], bad)))
    assert result.outcome.reason == "1 held-out patient(s) got an answer that is not a number."
    share = DATA.y[DATA.rows(TRAIN)].mean()
    assert result.predictions.probability[0] == pytest.approx(share)
    np.testing.assert_allclose(result.predictions.logit[1:], fit(model).predictions.logit[1:], atol=1e-6)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("model", ["rf_labs", "pet_labs"])
def test_a_tabular_input_that_is_no_number_stops_the_fold(model: str, bad: float) -> None:
    tabular = DATA.tabular.copy()
    tabular[DATA.rows([TRAIN[2]]), 3] = bad
    result = fit(model, replace(DATA, tabular=tabular))
    assert "NOT_FINITE" in result.outcome.reason
    np.testing.assert_allclose(result.predictions.probability, DATA.y[DATA.rows(TRAIN)].mean())
    assert all(torch.isfinite(tensor).all() for name, tensor in result.tensors.items() if "scaling" not in name)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("model", ["rf_labs", "pet_labs"])
def test_a_held_out_tabular_input_that_is_no_number_is_said(model: str, bad: float) -> None:
    tabular = DATA.tabular.copy()
    tabular[DATA.rows([TEST[1]]), 3] = bad
    result = fit(model, replace(DATA, tabular=tabular))
    assert result.outcome.reason == "1 held-out patient(s) got an answer that is not a number."
    ours, theirs = (np.delete(one.predictions.logit, 1) for one in (result, fit(model)))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_patients_far_beyond_all_others_are_answered_without_a_warning() -> None:
    tabular = DATA.tabular.copy()
    tabular[:, 3] = 12.0  # and nobody else varies
    tabular[DATA.rows(TEST[:2]), 3] = LARGEST_INPUT, -LARGEST_INPUT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fit("pet_labs", replace(DATA, tabular=tabular))
    assert min(abs(result.predictions.logit[:2])) > 1000
    assert sorted(result.predictions.probability[:2]) == [0.0, 1.0]


@pytest.mark.parametrize("bad", [*BAD.values(), 1e39], ids=[*BAD, "beyond single precision"])
def test_labs_that_are_no_numbers_are_refused_before_a_run_begins(bad: float, tmp_path: Path) -> None:
    first, *others = COHORT.patients
    cohort = replace(COHORT, patients=(replace(first, labs=replace(first.labs, cga_ug_per_l=bad)), *others))
    with pytest.raises(CohortRefused) as refusal:
        run_crossval(cohort, IMAGES, tiny_config("rf_labs"), tmp_path / "run")
    assert refusal.value.code is Code.NOT_FINITE
    assert first.code in refusal.value.where
    assert not (tmp_path / "run").exists()


def test_features_of_a_frozen_encoder_that_are_no_numbers_stop_the_fold(tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder.safetensors", ct_encoder_for(TINY))
    settings = FitSettings(TINY, seed=3, ct_encoder=tmp_path / "encoder.safetensors")
    data = with_ct_features(DATA, MODELS["pet_ct_labs_pretrained"], settings, tmp_path, silent)
    assert data.ct_features is not None
    features = np.load(data.ct_features)
    features[DATA.rows([TRAIN[0]])] = np.nan
    np.save(tmp_path / "spoilt.npy", features)
    spoilt_data = replace(data, ct_features=tmp_path / "spoilt.npy")
    (result,) = fit_folds([FoldTask("pet_ct_labs_pretrained", 0, 0, TRAIN, TEST)], spoilt_data, settings)
    assert "not finite" in result.outcome.reason
    assert np.isfinite(result.predictions.logit).all()


# --- losses and weights -----------------------------------------------------------------------------------------------


def lost_after(steps: Callable[[FoldTrainer], int], value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the weights become ``value`` in the step of this number, counted from 1 in each fit."""
    take_step, taken = FoldTrainer.step, dict[FoldTrainer, int]()

    def step(self: FoldTrainer) -> None:
        take_step(self)
        taken[self] = taken.get(self, 0) + 1
        if taken[self] == steps(self):
            with torch.no_grad():
                for weight in self.weights:
                    weight.fill_(value)
            self.average.update()

    monkeypatch.setattr(FoldTrainer, "step", step)


def every_step(trainer: FoldTrainer) -> int:
    return trainer.preset.epochs * math.ceil(len(trainer.fitting) / trainer.preset.batch_size)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    "preset", [TINY, TINY_PAPER, UNCHECKED, replace(UNCHECKED, recalibrate=True)], ids=["tuned", "paper", "-", "Platt"]
)
def test_weights_lost_in_the_very_last_step(
    preset: Preset, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_after(every_step, value, monkeypatch)
    store = run_crossval(COHORT, IMAGES, tiny_config("pet_labs", preset=preset), tmp_path)
    reasons = [store.outcome("pet_labs", 0, fold).reason for fold in range(2)]
    assert all(reason.endswith("not finite in epoch 3.") or "not finite after epoch 3." in reason for reason in reasons)
    assert_readable(tmp_path)  # of the weights that were kept of the epoch before


@pytest.mark.parametrize("where", ["weights", "answers"])
def test_numbers_lost_in_an_inner_fold_leave_the_fit_without_recalibration(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = replace(UNCHECKED, recalibrate=True)
    healthy = fit("pet_labs", preset=replace(preset, recalibrate=False))
    if where == "weights":  # of fits with fewer patients than the fold has
        lost_after(lambda trainer: 1 if len(trainer.fitting) < len(TRAIN) else -1, math.nan, monkeypatch)
    else:
        nothing = [np.full(4, np.nan, dtype=np.float32)]
        monkeypatch.setattr("PRRTPredictorCore.training.network.predict_together", lambda *_: nothing)
    result = fit("pet_labs", preset=preset)
    assert result.outcome.reason.startswith("Not recalibrated: ")
    assert result.tensors["recalibration"].tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(result.predictions.logit, healthy.predictions.logit)


@pytest.mark.parametrize("preset", [TINY, TINY_PAPER], ids=["tuned", "paper"])
def test_what_an_exploded_fit_leaves_can_be_read(preset: Preset, tmp_path: Path) -> None:
    wild = replace(preset.optimiser, learning_rate=1e30, gradient_clip=None, schedule="constant")
    run_crossval(COHORT, IMAGES, tiny_config("pet_labs", preset=replace(preset, optimiser=wild, epochs=20)), tmp_path)
    assert_readable(tmp_path)


def test_answers_beyond_all_numbers_are_said_and_leave_nothing_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PRRTPredictorCore.training import engine

    fit_network = engine.fit_network

    def overflowing(*arguments: object) -> object:
        fitted = fit_network(*arguments)  # type: ignore[arg-type]
        with torch.no_grad():
            for weight in fitted.fitted.network.parameters():
                weight.mul_(1e30)
        return fitted

    monkeypatch.setattr(engine, "fit_network", overflowing)
    store = run_crossval(COHORT, IMAGES, tiny_config("pet_labs"), tmp_path)
    assert "not a number" in store.outcome("pet_labs", 0, 0).reason
    assert_readable(tmp_path)
