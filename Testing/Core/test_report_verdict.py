"""Words of evidence on models rest on both tests; the figures that the report quotes are those of the benchmark."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PRRTPredictorCore.evaluation.discrimination import Discrimination, FoldScore, MetricSummary
from PRRTPredictorCore.evaluation.significance import PairedComparison
from PRRTPredictorCore.evaluation.survival import GroupSurvival, LogRank, survival_by_predicted_group
from PRRTPredictorCore.records import FoldPredictions, Outcome
from PRRTPredictorCore.report.chapters.survival import log_rank_in_short, log_rank_in_words
from PRRTPredictorCore.report.verdict import (
    FITS_TAKEN_FOR_GIVEN,
    INTERVAL_TAKES_FITS_FOR_GIVEN,
    ONLY_IN_THESE_FITS,
    chance_in_words,
    difference_in_words,
    is_evidence,
    paired_evidence,
)

BENCHMARK = Path(__file__).parents[1] / "Benchmarks" / "significance_level.json"


@pytest.mark.parametrize(
    ("p", "p_corrected_t", "words"),
    [
        (0.2, 0.001, "no evidence"),
        (0.05, 0.001, "no evidence"),
        (math.nan, 0.001, "no evidence"),
        (0.049, 0.05, ONLY_IN_THESE_FITS),
        (0.0001, 0.3, ONLY_IN_THESE_FITS),
        (0.0001, math.nan, ONLY_IN_THESE_FITS),
        (0.0001, 0.02, "some evidence"),
        (0.02, 0.0001, "some evidence"),
        (0.009, 0.009, "clear evidence"),
    ],
)
def test_evidence_needs_both_tests(p: float, p_corrected_t: float, words: str) -> None:
    assert paired_evidence(p, p_corrected_t) == words
    assert is_evidence(words) == (p < 0.05 and p_corrected_t < 0.05)


def compared(p: float, p_corrected_t: float) -> PairedComparison:
    return PairedComparison("pet_labs", "pet", 0.1, p, p, 2.0, p_corrected_t, 15, 20_000)


def test_a_difference_only_in_these_fits_is_said_to_be_one() -> None:
    told = difference_in_words(compared(0.013, 0.21), ", corrected")
    assert told == (
        "a difference only in these fits (p = 0.013 by the permutation test, corrected, but p = 0.21 by the corrected "
        "t-test, which allows for fitting the models anew); models fitted anew may not show it"
    )
    assert "leave no corrected t-test); models fitted anew" in difference_in_words(compared(0.013, math.nan))
    assert difference_in_words(compared(0.31, 0.01)) == (
        "no evidence of a difference (p = 0.31 by the permutation test)"
    )
    assert difference_in_words(compared(0.002, 0.004)) == (
        "clear evidence of a difference (p = 0.002 by the permutation test, and p = 0.004 by the corrected t-test)"
    )


def judged(aurocs: list[float], ci95: tuple[float, float]) -> Discrimination:
    folds = tuple(
        FoldScore(place // 3, place % 3, 38, 24, value, 0.7, 0.6, False) for place, value in enumerate(aurocs)
    )
    auroc = MetricSummary(float(np.mean(aurocs)), 0.01, (), ci95)
    return Discrimination("pet_labs", folds, auroc, auroc, auroc)


def test_an_interval_above_chance_alone_is_no_evidence() -> None:
    scattered = judged([0.5, 0.72, 0.44, 0.7, 0.62, 0.58], (0.51, 0.67))
    assert "models fitted anew may do no better than chance" in chance_in_words(scattered, 3)
    steady = judged([0.72, 0.7, 0.74, 0.71, 0.69, 0.73], (0.63, 0.8))
    assert "more than chance, both for the models as they were fitted and by the corrected t-test" in chance_in_words(
        steady, 3
    )
    assert "no evidence that it does better" in chance_in_words(judged([0.72, 0.7], (0.49, 0.9)), 3)
    assert "worse than chance" in chance_in_words(judged([0.3, 0.2], (0.1, 0.4)), 3)
    for nothing_to_judge_by in ([0.9], [1.0, 1.0]):
        told = chance_in_words(judged(nothing_to_judge_by, (0.8, 1.0)), 3)
        assert "leave no corrected t-test, so this is no evidence" in told
        assert "nan" not in told
    assert chance_in_words(judged([math.nan], (math.nan, math.nan)), 3) == ""


def predicted_short(first: int) -> GroupSurvival:
    """Survival of twelve patients of whom the ``first`` to progress are predicted short."""
    codes = tuple(f"P-{place:02d}" for place in range(12))
    outcomes = {code: Outcome(3.0 + 2 * place, True, place > 4) for place, code in enumerate(codes)}
    probability = np.where(np.arange(12) < first, 0.2, 0.8)
    y = np.array([outcomes[code].long_pfs for code in codes], dtype=np.int64)
    return survival_by_predicted_group(
        [FoldPredictions("pet", 0, 0, codes, y, probability, np.log(probability / (1 - probability)))], outcomes
    )


def test_a_group_of_few_is_no_evidence() -> None:
    # Whoever progresses first is the only one predicted short: 1 of 12 guesses, yet the log-rank test's p is tiny.
    alone = predicted_short(1)
    assert alone.test is not None
    assert alone.test.p == pytest.approx(0.0009, abs=5e-5)
    assert "no evidence can rest on it, since one group holds only 1 patient" in log_rank_in_words(alone)
    assert log_rank_in_short(alone) == " (p < 0.001, n = 1 in a group)"
    assert "clear evidence that the groups differ" in log_rank_in_words(predicted_short(6))
    assert "one group" in log_rank_in_words(predicted_short(0))


def test_many_models_do_not_make_a_difference_by_their_number() -> None:
    lucky = replace(predicted_short(6), test=LogRank(4.3, 1, 0.038), p_holm=0.27)
    assert "p = 0.038 (corrected for the number of models: 0.27): no evidence that" in log_rank_in_words(lucky)
    assert log_rank_in_short(lucky) == " (p = 0.27)"


def test_the_figures_quoted_are_those_of_the_benchmark() -> None:
    recorded = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    cohorts = recorded["cohorts"]
    assert len(cohorts) == 100
    primary, corrected_t = (sum(one[name] < 0.05 for one in cohorts) for name in ("p", "p_corrected_t"))
    missed = sum(not one["ci95_low"] <= 0.5 <= one["ci95_high"] for one in cohorts)
    assert f"in {primary} instead of 5" in FITS_TAKEN_FOR_GIVEN
    assert f"did so in {corrected_t}." in FITS_TAKEN_FOR_GIVEN
    assert f"missed 0.5 in {missed} instead of 5" in INTERVAL_TAKES_FITS_FOR_GIVEN
    assert sum(is_evidence(paired_evidence(one["p"], one["p_corrected_t"])) for one in cohorts[:20]) <= 1
    families = [one["rejected"]["paper_families"]["at_0.01"] for one in recorded["simulated"]]
    # The note under the paper's tests.
    assert (round(100 * min(families)), round(100 * max(families))) == (10, 21)
