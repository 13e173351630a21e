"""Two models side by side: against the statistics of each alone, against a plain loop, and in hand-worked counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, cohen_kappa_score, roc_auc_score
from test_evaluation_discrimination import fold, simulated_run

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.evaluation.calibration import calibrate
from PRRTPredictorCore.evaluation.comparison import (
    COMPARED_METRICS,
    ComparedMetric,
    MetricDifference,
    ModelComparison,
    compare_models,
)
from PRRTPredictorCore.evaluation.discrimination import METRICS, discriminate
from PRRTPredictorCore.evaluation.resampling import draw_multiplicities, patient_codes
from PRRTPredictorCore.evaluation.significance import compare_pair
from PRRTPredictorCore.records import FoldPredictions


def second_model(folds: tuple[FoldPredictions, ...], noise: float, seed: int = 9) -> tuple[FoldPredictions, ...]:
    """Another model on the same splits that knows what ``folds`` know, less ``noise``."""
    rng = np.random.default_rng(seed)
    made = []
    for item in folds:
        logit = item.logit + noise * rng.normal(size=item.y.size)
        made.append(replace(item, model="ct", logit=logit, probability=1 / (1 + np.exp(-logit))))
    return tuple(made)


def of(comparison: ModelComparison, metric: ComparedMetric) -> MetricDifference:
    return comparison.differences[COMPARED_METRICS.index(metric)]


def test_point_estimates_are_those_of_each_model_alone() -> None:
    first = simulated_run(skill=1.2)
    second = second_model(first, noise=1.0)
    found = compare_models(first, second, 0.5, resamples=200, permutations=500)
    assert (found.model, found.reference) == ("pet", "ct")
    for metric in METRICS:
        one, other = discriminate(first, 10).metric(metric).mean, discriminate(second, 10).metric(metric).mean
        assert of(found, metric).first == pytest.approx(one)
        assert of(found, metric).second == pytest.approx(other)
        assert of(found, metric).difference == pytest.approx(one - other)
    assert of(found, "brier").first == pytest.approx(calibrate(first, resamples=10).brier.value)
    assert of(found, "brier").second == pytest.approx(calibrate(second, resamples=10).brier.value)
    assert found.test == compare_pair(first, second, 0.5, 500)
    assert found.test.difference == pytest.approx(of(found, "auroc").difference)


def test_intervals_equal_a_plain_loop_over_the_same_resamples() -> None:
    first = simulated_run(patients=90, repeats=2, skill=1.0)
    second = second_model(first, noise=0.8)
    found = compare_models(first, second, 0.5, resamples=60, permutations=10, seed=4)
    codes = patient_codes(first)
    auroc, brier = [], []
    for drawn in draw_multiplicities(len(codes), 60, 4):
        times = dict(zip(codes, drawn, strict=True))
        differences, errors = [], []
        for a, b in zip(first, second, strict=True):
            rows = np.repeat(np.arange(a.y.size), [times[code] for code in a.codes])
            differences.append(
                roc_auc_score(a.y[rows], a.probability[rows]) - roc_auc_score(a.y[rows], b.probability[rows])
            )
            errors.append(((a.probability[rows] - a.y[rows]) ** 2, (b.probability[rows] - a.y[rows]) ** 2))
        auroc.append(np.mean(np.reshape(differences, (2, 3)).mean(axis=1)))
        one, other = (np.concatenate(side).mean() for side in zip(*errors, strict=True))
        brier.append(one - other)
    assert of(found, "auroc").ci95 == pytest.approx(tuple(np.quantile(auroc, [0.025, 0.975])))
    assert of(found, "brier").ci95 == pytest.approx(tuple(np.quantile(brier, [0.025, 0.975])))


def test_pairing_narrows_the_interval_and_a_model_equals_itself() -> None:
    first = simulated_run(skill=1.0)
    alike = second_model(first, noise=0.2)
    found = compare_models(first, alike, 0.5, resamples=500, permutations=100)
    low, high = of(found, "auroc").ci95
    alone = discriminate(first, 500).auroc.ci95
    assert high - low < 0.5 * (alone[1] - alone[0])
    same = compare_models(first, first, 0.5, resamples=50, permutations=100)
    assert [one.difference for one in same.differences] == [0, 0, 0, 0]
    assert [one.ci95 for one in same.differences] == [(0, 0)] * 4
    assert same.test is not None
    assert same.test.p_permutation == 1.0
    assert same.agreement.kappa == pytest.approx(1.0)
    assert same.agreement.rank_correlation == pytest.approx(1.0)


def test_interval_of_the_difference_covers_the_truth() -> None:
    """Two models of equal skill: about 95 % of the intervals should hold 0."""
    holding = 0
    for seed in range(60):
        first = simulated_run(patients=60, skill=0.8, seed=seed, repeats=2)
        other = {code: value for item in first for code, value in zip(item.codes, item.logit, strict=True)}
        rng = np.random.default_rng(1000 + seed)
        own = {code: 0.8 * rng.normal() for code in other}
        second = []
        for item in first:
            logit = 0.8 * item.y + [own[code] for code in item.codes] + 0.6 * rng.normal(size=item.y.size)
            second.append(replace(item, model="ct", logit=logit, probability=1 / (1 + np.exp(-logit))))
        low, high = of(compare_models(first, second, 0.5, 200, 10), "auroc").ci95
        holding += low <= 0 <= high
    assert 53 <= holding <= 60


def test_agreement_counts_patients_once_by_hand() -> None:
    # P-000 and P-001 had long PFS, P-002 and P-003 short; the mean over two repeats decides.
    y = [1, 1, 0, 0]
    first = [fold(y, [0.9, 0.2, 0.6, 0.1]), fold(y, [0.7, 0.4, 0.6, 0.2], repeat=1)]
    second = [fold(y, [0.8, 0.9, 0.3, 0.4]), fold(y, [0.8, 0.3, 0.3, 0.9], repeat=1)]
    found = compare_models(first, second, 1.0, resamples=20, permutations=10)
    # First: L S L S; second: L L S L.
    assert found.patients.first.tolist() == pytest.approx([0.8, 0.3, 0.6, 0.15])
    assert found.patients.second_long.tolist() == [True, True, False, True]
    assert found.agreement.counts == (((0, 0), (1, 1)), ((1, 0), (0, 1)))
    assert (found.agreement.patients, found.agreement.same) == (4, 1)
    assert (found.agreement.only_first_right, found.agreement.only_second_right) == (1, 2)
    assert found.agreement.kappa == pytest.approx(cohen_kappa_score([1, 0, 1, 0], [1, 1, 0, 1]))
    assert of(found, "brier").first == pytest.approx(brier_score_loss(y * 2, [0.9, 0.2, 0.6, 0.1, 0.7, 0.4, 0.6, 0.2]))


def test_only_folds_that_both_finished_enter() -> None:
    first = simulated_run(repeats=2)
    second = second_model(first, 0.5)
    found = compare_models(first[:5], second[1:], 0.5, 50, 50)
    assert [(pair.first.repeat, pair.first.fold) for pair in found.folds] == [(0, 1), (0, 2), (1, 0), (1, 1)]
    assert found.test is not None
    assert found.test.folds == 4
    with pytest.raises(RunFailed) as refusal:
        compare_models(first[:2], second[3:], 0.5)
    assert refusal.value.code is Code.RUN_INCOMPLETE


def test_what_is_undefined_stays_undefined() -> None:
    one_outcome = [fold([1, 1, 1], [0.9, 0.4, 0.6])]
    found = compare_models(one_outcome, [fold([1, 1, 1], [0.5, 0.5, 0.5])], 0.5, 50, 50)
    assert found.test is None
    assert math.isnan(of(found, "auroc").difference)
    assert math.isnan(of(found, "auroc").ci95[0])
    assert of(found, "accuracy").difference == pytest.approx(-1 / 3)
    assert math.isnan(found.agreement.rank_correlation), "the second tells everyone the same"
    everyone_long = compare_models(
        [fold([1, 0], [0.9, 0.8])], [fold([1, 0], [0.7, 0.6])], 1.0, resamples=20, permutations=10
    )
    assert math.isnan(everyone_long.agreement.kappa)
