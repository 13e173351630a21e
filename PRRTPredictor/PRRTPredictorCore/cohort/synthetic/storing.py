"""How each maker stores PET values, and the writing of whole series."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from .dicom_slices import SliceWriter
from .headers import StudyIdentity, ct_header, decimal, pet_header, slice_header
from .scanners import GA68_HALF_LIFE_S, CtSlab, Examination

_FULL_SCALE = 32767.0
_PHILIPS_CREATOR = "Philips PET Private Group"


@dataclass(frozen=True, eq=False)
class StoredPet:
    """A PET as it stands in the files.

    Attributes
    ----------
    stored : ndarray [k, j, i], int16
    slopes : tuple of str
        Rescale Slope of each slice.
    scale : Dataset
        Units and, for Philips, the private scale factors.
    """

    stored: NDArray[np.int16]
    slopes: tuple[str, ...]
    scale: Dataset


def store_pet(examination: Examination, suv: NDArray[np.float32]) -> StoredPet:
    """Turn SUVbw into what the scanner's maker would have written."""
    if examination.scanner.maker == "philips":
        return _store_philips(examination, suv)
    return _store_ge(examination, suv)


def _store_philips(examination: Examination, suv: NDArray[np.float32]) -> StoredPet:
    """Counts with one slope; (7053,1000) turns counts into SUVbw, (7053,1009) into Bq/ml."""
    weight_g = examination.body.weight_kg * 1000.0
    suv_per_count = decimal(examination.plan.image_rng(4).uniform(2.5e-4, 9e-4))
    counts = suv / float(suv_per_count)
    slope = decimal(max(float(counts.max()), 1.0) / _FULL_SCALE)
    scale = Dataset()
    scale.Units = "CNTS"
    block = scale.private_block(0x7053, _PHILIPS_CREATOR, create=True)
    block.add_new(0x00, "DS", suv_per_count)
    block.add_new(0x09, "DS", decimal(float(suv_per_count) * examination.dose_at_scan_bq / weight_g))
    return StoredPet(_to_int16(counts / float(slope)), (slope,) * len(suv), scale)


def _store_ge(examination: Examination, suv: NDArray[np.float32]) -> StoredPet:
    """Bq/ml, decay-corrected to the start of the series, with a slope for each slice."""
    activity = suv * (examination.dose_at_scan_bq / (examination.body.weight_kg * 1000.0))
    slopes = tuple(decimal(max(float(plane.max()), 1.0) / _FULL_SCALE) for plane in activity)
    divisors = np.array([float(slope) for slope in slopes], dtype=np.float32)
    scale = Dataset()
    scale.Units = "BQML"
    return StoredPet(_to_int16(activity / divisors[:, None, None]), slopes, scale)


def _to_int16(values: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.rint(values), 0, _FULL_SCALE).astype(np.int16)


def write_pet(folder: Path, examination: Examination, identity: StudyIdentity, suv: NDArray[np.float32]) -> int:
    """Write the PET series, one file a slice; returns how many."""
    pet = store_pet(examination, suv)
    common = pet_header(examination, identity)
    common.update(pet.scale)
    writer = SliceWriter(common)
    grid, scanner = examination.pet_grid, examination.scanner
    for k, plane in enumerate(pet.stored):
        own = slice_header(examination, grid, identity.pet_series, k, plane)
        own.RescaleSlope = pet.slopes[k]
        own.ImageIndex = own.InstanceNumber
        # Beds are scanned from the thighs up.
        started_s = int(k * grid.spacing_mm[0] // scanner.bed_mm) * scanner.bed_s
        began = examination.pet_at + timedelta(seconds=started_s)
        own.AcquisitionTime = own.ContentTime = began.strftime("%H%M%S.%f")[:-3]
        middle_s = started_s + _average_count_time_s(scanner.bed_s)
        own.FrameReferenceTime = decimal(round(middle_s * 1000.0, 1))
        own.DecayFactor = decimal(float(np.exp2(middle_s / GA68_HALF_LIFE_S)))
        writer.write(folder / f"pet{own.InstanceNumber:04d}.dcm", own)
    return len(pet.stored)


def _average_count_time_s(duration_s: float) -> float:
    """When, within a frame, the activity equals the frame's mean (PS3.3 C.8.9.4.1.5)."""
    exponent = np.log(2.0) / GA68_HALF_LIFE_S * duration_s
    return float(np.log(exponent / (1.0 - np.exp(-exponent))) / exponent * duration_s)


class CtSeries:
    """Writes the CT series as its slabs come in."""

    def __init__(self, folder: Path, examination: Examination, identity: StudyIdentity) -> None:
        self._folder, self._examination, self._identity = folder, examination, identity
        self._writer = SliceWriter(ct_header(examination, identity))

    def write(self, slab: CtSlab) -> int:
        """Write the slices of one slab; returns how many."""
        grid, intercept = self._examination.ct_grid, self._examination.scanner.ct_intercept_hu
        for offset, plane in enumerate(slab.hu):
            k = slab.first + offset
            own = slice_header(self._examination, grid, self._identity.ct_series, k, plane - np.int16(intercept))
            self._writer.write(self._folder / f"ct{own.InstanceNumber:04d}.dcm", own)
        return len(slab.hu)
