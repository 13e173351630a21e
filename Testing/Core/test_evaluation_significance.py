"""The tests between models: exactness against brute force, level under the null, published bands."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from test_evaluation_discrimination import simulated_run

from PRRTPredictorCore.errors import RunFailed
from PRRTPredictorCore.evaluation.discrimination import discriminate
from PRRTPredictorCore.evaluation.families import CLIFFS_DELTA_BANDS, cliffs_delta, compare_families, effect_band
from PRRTPredictorCore.evaluation.significance import (
    compare_pair,
    compare_planned,
    corrected_resampled_t,
    holm,
    paired_permutation,
    swap_weights,
)
from PRRTPredictorCore.records import FoldPredictions

FACTS = Path(__file__).parents[2].parent / "shared" / "paper" / "facts.json"


def two_null_models(seed: int, patients: int = 60, repeats: int = 3) -> tuple[tuple[FoldPredictions, ...], ...]:
    """Two models that know nothing, on the same splits; each patient's noise is partly shared between repeats."""
    rng = np.random.default_rng(seed)
    base = simulated_run(patients=patients, seed=seed, repeats=repeats)
    models = []
    for name in ("pet_labs", "pet"):
        own = {f"P-{index:03d}": rng.normal() for index in range(patients)}
        folds = []
        for item in base:
            logit = np.array([own[code] for code in item.codes]) + 0.5 * rng.normal(size=item.y.size)
            folds.append(replace(item, model=name, logit=logit, probability=1 / (1 + np.exp(-logit))))
        models.append(tuple(folds))
    return tuple(models)


def test_every_swap_equals_brute_force_with_ties() -> None:
    rng = np.random.default_rng(1)
    y = np.array([1, 1, 1, 0, 0, 1, 0, 0])
    codes = tuple(f"P-{index}" for index in range(8))
    splits = [(0, 0, [0, 1, 3, 4]), (0, 1, [2, 5, 6, 7]), (1, 0, [0, 2, 4, 6]), (1, 1, [1, 3, 5, 7])]

    def model(name: str) -> list[FoldPredictions]:
        return [
            FoldPredictions(name, r, f, tuple(codes[i] for i in held), y[held], np.round(rng.random(4), 1), np.zeros(4))
            for r, f, held in splits
        ]

    a, b = model("pet_labs"), model("pet")
    weights = swap_weights(a, b)
    for signs in product((1, -1), repeat=8):
        swapped = {code: sign == -1 for code, sign in zip(codes, signs, strict=True)}
        differences = []
        for first, second in zip(a, b, strict=True):
            swap = np.array([swapped[code] for code in first.codes])
            ranks_a, ranks_b = rankdata(first.probability), rankdata(second.probability)
            mixed_a, mixed_b = np.where(swap, ranks_b, ranks_a), np.where(swap, ranks_a, ranks_b)
            differences.append(roc_auc_score(first.y, mixed_a) - roc_auc_score(first.y, mixed_b))
        assert np.dot(signs, weights) == pytest.approx(np.mean(differences), abs=1e-12)


def test_observed_difference_is_the_difference_of_the_mean_aurocs() -> None:
    better, worse = simulated_run(skill=1.5), simulated_run(skill=0.3, seed=0, model="ct")
    difference, p = paired_permutation(better, worse, permutations=5000)
    assert difference == pytest.approx(discriminate(better).auroc.mean - discriminate(worse).auroc.mean, abs=1e-12)
    assert p < 0.01


def test_a_model_does_not_differ_from_itself() -> None:
    run = simulated_run()
    difference, p = paired_permutation(run, run, permutations=500)
    assert difference == 0.0
    assert p == 1.0


def test_monotone_rescaling_changes_nothing() -> None:
    a, b = two_null_models(5)
    squeezed = tuple(replace(item, probability=0.5 + 0.01 * item.probability**3) for item in a)
    assert paired_permutation(a, b, 2000) == paired_permutation(squeezed, b, 2000)


def test_permutation_p_values_are_uniform_under_the_null() -> None:
    p = np.array([paired_permutation(*two_null_models(seed), permutations=999, seed=seed)[1] for seed in range(300)])
    assert (p < 0.05).mean() <= 0.085
    assert 0.42 <= p.mean() <= 0.58
    assert abs((p < 0.5).mean() - 0.5) < 0.1


def test_the_paper_s_protocol_is_reproduced_and_is_too_liberal_under_the_null() -> None:
    called = []
    for seed in range(60):
        scores = {}
        models = {**dict(zip(("pet_labs", "pet"), two_null_models(seed), strict=True))}
        models |= dict(zip(("ct_labs", "ct"), two_null_models(seed + 1000), strict=True))
        for name, folds in models.items():
            scores[name] = discriminate([replace(item, model=name) for item in folds], resamples=2)
        called += [result.p < 0.05 for result in compare_families(scores) if result.metric == "auroc"]
    assert np.mean(called) > 0.08


def test_patients_in_another_order_are_matched_by_code() -> None:
    a, b = two_null_models(2)
    shuffled = tuple(
        replace(
            item, codes=item.codes[::-1], y=item.y[::-1], probability=item.probability[::-1], logit=item.logit[::-1]
        )
        for item in b
    )
    assert paired_permutation(a, b, 1000) == paired_permutation(a, shuffled, 1000)


def test_other_patients_are_refused() -> None:
    a, b = two_null_models(2)
    foreign = tuple(replace(item, codes=tuple(f"X{code}" for code in item.codes)) for item in b)
    with pytest.raises(RunFailed, match="different patients"):
        paired_permutation(a, foreign, 10)
    with pytest.raises(RunFailed, match="share no finished fold"):
        compare_pair(a[:1], b[1:], 0.5)


def test_planned_comparisons_take_what_a_partial_run_has() -> None:
    a, b = two_null_models(3)
    assert compare_planned({"pet_labs": a}, 0.5, permutations=100) == ()
    (made,) = compare_planned({"pet_labs": a[:4], "pet": b[:2]}, 0.5, permutations=100)
    assert (made.model, made.reference, made.folds) == ("pet_labs", "pet", 2)
    assert made.p_holm == made.p_permutation


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_corrected_t_by_hand() -> None:
    differences = np.array([0.1, 0.2, 0.0, 0.1])
    t, p = corrected_resampled_t(differences, test_share=0.5)
    # mean 0.1, variance 0.02 / 3, factor 1/4 + 1/2
    assert t == pytest.approx(0.1 / np.sqrt(0.75 * 0.02 / 3))
    assert p == pytest.approx(0.2522, abs=1e-4)  # closed form of Student's t with 3 degrees of freedom
    assert corrected_resampled_t(np.zeros(5), 0.5) == (0.0, 1.0)
    assert np.isnan(corrected_resampled_t(np.array([0.1]), 0.5)).all()
    # 0.1 has no exact binary form; no spread is no certainty.
    assert np.isnan(corrected_resampled_t(np.array([0.1, 0.1, 0.1]), 0.5)).all()


def test_cliffs_delta_and_its_bands() -> None:
    assert cliffs_delta([2, 3], [0, 1]) == 1.0
    assert cliffs_delta([0, 1], [2, 3]) == -1.0
    assert cliffs_delta([1, 2, 3], [2]) == 0.0
    assert [effect_band(delta) for delta in (0.1, -0.2, 0.4, -0.474, 0.9)] == [
        "negligible",
        "small",
        "medium",
        "large",
        "large",
    ]


def test_bands_are_the_paper_s() -> None:
    if not FACTS.exists():
        pytest.skip("real data missing: shared/paper/facts.json")
    bands = json.loads(FACTS.read_text(encoding="utf-8"))["cliffs_delta_bands"]
    assert {name: bound for bound, name in CLIFFS_DELTA_BANDS} == bands


def test_family_comparison_uses_all_fold_values_and_two_comparisons() -> None:
    scores = {
        name: discriminate(simulated_run(skill=skill, seed=seed, model=name), resamples=2)
        for seed, (name, skill) in enumerate({"rf_labs": 0.2, "pet": 0.1, "pet_labs": 1.8, "pet_ct_labs": 1.8}.items())
    }
    first = compare_families(scores)[0]
    assert (first.metric, first.family, first.reference) == ("auroc", "one-image fusion", "unimodal")
    assert first.reference_models == ("rf_labs", "pet")
    assert first.cliffs_delta == pytest.approx(2 * first.u / (15 * 30) - 1)
    assert first.p_bonferroni == pytest.approx(2 * first.p)
    assert first.effect == "large"
