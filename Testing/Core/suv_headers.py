"""PET headers like those of the IBSI digital reference objects, for the tests of SUV, and what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from dicom_objects import multiframe, pet_series
from pydicom.dataset import Dataset

from PRRTPredictorCore.dicom.flat import flat_headers
from PRRTPredictorCore.dicom.suv import SuvScale, suv_scale
from PRRTPredictorCore.dicom.suv_times import mean_activity_time_s
from PRRTPredictorCore.errors import Code, SuvRefused

WEIGHT_G, DOSE_BQ, HALF_LIFE_S, UPTAKE_S = 70_000.0, 368.08e6, 6586.2, 3600.0
LAMBDA = math.log(2) / HALF_LIFE_S
START_FACTOR = WEIGHT_G / (DOSE_BQ * math.exp(-LAMBDA * UPTAKE_S))
ADMIN_FACTOR = WEIGHT_G / DOSE_BQ
T_AVE_S = mean_activity_time_s(300.0, HALF_LIFE_S)

Change = Callable[[Dataset], None]


def injection(**changes: object) -> Dataset:
    nuclide = Dataset()
    nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
    item = Dataset()
    item.Radiopharmaceutical = "FDG"
    item.RadiopharmaceuticalStartTime = "100000.000000"
    item.RadiopharmaceuticalStartDateTime = "20250101100000.000000"
    item.RadionuclideTotalDose = DOSE_BQ
    item.RadionuclideHalfLife = HALF_LIFE_S
    item.RadionuclideCodeSequence = [nuclide]
    return changed(item, changes)


def changed(item: Dataset, changes: dict[str, object]) -> Dataset:
    for keyword, value in changes.items():
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)
    return item


def headers(slices: int = 3, injected: dict[str, object] | None = None, **changes: object) -> tuple[Dataset, ...]:
    """Headers like those of the reference objects; a change to None removes the element."""
    made = []
    for _ in range(slices):
        item = Dataset()
        item.Modality, item.SOPClassUID = "PT", "1.2.840.10008.5.1.4.1.1.128"
        item.Units, item.DecayCorrection = "BQML", "START"
        item.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
        item.SeriesDate = item.AcquisitionDate = item.StudyDate = "20250101"
        item.SeriesTime = item.AcquisitionTime = "110000.000000"
        item.FrameReferenceTime, item.ActualFrameDuration = 150000.0, 300000
        item.PatientSex, item.PatientSize, item.PatientWeight = "O", 1.75, 70.0
        item.RescaleSlope, item.RescaleIntercept = 1.0, 0.0
        item.RadiopharmaceuticalInformationSequence = [injection(**(injected or {}))]
        made.append(changed(item, changes))
    return tuple(made)


def each(made: tuple[Dataset, ...], change: Callable[[Dataset, int], None]) -> tuple[Dataset, ...]:
    for number, item in enumerate(made):
        change(item, number)
    return made


def injected_item(item: Dataset) -> Dataset:
    return item.RadiopharmaceuticalInformationSequence[0]


def codes(scale: SuvScale) -> set[str]:
    return {notice.code for notice in scale.notices}


def refusal(made: tuple[Dataset, ...]) -> Code:
    with pytest.raises(SuvRefused) as caught:
        suv_scale(made)
    assert caught.value.message
    assert caught.value.remedy
    return caught.value.code


def private(group: int, element: int, value: object, vr: str = "DS", creator: str = "") -> Change:
    def add(item: Dataset) -> None:
        if creator:
            item.add_new((group, 0x0010), "LO", creator)
        item.add_new((group, element), vr, value)

    return add


def with_private(made: tuple[Dataset, ...], *changes: Change) -> tuple[Dataset, ...]:
    for item in made:
        for change in changes:
            change(item)
    return made


def enhanced(**changes: object) -> tuple[Dataset, ...]:
    root = multiframe(pet_series(np.zeros((3, 2, 2), np.uint16)))
    for keyword in ("Units", "DecayCorrection", "CorrectedImage"):
        delattr(root, keyword)
    for group in root.PerFrameFunctionalGroupsSequence:
        group.PixelValueTransformationSequence[0].RescaleType = "BQML"
    root.DecayCorrected = root.AttenuationCorrected = "YES"
    root.DecayCorrectionDateTime = "20200102110000"
    return flat_headers(changed(root, changes))


def message(made: tuple[Dataset, ...]) -> str:
    with pytest.raises(SuvRefused) as caught:
        suv_scale(made)
    return caught.value.message


def uptake_of(scale: object) -> float:
    """Seconds from injection to reference time, worked back from the factor."""
    return math.log(float(scale.factors[0]) / ADMIN_FACTOR) / LAMBDA  # type: ignore[attr-defined]
