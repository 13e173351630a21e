"""A series as a volume: slices stacked to an even grid in patient space, with how it was acquired."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code, DicomRefused, GeometryRefused
from ..progress import Progress, silent
from ..records import Acquisition, LoadedSeries, Modality, Notice, Unit, Volume, YesNo
from .examination import person_of
from .frames import FrameStack, SeriesScan, Source, decode, scan_series
from .geometry import SAME_POSITION_MM, SliceGrid, affine, even_grid, resample_slices, slice_normal
from .scan import series_name
from .suv_tracer import tracer_of
from .values import day, items, number, text

_NO_CONTRAST = re.compile(r"(NONE|NO|N|NIL|WITHOUT.*|NATIVE?|NO[ _-]?CONTRAST.*|NON[ _-]?CONTRAST.*|0)", re.IGNORECASE)
_MOMENTS = (
    "AcquisitionTime",
    "FrameReferenceTime",
    "TriggerTime",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase",
)


def to_volume(
    stack: FrameStack, modality: Modality, unit: Unit, scale: Sequence[float] | NDArray[np.float64] | None = None
) -> tuple[Volume, tuple[Notice, ...]]:
    """Stack slices to a volume on an even grid.

    Parameters
    ----------
    stack : FrameStack
    scale : K factors or None
        Multiplies each slice, before any resampling (SUV per stored unit, slice by slice).

    Returns
    -------
    volume : Volume
        float32, or int16 where the stack is int16 and even.
    notices : tuple of Notice
        SLICES_RESAMPLED where the slices are uneven.

    Raises
    ------
    GeometryRefused
        BAD_GEOMETRY, DUPLICATE_SLICES, MISSING_SLICES, GANTRY_TILT.
    """
    normal = slice_normal(stack.row_direction, stack.column_direction)
    grid = check_geometry(stack)
    values = stack.values
    if scale is not None:
        factors = np.asarray(scale, np.float32)
        values = values * factors[:, None, None]
    notices: tuple[Notice, ...] = ()
    if grid.sampling is not None:
        values = resample_slices(values, grid.sampling)
        smallest, _, largest = grid.steps_mm
        notices = (
            Notice(
                "SLICES_RESAMPLED",
                f"The slices are {smallest:.2f} to {largest:.2f} mm apart; they were resampled linearly to an even "
                f"{grid.step_mm:.3f} mm.",
            ),
        )
    sideways = stack.positions_lps - np.outer(stack.positions_lps @ normal, normal)
    origin = sideways.mean(axis=0) + grid.start_mm * normal
    matrix = affine(origin, stack.row_direction, stack.column_direction, grid.step_mm * normal, stack.pixel_spacing_mm)
    return Volume(values, matrix, modality, unit), notices


def check_geometry(slices: SeriesScan | FrameStack) -> SliceGrid:
    """Find the even grid of a series or refuse it; on a scan this needs no pixels.

    Raises
    ------
    GeometryRefused
        BAD_GEOMETRY, DUPLICATE_SLICES (saying so when the series is dynamic or gated), MISSING_SLICES, GANTRY_TILT.
    """
    where = series_name(slices.modality) if isinstance(slices, SeriesScan) else ""
    _refuse_repeats(slices, where)
    normal = slice_normal(slices.row_direction, slices.column_direction)
    return even_grid(slices.positions_lps, normal, slices.pixel_spacing_mm, where)


def load_ct(source: Source, progress: Progress = silent) -> LoadedSeries:
    """Read a CT series in HU on an even grid.

    Padding (Pixel Padding Value, often -2000 or -3024 HU after rescaling) is left as it is; ``imaging`` turns it to
    air.

    Raises
    ------
    DicomRefused
        As :func:`scan_series` and :func:`decode`; WRONG_MODALITY also for a CT whose values are no Hounsfield units
        (Rescale Type, e.g. a perfusion or effective-atomic-number map).
    GeometryRefused
        BAD_GEOMETRY, DUPLICATE_SLICES, MISSING_SLICES, GANTRY_TILT.
    """
    scan = scan_series(source, "CT", progress)
    require_hounsfield(scan.headers)
    check_geometry(scan)
    return ct_of_stack(decode(scan, progress))


def ct_of_stack(stack: FrameStack) -> LoadedSeries:
    """Turn decoded slices into a series in HU.

    Raises
    ------
    DicomRefused
        WRONG_MODALITY, as :func:`load_ct`.
    GeometryRefused
        As :func:`load_ct`.
    """
    notices = require_hounsfield(stack.headers)
    volume, resampled = to_volume(stack, "CT", "HU")
    return loaded_series(volume, stack.headers[0], notices + resampled)


def loaded_series(volume: Volume, header: Dataset, notices: tuple[Notice, ...] = ()) -> LoadedSeries:
    """Join a volume with what the header of its first slice says about the series."""
    return LoadedSeries(
        volume,
        acquisition_of(header),
        frame_of_reference_uid=text(header, "FrameOfReferenceUID"),
        study_uid=text(header, "StudyInstanceUID"),
        series_uid=text(header, "SeriesInstanceUID"),
        person=person_of(header),
        notices=notices,
    )


def require_hounsfield(headers: Sequence[Dataset]) -> tuple[Notice, ...]:
    """Refuse a CT whose header names another unit; tell where it names none.

    Raises
    ------
    DicomRefused
        WRONG_MODALITY.
    """
    kinds = {text(header, "RescaleType").upper() for header in headers}
    foreign = sorted(kinds - {"", "HU", "US"})
    if foreign:
        raise DicomRefused(
            Code.WRONG_MODALITY,
            f"The CT values are no Hounsfield units (Rescale Type {', '.join(foreign)}).",
            where=series_name("CT"),
            remedy="Choose the CT series in Hounsfield units, not a map computed from it.",
        )
    if "US" in kinds:
        return (Notice("CT_UNIT_UNSPECIFIED", "The CT names no unit (Rescale Type US); its values were read as HU."),)
    return ()


# --- dynamic and gated series -----------------------------------------------------------------------------------------


def _refuse_repeats(stack: FrameStack | SeriesScan, where: str) -> None:
    """Refuse positions that were imaged several times, saying what kind of series that is."""
    normal = slice_normal(stack.row_direction, stack.column_direction)
    repeated = np.flatnonzero(np.diff(stack.positions_lps @ normal) <= SAME_POSITION_MM)
    if not repeated.size:
        return
    first, second = stack.headers[repeated[0]], stack.headers[repeated[0] + 1]
    if any(text(first, keyword) != text(second, keyword) for keyword in _MOMENTS):
        raise GeometryRefused(
            Code.DUPLICATE_SLICES,
            "The series images the same place several times (a dynamic or gated series).",
            where=where,
            remedy="Use the static series, or the average over time or over the gates.",
        )


# --- acquisition ------------------------------------------------------------------------------------------------------


def acquisition_of(header: Dataset) -> Acquisition:
    """Tell how a series was made, from a flat header, without anything that names the patient.

    ``contrast`` (CT only): "yes" where an agent is named or said to be given, "no" where the header says that there
    was none, "unknown" where it is silent. ``tracer``: name and nuclide, e.g. "DOTATOC Ga-68".
    """
    is_pet = text(header, "Modality") == "PT"
    return Acquisition(
        manufacturer=text(header, "Manufacturer"),
        model=text(header, "ManufacturerModelName"),
        date=day(header, "SeriesDate", "AcquisitionDate", "StudyDate"),
        contrast="unknown" if is_pet else _contrast(header),
        tracer=tracer_of(header).name if is_pet else "",
        synthetic=text(header, "QualityControlSubject").upper() == "YES",
    )


def _contrast(header: Dataset) -> YesNo:
    administered = {text(use, "ContrastBolusAgentAdministered") for use in items(header, "ContrastBolusUsageSequence")}
    administered.add(text(header, "ContrastBolusAgentAdministered"))
    if "YES" in administered:
        return "yes"
    agent = text(header, "ContrastBolusAgent")
    if "NO" in administered or _NO_CONTRAST.fullmatch(agent):
        return "no"
    named = agent or items(header, "ContrastBolusAgentSequence") or (number(header, "ContrastBolusVolume") or 0) > 0
    return "yes" if named else "unknown"
