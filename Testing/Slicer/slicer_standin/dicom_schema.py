"""Tables of a ctkDICOM.sql, schema 0.8.1, as read off a database that Slicer wrote."""

from __future__ import annotations

VERSION = "0.8.1"

_COLUMNS = {
    "Images": (
        "SOPInstanceUID VARCHAR(64) NOT NULL PRIMARY KEY, Filename VARCHAR(1024), URL VARCHAR(2048), "
        "SeriesInstanceUID VARCHAR(64) NOT NULL, InsertTimestamp VARCHAR(20) NOT NULL, "
        "DisplayedFieldsUpdatedTimestamp DATETIME"
    ),
    "Patients": (
        "UID INTEGER PRIMARY KEY AUTOINCREMENT, PatientsName VARCHAR(255), PatientID VARCHAR(255), "
        "PatientsBirthDate DATE, PatientsBirthTime TIME, PatientsSex VARCHAR(1), PatientsAge VARCHAR(10), "
        "PatientsComments VARCHAR(255), InsertTimestamp VARCHAR(20) NOT NULL, DisplayedPatientsName VARCHAR(255), "
        "DisplayedNumberOfStudies INT, DisplayedLastStudyDate DATE, DisplayedFieldsUpdatedTimestamp DATETIME, "
        "Connections VARCHAR(2048)"
    ),
    "Studies": (
        "StudyInstanceUID VARCHAR(64) NOT NULL PRIMARY KEY, PatientsUID INT NOT NULL, StudyID VARCHAR(255), "
        "StudyDate DATE, StudyTime VARCHAR(20), StudyDescription VARCHAR(255), AccessionNumber VARCHAR(255), "
        "ModalitiesInStudy VARCHAR(255), InstitutionName VARCHAR(255), ReferringPhysician VARCHAR(255), "
        "PerformingPhysiciansName VARCHAR(255), InsertTimestamp VARCHAR(20) NOT NULL, DisplayedNumberOfSeries INT, "
        "DisplayedFieldsUpdatedTimestamp DATETIME"
    ),
    "Series": (
        "SeriesInstanceUID VARCHAR(64) NOT NULL PRIMARY KEY, StudyInstanceUID VARCHAR(64) NOT NULL, SeriesNumber INT, "
        "SeriesDate DATE, SeriesTime VARCHAR(20), SeriesDescription VARCHAR(255), Modality VARCHAR(20), "
        "BodyPartExamined VARCHAR(255), FrameOfReferenceUID VARCHAR(64), AcquisitionNumber INT, "
        "ContrastAgent VARCHAR(255), ScanningSequence VARCHAR(45), EchoNumber INT, TemporalPosition INT, "
        "InsertTimestamp VARCHAR(20) NOT NULL, DisplayedCount INT, DisplayedSize VARCHAR(20), "
        "DisplayedNumberOfFrames INT, DisplayedFieldsUpdatedTimestamp DATETIME"
    ),
    "SchemaInfo": "Version VARCHAR(1024) NOT NULL",
    "Directories": "Dirname VARCHAR(1024) PRIMARY KEY",
    "ColumnDisplayProperties": (
        "TableName VARCHAR(64) NOT NULL, FieldName VARCHAR(64) NOT NULL, DisplayedName VARCHAR(255), "
        "Visibility INT DEFAULT 1, Weight INT, Format VARCHAR(255), PRIMARY KEY (TableName, FieldName)"
    ),
    "DisplayedFieldGeneratorRules": (
        "Name VARCHAR(64) NOT NULL PRIMARY KEY, Enabled INT DEFAULT 1, Options VARCHAR(255)"
    ),
}

STATEMENTS = (
    *(f"CREATE TABLE '{table}' ({columns})" for table, columns in _COLUMNS.items()),
    "CREATE INDEX ImagesFilenameIndex ON Images (Filename)",
    "CREATE INDEX ImagesSeriesIndex ON Images (SeriesInstanceUID)",
    "CREATE INDEX SeriesStudyIndex ON Series (StudyInstanceUID)",
    "CREATE INDEX StudiesPatientIndex ON Studies (PatientsUID)",
    f"INSERT INTO SchemaInfo VALUES ('{VERSION}')",
)
