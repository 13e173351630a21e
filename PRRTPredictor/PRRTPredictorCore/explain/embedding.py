"""How far held-out patients lie from each other in the networks' eyes, and UMAP maps of that.

Out of fold only. Every fold's network spans a space of its own, so that two patients are comparable only where one
network held both of them out. Their *consensus distance* is the mean, over all such folds, of their distance in units
of the fold's median distance; pairs that were never held out together stay unknown.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..training.heldout import HeldOutEmbeddings

Floats = NDArray[np.float64]

CONSENSUS_FROM = 0.6
"""Share of the pairs that must be known for one map of all patients; three repeats of three folds give 0.7."""
LAYOUT_FROM = 8
"""UMAP maps nothing sensible out of fewer patients."""
SEEDS = (0, 1, 2, 3, 4)
_UMAP_NEIGHBOURS = 15
_NO_SPREAD = 1e-4
"""A median distance below this share of the largest coordinate: the network says the same about everyone."""


@dataclass(frozen=True, eq=False)
class PatientDistances:
    """How far held-out patients lie from each other.

    Attributes
    ----------
    codes : tuple of str, length n
    values : ndarray, shape (n, n)
        Symmetric, 0 on the diagonal, in units of a fold's median distance; NaN for pairs that are not comparable.
    """

    codes: tuple[str, ...]
    values: Floats

    @property
    def share_known(self) -> float:
        """Share of the pairs of different patients whose distance is known; NaN for fewer than two patients."""
        n = len(self.codes)
        return float((np.isfinite(self.values).sum() - n) / (n * (n - 1))) if n > 1 else float("nan")


@dataclass(frozen=True, eq=False)
class EmbeddingSpace:
    """Everything that can be compared among one model's held-out embeddings.

    Attributes
    ----------
    scored : tuple of PatientDistances
        The consensus of all folds, or each fold by itself where too few pairs are known.
    mapped : tuple of PatientDistances
        What one draws: the consensus, or the folds of the first repeat.
    consensus : bool
    share_known : float
        Share of all pairs that some fold held out together.
    folds, without_spread : int
        Folds that entered, and folds left out because their network gives everyone the same embedding.
    """

    scored: tuple[PatientDistances, ...]
    mapped: tuple[PatientDistances, ...]
    consensus: bool
    share_known: float
    folds: int
    without_spread: int


# --- distances --------------------------------------------------------------------------------------------------------


def fold_distances(fold: HeldOutEmbeddings) -> PatientDistances | None:
    """Euclidean distances of a fold's held-out patients over their median; None where its embeddings do not spread."""
    from scipy.spatial.distance import pdist, squareform

    values = fold.values.astype(np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    distances = pdist(values)
    median = float(np.median(distances))
    if median <= _NO_SPREAD * float(np.abs(values).max()):
        return None
    return PatientDistances(fold.codes, squareform(distances / median))


def consensus_distances(folds: Sequence[PatientDistances]) -> PatientDistances:
    """Average every pair of patients over the folds that hold both; patients sorted by study code."""
    codes = tuple(sorted({code for fold in folds for code in fold.codes}))
    place = {code: index for index, code in enumerate(codes)}
    total = np.zeros((len(codes), len(codes)))
    count = np.zeros_like(total)
    for fold in folds:
        rows = np.ix_(*[[place[code] for code in fold.codes]] * 2)
        known = np.isfinite(fold.values)
        total[rows] += np.where(known, fold.values, 0.0)
        count[rows] += known
    return PatientDistances(codes, np.where(count > 0, total / np.maximum(count, 1), np.nan))


def embedding_space(folds: Sequence[HeldOutEmbeddings]) -> EmbeddingSpace | None:
    """Gather one model's held-out embeddings.

    Parameters
    ----------
    folds : sequence of HeldOutEmbeddings
        Of one model, by repeat, then fold.

    Returns
    -------
    EmbeddingSpace or None
        None when no fold's embeddings spread.
    """
    found = [fold_distances(fold) for fold in folds]
    spread = tuple(one for one in found if one is not None)
    if not spread:
        return None
    consensus = consensus_distances(spread)
    enough = consensus.share_known >= CONSENSUS_FROM
    return EmbeddingSpace(
        scored=(consensus,) if enough else spread,
        mapped=(consensus,) if enough else _first_repeat(spread),
        consensus=enough,
        share_known=consensus.share_known,
        folds=len(spread),
        without_spread=len(found) - len(spread),
    )


def _first_repeat(folds: Sequence[PatientDistances]) -> tuple[PatientDistances, ...]:
    """The folds before any patient is held out a second time."""
    seen: set[str] = set()
    chosen = []
    for fold in folds:
        if seen.intersection(fold.codes):
            break
        seen.update(fold.codes)
        chosen.append(fold)
    return tuple(chosen)


# --- maps -------------------------------------------------------------------------------------------------------------


def umap_layouts(distances: PatientDistances, seeds: Sequence[int] = SEEDS) -> tuple[Floats, ...]:
    """Lay patients out in the plane by UMAP (McInnes et al. 2018), once a seed; shape (n, 2) each.

    A pair whose distance is unknown pulls nobody together. UMAP's turn and handedness are arbitrary, so the first
    layout is laid along its longest extent and every other one turned onto it. Opening umap-learn compiles for many
    seconds; nothing does so before the first call.
    """
    from scipy.linalg import orthogonal_procrustes

    layouts: list[Floats] = []
    for seed in seeds:
        layout = _one_layout(distances.values, seed)
        layout = layout - layout.mean(axis=0)
        turn = (
            orthogonal_procrustes(layout, layouts[0])[0] if layouts else np.linalg.svd(layout, full_matrices=False)[2].T
        )
        layouts.append(layout @ turn)
    return tuple(layouts)


def layout_distances(codes: tuple[str, ...], layout: Floats) -> PatientDistances:
    """The distances on a map, to be scored like those of the space it shows."""
    from scipy.spatial.distance import pdist, squareform

    return PatientDistances(codes, squareform(pdist(layout)))


def _one_layout(values: Floats, seed: int) -> Floats:
    with warnings.catch_warnings():
        # It tells of the seed's price in threads, of numba's future and of pairs that were meant to be cut.
        warnings.simplefilter("ignore")
        import umap

        known = np.isfinite(values)
        beyond = 10.0 * float(values[known].max())
        mapper = umap.UMAP(
            metric="precomputed",
            n_neighbors=min(_UMAP_NEIGHBOURS, len(values) - 1),
            min_dist=0.3,
            disconnection_distance=beyond,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(mapper.fit_transform(np.where(known, values, beyond)), dtype=np.float64)
