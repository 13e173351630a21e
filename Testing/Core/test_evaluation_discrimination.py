"""Discrimination against scikit-learn, hand-worked values and simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.evaluation.discrimination import (
    discriminate,
    precision_recall_band,
    prevalence_long,
    roc_band,
    weighted_accuracy,
    weighted_auroc,
    weighted_average_precision,
)
from PRRTPredictorCore.evaluation.resampling import draw_multiplicities, mean_over_repeats
from PRRTPredictorCore.records import FoldPredictions


def fold(
    y: Sequence[int], probability: Sequence[float], repeat: int = 0, number: int = 0, first: int = 0
) -> FoldPredictions:
    p = np.asarray(probability, dtype=np.float64)
    return FoldPredictions(
        model="pet",
        repeat=repeat,
        fold=number,
        codes=tuple(f"P-{first + index:03d}" for index in range(len(y))),
        y=np.asarray(y, dtype=np.int64),
        probability=p,
        logit=np.log(p / (1 - p)),
    )


def simulated_run(
    patients: int = 116, skill: float = 1.0, seed: int = 0, repeats: int = 5, folds: int = 3, model: str = "pet"
) -> tuple[FoldPredictions, ...]:
    """Scores with a known separation of the two groups; AUROC = Phi(skill / sqrt(2)) in expectation."""
    rng = np.random.default_rng(seed)
    y = (np.arange(patients) < round(0.638 * patients)).astype(np.int64)
    own = rng.normal(size=patients) * 0.8 + skill * y
    made = []
    for repeat in range(repeats):
        score = own + 0.6 * rng.normal(size=patients)
        groups = np.empty(patients, dtype=int)
        for value in (0, 1):
            members = rng.permutation(np.flatnonzero(y == value))
            groups[members] = np.arange(members.size) % folds
        for number in range(folds):
            held = np.flatnonzero(groups == number)
            logit = score[held] + rng.normal()  # folds live on scales of their own
            made.append(
                FoldPredictions(
                    model=model,
                    repeat=repeat,
                    fold=number,
                    codes=tuple(f"P-{index:03d}" for index in held),
                    y=y[held],
                    probability=1 / (1 + np.exp(-logit)),
                    logit=logit,
                )
            )
    return tuple(made)


@pytest.mark.parametrize("tied", [False, True])
def test_weighted_scores_equal_scikit_learn(tied: bool) -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 39)
    score = rng.random(39)
    if tied:
        score = np.round(score, 1)
    weights = rng.multinomial(39, np.full(39, 1 / 39), size=50)
    auroc = weighted_auroc(y, score, weights)
    precision = weighted_average_precision(y, score, weights)
    accuracy = weighted_accuracy(y, score, weights)
    for row, drawn in enumerate(weights):
        assert auroc[row] == pytest.approx(roc_auc_score(y, score, sample_weight=drawn), abs=1e-12)
        assert precision[row] == pytest.approx(average_precision_score(y, score, sample_weight=drawn), abs=1e-12)
        assert accuracy[row] == pytest.approx(accuracy_score(y, score >= 0.5, sample_weight=drawn), abs=1e-12)


def test_a_resample_with_one_outcome_has_no_auroc() -> None:
    y, score = np.array([1, 1, 0]), np.array([0.9, 0.4, 0.5])
    weights = np.array([[2, 1, 0], [1, 1, 1], [0, 0, 3], [0, 0, 0]])
    assert np.array_equal(np.isnan(weighted_auroc(y, score, weights)), [True, False, True, True])
    assert np.array_equal(np.isnan(weighted_average_precision(y, score, weights)), [True, False, True, True])
    assert np.array_equal(np.isnan(weighted_accuracy(y, score, weights)), [False, False, False, True])


def test_folds_are_averaged_within_repeats_first() -> None:
    mean, per_repeat = mean_over_repeats(np.array([0.0, 1.0, 0.4]), [0, 0, 1])
    assert per_repeat.tolist() == [0.5, 0.4]
    assert mean == pytest.approx(0.45)
    mean, per_repeat = mean_over_repeats(np.array([0.8, np.nan, np.nan]), [0, 0, 1])
    assert mean == pytest.approx(0.8)
    assert np.isnan(per_repeat[1])


def test_mean_and_standard_error_by_hand() -> None:
    folds = [
        fold([1, 0, 1, 0], [0.9, 0.1, 0.8, 0.2], repeat=0),  # AUROC 1
        fold([1, 0, 1, 0], [0.9, 0.1, 0.2, 0.8], repeat=1),  # AUROC 0.75
    ]
    result = discriminate(folds)
    assert result.auroc.per_repeat == (1.0, 0.75)
    assert result.auroc.mean == pytest.approx(0.875)
    assert result.auroc.se == pytest.approx(0.125)  # sd 0.1768 / sqrt 2
    assert result.accuracy.per_repeat == (1.0, 0.5)
    assert np.isnan(discriminate(folds[:1]).auroc.se)


def test_interval_is_of_the_mean_fold_auroc_and_not_of_a_pooled_one() -> None:
    # Each fold is ranked perfectly, but on scales of its own: pooled, the AUROC would be 0.75.
    folds = [fold([1, 1, 0, 0], [0.2, 0.3, 0.1, 0.1]), fold([1, 1, 0, 0], [0.9, 0.8, 0.7, 0.7], number=1, first=4)]
    result = discriminate(folds)
    assert result.auroc.mean == 1.0
    assert result.auroc.ci95 == (1.0, 1.0)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    from scipy.stats import norm

    truth = norm.cdf(1.0 / np.sqrt(2 * (0.8**2 + 0.6**2)))
    covered = []
    for seed in range(120):
        low, high = discriminate(simulated_run(seed=seed), resamples=300).auroc.ci95
        covered.append(low <= truth <= high)
    assert 0.88 <= np.mean(covered) <= 1.0


def test_interval_is_wider_than_the_paper_s_standard_error_suggests() -> None:
    result = discriminate(simulated_run())
    low, high = result.auroc.ci95
    assert high - low > 2 * 1.96 * result.auroc.se
    assert low < result.auroc.mean < high


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_folds() -> None:
    run = simulated_run()
    assert discriminate(run) == discriminate(tuple(reversed(run)))


def test_collapsed_folds_are_counted_and_score_one_half() -> None:
    from dataclasses import replace

    run = [replace(item, probability=np.full(item.y.size, 0.64), collapsed=True) for item in simulated_run()]
    result = discriminate(run)
    assert result.collapsed_folds == 15
    assert result.auroc.mean == 0.5
    assert result.auprc.mean == pytest.approx(prevalence_long(run), abs=0.01)


def test_multiplicities_draw_as_many_patients_as_there_are() -> None:
    draws = draw_multiplicities(116, 200, seed=4)
    assert draws.shape == (200, 116)
    assert (draws.sum(axis=1) == 116).all()
    assert abs((draws == 0).mean() - np.exp(-1)) < 0.02


def test_contradicting_folds_are_refused() -> None:
    one = fold([1, 0], [0.6, 0.4])
    with pytest.raises(RunFailed) as caught:
        discriminate([one, one])
    assert caught.value.code is Code.RUN_MISMATCH
    with pytest.raises(RunFailed, match="two different outcomes"):
        discriminate([one, fold([0, 1], [0.6, 0.4], repeat=1)])
    with pytest.raises(RunFailed) as caught:
        discriminate([])
    assert caught.value.code is Code.RUN_INCOMPLETE


def test_bands_start_and_end_where_curves_must() -> None:
    run = simulated_run(skill=1.5)
    roc, recall = roc_band(run), precision_recall_band(run)
    assert roc is not None
    assert recall is not None
    assert roc.folds == recall.folds == 15
    assert roc.median[-1] == 1.0
    assert (np.diff(roc.median) >= 0).all()
    assert np.trapezoid(roc.median, roc.x) == pytest.approx(discriminate(run).auroc.mean, abs=0.03)
    assert recall.median[-1] == pytest.approx(0.64, abs=0.08)  # everyone called long: the prevalence
    assert (roc.low <= roc.median).all()
    assert (roc.median <= roc.high).all()


def test_precision_is_read_as_steps() -> None:
    band = precision_recall_band([fold([1, 0, 1], [0.9, 0.8, 0.7])], points=5)
    assert band is not None
    assert band.median == pytest.approx([1.0, 1.0, 1.0, 2 / 3, 2 / 3])
