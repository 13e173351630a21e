"""The way back: from model voxels to the patient, and from a saliency map to the PET's own geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import Code, GeometryRefused
from ..records import CommonGrid, Unit, Volume
from .grid import box_in, canonical_view
from .resize import Span

PLANES_AT_ONCE = 8
"""So many fine planes stay in a processor's cache."""


def model_voxel_to_lps(grid: CommonGrid, kji: ArrayLike) -> NDArray[np.float64]:
    """LPS position in mm of model voxel indices (k, j, i), shape (..., 3); fractions lie between voxel centres."""
    return _transform(grid.ijk_to_lps, np.flip(np.asarray(kji), axis=-1))


def lps_to_model_voxel(grid: CommonGrid, lps_mm: ArrayLike) -> NDArray[np.float64]:
    """Fractional model voxel index (k, j, i) of LPS positions in mm, shape (..., 3); the inverse of the above."""
    return np.flip(_transform(np.linalg.inv(grid.ijk_to_lps), np.asarray(lps_mm)), axis=-1)


def to_pet_geometry(values: NDArray[np.floating], grid: CommonGrid, pet: Volume, unit: Unit = "saliency") -> Volume:
    """Interpolate a map on the model grid to every voxel of the PET.

    Trilinear between model voxel centres, constant in the outer half of the outermost model voxels, and 0 outside of
    the grid's box. The weights are convex, so a map in [0, 1] stays in [0, 1].

    Parameters
    ----------
    values : ndarray, shape ``grid.shape``
    grid : CommonGrid
        The grid that :func:`~PRRTPredictorCore.imaging.preprocess.prepare_study` made from this PET.
    pet : Volume
        Gives shape and affine of the result.

    Returns
    -------
    Volume
        float32, with the PET's own shape, axis order and affine.

    Raises
    ------
    GeometryRefused
        ``BAD_GEOMETRY``: the map has another shape than the grid, or the grid was made from another PET.
    """
    canonical = canonical_view(pet)
    box = box_in(canonical, grid)
    if values.shape != grid.shape or box is None:
        raise GeometryRefused(
            Code.BAD_GEOMETRY,
            "The map does not belong to this PET.",
            remedy="Pass the PET from which the map was computed.",
        )
    along_k, along_j, along_i = (
        _linear_weights(n, m, span).astype(np.float32)
        for n, m, span in zip(canonical.shape, grid.shape, box.spans, strict=True)
    )
    result = np.empty(pet.shape, dtype=np.float32)
    planes = canonical_view(Volume(result, pet.ijk_to_lps, pet.modality, unit)).array
    # The finest axis comes last: until then there is little to compute, and after it nothing is copied.
    rows = np.matmul(along_j, np.tensordot(along_k, values.astype(np.float32), axes=1))
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    for start in range(0, len(planes), PLANES_AT_ONCE):
        chunk = slice(start, start + PLANES_AT_ONCE)
        # Rounding in float32 may pass the extremes by a last digit.
        np.clip(np.matmul(rows[chunk], along_i.T), low, high, out=planes[chunk])
    return Volume(result, pet.ijk_to_lps.copy(), pet.modality, unit)


def _linear_weights(n_fine: int, n_model: int, span: Span) -> NDArray[np.float64]:
    """Weights (n_fine, n_model) that interpolate model voxel centres at the fine voxel centres inside ``span``."""
    position = (np.arange(n_fine) + 0.5 - span[0]) / (span[1] - span[0]) * n_model - 0.5
    inside = (position >= -0.5) & (position <= n_model - 0.5)
    nearest = np.clip(position, 0.0, n_model - 1.0)
    weights = np.clip(1.0 - np.abs(nearest[:, None] - np.arange(n_model)[None, :]), 0.0, None)
    return np.asarray(weights * inside[:, None], dtype=np.float64)


def _transform(affine: NDArray[Any], points: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)
