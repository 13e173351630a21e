"""The statistics held to references: plain loops, scikit-learn, scipy, lifelines' data sets, published values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from lifelines.datasets import load_leukemia, load_lung
from lifelines.statistics import logrank_test
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import bootstrap, mannwhitneyu, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from test_evaluation_discrimination import fold, simulated_run

from PRRTPredictorCore.cohort.describe import rank_sum_p
from PRRTPredictorCore.evaluation.calibration import calibrate
from PRRTPredictorCore.evaluation.discrimination import discriminate
from PRRTPredictorCore.evaluation.families import cliffs_delta
from PRRTPredictorCore.evaluation.resampling import draw_multiplicities, patient_codes
from PRRTPredictorCore.evaluation.significance import corrected_resampled_t
from PRRTPredictorCore.evaluation.survival import kaplan_meier, log_rank
from PRRTPredictorCore.records import FoldPredictions

# --- discrimination ---------------------------------------------------------------------------------------------------


def looped(folds: Sequence[FoldPredictions], times: dict[str, int], score: Callable[..., float]) -> float:
    """Every patient written out as often as drawn, every fold by scikit-learn, folds averaged, then repeats."""
    by_repeat: dict[int, list[float]] = {}
    for item in folds:
        rows = [row for row, code in enumerate(item.codes) for _ in range(times[code])]
        y = item.y[rows]
        if 0 < y.sum() < y.size or (score is accuracy and y.size):
            by_repeat.setdefault(item.repeat, []).append(score(y, item.probability[rows]))
    return float(np.mean([np.mean(values) for values in by_repeat.values()]))


def accuracy(y: np.ndarray, probability: np.ndarray) -> float:
    return float(accuracy_score(y, probability >= 0.5))


def test_intervals_equal_a_plain_loop_with_scikit_learn() -> None:
    run = simulated_run(patients=36, repeats=2, seed=5)
    codes = patient_codes(run)
    draws = draw_multiplicities(len(codes), 60, seed=9)
    result = discriminate(run, resamples=60, seed=9)
    scores: dict[str, Callable[..., float]] = {
        "auroc": roc_auc_score,
        "auprc": average_precision_score,
        "accuracy": accuracy,
    }
    for name, score in scores.items():
        summary = result.metric(name)  # type: ignore[arg-type]
        assert summary.mean == pytest.approx(looped(run, dict.fromkeys(codes, 1), score), abs=1e-12)
        values = [looped(run, dict(zip(codes, row, strict=True)), score) for row in draws.tolist()]
        assert summary.ci95 == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_the_interval_of_one_fold_is_scipys_bootstrap() -> None:
    item = simulated_run(patients=120, repeats=1, folds=1)[0]
    reference = bootstrap(
        (item.y, item.probability), roc_auc_score, paired=True, vectorized=False, method="percentile",
        n_resamples=1500, rng=np.random.default_rng(1),
    )  # fmt: skip
    low, high = discriminate([item], resamples=4000).auroc.ci95
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=0.01)


def test_the_width_of_an_interval_is_delongs() -> None:
    # DeLong, DeLong and Clarke-Pearson 1988: variance from the placements of either group.
    item = simulated_run(patients=150, repeats=1, folds=1, seed=2)[0]
    long, short = item.probability[item.y == 1], item.probability[item.y == 0]
    above = (long[:, None] > short[None, :]).astype(float)
    variance = above.mean(axis=1).var(ddof=1) / long.size + above.mean(axis=0).var(ddof=1) / short.size
    low, high = discriminate([item], resamples=4000).auroc.ci95
    assert (high - low) / (2 * norm.ppf(0.975)) == pytest.approx(np.sqrt(variance), rel=0.06)


# --- calibration ------------------------------------------------------------------------------------------------------


def test_intercept_is_the_root_of_the_score_equation() -> None:
    rng = np.random.default_rng(4)
    told = rng.normal(size=200)
    item = fold((rng.random(200) < expit(told + 0.6)).astype(int), expit(told))
    root = brentq(lambda shift: float((item.y - expit(item.logit + shift)).sum()), -5, 5, xtol=1e-12)
    assert calibrate([item], resamples=2).intercept.value == pytest.approx(root, abs=1e-8)


def test_slope_and_its_interval_equal_a_plain_loop_with_scikit_learn() -> None:
    run = simulated_run(patients=90, repeats=2, skill=0.7, seed=6)
    codes = patient_codes(run)
    y = np.concatenate([item.y for item in run])
    logit = np.concatenate([item.logit for item in run])
    held = [code for item in run for code in item.codes]

    def slope(times: dict[str, int]) -> float:
        weights = np.array([times[code] for code in held], dtype=float)
        fitted = LogisticRegression(C=1e12, tol=1e-10, max_iter=2000).fit(logit[:, None], y, sample_weight=weights)
        return float(fitted.coef_[0, 0])

    estimate = calibrate(run, resamples=25, seed=3).slope
    assert estimate.value == pytest.approx(slope(dict.fromkeys(codes, 1)), abs=1e-5)
    draws = draw_multiplicities(len(codes), 25, seed=3).tolist()
    slopes = [slope(dict(zip(codes, row, strict=True))) for row in draws]
    assert estimate.ci95 == pytest.approx(tuple(np.quantile(slopes, [0.025, 0.975])), abs=1e-5)


# --- survival ---------------------------------------------------------------------------------------------------------


def test_freireichs_leukaemia_trial() -> None:
    # Freireich et al. 1963 as analysed everywhere since (Kalbfleisch and Prentice; R: survdiff): chi-squared 16.8 on
    # 1 degree of freedom, median remission 23 weeks on 6-MP and 8 on placebo.
    data = load_leukemia()
    weeks, relapse = data["t"].to_numpy(float), data["status"].to_numpy(bool)
    placebo = data["Rx"].to_numpy(bool)
    test = log_rank(weeks, relapse, placebo.astype(int))
    assert test is not None
    assert test.statistic == pytest.approx(16.79, abs=0.005)
    assert [kaplan_meier(weeks[arm], relapse[arm]).median_months for arm in (~placebo, placebo)] == [23.0, 8.0]
    six_mp = kaplan_meier(weeks[~placebo], relapse[~placebo], ticks=np.array([0.0, 6.0, 10.0, 22.0, 23.0]))
    assert six_mp.at_risk.tolist() == [21, 21, 15, 7, 6]
    at = dict(zip(six_mp.times.tolist(), six_mp.survival.tolist(), strict=True))
    assert (at[6.0], at[10.0], at[23.0]) == pytest.approx((0.857, 0.753, 0.448), abs=5e-4)


def test_the_lung_cancer_data_of_r() -> None:
    # R: survdiff(Surv(time, status) ~ sex, lung) gives 10.3 on 1 degree of freedom, p = 0.001; medians 270, 426 days.
    data = load_lung()
    days, dead = data["time"].to_numpy(float), data["status"].to_numpy(bool)
    woman = (data["sex"] == 2).to_numpy()
    test = log_rank(days, dead, woman.astype(int))
    assert test is not None
    assert test.statistic == pytest.approx(10.33, abs=0.005)
    assert test.p == pytest.approx(0.00131, abs=5e-6)
    reference = logrank_test(days[woman], days[~woman], dead[woman], dead[~woman])
    assert test.statistic == pytest.approx(reference.test_statistic, rel=1e-9)
    assert [kaplan_meier(days[who], dead[who]).median_months for who in (~woman, woman)] == [270.0, 426.0]


# --- tests between groups ---------------------------------------------------------------------------------------------


def test_the_rank_sum_test_of_hollander_and_wolfe() -> None:
    # Nonparametric Statistical Methods, 1973, p. 69 (the example of R's wilcox.test): W = 35, one-sided p = 0.1272.
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert mannwhitneyu(term, early).statistic == 35
    assert rank_sum_p(term, early) == pytest.approx(2 * 0.1272, abs=1e-4)


def test_cliffs_delta_in_closed_form() -> None:
    # 1..n against 1..n shifted by s: n - s choose 2 pairs lie the other way, n - s tie.
    for n, shift in ((5, 0), (7, 2), (12, 11), (4, 9)):
        first, second = np.arange(n) + shift, np.arange(n)
        overlap = max(n - shift, 0)
        losses, ties = overlap * (overlap - 1) / 2, overlap
        assert cliffs_delta(first, second) == pytest.approx(1 - (2 * losses + ties) / n**2)
        assert cliffs_delta(second, first) == pytest.approx(-cliffs_delta(first, second))
    # Two normal distributions a distance d apart: 2 Phi(d / sqrt 2) - 1.
    grid = norm.ppf((np.arange(2000) + 0.5) / 2000)
    for distance in (0.2, 1.0):
        expected = 2 * norm.cdf(distance / np.sqrt(2)) - 1
        assert cliffs_delta(grid + distance, grid) == pytest.approx(expected, abs=1e-3)
    y, score = np.array([1, 0, 1, 1, 0]), np.array([0.9, 0.4, 0.4, 0.1, 0.3])
    assert cliffs_delta(score[y == 1], score[y == 0]) == pytest.approx(2 * roc_auc_score(y, score) - 1)


def test_nadeau_and_bengio_by_hand_for_three_folds_and_five_repeats() -> None:
    # 15 differences, five each of 0.02, 0.05 and 0.08: mean 0.05, sum of squares 10 * 0.0009, variance 0.009 / 14.
    # Test over training patients 1/2: t = 0.05 / sqrt((1/15 + 1/2) * 0.009 / 14) = 2.6196; without the correction 7.64.
    t, p = corrected_resampled_t(np.tile([0.02, 0.05, 0.08], 5), test_share=0.5)
    assert t == pytest.approx(2.6197, abs=2e-4)
    assert p == pytest.approx(0.0202, abs=2e-4)  # tables of Student's t, 14 degrees of freedom: 2.624 at 0.02
    uncorrected, _ = corrected_resampled_t(np.tile([0.02, 0.05, 0.08], 5), test_share=0.0)
    assert uncorrected == pytest.approx(7.638, abs=1e-3)
