"""Phantoms in memory, without DICOM: images with their organs, for pretraining."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .anatomy import LABEL_NAMES, draw_body, render_body
from .lesions import SITES, burden_ml, draw_lesions, paint_lesions, sink_factor
from .scanners import FWHM_PER_SIGMA, lay_couch
from .seeds import SeedSpace, generator
from .shapes import VoxelGrid

_FIELD_OF_VIEW_MM = 560.0
_FWHM_MM = 6.5
_COUNTS_PER_SUV_ML = 20.0


@dataclass(frozen=True, eq=False)
class Phantom:
    """A made person as a network sees one.

    Attributes
    ----------
    ct_hu : ndarray [k, j, i], float32
        With couch and noise.
    suv : ndarray [k, j, i], float32
        SUVbw with blur and noise.
    labels : ndarray [k, j, i], uint8
        Organs; positions in ``label_names``, 0 is air.
    label_names : tuple of str
    spacing_mm : tuple of float
        Along (k, j, i).
    """

    ct_hu: NDArray[np.float32]
    suv: NDArray[np.float32]
    labels: NDArray[np.uint8]
    label_names: tuple[str, ...]
    spacing_mm: tuple[float, float, float]


def phantom_volumes(
    seed: int,
    shape: tuple[int, int, int] = (75, 50, 50),
    spacing_mm: tuple[float, float, float] | None = None,
) -> Phantom:
    """Make the phantom of ``seed``: a person from mid-thigh to the skull base, metastases at random.

    Seeds live in a space of their own: no cohort, whatever its seed, holds such a person.

    Parameters
    ----------
    seed : int
        Non-negative.
    shape : tuple of int
        Voxels along (k, j, i).
    spacing_mm : tuple of float, optional
        Along (k, j, i); by default the shape spans the body's length and a field of view of 560 mm.
    """
    rng = generator(SeedSpace.PRETRAINING, seed)
    volume = burden_ml(float(rng.normal()))
    body = draw_body(
        rng,
        sex="female" if rng.random() < 0.45 else "male",
        contrast=bool(rng.random() < 0.6),
        morphology=float(np.clip(rng.normal(), -2.5, 2.5)),
        sink=sink_factor(volume),
        size_spread=1.3,
    )
    sites = tuple(site for site in SITES if rng.random() < 0.5) or ("hepatic",)
    lesions = draw_lesions(rng, body, sites, volume, float(rng.normal()))
    nk, nj, ni = shape
    spacing = spacing_mm or (body.reach_mm / nk, _FIELD_OF_VIEW_MM / nj, _FIELD_OF_VIEW_MM / ni)
    origin = (-(ni - 1) / 2 * spacing[2], -(nj - 1) / 2 * spacing[1], body.frame.offset_lps_mm[2] + spacing[0] / 2)
    grid = VoxelGrid(shape, spacing, origin)
    canvas = render_body(body, grid)
    paint_lesions(canvas, lesions)
    lay_couch(canvas.hu, canvas.labels, grid, body)
    noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(4.0 + 6.0 * rng.random())
    return Phantom(
        ct_hu=canvas.hu + noise,
        suv=_counted(rng, canvas.suv, grid),
        labels=canvas.labels,
        label_names=LABEL_NAMES,
        spacing_mm=spacing,
    )


def _counted(rng: np.random.Generator, suv: NDArray[np.float32], grid: VoxelGrid) -> NDArray[np.float32]:
    blurred = gaussian_filter(suv, [_FWHM_MM / FWHM_PER_SIGMA / step for step in grid.spacing_mm])
    counts_per_suv = _COUNTS_PER_SUV_ML * grid.voxel_ml
    return np.asarray(rng.poisson(np.maximum(blurred, 0.0) * counts_per_suv) / counts_per_suv, dtype=np.float32)
