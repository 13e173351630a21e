"""The six distances between two histograms of the paper's Fig. 8b, and the two forms of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances between histograms p and q over the same bins, each an array of one shape.

    Attributes
    ----------
    wasserstein : ndarray
        Area between the two cumulative distributions, in units of the abscissa (Wasserstein-1).
    ks : ndarray
        Largest gap between the two cumulative distributions at an edge of a bin, 0 to 1 (Kolmogorov–Smirnov).
    js_divergence : ndarray
        Jensen–Shannon divergence in nats, 0 to ln 2 = 0.693.
    js_distance : ndarray
        Its square root, 0 to 0.833; what ``scipy.spatial.distance.jensenshannon`` returns.
    energy : ndarray
        Energy distance, sqrt(2 ∫ (F - G)² dx), as ``scipy.stats.energy_distance``.
    bhattacharyya : ndarray
        -ln Σ sqrt(p q); infinite when the histograms do not meet.
    overlap : ndarray
        Σ min(p, q), 0 to 1: the one that is large when the histograms agree.
    """

    wasserstein: Floats
    ks: Floats
    js_divergence: Floats
    js_distance: Floats
    energy: Floats
    bhattacharyya: Floats
    overlap: Floats


DISTANCES: tuple[str, ...] = tuple(Distances.__dataclass_fields__)


def histogram_distances(p: Floats, q: Floats, edges: Floats) -> Distances:
    """All distances of the paper's Fig. 8 between histograms.

    Parameters
    ----------
    p, q : ndarray, shape (..., bins)
        Non-negative, of any sum; NaN distances where a histogram is empty.
    edges : ndarray, shape (bins + 1,)
        Of the bins; the mass of a bin sits at its centre.

    Returns
    -------
    Distances
        Arrays of shape (...).
    """
    from scipy.special import rel_entr

    p, q = shares(p), shares(q)
    centres = (edges[1:] + edges[:-1]) / 2.0
    gap = np.cumsum(p - q, axis=-1)[..., :-1]
    step = np.diff(centres)
    middle = (p + q) / 2.0
    # Rounding can take the divergence of equal histograms a hair below 0.
    divergence = np.maximum(0.0, (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2.0)
    with np.errstate(divide="ignore"):
        bhattacharyya = -np.log(np.minimum(1.0, np.sqrt(p * q).sum(axis=-1)))
    return Distances(
        wasserstein=(np.abs(gap) * step).sum(axis=-1),
        ks=np.abs(gap).max(axis=-1),
        js_divergence=divergence,
        js_distance=np.sqrt(divergence),
        energy=np.sqrt(2.0 * (gap**2 * step).sum(axis=-1)),
        bhattacharyya=np.abs(bhattacharyya),
        overlap=np.minimum(p, q).sum(axis=-1),
    )


def shares(histogram: Floats) -> Floats:
    """Histograms of shape (..., bins) divided by their sums; NaN where one is empty."""
    total = histogram.sum(axis=-1, keepdims=True)
    divided: Floats = np.where(total > 0, histogram / np.where(total > 0, total, 1.0), np.nan)
    return divided
