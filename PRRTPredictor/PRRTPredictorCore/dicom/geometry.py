"""Where slices lie in the patient, and whether their stack is an undistorted volume.

Pure geometry in LPS millimetres, no files. Even means: every slice lies within a tenth of the spacing of the
least-squares even grid; otherwise the stack is resampled linearly to that grid. A step over 1.5 times the median is a
missing slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import Code, GeometryRefused

EVEN_TOLERANCE = 0.1  # of the spacing
LARGEST_STEP = 1.5  # of the median step
FARTHEST_MM = 1e5
"""Coordinates beyond these lie in no scanner."""
SPACINGS_MM = (1e-3, 1e3)
"""Distances of neighbouring pixels or slices that a scanner can have."""
_NORM_TOLERANCE = 1e-2  # of a direction's length from 1
_RIGHT_ANGLE_TOLERANCE = 2e-3  # cosine of row and column: directions written with three decimals may make 1.7e-3
SAME_POSITION_MM = 1e-3
_TILT_TOLERANCE = 2e-3  # sideways mm per mm along the normal: what rounding of directions to three decimals can make
_SMALLEST_JUMP_MM = 0.1  # what rounding of positions can make

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SliceGrid:
    """The even grid along the normal on which a stack is delivered.

    Attributes
    ----------
    start_mm, step_mm : float
        Position of slice 0 along the normal and the distance of neighbours, which is positive.
    sampling : ndarray, shape (K,), or None
        Fractional index of the stored slice that each slice of the grid is read at; None where the stored slices
        are the grid.
    steps_mm : tuple of float
        Smallest, median and largest distance of neighbouring stored slices.
    """

    start_mm: float
    step_mm: float
    sampling: Vector | None
    steps_mm: tuple[float, float, float]


def is_possible_position(position_mm: tuple[float, ...]) -> bool:
    """Whether a scanner can be there; a damaged header may put it beyond what the arithmetic can hold."""
    return max(map(abs, position_mm)) <= FARTHEST_MM


def is_possible_spacing(spacing_mm: tuple[float, ...]) -> bool:
    """Whether neighbouring pixels or slices can be that far apart."""
    return SPACINGS_MM[0] <= min(spacing_mm) and max(spacing_mm) <= SPACINGS_MM[1]


def orthonormal(orientation: tuple[float, ...] | None) -> tuple[Vector, Vector]:
    """Split Image Orientation (Patient) into two exact unit vectors at right angles.

    Parameters
    ----------
    orientation : six numbers or None
        (0020,0037): the direction in which the column index grows, then that of the row index.

    Returns
    -------
    row_direction, column_direction : ndarray, shape (3,)

    Raises
    ------
    GeometryRefused
        BAD_GEOMETRY where the six numbers are absent or no such pair.
    """
    if orientation is None or len(orientation) != 6:
        raise _bad("Image Orientation (Patient) is missing.")
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if any(abs(length - 1) > _NORM_TOLERANCE for length in lengths):
        raise _bad("Image Orientation (Patient) does not consist of two unit vectors.")
    row, column = row / lengths[0], column / lengths[1]
    cosine = float(row @ column)
    if abs(cosine) > _RIGHT_ANGLE_TOLERANCE:
        raise _bad("The row and column directions are not at right angles.")
    # Share the rounding error between both directions instead of trusting one of them.
    row, column = row - cosine / 2 * column, column - cosine / 2 * row
    row /= np.linalg.norm(row)
    column -= (row @ column) * row
    return row, column / np.linalg.norm(column)


def slice_normal(row_direction: Vector, column_direction: Vector) -> Vector:
    """Unit normal of the slices that points along its largest component: to the head for axial slices.

    For coronal slices it points to the back, for sagittal ones to the patient's left.
    """
    normal = np.cross(row_direction, column_direction)
    return normal if normal[np.argmax(np.abs(normal))] > 0 else -normal


def even_grid(
    positions_lps: Vector, normal: Vector, pixel_spacing_mm: tuple[float, float], where: str = ""
) -> SliceGrid:
    """Find the even grid of a stack of parallel slices, or refuse the stack.

    Parameters
    ----------
    positions_lps : ndarray, shape (K, 3)
        Image Position (Patient) of each slice in mm, ordered along the normal.
    normal : ndarray, shape (3,)
    pixel_spacing_mm : two floats
        Within the slices; the measure of how much sideways shift matters.
    where : str
        What a refusal calls the stack.

    Raises
    ------
    GeometryRefused
        BAD_GEOMETRY (one slice, sideways jumps), DUPLICATE_SLICES, MISSING_SLICES, GANTRY_TILT.
    """
    along = positions_lps @ normal
    if len(along) < 2:
        raise GeometryRefused(
            Code.BAD_GEOMETRY,
            "The series has a single slice; a volume needs at least two.",
            where=where,
            remedy="Give the folder with all slices of the series.",
        )
    steps = np.diff(along)
    distinct = steps[steps > SAME_POSITION_MM]
    if distinct.size < steps.size:
        raise GeometryRefused(
            Code.DUPLICATE_SLICES,
            f"{steps.size - distinct.size} slices lie at the position of another one.",
            where=where,
            remedy="Remove the copies, or export one reconstruction of one acquisition.",
        )
    median = float(np.median(steps))
    if not is_possible_spacing((float(steps.max()),)):
        raise _bad(f"Neighbouring slices are {steps.max():.0f} mm apart.", where)
    if steps.max() > LARGEST_STEP * median:
        gap = int(np.argmax(steps))
        raise GeometryRefused(
            Code.MISSING_SLICES,
            f"Slices are missing: {steps[gap]:.2f} mm between slices {gap + 1} and {gap + 2} (counted along the "
            f"normal), where {median:.2f} mm is usual.",
            where=where,
            remedy="Copy or export the series again, with all slices.",
        )
    _refuse_shear(positions_lps - np.outer(along, normal), along, min(pixel_spacing_mm), where)
    index = np.arange(len(along))
    step, start = (float(value) for value in np.polyfit(index, along, 1))
    grid = start + step * index
    even = bool(np.abs(along - grid).max() <= EVEN_TOLERANCE * step)
    sampling = None if even else np.interp(grid, along, index)
    return SliceGrid(start, step, sampling, (float(steps.min()), median, float(steps.max())))


def _refuse_shear(sideways: Vector, along: Vector, pixel_mm: float, where: str) -> None:
    """Refuse slices whose corners drift (tilt), or jump sideways by more than a tenth of a pixel."""
    jump_mm = max(EVEN_TOLERANCE * pixel_mm, _SMALLEST_JUMP_MM)
    centred = sideways - sideways.mean(axis=0)
    if np.linalg.norm(centred, axis=1).max() <= jump_mm:
        return
    centred_along = along - along.mean()
    drift = centred_along @ centred / (centred_along @ centred_along)
    if np.linalg.norm(centred - np.outer(centred_along, drift), axis=1).max() <= jump_mm:
        if np.linalg.norm(drift) <= _TILT_TOLERANCE:
            return
        degrees = float(np.degrees(np.arctan(np.linalg.norm(drift))))
        raise GeometryRefused(
            Code.GANTRY_TILT,
            f"The slices are tilted by {degrees:.1f} degrees against their stack (gantry tilt).",
            where=where,
            remedy="Use a series without gantry tilt, or one that the scanner has reformatted to upright slices.",
        )
    raise _bad("The slices jump sideways against each other.", where)


def affine(origin_lps: Vector, row: Vector, column: Vector, step: Vector, spacing: tuple[float, float]) -> Vector:
    """Build ijk_to_lps from the first voxel's centre, the in-plane directions and the step between slices.

    Parameters
    ----------
    origin_lps, row, column, step : ndarray, shape (3,)
        ``row`` is the direction in which i grows, ``column`` that of j; ``step`` leads from slice to slice in mm.
    spacing : two floats
        Pixel Spacing (0028,0030): distance of rows (along j), then of columns (along i), in mm.
    """
    matrix = np.eye(4)
    matrix[:3, 0] = row * spacing[1]
    matrix[:3, 1] = column * spacing[0]
    matrix[:3, 2] = step
    matrix[:3, 3] = origin_lps
    return matrix


def resample_slices(values: NDArray[np.float32], sampling: Vector) -> NDArray[np.float32]:
    """Read a stack at fractional slice indices, linearly.

    Parameters
    ----------
    values : ndarray, shape (K, J, I)
    sampling : ndarray, shape (K',)
        Within 0 .. K-1.
    """
    below = np.clip(np.floor(sampling).astype(int), 0, len(values) - 2)
    weight = (sampling - below).astype(np.float32)
    out = np.empty((len(sampling), *values.shape[1:]), np.float32)
    for k, (lower, share) in enumerate(zip(below, weight, strict=True)):
        out[k] = values[lower] * (1 - share) + values[lower + 1] * share
    return out


def _bad(message: str, where: str = "") -> GeometryRefused:
    return GeometryRefused(
        Code.BAD_GEOMETRY,
        message,
        where=where,
        remedy="Export the original axial series from the scanner or archive again.",
    )
