"""The one grid that PET and CT share: the PET's own axes, turned head-up, cut to what both images cover."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, GeometryRefused
from ..records import MODALITY_NAMES, CommonGrid, Notice, Volume
from .resize import Box, Span

_PARALLEL_TOLERANCE_MM = 0.1
_SMALL_SHARE = 0.5
_AXIS_NAMES = ("head to foot", "front to back", "left to right")


def canonical_view(volume: Volume) -> Volume:
    """The same volume with its axes permuted and flipped so that k points to the head, j to the back, i to the left.

    No voxel is copied or resampled: the array is a view and the affine follows it, so an oblique volume stays oblique
    by less than half a right angle, and a coronal or reversed series becomes what an axial one would be.

    Raises
    ------
    GeometryRefused
        ``BAD_GEOMETRY``: the affine is singular or not finite.
    """
    affine = volume.ijk_to_lps
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise GeometryRefused(
            Code.BAD_GEOMETRY,
            f"The {MODALITY_NAMES[volume.modality]} has no usable orientation and spacing.",
            remedy="Export the series from the scanner or archive again.",
        )
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # column_for[a] is the voxel axis (in i, j, k order) that runs along LPS axis a.
    column_for = max(permutations(range(3)), key=lambda order: sum(abs(directions[a, order[a]]) for a in range(3)))
    array = volume.array.transpose([2 - column_for[a] for a in (2, 1, 0)])
    reordered, start = np.eye(4), np.zeros(3)
    for a, column in enumerate(column_for):
        reordered[:3, a] = affine[:3, column]
        if directions[a, column] < 0:
            reordered[:3, a] *= -1
            start[column] = volume.array.shape[2 - column] - 1
            array = np.flip(array, 2 - a)
    reordered[:3, 3] = affine[:3, :3] @ start + affine[:3, 3]
    return replace(volume, array=array, ijk_to_lps=reordered)


def trim_constant_ends(volume: Volume) -> tuple[Volume, int]:
    """Leave out slices of one single value at the foot and head end of a canonical volume.

    Scanners and archives pad a truncated series with such slices; averaged in, they would dilute the first and last
    model voxels.

    Returns
    -------
    Volume
        A view without them; its affine starts at the first slice that is kept.
    int
        How many slices were left out.

    Raises
    ------
    GeometryRefused
        ``EMPTY_IMAGE``: all slices are of one value each.
    """
    slices = len(volume.array)
    first, last = 0, slices
    while first < last and _is_constant(volume.array[first]):
        first += 1
    while last > first and _is_constant(volume.array[last - 1]):
        last -= 1
    if first == last:
        raise GeometryRefused(
            Code.EMPTY_IMAGE,
            f"The {MODALITY_NAMES[volume.modality]} holds no image: no slice has two different values.",
            where=f"{MODALITY_NAMES[volume.modality]} series",
            remedy="Export the series again, or choose another reconstruction.",
        )
    if (first, last) == (0, slices):
        return volume, 0
    affine = volume.ijk_to_lps.copy()
    affine[:3, 3] += first * affine[:3, 2]
    return replace(volume, array=volume.array[first:last], ijk_to_lps=affine), slices - (last - first)


def _is_constant(plane: NDArray[np.generic]) -> bool:
    corner = plane[0, 0]
    return bool(np.all(plane == corner) or np.all(np.isnan(plane)))


def common_box(pet: Volume, ct: Volume) -> tuple[Box, tuple[Notice, ...]]:
    """The part of the PET's field of view that the CT covers, in the PET's voxel edges.

    Parameters
    ----------
    pet, ct : Volume
        Canonical views. A CT turned against the PET counts with the box that bounds it along the PET's axes.

    Raises
    ------
    GeometryRefused
        ``NO_OVERLAP``: less than one PET voxel is shared along some axis.
    """
    corners = _edge_corners(ct.shape)
    in_pet = (np.linalg.inv(pet.ijk_to_lps) @ ct.ijk_to_lps @ corners)[:3] + 0.5
    spans: list[Span] = []
    small: list[str] = []
    for axis, (name, pet_voxels) in enumerate(zip(_AXIS_NAMES, pet.shape, strict=True)):
        ct_low, ct_high = float(in_pet[2 - axis].min()), float(in_pet[2 - axis].max())
        low, high = max(0.0, ct_low), min(float(pet_voxels), ct_high)
        if high - low < 1.0:
            raise GeometryRefused(
                Code.NO_OVERLAP,
                f"PET and CT do not cover the same part of the patient (no common range {name}).",
                remedy="Choose the CT that was acquired together with this PET.",
            )
        # Across the body the CT's field of view is normally the smaller one; along it, both should cover the same.
        whole = float(pet_voxels) if axis == 0 else min(float(pet_voxels), ct_high - ct_low)
        if high - low < _SMALL_SHARE * whole:
            small.append(f"{100.0 * (high - low) / whole:.0f} % {name}")
        spans.append((low, high))
    notices = (
        (Notice("SMALL_OVERLAP", f"The CT covers only a part of the PET: {', '.join(small)}; the rest is not used."),)
        if small
        else ()
    )
    return Box(spans[0], spans[1], spans[2]), notices


def grid_of(pet: Volume, box: Box, shape: tuple[int, int, int]) -> CommonGrid:
    """Cut ``box`` (in the voxel edges of the canonical ``pet``) into ``shape`` equal model voxels."""
    cut = np.eye(4)
    for axis, (span, voxels) in enumerate(zip(box.spans, shape, strict=True)):
        size = (span[1] - span[0]) / voxels
        cut[2 - axis, 2 - axis] = size
        cut[2 - axis, 3] = span[0] + 0.5 * size - 0.5
    return CommonGrid(shape, pet.ijk_to_lps @ cut)


def box_in(volume: Volume, grid: CommonGrid) -> Box | None:
    """The grid's box in the voxel edges of a canonical ``volume``; None when their axes are not parallel.

    Parallel means: taking the axes for parallel moves no corner of the box by more than 0.1 mm.
    """
    to_voxel = np.linalg.inv(volume.ijk_to_lps) @ grid.ijk_to_lps
    corners = _edge_corners(grid.shape)
    centre = np.array([(n - 1) / 2 for n in reversed(grid.shape)] + [1.0])
    scale = np.diag(to_voxel)[:3]
    middle = (to_voxel @ centre)[:3]
    along = middle[:, None] + scale[:, None] * (corners[:3] - centre[:3, None])
    shift = volume.ijk_to_lps[:3, :3] @ (along - (to_voxel @ corners)[:3])
    if np.linalg.norm(shift, axis=0).max() > _PARALLEL_TOLERANCE_MM or (scale <= 0).any():
        return None
    k, j, i = ((float(along[a].min()) + 0.5, float(along[a].max()) + 0.5) for a in (2, 1, 0))
    return Box(k, j, i)


def _edge_corners(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """The eight outer corners of a volume as homogeneous voxel indices (i, j, k, 1), shape (4, 8)."""
    k, j, i = shape
    ends = np.meshgrid((-0.5, i - 0.5), (-0.5, j - 0.5), (-0.5, k - 0.5), indexing="ij")
    return np.stack([*(one.ravel() for one in ends), np.ones(8)])
