"""slicer.dicomDatabase -> the studies a user may choose from, and the PET/CT pair of one of them.

The table comes from database fields alone; headers are read only of the study that was chosen, and of no other patient.
Nothing is ever written to the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Protocol

from PRRTPredictorCore.dicom.index_facts import gather
from PRRTPredictorCore.dicom.pairing import pair_series
from PRRTPredictorCore.errors import Code, DicomRefused
from PRRTPredictorCore.progress import Progress, silent
from PRRTPredictorCore.records import LeftOut, Notice, PetCtPair, StudyIndex
from PRRTPredictorLib.Translation import tr as _

MISSING_PET = _("no PET")
MISSING_CT = _("no CT")
UNNAMED = _("unnamed series")

_SAME_EXAMINATION_DAYS = 1
_IN_ANOTHER_STUDY = _("in another study")
_MOST_TELLING = (
    Code.PATH_MISSING.value,
    Code.TRUNCATED.value,
    Code.NOT_DICOM.value,
    Code.NO_OVERLAP.value,
    Code.NO_CT.value,
)
"""Of several reasons why a study has no pair, the one that the user can act on comes first."""
_REMEDIES = {
    Code.PATH_MISSING.value: "Bring the files back, or import the study again in Slicer's DICOM module.",
    Code.TRUNCATED.value: "Import the study again from its source; files of it are damaged.",
    Code.NOT_DICOM.value: "Import the study again from its source; files of it are damaged.",
    Code.NO_OVERLAP.value: "Import the CT of the same examination that covers the PET.",
    Code.SUV_WEIGHT.value: "Import the PET again as the scanner wrote it; anonymising often removes the patient's "
    "weight (0010,1030), without which there is no SUV.",
    Code.NO_CT.value: "Import the axial CT of the same examination in Slicer's DICOM module.",
}
_OTHER_REMEDY = "Import the attenuation-corrected PET of the examination as the scanner wrote it."


class DicomDatabase(Protocol):
    """What is used of ctkDICOMDatabase; in Slicer it is ``slicer.dicomDatabase``."""

    isOpen: bool

    def patients(self) -> Sequence[str]:
        """Keys of the patients, which are not their identifiers."""

    def nameForPatient(self, patient: str) -> str:
        """The patient's name."""

    def fieldForPatient(self, field: str, patient: str) -> str:
        """A column of the patients' table."""

    def patientForStudy(self, studyUid: str) -> str:
        """Key of the patient; empty where the study is unknown."""

    def studiesForPatient(self, patient: str) -> Sequence[str]:
        """Study instance UIDs."""

    def fieldForStudy(self, field: str, studyUid: str) -> str:
        """A column of the studies' table."""

    def seriesForStudy(self, studyUid: str) -> Sequence[str]:
        """Series instance UIDs."""

    def fieldForSeries(self, field: str, seriesUid: str) -> str:
        """A column of the series' table."""

    def studyForSeries(self, seriesUid: str) -> str:
        """Study instance UID; empty where the series is unknown."""

    def filesForSeries(self, seriesUid: str) -> Sequence[str]:
        """Absolute paths."""

    def instancesForSeries(self, seriesUid: str) -> Sequence[str]:
        """SOP instance UIDs."""

    def fileForInstance(self, instanceUid: str) -> str:
        """Absolute path; empty where the instance is unknown."""


@dataclass(frozen=True)
class StudyRow:
    """One line of the study table. Holds identity: for the user's own eyes only.

    Attributes
    ----------
    date : str
        ISO date; empty where the database has none.
    pet, ct : str
        "WB AC, 135 images", of several series the one with most images; empty where there is none.
    missing : str
        Empty when the study can be chosen, else a short reason.
    """

    patient: str
    patientId: str
    date: str
    studyUid: str
    pet: str
    ct: str
    missing: str


@dataclass(frozen=True)
class _Series:
    """A PET or CT series as the database lists it."""

    uid: str
    studyUid: str
    modality: str


def listStudies(database: DicomDatabase | None) -> tuple[StudyRow, ...]:
    """List the studies with PET or CT, by patient and date, the newest of a patient first.

    No file is opened or even looked for, so that hundreds of studies are listed at once; whether a study can be loaded
    after all is found by :func:`findPair`. A CT that lies in a study of its own, as some archives store it, appears in
    the row of its PET.

    Raises
    ------
    DicomRefused
        ``DATABASE_UNREADABLE``: there is no open database.
    """
    opened = requireOpen(database)
    rows = [row for patient in opened.patients() for row in _rowsOfPatient(opened, patient)]
    newestFirst = sorted(rows, key=lambda row: row.date, reverse=True)
    return tuple(sorted(newestFirst, key=lambda row: (row.patient.casefold(), row.patientId)))


def findPair(database: DicomDatabase | None, studyUid: str, progress: Progress = silent) -> PetCtPair:
    """Read the headers of a study's PET and CT series and choose the pair, by the rules of the core's index.

    Parameters
    ----------
    database : DicomDatabase
    studyUid : str
        Of the PET's study; the CT may lie in another study of the same patient.

    Raises
    ------
    DicomRefused
        ``DATABASE_UNREADABLE``, ``SERIES_MISSING`` (the study is gone); otherwise why there is no pair: ``NO_PET``,
        ``NO_CT``, ``NO_OVERLAP``, ``PATH_MISSING``, or what speaks against the PET (``SUV_WEIGHT``,
        ``NOT_ATTENUATION_CORRECTED`` …).
    """
    opened = requireOpen(database)
    series = _seriesOfExamination(opened, studyUid)
    files: list[Path] = []
    gone: list[LeftOut] = []
    for one in series:
        paths = [Path(path) for path in opened.filesForSeries(one.uid)]
        missing = sum(not path.is_file() for path in paths)
        if missing or not paths:
            reason = f"{missing} of {len(paths)} files of the {one.modality} series no longer exist."
            gone.append(LeftOut(one.uid, Code.PATH_MISSING.value, reason))
        else:
            files += paths
    gathered = gather(files, progress)
    index = pair_series(gathered.series, (*gone, *gathered.damaged))
    pairs = [pair for pair in index.pairs if studyUid in (pair.pet.study_uid, pair.ct.study_uid)]
    if not pairs:
        raise _refusal(series, index)
    # Acquisitions that have a CT of their own make pairs of their own; the largest is the whole body.
    chosen = max(pairs, key=lambda pair: (pair.pet.study_uid == studyUid, len(pair.pet.files)))
    if len(pairs) == 1:
        return chosen
    message = f"The study holds {len(pairs)} PET acquisitions with a CT of their own; the one with most slices is used."
    return replace(chosen, notices=(*chosen.notices, Notice("SEVERAL_PAIRS", message)))


def requireOpen(database: DicomDatabase | None) -> DicomDatabase:
    """Refuse to go on without an open database.

    Raises
    ------
    DicomRefused
        ``DATABASE_UNREADABLE``.
    """
    if database is None or not database.isOpen:
        raise DicomRefused(
            Code.DATABASE_UNREADABLE,
            "Slicer's DICOM database is not open.",
            remedy="Open Slicer's DICOM module once, and let it create or open its database.",
        )
    return database


# --- the table --------------------------------------------------------------------------------------------------------


def _rowsOfPatient(database: DicomDatabase, patient: str) -> list[StudyRow]:
    studies = {uid: _imagesOfStudy(database, uid) for uid in database.studiesForPatient(patient)}
    everyCt = [one for series in studies.values() for one in series if one.modality == "CT"]
    shared: dict[str, list[_Series]] = {}
    for uid, series in studies.items():
        pets, cts = _ofModality(series, "PT"), _ofModality(series, "CT")
        if pets and not cts:
            shared[uid] = [ct for ct in everyCt if any(_sameExamination(database, pet, ct) for pet in pets)]
    claimed = {ct.studyUid for cts in shared.values() for ct in cts}
    rows = []
    for uid, series in studies.items():
        pets, cts = _ofModality(series, "PT"), _ofModality(series, "CT")
        if not series or (uid in claimed and not pets):
            continue
        missing = MISSING_PET if not pets else "" if cts or shared.get(uid) else MISSING_CT
        place = "" if cts else f" ({_IN_ANOTHER_STUDY})"
        ct = _described(database, cts or shared.get(uid, []))
        rows.append(
            StudyRow(
                patient=str(database.nameForPatient(patient)).replace("^", " ").strip(),
                patientId=str(database.fieldForPatient("PatientID", patient)),
                date=_isoDate(database.fieldForStudy("StudyDate", uid)),
                studyUid=uid,
                pet=_described(database, pets),
                ct=ct + place if ct else "",
                missing=missing,
            )
        )
    return rows


def _imagesOfStudy(database: DicomDatabase, studyUid: str) -> list[_Series]:
    found = [
        _Series(uid, studyUid, database.fieldForSeries("Modality", uid)) for uid in database.seriesForStudy(studyUid)
    ]
    return [one for one in found if one.modality in ("PT", "CT")]


def _ofModality(series: Iterable[_Series], modality: str) -> list[_Series]:
    return [one for one in series if one.modality == modality]


def _described(database: DicomDatabase, series: Sequence[_Series]) -> str:
    if not series:
        return ""
    counted = [(_imageCount(database, one.uid), one) for one in series]
    count, largest = max(counted, key=lambda entry: entry[0])
    name = str(database.fieldForSeries("SeriesDescription", largest.uid)).strip() or UNNAMED
    more = f" (+{len(series) - 1})" if len(series) > 1 else ""
    images = _("1 image") if count == 1 else _("{n} images").format(n=count)
    return f"{name}, {images}{more}"


def _imageCount(database: DicomDatabase, seriesUid: str) -> int:
    """Images as the DICOM browser counts them; where it has not counted yet, counted here."""
    counted = str(database.fieldForSeries("DisplayedCount", seriesUid))
    return int(counted) if counted.isdigit() and int(counted) else len(database.instancesForSeries(seriesUid))


# --- one examination --------------------------------------------------------------------------------------------------


def _seriesOfExamination(database: DicomDatabase, studyUid: str) -> list[_Series]:
    """PET and CT series of the study, and those of the patient's other studies that may belong to them."""
    patient = database.patientForStudy(studyUid)
    if not patient:
        raise DicomRefused(
            Code.SERIES_MISSING,
            "The DICOM database no longer holds this study.",
            remedy="Refresh the study table, or import the study again in Slicer's DICOM module.",
        )
    home = _imagesOfStudy(database, studyUid)
    if not home:
        return []
    elsewhere: list[_Series] = []
    for other in database.studiesForPatient(patient):
        theirs = _imagesOfStudy(database, other) if other != studyUid else []
        # The whole study of a partner is read: a PET's own CT goes before one in another study.
        if any(
            one.modality != mine.modality and _sameExamination(database, mine, one) for mine in home for one in theirs
        ):
            elsewhere += theirs
    return home + elsewhere


def _sameExamination(database: DicomDatabase, one: _Series, other: _Series) -> bool:
    """Whether two series of a patient may be of one examination: the core's rule, on database fields."""
    frame = database.fieldForSeries("FrameOfReferenceUID", one.uid)
    if frame and frame == database.fieldForSeries("FrameOfReferenceUID", other.uid):
        return True
    days = [_seriesDay(database, series) for series in (one, other)]
    if days[0] is None or days[1] is None:
        return False
    return abs((days[0] - days[1]).days) <= _SAME_EXAMINATION_DAYS


def _seriesDay(database: DicomDatabase, series: _Series) -> date | None:
    stored = _isoDate(database.fieldForSeries("SeriesDate", series.uid)) or _isoDate(
        database.fieldForStudy("StudyDate", series.studyUid)
    )
    return date.fromisoformat(stored) if stored else None


def _isoDate(stored: str) -> str:
    """The database's dates, written "20060128" or "2006-01-28", in the latter form; empty where it is none."""
    digits = str(stored).replace("-", "").replace(".", "")[:8]
    if len(digits) != 8 or not digits.isdigit():
        return ""
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return ""


def _refusal(series: Sequence[_Series], index: StudyIndex) -> DicomRefused:
    pets = {one.uid for one in series if one.modality == "PT"}
    if not pets:
        return DicomRefused(
            Code.NO_PET,
            "The study holds no PET series.",
            remedy="Choose the study of the PET, or import it in Slicer's DICOM module.",
        )
    telling = {code: rank for rank, code in enumerate(_MOST_TELLING)}
    about = [one for one in index.left_out if one.series_uid in pets or one.code in _MOST_TELLING[:3]]
    nothing = LeftOut("", Code.NO_PET.value, "No usable PET of the same examination was found.")
    worst = min(about, key=lambda one: telling.get(one.code, len(telling)), default=nothing)
    message = worst.reason
    if worst.code == Code.NO_CT.value:
        message += "".join(f" Left out: {one.reason}" for one in index.left_out if one.series_uid not in pets)
    known = {code.value for code in Code}
    code = Code(worst.code) if worst.code in known else Code.NO_PET
    return DicomRefused(code, message, remedy=_REMEDIES.get(worst.code, _OTHER_REMEDY))
