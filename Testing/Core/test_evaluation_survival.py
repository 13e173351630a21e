"""Kaplan–Meier and log-rank on lifelines' own data sets and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines.datasets import load_rossi, load_waltons
from test_evaluation_discrimination import fold

from PRRTPredictorCore.evaluation.survival import (
    kaplan_meier,
    log_rank,
    predicted_groups,
    risk_ticks,
    survival_by_predicted_group,
    survival_of,
)
from PRRTPredictorCore.records import Outcome


def test_waltons_log_rank() -> None:
    data = load_waltons()
    test = log_rank(data["T"].to_numpy(), data["E"].to_numpy(bool), (data["group"] == "control").to_numpy())
    assert test is not None
    assert test.statistic == pytest.approx(122.25, abs=0.01)  # printed in lifelines' documentation
    assert test.degrees_of_freedom == 1
    assert test.p < 1e-27


def test_waltons_median() -> None:
    data = load_waltons()
    curve = kaplan_meier(data["T"].to_numpy(), data["E"].to_numpy(bool))
    assert curve.median_months == 56.0  # printed in lifelines' documentation
    assert (curve.patients, curve.events) == (163, 156)


def test_by_hand_with_censoring() -> None:
    curve = kaplan_meier(
        np.array([2.0, 4.0, 4.0, 7.0, 9.0]), np.array([1, 1, 0, 1, 1], bool), ticks=np.array([0, 4, 8])
    )
    assert curve.times.tolist() == [0, 2, 4, 7, 9]
    assert curve.survival == pytest.approx([1, 0.8, 0.6, 0.3, 0])
    assert curve.at_risk.tolist() == [5, 4, 1]
    assert curve.median_months == 7.0
    assert curve.lower_quartile_months == 4.0
    assert curve.upper_quartile_months == 9.0
    assert (curve.patients, curve.events) == (5, 4)
    assert ((curve.ci_low <= curve.survival) & (curve.survival <= curve.ci_high))[:-1].all()


@pytest.mark.parametrize("patients", [4, 8, 20, 36, 116])
def test_where_the_curve_runs_at_a_share_the_middle_counts(patients: int) -> None:
    # R: quantile(survfit(Surv(1:4, rep(1, 4)) ~ 1), c(.25, .5, .75)) gives 1.5, 2.5, 3.5.
    curve = kaplan_meier(np.arange(1.0, patients + 1), np.ones(patients, bool))
    quartiles = (curve.lower_quartile_months, curve.median_months, curve.upper_quartile_months)
    assert quartiles == (patients / 4 + 0.5, patients / 2 + 0.5, 3 * patients / 4 + 0.5)


@pytest.mark.parametrize("patients", [5, 9, 116, 117])
def test_without_censoring_the_median_is_the_sample_median(patients: int) -> None:
    months = np.random.default_rng(patients).uniform(1, 60, patients).round(1)
    assert kaplan_meier(months, np.ones(patients, bool)).median_months == pytest.approx(np.median(months))


def test_a_curve_that_ends_at_a_share_has_reached_it() -> None:
    # Half of four patients progress, the others are censored later: there is no next step to take the middle to.
    curve = kaplan_meier(np.array([2.0, 4.0, 7.0, 9.0]), np.array([1, 1, 0, 0], bool))
    assert curve.median_months == 4.0
    assert np.isinf(curve.upper_quartile_months)


def test_quantiles_never_reached_are_infinite() -> None:
    data = load_rossi()  # three quarters are censored
    curve = kaplan_meier(data["week"].to_numpy(), data["arrest"].to_numpy(bool))
    assert np.isinf(curve.median_months)
    assert curve.survival[-1] == pytest.approx(1 - 114 / 432)


def test_one_group_has_no_log_rank() -> None:
    assert log_rank(np.arange(1.0, 5.0), np.ones(4, bool), np.zeros(4, int)) is None


def test_risk_ticks_are_few_and_round() -> None:
    assert risk_ticks(40.0).tolist() == [0, 6, 12, 18, 24, 30, 36]
    assert all(len(risk_ticks(longest)) <= 10 for longest in (3.0, 47.0, 95.0, 200.0, 600.0))


@pytest.mark.parametrize("told", [(0.1, 0.6, 0.8), (0.7, 0.4, 0.4, 0.4, 0.6), (0.6, 0.4, 0.4, 0.4, 0.7)])
def test_a_mean_at_the_threshold_is_long_in_whatever_order_the_folds_come(told: tuple[float, ...]) -> None:
    folds = [fold([1, 0], [probability, 0.2], repeat=repeat) for repeat, probability in enumerate(told)]
    for ordered in (folds, folds[::-1]):
        assert predicted_groups(ordered).mean_probability[0] == 0.5
        assert predicted_groups(ordered).long.tolist() == [True, False]


def test_each_patient_enters_the_predicted_groups_once() -> None:
    groups = predicted_groups([fold([1, 0], [0.9, 0.4]), fold([1, 0], [0.2, 0.6], repeat=1)])
    assert groups.codes == ("P-000", "P-001")
    assert groups.mean_probability == pytest.approx([0.55, 0.5])
    assert groups.long.tolist() == [True, True]


def test_survival_by_predicted_group_is_the_log_rank_of_the_two_groups() -> None:
    months = [3.0, 5.0, 30.0, 14.0, 20.0, 6.0]
    held_out = fold([0, 0, 1, 1, 1, 0], [0.2, 0.6, 0.9, 0.7, 0.3, 0.1])
    outcomes = {code: Outcome(value, True, value > 12) for code, value in zip(held_out.codes, months, strict=True)}
    result = survival_by_predicted_group([held_out], outcomes)
    assert result.long is not None
    assert result.short is not None
    assert (result.model, result.long.patients, result.short.patients) == ("pet", 3, 3)
    assert (result.long.median_months, result.short.median_months) == (14.0, 6.0)
    assert result.test == log_rank(np.array(months), np.ones(6, bool), np.array([0, 1, 1, 1, 0, 0]))
    assert survival_of(tuple(outcomes.values())).patients == 6


def test_everyone_in_one_group_leaves_the_other_empty() -> None:
    held_out = fold([0, 1], [0.6, 0.9])
    outcomes = {code: Outcome(10.0 * place + 5, True, place > 0) for place, code in enumerate(held_out.codes)}
    result = survival_by_predicted_group([held_out], outcomes)
    assert result.short is None
    assert result.test is None
    assert result.long is not None
