"""Whose images the rows of a cohort hold: one patient in two rows, exchanged folders, dates that do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ..cohort.labs import sampling_notices
from ..errors import Code, CohortRefused, InputRefused
from ..records import CohortPatient, Notice
from .entry import Sidecar

_NAMED_ROWS = 20
_SEXES = {"M": "male", "F": "female"}


@dataclass(frozen=True)
class PreparedRow:
    """What preparing one patient gave: the content key and what is kept of the images, or the reason why not."""

    patient: CohortPatient
    key: str = ""
    images: Sidecar | None = None
    refusal: InputRefused | None = None


def require_all_prepared(rows: Sequence[PreparedRow]) -> None:
    """Refuse a cohort in which images of one or more rows cannot be used, naming all of them.

    Raises
    ------
    CohortRefused
        ``COHORT_REFUSED``.
    """
    refused = [(one.patient, one.refusal) for one in rows if one.refusal is not None]
    if not refused:
        return
    named = refused[:_NAMED_ROWS]
    lines = [f"row {patient.row} ({patient.code}): {why.code.value}, {why.message}" for patient, why in named]
    if len(refused) > _NAMED_ROWS:
        lines.append(f"and {len(refused) - _NAMED_ROWS} more")
    remedies = dict.fromkeys(why.remedy for _, why in refused if why.remedy)
    raise CohortRefused(
        Code.COHORT_REFUSED,
        f"The images of {len(refused)} of {len(rows)} patients cannot be used: " + "; ".join(lines),
        where=", ".join(f"row {patient.row}" for patient, _ in named),
        remedy=" ".join((*list(remedies)[:3], "Or remove these rows from the cohort table.")),
    )


def require_distinct_patients(rows: Sequence[PreparedRow]) -> None:
    """Refuse images that belong to another row, and one patient in two rows: trained on and held out at once.

    Raises
    ------
    CohortRefused
        ``COHORT_DUPLICATE``: two rows hold the same images voxel by voxel, or images that name the same patient.
        ``PATIENT_DIFFERS``: the images of a row name the patient of another one.
    """
    by_voxels: dict[str, PreparedRow] = {}
    by_subject: dict[str, PreparedRow] = {}
    by_table = {one.patient.code: one for one in rows}
    for one in rows:
        if one.images is None:
            continue
        same = by_voxels.setdefault(one.images.voxels_sha256, one)
        if same is not one:
            _refuse_double(same, one, "are the same images, so that both must be the same patient")
    for one in rows:
        whose = one.images.subject.code if one.images else ""
        owner = by_table.get(whose, one)
        if owner is not one:
            raise CohortRefused(
                Code.PATIENT_DIFFERS,
                f"The images of row {one.patient.row} name the patient of row {owner.patient.row}.",
                where=f"row {one.patient.row}",
                remedy="Correct the folders in the columns pet and ct: labs and outcome would be another patient's.",
            )
        same = by_subject.setdefault(whose, one) if whose else one
        if same is not one:
            _refuse_double(same, one, "name the same patient")


def _refuse_double(first: PreparedRow, second: PreparedRow, what: str) -> NoReturn:
    rows = f"rows {first.patient.row} and {second.patient.row}"
    raise CohortRefused(
        Code.COHORT_DUPLICATE,
        f"The PET/CT of {rows} {what}.",
        where=rows,
        remedy="Keep one of the two rows, or correct the folder of the other: a patient in two folds would be "
        "trained on and tested on at once. Where de-identification gave several patients one PatientID, make them "
        "distinct.",
    )


def row_notices(rows: Sequence[PreparedRow]) -> Mapping[str, tuple[Notice, ...]]:
    """What the table says and the images' headers contradict, by study code."""
    named_alike = any(one.images is not None and one.images.subject.code == one.patient.code for one in rows)
    found = {
        one.patient.code: _contradictions(one.patient, one.images, named_alike)
        for one in rows
        if one.images is not None
    }
    return {code: notices for code, notices in found.items() if notices}


def _contradictions(patient: CohortPatient, images: Sidecar, named_alike: bool) -> tuple[Notice, ...]:
    """``named_alike``: other rows use the identifier that stands in the files, so that this one should."""
    notices = []
    whose = images.subject
    if named_alike and whose.code not in ("", patient.code):
        message = "The images name another patient than their row does, although other rows name theirs."
        notices.append(Notice("PATIENT_NAMED_OTHERWISE", message))
    stated = patient.characteristics.sex
    if whose.sex and stated != "unknown" and stated != _SEXES[whose.sex]:
        notices.append(Notice("SEX_DIFFERS", "The images give another sex than the table does."))
    acquired = images.pet_acquisition.date
    if patient.pet_date and acquired and patient.pet_date != acquired:
        days = abs((patient.pet_date - acquired).days)
        notices.append(Notice("PET_DATE_DIFFERS", f"The PET is dated {days} days from the table's pet_date."))
    return (*notices, *sampling_notices(patient.labs, patient.pet_date or acquired))
