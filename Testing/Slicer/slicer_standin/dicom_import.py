"""Files of a folder into a ctkDICOM.sql, as Slicer's indexer writes them.

In: an open database and a folder (or one file). Out: rows for patients, studies, series and images, copies below
``dicom/`` when asked for, and the database's signals. Never touches the files it reads.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from .dicom_database import ctkDICOMDatabase


def importFolder(database: ctkDICOMDatabase, folder: Path, copyFiles: bool) -> int:
    """Import every DICOM file below ``folder``; how many were new."""
    import pydicom

    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    added = 0
    studies: dict[str, None] = {}
    database._execute("BEGIN")
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (OSError, pydicom.errors.InvalidDicomError):
            continue  # Slicer's indexer passes over what is no DICOM file
        if "SOPInstanceUID" in header and _insert(database, header, path, copyFiles):
            added += 1
            studies[str(header.StudyInstanceUID)] = None
    for study in studies:
        _updateDisplayedFields(database, study)
    database._execute("COMMIT")
    if added:
        database.displayedFieldsUpdated.emit()
        database.databaseChanged.emit()
    return added


def _insert(database: ctkDICOMDatabase, header: Any, path: Path, copyFiles: bool) -> bool:
    instance = str(header.SOPInstanceUID)
    if database.fileForInstance(instance):
        return False
    patient = _patientKey(database, header)
    study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
    if not database.patientForStudy(study):
        _insertStudy(database, header, patient)
    if not database.studyForSeries(series):
        _insertSeries(database, header)
    name = _store(database, header, path) if copyFiles else path.absolute().as_posix()
    database._execute("INSERT INTO Images VALUES (?, ?, '', ?, ?, ?)", instance, name, series, _now(), _now())
    database.instanceAdded.emit(instance)
    return True


def _patientKey(database: ctkDICOMDatabase, header: Any) -> str:
    """UID in table Patients of the patient with this identifier and name, who is added when new."""
    name, identifier = _get(header, "PatientName"), _get(header, "PatientID")
    query = "SELECT UID FROM Patients WHERE PatientID = ? AND PatientsName = ?"
    known = database._value(query, identifier, name)
    if known:
        return known
    database._execute(
        "INSERT INTO Patients (PatientsName, PatientID, PatientsBirthDate, PatientsBirthTime, PatientsSex, "
        "PatientsComments, InsertTimestamp, DisplayedPatientsName, Connections) VALUES (?,?,?,?,?,?,?,?,?)",
        *(name, identifier, _isoDate(_get(header, "PatientBirthDate")), _get(header, "PatientBirthTime")),
        *(_get(header, "PatientSex"), _get(header, "PatientComments"), _now(), _humanName(name)),
        json.dumps({"allow": [""], "deny": []}, separators=(",", ":")),
    )
    key = database._value(query, identifier, name)
    database.patientAdded.emit(int(key), identifier, name, _get(header, "PatientBirthDate"))
    return key


def _insertStudy(database: ctkDICOMDatabase, header: Any, patient: str) -> None:
    words = ("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber")
    more = ("ModalitiesInStudy", "InstitutionName", "ReferringPhysicianName", "PerformingPhysicianName")
    database._execute(
        "INSERT INTO Studies (StudyInstanceUID, StudyID, StudyDate, StudyTime, StudyDescription, AccessionNumber, "
        "ModalitiesInStudy, InstitutionName, ReferringPhysician, PerformingPhysiciansName, PatientsUID, "
        "InsertTimestamp) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        *(_get(header, word) for word in words + more),
        *(int(patient), _now()),
    )
    database.studyAdded.emit(str(header.StudyInstanceUID))


def _insertSeries(database: ctkDICOMDatabase, header: Any) -> None:
    texts = ("SeriesInstanceUID", "StudyInstanceUID", "SeriesTime", "SeriesDescription", "Modality")
    texts += ("BodyPartExamined", "FrameOfReferenceUID", "ContrastBolusAgent", "ScanningSequence")
    numbers = ("SeriesNumber", "AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier")
    database._execute(
        "INSERT INTO Series (SeriesInstanceUID, StudyInstanceUID, SeriesTime, SeriesDescription, Modality, "
        "BodyPartExamined, FrameOfReferenceUID, ContrastAgent, ScanningSequence, SeriesNumber, AcquisitionNumber, "
        "EchoNumber, TemporalPosition, SeriesDate, InsertTimestamp) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        *(_get(header, word) for word in texts),
        *(int(_get(header, word) or 0) for word in numbers),
        *(_isoDate(_get(header, "SeriesDate")), _now()),
    )
    database.seriesAdded.emit(str(header.SeriesInstanceUID))


def _store(database: ctkDICOMDatabase, header: Any, path: Path) -> str:
    """Copy below the database's folder, under names made of hashes; the relative name."""
    study, series, instance = (
        hashlib.md5(str(uid).encode(), usedforsecurity=False).hexdigest()
        for uid in (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
    )
    name = f"dicom/{study[:8]}/{series[:8]}/{instance}.dcm"
    target = Path(database.databaseDirectory, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return name


def _updateDisplayedFields(database: ctkDICOMDatabase, study: str) -> None:
    """What CTK computes after an import: counts, the image size, all study descriptions that the series carry."""
    descriptions: dict[str, None] = {}
    for series in database.seriesForStudy(study):
        first = next(iter(database.filesForSeries(series, 1)), "")
        columns, rows = database.fileValue(first, "0028,0011"), database.fileValue(first, "0028,0010")
        database._execute(
            "UPDATE Series SET DisplayedCount=(SELECT count(*) FROM Images WHERE SeriesInstanceUID=?), "
            "DisplayedSize=?, DisplayedFieldsUpdatedTimestamp=? WHERE SeriesInstanceUID=?",
            *(series, f"{columns}x{rows}" if rows and columns else None, _now(), series),
        )
        descriptions[database.fileValue(first, "0008,1030")] = None
    patient = database.patientForStudy(study)
    database._execute(
        "UPDATE Studies SET StudyDescription=?, DisplayedNumberOfSeries=?, DisplayedFieldsUpdatedTimestamp=? "
        "WHERE StudyInstanceUID=?",
        *(", ".join(filter(None, descriptions)), len(database.seriesForStudy(study)), _now(), study),
    )
    database._execute(
        "UPDATE Patients SET DisplayedNumberOfStudies=?, DisplayedFieldsUpdatedTimestamp=? WHERE UID=?",
        *(len(database.studiesForPatient(patient)), _now(), patient),
    )


def _get(header: Any, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value)


def _isoDate(date: str) -> str | None:
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 else None


def _humanName(name: str) -> str:
    """Last, First Middle."""
    last, *given = name.split("^")[:3]
    given = [part for part in given if part]
    return f"{last}, {' '.join(given)}" if given else last


def _now() -> str:
    return datetime.now().isoformat(timespec="milliseconds")
