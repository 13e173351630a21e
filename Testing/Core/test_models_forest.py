"""The forest without scikit-learn's pickle: the same answers, and no way to walk in circles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from PRRTPredictorCore.errors import Code, ModelRefused, RunFailed
from PRRTPredictorCore.models.forest import FittedForest, fit_forest, flatten_forest
from PRRTPredictorCore.models.presets import PAPER, QUICK, ForestSettings
from PRRTPredictorCore.models.registry import MODELS

SPEC = MODELS["rf_labs"]


def labs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    table = np.exp(random.normal(4.0, 1.0, size=(n, 4)))
    return table, (np.log(table[:, 3]) + random.normal(size=n) < 4.0).astype(np.int64)


@pytest.mark.parametrize("settings", [PAPER.forest, QUICK.forest], ids=["paper", "quick"])
def test_the_arrays_answer_as_scikit_learn_does(settings: ForestSettings) -> None:
    table, y = labs(77)
    forest = RandomForestClassifier(
        settings.trees,
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples_leaf,
        random_state=3,
    ).fit(table, y)
    mine = fit_forest(SPEC, settings, table, y, seed=3)
    new, _ = labs(200, seed=1)
    # The thresholds themselves are the hardest inputs: there, only float32 tells left from right.
    new[:50, 0] = mine.threshold[mine.feature == 0][:50]
    np.testing.assert_allclose(mine.predict_probability(new), forest.predict_proba(new)[:, 1], rtol=0, atol=1e-12)


def test_a_forest_comes_back_from_its_tensors_exactly() -> None:
    table, y = labs(60)
    forest = fit_forest(SPEC, QUICK.forest, table, y, seed=0)
    again = FittedForest.from_tensors(SPEC, forest.to_tensors())
    np.testing.assert_array_equal(again.predict(None, None, table), forest.predict(None, None, table))
    assert again.n_tabular == 4


def test_contributions_add_up_to_the_change_of_the_probability() -> None:
    table, y = labs(80)
    forest = fit_forest(SPEC, QUICK.forest, table, y, seed=0)
    credits = forest.contributions(table)
    root = forest.probability[forest.tree_start].mean()
    expected = forest.predict_probability(table) - root
    np.testing.assert_allclose(credits.sum(axis=1), expected, atol=1e-9)
    # Only the fourth column decided the outcome, and high values decided against long PFS.
    assert np.abs(credits).mean(axis=0).argmax() == 3
    assert np.corrcoef(credits[:, 3], np.log(table[:, 3]))[0, 1] < -0.5


def test_certain_forests_have_finite_log_odds() -> None:
    table, y = np.array([[1.0], [2.0], [100.0], [200.0]] * 10), np.array([0, 0, 1, 1] * 10)
    logits = fit_forest(SPEC, PAPER.forest, table, y, seed=0).predict(None, None, np.array([[1.0], [150.0]]))
    assert np.isfinite(logits).all()
    assert logits[0] < -10 < 10 < logits[1]


def test_the_seed_decides() -> None:
    table, y = labs(60)
    first, second, other = (fit_forest(SPEC, QUICK.forest, table, y, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.threshold, second.threshold)
    assert not np.array_equal(first.predict(None, None, table), other.predict(None, None, table))


def test_one_class_is_refused() -> None:
    with pytest.raises(RunFailed) as failed:
        fit_forest(SPEC, QUICK.forest, labs(20)[0], np.ones(20, np.int64), seed=0)
    assert failed.value.code is Code.ONE_CLASS


@pytest.mark.parametrize(
    ("name", "value"),
    [("left", 0), ("right", 10**9), ("feature", 7), ("probability", 2.0), ("tree_start", -5)],
)
def test_arrays_that_make_no_forest_are_refused(name: str, value: float) -> None:
    table, y = labs(40)
    tensors = fit_forest(SPEC, ForestSettings(5, 4, 1), table, y, seed=0).to_tensors()
    tensors[name] = tensors[name].clone()
    tensors[name][0] = value
    with pytest.raises(ModelRefused) as refused:
        FittedForest.from_tensors(SPEC, tensors)
    assert refused.value.code is Code.WEIGHTS_MISMATCH


def test_other_names_or_types_are_refused() -> None:
    table, y = labs(40)
    tensors = fit_forest(SPEC, ForestSettings(5, 4, 1), table, y, seed=0).to_tensors()
    for changed in ({**tensors, "more": torch.zeros(1)}, {**tensors, "threshold": tensors["threshold"].float()}):
        with pytest.raises(ModelRefused):
            FittedForest.from_tensors(SPEC, changed)


def test_flattening_keeps_every_node() -> None:
    table, y = labs(40)
    forest = RandomForestClassifier(3, random_state=0).fit(table, y)
    flat = flatten_forest(SPEC, forest.estimators_, 4)
    assert len(flat.left) == sum(tree.tree_.node_count for tree in forest.estimators_)
