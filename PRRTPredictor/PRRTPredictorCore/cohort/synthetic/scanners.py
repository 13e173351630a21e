"""What two PET/CT scanners make of a body: grids, blur, counts, noise, couch and padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .anatomy import COUCH, Body, render_body
from .lesions import paint_lesions
from .plan import PatientAnatomy, PatientPlan, SizeName
from .shapes import VoxelGrid

GA68_HALF_LIFE_S = 67.71 * 60.0
FWHM_PER_SIGMA = 2.3548
_SLAB = 24


@dataclass(frozen=True)
class Matrix:
    """Pixels a side, their size and the distance of slices, in mm."""

    pixels: int
    pixel_mm: float
    slice_mm: float


@dataclass(frozen=True)
class Scanner:
    """A PET/CT scanner.

    Attributes
    ----------
    maker : {"philips", "ge"}
        Decides how PET values are stored: CNTS with (7053,1000) and one slope, or BQML with a slope for each slice.
    detector_fwhm_mm, filter_fwhm_mm : float
        Blur before and after the counts are counted.
    counts_per_suv_ml : float
        Sensitivity and time together.
    ct_intercept_hu, ct_padding_hu : int
        Rescale intercept, and the value outside of the reconstructed circle.
    """

    maker: Literal["philips", "ge"]
    manufacturer: str
    model: str
    detector_fwhm_mm: float
    filter_fwhm_mm: float
    counts_per_suv_ml: float
    bed_s: float
    bed_mm: float
    pet: dict[SizeName, Matrix]
    ct: dict[SizeName, Matrix]
    ct_noise_hu: float
    ct_intercept_hu: int
    ct_padding_hu: int
    ct_kernel: str


PHILIPS = Scanner(
    maker="philips",
    manufacturer="Philips Medical Systems",
    model="GEMINI TF TOF 16",
    detector_fwhm_mm=5.0,
    filter_fwhm_mm=4.0,
    counts_per_suv_ml=18.0,
    bed_s=90.0,
    bed_mm=90.0,
    pet={"small": Matrix(72, 8.0, 12.0), "full": Matrix(256, 2.25, 3.2)},
    ct={"small": Matrix(128, 4.6875, 11.0), "full": Matrix(512, 1.171875, 2.75)},
    ct_noise_hu=13.0,
    ct_intercept_hu=-1000,
    ct_padding_hu=-2000,
    ct_kernel="B",
)
GE = Scanner(
    maker="ge",
    manufacturer="GE MEDICAL SYSTEMS",
    model="Discovery MI",
    detector_fwhm_mm=4.5,
    filter_fwhm_mm=4.0,
    counts_per_suv_ml=26.0,
    bed_s=120.0,
    bed_mm=150.0,
    pet={"small": Matrix(80, 7.0, 13.08), "full": Matrix(256, 2.734375, 3.27)},
    ct={"small": Matrix(128, 5.0, 11.25), "full": Matrix(512, 1.3671875, 2.79)},
    ct_noise_hu=11.0,
    ct_intercept_hu=-1024,
    ct_padding_hu=-3024,
    ct_kernel="STANDARD",
)


@dataclass(frozen=True)
class Examination:
    """One PET/CT of one made patient: scanner, grids, activity and times.

    Attributes
    ----------
    dose_bq : float
        Injected activity at ``injected_at``.
    """

    plan: PatientPlan
    anatomy: PatientAnatomy
    scanner: Scanner
    pet_grid: VoxelGrid
    ct_grid: VoxelGrid
    dose_bq: float
    injected_at: datetime
    ct_at: datetime
    pet_at: datetime

    @property
    def body(self) -> Body:
        """The patient."""
        return self.anatomy.body

    @property
    def contrast(self) -> bool:
        """Whether the CT was made with contrast medium."""
        return self.plan.characteristics.contrast_ct == "yes"

    @property
    def dose_at_scan_bq(self) -> float:
        """The activity left when the PET began."""
        waited = (self.pet_at - self.injected_at).total_seconds()
        return self.dose_bq * float(np.exp2(-waited / GA68_HALF_LIFE_S))


def examine(plan: PatientPlan, anatomy: PatientAnatomy) -> Examination:
    """Put a patient onto the scanner that the plan names."""
    rng = plan.image_rng(3)
    scanner = PHILIPS if plan.characteristics.scanner.startswith("Philips") else GE
    body = anatomy.body
    z_foot = body.frame.offset_lps_mm[2] + float(rng.normal(0, 8))
    day = datetime.combine(plan.calendar.pet, datetime.min.time())
    injected_at = day + timedelta(hours=8, seconds=int(rng.integers(0, 5 * 3600)))
    pet_at = injected_at + timedelta(seconds=int(np.clip(rng.normal(3600, 500), 2400, 5700)))
    return Examination(
        plan=plan,
        anatomy=anatomy,
        scanner=scanner,
        pet_grid=_grid(scanner.pet[plan.size], body.reach_mm, z_foot),
        ct_grid=_grid(scanner.ct[plan.size], body.reach_mm + 15.0, z_foot - 7.5),
        dose_bq=float(round(np.clip(rng.normal(150, 20), 95, 210))) * 1e6,
        injected_at=injected_at,
        ct_at=pet_at - timedelta(seconds=140),
        pet_at=pet_at,
    )


def _grid(matrix: Matrix, reach_mm: float, z_foot: float) -> VoxelGrid:
    slices = int(np.ceil(reach_mm / matrix.slice_mm))
    edge = -(matrix.pixels - 1) / 2 * matrix.pixel_mm
    spacing = (matrix.slice_mm, matrix.pixel_mm, matrix.pixel_mm)
    return VoxelGrid((slices, matrix.pixels, matrix.pixels), spacing, (edge, edge, z_foot))


@dataclass(frozen=True, eq=False)
class PetImage:
    """A reconstructed PET with its truth.

    Attributes
    ----------
    suv : ndarray [k, j, i], float32
        SUVbw with blur and noise.
    true_suv : ndarray [k, j, i], float32
        Before the scanner touched it.
    labels : ndarray [k, j, i], uint8
    lesions : ndarray [k, j, i], uint16
        1 + position in the patient's lesions, 0 elsewhere.
    """

    suv: NDArray[np.float32]
    true_suv: NDArray[np.float32]
    labels: NDArray[np.uint8]
    lesions: NDArray[np.uint16]


def acquire_pet(examination: Examination) -> PetImage:
    """Blur, count and filter: the reconstructed PET of an examination."""
    grid, scanner = examination.pet_grid, examination.scanner
    slabs = [_slab_of(examination, grid.slab(k, min(k + 64, grid.shape[0]))) for k in range(0, grid.shape[0], 64)]
    true_suv = np.concatenate([slab.suv for slab in slabs])
    blurred = gaussian_filter(true_suv, _sigmas(scanner.detector_fwhm_mm, grid))
    counts_per_suv = scanner.counts_per_suv_ml * grid.voxel_ml
    counts = examination.plan.image_rng(2).poisson(np.maximum(blurred, 0.0) * counts_per_suv)
    counted = (counts / counts_per_suv).astype(np.float32)
    return PetImage(
        suv=np.maximum(gaussian_filter(counted, _sigmas(scanner.filter_fwhm_mm, grid)), 0.0),
        true_suv=true_suv,
        labels=np.concatenate([slab.labels for slab in slabs]),
        lesions=np.concatenate([slab.lesions for slab in slabs]),
    )


def _sigmas(fwhm_mm: float, grid: VoxelGrid) -> list[float]:
    return [fwhm_mm / FWHM_PER_SIGMA / step for step in grid.spacing_mm]


@dataclass(frozen=True, eq=False)
class Slab:
    """Some slices as the body makes them, before any scanner."""

    hu: NDArray[np.float32]
    suv: NDArray[np.float32]
    labels: NDArray[np.uint8]
    lesions: NDArray[np.uint16]


def _slab_of(examination: Examination, grid: VoxelGrid) -> Slab:
    canvas = render_body(examination.body, grid)
    lesions = paint_lesions(canvas, examination.anatomy.lesions)
    return Slab(canvas.hu, canvas.suv, canvas.labels, lesions)


@dataclass(frozen=True, eq=False)
class CtSlab:
    """Reconstructed CT slices from ``first`` on: HU (int16, padding outside of the circle), organ and lesion labels."""

    first: int
    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    lesions: NDArray[np.uint16]


def acquire_ct(examination: Examination) -> Iterator[CtSlab]:
    """The CT of an examination, some slices at a time, so that a full-size one needs little memory."""
    grid, scanner = examination.ct_grid, examination.scanner
    rng = examination.plan.image_rng(1)
    outside = ~_circle(grid)
    for first in range(0, grid.shape[0], _SLAB):
        part = grid.slab(first, min(first + _SLAB, grid.shape[0]))
        slab = _slab_of(examination, part)
        lay_couch(slab.hu, slab.labels, part, examination.body)
        noise = rng.standard_normal(slab.hu.shape, dtype=np.float32) * np.float32(scanner.ct_noise_hu)
        hu = np.clip(np.round(slab.hu + noise), -1024, 3071).astype(np.int16)
        hu[:, outside] = scanner.ct_padding_hu
        yield CtSlab(first, hu, slab.labels, slab.lesions)


def _circle(grid: VoxelGrid) -> NDArray[np.bool_]:
    x, y, _ = grid.axes_mm()
    radius = grid.shape[2] * grid.spacing_mm[2] / 2
    return np.asarray(x[None, :] ** 2 + y[:, None] ** 2 <= radius**2, dtype=np.bool_)


def lay_couch(hu: NDArray[np.float32], labels: NDArray[np.uint8], grid: VoxelGrid, body: Body) -> None:
    """Put the patient on a couch: a thin hard shell, hollowed like a trough, filled with foam. Changes the arrays."""
    x, y, _ = grid.axes_mm()
    # The deepest point of the back: trunk and subcutaneous fat of the reference body.
    top = body.frame.offset_lps_mm[1] + body.frame.scale[1] * (112.0 + body.fat_mm) + 3.0
    depth = y[:, None] - (top - np.maximum(np.abs(x[None, :]) - 60.0, 0.0) ** 2 / 900.0)
    pixel = grid.spacing_mm[1]
    thick = 40.0
    inside = np.clip(np.minimum(depth, thick - depth) / pixel + 0.5, 0, 1) * (np.abs(x) <= 212.0)[None, :]
    core = np.clip(np.minimum(depth - 3.0, thick - 3.0 - depth) / pixel + 0.5, 0, 1)
    couch_hu = (60.0 + core * (-930.0 - 60.0)).astype(np.float32)
    free = (labels == 0) & (inside > 0.02)[None]
    mixed = hu + inside[None].astype(np.float32) * (couch_hu[None] - hu)
    hu[free] = mixed[free]
    labels[free & (inside >= 0.5)[None]] = COUCH
