"""Which organs a network looked at: the share of its saliency beside the share of the volume and of the uptake.

Saliency says where the answer would change if the image did; it does not say that an organ's disease was understood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..imaging.segmentation import OrganShares

UNLABELLED = "not labelled"
"""Everything that no label covers: air, couch, and tissue that the segmentation leaves out."""

INTERVAL_RESAMPLES = 2000
LEAST_FOR_AN_INTERVAL = 6
"""Fewer patients resampled say nothing about their spread."""


@dataclass(frozen=True)
class OrganSaliency:
    """One organ's part of one saliency map.

    Attributes
    ----------
    name : str
    saliency_share : float
        Of the map's sum; NaN where the map is zero everywhere.
    volume_share : float
        Of the whole field of view, air included.
    uptake_share : float
        Of the PET's total uptake (SUV x volume); NaN without a PET.
    enrichment : float
        saliency_share / volume_share: 1 where the network looks as if it did not care; NaN for an organ that is not
        in the field of view.
    """

    name: str
    saliency_share: float
    volume_share: float
    uptake_share: float
    enrichment: float


def saliency_by_organ(
    saliency: NDArray[np.floating], shares: OrganShares, pet: NDArray[np.floating] | None = None
) -> tuple[OrganSaliency, ...]:
    """Divide a saliency map among the organs.

    A model voxel that several organs share gives each of them its part, in proportion to the volume.

    Parameters
    ----------
    saliency : ndarray, shape (K, J, I)
        Non-negative, in any unit: only shares are looked at. The unscaled gradient magnitude is the honest choice,
        since the [0, 1] scaling of a map subtracts its smallest value.
    shares : OrganShares
        Of the same patient, on the same grid.
    pet : ndarray, shape (K, J, I), optional
        SUVbw on the same grid.

    Returns
    -------
    tuple of OrganSaliency
        The organs in the order of ``shares``, then :data:`UNLABELLED`; each kind of share sums to 1.

    Raises
    ------
    ValueError
        The shapes differ, or the saliency is negative somewhere.
    """
    shape = shares.fractions.shape[1:]
    if saliency.shape != shape or (pet is not None and pet.shape != shape):
        raise ValueError(f"Saliency, PET and organs lie on different grids: {saliency.shape} and {shape}.")
    if saliency.min() < 0:
        raise ValueError("A saliency map is a magnitude, and this one is negative somewhere.")
    volume = _divided(np.ones(shape), shares)
    looked = _divided(saliency, shares)
    uptake = np.full_like(volume, np.nan) if pet is None else _divided(pet, shares)
    enrichment = np.divide(looked, volume, out=np.full_like(volume, np.nan), where=volume > 0)
    return tuple(
        OrganSaliency(name, float(looked[n]), float(volume[n]), float(uptake[n]), float(enrichment[n]))
        for n, name in enumerate((*shares.names, UNLABELLED))
    )


def _divided(values: NDArray[np.floating], shares: OrganShares) -> NDArray[np.float64]:
    """Share of ``values``' sum in each organ and, last, outside of all; NaN where the sum is zero."""
    total = float(values.sum(dtype=np.float64))
    if not total > 0:
        return np.full(len(shares.names) + 1, np.nan)
    in_organs = np.tensordot(shares.fractions, values.astype(np.float32), axes=3).astype(np.float64) / total
    return np.append(in_organs, max(0.0, 1.0 - float(in_organs.sum())))


@dataclass(frozen=True)
class OrganMean:
    """An organ over several patients.

    Attributes
    ----------
    name : str
    patients : int
        Whose segmentation names the organ.
    saliency_share, volume_share, uptake_share : float
        Means over those patients; NaN where none has a value.
    saliency_shares : tuple of float
        One a patient.
    ci95 : (float, float)
        Of the mean saliency share, over patients drawn with replacement; NaN for fewer than 6 patients.
    """

    name: str
    patients: int
    saliency_share: float
    volume_share: float
    uptake_share: float
    saliency_shares: tuple[float, ...]
    ci95: tuple[float, float]

    @property
    def title(self) -> str:
        """The name for reading: TotalSegmentator's "lung_upper_lobe_left" without its underscores."""
        return self.name.replace("_", " ")

    @property
    def enrichment(self) -> float:
        """Mean saliency share over mean volume share; NaN for an organ without volume."""
        return self.saliency_share / self.volume_share if self.volume_share > 0 else math.nan


def mean_over_patients(patients: Sequence[Sequence[OrganSaliency]], seed: int = 0) -> tuple[OrganMean, ...]:
    """Average organ shares over patients, each organ over those whose segmentation names it.

    Parameters
    ----------
    patients : sequence of sequence of OrganSaliency
        From :func:`saliency_by_organ`, one a patient.
    seed : int
        Of the resampling.

    Returns
    -------
    tuple of OrganMean
        By falling mean saliency share, :data:`UNLABELLED` last.
    """
    names = dict.fromkeys(organ.name for one in patients for organ in one)
    means = []
    for name in names:
        found = [organ for one in patients for organ in one if organ.name == name]
        looked = np.array([organ.saliency_share for organ in found])
        means.append(
            OrganMean(
                name=name,
                patients=len(found),
                saliency_share=_mean(looked),
                volume_share=_mean(np.array([organ.volume_share for organ in found])),
                uptake_share=_mean(np.array([organ.uptake_share for organ in found])),
                saliency_shares=tuple(map(float, looked)),
                ci95=_interval(looked[np.isfinite(looked)], seed),
            )
        )
    return tuple(sorted(means, key=lambda organ: (organ.name == UNLABELLED, -np.nan_to_num(organ.saliency_share))))


def gather_small(
    patients: Sequence[Sequence[OrganSaliency]], kept: Sequence[str], name: str
) -> tuple[tuple[OrganSaliency, ...], ...]:
    """Take all organs but the ``kept`` ones, and what is not labelled, together as ``name``, patient by patient."""
    gathered = []
    for one in patients:
        large = tuple(organ for organ in one if organ.name in kept or organ.name == UNLABELLED)
        small = [organ for organ in one if organ not in large]
        if small:
            looked, volume, uptake = (
                float(np.sum([getattr(organ, kind) for organ in small]))
                for kind in ("saliency_share", "volume_share", "uptake_share")
            )
            large = (*large, OrganSaliency(name, looked, volume, uptake, looked / volume if volume > 0 else math.nan))
        gathered.append(large)
    return tuple(gathered)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _interval(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    if len(values) < LEAST_FOR_AN_INTERVAL:
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).integers(len(values), size=(INTERVAL_RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
