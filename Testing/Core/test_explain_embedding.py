"""Distances between held-out patients, their scores against shuffled outcomes, and UMAP maps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedKFold

from PRRTPredictorCore.explain.embedding import (
    PatientDistances,
    embedding_space,
    fold_distances,
    layout_distances,
    umap_layouts,
)
from PRRTPredictorCore.explain.separation import nearest, neighbour_agreement, separation, silhouette
from PRRTPredictorCore.training.heldout import HeldOutEmbeddings

CODES = tuple(f"P-{index:03d}" for index in range(40))
LONG = {code: index % 2 == 0 for index, code in enumerate(CODES)}


def folds_of(
    repeats: int, folds: int = 3, shift: float = 0.0, seed: int = 0, codes: tuple[str, ...] = CODES
) -> list[HeldOutEmbeddings]:
    """Held-out embeddings, each fold in a space of its own: another turn and another scale."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(len(codes), 4))
    place[:, 0] += shift * np.array([LONG[code] for code in codes])
    made = []
    for repeat in range(repeats):
        for rows in np.array_split(np.random.default_rng([seed, repeat]).permutation(len(codes)), folds):
            turn = np.linalg.qr(rng.normal(size=(4, 4)))[0] * rng.uniform(0.1, 10)
            made.append(HeldOutEmbeddings(tuple(codes[row] for row in rows), (place[rows] @ turn).astype(np.float32)))
    return made


def test_distances_are_in_units_of_the_folds_median():
    square = HeldOutEmbeddings(("a", "b", "c"), np.array([[0, 0], [3, 4], [0, 10]], dtype=np.float32))
    found = fold_distances(square)
    assert found is not None
    # distances 5, 10 and sqrt(45); the median is sqrt(45)
    np.testing.assert_allclose(found.values[0], [0, 5 / 45**0.5, 10 / 45**0.5], rtol=1e-6)
    assert found.share_known == 1.0


@pytest.mark.parametrize("fill", [0.3, 0.0, np.nan])
def test_a_collapsed_fold_has_no_distances(fill):
    flat = np.full((5, 8), fill, dtype=np.float32)
    assert fold_distances(HeldOutEmbeddings(CODES[:5], flat)) is None
    wobble = flat + np.random.default_rng(0).normal(scale=1e-7, size=flat.shape).astype(np.float32)
    assert fill == 0.0 or fold_distances(HeldOutEmbeddings(CODES[:5], wobble)) is None


def test_consensus_averages_the_folds_that_held_both_out():
    first = HeldOutEmbeddings(("a", "b", "c"), np.array([[0.0], [1.0], [3.0]], dtype=np.float32))  # median 2
    second = HeldOutEmbeddings(("c", "b"), np.array([[0.0], [7.0]], dtype=np.float32))  # median 7
    third = HeldOutEmbeddings(("a", "d"), np.array([[0.0], [1.0]], dtype=np.float32))
    space = embedding_space([first, second, third])
    assert space is not None
    assert space.consensus
    assert space.share_known == pytest.approx(4 / 6)
    values = space.scored[0].values
    assert space.scored[0].codes == ("a", "b", "c", "d")
    assert values[0, 1] == pytest.approx(0.5)
    assert values[1, 2] == pytest.approx((1.0 + 1.0) / 2)
    assert np.isnan(values[1, 3])
    assert np.isnan(values[2, 3])
    np.testing.assert_array_equal(values, values.T)


@pytest.mark.parametrize(("repeats", "folds", "consensus"), [(5, 3, True), (3, 3, True), (2, 3, False), (1, 2, False)])
def test_too_few_repeats_give_a_map_a_fold(repeats, folds, consensus):
    space = embedding_space(folds_of(repeats, folds))
    assert space is not None
    assert space.consensus is consensus
    assert len(space.scored) == (1 if consensus else repeats * folds)
    assert len(space.mapped) == (1 if consensus else folds)


def test_folds_without_spread_are_counted_and_left_out():
    made = folds_of(5)
    flat = HeldOutEmbeddings(made[0].codes, np.zeros_like(made[0].values))
    space = embedding_space([flat, *made[1:]])
    assert space is not None
    assert (space.folds, space.without_spread) == (14, 1)
    assert embedding_space([flat]) is None
    assert embedding_space([]) is None


def test_silhouette_is_scikit_learns_on_complete_distances():
    rng = np.random.default_rng(1)
    distances = np.abs(rng.normal(size=(12, 12)))
    distances = distances + distances.T
    np.fill_diagonal(distances, 0)
    labels = np.array([rng.permutation([True] * 5 + [False] * 7) for _ in range(4)] + [[True] + [False] * 11])
    expected = [silhouette_score(distances, one, metric="precomputed") for one in labels]
    np.testing.assert_allclose(silhouette(distances, labels), expected, rtol=1e-12)
    assert np.isnan(silhouette(distances, np.ones((1, 12), dtype=bool))).all()


def test_silhouette_leaves_unknown_pairs_out():
    unknown = np.nan
    distances = np.array([[0, 1, 4, unknown], [1, 0, unknown, 4], [4, unknown, 0, 1], [unknown, 4, 1, 0.0]])
    assert silhouette(distances, np.array([[True, True, False, False]]))[0] == pytest.approx(0.75)


def test_neighbours_agree_by_hand():
    line = np.abs(np.subtract.outer([0.0, 1.0, 10.0, 11.0, 12.5], [0.0, 1.0, 10.0, 11.0, 12.5]))
    neighbours = nearest(line, 1)
    assert neighbours[:, 0].tolist() == [1, 0, 3, 2, 3]
    labels = np.array([[True, True, False, False, True], [True] * 5])
    # long: 1, 1, 0 of their neighbours; short: 1, 1
    np.testing.assert_allclose(neighbour_agreement(neighbours, labels), [(2 / 3 + 1) / 2, np.nan])


def test_neighbours_skip_unknown_pairs():
    distances = np.array([[0, np.nan, 3.0], [np.nan, 0, 2.0], [3.0, 2.0, 0]])
    assert nearest(distances, 2)[:, 0].tolist() == [2, 2, 1]
    assert nearest(np.full((3, 3), np.nan), 2).shape == (3, 0)


def test_ties_do_not_follow_the_order_of_the_patients():
    labels = np.arange(40) < 20  # sorted by outcome, as a file may be
    agreement = neighbour_agreement(nearest(np.ones((40, 40)) - np.eye(40), 6), labels[None])[0]
    assert abs(agreement - 0.5) < 0.2


@pytest.mark.parametrize("repeats", [1, 5])
def test_a_real_separation_is_found_and_noise_is_not(repeats):
    apart, noise = embedding_space(folds_of(repeats, shift=4.0)), embedding_space(folds_of(repeats))
    assert apart is not None
    assert noise is not None
    found, nothing = separation(apart.scored, LONG), separation(noise.scored, LONG)
    assert found.knn.value > 0.8
    assert found.silhouette.value > 0.15
    assert found.knn.p < 0.01
    assert found.silhouette.p < 0.01
    assert nothing.knn.p > 0.05
    assert nothing.silhouette.p > 0.05
    n = len(noise.scored[0].codes)  # nobody is his own neighbour: chance lies a little below one half
    assert nothing.knn.null_mean == pytest.approx((n - 2) / (2 * (n - 1)), abs=0.01)
    assert nothing.knn.null95[0] <= nothing.knn.value <= nothing.knn.null95[1]


def test_one_outcome_alone_has_no_score():
    space = embedding_space(folds_of(5))
    assert space is not None
    scores = separation(space.scored, dict.fromkeys(CODES, True), permutations=20)
    assert np.isnan([scores.knn.value, scores.knn.p, scores.silhouette.value]).all()
    assert np.isnan(separation((), {}).knn.value)


def test_the_null_holds_its_level_although_networks_share_patients():
    """Embeddings learnt from noise, cross-validated like a run: folds lend each other their patients for training."""
    rejected, runs = 0, 100
    for run in range(runs):
        rng = np.random.default_rng(run)
        codes = tuple(f"P-{index:03d}" for index in range(60))
        x, y = rng.normal(size=(60, 10)), rng.permutation(np.arange(60) < 38)
        folds = []
        for repeat in range(3):
            for train, test in StratifiedKFold(3, shuffle=True, random_state=repeat).split(x, y):
                drawn = [rng.choice(train, train.size) for _ in range(4)]
                learnt = [np.linalg.solve(x[b].T @ x[b] + 5 * np.eye(10), x[b].T @ (y[b] - y[b].mean())) for b in drawn]
                values = (x[test] @ np.array(learnt).T).astype(np.float32)
                folds.append(HeldOutEmbeddings(tuple(codes[row] for row in test), values))
        space = embedding_space(folds)
        assert space is not None
        scores = separation(space.scored, dict(zip(codes, y.tolist(), strict=True)), permutations=200)
        rejected += scores.knn.p < 0.05
    assert rejected <= 11  # 5 are expected; 12 or more of 100 come by chance once in 300 times


def test_umap_keeps_groups_apart_and_repeats_itself():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(12, 3)), rng.normal(size=(12, 3)) + 30])
    distances = layout_distances(CODES[:24], points).values
    distances[0, 1] = distances[1, 0] = np.nan
    known = PatientDistances(CODES[:24], distances)
    one, other = umap_layouts(known, seeds=(0, 1))
    assert one.shape == (24, 2)
    np.testing.assert_array_equal(one, umap_layouts(known, seeds=(0,))[0])
    for layout in (one, other):
        labels = np.arange(24) < 12
        assert neighbour_agreement(nearest(layout_distances(CODES[:24], layout).values, 4), labels[None])[0] == 1.0


def test_umap_copes_with_the_fewest_patients():
    space = embedding_space(folds_of(1, 5))
    assert space is not None
    assert all(np.isfinite(umap_layouts(fold, seeds=(0,))[0]).all() for fold in space.mapped)


def test_umap_is_not_opened_before_it_is_asked_for():
    code = (
        "import sys, PRRTPredictorCore.explain.separation; "
        "assert not {'umap', 'numba', 'sklearn', 'torch'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
