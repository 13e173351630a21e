"""Into which subgroups the report divides the patients: by how the images were made, and by who the patients are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...records import CohortPatient
from ..content import RunContent

OLDER_FROM_YEARS = 65
"""Where the two age groups part: fixed, not fitted to a cohort; the paper's median age is 66."""


@dataclass(frozen=True)
class Category:
    """What tells subgroups apart.

    Attributes
    ----------
    key : str
    title : str
        "Scanner".
    plural : str
        "scanners", in a sentence.
    column : str
        Of ``cohort.csv``, for the remedy when it is unknown.
    of : mapping of str to str
        Study code to subgroup; "" where it is not known.
    """

    key: str
    title: str
    plural: str
    column: str
    of: Mapping[str, str]


def acquisition_categories(content: RunContent) -> tuple[Category, ...]:
    """Scanner and contrast phase; the tracer too where the cohort has several."""
    patients = content.patients.values()
    tracers = {image.code: image.tracer for image in content.cohort.images}
    categories = (
        Category("scanner", "Scanner", "scanners", "scanner", {p.code: p.characteristics.scanner for p in patients}),
        Category("contrast", "Contrast phase", "phases", "contrast_ct", {p.code: _contrast(p) for p in patients}),
    )
    if len({tracer for tracer in tracers.values() if tracer}) < 2:
        return categories
    return (*categories, Category("tracer", "Tracer", "tracers", "", tracers))


def person_categories(content: RunContent) -> tuple[Category, ...]:
    """Sex and age."""
    patients = content.patients.values()
    return (
        Category("sex", "Sex", "sexes", "sex", {p.code: _sex(p) for p in patients}),
        Category("age", "Age", "age groups", "age", {p.code: _age(p) for p in patients}),
    )


def _contrast(patient: CohortPatient) -> str:
    return {"yes": "contrast-enhanced CT", "no": "non-contrast CT"}.get(patient.characteristics.contrast_ct, "")


def _sex(patient: CohortPatient) -> str:
    return {"male": "men", "female": "women"}.get(patient.characteristics.sex, "")


def _age(patient: CohortPatient) -> str:
    age = patient.characteristics.age_years
    if age is None:
        return ""
    return f"{OLDER_FROM_YEARS} years or older" if age >= OLDER_FROM_YEARS else f"younger than {OLDER_FROM_YEARS}"
