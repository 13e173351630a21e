"""``cohort.csv`` in; checked patients under study codes, the flow chart and every violation out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import Code, CohortRefused
from ..records import Cohort, CohortPatient, Notice, Violation
from .eligibility import (
    CRITERIA,
    flow_chart,
    has_both_classes,
    interval_notices,
    pet_interval,
    require_both_classes,
    require_trainable,
)
from .extras import extra_columns, require_extras
from .labs import lab_notices
from .rows import CheckedRow, check_row
from .sheet import ELIGIBILITY_COLUMNS, Row, Sheet, missing_column_violation, read_sheet

__all__ = ["check_cohort", "read_cohort", "require_extras", "require_trainable"]

_NAMED_IN_AN_ERROR = 3


def check_cohort(csv: Path) -> Cohort:
    """Check every row against every rule.

    Parameters
    ----------
    csv : Path
        Cells separated by commas, semicolons or tabs; columns as Resources/cohort.md explains them.

    Returns
    -------
    Cohort
        With all violations; ``patients`` holds the eligible rows that have none. Rows that the eligibility criteria
        exclude are counted, not checked further.

    Raises
    ------
    CohortRefused
        PATH_MISSING or COHORT_COLUMNS: the file is not there or no such table at all.
    """
    sheet = read_sheet(Path(csv))
    checked = [check_row(row, sheet) for row in sheet.rows]
    doubles = _doubles(sheet.rows, checked)
    missing = [missing_column_violation(column, sheet.header_line) for column in sheet.missing_columns]
    in_rows = [
        violation
        for one in checked
        for violation in one.violations
        if violation.column not in sheet.missing_columns  # said once, for the whole column
    ]
    broken_rows = {double.row for double in doubles}
    # A row is counted once: refused before excluded, excluded before included.
    fit = [
        one for row, one in zip(sheet.rows, checked, strict=True) if not one.violations and row.line not in broken_rows
    ]
    patients = tuple(one.patient for one in fit if one.patient is not None)
    excluded = [one.failed for one in fit if one.failed is not None]
    return Cohort(
        patients=patients,
        exclusions=flow_chart(excluded, len(checked) - len(fit) + sheet.broken_lines, len(patients)),
        violations=tuple(sorted([*missing, *sheet.violations, *in_rows, *doubles], key=lambda one: one.row)),
        pet_interval=pet_interval(patients),
        notices=_notices(sheet, patients),
        extra_columns=extra_columns(sheet.columns),
    )


def read_cohort(csv: Path) -> Cohort:
    """The cohort, fit for training or evaluation.

    Raises
    ------
    CohortRefused
        As :func:`check_cohort`; the violation's own code where there is one violation, COHORT_REFUSED where there are
        more; TOO_FEW_PATIENTS where nobody is left; ONE_CLASS.
    """
    csv = Path(csv)
    cohort = check_cohort(csv)
    if cohort.violations:
        raise _refusal(cohort.violations, csv.name)
    require_both_classes(cohort.patients, csv.name)
    return cohort


def place(violation: Violation) -> str:
    """ "row 5, column ast" in an error's or a list's words."""
    return f"row {violation.row}" + (f", column {violation.column}" if violation.column else "")


def _refusal(violations: Sequence[Violation], name: str) -> CohortRefused:
    first = violations[0]
    if len(violations) == 1:
        return CohortRefused(first.code, first.message, where=f"{name}, {place(first)}", remedy=first.remedy)
    named = "; ".join(f"{place(one)}: {one.code.value}" for one in violations[:_NAMED_IN_AN_ERROR])
    more = len(violations) - _NAMED_IN_AN_ERROR
    rows = len({violation.row for violation in violations})
    return CohortRefused(
        Code.COHORT_REFUSED,
        f"{len(violations)} violations in {rows} row{'s' if rows > 1 else ''}: {named}"
        + (f"; and {more} more." if more > 0 else "."),
        where=name,
        remedy="`prrt cohort check` lists every one of them with its remedy.",
    )


@dataclass(frozen=True)
class _Key:
    """What may occur in one row only."""

    column: str
    title: str
    value: object


T = TypeVar("T")


def _doubles(rows: Sequence[Row], checked: Sequence[CheckedRow]) -> list[Violation]:
    """Rows whose patient, PET or CT has been seen in an earlier row."""
    seen: dict[tuple[str, object], int] = {}
    doubles = []
    for row, one in zip(rows, checked, strict=True):
        keys = [_Key("patient", "patient", row.code)] if row.code else []
        if one.patient is not None:
            keys += [_Key("pet", "PET series", one.patient.pet), _Key("ct", "CT series", one.patient.ct)]
            keys += [_Key("organs", "organ labels", one.patient.organs)] if one.patient.organs else []
        for key in keys:
            first = seen.setdefault((key.column, key.value), row.line)
            if first != row.line:
                message = f"Rows {first} and {row.line} name the same {key.title}."
                remedy = "Keep one of the two rows: a patient in two folds would be trained on and tested on at once."
                doubles.append(Violation(row.line, key.column, Code.COHORT_DUPLICATE, message, remedy))
                break  # the same patient with the same images is one finding
    return doubles


def _notices(sheet: Sheet, patients: Sequence[CohortPatient]) -> tuple[Notice, ...]:
    notices = []
    made = _count(patients, lambda patient: patient.synthetic)
    if made:
        notices.append(Notice("SYNTHETIC", f"{made} of {len(patients)} patients are made, not real."))
    if patients and not has_both_classes(patients):
        notices.append(Notice("ONE_CLASS", "All patients have the same outcome; no model can be trained."))
    notices += _unproved(sheet, patients)
    notices += interval_notices(patients)
    notices += [
        Notice(lab.code, f"row {patient.row}: {lab.message}")
        for patient in patients
        for lab in lab_notices(patient.labs)
    ]
    return tuple(notices)


def _unproved(sheet: Sheet, patients: Sequence[CohortPatient]) -> list[Notice]:
    """What the table leaves open, so that it was taken on trust."""
    notices = []
    absent = [column for column in ELIGIBILITY_COLUMNS if column not in sheet.columns]
    if absent:
        said = f"The table does not have {', '.join(absent)}: all patients were taken as eligible there."
        notices.append(Notice("ELIGIBILITY_UNKNOWN", said))
    asked = [one.column for one in CRITERIA if one.column in ELIGIBILITY_COLUMNS and one.column in sheet.columns]
    lines = {patient.row for patient in patients}
    blank = _count(sheet.rows, lambda row: row.line in lines and not all(row.cell(column) for column in asked))
    if blank:
        said = f"{blank} patients have an empty eligibility cell and were taken as eligible."
        notices.append(Notice("ELIGIBILITY_UNKNOWN", said))
    undated = _count(patients, lambda patient: patient.labs.sampled_on is None or patient.prrt_start is None)
    if undated:
        said = (
            f"{undated} of {len(patients)} patients lack labs_date or prrt_start: "
            "whether their blood was taken within 28 days before PRRT is not known."
        )
        notices.append(Notice("LAB_DATE_UNKNOWN", said))
    return notices


def _count(things: Sequence[T], holds: Callable[[T], bool]) -> int:
    return sum(map(holds, things))
