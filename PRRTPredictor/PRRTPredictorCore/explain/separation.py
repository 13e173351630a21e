"""Do held-out patients lie by outcome? Scores of their embeddings, each beside what shuffled outcomes would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .embedding import PatientDistances

Floats = NDArray[np.float64]

PERMUTATIONS = 2000
_MOST_NEIGHBOURS = 10


@dataclass(frozen=True)
class PermutedScore:
    """A score and what it would be if the outcomes were shuffled among the patients.

    Attributes
    ----------
    value : float
        NaN where it is undefined, and then so is all else.
    null_mean : float
    null95 : (float, float)
        Central 95 % of the shuffled scores.
    p : float
        One-sided: share of shuffles that reach ``value``, (b + 1) / (permutations + 1).
    """

    value: float
    null_mean: float
    null95: tuple[float, float]
    p: float


@dataclass(frozen=True)
class SeparationScores:
    """How well outcomes separate in a space.

    Attributes
    ----------
    knn : PermutedScore
        Share of a patient's nearest neighbours that have his outcome, averaged within each outcome and then over the
        two, so that chance is about 0.5 whatever the prevalence (a little less, for nobody is his own neighbour).
    silhouette : PermutedScore
        Rousseeuw's silhouette of the two outcomes, -1 to 1; about 0 is chance.
    neighbours : int
        Neighbours that the first looks at: the root of the number of patients, 10 at most.
    patients : int
    """

    knn: PermutedScore
    silhouette: PermutedScore
    neighbours: int
    patients: int


def separation(
    spaces: Sequence[PatientDistances], long: Mapping[str, bool], permutations: int = PERMUTATIONS, seed: int = 0
) -> SeparationScores:
    """Score how outcomes lie in one space, or on average over several.

    The null shuffles outcomes over *patients*, in all spaces at once. It does not train anew: it asks whether these
    embeddings lie by outcome, not whether another training would give such embeddings.

    Parameters
    ----------
    spaces : sequence of PatientDistances
        Spaces in which one outcome is missing are left out of the average.
    long : mapping of str to bool
        Outcome by study code.
    permutations : int
    seed : int
    """
    codes = sorted({code for space in spaces for code in space.codes})
    place = {code: index for index, code in enumerate(codes)}
    outcome = np.array([long[code] for code in codes], dtype=np.bool_)
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.broadcast_to(outcome, (permutations, len(codes))), axis=1)
    labels = np.concatenate([outcome[None], shuffled])
    k = neighbour_count(min((len(space.codes) for space in spaces), default=0))
    columns = [[place[code] for code in space.codes] for space in spaces]
    knn = [neighbour_agreement(nearest(s.values, k), labels[:, c]) for s, c in zip(spaces, columns, strict=True)]
    silhouettes = [silhouette(space.values, labels[:, c]) for space, c in zip(spaces, columns, strict=True)]
    return SeparationScores(_against_null(knn), _against_null(silhouettes), neighbours=k, patients=len(codes))


def neighbour_count(patients: int) -> int:
    """Neighbours to look at among so many patients."""
    return int(np.clip(np.sqrt(patients), 1, _MOST_NEIGHBOURS))


def nearest(distances: Floats, k: int) -> NDArray[np.int64]:
    """The ``k`` nearest comparable others of each row, shape (n, k); fewer where someone has fewer.

    Ties are broken by lot (the same at every call), so that the order of the patients cannot matter.
    """
    n = len(distances)
    others = np.where(np.isfinite(distances), distances, np.inf)
    np.fill_diagonal(others, np.inf)
    k = int(min(k, np.isfinite(others).sum(axis=1).min(initial=n)))
    lot = np.random.default_rng(0).permutation(n)
    return np.asarray(lot[np.argsort(others[:, lot], axis=1, kind="stable")[:, :k]], dtype=np.int64)


def neighbour_agreement(neighbours: NDArray[np.int64], labels: NDArray[np.bool_]) -> Floats:
    """Share of neighbours with a patient's own label: mean within each label, then over the two.

    Parameters
    ----------
    neighbours : ndarray, shape (n, k)
    labels : ndarray of bool, shape (P, n)

    Returns
    -------
    ndarray, shape (P,)
        NaN where one label is absent, or k is 0.
    """
    if not neighbours.size:
        return np.full(len(labels), np.nan)
    same = (labels[:, neighbours] == labels[:, :, None]).mean(axis=2)
    first, second = labels.sum(axis=1), (~labels).sum(axis=1)
    both = (first > 0) & (second > 0)
    means = (
        (same * labels).sum(axis=1) / np.maximum(first, 1) + (same * ~labels).sum(axis=1) / np.maximum(second, 1)
    ) / 2
    return np.where(both, means, np.nan)


def silhouette(distances: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Mean silhouette (Rousseeuw 1987) of two labels under many labellings, over the known distances.

    On complete distances it is scikit-learn's ``silhouette_score(metric="precomputed")``, which knows no unknown
    pairs and takes one labelling at a time.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        NaN where unknown.
    labels : ndarray of bool, shape (P, n)

    Returns
    -------
    ndarray, shape (P,)
        NaN where one label is absent. A patient alone with his label counts as 0, as in scikit-learn.
    """
    known = np.isfinite(distances) & ~np.eye(len(distances), dtype=np.bool_)
    values, pairs = np.where(known, distances, 0.0), known.astype(np.float64)
    ones = labels.astype(np.float64)

    def mean_distance(to: Floats) -> Floats:
        count = to @ pairs
        return np.asarray(np.where(count > 0, (to @ values) / np.maximum(count, 1.0), np.nan))

    to_first, to_second = mean_distance(ones), mean_distance(1.0 - ones)
    own, other = np.where(labels, to_first, to_second), np.where(labels, to_second, to_first)
    widest = np.maximum(own, other)
    each = np.where(np.isfinite(own) & (widest > 0), (other - own) / np.where(widest > 0, widest, 1.0), 0.0)
    each = np.where(np.isfinite(other), each, np.nan)
    counted = np.isfinite(each).sum(axis=1)
    both = (labels.sum(axis=1) > 0) & (labels.sum(axis=1) < labels.shape[1]) & (counted > 0)
    return np.where(both, np.nansum(each, axis=1) / np.maximum(counted, 1), np.nan)


def _against_null(by_space: Sequence[Floats]) -> PermutedScore:
    """Average over spaces; the first entry of each is the truth, the others are shuffles."""
    undefined = PermutedScore(float("nan"), float("nan"), (float("nan"), float("nan")), float("nan"))
    defined = [values for values in by_space if np.isfinite(values[0])]
    if not defined:
        return undefined
    stacked = np.stack(defined)
    counted = np.isfinite(stacked).sum(axis=0)
    means = np.nansum(stacked, axis=0)[counted > 0] / counted[counted > 0]
    value, null = float(means[0]), means[1:]
    if not null.size:
        return undefined
    low, high = np.quantile(null, [0.025, 0.975])
    # A hair of tolerance: sums of the same numbers in another order must count as equal to the observed one.
    p = (int(np.count_nonzero(null >= value - 1e-12)) + 1) / (null.size + 1)
    return PermutedScore(value, float(null.mean()), (float(low), float(high)), p)
