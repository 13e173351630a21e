"""When the tracer was injected, and to which moment the image was decay-corrected.

Sources: DICOM PS3.3 sections C.8.9.1 and C.8.9.4; the vendor-neutral pseudo-code of QIBA (SUV, 2012); T_ave: the
moment in a frame at which the activity equals the frame's mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ..errors import Code, SuvRefused
from ..records import Notice
from .suv_clock import (
    LONGEST_NIGHT_S,
    acquisition_moments,
    frame_durations_s,
    local,
    parse_date_time,
    parse_time,
    scanner_zone,
)
from .suv_private import GE_SCAN_DATETIME, private_text
from .suv_values import Headers, element, refused, shared, shared_text
from .values import day, number

CLOCK_TOLERANCE_S = 1.0
"""Times are written with or without fractions of a second."""
AGREEMENT_TOLERANCE_S = 5.0
"""Largest spread of the start times computed back from the slices; 0.1 % of SUV for Ga-68."""
LONGEST_PREPARATION_S = 600.0
"""A scan's start that lies longer before its first acquisition is doubted: 10 % of SUV for Ga-68."""
LONGEST_UPTAKE_HALF_LIVES = 10.0


@dataclass(frozen=True)
class Reference:
    """The moment to which a series was decay-corrected.

    Attributes
    ----------
    moment : datetime
        Local time of the scanner; with an offset from UTC only where the header tells it that way.
    source : str
        Where it comes from, in words.
    """

    moment: datetime
    source: str
    notices: tuple[Notice, ...] = ()


# --- decay ------------------------------------------------------------------------------------------------------------


def decay_during_frame(duration_s: float, half_life_s: float) -> float:
    """λT / (1 - exp(-λT)): activity at the frame's start over its mean; 1 for a short frame, larger for a long one."""
    decays = math.log(2.0) * duration_s / half_life_s
    return decays / -math.expm1(-decays) if decays > 1e-9 else 1.0 + decays / 2.0


def mean_activity_time_s(duration_s: float, half_life_s: float) -> float:
    """T_ave = ln(λT / (1 - exp(-λT))) / λ: seconds from the frame's start at which the activity equals its mean."""
    if duration_s < 1e-6 * half_life_s:
        return duration_s / 2.0
    return math.log(decay_during_frame(duration_s, half_life_s)) * half_life_s / math.log(2.0)


# --- the reference time -----------------------------------------------------------------------------------------------


def start_of_scan(headers: Headers, half_life_s: float) -> Reference:
    """Find the moment that Decay Correction START means.

    Series Date and Time, unless later than the earliest acquisition (then post-processing rewrote them); then GE's
    scan date-time (0009,100D), where its date is the acquisition's (de-identification shifts private dates otherwise
    than public ones); then computed back from each slice: acquisition + T_ave - Frame Reference Time.

    Raises
    ------
    SuvRefused
        SUV_TIMES where none of them holds.
    """
    acquired = [moment for moment in acquisition_moments(headers) if moment is not None]
    earliest = min(acquired, default=None)
    series = _series_moment(headers)
    if series is not None and not _is_later(series, earliest):
        return Reference(series, "SeriesTime", _doubts(headers, series, earliest, half_life_s))
    ge_scan = _ge_scan_moment(headers)
    if ge_scan is not None and not _is_later(ge_scan, earliest):
        same_day = earliest.date() if earliest else _first_day(headers, "AcquisitionDate", "SeriesDate")
        if ge_scan.date() == same_day:
            return Reference(ge_scan, "GE scan date-time (0009,100D)")
    return Reference(_computed_back(headers, half_life_s), "AcquisitionTime and FrameReferenceTime")


def decay_correction_moment(headers: Headers) -> Reference:
    """Decay Correction DateTime (0018,9701) of enhanced PET (PS3.3 section C.8.22.4).

    Raises
    ------
    SuvRefused
        SUV_TIMES where it is absent.
    """
    written = shared_text(headers, "DecayCorrectionDateTime", Code.SUV_TIMES)
    moment = parse_date_time(written)
    if moment is None:
        raise refused(
            Code.SUV_TIMES,
            "The image is decay-corrected, but the header does not tell to which moment.",
            element("DecayCorrectionDateTime"),
            "Export the original series from the scanner.",
        )
    return Reference(local(moment, scanner_zone(headers)), "DecayCorrectionDateTime")


def _series_moment(headers: Headers) -> datetime | None:
    clock = parse_time(shared_text(headers, "SeriesTime", Code.SUV_TIMES))
    shared_text(headers, "SeriesDate", Code.SUV_TIMES)
    started = day(headers[0], "SeriesDate") or _first_day(headers, "AcquisitionDate", "StudyDate")
    return datetime.combine(started, clock) if clock and started else None


def _first_day(headers: Headers, *keywords: str) -> date | None:
    """The earliest day of the slices: a scan over midnight need not begin with the slice that comes first."""
    return min((found for header in headers if (found := day(header, *keywords))), default=None)


def _ge_scan_moment(headers: Headers) -> datetime | None:
    written = shared(
        headers, lambda header: private_text(header, GE_SCAN_DATETIME), Code.SUV_TIMES, "GE scan date-time (0009,100D)"
    )
    moment = parse_date_time(written)
    return None if moment is None else local(moment, scanner_zone(headers)).replace(tzinfo=None)


def _is_later(moment: datetime, earliest: datetime | None) -> bool:
    return earliest is not None and (moment - earliest).total_seconds() > CLOCK_TOLERANCE_S


def _doubts(headers: Headers, series: datetime, earliest: datetime | None, half_life_s: float) -> tuple[Notice, ...]:
    """Say where SeriesTime may not be the scan's start."""
    if earliest is None:
        message = "The slices carry no acquisition time, by which SeriesTime could be checked to be the scan's start."
        return (Notice("REFERENCE_TIME_UNVERIFIED", message),)
    before_s = (earliest - series).total_seconds()
    if before_s <= LONGEST_PREPARATION_S or _is_confirmed(headers, series, half_life_s):
        return ()
    message = f"SeriesTime, taken for the scan's start, lies {before_s / 60:.0f} minutes before the first acquisition."
    return (Notice("REFERENCE_TIME_EARLY", message),)


def _is_confirmed(headers: Headers, series: datetime, half_life_s: float) -> bool:
    """Whether the slices' own offsets lead back to SeriesTime, as in the late part of a scan from injection on."""
    try:
        computed = _computed_back(headers, half_life_s)
    except SuvRefused:
        return False
    return abs((computed - series).total_seconds()) <= AGREEMENT_TOLERANCE_S


def _computed_back(headers: Headers, half_life_s: float) -> datetime:
    acquired = acquisition_moments(headers)
    offsets = [number(header, "FrameReferenceTime") for header in headers]
    known = [moment for moment in acquired if moment is not None]
    if len(known) < len(headers) or None in offsets:
        raise refused(
            Code.SUV_TIMES,
            "The start of the scan, to which the image was decay-corrected, cannot be found in the header.",
            element("SeriesTime", "AcquisitionTime", "FrameReferenceTime"),
            "Export the original series from the scanner; de-identification must keep these times.",
        )
    starts = [
        moment + timedelta(seconds=mean_activity_time_s(duration, half_life_s) - (offset or 0.0) / 1000.0)
        for moment, duration, offset in zip(known, frame_durations_s(headers), offsets, strict=True)
    ]
    spread = (max(starts) - min(starts)).total_seconds()
    if spread > AGREEMENT_TOLERANCE_S:
        raise refused(
            Code.SUV_TIMES,
            f"SeriesTime is no start of scan, and the starts computed from the slices differ by {spread:.0f} s.",
            element("SeriesTime", "AcquisitionTime", "FrameReferenceTime"),
            "Export the original series from the scanner instead of a post-processed one.",
        )
    middle = min(starts) + (max(starts) - min(starts)) / 2
    if (middle - min(known)).total_seconds() > AGREEMENT_TOLERANCE_S:
        raise refused(
            Code.SUV_TIMES,
            "SeriesTime is no start of scan, and the start computed from the slices lies after the first of them.",
            element("SeriesTime", "FrameReferenceTime"),
            "Export the original series from the scanner instead of a post-processed one.",
        )
    return middle


# --- the injection ----------------------------------------------------------------------------------------------------


def injection_moment(headers: Headers, told: Headers, reference: datetime) -> datetime:
    """When the tracer was injected.

    Radiopharmaceutical Start DateTime (0018,1078); without it Start Time (0018,1072), on the day of ``reference`` or
    in the evening before it.

    Parameters
    ----------
    told : sequence of Dataset
        The injection as each slice tells it.
    reference : datetime
        The scan's start or the moment of decay correction.

    Raises
    ------
    SuvRefused
        SUV_TIMES where absent, unreadable, or where the two contradict each other.
    """
    written = shared_text(told, "RadiopharmaceuticalStartDateTime", Code.SUV_TIMES)
    written_clock = shared_text(told, "RadiopharmaceuticalStartTime", Code.SUV_TIMES)
    moment, clock = parse_date_time(written), parse_time(written_clock)
    if moment is not None:
        return _dated_injection(local(moment, scanner_zone(headers)), moment, clock, reference)
    if clock is None:
        raise refused(
            Code.SUV_TIMES,
            "The time of injection cannot be read."
            if written or written_clock
            else "The time of injection is missing.",
            element("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"),
            "Enter the time of injection at the scanner's console and export again.",
        )
    return _undated_injection(clock, reference)


def _dated_injection(moment: datetime, written: datetime, clock: time | None, reference: datetime) -> datetime:
    agrees = clock is not None and _clocks_agree(clock, written.replace(tzinfo=None))
    if clock is not None and not agrees and not _clocks_agree(clock, moment.replace(tzinfo=None)):
        raise refused(
            Code.SUV_TIMES,
            "The header gives two different times of injection.",
            element("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"),
            "Find out which of the two is right and remove the other.",
        )
    if (moment.tzinfo is None) == (reference.tzinfo is None):
        return moment
    if moment.tzinfo is not None and agrees:
        # The offset from UTC stands beside the scanner's own clock time, as Start Time proves.
        return moment.replace(tzinfo=None)
    raise refused(
        Code.SUV_TIMES,
        "Injection and scan are told with and without an offset from UTC, and the scanner's time zone is unknown.",
        element("RadiopharmaceuticalStartDateTime", "TimezoneOffsetFromUTC"),
        "Export the series with its time zone, or with the injection in local time.",
    )


def _undated_injection(clock: time, reference: datetime) -> datetime:
    moment = datetime.combine(reference.date(), clock, tzinfo=reference.tzinfo)
    if moment <= reference:
        return moment
    moment -= timedelta(days=1)
    if (reference - moment).total_seconds() > LONGEST_NIGHT_S:
        raise refused(
            Code.SUV_TIMES,
            "The time of injection, told without date, is later than the scan.",
            element("RadiopharmaceuticalStartTime"),
            "Correct the time of injection, or give it with its date.",
        )
    return moment


def _clocks_agree(clock: time, moment: datetime) -> bool:
    apart = abs((datetime.combine(moment.date(), clock) - moment).total_seconds())
    return min(apart, 86400.0 - apart) < 60.0


def uptake_s(injection: datetime, reference: datetime, half_life_s: float) -> float:
    """Seconds from injection to the scan.

    Raises
    ------
    SuvRefused
        SUV_TIMES where the injection comes after the scan, or more than ten half-lives before it.
    """
    seconds = (reference - injection).total_seconds()
    if seconds < 0:
        raise refused(
            Code.SUV_TIMES,
            "The injection is dated after the scan.",
            element("RadiopharmaceuticalStartDateTime", "SeriesTime"),
            "Correct the times; de-identification must shift all dates of a series alike.",
        )
    if seconds > LONGEST_UPTAKE_HALF_LIVES * half_life_s:
        raise refused(
            Code.SUV_TIMES,
            f"The injection is dated {seconds / half_life_s:.0f} half-lives before the scan.",
            element("RadiopharmaceuticalStartDateTime", "SeriesTime", "RadionuclideHalfLife"),
            "Correct the times; de-identification must shift all dates of a series alike.",
        )
    return seconds
