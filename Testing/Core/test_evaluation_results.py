"""A run's results read back: the same numbers as were computed, curves of the pooled predictions, clear refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from report_runs import made_run
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.evaluation.results import RunResults, read_results
from PRRTPredictorCore.evaluation.summary import RunSummary, summarise_run
from PRRTPredictorCore.training.store import RunStore


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunSummary, RunResults]:
    run = made_run(
        tmp_path_factory.mktemp("made") / "run", ("rf_labs", "pet_labs", "pet_ct_labs"), unfinished={("pet_labs", 1, 2)}
    )
    summary = summarise_run(run)
    return run, summary, read_results(run)


def test_the_numbers_are_those_that_were_computed(made: tuple[Path, RunSummary, RunResults]) -> None:
    _, summary, results = made
    assert [model.name for model in results.models] == ["rf_labs", "pet_labs", "pet_ct_labs"]
    assert (results.patients, results.folds, results.repeats, results.synthetic) == (36, 3, 2, True)
    assert results.prevalence_long == pytest.approx(summary.prevalence_long, abs=1e-6)
    for read, computed in zip(results.models, summary.models, strict=True):
        assert read.collapsed_folds == computed.collapsed_folds
        for name in ("auroc", "auprc", "accuracy"):
            one, other = getattr(read, name), computed.metric(name)
            assert one.mean == pytest.approx(other.mean, abs=1e-6)
            assert one.ci95 == pytest.approx(other.ci95, abs=1e-6)
            assert one.per_repeat == pytest.approx(other.per_repeat, abs=1e-6)


def test_the_curves_have_the_area_of_the_pooled_predictions(made: tuple[Path, RunSummary, RunResults]) -> None:
    run, _, results = made
    for model in results.models:
        folds = RunStore(run).predictions(model.name)
        y = np.concatenate([fold.y for fold in folds])
        probability = np.concatenate([fold.probability for fold in folds])
        assert auc(model.roc.x, model.roc.y) == pytest.approx(roc_auc_score(y, probability), abs=1e-4)
        assert (model.roc.x[0], model.roc.y[0], model.roc.x[-1], model.roc.y[-1]) == (0, 0, 1, 1)
        gained = np.diff(model.pr.x, prepend=0.0)
        assert all(gained >= 0)
        assert float(gained @ np.array(model.pr.y)) == pytest.approx(average_precision_score(y, probability), abs=1e-4)
        assert model.pr.x[-1] == 1


def test_a_single_repeat_has_no_standard_error(tmp_path: Path) -> None:
    summarise_run(made_run(tmp_path / "run", ("pet",), repeats=1))
    (model,) = read_results(tmp_path / "run").models
    assert math.isnan(model.auroc.se)
    assert math.isfinite(model.auroc.mean)


def test_what_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    def code() -> Code:
        with pytest.raises(ModelRefused) as refused:
            read_results(tmp_path / "run")
        assert refused.value.remedy
        return refused.value.code

    assert code() is Code.PATH_MISSING
    run = made_run(tmp_path / "run", ("pet",), repeats=1)
    assert code() is Code.RUN_INCOMPLETE
    summarise_run(run)
    curves = (run / "curves.json").read_text()
    for damaged in ("{", "[]", json.dumps({"models": {}}), curves.replace('"y"', '"z"')):
        (run / "curves.json").write_text(damaged)
        assert code() is Code.RUN_MISMATCH
    (run / "curves.json").write_text(curves)
    assert read_results(run).models
