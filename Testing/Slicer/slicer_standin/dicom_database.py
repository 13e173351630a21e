"""slicer.dicomDatabase: the methods of ctkDICOMDatabase over a real ctkDICOM.sql.

What goes in is the file that Slicer writes (schema 0.8.1); what comes out is what PythonQt gives: strings, "" for what
is not there, tuples for lists.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import dicom_schema
from .strict import Emitter

FILE_NAME = "ctkDICOM.sql"


class ctkDICOMDatabase(Emitter):
    """A DICOM database, open or not; the real one is closed until :meth:`openDatabase`."""

    _signals = (
        "opened",
        "closed",
        "databaseChanged",
        "patientAdded",
        "studyAdded",
        "seriesAdded",
        "instanceAdded",
        "patientRemoved",
        "studyRemoved",
        "seriesRemoved",
        "schemaUpdated",
        "displayedFieldsUpdated",
    )

    def __init__(self) -> None:
        super().__init__()
        self._connection: sqlite3.Connection | None = None
        self.databaseFilename = ""
        self.lastError = ""

    @property
    def isOpen(self) -> bool:
        return self._connection is not None

    @property
    def isInMemory(self) -> bool:
        return self.databaseFilename == ":memory:"

    @property
    def databaseDirectory(self) -> str:
        return "" if self.isInMemory else str(Path(self.databaseFilename).absolute().parent)

    def openDatabase(self, databaseFile: str, connectionName: str = "") -> bool:
        """Open the file, or make it where there is none; False, and ``lastError``, where that cannot be done."""
        wasOpen = self.isOpen
        self._disconnect()
        self.databaseFilename = str(databaseFile)
        try:
            connection = sqlite3.connect(self.databaseFilename, isolation_level=None, check_same_thread=False)
            if not connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
                for statement in dicom_schema.STATEMENTS:
                    connection.execute(statement)
        except sqlite3.Error as error:
            self.lastError = str(error)
            if wasOpen:
                self.closed.emit()
            return False
        self._connection = connection
        self.opened.emit()
        return True

    def closeDatabase(self) -> None:
        if self.isOpen:
            self._disconnect()
            self.closed.emit()

    # --- patients, studies, series ------------------------------------------------------------------------------------

    def patients(self) -> tuple[str, ...]:
        """Keys of the patients: the table's UID, not PatientID."""
        return self._column("SELECT UID FROM Patients")

    def studiesForPatient(self, patientUID: str) -> tuple[str, ...]:
        return self._column("SELECT StudyInstanceUID FROM Studies WHERE PatientsUID = ?", patientUID)

    def seriesForStudy(self, studyUID: str) -> tuple[str, ...]:
        return self._column("SELECT SeriesInstanceUID FROM Series WHERE StudyInstanceUID = ?", studyUID)

    def instancesForSeries(self, seriesUID: str, hits: int = -1) -> tuple[str, ...]:
        return self._column("SELECT SOPInstanceUID FROM Images WHERE SeriesInstanceUID = ? LIMIT ?", seriesUID, hits)

    def filesForSeries(self, seriesUID: str, hits: int = -1) -> tuple[str, ...]:
        """Absolute paths, in the order in which the files were imported."""
        names = self._column("SELECT Filename FROM Images WHERE SeriesInstanceUID = ? LIMIT ?", seriesUID, hits)
        return tuple(map(self._absolute, names))

    def patientForStudy(self, studyUID: str) -> str:
        return self._value("SELECT PatientsUID FROM Studies WHERE StudyInstanceUID = ?", studyUID)

    def studyForSeries(self, seriesUID: str) -> str:
        return self._value("SELECT StudyInstanceUID FROM Series WHERE SeriesInstanceUID = ?", seriesUID)

    def nameForPatient(self, patientUID: str) -> str:
        return self.fieldForPatient("PatientsName", patientUID)

    def displayedNameForPatient(self, patientUID: str) -> str:
        return self.fieldForPatient("DisplayedPatientsName", patientUID)

    def descriptionForStudy(self, studyUID: str) -> str:
        return self.fieldForStudy("StudyDescription", studyUID)

    def descriptionForSeries(self, seriesUID: str) -> str:
        return self.fieldForSeries("SeriesDescription", seriesUID)

    def fieldForPatient(self, field: str, patientUID: str) -> str:
        return self._field("Patients", "UID", field, patientUID)

    def fieldForStudy(self, field: str, studyUID: str) -> str:
        return self._field("Studies", "StudyInstanceUID", field, studyUID)

    def fieldForSeries(self, field: str, seriesUID: str) -> str:
        return self._field("Series", "SeriesInstanceUID", field, seriesUID)

    @property
    def patientFieldNames(self) -> tuple[str, ...]:
        return self._column("SELECT name FROM pragma_table_info('Patients')")

    @property
    def studyFieldNames(self) -> tuple[str, ...]:
        return self._column("SELECT name FROM pragma_table_info('Studies')")

    @property
    def seriesFieldNames(self) -> tuple[str, ...]:
        return self._column("SELECT name FROM pragma_table_info('Series')")

    def patientsCount(self) -> int:
        return self._count("Patients")

    def studiesCount(self) -> int:
        return self._count("Studies")

    def seriesCount(self) -> int:
        return self._count("Series")

    def imagesCount(self) -> int:
        return self._count("Images")

    def schemaVersion(self) -> str:
        return dicom_schema.VERSION

    def schemaVersionLoaded(self) -> str:
        return self._value("SELECT Version FROM SchemaInfo")

    # --- instances and files ------------------------------------------------------------------------------------------

    def allFiles(self) -> tuple[str, ...]:
        return tuple(map(self._absolute, self._column("SELECT Filename FROM Images")))

    def fileForInstance(self, instanceUID: str) -> str:
        name = self._value("SELECT Filename FROM Images WHERE SOPInstanceUID = ?", instanceUID)
        return self._absolute(name) if name else ""

    def instanceForFile(self, fileName: str) -> str:
        return self._value("SELECT SOPInstanceUID FROM Images WHERE Filename = ?", self._internal(fileName))

    def seriesForFile(self, fileName: str) -> str:
        return self._value("SELECT SeriesInstanceUID FROM Images WHERE Filename = ?", self._internal(fileName))

    def fileValue(self, fileName: str, tag: str) -> str:
        """Value of ``"gggg,eeee"`` as text, several separated by a backslash; "" where the file has none."""
        return _headerValue(str(fileName), tag) or ""

    def instanceValue(self, instanceUID: str, tag: str) -> str:
        path = self.fileForInstance(instanceUID)
        return self.fileValue(path, tag) if path else ""

    def fileValueExists(self, fileName: str, tag: str) -> bool:
        return _headerValue(str(fileName), tag) is not None

    def instanceValueExists(self, instanceUID: str, tag: str) -> bool:
        path = self.fileForInstance(instanceUID)
        return bool(path) and self.fileValueExists(path, tag)

    # --- removing -----------------------------------------------------------------------------------------------------

    def removeSeries(self, seriesUID: str, clearCachedTags: bool = False, cleanup: bool = True) -> bool:
        """Take a series out; files that the database copied go with it, the user's own stay."""
        storage = Path(self.databaseDirectory, "dicom")
        for name in self.filesForSeries(seriesUID):
            if storage in Path(name).parents:
                Path(name).unlink(missing_ok=True)
        study = self.studyForSeries(seriesUID)
        self._execute("DELETE FROM Images WHERE SeriesInstanceUID = ?", seriesUID)
        self._execute("DELETE FROM Series WHERE SeriesInstanceUID = ?", seriesUID)
        if cleanup and not self.seriesForStudy(study):
            self._removeStudyRow(study)
        self.seriesRemoved.emit(seriesUID)
        self.databaseChanged.emit()
        return True

    def removeStudy(self, studyUID: str, cleanup: bool = True) -> bool:
        for series in self.seriesForStudy(studyUID):
            self.removeSeries(series)
        self.studyRemoved.emit(studyUID)
        return True

    def removePatient(self, patientUID: str, cleanup: bool = True) -> bool:
        patientId = self.fieldForPatient("PatientID", patientUID)
        for study in self.studiesForPatient(patientUID):
            self.removeStudy(study)
        self.patientRemoved.emit(patientUID, patientId)
        return True

    def _removeStudyRow(self, studyUID: str) -> None:
        patient = self.patientForStudy(studyUID)
        self._execute("DELETE FROM Studies WHERE StudyInstanceUID = ?", studyUID)
        if not self.studiesForPatient(patient):
            self._execute("DELETE FROM Patients WHERE UID = ?", patient)

    # --- SQL ----------------------------------------------------------------------------------------------------------

    def _execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query; none when the database is closed or the query makes no sense to it (as in CTK)."""
        if self._connection is None:
            self.lastError = "database not open"
            return []
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self.lastError = str(error)
            return []

    def _column(self, statement: str, *values: Any) -> tuple[str, ...]:
        return tuple(_text(row[0]) for row in self._execute(statement, *values))

    def _value(self, statement: str, *values: Any) -> str:
        return next(iter(self._column(statement, *values)), "")

    def _field(self, table: str, key: str, field: str, value: str) -> str:
        return self._value(f"SELECT {field} FROM {table} WHERE {key} = ?", value)

    def _count(self, table: str) -> int:
        return int(self._value(f"SELECT count(*) FROM {table}") or 0)

    def _absolute(self, name: str) -> str:
        """The database names files that it copied relative to itself."""
        return (Path(self.databaseDirectory) / name).as_posix() if name else ""

    def _internal(self, name: str) -> str:
        path = Path(name)
        inside = path.is_absolute() and Path(self.databaseDirectory) in path.parents
        return path.relative_to(self.databaseDirectory).as_posix() if inside else path.as_posix()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _headerValue(fileName: str, tag: str) -> str | None:
    """None where the file cannot be read or lacks the tag."""
    try:
        changed = Path(fileName).stat().st_mtime_ns
    except OSError:
        return None
    return _header(fileName, changed).get(int(tag.replace(",", ""), 16))


@lru_cache(maxsize=4096)
def _header(fileName: str, changed: int) -> dict[int, str]:
    """Tag -> text of a file's top level; pixel data as an empty text. ``changed`` keeps the cache true."""
    import pydicom

    try:
        dataset = pydicom.dcmread(fileName, defer_size=1024)
    except (OSError, pydicom.errors.InvalidDicomError):
        return {}
    # Element by element: one that pydicom cannot make sense of must not cost the others.
    return {int(tag): _elementText(dataset, tag) for tag in dataset.keys()}  # noqa: SIM118 - iterating decodes all


_UNREADABLE = frozenset(("SQ", "OB", "OW", "OB or OW", "UN"))


def _elementText(dataset: Any, tag: Any) -> str:
    if tag == 0x7FE00010:
        return ""
    element = dataset[tag]
    if element.VR in _UNREADABLE or element.value is None:
        return ""
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(str(value) for value in values)
