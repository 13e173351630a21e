"""Progression-free survival and its split at one year (paper, section 2.4).

Short: progression or death on or before the same calendar day one year after the first PRRT cycle; a cycle on 29
February has its year end on 28 February. Where only ``pfs_months`` is known: short up to 12.0. Dates win where both are
given.
"""

from __future__ import annotations

import math
from datetime import date

from ..errors import Code, CohortRefused
from ..records import Outcome

DAYS_PER_MONTH = 365.25 / 12
THRESHOLD_MONTHS = 12.0
"""Short and long PFS part here (paper, section 2.4)."""

_AGREEMENT_MONTHS = 1.0
LONGEST_MONTHS = 480.0


def outcome_of(
    prrt_start: date | None, progression_date: date | None, pfs_months: float | None, event: bool
) -> Outcome:
    """PFS from the first cycle, and the group it belongs to.

    Parameters
    ----------
    prrt_start : date or None
        First PRRT cycle.
    progression_date : date or None
        Documented progression or death; the last follow-up when ``event`` is False.
    pfs_months : float or None
        The same as a duration.
    event : bool
        False means censored: the patient is excluded from the paper's analysis, whatever the follow-up; without one
        ``pfs_months`` is NaN.

    Raises
    ------
    CohortRefused
        COHORT_OUTCOME: nothing to compute PFS from, a negative or absurd PFS, progression before the first cycle, or
        ``pfs_months`` and the dates more than a month apart.
    """
    if pfs_months is not None:
        _check_duration(pfs_months)
    if progression_date is not None and prrt_start is not None:
        return _from_dates(prrt_start, progression_date, pfs_months, event)
    if pfs_months is not None:
        return Outcome(pfs_months=pfs_months, event=event, long_pfs=pfs_months > THRESHOLD_MONTHS)
    if not event:
        return Outcome(pfs_months=math.nan, event=False, long_pfs=False)
    lacking = "The date of the first cycle is missing" if progression_date else "Neither a date nor a duration is given"
    raise CohortRefused(
        Code.COHORT_OUTCOME,
        f"{lacking}, so that PFS is unknown.",
        where="outcome",
        remedy="Fill in prrt_start and progression_date, or pfs_months.",
    )


def one_year_after(start: date) -> date:
    """The same calendar day one year later; 28 February for 29 February."""
    leap_day = (start.month, start.day) == (2, 29)
    return start.replace(year=start.year + 1, day=28 if leap_day else start.day)


def months_between(start: date, end: date) -> float:
    """Duration in mean months of 365.25 / 12 days."""
    return (end - start).days / DAYS_PER_MONTH


def _from_dates(start: date, progression: date, pfs_months: float | None, event: bool) -> Outcome:
    if progression < start:
        raise CohortRefused(
            Code.COHORT_OUTCOME,
            f"Progression is dated {(start - progression).days} days before the first PRRT cycle.",
            where="outcome",
            remedy="Correct prrt_start or progression_date; progression before PRRT is no event of PFS.",
        )
    months = months_between(start, progression)
    _check_duration(months)
    if pfs_months is not None and abs(pfs_months - months) > _AGREEMENT_MONTHS:
        raise CohortRefused(
            Code.COHORT_OUTCOME,
            f"pfs_months says {pfs_months:g}, the dates give {months:.1f} months.",
            where="outcome",
            remedy="Correct the dates or pfs_months, or leave pfs_months empty: it is computed from the dates.",
        )
    return Outcome(pfs_months=months, event=event, long_pfs=progression > one_year_after(start))


def _check_duration(months: float) -> None:
    if not 0 <= months <= LONGEST_MONTHS:
        raise CohortRefused(
            Code.COHORT_OUTCOME,
            f"A PFS of {months:g} months is impossible." if months < 0 else f"A PFS of {months:.4g} months is absurd.",
            where="outcome",
            remedy="Correct the dates or pfs_months (months from the first cycle, not days).",
        )
