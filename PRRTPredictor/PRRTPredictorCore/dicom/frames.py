"""Files of one series in; its slices out, in rescaled values and ordered by their place in the patient.

Two steps, so that a caller can judge the headers before any pixel is decoded: :func:`scan_series` reads the headers,
picks the image slices and orders them; :func:`decode` reads the pixels into one array. :func:`read_frames` does both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code, DicomRefused
from ..progress import Progress, silent
from ..records import MODALITY_NAMES, Modality
from .decoding import stored_frames
from .flat import flat_headers
from .headers import files_of, open_files, shown
from .scan import FramePlace, SeriesScan, Source, scan_series
from .values import number, without_warnings

__all__ = ["FrameStack", "SeriesScan", "Source", "decode", "read_frames", "read_headers", "scan_series"]

_INT16 = np.iinfo(np.int16)
_LARGEST_HU = 1e6
"""Beyond any material; a slope or intercept that leads there is damaged."""
_BATCH = 8  # files that a thread takes at a time


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


def decode(
    scan: SeriesScan, progress: Progress = silent, factors: NDArray[np.floating[Any]] | None = None
) -> FrameStack:
    """Decode and rescale the slices of a scanned series into one array.

    Parameters
    ----------
    factors : ndarray, shape (K,), or None
        Multiply each slice after rescaling; the values are float32 then.

    Raises
    ------
    DicomRefused
        TRUNCATED, UNREADABLE_PIXELS (also for a slice without Rescale Slope and Intercept: its values have no unit).
    """
    rescales = [_rescale(place, scan.modality) for place in scan.places]
    whole = (
        factors is None
        and scan.modality == "CT"
        and all(slope == 1 and intercept == int(intercept) for slope, intercept in rescales)
    )
    first = scan.places[0].source
    values = np.empty((len(scan.places), first.rows, first.columns), np.int16 if whole else np.float32)

    def read(slices: Sequence[int]) -> None:
        for k, stored in zip(slices, stored_frames(scan.places[slices[0]].source), strict=True):
            _rescale_into(values[k], stored, *rescales[k])
            if factors is not None:
                values[k] *= np.float32(factors[k])
            if scan.modality == "CT" and not whole:
                _require_possible_hu(values[k], scan.places[k])

    by_file = _slices_by_file(scan)
    # Decoders that hold Python's lock would only get in each other's way.
    share_time = all(place.source.can_share_time for place in scan.places)
    with without_warnings():
        for done in _each(read, by_file, _cores() if share_time else 1):
            progress(f"{MODALITY_NAMES[scan.modality]} pixels", done, len(by_file))
    return FrameStack(
        values, scan.positions_lps, scan.row_direction, scan.column_direction, scan.pixel_spacing_mm, scan.headers
    )


def _slices_by_file(scan: SeriesScan) -> list[list[int]]:
    """Slices of each file in the order of its frames."""
    by_file: dict[Path, list[int]] = {}
    for k, place in enumerate(scan.places):
        by_file.setdefault(place.source.path, []).append(k)
    return [sorted(slices, key=lambda k: scan.places[k].index) for slices in by_file.values()]


def _each(work: Callable[[Sequence[int]], None], tasks: Sequence[Sequence[int]], threads: int) -> Iterator[int]:
    """Do all tasks, in threads; yields how many are done. The first failure in their order is raised."""

    def work_on(batch: Sequence[Sequence[int]]) -> int:
        for task in batch:
            work(task)
        return len(batch)

    batches = [tasks[start : start + _BATCH] for start in range(0, len(tasks), _BATCH)]
    done = 0
    with ThreadPoolExecutor(max(min(threads, len(batches)), 1)) as pool:
        for count in pool.map(work_on, batches):
            done += count
            yield done


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rescale(place: FramePlace, modality: Modality) -> tuple[float, float]:
    slope, intercept = number(place.header, "RescaleSlope"), number(place.header, "RescaleIntercept")
    if slope is None or intercept is None or slope == 0:
        raise DicomRefused(
            Code.UNREADABLE_PIXELS,
            "Rescale Slope or Rescale Intercept is missing, so that the stored values have no unit.",
            where=shown(place.source.path),
            remedy="Export the original series; both are mandatory in CT and PET images.",
        )
    if modality == "CT" and (slope < 0 or abs(intercept) > _LARGEST_HU):
        raise _impossible(place)
    return slope, intercept


def _require_possible_hu(values: NDArray[Any], place: FramePlace) -> None:
    """Refuse a slice with a value that is not finite or beyond any material."""
    if not (values.min() >= -_LARGEST_HU and values.max() <= _LARGEST_HU):
        raise _impossible(place)


def _impossible(place: FramePlace) -> DicomRefused:
    return DicomRefused(
        Code.UNREADABLE_PIXELS,
        "Rescale Slope and Rescale Intercept lead to impossible values.",
        where=shown(place.source.path),
        remedy="Export the original series; this header is damaged.",
    )


def _rescale_into(out: NDArray[Any], stored: NDArray[Any], slope: float, intercept: float) -> None:
    if out.dtype == np.float32:
        np.multiply(stored, slope, out=out, casting="unsafe")
        if intercept:
            out += np.float32(intercept)
        return
    offset = int(intercept)
    if int(stored.min()) + offset >= _INT16.min and int(stored.max()) + offset <= _INT16.max:
        # Both terms may wrap round on their own; the sum, which fits, is right.
        np.add(stored, np.array(offset).astype(np.int16), out=out, dtype=np.int16, casting="unsafe")
    else:
        np.copyto(out, np.clip(stored.astype(np.int64) + offset, _INT16.min, _INT16.max), casting="unsafe")
