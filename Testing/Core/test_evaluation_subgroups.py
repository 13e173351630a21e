"""Scores within subgroups: everybody is the main analysis, brute force, planted differences, and what is too small."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import fisher_exact
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, roc_auc_score
from test_evaluation_discrimination import fold, simulated_run

from PRRTPredictorCore.errors import RunFailed
from PRRTPredictorCore.evaluation.calibration import calibrate
from PRRTPredictorCore.evaluation.discrimination import discriminate
from PRRTPredictorCore.evaluation.resampling import draw_multiplicities, patient_codes
from PRRTPredictorCore.evaluation.significance import holm
from PRRTPredictorCore.evaluation.subgroup_resampling import membership_test
from PRRTPredictorCore.evaluation.subgroups import (
    LEAST_OF_EACH_OUTCOME,
    analyse_subgroups,
    score_subgroups,
    subgroup_sizes,
)
from PRRTPredictorCore.records import FoldPredictions


def outcomes(folds: tuple[FoldPredictions, ...]) -> dict[str, bool]:
    return {code: bool(y) for item in folds for code, y in zip(item.codes, item.y, strict=True)}


def by_chance(folds: tuple[FoldPredictions, ...], share: float = 0.6, seed: int = 1) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {code: "A" if rng.random() < share else "B" for code in patient_codes(folds)}


def test_a_subgroup_of_everybody_is_the_main_analysis() -> None:
    run = simulated_run(patients=60, repeats=3)
    everybody = dict.fromkeys(outcomes(run), "all")
    (score,) = score_subgroups(run, everybody, ["all"], resamples=300, seed=4).scores
    whole = discriminate(run, resamples=300, seed=4)
    for name in ("auroc", "auprc", "accuracy"):
        assert score.metric(name).value == pytest.approx(whole.metric(name).mean, abs=1e-12)
        assert score.metric(name).ci95 == pytest.approx(whole.metric(name).ci95, abs=1e-12)
    calibration = calibrate(run, resamples=300, seed=4).brier
    assert score.brier.value == pytest.approx(calibration.value, abs=1e-12)
    assert score.brier.ci95 == pytest.approx(calibration.ci95, abs=1e-12)
    assert (score.folds, score.undefined_folds) == (9, 0)


def test_every_figure_and_interval_equals_a_plain_loop_with_scikit_learn() -> None:
    run = simulated_run(patients=45, repeats=2, seed=3)
    groups = by_chance(run)
    codes = patient_codes(run)
    draws = draw_multiplicities(len(codes), 40, seed=7)

    def figures(name: str, weight: dict[str, int]) -> list[float]:
        kept: dict[str, list[list[float]]] = {metric: [[] for _ in range(2)] for metric in ("auroc", "auprc", "acc")}
        pooled: list[tuple[int, float]] = []
        for item in run:
            rows = [row for row, code in enumerate(item.codes) if groups[code] == name for _ in range(weight[code])]
            y, p = item.y[rows], item.probability[rows]
            pooled += zip(y, p, strict=True)
            if rows:
                kept["acc"][item.repeat].append(accuracy_score(y, p >= 0.5))
            if 0 < y.sum() < y.size:
                kept["auroc"][item.repeat].append(roc_auc_score(y, p))
                kept["auprc"][item.repeat].append(average_precision_score(y, p))
        means = [np.mean([np.mean(values) for values in kept[metric] if values]) for metric in kept]
        return [*map(float, means), float(brier_score_loss(*zip(*pooled, strict=True)))]

    result = score_subgroups(run, groups, ["A", "B"], resamples=40, seed=7)
    looped = {
        name: [figures(name, dict(zip(codes, row, strict=True))) for row in [[1] * len(codes), *draws.tolist()]]
        for name in "AB"
    }
    for score in result.scores:
        values = np.array(looped[score.subgroup])
        for place, metric in enumerate(("auroc", "auprc", "accuracy", "brier")):
            estimate = score.metric(metric)
            assert estimate.value == pytest.approx(values[0, place], abs=1e-12)
            assert estimate.ci95 == pytest.approx(tuple(np.quantile(values[1:, place], [0.025, 0.975])), abs=1e-12)
    (difference,) = result.differences
    assert (difference.subgroup, difference.reference) == ("B", "A")
    apart = np.array(looped["B"]) - np.array(looped["A"])
    for place, estimate in ((0, difference.auroc), (2, difference.accuracy), (3, difference.brier)):
        assert estimate.value == pytest.approx(apart[0, place], abs=1e-12)
        assert estimate.ci95 == pytest.approx(tuple(np.quantile(apart[1:, place], [0.025, 0.975])), abs=1e-12)


def test_a_planted_difference_is_seen_and_chance_is_not_called_one() -> None:
    excluded = []
    for seed in range(40):
        run = simulated_run(skill=1.0, seed=seed, repeats=2)
        (difference,) = score_subgroups(run, by_chance(run, 0.5, seed), ["A", "B"], resamples=200).differences
        low, high = difference.auroc.ci95
        excluded.append(not low <= 0 <= high)
    assert np.mean(excluded) <= 0.15  # 0.05 expected; 0.15 is three standard errors away
    run = simulated_run(skill=2.5, repeats=2)
    groups = by_chance(run, 0.5)
    noise = np.random.default_rng(0)
    blind = tuple(  # on scanner B the scores know nothing
        replace(
            item,
            probability=np.where(
                [groups[code] == "B" for code in item.codes], noise.random(item.y.size), item.probability
            ),
        )
        for item in run
    )
    (difference,) = score_subgroups(blind, groups, ["A", "B"], resamples=300).differences
    assert difference.auroc.ci95[1] < 0


def test_folds_without_both_outcomes_in_the_subgroup_are_counted() -> None:
    folds = [
        fold([1, 0, 1, 0], [0.9, 0.1, 0.8, 0.2]),
        fold([1, 1, 0, 0], [0.9, 0.4, 0.3, 0.2], number=1, first=4),
        fold([1, 0], [0.6, 0.4], number=2, first=8),
    ]
    groups = dict.fromkeys(("P-000", "P-001", "P-004", "P-005"), "A")  # nobody of A in the third fold
    (score,) = score_subgroups(folds, groups, ["A"], resamples=20).scores
    assert (score.folds, score.undefined_folds) == (2, 1)
    assert score.auroc.value == 1.0
    assert score.accuracy.value == 0.75
    assert score.brier.value == pytest.approx((0.01 + 0.01 + 0.01 + 0.36) / 4)


def test_a_subgroup_of_one_outcome_has_no_auroc_but_an_accuracy() -> None:
    result = score_subgroups(
        [fold([1, 1, 0, 0], [0.9, 0.4, 0.3, 0.2])],
        {"P-000": "A", "P-001": "A", "P-002": "B", "P-003": "B"},
        ["A", "B"],
        resamples=20,
    )
    first = result.scores[0]
    assert np.isnan([first.auroc.value, *first.auroc.ci95, first.auprc.value]).all()
    assert first.accuracy.value == 0.5
    assert np.isnan(result.differences[0].auroc.value)
    assert result.differences[0].accuracy.value == 0.5


def test_small_subgroups_are_named_and_not_scored() -> None:
    run = simulated_run(patients=40, repeats=1)
    long = outcomes(run)
    groups = dict.fromkeys(long, "large")
    short_codes = [code for code, is_long in long.items() if not is_long]
    for code in short_codes[: LEAST_OF_EACH_OUTCOME - 1]:
        groups[code] = "small"
    for code in [code for code, is_long in long.items() if is_long][:8]:
        groups[code] = "small"
    groups[short_codes[-1]] = ""
    analysis = analyse_subgroups("Scanner", {"pet": run, "ct": ()}, groups, long, resamples=20)
    assert [size.name for size in analysis.scored] == ["large"]
    (small,) = analysis.too_small
    assert (small.patients, small.short_patients, small.long_patients) == (12, LEAST_OF_EACH_OUTCOME - 1, 8)
    assert analysis.unknown == 1
    (model,) = analysis.models
    assert [score.subgroup for score in model.scores] == ["large"]
    assert model.differences == ()


def test_an_unfinished_model_is_scored_where_it_has_tested_enough() -> None:
    run = simulated_run(repeats=2)
    long = outcomes(run)
    groups = {code: "B" if place % 8 == 0 else "A" for place, code in enumerate(sorted(long))}
    analysis = analyse_subgroups("Scanner", {"pet": run, "ct": run[:1]}, groups, long, resamples=20)
    assert [size.name for size in analysis.scored] == ["A", "B"]
    whole, begun = analysis.models
    assert [score.subgroup for score in whole.scores] == ["A", "B"]
    assert [score.subgroup for score in begun.scores] == ["A"]
    assert begun.differences == ()
    groups = {code: "tested" if code in run[0].codes else "waiting" for code in long}
    (model,) = analyse_subgroups("Scanner", {"ct": run[:1]}, groups, long, resamples=20).models
    assert [score.subgroup for score in model.scores] == ["tested"]
    assert model.differences == ()  # the reference, the larger "waiting", has not been tested yet


def test_nothing_to_score_gives_no_models() -> None:
    run = simulated_run(patients=12, repeats=1)
    analysis = analyse_subgroups("Scanner", {"pet": run}, {}, outcomes(run))
    assert (analysis.sizes, analysis.models, analysis.unknown) == ((), (), 12)


def test_sizes_say_whether_the_outcome_goes_with_the_subgroup() -> None:
    long = {f"P-{index}": index < 14 for index in range(24)}
    groups = {f"P-{index}": "A" if index < 10 else "B" if index < 18 else "C" for index in range(24)}
    a, b, c = subgroup_sizes(groups, long)
    assert [(one.name, one.patients, one.long_patients) for one in (a, b, c)] == [
        ("A", 10, 10),
        ("B", 8, 4),
        ("C", 6, 0),
    ]
    assert b.p_outcome == pytest.approx(fisher_exact([[4, 6], [4, 10]])[1])
    (alone,) = subgroup_sizes(dict.fromkeys(long, "all"), long)
    assert np.isnan(alone.p_outcome)


def test_seven_models_take_a_moment() -> None:
    import time

    run = simulated_run()
    begun = time.process_time()
    analyse_subgroups("Scanner", {f"m{place}": run for place in range(7)}, by_chance(run), outcomes(run))
    assert time.process_time() - begun < 30


def test_contradicting_folds_are_refused() -> None:
    run = simulated_run(patients=20, repeats=1)
    with pytest.raises(RunFailed):
        score_subgroups([*run, run[0]], by_chance(run), ["A"], resamples=5)


def test_shuffled_membership_equals_every_division_written_out() -> None:
    folds = [
        fold([1, 0, 1, 0, 1], [0.9, 0.1, 0.4, 0.6, 0.4]),
        fold([1, 1, 0, 0], [0.5, 0.4, 0.45, 0.2], number=1, first=5),
    ]
    groups = dict(zip([f"P-{index:03d}" for index in range(9)], "AABBAABBA", strict=True))
    long = [code for item in folds for code, y in zip(item.codes, item.y, strict=True) if y]
    short = [code for item in folds for code, y in zip(item.codes, item.y, strict=True) if not y]

    def auroc(members: set[str]) -> float:
        values = []
        for item in folds:
            rows = [row for row, code in enumerate(item.codes) if code in members]
            if 0 < item.y[rows].sum() < len(rows):
                values.append(roc_auc_score(item.y[rows], item.probability[rows]))
        return float(np.mean(values)) if values else float("nan")

    def difference(first: set[str]) -> float:
        return auroc(first) - auroc(set(groups) - first)

    seen = {code for code, name in groups.items() if name == "A"}
    divisions = [
        difference({*some, *others})
        for some in combinations(long, len(seen & set(long)))
        for others in combinations(short, len(seen & set(short)))
    ]
    known = np.array([value for value in divisions if np.isfinite(value)])
    exact = np.mean(np.abs(known) >= abs(difference(seen)) - 1e-12)
    assert 0.05 < exact < 0.95
    assert membership_test(folds, groups, "A", "B", permutations=20_000) == pytest.approx(exact, abs=0.015)


def test_shuffled_membership_holds_its_level_and_finds_what_is_there() -> None:
    p = []
    for seed in range(150):
        run = simulated_run(skill=0.7, seed=seed, repeats=2)
        p.append(membership_test(run, by_chance(run, 0.7, seed), "B", "A", permutations=199, seed=seed))
    assert np.mean(np.array(p) < 0.05) <= 0.105  # three standard errors above 0.05
    assert 0.4 < np.mean(p) < 0.6
    run = simulated_run(skill=2.5, repeats=2)
    groups = by_chance(run, 0.5)
    turned = tuple(
        replace(item, probability=np.where([groups[code] == "B" for code in item.codes], 1 - item.probability, 0.0))
        for item in run
    )
    assert membership_test(turned, groups, "B", "A", permutations=500) < 0.01


def test_holm_spans_all_models_of_a_category() -> None:
    runs = {name: simulated_run(skill=0.7, seed=3, model=name) for name in ("pet", "ct", "pet_labs")}
    analysis = analyse_subgroups("Scanner", runs, by_chance(runs["pet"]), outcomes(runs["pet"]), resamples=200)
    differences = [one for model in analysis.models for one in model.differences]
    assert len(differences) == 3
    assert [one.p_holm for one in differences] == pytest.approx(holm([one.p_auroc for one in differences]))
    assert {one.p_auroc for one in differences} != {one.p_holm for one in differences}
