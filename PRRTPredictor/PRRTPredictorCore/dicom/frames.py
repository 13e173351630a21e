"""Files of one series in; its slices out, in rescaled values and ordered by their place in the patient.

Two steps, so that a caller can judge the headers before any pixel is decoded: :func:`scan_series` reads the headers,
picks the image slices and orders them; :func:`decode` reads the pixels into one array. :func:`read_frames` does both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code, DicomRefused, GeometryRefused
from ..progress import Progress, silent
from ..records import Modality
from .decoding import PixelSource, locate_pixels, stored_frames
from .geometry import orthonormal, slice_normal
from .headers import (
    DicomFile,
    files_of,
    flat_headers,
    number,
    numbers,
    open_file,
    open_files,
    text,
    truncated,
    without_warnings,
)

Source = Path | str | Sequence[Path]

PET_AND_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",  # enhanced
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",  # legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.130": "PT",  # enhanced
}
"""SOP classes of the images that this software reads, and the modality of each (PS3.4, annex B.5)."""

_BESIDE_IMAGES = frozenset({"ANN", "DOC", "FID", "KO", "M3D", "PLAN", "PR", "REG", "RWV", "SEG", "SR"})
_ORIENTATION_TOLERANCE = 1e-3
_SPACING_TOLERANCE = 1e-3  # relative
_INT16 = np.iinfo(np.int16)
_NAMES = {"PT": "PET", "CT": "CT"}


@dataclass(frozen=True, eq=False)
class FramePlace:
    """One slice on disk: which frame of which pixel source, and its flat header."""

    source: PixelSource
    index: int
    header: Dataset


@dataclass(frozen=True, eq=False)
class SeriesScan:
    """The slices of one series in spatial order, headers read and checked, pixels not yet.

    Attributes
    ----------
    places : tuple of FramePlace
        Ordered along the slice normal: foot to head for axial slices.
    positions_lps : ndarray, shape (K, 3), float64
        Centre of the first voxel of each slice in mm.
    row_direction, column_direction : ndarray, shape (3,), float64
        Unit vectors in LPS along which the column index i and the row index j grow.
    pixel_spacing_mm : two floats
        Distance of rows (along j), then of columns (along i).
    """

    modality: Modality
    places: tuple[FramePlace, ...]
    positions_lps: NDArray[np.float64]
    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """One flat header a slice, without pixel data, in the slices' order."""
        return tuple(place.header for place in self.places)


@dataclass(frozen=True, eq=False)
class FrameStack:
    """The slices of one series, decoded and rescaled.

    Attributes
    ----------
    values : ndarray, shape (K, J, I), float32 or int16
        Stored values times Rescale Slope plus Rescale Intercept of each frame; int16 for a CT whose slopes are 1 and
        whose intercepts are whole numbers (saturated at the ends of int16, far beyond any tissue).
    positions_lps : ndarray, shape (K, 3), float64
        Centre of the first voxel of each slice in mm, ordered along the slice normal: foot to head for axial slices,
        front to back for coronal and right to left for sagittal ones.
    row_direction, column_direction : ndarray, shape (3,), float64
        Unit vectors in LPS along which the column index i and the row index j grow.
    pixel_spacing_mm : two floats
        Distance of rows (along j), then of columns (along i).
    headers : tuple of Dataset
        One flat header a slice in the same order, functional groups of multi-frame objects laid into it, without
        pixel data.
    """

    values: NDArray[Any]
    positions_lps: NDArray[np.float64]
    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    headers: tuple[Dataset, ...]


def read_headers(files: Sequence[Path], progress: Progress = silent) -> tuple[Dataset, ...]:
    """Read headers without pixels, one flat header a frame, in the order of files and frames.

    Files that are no DICOM files are passed over. File meta information stays attached to the headers of classic
    files.

    Raises
    ------
    DicomRefused
        PATH_MISSING; TRUNCATED or NOT_DICOM for a damaged file.
    """
    return tuple(header for file in open_files(files_of(files), progress) for header in flat_headers(file.header))


def read_frames(source: Source, modality: Modality, progress: Progress = silent) -> FrameStack:
    """Read one series: :func:`scan_series`, then :func:`decode`."""
    return decode(scan_series(source, modality, progress), progress)


# --- headers ----------------------------------------------------------------------------------------------------------


def scan_series(source: Source, modality: Modality, progress: Progress = silent) -> SeriesScan:
    """Read the headers of one series, prove that it is one, and order its slices by position.

    Parameters
    ----------
    source : Path or sequence of Path
        A folder, searched to any depth, or the files. Files that are no DICOM files and DICOM objects that are no
        images (segmentations, structure sets, presentation states, reports …) are passed over in a folder.
    modality : {"PT", "CT"}
        What the caller needs.

    Raises
    ------
    DicomRefused
        PATH_MISSING, EMPTY_FOLDER, NOT_DICOM, TRUNCATED, MIXED_SERIES, WRONG_MODALITY, UNREADABLE_PIXELS.
    GeometryRefused
        BAD_GEOMETRY.
    """
    files = _image_files(source, progress, f"{_NAMES[modality]} headers")
    _require_one_series(files, modality)
    places = [
        FramePlace(pixels, index, header)
        for file in files
        for pixels in (locate_pixels(file),)
        for index, header in enumerate(_frame_headers(file, pixels))
    ]
    return _in_spatial_order(places, modality)


def _image_files(source: Source, progress: Progress, stage: str) -> list[DicomFile]:
    paths = files_of(source)
    if isinstance(source, (str, Path)):
        found = list(open_files(paths, progress, stage))
    else:
        found = [_named_file(path) for path in paths]
    where = str(source) if isinstance(source, (str, Path)) else ""
    if not found:
        raise DicomRefused(
            Code.NOT_DICOM,
            "None of the files is a DICOM file.",
            where=where,
            remedy="Choose a folder of DICOM files; NIfTI, NRRD and pictures are not accepted.",
        )
    images = [file for file in found if _is_image(file)]
    if not images:
        raise DicomRefused(
            Code.WRONG_MODALITY,
            "The DICOM files hold no images.",
            where=where,
            remedy="Choose the folder of the image series itself, not of its segmentation or report.",
        )
    return images


def _named_file(path: Path) -> DicomFile:
    file = open_file(path)
    if file is None:
        raise DicomRefused(
            Code.NOT_DICOM, "The file is not a DICOM file.", where=str(path), remedy="Leave it out of the list."
        )
    return file


def _is_image(file: DicomFile) -> bool:
    if file.sop_class in PET_AND_CT_CLASSES:
        return True
    return number(file.header, "Rows") is not None and not _is_beside_images(text(file.header, "Modality"))


def _is_beside_images(modality: str) -> bool:
    return modality in _BESIDE_IMAGES or modality.startswith("RT")


def _modality_of(file: DicomFile) -> str:
    return text(file.header, "Modality") or PET_AND_CT_CLASSES.get(file.sop_class, "unknown")


def _require_one_series(files: Sequence[DicomFile], modality: Modality) -> None:
    where = str(files[0].path.parent)
    modalities = Counter(_modality_of(file) for file in files)
    if modality not in modalities:
        raise DicomRefused(
            Code.WRONG_MODALITY,
            f"A {_NAMES[modality]} series was asked for; the images are of modality {', '.join(sorted(modalities))}.",
            where=where,
            remedy=f"Choose the folder of the {_NAMES[modality]} series.",
        )
    series = {text(file.header, "SeriesInstanceUID") for file in files}
    if len(modalities) > 1 or len(series) > 1:
        kinds = ", ".join(f"{count} x {name}" for name, count in sorted(modalities.items()))
        raise DicomRefused(
            Code.MIXED_SERIES,
            f"The files belong to {max(len(series), len(modalities))} series (images: {kinds}).",
            where=where,
            remedy=f"Put the {_NAMES[modality]} series into a folder of its own; `prrt index` lists the series.",
        )


def _frame_headers(file: DicomFile, pixels: PixelSource) -> tuple[Dataset, ...]:
    headers = flat_headers(file.header)
    if len(headers) != pixels.frames:
        raise truncated(file.path, "The header describes another number of frames than it announces.")
    return headers


# --- order ------------------------------------------------------------------------------------------------------------


def _in_spatial_order(places: Sequence[FramePlace], modality: Modality) -> SeriesScan:
    _refuse_localizers(places)
    _require_same(places, "image size", [(place.source.rows, place.source.columns) for place in places])
    orientations = np.array([np.concatenate(orthonormal(_orientation(place))) for place in places])
    if np.abs(orientations - orientations[0]).max() > _ORIENTATION_TOLERANCE:
        raise _unlike("orientation", places[int(np.abs(orientations - orientations[0]).max(axis=1).argmax())])
    spacings = np.array([_pixel_spacing(place) for place in places])
    if (np.abs(spacings / spacings[0] - 1) > _SPACING_TOLERANCE).any():
        raise _unlike("pixel spacing", places[int(np.abs(spacings - spacings[0]).max(axis=1).argmax())])
    row, column = orthonormal(tuple(orientations.mean(axis=0)))
    positions = np.array([_position(place) for place in places])
    order = np.argsort(positions @ slice_normal(row, column), kind="stable")
    spacing = spacings.mean(axis=0)
    return SeriesScan(
        modality,
        tuple(places[k] for k in order),
        positions[order],
        row,
        column,
        (float(spacing[0]), float(spacing[1])),
    )


def _refuse_localizers(places: Sequence[FramePlace]) -> None:
    localizers = [place for place in places if "LOCALIZER" in text(place.header, "ImageType").upper()]
    if localizers:
        all_of_them = len(localizers) == len(places)
        raise DicomRefused(
            Code.WRONG_MODALITY if all_of_them else Code.MIXED_SERIES,
            "The series is a localizer (scout view)." if all_of_them else "Localizer images lie among the slices.",
            where=str(localizers[0].source.path),
            remedy="Choose the axial CT series of the same study." if all_of_them else "Remove the localizer images.",
        )


def _require_same(places: Sequence[FramePlace], what: str, values: Sequence[object]) -> None:
    for place, value in zip(places, values, strict=True):
        if value != values[0]:
            raise _unlike(what, place)


def _unlike(what: str, place: FramePlace) -> GeometryRefused:
    return GeometryRefused(
        Code.BAD_GEOMETRY,
        f"The slices of the series differ in {what}.",
        where=str(place.source.path),
        remedy="Keep the slices of one reconstruction only; remove scouts, reformats and screenshots.",
    )


def _orientation(place: FramePlace) -> tuple[float, ...]:
    value = numbers(place.header, "ImageOrientationPatient", 6)
    if value is None:
        raise _absent("Image Orientation (Patient)", place)
    return value


def _position(place: FramePlace) -> tuple[float, ...]:
    value = numbers(place.header, "ImagePositionPatient", 3)
    if value is None:
        raise _absent("Image Position (Patient)", place)
    return value


def _pixel_spacing(place: FramePlace) -> tuple[float, ...]:
    value = numbers(place.header, "PixelSpacing", 2)
    if value is None or min(value) <= 0:
        raise _absent("Pixel Spacing", place)
    return value


def _absent(what: str, place: FramePlace) -> GeometryRefused:
    return GeometryRefused(
        Code.BAD_GEOMETRY,
        f"{what} is missing or unusable.",
        where=str(place.source.path),
        remedy="Export the original series; secondary captures and reformatted pictures carry no geometry.",
    )


# --- pixels -----------------------------------------------------------------------------------------------------------


def decode(scan: SeriesScan, progress: Progress = silent) -> FrameStack:
    """Decode and rescale the slices of a scanned series into one array.

    Raises
    ------
    DicomRefused
        TRUNCATED, UNREADABLE_PIXELS (also for a slice without Rescale Slope and Intercept: its values have no unit).
    """
    rescales = [_rescale(place) for place in scan.places]
    whole = scan.modality == "CT" and all(slope == 1 and intercept == int(intercept) for slope, intercept in rescales)
    first = scan.places[0].source
    values = np.empty((len(scan.places), first.rows, first.columns), np.int16 if whole else np.float32)
    by_file: dict[Path, list[int]] = {}
    for k, place in enumerate(scan.places):
        by_file.setdefault(place.source.path, []).append(k)
    # One thread: the decoders hold Python's lock, and native slices are read as fast as memory takes them.
    with without_warnings():
        for done, slices in enumerate(by_file.values(), start=1):
            slices.sort(key=lambda k: scan.places[k].index)
            for k, stored in zip(slices, stored_frames(scan.places[slices[0]].source), strict=True):
                _rescale_into(values[k], stored, *rescales[k])
            progress(f"{_NAMES[scan.modality]} pixels", done, len(by_file))
    return FrameStack(
        values, scan.positions_lps, scan.row_direction, scan.column_direction, scan.pixel_spacing_mm, scan.headers
    )


def _rescale(place: FramePlace) -> tuple[float, float]:
    slope, intercept = number(place.header, "RescaleSlope"), number(place.header, "RescaleIntercept")
    if slope is None or intercept is None or slope == 0:
        raise DicomRefused(
            Code.UNREADABLE_PIXELS,
            "Rescale Slope or Rescale Intercept is missing, so that the stored values have no unit.",
            where=str(place.source.path),
            remedy="Export the original series; both are mandatory in CT and PET images.",
        )
    return slope, intercept


def _rescale_into(out: NDArray[Any], stored: NDArray[Any], slope: float, intercept: float) -> None:
    if out.dtype == np.float32:
        np.multiply(stored, slope, out=out, casting="unsafe")
        if intercept:
            out += np.float32(intercept)
        return
    offset = int(intercept)
    if stored.min() + offset >= _INT16.min and stored.max() + offset <= _INT16.max:
        # Both terms may wrap round on their own; the sum, which fits, is right.
        np.add(stored, np.array(offset).astype(np.int16), out=out, dtype=np.int16, casting="unsafe")
    else:
        np.copyto(out, np.clip(stored.astype(np.int64) + offset, _INT16.min, _INT16.max), casting="unsafe")
