"""Further columns of ``cohort.csv`` as inputs beside the labs, by configuration alone; never what was known later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import Code, CohortRefused
from ..records import LABS, LARGEST_INPUT, Cohort
from .cells import parse_number
from .sheet import KNOWN_COLUMNS

BASELINE_COLUMNS = ("age", "ki67")
"""Known columns that are numbers and known before treatment, so that they may be inputs."""

_KNOWN_LATER = frozenset(
    {"prrt_cycles", "cycles", "n_cycles", "event", "progression_date", "pfs_months", "pfs", "os", "ttp", "outcome",
     "response", "best_response", "recist", "label", "long_pfs", "short_pfs", "followup_months", "follow_up_months"}
)  # fmt: skip
_KNOWN_LATER_STEMS = ("pfs_", "os_", "ttp_", "prrt_", "progression", "survival", "death", "died")


def extra_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that may be named as extra inputs."""
    return tuple(name for name in columns if name in BASELINE_COLUMNS or _further(name))


def extra_values(cells: Mapping[str, str], *, dot_may_group: bool) -> Mapping[str, float]:
    """The possible numbers in a row's extra columns; cells that hold none are left out until somebody asks for them."""
    values = {}
    for name in extra_columns(cells):
        text = cells[name].rstrip(" %") if name == "ki67" else cells[name]
        try:
            number = parse_number(text, dot_may_group=dot_may_group)
        except CohortRefused:
            continue
        if number is not None and abs(number) <= LARGEST_INPUT:  # which NaN is not
            values[name] = number
    return values


def require_extras(cohort: Cohort, names: Sequence[str]) -> tuple[str, ...]:
    """Check that named columns can serve as inputs; gives their names as ``CohortPatient.extras`` spells them.

    Raises
    ------
    CohortRefused
        FORBIDDEN_INPUT: known only after treatment (PRRT cycles, anything of the outcome).
        COHORT_COLUMNS: no such column, not a numeric kind of column, an input already, or named twice.
        COHORT_VALUE: a patient without a number there.
    """
    spelled = tuple("_".join(name.casefold().split()) for name in names)
    for name in spelled:
        _check_name(name, cohort)
        if spelled.count(name) > 1:
            raise CohortRefused(
                Code.COHORT_COLUMNS, f"The extra input {name} is named twice.", remedy="Name every extra input once."
            )
        rows = [patient.row for patient in cohort.patients if name not in patient.extras]
        if rows:
            shown = ", ".join(map(str, rows[:5])) + (" …" if len(rows) > 5 else "")
            raise CohortRefused(
                Code.COHORT_VALUE,
                f"{len(rows)} of {len(cohort.patients)} patients have no usable number in column {name} "
                f"(rows {shown}).",
                where=f"column {name}",
                remedy="Fill in a number for every patient, or do without this input; nothing is filled in for you.",
            )
    return spelled


def _check_name(name: str, cohort: Cohort) -> None:
    if _known_later(name):
        raise CohortRefused(
            Code.FORBIDDEN_INPUT,
            f"{name} is known only after treatment has begun, so it cannot predict anything.",
            where=f"column {name}",
            remedy="Name columns that are known before the first PRRT cycle.",
        )
    if name in LABS:
        raise CohortRefused(
            Code.COHORT_COLUMNS, f"{name} is an input already.", remedy="Name further columns of the table only."
        )
    if name not in cohort.extra_columns:
        there = ", ".join(cohort.extra_columns) or "none"
        raise CohortRefused(
            Code.COHORT_COLUMNS,
            f"The table has no column {name} that could be an extra input.",
            remedy=f"Name one of the further columns of cohort.csv: {there}.",
        )


def _further(name: str) -> bool:
    return bool(name) and name not in KNOWN_COLUMNS and not _known_later(name)


def _known_later(name: str) -> bool:
    return name in _KNOWN_LATER or name.startswith(_KNOWN_LATER_STEMS)
