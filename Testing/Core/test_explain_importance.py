"""What inputs contributed to answers, and what shuffling them costs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from PRRTPredictorCore.errors import Code, RunFailed
from PRRTPredictorCore.explain.importance import permutation_importance, summarise_contributions
from PRRTPredictorCore.records import FoldPredictions
from PRRTPredictorCore.training.heldout import HeldOutGradients, HeldOutPermutations
from PRRTPredictorCore.training.permuting import shuffled_answers, tabular_groups
from PRRTPredictorCore.training.records import FoldTask

NAMES = ("ast", "alt", "ggt", "cga")


def made_folds(
    weights: tuple[float, ...] = (0.0, 0.0, 0.3, 1.5), patients: int = 60, repeats: int = 2, seed: int = 0
) -> list[tuple[FoldPredictions, HeldOutPermutations]]:
    """A linear model that knows the truth, asked as training asks its models."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(patients, len(weights)))
    y = (x @ np.array(weights) + rng.logistic(size=patients) > 0).astype(np.int64)
    codes = np.array([f"P-{index:03d}" for index in range(patients)])
    made = []
    for repeat in range(repeats):
        for fold, rows in enumerate(np.array_split(rng.permutation(patients), 3)):
            task = FoldTask("pet_labs", repeat, fold, (), tuple(codes[rows]))
            kept = shuffled_answers(x[rows], tabular_groups(NAMES), lambda one: one @ np.array(weights), task, seed)
            logit = x[rows] @ np.array(weights)
            predictions = FoldPredictions(
                task.model, repeat, fold, task.test, y[rows], 1 / (1 + np.exp(-logit)), logit, False
            )
            made.append((predictions, kept))
    return made


def test_importance_is_the_plain_difference_of_scores():
    pairs = made_folds(repeats=1)
    found = permutation_importance(pairs, resamples=10)
    assert found is not None
    assert found.inputs == (*NAMES, "labs")
    assert (found.folds, found.shuffles, found.patients) == (3, 20, 60)
    for row, (fold, kept) in enumerate(pairs):
        for column in range(5):
            shuffled = kept.logits[column]
            auroc = roc_auc_score(fold.y, fold.logit) - np.mean([roc_auc_score(fold.y, one) for one in shuffled])
            loss = np.mean([log_loss(fold.y, 1 / (1 + np.exp(-one))) for one in shuffled])
            assert found.auroc_drop.by_fold[row, column] == pytest.approx(auroc, abs=1e-12)
            assert found.log_loss_rise.by_fold[row, column] == pytest.approx(
                loss - log_loss(fold.y, fold.probability), abs=1e-9
            )
    np.testing.assert_allclose(found.auroc_drop.mean, found.auroc_drop.by_fold.mean(axis=0))


def test_an_unused_input_costs_nothing_and_the_used_one_most():
    found = permutation_importance(made_folds())
    assert found is not None
    for measure in (found.auroc_drop, found.log_loss_rise):
        np.testing.assert_allclose(measure.mean[:2], 0.0, atol=1e-12)
        assert measure.mean[3] > 5 * abs(measure.mean[2])
        assert measure.ci95[3, 0] > 0
        assert measure.ci95.shape == (5, 2)
        assert (measure.ci95[:, 0] <= measure.mean + 1e-12).all()
        assert (measure.ci95[:, 1] >= measure.mean - 1e-12).all()


def test_the_order_of_patients_in_either_file_does_not_matter():
    pairs = made_folds()
    turned = [
        (fold, HeldOutPermutations(kept.codes[::-1], kept.inputs, kept.logits[..., ::-1])) for fold, kept in pairs
    ]
    one, other = permutation_importance(pairs, 20), permutation_importance(turned, 20)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.auroc_drop.ci95, other.auroc_drop.ci95)
    np.testing.assert_allclose(one.log_loss_rise.by_fold, other.log_loss_rise.by_fold)


def test_a_fold_with_one_outcome_has_no_auroc_but_a_log_loss():
    pairs = made_folds(repeats=1)
    fold = pairs[0][0]
    one_sided = FoldPredictions(
        fold.model, fold.repeat, fold.fold, fold.codes, np.ones_like(fold.y), fold.probability, fold.logit, False
    )
    found = permutation_importance([(one_sided, pairs[0][1]), *pairs[1:]], resamples=50)
    assert found is not None
    assert np.isnan(found.auroc_drop.by_fold[0]).all()
    assert np.isfinite(found.auroc_drop.by_fold[1:]).all()
    assert np.isfinite(found.auroc_drop.mean).all()
    assert np.isfinite(found.log_loss_rise.by_fold).all()
    alone = permutation_importance([(one_sided, pairs[0][1])], resamples=50)
    assert alone is not None
    assert np.isnan(alone.auroc_drop.mean).all()
    assert np.isnan(alone.auroc_drop.ci95).all()


def test_the_interval_holds_what_it_says():
    """Over many cohorts, the importance of a useful input lies in its interval about as often as it should."""
    truth = permutation_importance(made_folds(patients=3000, repeats=1, seed=99), resamples=2)
    assert truth is not None
    held = 0
    for seed in range(60):
        found = permutation_importance(made_folds(patients=90, repeats=1, seed=seed), resamples=300)
        assert found is not None
        low, high = found.auroc_drop.ci95[3]
        held += low <= truth.auroc_drop.mean[3] <= high
    assert held >= 50


def test_folds_that_contradict_each_other_are_refused():
    pairs = made_folds(repeats=1)
    with pytest.raises(RunFailed) as caught:
        permutation_importance([pairs[0], pairs[0]])
    assert caught.value.code is Code.RUN_MISMATCH
    assert permutation_importance([]) is None


def gradients(contributions: np.ndarray | None, codes: tuple[str, ...]) -> HeldOutGradients:
    return HeldOutGradients(
        codes,
        NAMES[:2],
        lab_contributions=contributions,
        lab_method="none" if contributions is None else "gradient x input",
    )


def test_contributions_keep_size_and_direction_fold_by_fold():
    codes = ("a", "b", "c", "d")
    inputs = {code: (float(10 + index), float(30 - index)) for index, code in enumerate(codes)}
    rising = np.array([[-0.2, 0.1], [-0.1, 0.1], [0.1, 0.1], [0.4, 0.1]])
    found = summarise_contributions([gradients(rising, codes), gradients(-rising, codes)], inputs)
    assert found is not None
    assert found.names == NAMES[:2]
    np.testing.assert_allclose(found.magnitude, [[0.2, 0.1], [0.2, 0.1]])
    np.testing.assert_allclose(found.direction[:, 0], [1.0, -1.0])
    assert np.isnan(found.direction[:, 1]).all()
    np.testing.assert_allclose(found.mean, [0.2, 0.1])
    np.testing.assert_allclose(found.agreement, [0.5, np.nan])
    assert summarise_contributions([gradients(None, codes)], inputs) is None
