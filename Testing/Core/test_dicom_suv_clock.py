"""Dates and times as headers write them."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone

import pytest
from suv_headers import headers

from PRRTPredictorCore.dicom.suv_clock import acquisition_moments, parse_date_time, parse_time, scanner_zone


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1015", time(10, 15)),
        ("101530", time(10, 15, 30)),
        (" 101530.5 ", time(10, 15, 30, 500_000)),
        ("101530.000007", time(10, 15, 30, 7)),
        ("10:15:30", time(10, 15, 30)),
        ("235960", time(23, 59, 59)),
        ("101500", time(10, 15)),
        ("240000", None),
        ("106000", None),
        ("10", None),
        ("", None),
    ],
)
def test_times_as_dicom_writes_them(written: str, expected: time | None) -> None:
    assert parse_time(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("202501311015", datetime(2025, 1, 31, 10, 15)),
        ("20251231101530.25", datetime(2025, 12, 31, 10, 15, 30, 250_000)),
        ("20250131101530+0530", datetime(2025, 1, 31, 10, 15, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        ("20250131101530-0345", datetime(2025, 1, 31, 10, 15, 30, tzinfo=timezone(-timedelta(hours=3, minutes=45)))),
        ("20250131101530+1400", datetime(2025, 1, 31, 10, 15, 30, tzinfo=timezone(timedelta(hours=14)))),
        ("20250131101530+1401", datetime(2025, 1, 31, 10, 15, 30)),
        ("20250230101530", None),
        ("20250131251530", None),
        ("20250131", None),
    ],
)
def test_date_times_as_dicom_writes_them(written: str, expected: datetime | None) -> None:
    assert parse_date_time(written) == expected


def test_the_scanners_zone() -> None:
    assert scanner_zone(headers()) is None
    assert scanner_zone(headers(TimezoneOffsetFromUTC="+0230")) == timezone(timedelta(hours=2, minutes=30))
    assert scanner_zone(headers(TimezoneOffsetFromUTC="-0100")) == timezone(-timedelta(hours=1))
    assert scanner_zone(headers(TimezoneOffsetFromUTC="+1500")) is None


def test_when_a_slice_was_acquired() -> None:
    def moment(**changes: object) -> datetime | None:
        (found,) = acquisition_moments(headers(1, **changes))
        return found

    assert moment() == datetime(2025, 1, 1, 11)
    assert moment(AcquisitionDate="20250102") == datetime(2025, 1, 2, 11)
    assert moment(AcquisitionTime=None) is None
    by_date_time = {"AcquisitionTime": None, "AcquisitionDateTime": "20250103101500+0000"}
    assert moment(**by_date_time) == datetime(2025, 1, 3, 10, 15)
    assert moment(**by_date_time, TimezoneOffsetFromUTC="+0200") == datetime(2025, 1, 3, 12, 15)
    assert moment(AcquisitionDate=None, SeriesDate="20250105") == datetime(2025, 1, 5, 11)
    assert moment(AcquisitionDate=None, SeriesDate=None) == datetime(2025, 1, 1, 11)
    assert moment(AcquisitionDate=None, SeriesDate=None, StudyDate=None) is None
    undated = {"AcquisitionDate": None, "AcquisitionTime": "001500"}
    assert moment(**undated, SeriesTime=None) == datetime(2025, 1, 1, 0, 15)
    assert moment(**undated, SeriesTime="121500") == datetime(2025, 1, 1, 0, 15)
    assert moment(**undated, SeriesTime="121501") == datetime(2025, 1, 2, 0, 15)
