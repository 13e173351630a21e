"""Whether a PET and a CT are of one patient and one examination: refused, told, or in order.

What is compared (:class:`~PRRTPredictorCore.records.Person`) stays in memory, and no message repeats it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from pydicom.dataset import Dataset

from ..errors import Code, DicomRefused
from ..records import LoadedSeries, Notice, Person
from .values import day, text

_NOBODY = re.compile(
    r"(0+|x+|\?+|-+|\.+|anon(ym(ous|i[sz]ed)?)?|unknown|none|n/?a|de-?identified|removed|no[ _-]?(id|name)|patient)"
)
"""Identifiers that de-identification gives to everybody; two patients may share them."""


def person_of(header: Dataset) -> Person:
    """Whom a flat header names."""
    sex = text(header, "PatientSex").upper()
    return Person(text(header, "PatientID"), day(header, "PatientBirthDate"), sex if sex in ("M", "F") else "")


def identifier_of(patient_id: str) -> str:
    """The identifier to compare by, however it is capitalised and padded; empty where it stands for nobody."""
    identifier = unicodedata.normalize("NFKC", patient_id).strip(" \t\r\n\0").casefold()
    return "" if _NOBODY.fullmatch(identifier) else identifier


def require_one_patient(pet: LoadedSeries, ct: LoadedSeries) -> None:
    """Refuse a PET and a CT that name different patients.

    Raises
    ------
    DicomRefused
        ``PATIENT_DIFFERS``.
    """
    one, other = identifier_of(pet.person.patient_id), identifier_of(ct.person.patient_id)
    if one and other and one != other:
        raise DicomRefused(
            Code.PATIENT_DIFFERS,
            "PET and CT belong to different patients.",
            where="PatientID (0010,0020)",
            remedy="Choose PET and CT of one examination; where de-identification gave one patient two identifiers, "
            "make them equal.",
        )


def pairing_notices(pet: LoadedSeries, ct: LoadedSeries) -> tuple[Notice, ...]:
    """Everything that speaks against one patient and one examination without proving it."""
    notices = list(examination_notices((pet.study_uid, pet.acquisition.date), (ct.study_uid, ct.acquisition.date)))
    same_study = pet.study_uid == ct.study_uid != ""
    both_named = all(identifier_of(one.person.patient_id) for one in (pet, ct))
    if not same_study and not both_named:
        message = "PET or CT names no patient, and their studies differ: nothing proves that they are of one patient."
        notices.append(Notice("PATIENT_UNPROVED", message))
    differing = [
        name
        for name, one, other in (
            ("birth date", pet.person.born, ct.person.born),
            ("sex", pet.person.sex, ct.person.sex),
        )
        if one and other and one != other
    ]
    if differing:
        message = f"PET and CT give the patient another {' and '.join(differing)}; make sure that they are of one."
        notices.append(Notice("PERSON_DIFFERS", message))
    return tuple(notices)


def examination_notices(pet: tuple[str, date | None], ct: tuple[str, date | None]) -> tuple[Notice, ...]:
    """Say when PET and CT, each given as study UID and date, look as if they were not of one examination."""
    notices = []
    if pet[0] != ct[0]:
        message = "PET and CT belong to different DICOM studies; make sure that they are of one examination."
        notices.append(Notice("STUDY_DIFFERS", message))
    days = abs((pet[1] - ct[1]).days) if pet[1] and ct[1] else 0
    if days:
        apart = "1 day" if days == 1 else f"{days} days"
        notices.append(Notice("DATE_DIFFERS", f"PET and CT were acquired {apart} apart."))
    return tuple(notices)
