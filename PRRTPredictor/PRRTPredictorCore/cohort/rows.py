"""One row of ``cohort.csv`` against every rule: a patient, an exclusion, or all that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from ..errors import Code, CohortRefused, InputRefused
from ..records import LABS, CohortPatient, Labs, Outcome, SeriesSource, Violation, YesNo
from .cells import is_missing, parse_date, parse_number, parse_yes_no
from .characteristics import characteristics_of
from .eligibility import CRITERIA, Criterion, first_failed
from .extras import extra_values
from .labs import check_sampling_date, lab_value
from .outcome import outcome_of
from .sheet import Row, Sheet
from .sources import locate_organs, locate_series

T = TypeVar("T")


@dataclass(frozen=True)
class CheckedRow:
    """What became of a row: one of ``patient`` and ``failed``, unless there are ``violations``."""

    patient: CohortPatient | None
    failed: Criterion | None
    violations: tuple[Violation, ...]


def check_row(row: Row, sheet: Sheet) -> CheckedRow:
    """Check one row; an excluded patient is not checked further."""
    check = _RowCheck(row, sheet)
    answers = check.eligibility()
    failed = None if check.violations else first_failed(answers)
    patient = check.patient() if failed is None else None
    if check.violations:
        patient = None
    return CheckedRow(patient, failed, tuple(check.violations))


class _RowCheck:
    """Collects the violations of one row while its cells are read."""

    def __init__(self, row: Row, sheet: Sheet) -> None:
        self.row = row
        self.sheet = sheet
        self.violations: list[Violation] = []

    def attempt(self, column: str, work: Callable[[], T], fallback: T) -> T:
        """Do ``work``; a refusal becomes a violation of ``column``."""
        try:
            return work()
        except InputRefused as refusal:
            self.refuse(column, refusal)
            return fallback

    def refuse(self, column: str, refusal: InputRefused) -> None:
        self.violations.append(Violation(self.row.line, column, refusal.code, refusal.message, refusal.remedy))

    def cell(self, column: str, parse: Callable[[str], T], fallback: T) -> T:
        """Read a cell by ``parse``; a refusal becomes a violation."""
        return self.attempt(column, lambda: parse(self.row.cell(column)), fallback)

    def number(self, column: str) -> float | None:
        return self.cell(column, lambda text: parse_number(text, dot_may_group=self.sheet.dot_may_group), None)

    def eligibility(self) -> Mapping[str, YesNo]:
        if not self.row.code:
            empty = CohortRefused(
                Code.COHORT_VALUE,
                "The patient identifier is missing.",
                remedy="Give every patient an identifier; it is replaced by a study code at once.",
            )
            self.refuse("patient", empty)
        unanswered: YesNo = "unknown"
        answers = {one.column: self.cell(one.column, parse_yes_no, unanswered) for one in CRITERIA}
        seen_already = any(violation.column == "event" for violation in self.violations)
        # An empty event matters only for patients whom nothing else excludes.
        if answers["event"] == "unknown" and not seen_already and first_failed(answers) is None:
            unknown = CohortRefused(
                Code.COHORT_OUTCOME,
                "Whether progression or death was observed is not said.",
                remedy="Write 1 where it was, 0 where the patient is censored.",
            )
            self.refuse("event", unknown)
        return answers

    def patient(self) -> CohortPatient | None:
        pet, ct = self.source("pet"), self.source("ct")
        start = self.cell("prrt_start", parse_date, None)
        labs = self.labs(start)
        outcome = self.outcome(start)
        pet_date = self.pet_date(start)
        characteristics = characteristics_of(self.cell)
        synthetic = self.cell("synthetic", parse_yes_no, "unknown") == "yes"
        organs = self.cell("organs", lambda text: locate_organs(text, self.sheet.folder), None)
        if pet is None or ct is None or labs is None or outcome is None:
            return None
        return CohortPatient(
            code=self.row.code,
            row=self.row.line,
            pet=pet,
            ct=ct,
            labs=labs,
            outcome=outcome,
            prrt_start=start,
            pet_date=pet_date,
            characteristics=characteristics,
            extras=extra_values(self.row.cells, dot_may_group=self.sheet.dot_may_group),
            synthetic=synthetic,
            organs=organs,
        )

    def source(self, column: str) -> SeriesSource | None:
        database = self.row.cell("database")
        return self.cell(column, lambda text: locate_series(text, database, self.sheet.folder), None)

    def labs(self, start: date | None) -> Labs | None:
        values = {lab: self.lab(lab) for lab in LABS}
        sampled_on = self.cell("labs_date", parse_date, None)
        if sampled_on is not None and start is not None:
            self.attempt("labs_date", lambda: check_sampling_date(sampled_on, start), None)
        if any(math.isnan(value) for value in values.values()):
            return None
        return Labs(values["ast"], values["alt"], values["ggt"], values["cga"], sampled_on)

    def lab(self, lab: str) -> float:
        """The lab in the models' unit; NaN after a violation, which names the unit's column where that is at fault."""
        unit = self.row.cell(f"{lab}_unit")
        try:
            return lab_value(
                lab,
                self.row.cell(lab),
                "" if is_missing(unit) else unit,
                dot_may_group=self.sheet.dot_may_group,
            )
        except InputRefused as refusal:
            self.refuse(f"{lab}_unit" if refusal.code is Code.LAB_UNIT else lab, refusal)
            return math.nan

    def outcome(self, start: date | None) -> Outcome | None:
        before = len(self.violations)
        progression = self.cell("progression_date", parse_date, None)
        months = self.number("pfs_months")
        start_is_wrong = any(violation.column == "prrt_start" for violation in self.violations)
        if len(self.violations) > before or start_is_wrong:
            return None
        column = "progression_date" if progression is not None else "pfs_months"
        return self.attempt(column, lambda: outcome_of(start, progression, months, event=True), None)

    def pet_date(self, start: date | None) -> date | None:
        pet_date = self.cell("pet_date", parse_date, None)
        if pet_date is not None and start is not None and pet_date > start:
            late = CohortRefused(
                Code.COHORT_VALUE,
                f"The PET is dated {(pet_date - start).days} days after the first PRRT cycle.",
                remedy="Correct pet_date or prrt_start; only a PET from before PRRT can be used.",
            )
            self.refuse("pet_date", late)
        return pet_date
