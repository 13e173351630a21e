"""A small maker of CT and PET objects for the tests of the dicom room: in memory first, then on disk.

Every series here is a list of classic single-frame data sets in spatial order; :func:`multiframe` turns such a list
into one enhanced or legacy-converted object, and :func:`write_series` puts either on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

DATA = Path(__file__).parents[2].parent / "shared" / "data"

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CT_CLASS, ENHANCED_CT, LEGACY_CT = (f"1.2.840.10008.5.1.4.1.1.2{tail}" for tail in ("", ".1", ".2"))
PET_CLASS, ENHANCED_PET, LEGACY_PET = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("128", "130", "128.1"))

_PER_FRAME = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
}
_SHARED = {
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
}
_PET_TIMES = ("AcquisitionDate", "AcquisitionTime", "FrameReferenceTime", "ActualFrameDuration")
_PET_ISOTOPE = ("RadiopharmaceuticalInformationSequence", "Units", "DecayCorrection", "CorrectedImage")


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    return np.cross(orientation[:3], orientation[3:])


def ct_series(stored: NDArray[Any], **changes: Any) -> list[Dataset]:
    """A CT of the stored values [k, j, i]; ``changes`` are attributes of every slice (see :func:`_series`)."""
    attributes = {
        "SOPClassUID": CT_CLASS,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
    }
    return _series(stored, {**attributes, **changes})


def pet_series(stored: NDArray[Any], slopes: Sequence[float] | float = 0.5, **changes: Any) -> list[Dataset]:
    """A Ga-68 DOTATOC PET in BQML, decay corrected to START; one rescale slope, or one a slice."""
    attributes = {
        "SOPClassUID": PET_CLASS,
        "Modality": "PT",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "SeriesType": ["WHOLE BODY", "IMAGE"],
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"],
        "PatientWeight": 70,
        "PatientSize": 1.75,
        "AcquisitionDate": "20200102",
        "AcquisitionTime": "110000",
        "FrameReferenceTime": 60000,
        "ActualFrameDuration": 120000,
        "RescaleIntercept": 0,
        "RadiopharmaceuticalInformationSequence": [dotatoc()],
    }
    series = _series(stored, {**attributes, **changes})
    for item, slope in zip(series, np.broadcast_to(slopes, len(series)), strict=True):
        item.RescaleSlope = float(slope)
    return series


def dotatoc() -> Dataset:
    dose, nuclide = Dataset(), Dataset()
    nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning = "C-131A3", "SRT", "^68^Gallium"
    dose.Radiopharmaceutical = "DOTATOC"
    dose.RadiopharmaceuticalStartTime = "100000"
    dose.RadiopharmaceuticalStartDateTime = "20200102100000"
    dose.RadionuclideTotalDose = 1.5e8
    dose.RadionuclideHalfLife = 4062.6
    dose.RadionuclideCodeSequence = [nuclide]
    return dose


def _series(stored: NDArray[Any], attributes: dict[str, Any]) -> list[Dataset]:
    """One data set a slice. Beside attributes by keyword: ``origin``, ``step_mm``, ``positions`` [k, 3], ``spacing``,
    ``orientation``."""
    attributes = dict(attributes)
    orientation = attributes.pop("orientation", AXIAL)
    origin, step = np.array(attributes.pop("origin", (-10.0, -20.0, -300.0))), attributes.pop("step_mm", 3.0)
    along = np.arange(len(stored))[:, None] * step * normal_of(orientation)
    positions = attributes.pop("positions", origin + along)
    spacing = attributes.pop("spacing", (2.0, 2.5))
    common: dict[str, Any] = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
        "StudyDate": "20200102",
        "SeriesDate": "20200102",
        "StudyTime": "105900",
        "SeriesTime": "110000",
        "PatientName": "CANARY^NAME",
        "PatientID": "CANARY-ID",
        "Manufacturer": "ACME",
        "ManufacturerModelName": "Scanner 1",
        "SliceThickness": 3,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[1],
        "Columns": stored.shape[2],
        "BitsAllocated": stored.dtype.itemsize * 8,
        "BitsStored": stored.dtype.itemsize * 8,
        "HighBit": stored.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    return [
        _slice({**common, **attributes}, values, number, position, spacing, orientation)
        for number, (values, position) in enumerate(zip(stored, np.asarray(positions, float), strict=True), start=1)
    ]


def _slice(
    attributes: dict[str, Any],
    values: NDArray[Any],
    number: int,
    position: NDArray[np.float64],
    spacing: Sequence[float],
    orientation: Sequence[float],
) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    item.SOPInstanceUID = generate_uid()
    item.InstanceNumber = number
    item.ImagePositionPatient = [f"{part:.8f}"[:16] for part in position]
    item.ImageOrientationPatient = [f"{part:.12f}"[:16] for part in orientation]
    item.PixelSpacing = list(spacing)
    item.PixelData = np.ascontiguousarray(values).tobytes()
    item["PixelData"].VR = "OW"
    return item


def multiframe(series: Sequence[Dataset], legacy: bool = False, share_rescale: bool = False) -> Dataset:
    """Join classic slices to one enhanced object, or to a legacy-converted one with unassigned attributes."""
    first = series[0]
    moved = {keyword for group in (*_PER_FRAME.values(), *_SHARED.values()) for keyword in group}
    moved |= {*_PET_TIMES, "InstanceNumber", "PixelData"} | (set(_PET_ISOTOPE) if legacy else set())
    root = Dataset()
    for element in first:
        if element.keyword not in moved:
            root.add(element)
    is_ct = first.Modality == "CT"
    root.SOPClassUID = (LEGACY_CT if legacy else ENHANCED_CT) if is_ct else (LEGACY_PET if legacy else ENHANCED_PET)
    root.NumberOfFrames = len(series)
    shared, frames = Dataset(), [Dataset() for _ in series]
    for group, keywords in _SHARED.items():
        setattr(shared, group, [_picked(first, keywords)])
    for group, keywords in _PER_FRAME.items():
        if share_rescale and group == "PixelValueTransformationSequence":
            setattr(shared, group, [_picked(first, keywords)])
            continue
        for frame, item in zip(frames, series, strict=True):
            setattr(frame, group, [_picked(item, keywords)])
    if legacy:
        shared.UnassignedSharedConvertedAttributesSequence = [_picked(first, _PET_ISOTOPE)]
        for frame, item in zip(frames, series, strict=True):
            frame.UnassignedPerFrameConvertedAttributesSequence = [_picked(item, (*_PET_TIMES, "InstanceNumber"))]
    elif not is_ct:
        for frame, item in zip(frames, series, strict=True):
            content = Dataset()
            content.FrameAcquisitionDateTime = f"{item.AcquisitionDate}{item.AcquisitionTime}"
            content.FrameAcquisitionDuration = float(item.ActualFrameDuration)
            frame.FrameContentSequence = [content]
    root.SharedFunctionalGroupsSequence = [shared]
    root.PerFrameFunctionalGroupsSequence = frames
    root.PixelData = b"".join(item.PixelData for item in series)
    root["PixelData"].VR = "OW"
    return root


def _picked(item: Dataset, keywords: Sequence[str]) -> Dataset:
    picked = Dataset()
    for keyword in keywords:
        if keyword in item:
            picked.add(item[keyword])
    return picked


def write_series(
    series: Sequence[Dataset] | Dataset,
    folder: Path,
    names: Sequence[str] | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> list[Path]:
    """Write data sets as part-10 files; ``names`` decide the file-name order, which readers must not trust."""
    objects = [series] if isinstance(series, Dataset) else list(series)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in (names or [f"{number:04d}.dcm" for number in range(len(objects))])]
    for item, path in zip(objects, paths, strict=True):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = item.SOPClassUID, item.SOPInstanceUID
        meta.TransferSyntaxUID = transfer_syntax
        item.file_meta = meta
        item.save_as(path, enforce_file_format=True)
    return paths
