"""Dates and times of a PET header: read, brought to the scanner's local time, None where they are none."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone

from pydicom.dataset import Dataset

from ..errors import Code
from .suv_values import Headers, element, refused, shared_text
from .values import day, number, text

LONGEST_NIGHT_S = 12 * 3600.0
"""A time without date is taken for the day before or after only where it then lies within this of its neighbour."""

_DATE_TIME = re.compile(r"(\d{8})(\d{4}(?:\d\d(?:\.\d{1,6})?)?)([+-]\d{4})?")
_TIME = re.compile(r"(\d\d):?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")


# --- reading ----------------------------------------------------------------------------------------------------------


def parse_time(written: str) -> time | None:
    """Read a TM value, to the minute at least; None where it is none."""
    match = _TIME.fullmatch(written.strip())
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    try:
        # A leap second is written as 60.
        return time(int(hour), int(minute), min(int(second or 0), 59), int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return None


def parse_date_time(written: str) -> datetime | None:
    """Read a DT value, to the minute at least, with its offset from UTC where it has one; None where it is none."""
    match = _DATE_TIME.fullmatch(written.strip())
    if match is None:
        return None
    day_digits, clock_digits, offset = match.groups()
    clock = parse_time(clock_digits)
    try:
        on = date(int(day_digits[:4]), int(day_digits[4:6]), int(day_digits[6:]))
    except ValueError:
        return None
    if clock is None:
        return None
    moment = datetime.combine(on, clock)
    return moment.replace(tzinfo=_zone(offset)) if offset else moment


def _zone(offset: str) -> timezone | None:
    match = _OFFSET.fullmatch(offset.strip())
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    shift = timedelta(hours=int(hours), minutes=int(minutes))
    if shift > timedelta(hours=14):
        return None
    return timezone(shift if sign == "+" else -shift)


def local(moment: datetime, zone: timezone | None) -> datetime:
    """Drop the offset from UTC where the scanner's zone is known; keep it where it is not."""
    if moment.tzinfo is None or zone is None:
        return moment
    return moment.astimezone(zone).replace(tzinfo=None)


def scanner_zone(headers: Headers) -> timezone | None:
    """Timezone Offset From UTC (0008,0201); None where it is absent."""
    return _zone(shared_text(headers, "TimezoneOffsetFromUTC", Code.SUV_TIMES))


# --- acquisition ------------------------------------------------------------------------------------------------------


def acquisition_moments(headers: Headers) -> tuple[datetime | None, ...]:
    """When each slice's acquisition began, in local time; None where the header does not tell.

    Acquisition Date (0008,0022) and Time (0008,0032), else Acquisition DateTime (0008,002A). A slice without date
    was acquired on the series' date, or in the night that followed it.
    """
    zone = scanner_zone(headers)
    moments: dict[int, datetime | None] = {}
    for header in headers:
        if id(header) not in moments:
            moments[id(header)] = _acquisition_moment(header, zone)
    return tuple(moments[id(header)] for header in headers)


def _acquisition_moment(header: Dataset, zone: timezone | None) -> datetime | None:
    clock = parse_time(text(header, "AcquisitionTime"))
    if clock is None:
        moment = parse_date_time(text(header, "AcquisitionDateTime"))
        return None if moment is None else local(moment, zone).replace(tzinfo=None)
    acquired = day(header, "AcquisitionDate")
    if acquired is not None:
        return datetime.combine(acquired, clock)
    started = day(header, "SeriesDate", "StudyDate")
    if started is None:
        return None
    moment = datetime.combine(started, clock)
    begun = parse_time(text(header, "SeriesTime"))
    if begun is not None and (datetime.combine(started, begun) - moment).total_seconds() > LONGEST_NIGHT_S:
        moment += timedelta(days=1)
    return moment


def frame_durations_s(headers: Headers) -> tuple[float, ...]:
    """How long each slice was acquired, from Actual Frame Duration (0018,1242).

    Raises
    ------
    SuvRefused
        SUV_TIMES where a slice does not tell.
    """
    found = []
    for header in headers:
        milliseconds = number(header, "ActualFrameDuration")
        if milliseconds is None or milliseconds <= 0:
            raise refused(
                Code.SUV_TIMES,
                "A slice does not tell how long it was acquired, which its decay correction needs.",
                element("ActualFrameDuration"),
                "Export the original series from the scanner.",
            )
        found.append(milliseconds / 1000.0)
    return tuple(found)
