"""The flow chart, the PET's age, what training needs, and how the check reads on a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from cohort_files import good_rows, write_cohort
from hypothesis import given
from hypothesis import strategies as st

from PRRTPredictorCore.cohort.eligibility import CRITERIA, first_failed, interval_notices, pet_interval
from PRRTPredictorCore.cohort.table import check_cohort, read_cohort, require_trainable
from PRRTPredictorCore.cohort.text import check_to_json, format_check
from PRRTPredictorCore.errors import Code, CohortRefused
from PRRTPredictorCore.records import CohortPatient, Labs, Outcome, SeriesSource

START = date(2020, 2, 3)


@pytest.fixture(autouse=True)
def config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRRT_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))


def patient(number: int, days: int | None) -> CohortPatient:
    return CohortPatient(
        code=f"P-{number}",
        row=number + 2,
        pet=SeriesSource(),
        ct=SeriesSource(),
        labs=Labs(28, 25, 61, 419),
        outcome=Outcome(12.5, True, True),
        prrt_start=START,
        pet_date=None if days is None else START - timedelta(days),
    )


def test_each_patient_counts_at_the_first_criterion_that_fails(tmp_path: Path) -> None:
    fine = {"metastatic_progressive": "yes", "sstr_expression": "yes", "prior_prrt": "no", "records_complete": "yes"}
    rows = [{**row, **fine} for row in good_rows(9, 3)]
    rows[0] |= {"metastatic_progressive": "no", "prior_prrt": "yes", "event": "0"}
    rows[1] |= {"sstr_expression": "No", "records_complete": "no"}
    rows[2] |= {"prior_prrt": "1"}
    rows[3] |= {"prior_prrt": "yes", "ast": "", "pet": "nowhere"}  # excluded, so its gaps do not matter
    rows[4] |= {"records_complete": "no", "event": ""}
    rows[5] |= {"event": "0", "progression_date": "", "pfs_months": ""}
    rows[6] |= {"event": "0"}
    chart = check_cohort(write_cohort(tmp_path, rows)).exclusions
    assert [(one.criterion, one.n) for one in chart.excluded] == [
        ("metastatic_progressive", 1),
        ("sstr_expression", 1),
        ("prior_prrt", 2),
        ("records_complete", 1),
        ("event", 2),
    ]
    assert (chart.screened, chart.refused, chart.included) == (9, 0, 2)


@given(st.fixed_dictionaries({one.column: st.sampled_from(["yes", "no", "unknown"]) for one in CRITERIA}))
def test_the_order_of_the_criteria_decides(answers: dict[str, str]) -> None:
    failed = first_failed(answers)  # type: ignore[arg-type]
    columns = [one.column for one in CRITERIA]
    before = columns[: columns.index(failed.column)] if failed else columns
    opposite = {"yes": "no", "no": "yes"}
    assert all(answers[one.column] != opposite[one.eligible] for one in CRITERIA if one.column in before)


def test_eligibility_that_is_not_told_is_noticed(tmp_path: Path) -> None:
    rows = [{**row, "prior_prrt": "no"} for row in good_rows(3, 1)]
    rows[1] |= {"prior_prrt": ""}
    told = [
        one.message for one in read_cohort(write_cohort(tmp_path, rows)).notices if one.code == "ELIGIBILITY_UNKNOWN"
    ]
    assert len(told) == 2
    assert "metastatic_progressive, sstr_expression, records_complete" in told[0]
    assert told[1].startswith("1 patients")


def test_undated_labs_are_noticed(tmp_path: Path) -> None:
    rows = good_rows(3, 1)
    rows[0] |= {"labs_date": ""}
    rows[1] |= {"prrt_start": "", "progression_date": "", "pfs_months": "20"}
    notices = {one.code: one.message for one in read_cohort(write_cohort(tmp_path, rows)).notices}
    assert notices["LAB_DATE_UNKNOWN"].startswith("2 of 3")


def test_the_papers_interval_in_its_own_words() -> None:
    interval = pet_interval([patient(number, days) for number, days in enumerate((5, 15, 16, 36, 59, 60, 130))])
    assert (interval.median_days, interval.q1_days, interval.q3_days, interval.iqr_days) == (36, 15.5, 59.5, 44)
    assert (interval.known, interval.unknown, interval.long_intervals) == (7, 0, 1)


def test_unknown_intervals_are_counted() -> None:
    interval = pet_interval([patient(0, 10), patient(1, None), replace(patient(2, 10), prrt_start=None)])
    assert (interval.known, interval.unknown, interval.median_days) == (1, 2, 10)
    assert pet_interval([]).iqr_days is None


def test_a_pet_older_than_120_days_is_noticed() -> None:
    patients = [patient(0, 120), patient(1, 121), patient(2, 0), patient(3, None)]
    assert pet_interval(patients).long_intervals == 1
    notices = interval_notices(patients)
    assert [one.code for one in notices] == ["PET_INTERVAL", "PET_INTERVAL"]
    assert "1 of 4" in notices[0].message
    assert "row 3: PET 121 days" in notices[1].message


def test_fewer_patients_than_folds(tmp_path: Path) -> None:
    cohort = read_cohort(write_cohort(tmp_path, good_rows(6, 2)))
    require_trainable(cohort, 2)
    with pytest.raises(CohortRefused, match="2 patients with short and 4 with long") as caught:
        require_trainable(cohort, 3)
    assert caught.value.code is Code.TOO_FEW_PATIENTS
    with pytest.raises(CohortRefused) as caught:
        require_trainable(replace(cohort, patients=cohort.patients[2:]), 3)
    assert caught.value.code is Code.ONE_CLASS
    with pytest.raises(CohortRefused) as caught:
        require_trainable(replace(cohort, patients=()), 3)
    assert caught.value.code is Code.TOO_FEW_PATIENTS


def test_the_check_on_a_terminal(tmp_path: Path) -> None:
    rows = [{**row, "pet_date": "2020-01-06", "prior_prrt": "no"} for row in good_rows(6, 2)]
    rows[0] |= {"ast": "0.5"}
    rows[3] |= {"prior_prrt": "yes"}
    cohort = check_cohort(write_cohort(tmp_path, rows))
    text = format_check(cohort)
    assert max(map(len, text.splitlines())) <= 100
    for part in (
        "1 violation in 1 row",
        "row 2  ast  LAB_IMPLAUSIBLE",
        "excluded: PRRT before",
        "median 28 days (IQR 0; Q1 28 – Q3 28) in 4 patients",
        "PFS ≤ 1 year",
    ):
        assert part in text
    told = check_to_json(cohort)
    assert told["eligibility"]["screened"] == 6
    assert told["violations"][0]["code"] == "LAB_IMPLAUSIBLE"
    assert (told["short_pfs"], told["long_pfs"]) == (1, 3)
