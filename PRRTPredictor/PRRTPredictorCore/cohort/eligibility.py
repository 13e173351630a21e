"""Who belongs to the cohort: the paper's criteria as a flow chart, the PET's age, and what training needs at least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import Code, CohortRefused
from ..records import Cohort, CohortPatient, Eligibility, Exclusion, Notice, PetInterval, YesNo

MAX_PET_AGE_DAYS = 120
"""A PET older than this at the first cycle may show another disease; the paper's third quartile is 59.5 days."""


@dataclass(frozen=True)
class Criterion:
    """A column of ``cohort.csv`` that can exclude a patient, and the answer that keeps him in."""

    column: str
    eligible: YesNo
    reason: str


CRITERIA = (
    Criterion("metastatic_progressive", "yes", "no metastatic, progressive disease"),
    Criterion("sstr_expression", "yes", "insufficient somatostatin receptor expression"),
    Criterion("prior_prrt", "no", "PRRT before"),
    Criterion("records_complete", "yes", "incomplete records or follow-up"),
    Criterion("event", "yes", "no progression or death observed (censored)"),
)
"""Asked in this order; a patient counts at the first criterion that he fails (paper, sections 2.1 and 2.4)."""


def first_failed(answers: Mapping[str, YesNo]) -> Criterion | None:
    """The first criterion whose answer excludes the patient; "unknown" or no answer never does."""
    for criterion in CRITERIA:
        if answers.get(criterion.column, "unknown") not in (criterion.eligible, "unknown"):
            return criterion
    return None


def flow_chart(failed: Iterable[Criterion], refused: int, included: int) -> Eligibility:
    """Count the exclusions in the order of :data:`CRITERIA`."""
    counts = Counter(criterion.column for criterion in failed)
    return Eligibility(
        screened=sum(counts.values()) + refused + included,
        excluded=tuple(Exclusion(one.column, one.reason, counts[one.column]) for one in CRITERIA),
        refused=refused,
        included=included,
    )


def pet_interval(patients: Sequence[CohortPatient]) -> PetInterval:
    """Days from the PET to the first cycle: median and quartiles (linear interpolation; paper, section 2.2)."""
    days = [interval for patient in patients if (interval := interval_days(patient)) is not None]
    if not days:
        return PetInterval(known=0, unknown=len(patients))
    q1, median, q3 = (float(value) for value in np.quantile(days, (0.25, 0.5, 0.75)))
    return PetInterval(
        known=len(days),
        unknown=len(patients) - len(days),
        median_days=median,
        q1_days=q1,
        q3_days=q3,
        long_intervals=sum(interval > MAX_PET_AGE_DAYS for interval in days),
    )


def interval_days(patient: CohortPatient) -> int | None:
    """Days from the PET to the first cycle; None where a date is unknown."""
    if patient.pet_date is None or patient.prrt_start is None:
        return None
    return (patient.prrt_start - patient.pet_date).days


def interval_notices(patients: Sequence[CohortPatient]) -> tuple[Notice, ...]:
    """One notice for the cohort and one for each patient whose PET is older than 120 days at the first cycle."""
    overdue = [(patient, days) for patient in patients if (days := interval_days(patient) or 0) > MAX_PET_AGE_DAYS]
    if not overdue:
        return ()
    overall = f"{len(overdue)} of {len(patients)} patients had the PET more than {MAX_PET_AGE_DAYS} days before PRRT."
    return (
        Notice("PET_INTERVAL", overall),
        *(
            Notice("PET_INTERVAL", f"row {patient.row}: PET {days} days before the first PRRT cycle.")
            for patient, days in overdue
        ),
    )


def has_both_classes(patients: Sequence[CohortPatient]) -> bool:
    """Whether short and long PFS both occur."""
    return len({patient.outcome.long_pfs for patient in patients}) == 2


def require_both_classes(patients: Sequence[CohortPatient], where: str = "") -> None:
    """Refuse patients from whom nothing can be learned or measured.

    Raises
    ------
    CohortRefused
        TOO_FEW_PATIENTS: nobody is left. ONE_CLASS: everybody has the same outcome.
    """
    n_long = sum(patient.outcome.long_pfs for patient in patients)
    require_groups(len(patients) - n_long, n_long, folds=1, where=where)


def require_trainable(cohort: Cohort, folds: int) -> None:
    """Refuse a cohort that cannot be split so that every fold holds both groups.

    Raises
    ------
    CohortRefused
        TOO_FEW_PATIENTS or ONE_CLASS.
    """
    n_long = sum(patient.outcome.long_pfs for patient in cohort.patients)
    require_groups(len(cohort.patients) - n_long, n_long, folds)


def require_groups(n_short: int, n_long: int, folds: int, where: str = "") -> None:
    """Refuse groups too small for every fold to hold a patient of each; the one rule behind all of the above.

    Raises
    ------
    CohortRefused
        TOO_FEW_PATIENTS or ONE_CLASS.
    """
    if not n_short + n_long:
        raise CohortRefused(
            Code.TOO_FEW_PATIENTS,
            "No patient is left after the exclusions.",
            where=where,
            remedy="Look at the flow chart of `prrt cohort check`.",
        )
    if not n_short or not n_long:
        only = "long" if n_long else "short"
        raise CohortRefused(
            Code.ONE_CLASS,
            f"All {n_short + n_long} patients have {only} PFS; there is nothing to tell apart.",
            where=where,
            remedy="Add patients of the other group, and check the outcome columns.",
        )
    if min(n_short, n_long) < folds:
        raise CohortRefused(
            Code.TOO_FEW_PATIENTS,
            f"{n_short} patients with short and {n_long} with long PFS are too few for {folds} folds.",
            where=where,
            remedy=f"Each group needs at least {folds} patients: add patients or use fewer folds.",
        )
