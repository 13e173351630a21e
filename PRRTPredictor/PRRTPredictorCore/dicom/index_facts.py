"""What the index must know of every series, gathered from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import DicomRefused
from ..progress import Progress, silent
from ..records import LeftOut, SeriesRecord
from .decoding import refuse_announced_frames
from .flat import flat_headers
from .geometry import is_possible_position, is_possible_spacing
from .headers import DicomFile, open_file
from .scan import refuse_cut
from .suv_clock import acquisition_moments, parse_time
from .values import day, numbers, text

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, eq=False)
class Box:
    """The part of patient space that a series fills.

    Attributes
    ----------
    low, high : ndarray, shape (3,), float64
        Corners in LPS, mm; towards right-front-foot and left-back-head.
    normal : ndarray, shape (3,), float64
        Unit normal of the slices.
    step_mm : float
        Median distance of neighbouring slices.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    normal: NDArray[np.float64]
    step_mm: float

    def share_inside(self, other: Box) -> NDArray[np.float64]:
        """Share of this box's extent along (x, y, z) that ``other`` covers, shape (3,), 0 to 1."""
        shared = np.minimum(self.high, other.high) - np.maximum(self.low, other.low)
        return np.clip(shared / np.maximum(self.high - self.low, 1e-6), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class SeriesFacts:
    """One series as its headers tell it.

    Attributes
    ----------
    words : frozenset of str
        Image Type and Scan Options, in upper case.
    slices : int
        Frames with distinct SOP instances; ``repeated`` files that hold an instance once more are left out.
    box : Box or None
        None where the geometry is absent.
    first_header : Dataset
        Flat header of one slice.
    acquired : datetime or None
        Earliest acquisition.
    """

    record: SeriesRecord
    patient: str
    patient_name: str
    sop_class: str
    words: frozenset[str]
    slices: int
    repeated: int
    box: Box | None
    first_header: Dataset
    acquired: datetime | None


@dataclass
class _Gathering:
    """A series while its files come in."""

    first: DicomFile
    first_header: Dataset
    paths: list[Path] = field(default_factory=list)
    instances: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    corners: list[NDArray[np.float64]] = field(default_factory=list)
    normals: list[NDArray[np.float64]] = field(default_factory=list)
    slices: int = 0
    repeated: int = 0
    unplaced: int = 0
    acquired: datetime | None = None


@dataclass(frozen=True, eq=False)
class Gathered:
    """All series of a set of files, and the files that are damaged."""

    series: tuple[SeriesFacts, ...]
    damaged: tuple[LeftOut, ...]


def gather(files: Sequence[Path], progress: Progress = silent) -> Gathered:
    """Read the headers of many files and sort them into series; files that are no DICOM files are passed over.

    A localizer that lies in one series with slices makes a series of its own.
    """
    gathering: dict[tuple[str, bool], _Gathering] = {}
    damaged: list[LeftOut] = []
    for done, path in enumerate(files, start=1):
        progress("index", done, len(files))
        if path.name.upper() == "DICOMDIR":
            continue
        try:
            file = open_file(path)
            if file is None or file.sop_class == _MEDIA_DIRECTORY:
                continue
            refuse_cut(file)
            refuse_announced_frames(file)
            headers = flat_headers(file.header)
        except DicomRefused as error:
            damaged.append(LeftOut("", error.code.value, f"{path.name}: {error.message}"))
            continue
        words = _words(headers[0])
        key = (text(file.header, "SeriesInstanceUID"), is_localizer(words))
        series = gathering.setdefault(key, _Gathering(file, headers[0]))
        _add(series, file, headers, words)
    return Gathered(tuple(_facts(series) for series in gathering.values()), tuple(damaged))


def is_localizer(words: frozenset[str]) -> bool:
    """Whether Image Type or Scan Options name a scout view."""
    return "LOCALIZER" in words or any(word.startswith("SCOUT") for word in words)


def _words(header: Dataset) -> frozenset[str]:
    parts = (text(header, "ImageType") + "\\" + text(header, "ScanOptions")).upper().split("\\")
    return frozenset(part.strip() for part in parts if part.strip())


def _add(series: _Gathering, file: DicomFile, headers: Sequence[Dataset], words: frozenset[str]) -> None:
    instance = text(file.header, "SOPInstanceUID")
    if instance and instance in series.instances:
        series.repeated += 1
        return
    series.instances.add(instance)
    series.paths.append(file.path.absolute())
    series.words |= words
    series.slices += len(headers)
    for header in {id(header): header for header in headers}.values():  # frames without functional groups share one
        _place(series, header)
    moment = _acquired(headers[0])
    if moment is not None and (series.acquired is None or moment < series.acquired):
        series.acquired = moment


def _place(series: _Gathering, header: Dataset) -> None:
    position = numbers(header, "ImagePositionPatient", 3)
    orientation = numbers(header, "ImageOrientationPatient", 6)
    spacing = numbers(header, "PixelSpacing", 2)
    size = (numbers(header, "Rows", 1), numbers(header, "Columns", 1))
    if (
        position is None
        or orientation is None
        or spacing is None
        or size[0] is None
        or size[1] is None
        or not (is_possible_position(position) and is_possible_spacing(spacing))
    ):
        series.unplaced += 1
        return
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    # Edges of the field of view, half a pixel beyond the centres of the outermost pixels.
    along_rows = row * spacing[1] * np.array([[-0.5], [size[1][0] - 0.5]])
    along_columns = column * spacing[0] * np.array([[-0.5], [size[0][0] - 0.5]])
    corners = np.array(position) + along_rows[:, None] + along_columns[None]
    series.corners.append(corners.reshape(4, 3))
    series.normals.append(np.cross(row, column))


def _acquired(header: Dataset) -> datetime | None:
    moment = acquisition_moments((header,))[0]
    if moment is not None:
        return moment
    clock = parse_time(text(header, "SeriesTime") or text(header, "StudyTime"))
    on = day(header, "SeriesDate", "StudyDate")
    return datetime.combine(on, clock) if on and clock else None


def _box(series: _Gathering) -> Box | None:
    if series.unplaced or not series.corners:
        return None
    corners = np.array(series.corners)
    normal = np.mean(series.normals, axis=0)
    length = float(np.linalg.norm(normal))
    if not np.isfinite(corners).all() or length < 0.5:
        return None
    normal /= length
    steps = np.diff(np.sort(corners[:, 0] @ normal))
    step_mm = float(np.median(steps)) if steps.size else 0.0
    flat = corners.reshape(-1, 3)
    half = np.abs(normal) * step_mm / 2.0
    return Box(flat.min(axis=0) - half, flat.max(axis=0) + half, normal, step_mm)


def _facts(series: _Gathering) -> SeriesFacts:
    header = series.first_header
    record = SeriesRecord(
        series_uid=text(header, "SeriesInstanceUID"),
        study_uid=text(header, "StudyInstanceUID"),
        modality=text(header, "Modality"),
        files=tuple(sorted(series.paths)),
        frame_of_reference_uid=text(header, "FrameOfReferenceUID"),
        description=text(header, "SeriesDescription"),
        manufacturer=text(header, "Manufacturer"),
        date=day(header, "SeriesDate", "StudyDate", "AcquisitionDate"),
    )
    return SeriesFacts(
        record=record,
        patient=text(header, "PatientID"),
        patient_name=text(header, "PatientName"),
        sop_class=series.first.sop_class,
        words=frozenset(series.words),
        slices=series.slices,
        repeated=series.repeated,
        box=_box(series),
        first_header=header,
        acquired=series.acquired,
    )
