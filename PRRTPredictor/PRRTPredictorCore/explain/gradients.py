"""How differently two models' gradients are distributed (paper, Fig. 8).

The distances of two models' histograms, and their uncertainty over patients and fits. The paper pools the voxels of all
patients, each map scaled to [0, 1], and tests the voxels. Neighbouring voxels of one map are not independent, and a
quarter of a million of them a patient make any difference "significant"; here patients are resampled, and patients or
whole fits are swapped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ..records import Image
from ..training.heldout import LOG10_EDGES, UNIT_EDGES, HeldOutGradients
from .distances import DISTANCES, Floats, histogram_distances
from .gradient_maps import MapPair, paired_maps

Scale: TypeAlias = Literal["unit", "log10"]
"""Min–max scaled per map, as the paper; log10 |∂ probability / ∂ voxel|, not normalised."""

RESAMPLES = 2000
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class DistanceEstimate:
    """One distance.

    Attributes
    ----------
    name : str
        One of :data:`DISTANCES`.
    value : float
    ci95 : (float, float)
        Patient-level bootstrap percentile interval.
    refit : float
        The same distance between two fits of *one* model on other splits, over the same patients: the mean over both
        models and all pairs of fits; NaN with a single repeat. A distance no larger than this says nothing about
        what the two models see.
    """

    name: str
    value: float
    ci95: tuple[float, float]
    refit: float


@dataclass(frozen=True, eq=False)
class GradientDistributions:
    """Two models' gradient magnitudes on one scale.

    Attributes
    ----------
    scale : {"unit", "log10"}
    edges : ndarray, shape (bins + 1,)
    first, second : ndarray, shape (bins,)
        Share of the voxels in each bin: mean over a patient's fits, then over patients.
    first_fits, second_fits : ndarray, shape (R, bins)
        The same for the first, second, … fit that held each patient out.
    distances : tuple of DistanceEstimate
        In the order of :data:`DISTANCES`.
    p_patients : float
        Permutation p of the Kolmogorov–Smirnov statistic, both models' histograms swapped patient by patient: would
        these fitted networks differ on other patients?
    p_fits : float
        The same, swapped fold by fold for all patients that the two fits held out: would other fits of the two models
        differ on these patients? At best 2 / 2^folds.
    patients, folds : int
        Who entered; distances are NaN when nobody did.
    """

    scale: Scale
    edges: Floats
    first: Floats
    second: Floats
    first_fits: Floats
    second_fits: Floats
    distances: tuple[DistanceEstimate, ...]
    p_patients: float
    p_fits: float
    patients: int
    folds: int


@dataclass(frozen=True, eq=False)
class GradientComparison:
    """Two models' gradients with respect to one image, on both scales.

    Attributes
    ----------
    image : {"pet", "ct"}
    unit, log10 : GradientDistributions
    maps : int
        Pairs of gradient maps of the same patient in the same fold.
    first_zeros, second_zeros : float
        Mean share of a map's voxels without any gradient; they are not in ``log10``.
    first_flat, second_flat : int
        Maps without any gradient at all, as a collapsed fit leaves them.
    """

    image: Image
    unit: GradientDistributions
    log10: GradientDistributions
    maps: int
    first_zeros: float
    second_zeros: float
    first_flat: int
    second_flat: int

    @property
    def scales(self) -> tuple[GradientDistributions, ...]:
        """Both, the paper's first."""
        return self.unit, self.log10


# --- two models -------------------------------------------------------------------------------------------------------


def compare_gradients(
    first: Sequence[HeldOutGradients],
    second: Sequence[HeldOutGradients],
    image: Image,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> GradientComparison | None:
    """Compare two models' gradients over the held-out patients that both were asked about in the same folds.

    Parameters
    ----------
    first, second : sequence of HeldOutGradients
        One a finished fold, in the order of the folds.
    image : {"pet", "ct"}
    resamples, permutations, seed : int

    Returns
    -------
    GradientComparison or None
        None where the models share no gradient map of this image.
    """
    pairs = paired_maps(first, second, image)
    if not pairs:
        return None
    firsts, seconds = [pair.first for pair in pairs], [pair.second for pair in pairs]
    return GradientComparison(
        image=image,
        unit=_distributions("unit", pairs, resamples, permutations, seed),
        log10=_distributions("log10", pairs, resamples, permutations, seed),
        maps=len(pairs),
        first_zeros=float(np.mean([one.zeros for one in firsts])),
        second_zeros=float(np.mean([one.zeros for one in seconds])),
        first_flat=sum(one.flat for one in firsts),
        second_flat=sum(one.flat for one in seconds),
    )


def permuted_ks(gaps: Floats, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Permutation p of the Kolmogorov–Smirnov statistic of two models' pooled histograms.

    Under the null hypothesis that a unit (a patient, or a pair of fits) gives both models' gradients alike, swapping
    its two histograms is as likely as the data seen. The gap between the pooled cumulative distributions is the sum of
    the units' gaps, and a swap changes a unit's sign: a permutation is a product of matrices.

    Parameters
    ----------
    gaps : ndarray, shape (units, bins)
        Each unit's share in the first model's pooled histogram minus its share in the second's.
    permutations, seed : int

    Returns
    -------
    float
        (b + 1) / (permutations + 1).
    """
    cumulative = np.cumsum(gaps, axis=1)[:, :-1]
    # A hair of tolerance: sums of the same numbers in another order must count as equal to the observed one.
    bound = np.abs(cumulative.sum(axis=0)).max() - 1e-12
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, permutations, 2048):
        signs = rng.integers(0, 2, size=(min(2048, permutations - start), len(gaps))) * 2.0 - 1.0
        extreme += int(np.count_nonzero(np.abs(signs @ cumulative).max(axis=1) >= bound))
    return (extreme + 1) / (permutations + 1)


# --- on one scale -----------------------------------------------------------------------------------------------------

Fits: TypeAlias = Sequence[Sequence[Floats]]
"""By patient, by fit: both models' histograms, shape (2, bins)."""


def _distributions(
    scale: Scale, pairs: Sequence[MapPair], resamples: int, permutations: int, seed: int
) -> GradientDistributions:
    edges = UNIT_EDGES if scale == "unit" else LOG10_EDGES
    gathered: dict[str, list[Floats]] = defaultdict(list)
    folds: dict[str, list[int]] = defaultdict(list)
    for pair in pairs:
        a, b = (one.unit if scale == "unit" else one.log10 for one in (pair.first, pair.second))
        if a is not None and b is not None:
            gathered[pair.code].append(np.stack([a, b]))
            folds[pair.code].append(pair.fold)
    if not gathered:
        return _nothing(scale, edges)
    by_patient = list(gathered.values())
    n = len(by_patient)
    means = np.array([np.mean(fits, axis=0) for fits in by_patient])
    first, second = means[:, 0], means[:, 1]
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=resamples) / n
    point = histogram_distances(first.mean(axis=0), second.mean(axis=0), edges)
    drawn = histogram_distances(draws @ first, draws @ second, edges)
    refit = _refit_distances(by_patient, edges)
    fits = _fits(by_patient)
    by_fold = _gaps_by_fold(by_patient, list(folds.values()))
    return GradientDistributions(
        scale=scale,
        edges=edges,
        first=first.mean(axis=0),
        second=second.mean(axis=0),
        first_fits=fits[:, 0],
        second_fits=fits[:, 1],
        distances=tuple(
            DistanceEstimate(name, float(getattr(point, name)), _interval(getattr(drawn, name)), refit[name])
            for name in DISTANCES
        ),
        p_patients=permuted_ks((first - second) / n, permutations, seed),
        p_fits=permuted_ks(by_fold, permutations, seed),
        patients=n,
        folds=len(by_fold),
    )


def _nothing(scale: Scale, edges: Floats) -> GradientDistributions:
    nan, bins = float("nan"), len(edges) - 1
    return GradientDistributions(
        scale=scale,
        edges=edges,
        first=np.full(bins, nan),
        second=np.full(bins, nan),
        first_fits=np.empty((0, bins)),
        second_fits=np.empty((0, bins)),
        distances=tuple(DistanceEstimate(name, nan, (nan, nan), nan) for name in DISTANCES),
        p_patients=nan,
        p_fits=nan,
        patients=0,
        folds=0,
    )


def _fits(by_patient: Fits) -> Floats:
    """Pooled histograms of each patient's first, second, … fit: shape (R, 2, bins)."""
    most = max(len(fits) for fits in by_patient)
    return np.array(
        [np.mean([fits[place] for fits in by_patient if len(fits) > place], axis=0) for place in range(most)]
    )


def _gaps_by_fold(by_patient: Fits, folds: Sequence[Sequence[int]]) -> Floats:
    """What each fold's two fits add to the gap between the pooled histograms: shape (folds, bins)."""
    gaps: dict[int, Floats] = {}
    for fits, numbers in zip(by_patient, folds, strict=True):
        for both, number in zip(fits, numbers, strict=True):
            share = (both[0] - both[1]) / (len(fits) * len(by_patient))
            gaps[number] = gaps[number] + share if number in gaps else share
    return np.array(list(gaps.values()))


def _refit_distances(by_patient: Fits, edges: Floats) -> dict[str, float]:
    """Mean distance between two fits of the same model over the patients that both held out."""
    most = max(len(fits) for fits in by_patient)
    pairs = []
    for one in range(most):
        for other in range(one + 1, most):
            members = [fits for fits in by_patient if len(fits) > other]
            a = np.mean([fits[one] for fits in members], axis=0)
            b = np.mean([fits[other] for fits in members], axis=0)
            pairs.append(histogram_distances(a, b, edges))
    if not pairs:
        return dict.fromkeys(DISTANCES, float("nan"))
    return {name: float(np.mean([getattr(pair, name) for pair in pairs])) for name in DISTANCES}


def _interval(draws: Floats) -> tuple[float, float]:
    # Quantiles of infinite Bhattacharyya distances would be NaN by interpolation.
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return float(low), float(high)
