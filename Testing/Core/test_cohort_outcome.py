"""Short and long PFS: the calendar year, months, censoring, contradictions."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PRRTPredictorCore.cohort.outcome import months_between, one_year_after, outcome_of
from PRRTPredictorCore.errors import Code, CohortRefused

START = date(2020, 2, 3)


def refused(*arguments: object) -> str:
    with pytest.raises(CohortRefused) as caught:
        outcome_of(*arguments)  # type: ignore[arg-type]
    assert caught.value.code is Code.COHORT_OUTCOME
    return str(caught.value)


@pytest.mark.parametrize(
    ("start", "progression", "long_pfs"),
    [
        (date(2020, 2, 3), date(2021, 2, 3), False),  # 366 days, yet one calendar year
        (date(2020, 2, 3), date(2021, 2, 4), True),
        (date(2021, 2, 3), date(2022, 2, 3), False),
        (date(2021, 2, 3), date(2022, 2, 4), True),
        (date(2020, 2, 29), date(2021, 2, 28), False),
        (date(2020, 2, 29), date(2021, 3, 1), True),
        (date(2019, 3, 1), date(2020, 2, 29), False),
        (date(2020, 2, 3), date(2020, 2, 3), False),
    ],
)
def test_a_year_is_a_calendar_year(start: date, progression: date, long_pfs: bool) -> None:
    assert outcome_of(start, progression, None, True).long_pfs is long_pfs


@pytest.mark.parametrize(("months", "long_pfs"), [(12.0, False), (12.01, True), (0.0, False), (26.7, True)])
def test_months_alone(months: float, long_pfs: bool) -> None:
    outcome = outcome_of(None, None, months, True)
    assert (outcome.pfs_months, outcome.long_pfs, outcome.event) == (months, long_pfs, True)
    assert outcome_of(START, None, months, True) == outcome


def test_months_come_from_days() -> None:
    assert outcome_of(START, START + timedelta(1461), None, True).pfs_months == pytest.approx(48)
    assert months_between(START, START + timedelta(365)) == pytest.approx(11.9918, abs=1e-4)


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)), st.integers(0, 8000))
def test_long_means_after_the_year_is_over(start: date, days: int) -> None:
    outcome = outcome_of(start, start + timedelta(days), None, True)
    assert outcome.long_pfs == (start + timedelta(days) > one_year_after(start))
    if days <= 364:
        assert not outcome.long_pfs
    if days >= 367:
        assert outcome.long_pfs


def test_dates_win_where_both_agree_within_a_month() -> None:
    outcome = outcome_of(START, date(2021, 2, 10), 12.0, True)
    assert outcome.long_pfs
    assert outcome.pfs_months == pytest.approx(12.25, abs=0.01)


def test_contradictions() -> None:
    assert "pfs_months says 7" in refused(START, date(2021, 2, 10), 7.0, True)
    assert "3 days before" in refused(START, START - timedelta(3), None, True)
    refused(START, date(2090, 1, 1), None, True)


def test_a_month_apart_is_the_limit() -> None:
    end = START + timedelta(1461)
    assert outcome_of(START, end, 47.01, True).long_pfs
    refused(START, end, 46.99, True)


@pytest.mark.parametrize("months", [-0.1, math.nan, math.inf, 481])
def test_impossible_durations(months: float) -> None:
    refused(None, None, months, True)


def test_an_event_without_a_time_is_refused() -> None:
    refused(START, None, None, True)
    assert "first cycle is missing" in refused(None, date(2021, 1, 1), None, True)


def test_censored_patients_need_no_follow_up() -> None:
    assert math.isnan(outcome_of(START, None, None, False).pfs_months)
    followed = outcome_of(START, START + timedelta(1461), None, False)
    assert not followed.event
    assert followed.pfs_months == pytest.approx(48)
