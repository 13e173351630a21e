"""From a loaded PET/CT study to what the networks receive: cleaned, aligned, area-averaged to 75 x 50 x 50."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dicom.examination import pairing_notices, require_one_patient
from ..records import MODALITY_NAMES, CommonGrid, LoadedSeries, Notice, PreparedStudy, Volume
from .body import body_mask
from .grid import box_in, canonical_view, common_box, grid_of, trim_constant_ends
from .resize import Box, area_resize

PREPROCESSING_VERSION = 1
"""Raised whenever the same configuration gives other voxels; caches, runs and models of another version are refused."""

AIR_HU = -1000.0


@dataclass(frozen=True)
class PreprocessConfig:
    """Everything that alters the prepared voxels.

    Attributes
    ----------
    shape : tuple of int
        Model voxels along (k, j, i); 75 x 50 x 50 in the paper (section 2.2).
    hu_limits : tuple of float
        CT values beyond are artefacts and clipped: below air there is only padding, above dense bone only metal and
        beam hardening. Not the model's window, which belongs to a preset.
    remove_couch : bool
        Set everything outside of the patient to air.
    trim_end_slices : bool
        Leave out slices of one single value at the ends of a series.
    fine_mm : float
        Couch removal and turned CTs are computed on sub-voxels of at most this size.
    """

    shape: tuple[int, int, int] = (75, 50, 50)
    hu_limits: tuple[float, float] = (AIR_HU, 2000.0)
    remove_couch: bool = True
    trim_end_slices: bool = True
    fine_mm: float = 5.0

    def digest(self) -> str:
        """SHA-256 over the configuration and the version of the preprocessing."""
        stated = {"version": PREPROCESSING_VERSION, **asdict(self)}
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def prepare_study(pet: LoadedSeries, ct: LoadedSeries, config: PreprocessConfig | None = None) -> PreparedStudy:
    """Bring a PET and its CT to one grid in patient space and average them to the model's shape.

    The grid follows the PET's own axes, turned so that k runs to the head, j to the back and i to the left, and spans
    the PET's field of view cut to what the CT covers; voxel (k, j, i) is the same tissue in both images.

    Parameters
    ----------
    pet, ct : LoadedSeries
        In SUVbw and HU. Any orientation; the CT may be turned against the PET.
    config : PreprocessConfig, optional

    Raises
    ------
    DicomRefused
        ``PATIENT_DIFFERS``: PET and CT name different patients.
    GeometryRefused
        ``NO_OVERLAP``: PET and CT do not share a field of view. ``EMPTY_IMAGE``: one of them holds a single value.
        ``BAD_GEOMETRY``: an affine is singular.
    """
    config = config or PreprocessConfig()
    require_one_patient(pet, ct)
    notices: list[Notice] = [*pet.notices, *ct.notices]
    notices += [notice for notice in pairing_notices(pet, ct) if notice not in notices]
    pet_view, ct_view = canonical_view(pet.volume), canonical_view(ct.volume)
    if config.trim_end_slices:
        pet_view = _trimmed(pet_view, notices)
        ct_view = _trimmed(ct_view, notices)
    if pet.frame_of_reference_uid != ct.frame_of_reference_uid:
        notices.append(
            Notice(
                "FRAME_OF_REFERENCE_DIFFERS",
                "PET and CT name different frames of reference; they are taken to lie as their positions say. "
                "Check the fused view.",
            )
        )
    box, overlap_notices = common_box(pet_view, ct_view)
    grid = grid_of(pet_view, box, config.shape)
    ct_values, ct_notices = _ct_on_grid(ct_view, grid, config)
    return PreparedStudy(
        pet=area_resize(pet_view.array, config.shape, box, clean=clean_pet),
        ct=ct_values,
        grid=grid,
        pet_acquisition=pet.acquisition,
        ct_acquisition=ct.acquisition,
        notices=(*notices, *overlap_notices, *ct_notices),
    )


def clean_pet(block: NDArray[Any]) -> NDArray[np.float32]:
    """SUV without what no tracer can cause: NaN, infinities and values below zero become 0."""
    # fmax takes the number where the other is NaN.
    suv = np.fmax(block.astype(np.float32), np.float32(0.0))
    if np.isposinf(suv.max(initial=0.0)):
        suv[np.isposinf(suv)] = 0.0
    return np.asarray(suv, dtype=np.float32)


def clean_ct(block: NDArray[Any], hu_limits: tuple[float, float]) -> NDArray[np.float32]:
    """HU within ``hu_limits``; padding (-3024, -2000) and NaN become the lower limit, metal the upper one."""
    if block.dtype.kind == "f":
        block = np.nan_to_num(block, nan=hu_limits[0])
    # Compared as float32: an int16 array would not take limits beyond its range.
    hu = block.astype(np.float32)
    return np.clip(hu, hu_limits[0], hu_limits[1], out=hu)


def _trimmed(view: Volume, notices: list[Notice]) -> Volume:
    trimmed, left_out = trim_constant_ends(view)
    if left_out:
        name = MODALITY_NAMES[view.modality]
        notices.append(
            Notice("END_SLICES_LEFT_OUT", f"{left_out} empty slice(s) at the ends of the {name} are not used.")
        )
    return trimmed


def _ct_on_grid(
    ct: Volume, grid: CommonGrid, config: PreprocessConfig
) -> tuple[NDArray[np.float32], tuple[Notice, ...]]:
    """CT averaged to the grid, by way of sub-voxels on which the couch is cut away."""
    direct = None if config.remove_couch else box_in(ct, grid)
    if direct is not None:
        return _averaged(ct, grid.shape, direct, config), ()
    model_mm = _voxel_mm(grid.ijk_to_lps)
    factors = [max(1, ceil(size / config.fine_mm)) for size in model_mm]
    fine = _subdivided(grid, factors)
    box = box_in(ct, fine)
    values = _turned(ct, fine, config) if box is None else _averaged(ct, fine.shape, box, config)
    notices: tuple[Notice, ...] = ()
    if config.remove_couch:
        body = body_mask(values, _voxel_mm(fine.ijk_to_lps))
        if body is None:
            notices = (Notice("NO_BODY", "No patient was found on the CT; the couch could not be told apart."),)
        else:
            np.copyto(values, np.float32(config.hu_limits[0]), where=~body)
    return area_resize(values, grid.shape), notices


def _averaged(ct: Volume, shape: tuple[int, int, int], box: Box, config: PreprocessConfig) -> NDArray[np.float32]:
    """Box means straight from the CT's own voxels."""
    return area_resize(
        ct.array, shape, box, outside=config.hu_limits[0], clean=lambda block: clean_ct(block, config.hu_limits)
    )


def _turned(ct: Volume, fine: CommonGrid, config: PreprocessConfig) -> NDArray[np.float32]:
    """A CT whose axes are turned against the grid: averaged along its own axes first, then sampled twice a sub-voxel.

    The averaging to about half a sub-voxel keeps fine detail from aliasing; the eight samples a sub-voxel do the rest.
    """
    from scipy import ndimage

    air = config.hu_limits[0]
    half = min(_voxel_mm(fine.ijk_to_lps)) / 2
    shape = tuple(max(1, min(n, ceil(n * size / half))) for n, size in zip(ct.shape, ct.spacing_mm, strict=True))
    coarse_shape = (shape[0], shape[1], shape[2])
    whole = Box.whole(ct.shape)
    coarse = _averaged(ct, coarse_shape, whole, config)
    coarse_grid = grid_of(ct, whole, coarse_shape)
    samples = _subdivided(fine, [2, 2, 2])
    to_coarse = (np.linalg.inv(coarse_grid.ijk_to_lps) @ samples.ijk_to_lps)[[2, 1, 0, 3]][:, [2, 1, 0, 3]]
    values = np.empty(fine.shape, dtype=np.float32)
    for k in range(fine.shape[0]):
        # "grid-constant" fades to air over the half voxel beyond the CT's outermost centres.
        offset = to_coarse[:3, 3] + to_coarse[:3, 0] * (2 * k)
        plane = ndimage.affine_transform(
            coarse,
            to_coarse[:3, :3],
            offset,
            output_shape=(2, *samples.shape[1:]),
            order=1,
            mode="grid-constant",
            cval=air,
        )
        values[k] = plane.reshape(2, fine.shape[1], 2, fine.shape[2], 2).mean(axis=(0, 2, 4))
    return values


def _subdivided(grid: CommonGrid, factors: list[int]) -> CommonGrid:
    """Each voxel of ``grid`` cut into ``factors`` (k, j, i) equal parts."""
    cut = np.eye(4)
    for axis, factor in enumerate(factors):
        cut[2 - axis, 2 - axis] = 1.0 / factor
        cut[2 - axis, 3] = 0.5 / factor - 0.5
    k, j, i = (n * factor for n, factor in zip(grid.shape, factors, strict=True))
    return replace(grid, shape=(k, j, i), ijk_to_lps=grid.ijk_to_lps @ cut)


def _voxel_mm(ijk_to_lps: NDArray[np.float64]) -> tuple[float, float, float]:
    """Voxel size along (k, j, i)."""
    i, j, k = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    return float(k), float(j), float(i)
