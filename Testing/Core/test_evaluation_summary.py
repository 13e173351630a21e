"""The run's numbers on disk: exact shape, same bytes, partial runs."""

from __future__ import annotations

import json
import math
import time

import pytest
from test_evaluation_discrimination import simulated_run

from PRRTPredictorCore.errors import Code, ModelRefused
from PRRTPredictorCore.evaluation.summary import (
    format_table_two,
    metrics_content,
    significance_content,
    summarise,
)
from PRRTPredictorCore.models.registry import MODELS
from PRRTPredictorCore.records import FoldPredictions


def whole_run() -> dict[str, tuple[FoldPredictions, ...]]:
    # The same seed gives every model the same splits.
    return {name: simulated_run(skill=0.2 * place, model=name) for place, name in enumerate(MODELS)}


def test_seven_models_in_a_few_seconds_and_in_the_fixed_shape() -> None:
    begun = time.process_time()
    summary = summarise(whole_run(), folds=3, repeats=5)
    assert time.process_time() - begun < 60
    content = metrics_content(summary)
    assert list(content) == ["models", "prevalence_long"]
    assert list(content["models"]) == list(MODELS)
    for entry in content["models"].values():
        assert list(entry) == ["auroc", "auprc", "accuracy", "collapsed_folds"]
        assert list(entry["auroc"]) == ["mean", "se", "per_repeat", "ci95"]
        assert len(entry["auroc"]["per_repeat"]) == 5
        assert entry["auroc"]["ci95"][0] < entry["auroc"]["mean"] < entry["auroc"]["ci95"][1]
    assert content["prevalence_long"] == pytest.approx(74 / 116, abs=1e-6)
    assert not summary.missing_folds
    assert len(summary.significance.paired) == 9
    assert len(summary.significance.families) == 4


def test_the_same_predictions_give_the_same_bytes() -> None:
    texts = []
    for backwards in (False, True):
        run = whole_run()
        if backwards:
            run = {name: folds[::-1] for name, folds in reversed(run.items())}
        summary = summarise(run, 3, 5, resamples=200, permutations=500)
        texts.append(json.dumps([metrics_content(summary), significance_content(summary)], allow_nan=False))
    assert texts[0] == texts[1]


def test_a_partial_run_says_what_is_missing() -> None:
    run = {"pet": simulated_run()[:4], "rf_labs": (), "pet_labs": simulated_run(model="pet_labs")[:15]}
    summary = summarise(run, 3, 5, resamples=100, permutations=100)
    assert summary.missing_folds == {"rf_labs": 15, "pet": 11}
    assert [model.model for model in summary.models] == ["pet", "pet_labs"]
    assert "Not finished: 19 of 45 fits" in format_table_two(summary)
    (test,) = summary.significance.paired
    assert test.folds == 4


def test_one_repeat_has_no_standard_error_and_still_is_json() -> None:
    summary = summarise({"pet": simulated_run(repeats=1)}, 3, 1, resamples=50, permutations=50)
    content = metrics_content(summary)
    assert math.isnan(summary.models[0].auroc.se)
    assert content["models"]["pet"]["auroc"]["se"] is None
    json.dumps(content, allow_nan=False)
    assert "±" not in format_table_two(summary).splitlines()[2]


def test_nothing_finished_is_refused() -> None:
    with pytest.raises(ModelRefused) as caught:
        summarise({"pet": ()}, 3, 5)
    assert caught.value.code is Code.RUN_INCOMPLETE


def test_the_terminal_table_fits_and_names_everything() -> None:
    table = format_table_two(summarise(whole_run(), 3, 5, resamples=50, permutations=50))
    assert max(map(len, table.splitlines())) <= 100
    for spec in MODELS.values():
        assert spec.title in table
    assert "0/15" in table
    assert "64 %" in table


def test_significance_says_which_test_is_which() -> None:
    content = significance_content(summarise(whole_run(), 3, 5, resamples=20, permutations=200))
    assert content["primary"]["label"] == "primary: patient-level paired permutation"
    assert content["paper_protocol"]["label"].startswith("paper protocol")
    assert {test["effect"] for test in content["paper_protocol"]["comparisons"]} <= {
        "negligible",
        "small",
        "medium",
        "large",
    }
