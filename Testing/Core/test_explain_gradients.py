"""The six distances against closed forms and SciPy; two models' gradients against made maps of known distance."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import energy_distance, norm, wasserstein_distance

from PRRTPredictorCore.explain.distances import DISTANCES, histogram_distances
from PRRTPredictorCore.explain.gradients import (
    GradientDistributions,
    compare_gradients,
    permuted_ks,
)
from PRRTPredictorCore.training.heldout import GradientHistograms, HeldOutGradients

LABS = ("ast", "alt", "ggt", "cga")


def test_distances_equal_those_of_scipy_row_by_row() -> None:
    rng = np.random.default_rng(0)
    edges = np.linspace(-2.0, 3.0, 31)
    centres = (edges[1:] + edges[:-1]) / 2
    p, q = rng.dirichlet(np.ones(30), size=(4, 3)), rng.dirichlet(np.full(30, 0.5), size=(4, 3))
    found = histogram_distances(p, q, edges)
    for place in product(range(4), range(3)):
        a, b = p[place], q[place]
        assert found.wasserstein[place] == pytest.approx(wasserstein_distance(centres, centres, a, b))
        assert found.energy[place] == pytest.approx(energy_distance(centres, centres, a, b))
        assert found.js_distance[place] == pytest.approx(jensenshannon(a, b))
        assert found.js_divergence[place] == pytest.approx(jensenshannon(a, b) ** 2)
        assert found.ks[place] == pytest.approx(np.abs(np.cumsum(a) - np.cumsum(b)).max())


def test_distances_of_two_normal_distributions_have_their_closed_forms() -> None:
    shift, edges = 0.8, np.linspace(-12.0, 12.0, 24001)
    p, q = np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges, loc=shift))
    found = histogram_distances(p, q, edges)
    crossing = 2 * norm.cdf(shift / 2) - 1
    assert found.wasserstein == pytest.approx(shift, rel=1e-5)
    assert found.ks == pytest.approx(crossing, rel=1e-4)
    assert found.overlap == pytest.approx(1 - crossing, rel=1e-4)
    assert found.bhattacharyya == pytest.approx(shift**2 / 8, rel=1e-5)

    # Energy distance squared = 2 E|X - Y| - E|X - X'| - E|Y - Y'|, all of them folded normals.
    def mean_absolute(mu: float, sigma: float) -> float:
        return sigma * math.sqrt(2 / math.pi) * math.exp(-(mu**2) / 2 / sigma**2) + mu * math.erf(
            mu / sigma / math.sqrt(2)
        )

    root = math.sqrt(2)
    assert found.energy == pytest.approx(
        math.sqrt(2 * mean_absolute(shift, root) - 2 * mean_absolute(0.0, root)), rel=1e-4
    )


def test_equal_and_disjoint_histograms_stand_at_the_ends_of_every_range() -> None:
    edges = np.linspace(0.0, 1.0, 11)
    p = np.zeros(10)
    p[1] = 3.0  # any sum
    same = histogram_distances(p, 7 * p, edges)
    assert [float(getattr(same, name)) for name in DISTANCES] == [0, 0, 0, 0, 0, 0, 1]
    q = np.zeros(10)
    q[6] = 1.0
    apart = histogram_distances(p, q, edges)
    assert apart.wasserstein == pytest.approx(0.5)
    assert (float(apart.ks), float(apart.overlap)) == (1.0, 0.0)
    assert apart.js_divergence == pytest.approx(math.log(2))
    assert apart.js_distance == pytest.approx(math.sqrt(math.log(2)))
    assert apart.energy == pytest.approx(math.sqrt(2 * 0.5))
    assert math.isinf(apart.bhattacharyya)


def test_an_empty_histogram_has_no_distance() -> None:
    found = histogram_distances(np.zeros(5), np.ones(5), np.linspace(0, 1, 6))
    assert all(math.isnan(getattr(found, name)) for name in DISTANCES)


def test_the_papers_jensen_shannon_value_is_the_distance() -> None:
    """Per bin, JS in nats lies between ln 2 and 1 times the squared Hellinger distance 1 - exp(-Bhattacharyya)."""
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.full(20, 0.3), size=2000), rng.dirichlet(np.full(20, 0.3), size=2000)
    found = histogram_distances(p, q, np.arange(21.0))
    hellinger = 1 - np.exp(-found.bhattacharyya)
    assert np.all(found.js_divergence <= hellinger + 1e-12)
    assert np.all(found.js_divergence >= math.log(2) * hellinger - 1e-12)
    of_paper = 1 - math.exp(-0.207)
    assert of_paper / math.log(2) < 0.418, "no divergence, neither in nats nor in bits"
    assert math.log(2) * of_paper < 0.418**2 < of_paper, "SciPy's distance, in nats"
    assert not of_paper < 0.418**2 < of_paper / math.log(2), "and not in bits"


def made_folds(
    shift: float = 0.0, patients: int = 24, repeats: int = 3, folds: int = 3, seed: int = 0, own: float = 0.3
) -> tuple[HeldOutGradients, ...]:
    """Log-normal gradients; ``shift`` moves log10, ``own`` is how much a patient's level varies from fit to fit."""
    rng, made = np.random.default_rng(seed), []
    codes = np.array([f"P-{index:02d}" for index in range(patients)])
    for repeat in range(repeats):
        order = np.random.default_rng(repeat).permutation(patients)
        for held in np.array_split(order, folds):
            level = -5 + shift + own * rng.normal(size=(held.size, 1, 1, 1))
            maps = 10 ** (level + 0.5 * rng.normal(size=(held.size, 6, 6, 6)))
            maps[:, 0] = 0.0
            made.append(HeldOutGradients(tuple(codes[held]), LABS, pet=GradientHistograms.of(maps)))
    return tuple(made)


def value(distributions: GradientDistributions, name: str) -> float:
    return distributions.distances[DISTANCES.index(name)].value


def test_scale_shows_in_logarithms_and_vanishes_in_the_papers_variant() -> None:
    found = compare_gradients(made_folds(1.0, seed=1), made_folds(0.0, seed=2), "pet", resamples=300, permutations=999)
    assert found is not None
    assert found.maps == 72
    assert found.unit.patients == found.log10.patients == 24
    assert value(found.log10, "wasserstein") == pytest.approx(1.0, abs=0.2)
    assert value(found.unit, "wasserstein") < 0.05
    assert found.log10.p_patients == pytest.approx(0.001)
    assert found.log10.p_fits <= 0.02, "nine pairs of fits: 2 / 512 at best"
    assert found.unit.p_patients > 0.01
    assert found.first_zeros == pytest.approx(1 / 6)
    assert found.first_flat == 0
    assert found.log10.first.sum() == pytest.approx(1.0)
    for estimate in found.log10.distances:
        low, high = estimate.ci95
        assert low <= estimate.value <= high or estimate.name == "overlap"
        if estimate.name != "overlap":
            assert estimate.refit < 0.5 * estimate.value


def test_a_model_is_at_no_distance_from_itself_and_fits_of_one_model_are() -> None:
    folds = made_folds()
    found = compare_gradients(folds, folds[::-1], "pet", resamples=50, permutations=99)
    assert found is not None
    assert value(found.log10, "wasserstein") == 0.0
    assert value(found.unit, "overlap") == pytest.approx(1.0)
    assert found.log10.p_patients == found.log10.p_fits == 1.0
    assert next(one.refit for one in found.log10.distances if one.name == "wasserstein") > 0.0


def test_permutation_holds_its_level_and_equals_brute_force() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.dirichlet(np.ones(8), size=6), rng.dirichlet(np.ones(8), size=6)

    def ks(signs: tuple[int, ...]) -> float:
        swap = np.array(signs)[:, None] < 0
        a, b = np.where(swap, second, first).mean(axis=0), np.where(swap, first, second).mean(axis=0)
        return float(np.abs(np.cumsum(a) - np.cumsum(b)).max())

    every = np.array([ks(signs) for signs in product((1, -1), repeat=6)])
    exact = np.mean(every >= ks((1,) * 6) - 1e-12)
    assert permuted_ks((first - second) / 6, permutations=20_000) == pytest.approx(exact, abs=0.015)
    draws = rng.dirichlet(np.ones(8), size=(400, 2, 20))
    rejected = np.mean([permuted_ks(a - b, 199, seed) <= 0.05 for seed, (a, b) in enumerate(draws)])
    assert 0.02 <= rejected <= 0.085


def test_only_maps_that_both_models_kept_enter() -> None:
    first, second = made_folds(patients=9), made_folds(patients=9, seed=5)
    assert compare_gradients(first, second, "ct") is None
    assert compare_gradients(first, (), "pet") is None
    half = HeldOutGradients(
        second[0].codes, LABS, pet=GradientHistograms.stack([GradientHistograms.of(np.ones((1, 3, 3, 3)))], 3)
    )
    found = compare_gradients(first, (half,), "pet", resamples=20, permutations=99)
    assert found is not None
    assert found.maps == 1
    assert found.unit.patients == 1
    assert math.isnan(found.unit.distances[0].refit), "one fit of each model"
    assert (found.unit.p_patients, found.unit.p_fits, found.unit.folds) == (1.0, 1.0, 1)


def test_flat_maps_of_collapsed_fits_are_counted_and_leave_the_logarithms() -> None:
    flat = tuple(
        HeldOutGradients(fold.codes, LABS, pet=GradientHistograms.of(np.zeros((len(fold.codes), 3, 3, 3))))
        for fold in made_folds(repeats=1)
    )
    found = compare_gradients(made_folds(repeats=1), flat, "pet", resamples=20, permutations=99)
    assert found is not None
    assert (found.first_flat, found.second_flat, found.second_zeros) == (0, 24, 1.0)
    assert found.log10.patients == 0
    assert math.isnan(found.log10.p_patients)
    assert found.unit.patients == 24
    assert found.unit.second[0] == 1.0


def test_what_one_training_does_to_all_its_patients_is_no_evidence_of_another_model() -> None:
    """Fits whose level is luck, the same for all they held out: the swap of patients sees it, that of fits does not."""
    rejected_patients, rejected_fits = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        models = []
        for model in range(2):
            folds = made_folds(own=0.0, seed=10 * seed + model, repeats=2, folds=4)
            steps = rng.integers(0, 9, len(folds))
            models.append(tuple(moved(fold, int(step)) for fold, step in zip(folds, steps, strict=True)))
        found = compare_gradients(models[0], models[1], "pet", resamples=2, permutations=199)
        assert found is not None
        rejected_patients += found.log10.p_patients <= 0.05
        rejected_fits += found.log10.p_fits <= 0.05
    assert rejected_fits <= 7, "60 comparisons at 0.05"
    assert rejected_patients >= 20


def moved(fold: HeldOutGradients, bins: int) -> HeldOutGradients:
    assert fold.pet is not None
    return replace(fold, pet=replace(fold.pet, log10_counts=np.roll(fold.pet.log10_counts, bins, axis=1)))
