"""A DICOM database in memory with the methods that PRRTPredictorLib uses of ctkDICOMDatabase; it counts what is asked.

Filled row by row, from folders of DICOM files, or from a ctkDICOM.sql that is opened read-only.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from pydicom import dcmread

Row = dict[str, str]


class FakeDatabase:
    """Tables as dictionaries; every method counts its calls in ``asked``."""

    def __init__(self) -> None:
        self.isOpen = True
        self.patientRows: dict[str, Row] = {}
        self.studyRows: dict[str, Row] = {}
        self.seriesRows: dict[str, Row] = {}
        self.images: dict[str, dict[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self.filesAskedFor: list[str] = []

    # --- filling ---

    def addPatient(self, key: str, name: str, patientId: str) -> None:
        self.patientRows[key] = {"PatientsName": name, "PatientID": patientId}

    def addStudy(self, uid: str, patient: str, date: str = "2020-01-02") -> None:
        self.studyRows[uid] = {"PatientsUID": patient, "StudyDate": date}

    def addSeries(self, uid: str, study: str, modality: str, files: dict[str, str] | int = 0, **fields: str) -> None:
        images = {f"{uid}.{n}": f"/nowhere/{uid}/{n}" for n in range(files)} if isinstance(files, int) else files
        self.seriesRows[uid] = {"StudyInstanceUID": study, "Modality": modality, **fields}
        self.images[uid] = images

    def addFolder(self, folder: Path) -> None:
        """Import a folder as ctkDICOMIndexer does, leaving the files where they are."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt"):
            header = dcmread(path, stop_before_pixels=True)
            study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
            patient = next((k for k, row in self.patientRows.items() if row["PatientID"] == header.PatientID), None)
            if patient is None:
                patient = str(len(self.patientRows) + 1)
                self.addPatient(patient, str(header.PatientName), str(header.PatientID))
            if study not in self.studyRows:
                self.addStudy(study, patient, header.get("StudyDate", ""))
            if series not in self.seriesRows:
                fields = {
                    "SeriesDescription": header.get("SeriesDescription", ""),
                    "SeriesDate": header.get("SeriesDate", ""),
                    "FrameOfReferenceUID": header.get("FrameOfReferenceUID", ""),
                }
                self.addSeries(series, study, header.Modality, {}, **{name: str(v) for name, v in fields.items()})
            self.images[series][str(header.SOPInstanceUID)] = str(path)

    @classmethod
    def ofFile(cls, path: Path) -> FakeDatabase:
        """What a ctkDICOM.sql holds."""
        database = cls()
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            for table, key, rows in (
                ("Patients", "UID", database.patientRows),
                ("Studies", "StudyInstanceUID", database.studyRows),
                ("Series", "SeriesInstanceUID", database.seriesRows),
            ):
                for row in connection.execute(f"SELECT * FROM {table}"):
                    rows[str(row[key])] = {n: "" if row[n] is None else str(row[n]) for n in row.keys()}  # noqa: SIM118
            database.images = {uid: {} for uid in database.seriesRows}
            for row in connection.execute("SELECT * FROM Images"):
                database.images[row["SeriesInstanceUID"]][row["SOPInstanceUID"]] = str(path.parent / row["Filename"])
        return database

    # --- ctkDICOMDatabase ---

    def patients(self) -> tuple[str, ...]:
        self.asked["patients"] += 1
        return tuple(self.patientRows)

    def nameForPatient(self, patient: str) -> str:
        return self.fieldForPatient("PatientsName", patient)

    def fieldForPatient(self, field: str, patient: str) -> str:
        self.asked["fieldForPatient"] += 1
        return self.patientRows.get(patient, {}).get(field, "")

    def patientForStudy(self, studyUid: str) -> str:
        self.asked["patientForStudy"] += 1
        return self.studyRows.get(studyUid, {}).get("PatientsUID", "")

    def studiesForPatient(self, patient: str) -> tuple[str, ...]:
        self.asked["studiesForPatient"] += 1
        return tuple(uid for uid, row in self.studyRows.items() if row["PatientsUID"] == patient)

    def fieldForStudy(self, field: str, studyUid: str) -> str:
        self.asked["fieldForStudy"] += 1
        return self.studyRows.get(studyUid, {}).get(field, "")

    def seriesForStudy(self, studyUid: str) -> tuple[str, ...]:
        self.asked["seriesForStudy"] += 1
        return tuple(uid for uid, row in self.seriesRows.items() if row["StudyInstanceUID"] == studyUid)

    def fieldForSeries(self, field: str, seriesUid: str) -> str:
        self.asked["fieldForSeries"] += 1
        return self.seriesRows.get(seriesUid, {}).get(field, "")

    def studyForSeries(self, seriesUid: str) -> str:
        self.asked["studyForSeries"] += 1
        return self.seriesRows.get(seriesUid, {}).get("StudyInstanceUID", "")

    def filesForSeries(self, seriesUid: str) -> tuple[str, ...]:
        self.asked["filesForSeries"] += 1
        self.filesAskedFor.append(seriesUid)
        return tuple(self.images.get(seriesUid, {}).values())

    def instancesForSeries(self, seriesUid: str) -> tuple[str, ...]:
        self.asked["instancesForSeries"] += 1
        return tuple(self.images.get(seriesUid, {}))

    def fileForInstance(self, instanceUid: str) -> str:
        self.asked["fileForInstance"] += 1
        return next((images[instanceUid] for images in self.images.values() if instanceUid in images), "")
