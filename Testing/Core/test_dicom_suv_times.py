"""Decay, the start of the scan and the injection, each limit on both of its sides."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pytest
from pydicom.dataset import Dataset
from suv_headers import (
    HALF_LIFE_S,
    START_FACTOR,
    T_AVE_S,
    UPTAKE_S,
    codes,
    each,
    enhanced,
    headers,
    message,
    private,
    uptake_of,
    with_private,
)

from PRRTPredictorCore.dicom.suv import suv_scale
from PRRTPredictorCore.dicom.suv_clock import frame_durations_s
from PRRTPredictorCore.dicom.suv_times import decay_during_frame, mean_activity_time_s, uptake_s
from PRRTPredictorCore.errors import SuvRefused

LATE = {"SeriesTime": "150000"}


# --- decay ------------------------------------------------------------------------------------------------------------


def test_decay_during_frames_too_short_to_matter() -> None:
    assert decay_during_frame(0.0, HALF_LIFE_S) == 1.0
    decays = 8e-10
    assert decay_during_frame(decays / math.log(2), 1.0) - 1.0 == pytest.approx(decays / 2, rel=1e-5)
    assert mean_activity_time_s(1e-3, 3e7) == pytest.approx(5e-4, rel=1e-9)
    assert mean_activity_time_s(0.0, HALF_LIFE_S) == 0.0


@pytest.mark.parametrize(
    ("correction", "corrected", "contradicts"),
    [
        ("START", ["ATTN", "DECY"], False),
        ("START", ["ATTN"], True),
        ("START", None, False),
        ("NONE", ["ATTN"], False),
        ("NONE", ["ATTN", "DECY"], True),
        ("NONE", None, False),
        ("ADMIN", ["ATTN"], True),
    ],
)
def test_corrected_image_may_contradict_decay_correction(
    correction: str, corrected: list[str] | None, contradicts: bool
) -> None:
    made = headers(1, DecayCorrection=correction, CorrectedImage=corrected, AttenuationCorrectionMethod="CT")
    assert ("DECAY_CORRECTION_CONTRADICTED" in codes(suv_scale(made))) == contradicts


@pytest.mark.parametrize("last", [["ATTN"], ["ATTN", ""]])
def test_a_single_slice_may_contradict_decay_correction(last: list[str]) -> None:
    made = headers()
    made[-1].CorrectedImage = last
    assert "DECAY_CORRECTION_CONTRADICTED" in codes(suv_scale(made))


@pytest.mark.parametrize(
    ("apart_ms", "acquired_apart_s", "fits"), [(5000, 0, True), (5004, 0, False), (9000, 5, False), (9000, 6, True)]
)
def test_beds_told_apart_by_frame_reference_time_alone(apart_ms: float, acquired_apart_s: int, fits: bool) -> None:
    def bed(item: Dataset, number: int) -> None:
        item.AcquisitionTime = f"1100{acquired_apart_s * (number // 2):02d}"
        item.FrameReferenceTime = 150000 + apart_ms * (number // 2)

    made = each(headers(DecayCorrection="NONE"), bed)
    if fits:
        assert suv_scale(made).factors.shape == (3,)
    else:
        assert "same acquisition time" in message(made)


def test_beds_of_which_one_has_no_frame_reference_time_are_not_compared() -> None:
    made = headers(DecayCorrection="NONE")
    made[0].FrameReferenceTime = 900000
    del made[2].FrameReferenceTime
    assert suv_scale(made).factors.shape == (3,)


def test_an_uncorrected_slice_without_acquisition_time_is_refused() -> None:
    made = headers(DecayCorrection="NONE")
    del made[1].AcquisitionTime
    assert "when it was acquired" in message(made)


@pytest.mark.parametrize("duration", [0, -1000])
def test_a_frame_that_took_no_time_is_refused(duration: int) -> None:
    assert "how long it was acquired" in message(headers(DecayCorrection="NONE", ActualFrameDuration=duration))


def test_frames_last_fractions_of_seconds_too() -> None:
    assert frame_durations_s(headers(2, ActualFrameDuration=1500)) == (1.5, 1.5)


def test_a_frame_of_half_a_millisecond_is_a_frame() -> None:
    scale = suv_scale(headers(DecayCorrection="NONE", ActualFrameDuration=0.5))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-7)


# --- the start of the scan --------------------------------------------------------------------------------------------


def test_series_time_may_lie_one_second_behind_the_first_acquisition() -> None:
    assert "from SeriesTime" in suv_scale(headers(SeriesTime="110001")).report.path
    later = headers(SeriesTime="110001.5", FrameReferenceTime=T_AVE_S * 1000)
    assert "FrameReferenceTime" in suv_scale(later).report.path


@pytest.mark.parametrize(
    ("series_time", "offset_s", "told"),
    [
        ("105500", None, False),
        ("105000", None, False),
        ("104959", None, True),
        ("104959", 0.0, True),
        ("104959", 601.0, False),
        ("104959", 606.0, False),
        ("104959", 606.5, True),
        ("104959", 595.5, True),
    ],
)
def test_a_start_long_before_the_first_acquisition_is_doubted_unless_the_slices_confirm_it(
    series_time: str, offset_s: float | None, told: bool
) -> None:
    reference_ms = None if offset_s is None else (offset_s + T_AVE_S) * 1000
    scale = suv_scale(headers(SeriesTime=series_time, FrameReferenceTime=reference_ms))
    assert ("REFERENCE_TIME_EARLY" in codes(scale)) == told
    assert scale.report.path.endswith("from SeriesTime")


def test_how_long_before_the_first_acquisition_is_told_in_minutes() -> None:
    notices = {notice.code: notice.message for notice in suv_scale(headers(SeriesTime="100910")).notices}
    assert "lies 51 minutes before" in notices["REFERENCE_TIME_EARLY"]


@pytest.mark.parametrize("day_digits", ["20241231", "20250102"])
def test_ge_scan_date_time_without_acquisition_time_must_be_of_the_same_day(day_digits: str) -> None:
    def made(on: str) -> tuple[Dataset, ...]:
        return with_private(
            headers(SeriesTime=None, AcquisitionTime=None), private(0x0009, 0x100D, f"{on}110000.00", "DT")
        )

    assert "cannot be found" in message(made(day_digits))
    assert uptake_of(suv_scale(made("20250101"))) == pytest.approx(UPTAKE_S, abs=1e-6)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("by_ge", [False, True])
def test_a_scan_over_midnight_begins_on_the_earlier_day_whichever_slice_comes_first(first: int, by_ge: bool) -> None:
    injected = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20250101225000"}
    made = headers(SeriesTime="235000", SeriesDate=None, AcquisitionTime=None, injected=injected)
    for number, item in enumerate(made):
        item.AcquisitionDate = "20250101" if number == first else "20250102"
        if by_ge:
            del item.SeriesTime
            private(0x0009, 0x100D, "20250101235000.00", "DT")(item)
    assert uptake_of(suv_scale(made)) == pytest.approx(UPTAKE_S, abs=1e-5)


@pytest.mark.parametrize("gone", ["FrameReferenceTime", "AcquisitionTime"])
def test_a_start_that_one_slice_does_not_tell_cannot_be_found(gone: str) -> None:
    made = headers(SeriesTime=None, FrameReferenceTime=T_AVE_S * 1000)
    delattr(made[1], gone)
    assert "cannot be found" in message(made)


def test_frame_reference_time_of_zero_is_a_time() -> None:
    """Frames of 8 s: the activity equals its mean 4 s after the start, to which offset 0 then points."""
    made = headers(SeriesTime=None, FrameReferenceTime=0, ActualFrameDuration=8000)
    assert uptake_of(suv_scale(made)) == pytest.approx(UPTAKE_S + mean_activity_time_s(8.0, HALF_LIFE_S), abs=1e-5)


@pytest.mark.parametrize(("apart_ms", "fits"), [(4000, True), (5000, True), (5001, False)])
def test_starts_may_spread_over_five_seconds_and_the_middle_is_taken(apart_ms: int, fits: bool) -> None:
    made = headers(**LATE)
    made[1].FrameReferenceTime = 150000 + apart_ms
    if fits:
        expected = UPTAKE_S + T_AVE_S - 150.0 - apart_ms / 2000
        assert uptake_of(suv_scale(made)) == pytest.approx(expected, abs=1e-5)
    else:
        assert "differ by 5 s" in message(made)


@pytest.mark.parametrize(("behind_s", "fits"), [(4.9, True), (5.0, True), (5.1, False)])
def test_the_start_may_lie_five_seconds_behind_the_first_slice(behind_s: float, fits: bool) -> None:
    made = headers(**LATE, FrameReferenceTime=(T_AVE_S - behind_s) * 1000)
    if fits:
        assert uptake_of(suv_scale(made)) == pytest.approx(UPTAKE_S + behind_s, abs=1e-5)
    else:
        assert "after the first of them" in message(made)


# --- the injection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "moment", "agree"),
    [
        ("100059", "20250101100000", True),
        ("100100", "20250101100000", False),
        ("095901", "20250101100000", True),
        ("095900", "20250101100000", False),
        ("235930", "20250101000029", True),
        ("235930", "20250101000030", False),
    ],
)
def test_two_times_of_injection_agree_within_a_minute_over_midnight_too(clock: str, moment: str, agree: bool) -> None:
    injected = {"RadiopharmaceuticalStartTime": clock, "RadiopharmaceuticalStartDateTime": moment}
    made = headers(injected=injected)
    if agree:
        started = datetime.strptime(moment, "%Y%m%d%H%M%S")
        expected = (datetime(2025, 1, 1, 11) - started).total_seconds()
        assert uptake_of(suv_scale(made)) == pytest.approx(expected, abs=1e-5)
    else:
        assert "two different times" in message(made)


@pytest.mark.parametrize(
    ("clock", "uptake_h"), [("110000", 0), ("120000", 23), ("233000", 11.5), ("230000", 12), ("225959", None)]
)
def test_an_undated_injection_is_of_the_day_or_the_evening_before(clock: str, uptake_h: float | None) -> None:
    injected = {"RadiopharmaceuticalStartTime": clock, "RadiopharmaceuticalStartDateTime": None}
    made = headers(SeriesTime="110000", AcquisitionTime="110000", injected=injected)
    if uptake_h is None or uptake_h == 23:
        assert "later than the scan" in message(made)
    else:
        assert uptake_of(suv_scale(made)) == pytest.approx(uptake_h * 3600, abs=1e-4)


def test_uptake_from_nothing_to_ten_half_lives() -> None:
    scan = datetime(2025, 1, 1, 11)
    assert uptake_s(scan, scan, 6000.0) == 0
    assert uptake_s(scan - timedelta(seconds=60_000), scan, 6000.0) == 60_000
    with pytest.raises(SuvRefused, match="after the scan"):
        uptake_s(scan + timedelta(milliseconds=500), scan, 6000.0)
    with pytest.raises(SuvRefused, match="12 half-lives"):
        uptake_s(scan - timedelta(seconds=69_600), scan, 6000.0)
    with pytest.raises(SuvRefused, match="10 half-lives"):
        uptake_s(scan - timedelta(seconds=60_001), scan, 6000.0)


def test_offsets_from_utc_on_both_sides_cancel() -> None:
    def made(moment: str, injected: str, clock: str | None) -> tuple[Dataset, ...]:
        found = enhanced(DecayCorrectionDateTime=moment)
        for item in found:
            told = item.RadiopharmaceuticalInformationSequence[0]
            told.RadiopharmaceuticalStartDateTime = injected
            told.RadiopharmaceuticalStartTime = clock
        return found

    expected = 70_000 / 1.5e8 * 2 ** (3600 / 4062.6)
    both = made("20200102090000+0000", "20200102100000+0200", "100000")
    np.testing.assert_allclose(suv_scale(both).factors, expected, rtol=1e-12)
    undated = made("20200102110000+0200", "", "100000")
    np.testing.assert_allclose(suv_scale(undated).factors, expected, rtol=1e-12)
    one_sided = made("20200102110000+0200", "20200102100000", "100000")
    assert "with and without an offset" in message(one_sided)
    unexplained = made("20200102110000", "20200102080000+0000", "")
    assert "with and without an offset" in message(unexplained)
