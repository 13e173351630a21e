"""Which organs a network looked at: the share of its saliency beside the share of the volume and of the uptake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..imaging.segmentation import OrganShares

UNLABELLED = "not labelled"
"""Everything that no label covers: air, couch, and tissue that the segmentation leaves out."""


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
    """

    name: str
    patients: int
    saliency_share: float
    volume_share: float
    uptake_share: float
    saliency_shares: tuple[float, ...]

    @property
    def enrichment(self) -> float:
        """Mean saliency share over mean volume share; NaN for an organ without volume."""
        return self.saliency_share / self.volume_share if self.volume_share > 0 else float("nan")


def mean_over_patients(patients: Sequence[Sequence[OrganSaliency]]) -> tuple[OrganMean, ...]:
    """Average organ shares over patients, each organ over those whose segmentation names it.

    Parameters
    ----------
    patients : sequence of sequence of OrganSaliency
        From :func:`saliency_by_organ`, one a patient.

    Returns
    -------
    tuple of OrganMean
        By falling mean saliency share, :data:`UNLABELLED` last.
    """
    names = dict.fromkeys(organ.name for one in patients for organ in one)
    means = []
    for name in names:
        found = [organ for one in patients for organ in one if organ.name == name]
        looked = tuple(organ.saliency_share for organ in found)
        volume = _mean([organ.volume_share for organ in found])
        uptake = _mean([organ.uptake_share for organ in found])
        means.append(OrganMean(name, len(found), _mean(looked), volume, uptake, looked))
    return tuple(sorted(means, key=lambda organ: (organ.name == UNLABELLED, -np.nan_to_num(organ.saliency_share))))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
