"""Folds trained side by side: the same held-out predictions, epochs and refusals as one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_stand_in import TINY, TINY_PAPER, tiny_cohort, tiny_config

from PRRTPredictorCore.errors import Cancelled, Code, RunFailed
from PRRTPredictorCore.models.encoder_files import write_encoder
from PRRTPredictorCore.models.presets import TUNED, Preset
from PRRTPredictorCore.models.pretrained import ct_encoder_for
from PRRTPredictorCore.models.registry import MODELS, ModelSpec
from PRRTPredictorCore.progress import silent
from PRRTPredictorCore.training import crossval, engine
from PRRTPredictorCore.training.company import folds_that_fit
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.ctfeatures import with_ct_features
from PRRTPredictorCore.training.data import TrainingData, gather_training_data
from PRRTPredictorCore.training.engine import FitSettings, fit_folds, fold_seed
from PRRTPredictorCore.training.groups import fitted_together, group_tasks
from PRRTPredictorCore.training.manifest import read_manifest
from PRRTPredictorCore.training.network import FoldToFit, NetworkFit, NetworkSetup
from PRRTPredictorCore.training.notices import run_notices
from PRRTPredictorCore.training.records import FoldResult, FoldTask
from PRRTPredictorCore.training.store import RunStore
from PRRTPredictorCore.training.trainer import FoldTrainer

COHORT, IMAGES = tiny_cohort(24)
DATA, _ = gather_training_data(COHORT, IMAGES)
IMPATIENT = replace(TINY, epochs=12, patience=2, batch_size=5)
NETWORKS = [name for name, spec in MODELS.items() if spec.kind == "network"]
TOLERANCE = 1e-4
"""Of the logits, whose spread is about 0.1: only the order of sums differs."""

DEEP_TOLERANCE = 5e-3
"""Of the pretrained branch: Adam's first steps carry a rounding far there. Initial weights that differ by 1e-7 of
themselves differ as much in the end (1.4e-3)."""


def tasks(model: str) -> list[FoldTask]:
    """Folds of different sizes, so that their batches end differently."""
    codes = DATA.codes
    parts = [(codes[:16], codes[16:]), (codes[7:], codes[:7]), (codes[4:18], codes[:4] + codes[18:])]
    return [FoldTask(model, 0, fold, train, test) for fold, (train, test) in enumerate(parts)]


def fit_both_ways(
    model: str, settings: FitSettings, data: TrainingData = DATA
) -> tuple[list[FoldResult], list[FoldResult]]:
    together = list(fit_folds(tasks(model), data, settings))
    return together, [next(iter(fit_folds([task], data, settings))) for task in tasks(model)]


def assert_equal(together: list[FoldResult], alone: list[FoldResult], tolerance: float = TOLERANCE) -> None:
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.task == theirs.task
        np.testing.assert_allclose(ours.predictions.logit, theirs.predictions.logit, atol=tolerance)
        assert (ours.outcome.epochs, ours.outcome.best_epoch, ours.outcome.reason) == (
            theirs.outcome.epochs,
            theirs.outcome.best_epoch,
            theirs.outcome.reason,
        )
        assert ours.tensors.keys() == theirs.tensors.keys()


@pytest.mark.parametrize("preset", [IMPATIENT, TINY_PAPER])
@pytest.mark.parametrize("model", NETWORKS)
def test_the_same_predictions_side_by_side_as_one_by_one(model: str, preset: Preset, tmp_path: Path) -> None:
    settings = FitSettings(preset, seed=3, ct_encoder=tmp_path / "encoder.safetensors")
    write_encoder(tmp_path / "encoder.safetensors", ct_encoder_for(preset))
    pretrained = MODELS[model].ct_encoder == "pretrained"
    data = with_ct_features(DATA, MODELS[model], settings, tmp_path, silent) if pretrained else DATA
    assert_equal(*fit_both_ways(model, settings, data), tolerance=DEEP_TOLERANCE if pretrained else TOLERANCE)


def test_each_fold_stops_when_its_own_patience_ends() -> None:
    restless = replace(TINY.optimiser, learning_rate=0.02, schedule="constant", averaging=0.0)
    together, alone = fit_both_ways("pet_labs", FitSettings(replace(IMPATIENT, epochs=40, optimiser=restless), seed=5))
    assert_equal(together, alone)
    assert len({result.outcome.epochs for result in together}) > 1


def test_weighting_and_recalibration_stay_with_each_fold() -> None:
    settings = FitSettings(replace(TINY, class_weighting="balanced", recalibrate=True), seed=3)
    together, alone = fit_both_ways("pet_labs", settings)
    assert_equal(together, alone, tolerance=1e-3)
    assert len({tuple(result.tensors["recalibration"].tolist()) for result in together}) == 3


def test_a_fold_in_trouble_leaves_and_the_others_go_on() -> None:
    settings = FitSettings(TINY, seed=3)
    images = IMAGES.changed(DATA.codes[0], lambda values: np.full_like(values, np.nan))  # trained on in fold 0 alone
    together, alone = fit_both_ways("pet_labs", settings, replace(DATA, images=images))
    assert_equal(together, alone)
    assert "NOT_FINITE" in together[0].outcome.reason
    assert together[2].outcome.epochs == 3


def test_exploding_folds_stop_with_their_reason() -> None:
    wild = replace(TINY.optimiser, learning_rate=1e30, gradient_clip=None, schedule="constant")
    together = list(fit_folds(tasks("pet_labs"), DATA, FitSettings(replace(TINY, optimiser=wild, epochs=20), seed=3)))
    assert all("not finite" in result.outcome.reason for result in together)
    assert all(np.isfinite(result.predictions.logit).all() for result in together)


def poisoned_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gradient of fold 1 be NaN in its n-th step, whoever is trained beside it."""
    take_step, seed = FoldTrainer.step, fold_seed(3, tasks("pet_labs")[1])
    steps: dict[FoldTrainer, int] = {}

    def step_or_poison(self: FoldTrainer) -> None:
        steps[self] = steps.get(self, 0) + 1
        if self.generator.initial_seed() == seed and steps[self] == step:
            self.weights[0].grad.fill_(torch.nan)  # type: ignore[union-attr]
        take_step(self)

    monkeypatch.setattr(FoldTrainer, "step", step_or_poison)


@pytest.mark.parametrize(
    ("step", "reason"),
    [(4, "The loss was not finite in epoch 2."), (6, "The inner validation loss was not finite in epoch 2.")],
)
def test_a_fold_whose_numbers_are_lost_midway_harms_none_of_its_company(
    step: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FitSettings(replace(IMPATIENT, patience=12), seed=3)  # three steps an epoch
    healthy = list(fit_folds(tasks("pet_labs"), DATA, settings))
    poisoned_at(step, monkeypatch)
    together, alone = fit_both_ways("pet_labs", settings)
    assert_equal(together, alone)
    assert [result.outcome.reason for result in together] == ["", reason, ""]
    assert together[1].outcome.epochs < healthy[1].outcome.epochs == 12
    assert np.isfinite(together[1].predictions.logit).all()  # of the weights that were kept before
    assert_equal([together[0], together[2]], [healthy[0], healthy[2]])


def test_a_last_batch_of_one_patient() -> None:
    codes = DATA.codes  # 13 of 16 training patients are fitted: batches of 6, 6 and 1 in every fold
    folds = [
        FoldTask("pet_ct_labs", 0, fold, codes[start : start + 16], codes[:start] + codes[start + 16 :])
        for fold, start in enumerate((0, 3, 6))
    ]
    settings = FitSettings(replace(IMPATIENT, batch_size=6), seed=3)
    together = list(fit_folds(folds, DATA, settings))
    assert_equal(together, [next(iter(fit_folds([task], DATA, settings))) for task in folds])
    assert {result.outcome.folds_together for result in together} == {3}


def three_of_a_network(specs: Sequence[ModelSpec], *_: object) -> dict[str, int]:
    return {spec.name: 3 if spec.kind == "network" else 1 for spec in specs}


OUT_OF_MEMORY = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cpu": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    "numpy": lambda: MemoryError("Unable to allocate 1.2 GiB for an array"),
}


def room_for(most: int, monkeypatch: pytest.MonkeyPatch, kind: str = "cuda") -> list[int]:
    """Let the memory hold this many folds side by side; gives the sizes that were tried."""
    fit, tried = engine.fit_networks, []

    def fit_or_fail(setup: NetworkSetup, data: TrainingData, folds: Sequence[FoldToFit]) -> list[NetworkFit]:
        tried.append(len(folds))
        if len(folds) > most:
            raise OUT_OF_MEMORY[kind]()
        return fit(setup, data, folds)

    monkeypatch.setattr(engine, "fit_networks", fit_or_fail)
    return tried


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_where_memory_is_short_a_group_is_halved_until_it_fits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = FitSettings(TINY, seed=3)
    whole = list(fit_folds(tasks("pet_labs"), DATA, settings))
    tried = room_for(2, monkeypatch, kind)
    first, second, third = halved = list(fit_folds(tasks("pet_labs"), DATA, settings))
    assert_equal(whole, halved)
    assert tried == [3, 2]  # the third is fitted alone
    assert [result.outcome.folds_together for result in whole] == [3, 3, 3]
    assert [result.outcome.folds_together for result in halved] == [2, 2, 1]
    assert first.halved == (first.task,)
    assert second.halved == third.halved == ()


def test_any_other_error_is_no_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(engine, "fit_networks", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        list(fit_folds(tasks("pet_labs"), DATA, FitSettings(TINY, seed=3)))


@pytest.mark.parametrize("place", ["fit_network", "ask_network", "network_setup"])
def test_where_not_even_one_fold_fits_the_run_ends_typed_and_keeps_what_is_finished(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("rf_labs", "pet_labs")
    whole = run_crossval(COHORT, IMAGES, config, tmp_path / "whole")

    def no_room(*_: object) -> None:
        raise OUT_OF_MEMORY["cuda"]()

    with monkeypatch.context() as short:
        short.setattr(engine, place, no_room)
        with pytest.raises(RunFailed) as failure:
            run_crossval(COHORT, IMAGES, config, tmp_path / "short")
    assert failure.value.code is Code.OUT_OF_MEMORY
    assert "--device cpu" in failure.value.remedy
    assert len(RunStore(tmp_path / "short").finished("rf_labs")) == 2
    resumed = run_crossval(COHORT, IMAGES, config, tmp_path / "short")
    for ours, theirs in zip(resumed.predictions("pet_labs"), whole.predictions("pet_labs"), strict=True):
        np.testing.assert_array_equal(ours.logit, theirs.logit)


def sizes(store: RunStore, model: str = "pet_labs") -> list[int]:
    return [store.outcome(model, task.repeat, task.fold).folds_together for task in store.tasks(model)]


def four_of_a_network(specs: Sequence[ModelSpec], *_: object) -> dict[str, int]:
    return {spec.name: 4 if spec.kind == "network" else 1 for spec in specs}


def test_what_was_halved_stands_in_the_manifest_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "folds_together", four_of_a_network)
    monkeypatch.setattr(crossval, "group_tasks", in_company)
    config = tiny_config("rf_labs", "pet_labs", repeats=3)
    roomy = run_crossval(COHORT, IMAGES, config, tmp_path / "roomy")
    assert sizes(roomy) == [4, 4, 4, 4, 2, 2]
    assert roomy.manifest.memory_short == {}
    assert run_notices(roomy) == ()

    room_for(1, monkeypatch)
    short = run_crossval(COHORT, IMAGES, config, tmp_path / "short")
    assert sizes(short) == [1] * 6
    # The first group twice, its second half and the other group once each: 4 = (1 + 1) + (1 + 1), 2 = 1 + 1.
    assert short.manifest.memory_short == {"pet_labs": {"0-0": 2, "1-0": 1, "2-0": 1}}
    assert short.manifest.folds_together == {"rf_labs": 1, "pet_labs": 4}
    (notice,) = run_notices(short)
    assert notice.code == "MEMORY_SHORT"
    assert "4 folds of pet_labs" in notice.message
    assert "halved 4 times" in notice.message
    assert fitted_together(short, "pet_labs") == [(task,) for task in short.tasks("pet_labs")]


@pytest.mark.parametrize("saved", [1, 3])
def test_a_resumed_run_halves_the_same_groups(saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config("pet_labs", repeats=3, preset=replace(TINY, epochs=1))
    monkeypatch.setattr(crossval, "folds_together", four_of_a_network)
    monkeypatch.setattr(crossval, "group_tasks", in_company)
    tried = room_for(2, monkeypatch)
    whole = run_crossval(COHORT, IMAGES, config, tmp_path / "whole")
    assert tried == [4, 2, 2, 2]
    with monkeypatch.context() as cut:
        stop_after(saved, cut)
        with pytest.raises(Cancelled):
            run_crossval(COHORT, IMAGES, config, tmp_path / "cut")
    assert read_manifest(tmp_path / "cut").memory_short == {"pet_labs": {"0-0": 1}}
    tried.clear()
    resumed = run_crossval(COHORT, IMAGES, config, tmp_path / "cut")
    assert set(tried) == {2}  # what did not fit is not tried again
    assert resumed.manifest.memory_short == whole.manifest.memory_short == {"pet_labs": {"0-0": 1}}
    assert sizes(resumed) == sizes(whole) == [2] * 6
    for ours, theirs in zip(resumed.predictions("pet_labs"), whole.predictions("pet_labs"), strict=True):
        np.testing.assert_array_equal(ours.logit, theirs.logit)


def stop_after(saved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a run when it has stored so many folds."""
    save, stored = RunStore.save_fold, []

    def interrupted(self: RunStore, result: FoldResult) -> None:
        if len(stored) == saved:
            raise KeyboardInterrupt
        stored.append(result.task)
        save(self, result)

    monkeypatch.setattr(RunStore, "save_fold", interrupted)


def test_memory_that_got_shorter_meanwhile_halves_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config("pet_labs", repeats=2, preset=replace(TINY, epochs=1))
    monkeypatch.setattr(crossval, "folds_together", four_of_a_network)
    monkeypatch.setattr(crossval, "group_tasks", in_company)
    with monkeypatch.context() as cut:
        room_for(2, cut)
        stop_after(2, cut)
        with pytest.raises(Cancelled):
            run_crossval(COHORT, IMAGES, config, tmp_path)
    room_for(1, monkeypatch)
    resumed = run_crossval(COHORT, IMAGES, config, tmp_path)
    assert sizes(resumed) == [2, 2, 1, 1]
    assert resumed.manifest.memory_short == {"pet_labs": {"0-0": 1, "1-0": 1}}


def in_company(missing: Sequence[FoldTask], store: RunStore, _: str) -> list[list[FoldTask]]:
    """The groups of a GPU, fitted here on the CPU."""
    return group_tasks(missing, store, "cuda")


def test_on_a_cpu_a_run_begun_on_a_gpu_goes_on_fold_by_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "folds_together", three_of_a_network)
    store = run_crossval(COHORT, IMAGES, tiny_config("pet_labs", repeats=2), tmp_path)
    assert store.manifest.folds_together == {"pet_labs": 3}
    lone = store.tasks("pet_labs")[1]
    assert store.outcome("pet_labs", lone.repeat, lone.fold).folds_together == 1
    assert group_tasks([lone], store, "cpu") == [[lone]]
    assert group_tasks([lone], store, "cuda") == [list(store.tasks("pet_labs")[:3])]


def test_a_fold_of_an_older_version_was_fitted_by_itself(tmp_path: Path) -> None:
    store = run_crossval(COHORT, IMAGES, tiny_config("rf_labs"), tmp_path)
    done = store.fold_folder("rf_labs", 0, 0) / "done.json"
    written = json.loads(done.read_text())
    del written["folds_together"]
    done.write_text(json.dumps(written))
    assert store.outcome("rf_labs", 0, 0).folds_together == 1


# --- how many -----------------------------------------------------------------------------------------------------


def test_as_many_folds_as_memory_holds_in_groups_about_as_large() -> None:
    def fitting(model: str, gigabytes: float, ct_channels: int = 8) -> int:
        return folds_that_fit(MODELS[model], TUNED, 78, 75 * 50 * 50, 15, int(gigabytes * 2**30), ct_channels)

    assert fitting("rf_labs", 100) == 1
    assert fitting("pet_labs", 100) == 15
    assert fitting("pet_labs", 0.01) == 1
    sizes = [fitting("pet_ct_labs", gigabytes) for gigabytes in (1, 2, 4, 8)]
    assert sizes == sorted(sizes)
    assert set(sizes) <= {1, 2, 3, 4, 5, 8, 15}  # 15 in even groups
    assert fitting("pet_ct_labs_pretrained", 20, 32) < fitting("pet_ct_labs_pretrained", 20)


def test_a_group_cut_in_the_middle_is_fitted_whole_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config("pet_labs", repeats=2)
    monkeypatch.setattr(crossval, "folds_together", three_of_a_network)
    monkeypatch.setattr(crossval, "group_tasks", in_company)
    whole = run_crossval(COHORT, IMAGES, config, tmp_path / "whole")
    stop_after(1, monkeypatch)
    with pytest.raises(Cancelled):
        run_crossval(COHORT, IMAGES, config, tmp_path / "cut")
    monkeypatch.undo()  # resumed where the memory would allow another number
    monkeypatch.setattr(crossval, "group_tasks", in_company)
    written = (tmp_path / "cut" / "folds" / "pet_labs" / "0-0" / "done.json").read_bytes()
    steps: list[int] = []

    def listen(stage: str, done: int, total: int, message: str = "") -> None:
        steps.append(done)

    cut = run_crossval(COHORT, IMAGES, config, tmp_path / "cut", listen)
    assert steps == [1, 2, 3, 4]
    assert cut.manifest.folds_together == {"pet_labs": 3}
    assert (tmp_path / "cut" / "folds" / "pet_labs" / "0-0" / "done.json").read_bytes() == written
    for before, after in zip(whole.predictions("pet_labs"), cut.predictions("pet_labs"), strict=True):
        np.testing.assert_array_equal(before.logit, after.logit)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: folds side by side on it are not tested")
def test_the_same_predictions_side_by_side_on_a_gpu() -> None:
    assert_equal(*fit_both_ways("pet_ct_labs", FitSettings(TINY, seed=3, device="cuda")), tolerance=1e-2)
