"""Standardised uptake values by body weight (SUVbw, g/ml), proved from the header or refused.

DICOM PS3.3 section C.8.9 says what the values of a PET image mean; the QIBA consensus and the IBSI digital reference
objects say how they become SUVbw. Nothing is assumed: what the rule in use needs and the header cannot prove is
refused, with the element and a remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code
from ..progress import Progress, silent
from ..records import LoadedSeries, Notice, SuvReport
from .frames import FrameStack, Source, decode, scan_series
from .series import check_geometry, loaded_series, to_volume
from .suv_rules import RULES
from .suv_tracer import tracer_notices, tracer_of
from .suv_units import stored_unit
from .suv_values import Headers, SeriesHeaders, element, refused
from .suv_worthy import require_attenuation_corrected, require_pet
from .values import number, text

LARGEST_SUV = 1e5
"""No voxel can show more: it would hold the whole dose of a 100 kg patient within one millilitre."""
SMALLEST_PEAK_SUV = 1e-4
"""No image can stay below: the mean over a body is near 1, and even noise and scatter are far above."""


@dataclass(frozen=True, eq=False)
class SuvScale:
    """How the rescaled values of a series become SUVbw.

    Attributes
    ----------
    factors : ndarray, shape (K,), float64
        SUVbw per unit after rescale slope and intercept, one a slice, in the order of the headers.
    """

    factors: NDArray[np.float64]
    report: SuvReport
    notices: tuple[Notice, ...] = ()


def load_pet(source: Source, progress: Progress = silent) -> LoadedSeries:
    """Read a PET series in SUVbw on an even grid.

    The header is judged before any pixel is decoded. Values are left as the scanner reconstructed them: negative ones
    and whatever is not finite are cleaned by ``imaging``.

    Parameters
    ----------
    source : Path or sequence of Path
        The folder of one series, or its files.

    Returns
    -------
    LoadedSeries
        ``suv`` says how the values were converted; ``notices`` what was read with doubt.

    Raises
    ------
    DicomRefused
        PATH_MISSING, EMPTY_FOLDER, NOT_DICOM, TRUNCATED, MIXED_SERIES, WRONG_MODALITY, UNREADABLE_PIXELS.
    GeometryRefused
        BAD_GEOMETRY, DUPLICATE_SLICES, MISSING_SLICES, GANTRY_TILT.
    SuvRefused
        As :func:`suv_scale`; SUV_SCALE_FACTOR also where the scale leads to values that no patient can have.
    """
    scan = scan_series(source, "PT", progress)
    scale = suv_scale(scan.headers)
    check_geometry(scan)
    return _in_suv(decode(scan, progress, scale.factors), scale, None)


def pet_of_stack(stack: FrameStack, scale: SuvScale) -> LoadedSeries:
    """Turn decoded slices into a series in SUVbw; the scale is that of the same slices' headers.

    Raises
    ------
    GeometryRefused, SuvRefused
        As :func:`load_pet`.
    """
    return _in_suv(stack, scale, scale.factors)


def _in_suv(stack: FrameStack, scale: SuvScale, factors: NDArray[np.float64] | None) -> LoadedSeries:
    volume, resampled = to_volume(stack, "PT", "SUVbw", factors)
    _require_possible(volume.array)
    notices = scale.notices + resampled + _incomplete(stack)
    return replace(loaded_series(volume, stack.headers[0], notices), suv=scale.report)


def _incomplete(stack: FrameStack) -> tuple[Notice, ...]:
    """Say where the header announces more slices than there are: gaps are refused, ends that are cut off cannot be."""
    announced, found = number(stack.headers[0], "NumberOfSlices"), len(stack.headers)
    if announced is None or announced <= found:
        return ()
    message = f"The PET's header announces {announced:.0f} slices, of which {found} are there; it may lack its ends."
    return (Notice("SLICES_ABSENT", message),)


def suv_scale(headers: Sequence[Dataset]) -> SuvScale:
    """Find the factor from rescaled values to SUVbw for every slice, from headers alone.

    Parameters
    ----------
    headers : sequence of Dataset
        One flat header a slice, all of one series.

    Raises
    ------
    SuvRefused
        NOT_PET, NOT_ATTENUATION_CORRECTED, UNITS_UNSUPPORTED, SUV_TYPE, SUV_SCALE_FACTOR, SUV_DECAY_CORRECTION,
        SUV_WEIGHT, SUV_HEIGHT, SUV_SEX, SUV_DOSE, SUV_HALF_LIFE, SUV_TIMES.
    """
    if not headers:
        raise refused(Code.NOT_PET, "There are no slices.", "", "Choose the folder of a PET series.")
    headers = SeriesHeaders(headers)
    require_pet(headers)
    require_attenuation_corrected(headers)
    _require_rescale(headers)
    unit = stored_unit(headers)
    try:
        found = RULES[unit.name](headers)
    except OverflowError as error:
        raise refused(
            Code.SUV_TIMES,
            "The dates and times of the series lie outside of the calendar.",
            element("SeriesDate", "AcquisitionTime", "RadiopharmaceuticalStartDateTime"),
            "Export the original series from the scanner.",
        ) from error
    factors = found.factors * unit.per_rescaled
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise refused(
            Code.SUV_SCALE_FACTOR, "The header leads to an impossible SUV factor.", "", "Export the original series."
        )
    tracer = tracer_of(headers[0])
    report = SuvReport(
        units=unit.written,
        suv_type=found.suv_type,
        factor=_reported_factor(factors, found.suv_type),
        path=", ".join(part for part in (unit.name, found.path) if part),
        tracer=tracer.name,
        manufacturer=text(headers[0], "Manufacturer"),
    )
    return SuvScale(factors, report, found.notices + tracer_notices(tracer))


def _require_possible(suv: NDArray[np.float32]) -> None:
    """Refuse values that prove the scale wrong; an image of zeros is left to those who ask for something to see."""
    peak = float(np.fmax.reduce(suv, axis=None))  # NaN, as some scanners pad, tells nothing of the scale
    if max(peak, -float(np.fmin.reduce(suv, axis=None))) <= LARGEST_SUV and not 0 < peak < SMALLEST_PEAK_SUV:
        return
    raise refused(
        Code.SUV_SCALE_FACTOR,
        "The header leads to SUVs that no patient can have.",
        element("RescaleSlope"),
        "Export the original series from the scanner; a later tool may have rescaled this one.",
    )


def _require_rescale(headers: Headers) -> None:
    for header in headers:
        slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
        if slope is None or slope <= 0:
            raise refused(
                Code.SUV_SCALE_FACTOR,
                "A slice has no positive Rescale Slope.",
                element("RescaleSlope"),
                "Export the original series from the scanner.",
            )
        if intercept is None or intercept != 0:
            # PS3.3 section C.8.9.4 demands 0; anything else moves the zero of SUV and means that a tool rewrote it.
            raise refused(
                Code.SUV_SCALE_FACTOR,
                "A slice has no Rescale Intercept of 0, which DICOM demands of PET.",
                element("RescaleIntercept"),
                "Export the original series from the scanner; a later tool has rescaled this one.",
            )


def _reported_factor(factors: NDArray[np.float64], suv_type: str) -> float | None:
    if suv_type == "BW" or not np.allclose(factors, factors[0], rtol=1e-9, atol=0.0):
        return None
    return float(factors[0])
