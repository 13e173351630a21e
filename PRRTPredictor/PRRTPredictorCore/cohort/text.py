"""What ``prrt cohort check`` says: violations with remedies, the flow chart and the PET's age, as text or JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Any

from ..records import Cohort, Eligibility, PetInterval
from .eligibility import MAX_PET_AGE_DAYS

_WIDTH = 100
_NOTICES_SHOWN = 12


def format_check(cohort: Cohort) -> str:
    """The whole finding for a terminal."""
    parts = [_violations(cohort), _flow_chart(cohort), _interval(cohort.pet_interval), _notices(cohort)]
    return "\n\n".join(part for part in parts if part)


def check_to_json(cohort: Cohort) -> dict[str, Any]:
    """The same as the object that ``prrt cohort check --json`` prints; free of identity."""
    interval, chart = cohort.pet_interval, cohort.exclusions
    return {
        "patients": len(cohort.patients),
        "short_pfs": sum(not one.outcome.long_pfs for one in cohort.patients),
        "long_pfs": sum(one.outcome.long_pfs for one in cohort.patients),
        "violations": [
            {"row": one.row, "column": one.column, "code": one.code.value, "message": one.message, "remedy": one.remedy}
            for one in cohort.violations
        ],
        "eligibility": {
            "screened": chart.screened,
            "excluded": [{"criterion": one.criterion, "reason": one.reason, "n": one.n} for one in chart.excluded],
            "refused": chart.refused,
            "included": chart.included,
        },
        "pet_to_first_cycle_days": {
            "known": interval.known,
            "unknown": interval.unknown,
            "median": interval.median_days,
            "q1": interval.q1_days,
            "q3": interval.q3_days,
            "iqr": interval.iqr_days,
            "over_120": interval.long_intervals,
        },
        "notices": [{"code": one.code, "message": one.message} for one in cohort.notices],
    }


def _violations(cohort: Cohort) -> str:
    if not cohort.violations:
        return "No violations."
    rows = len({one.row for one in cohort.violations})
    n = len(cohort.violations)
    lines = [f"{n} violation{_s(n)} in {rows} row{_s(rows)}", ""]
    places = [(f"row {one.row}", one.column) for one in cohort.violations]
    row_width = max(len(row) for row, _ in places)
    column_width = max(len(column) for _, column in places)
    indent = " " * (row_width + column_width + 4)
    for violation, (row, column) in zip(cohort.violations, places, strict=True):
        lines += _wrapped(
            f"{violation.code.value}: {violation.message}", f"{row:<{row_width}}  {column:<{column_width}}  ", indent
        )
        lines += _wrapped(f"→ {violation.remedy}", indent, indent + "  ")
    return "\n".join(lines)


def _flow_chart(cohort: Cohort) -> str:
    chart: Eligibility = cohort.exclusions
    steps = [("Patients in the table", chart.screened)]
    steps += [(f"  excluded: {one.reason}", -one.n) for one in chart.excluded if one.n]
    if chart.refused:
        steps.append(("  refused: the row breaks a rule, see above", -chart.refused))
    groups = Counter(one.outcome.long_pfs for one in cohort.patients)
    steps.append(("Included", chart.included))
    steps += [("  PFS ≤ 1 year", groups[False]), ("  PFS > 1 year", groups[True])]
    label_width = max(len(label) for label, _ in steps)
    number_width = max(len(str(n)) for _, n in steps)
    return "\n".join(f"{label:<{label_width}}  {str(n).replace('-', '−'):>{number_width}}" for label, n in steps)


def _interval(interval: PetInterval) -> str:
    if not interval.known + interval.unknown:
        return ""
    if interval.median_days is None:
        return "PET to first cycle: not known (pet_date or prrt_start is empty)."
    unknown = f"; unknown in {interval.unknown}" if interval.unknown else ""
    return (
        f"PET to first cycle: median {interval.median_days:g} days "
        f"(IQR {interval.iqr_days:g}; Q1 {interval.q1_days:g} – Q3 {interval.q3_days:g}) "
        f"in {interval.known} patient{_s(interval.known)}; "
        f"{interval.long_intervals} past {MAX_PET_AGE_DAYS} days{unknown}."
    )


def _notices(cohort: Cohort) -> str:
    if not cohort.notices:
        return ""
    lines = ["Worth a look"]
    for notice in cohort.notices[:_NOTICES_SHOWN]:
        lines += _wrapped(str(notice), "  • ", "    ")
    if more := len(cohort.notices) - _NOTICES_SHOWN:
        lines += [f"    and {more} more (all with --json)"] if more > 0 else []
    return "\n".join(lines)


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False)


def _s(n: int) -> str:
    return "" if n == 1 else "s"
