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
from PRRTPredictorCore.evaluation import results
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


def test_files_of_two_evaluations_are_never_shown_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill can fall between the files; whatever stands there is whole, and of one evaluation or refused."""
    run = made_run(tmp_path / "run", ("rf_labs", "pet"), repeats=1, unfinished={("pet", 0, 0)})
    summarise_run(run)
    earlier = {name: (run / name).read_bytes() for name in ("metrics.json", "curves.json", "significance.json")}
    made_run(tmp_path / "later", ("rf_labs", "pet"), repeats=1)
    summarise_run(tmp_path / "later")
    monkeypatch.setattr(results, "_MOMENT_S", 0.001)
    for name in ("metrics.json", "curves.json"):
        (run / name).write_bytes((tmp_path / "later" / name).read_bytes())
        with pytest.raises(ModelRefused, match="two evaluations") as refused:
            read_results(run)
        assert refused.value.code is Code.RUN_INCOMPLETE
        (run / name).write_bytes(earlier[name])
    assert read_results(run).models
    summarise_run(run)  # the same command again
    assert {name: (run / name).read_bytes() for name in earlier} == earlier


def test_results_that_change_while_they_are_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_run(tmp_path / "run", ("pet",), repeats=1)
    summarise_run(run)
    metrics = (run / "metrics.json").read_bytes()
    (run / "metrics.json").write_bytes(metrics + b"\n")
    monkeypatch.setattr(results.time, "sleep", lambda seconds: (run / "metrics.json").write_bytes(metrics))
    assert read_results(run).models


def test_results_of_an_older_version_say_nothing_of_each_other_and_are_read(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", ("pet",), repeats=1)
    summarise_run(run)
    curves = json.loads((run / "curves.json").read_text(encoding="utf-8"))
    stamp = curves.pop("metrics_sha256")
    assert json.loads((run / "significance.json").read_text(encoding="utf-8"))["metrics_sha256"] == stamp
    (run / "curves.json").write_text(json.dumps(curves), encoding="utf-8")
    assert read_results(run).models


def test_an_evaluation_cut_at_any_rename_leaves_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "run", ("pet",), repeats=1)
    summarise_run(run)
    before = {path.name: path.read_bytes() for path in run.glob("*.json")}
    rename = Path.replace
    for cut in (1, 2, 3):
        left = [cut]

        def replace(path: Path, target: Path, left: list[int] = left) -> Path:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                summarise_run(run)
        assert {path.name: path.read_bytes() for path in run.glob("*.json")} == before
        assert not list(run.glob(".partial-*"))
