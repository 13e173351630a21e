"""Packing and asking: a model folder holds what the run fitted, and says on whom it may be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_stand_in import TINY, tiny_cohort, tiny_config

from PRRTPredictorCore.errors import InputRefused
from PRRTPredictorCore.models.bundle import load_bundle
from PRRTPredictorCore.models.presets import TUNED
from PRRTPredictorCore.prediction.external import summarise_validation
from PRRTPredictorCore.prediction.pack import pack_model
from PRRTPredictorCore.prediction.predictor import Patient, ask_ensemble
from PRRTPredictorCore.records import LABS, Labs, ModelIdentity
from PRRTPredictorCore.training.crossval import run_crossval
from PRRTPredictorCore.training.store import RunStore

COHORT, IMAGES = tiny_cohort()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return run_crossval(COHORT, IMAGES, tiny_config("pet_labs"), tmp_path_factory.mktemp("run") / "run")


def test_a_run_with_settings_of_its_own_is_packed_with_them(run: RunStore, tmp_path: Path) -> None:
    assert TINY.name == TUNED.name
    assert TINY.digest() != TUNED.digest()
    pack_model(run.path, "pet_labs", tmp_path / "model")
    assert load_bundle(tmp_path / "model", device="cpu").metadata.preset.digest() == TINY.digest()


def test_the_packed_ensemble_answers_as_its_folds_do(run: RunStore, tmp_path: Path) -> None:
    pack_model(run.path, "pet_labs", tmp_path / "model")
    bundle = load_bundle(tmp_path / "model", device="cpu")
    held_out = {code: (fold, row) for fold in run.predictions("pet_labs") for row, code in enumerate(fold.codes)}
    for patient in COHORT.patients[:4]:
        fold, row = held_out[patient.code]
        tabular = np.array(patient.tabular())
        answers = [
            ask_ensemble(bundle, IMAGES.study(patient.code), tabular, explain=explain).probabilities
            for explain in (True, False)
        ]
        np.testing.assert_allclose(*answers, atol=1e-6)
        assert answers[0][fold.fold] == pytest.approx(fold.probability[row], abs=1e-5)


def test_tabular_inputs_follow_the_models_order() -> None:
    patient = Patient(Labs(1.0, 2.0, 3.0, 4.0), extras={"age": 66.0})
    np.testing.assert_array_equal(patient.tabular((*LABS, "age")), [1.0, 2.0, 3.0, 4.0, 66.0])


@pytest.mark.parametrize("extras", [{}, {"age": float("nan")}, {"age": float("inf")}])
def test_an_extra_input_that_is_absent_or_no_number_is_refused(extras: dict[str, float]) -> None:
    with pytest.raises(InputRefused, match="age"):
        Patient(Labs(1.0, 2.0, 3.0, 4.0), extras).tabular((*LABS, "age"))


def test_external_validation_counts_and_scores() -> None:
    long = np.array([patient.outcome.long_pfs for patient in COHORT.patients])
    right = summarise_validation(
        ModelIdentity("pet_labs", "0" * 64, False),
        COHORT,
        np.where(long, 0.8, 0.3),
        training_auroc=0.7,
        synthetic=True,
    )
    assert (right.patients, right.long_pfs, right.excluded) == (18, int(long.sum()), 1)
    assert (right.auroc.value, right.accuracy.value, right.synthetic) == (1.0, 1.0, True)
    assert right.log_rank is not None
    assert right.log_rank.p < 0.01
