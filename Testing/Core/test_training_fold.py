"""One fit: nothing leaks from the held-out patients, every number repeats, and trouble stops the fold, not the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_stand_in import SHAPE, TINY, TINY_PAPER, tiny_cohort

from PRRTPredictorCore.errors import Code, InputRefused
from PRRTPredictorCore.models.device import resolve_device
from PRRTPredictorCore.models.fitted import FittedNetwork
from PRRTPredictorCore.models.forest import FittedForest
from PRRTPredictorCore.models.presets import Preset
from PRRTPredictorCore.models.registry import model_spec
from PRRTPredictorCore.training.ask import ask_network
from PRRTPredictorCore.training.data import TrainingData, gather_training_data
from PRRTPredictorCore.training.engine import FitSettings, fit_folds, fold_seed
from PRRTPredictorCore.training.heldout import LOG10_EDGES, GradientHistograms, HeldOutGradients
from PRRTPredictorCore.training.inputs import FoldInputs, FoldNormalisers
from PRRTPredictorCore.training.records import FoldResult, FoldTask

COHORT, IMAGES = tiny_cohort()
DATA, _ = gather_training_data(COHORT, IMAGES)
TRAIN, TEST = DATA.codes[:12], DATA.codes[12:]


def fit(model: str, data: TrainingData = DATA, preset: Preset = TINY, device: str = "cpu") -> FoldResult:
    (result,) = fit_folds([FoldTask(model, 0, 0, TRAIN, TEST)], data, FitSettings(preset, seed=3, device=device))
    return result


def assert_same_fit(first: FoldResult, second: FoldResult) -> None:
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name


@pytest.mark.parametrize("model", ["rf_labs", "pet", "ct_labs", "pet_ct_labs"])
@pytest.mark.parametrize("preset", [TINY, TINY_PAPER, replace(TINY, class_weighting="balanced", recalibrate=True)])
def test_held_out_patients_change_nothing_that_is_fitted(model: str, preset: Preset) -> None:
    images = IMAGES
    for code in TEST:
        images = images.changed(code, lambda values: values * 7 + 1000)
    held_out = DATA.rows(TEST)
    tabular, y = DATA.tabular.copy(), DATA.y.copy()
    tabular[held_out] = tabular[held_out] * 50 + 3
    y[held_out] = 1 - y[held_out]
    perturbed = replace(DATA, images=images, tabular=tabular, y=y)

    before, after = fit(model, preset=preset), fit(model, perturbed, preset)
    assert_same_fit(before, after)
    assert before.outcome.epochs == after.outcome.epochs
    assert not np.array_equal(before.predictions.y, after.predictions.y)


def test_training_patients_do_change_what_is_fitted() -> None:
    images = IMAGES.changed(TRAIN[0], lambda values: values * 2)
    other = fit("pet", replace(DATA, images=images))
    assert not torch.equal(other.tensors["pet_scaling.mean"], fit("pet").tensors["pet_scaling.mean"])


@pytest.mark.parametrize("model", ["rf_labs", "pet_ct_labs"])
def test_a_fit_repeats_to_the_last_bit(model: str) -> None:
    torch.manual_seed(1)
    first = fit(model)
    torch.manual_seed(2)
    torch.rand(5)
    second = fit(model)
    assert_same_fit(first, second)
    np.testing.assert_array_equal(first.predictions.logit, second.predictions.logit)


def test_results_do_not_depend_on_company() -> None:
    tasks = [FoldTask("pet_labs", repeat, 0, TRAIN, TEST) for repeat in range(3)]
    settings = FitSettings(TINY, seed=3)
    together = list(fit_folds(tasks, DATA, settings))
    alone = next(iter(fit_folds([tasks[2]], DATA, settings)))
    np.testing.assert_allclose(together[2].predictions.logit, alone.predictions.logit, atol=1e-5)
    assert not torch.equal(*(result.tensors["network.output.1.weight"] for result in together[:2]))
    assert fold_seed(3, tasks[0]) != fold_seed(4, tasks[0])


def test_threads_and_random_state_of_the_caller_are_left_alone() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    fit("pet_labs")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_predictions_are_those_of_the_stored_model() -> None:
    result = fit("pet_ct_labs")
    model = FittedNetwork.from_tensors(model_spec("pet_ct_labs"), TINY, result.tensors)
    rows = DATA.rows(TEST)
    logits = model.predict(DATA.stack("pet", rows), DATA.stack("ct", rows), DATA.tabular[rows])
    np.testing.assert_allclose(result.predictions.logit, logits, atol=1e-5)
    np.testing.assert_allclose(result.predictions.probability, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert result.predictions.codes == TEST
    np.testing.assert_array_equal(result.predictions.y, DATA.y[rows])

    forest = fit("rf_labs")
    stored = FittedForest.from_tensors(model_spec("rf_labs"), forest.tensors)
    np.testing.assert_array_equal(forest.predictions.logit, stored.predict(None, None, DATA.tabular[rows]))


def test_the_paper_preset_collapses_and_it_is_said() -> None:
    # SCIENCE.md: Adam with lr 0.01 and coupled weight decay 0.2 drives the network to a constant.
    result = fit("pet", preset=replace(TINY_PAPER, epochs=60))
    assert np.std(result.predictions.logit) < 1e-3
    assert result.outcome.collapsed
    assert result.predictions.collapsed
    assert result.outcome.reason == ""
    assert not fit("pet_labs").outcome.collapsed


def test_a_nan_in_a_training_image_stops_the_fold_with_a_reason() -> None:
    images = IMAGES.changed(TRAIN[3], lambda values: np.where(values > values.mean(), np.nan, values))
    result = fit("pet_labs", replace(DATA, images=images))
    assert "NOT_FINITE" in result.outcome.reason
    assert result.outcome.epochs == 0
    assert result.outcome.collapsed
    share = DATA.y[DATA.rows(TRAIN)].mean()
    np.testing.assert_allclose(result.predictions.probability, share)


def test_a_nan_in_a_held_out_image_is_said_and_the_others_are_predicted() -> None:
    images = IMAGES.changed(TEST[0], lambda values: np.full_like(values, np.nan))
    result = fit("pet_labs", replace(DATA, images=images))
    assert "1 held-out patient" in result.outcome.reason
    assert np.isfinite(result.predictions.logit).all()
    np.testing.assert_array_equal(result.predictions.logit[4:], fit("pet_labs").predictions.logit[4:])


def test_an_exploding_loss_keeps_the_last_finite_weights() -> None:
    wild = replace(TINY, optimiser=replace(TINY.optimiser, learning_rate=1e30, gradient_clip=None, schedule="constant"))
    result = fit("pet_labs", preset=replace(wild, epochs=20))
    assert "not finite" in result.outcome.reason
    assert all(torch.isfinite(tensor).all() for name, tensor in result.tensors.items() if name.startswith("network"))
    assert np.isfinite(result.predictions.logit).all()


def test_recalibration_is_fitted_on_the_training_fold() -> None:
    result = fit("pet_labs", preset=replace(TINY, class_weighting="balanced", recalibrate=True))
    scale, _ = result.tensors["recalibration"].tolist()
    assert scale != 1.0


def test_a_fifth_tabular_input_is_configuration_alone() -> None:
    data, remembered = gather_training_data(COHORT, IMAGES, extras=("haemoglobin",))
    assert data.feature_names == ("ast", "alt", "ggt", "cga", "haemoglobin")
    assert remembered.training_ranges(data.feature_names).tabular["haemoglobin"][0] >= 8
    for model in ("rf_labs", "pet_ct_labs"):
        result = fit(model, data)
        changed = replace(data, tabular=data.tabular * np.array([1, 1, 1, 1, 3]))
        assert not np.allclose(fit(model, changed).predictions.logit, 0)
        assert np.isfinite(result.predictions.logit).all()
    network = fit("pet_ct_labs", data)
    assert network.tensors["tabular_scaling.mean"].shape == (5,)
    assert network.gradients.lab_contributions is not None
    assert network.gradients.lab_contributions.shape == (6, 5)


# --- what a fold leaves of its held-out patients ------------------------------------------------------------------


def test_gradients_agree_with_finite_differences() -> None:
    result = fit("pet_labs")
    model = FittedNetwork.from_tensors(model_spec("pet_labs"), TINY, result.tensors).double()
    rows = DATA.rows(TEST)[:1]
    pet = torch.from_numpy(DATA.stack("pet", rows)).unsqueeze(1).double().requires_grad_()
    table = torch.from_numpy(DATA.tabular[rows])
    (gradient,) = torch.autograd.grad(torch.sigmoid(model(pet, None, table)).sum(), [pet])
    assert result.gradients.pet is not None
    assert result.gradients.pet.maximum[0] == pytest.approx(float(gradient.abs().max()), rel=1e-3)
    step = torch.zeros_like(pet)
    step[0, 0, 6, 5, 5] = 1e-4
    with torch.no_grad():
        slope = (torch.sigmoid(model(pet + step, None, table)) - torch.sigmoid(model(pet - step, None, table))) / 2e-4
    assert float(slope) == pytest.approx(float(gradient[0, 0, 6, 5, 5]), rel=1e-3, abs=1e-9)


def test_gradient_histograms_count_every_voxel() -> None:
    maps = np.zeros((2, 4, 4, 4))
    maps[0, 0, 0, :] = [1e-3, -1e-3, 1e-8, 1.0]
    histograms = GradientHistograms.of(maps)
    assert histograms.zeros.tolist() == [60, 64]
    assert histograms.log10_counts.sum(axis=1).tolist() == [4, 0]
    assert histograms.unit_counts.sum(axis=1).tolist() == [64, 64]
    assert histograms.maximum.tolist() == [1.0, 0.0]
    bins = np.flatnonzero(histograms.log10_counts[0])
    for exponent in (-3, -8, 0):
        assert any(LOG10_EDGES[b] - 1e-9 <= exponent <= LOG10_EDGES[b + 1] + 1e-9 for b in bins)


def test_held_out_records_survive_the_file() -> None:
    result = fit("pet_ct_labs")
    again = HeldOutGradients.from_arrays(result.gradients.to_arrays())
    assert again.codes == TEST
    assert again.lab_method == "gradient x input"
    assert again.ct is not None
    assert again.ct.known.all()
    np.testing.assert_array_equal(again.ct.unit_counts.sum(axis=1), np.prod(SHAPE))
    assert result.embeddings is not None
    assert result.embeddings.values.shape == (6, TINY.network.mlp_widths[1])
    assert fit("rf_labs").embeddings is None


def test_asking_does_not_depend_on_the_other_patients() -> None:
    result = fit("pet_ct_labs")
    model = FittedNetwork.from_tensors(model_spec("pet_ct_labs"), TINY, result.tensors)
    alone = ask_network(model, DATA, DATA.rows(TEST[-1:]))
    np.testing.assert_allclose(alone.logits, result.predictions.logit[-1:], atol=1e-6)


# --- batches ----------------------------------------------------------------------------------------------------------


def test_augmentation_moves_pet_and_ct_together_and_only_when_asked() -> None:
    settings = replace(TINY, augmentation=replace(TINY.augmentation, shift_voxels=2, scale_sd=0.0, noise_sd=0.0))
    spec, rows = model_spec("pet_ct_labs"), np.arange(4)
    images = IMAGES
    for code in DATA.codes[:4]:  # one bright voxel at the same place of both images
        images = images.changed(code, lambda values: _one_voxel(values.shape))
    data = replace(DATA, images=images)
    normalisers = FoldNormalisers.fit(data, rows, spec, settings)
    inputs = FoldInputs(data, rows, spec, settings, normalisers, torch.device("cpu"), torch.Generator().manual_seed(0))
    still = inputs.batch([0, 1], augment=False)
    assert still.pet is not None
    assert still.pet.shape == (2, 1, *SHAPE)
    np.testing.assert_allclose(still.pet[0, 0], normalisers.pet.apply(_one_voxel(SHAPE)))  # type: ignore[union-attr]
    places = set()
    for _ in range(20):
        moved = inputs.batch([0], augment=True)
        assert moved.pet is not None
        assert moved.ct is not None
        place = int(moved.pet.argmax())
        assert place == int(moved.ct.argmax())
        places.add(place)
    assert len(places) > 5


def _one_voxel(shape: tuple[int, ...]) -> np.ndarray:
    values = np.zeros(shape, dtype=np.float32)
    values[6, 5, 5] = 20.0
    return values


def test_reading_from_disk_gives_the_same_fit_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = fit("pet_ct_labs")
    monkeypatch.setattr("PRRTPredictorCore.training.inputs.RESIDENT_BYTES", 0)
    assert_same_fit(resident, fit("pet_ct_labs"))


# --- devices ----------------------------------------------------------------------------------------------------------


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(InputRefused) as refusal:
        resolve_device("cuda")
    assert refusal.value.code is Code.DEVICE_MISSING


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: CPU and CUDA predictions not compared")
def test_cuda_predicts_as_the_cpu_does() -> None:
    result = fit("pet_ct_labs", device="cuda")
    model = FittedNetwork.from_tensors(model_spec("pet_ct_labs"), TINY, result.tensors)
    rows = DATA.rows(TEST)
    on_cpu = model.predict(DATA.stack("pet", rows), DATA.stack("ct", rows), DATA.tabular[rows])
    np.testing.assert_allclose(result.predictions.logit, on_cpu, atol=1e-3)
    assert result.outcome.device != "cpu"
