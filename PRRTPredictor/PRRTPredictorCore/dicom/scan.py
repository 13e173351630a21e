"""The headers of a folder or of files in; the slices of one series out, proved to be one and ordered in space.

No pixel is decoded here, so that callers can judge what the headers say before that work is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code, DicomRefused, GeometryRefused
from ..progress import Progress, silent
from ..records import MODALITY_NAMES, Modality
from .decoding import PixelSource, locate_pixels
from .examination import identifier_of
from .flat import flat_headers
from .geometry import is_possible_position, is_possible_spacing, orthonormal, slice_normal
from .headers import DicomFile, files_of, open_files, shown, truncated
from .pixel_source import unreadable
from .values import number, numbers, text

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

_DICOM_DIRECTORY = "1.2.840.10008.1.3.10"
_BESIDE_IMAGES = frozenset({"ANN", "DOC", "FID", "KO", "M3D", "PLAN", "PR", "REG", "RWV", "SEG", "SR"})
_MOST_VOXELS = 2**31  # 2048 slices of 1024 x 1024
_MUST_AGREE: dict[str, Callable[[Dataset], str]] = {
    "patients": lambda header: identifier_of(text(header, "PatientID")),
    "studies": lambda header: text(header, "StudyInstanceUID"),
    "frames of reference": lambda header: text(header, "FrameOfReferenceUID"),
}
"""What a series belongs to (PS3.3 section A.1.2.3), and how it is compared; a file may leave it out."""
_ORIENTATION_TOLERANCE = 1e-3
_SPACING_TOLERANCE = 1e-3  # relative


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


def series_name(modality: Modality) -> str:
    """What errors call a series; not its folder, which is often named after the patient."""
    return f"{MODALITY_NAMES[modality]} series"


def scan_series(source: Source, modality: Modality, progress: Progress = silent) -> SeriesScan:
    """Read the headers of one series, prove that it is one, and order its slices by position.

    Parameters
    ----------
    source : Path or sequence of Path
        A folder, searched to any depth, or the files. Files that are no DICOM files and do not claim to be, and DICOM
        objects that are no images (segmentations, structure sets, presentation states, reports …) are passed over.
    modality : {"PT", "CT"}
        What the caller needs.

    Raises
    ------
    DicomRefused
        PATH_MISSING, EMPTY_FOLDER, NOT_DICOM, TRUNCATED, MIXED_SERIES, WRONG_MODALITY, UNREADABLE_PIXELS.
    GeometryRefused
        BAD_GEOMETRY.
    """
    where = series_name(modality)
    files = _image_files(source, progress, f"{MODALITY_NAMES[modality]} headers", where)
    _require_one_series(files, modality, where)
    places = [
        FramePlace(pixels, index, header)
        for file in files
        for pixels in (locate_pixels(file),)
        for index, header in enumerate(_frame_headers(file, pixels))
    ]
    return _in_spatial_order(places, modality)


def _image_files(source: Source, progress: Progress, stage: str, where: str) -> list[DicomFile]:
    found = list(open_files(files_of(source), progress, stage))
    if not found:
        raise DicomRefused(
            Code.NOT_DICOM,
            "None of the files is a DICOM file.",
            where=where,
            remedy="Choose a folder of DICOM files; NIfTI, NRRD and pictures are not accepted.",
        )
    for file in found:
        refuse_cut(file)
    images = [file for file in found if _is_image(file)]
    if not images:
        raise DicomRefused(
            Code.WRONG_MODALITY,
            "The DICOM files hold no images.",
            where=where,
            remedy="Choose the folder of the image series itself, not of its segmentation or report.",
        )
    return images


def _is_image(file: DicomFile) -> bool:
    if file.sop_class in PET_AND_CT_CLASSES:
        return True
    return number(file.header, "Rows") is not None and not _is_beside_images(text(file.header, "Modality"))


def refuse_cut(file: DicomFile) -> None:
    """Refuse a file that ends inside its header, which would otherwise pass for an object without an image.

    Raises
    ------
    DicomRefused
        TRUNCATED.
    """
    if file.pixel_element or file.sop_class == _DICOM_DIRECTORY:
        return
    if file.sop_class in PET_AND_CT_CLASSES or not text(file.header, "SeriesInstanceUID"):
        raise truncated(file.path, "The file ends before its pixel data.")


def _is_beside_images(modality: str) -> bool:
    return modality in _BESIDE_IMAGES or modality.startswith("RT")


def _modality_of(file: DicomFile) -> str:
    return text(file.header, "Modality") or PET_AND_CT_CLASSES.get(file.sop_class, "unknown")


def _require_one_series(files: Sequence[DicomFile], modality: Modality, where: str) -> None:
    wanted = MODALITY_NAMES[modality]
    modalities = Counter(_modality_of(file) for file in files)
    if modality not in modalities:
        raise DicomRefused(
            Code.WRONG_MODALITY,
            f"A {wanted} series was asked for; the images are of modality {', '.join(sorted(modalities))}.",
            where=where,
            remedy=f"Choose the folder of the {wanted} series.",
        )
    series = {text(file.header, "SeriesInstanceUID") for file in files}
    if len(modalities) > 1 or len(series) > 1:
        kinds = ", ".join(f"{count} x {name}" for name, count in sorted(modalities.items()))
        raise DicomRefused(
            Code.MIXED_SERIES,
            f"The files belong to {max(len(series), len(modalities))} series (images: {kinds}).",
            where=where,
            remedy=f"Put the {wanted} series into a folder of its own; `prrt index` lists the series.",
        )
    for what, told in _MUST_AGREE.items():
        if len({told(file.header) for file in files} - {""}) > 1:
            raise DicomRefused(
                Code.MIXED_SERIES,
                f"The files are of one series by their UID, but of several {what}.",
                where=where,
                remedy=f"Export the {wanted} series again; whatever made its files pseudonymous mixed them up.",
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
    _refuse_absurd_size(places)
    written = [_orientation(place) for place in places]
    directions = {orientation: np.concatenate(orthonormal(orientation)) for orientation in dict.fromkeys(written)}
    orientations = np.array([directions[orientation] for orientation in written])
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
            where=shown(localizers[0].source.path),
            remedy="Choose the axial CT series of the same study." if all_of_them else "Remove the localizer images.",
        )


def _refuse_absurd_size(places: Sequence[FramePlace]) -> None:
    source = places[0].source
    if len(places) * source.rows * source.columns > _MOST_VOXELS:
        raise unreadable(source.path, "The slices announce a volume of absurd size.")


def _require_same(places: Sequence[FramePlace], what: str, values: Sequence[object]) -> None:
    for place, value in zip(places, values, strict=True):
        if value != values[0]:
            raise _unlike(what, place)


def _unlike(what: str, place: FramePlace) -> GeometryRefused:
    return GeometryRefused(
        Code.BAD_GEOMETRY,
        f"The slices of the series differ in {what}.",
        where=shown(place.source.path),
        remedy="Keep the slices of one reconstruction only; remove scouts, reformats and screenshots.",
    )


def _orientation(place: FramePlace) -> tuple[float, ...]:
    value = numbers(place.header, "ImageOrientationPatient", 6)
    if value is None:
        raise _absent("Image Orientation (Patient)", place)
    return value


def _position(place: FramePlace) -> tuple[float, ...]:
    value = numbers(place.header, "ImagePositionPatient", 3)
    if value is None or not is_possible_position(value):
        raise _absent("Image Position (Patient)", place)
    return value


def _pixel_spacing(place: FramePlace) -> tuple[float, ...]:
    value = numbers(place.header, "PixelSpacing", 2)
    if value is None or not is_possible_spacing(value):
        raise _absent("Pixel Spacing", place)
    return value


def _absent(what: str, place: FramePlace) -> GeometryRefused:
    return GeometryRefused(
        Code.BAD_GEOMETRY,
        f"{what} is missing or unusable.",
        where=shown(place.source.path),
        remedy="Export the original series; secondary captures and reformatted pictures carry no geometry.",
    )
