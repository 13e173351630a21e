"""The study table and the pair behind a row, on a fake database, on real folders and on Slicer's own database file."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from database_fake import FakeDatabase

from PRRTPredictorCore.errors import Code, DicomRefused
from PRRTPredictorLib import Database

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SLICER_DATABASE = DATA / "slicer-dicom-database" / "ctkDICOM.sql"
STS_002 = "1.3.6.1.4.1.14519.5.2.1.5168.1900.190311276211389538203367070477"
PHANTOM = "1.2.826.0.1.3680043.8.498.9552046624551246673304"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


def refusal(call, *arguments) -> DicomRefused:
    with pytest.raises(DicomRefused) as caught:
        call(*arguments)
    assert caught.value.remedy
    return caught.value


def clinic() -> FakeDatabase:
    """One patient with PET and CT in one study, one with both in two studies, one with PET only, one with CT only."""
    database = FakeDatabase()
    for number, name in enumerate(("B^ONE", "A^TWO", "C^PETONLY", "D^CTONLY", "E^MR"), start=1):
        database.addPatient(str(number), name, f"ID-{number}")
    database.addStudy("1.1", "1", "20200102")
    database.addStudy("1.2", "1", "2021-03-04")
    for study in ("1.1", "1.2"):
        database.addSeries(f"{study}.1", study, "PT", 135, SeriesDescription="WB AC", DisplayedCount="135")
        database.addSeries(f"{study}.2", study, "CT", 2, SeriesDescription="Scout", DisplayedCount="2")
        database.addSeries(f"{study}.3", study, "CT", 300, SeriesDescription="CT AC", DisplayedCount="0")
    database.addStudy("2.1", "2", "2020-05-05")
    database.addStudy("2.2", "2", "2020-05-05")
    database.addStudy("2.3", "2", "2019-01-01")
    database.addSeries("2.1.1", "2.1", "PT", 90, SeriesDescription="PET", SeriesDate="2020-05-05")
    database.addSeries("2.2.1", "2.2", "CT", 1, SeriesDescription="", SeriesDate="2020-05-06")
    database.addSeries("2.3.1", "2.3", "CT", 50, SeriesDescription="old", SeriesDate="2019-01-01")
    database.addStudy("3.1", "3", "")
    database.addSeries("3.1.1", "3.1", "PT", 20)
    database.addStudy("4.1", "4")
    database.addSeries("4.1.1", "4.1", "CT", 20)
    database.addStudy("5.1", "5")
    database.addSeries("5.1.1", "5.1", "MR", 20)
    return database


def test_the_table_names_patient_date_series_and_what_is_missing() -> None:
    rows = Database.listStudies(clinic())
    told = [(row.patient, row.patientId, row.date, row.studyUid, row.pet, row.ct, row.missing) for row in rows]
    both = ("WB AC, 135 images", "CT AC, 300 images (+1)", "")
    assert told == [
        ("A TWO", "ID-2", "2020-05-05", "2.1", "PET, 90 images", "unnamed series, 1 image (in another study)", ""),
        ("A TWO", "ID-2", "2019-01-01", "2.3", "", "old, 50 images", "no PET"),
        ("B ONE", "ID-1", "2021-03-04", "1.2", *both),
        ("B ONE", "ID-1", "2020-01-02", "1.1", *both),
        ("C PETONLY", "ID-3", "", "3.1", "unnamed series, 20 images", "", "no CT"),
        ("D CTONLY", "ID-4", "2020-01-02", "4.1", "", "unnamed series, 20 images", "no PET"),
    ]


def test_a_ct_of_another_day_or_another_patient_is_not_taken_for_the_pets() -> None:
    database = FakeDatabase()
    for patient in ("1", "2"):
        database.addPatient(patient, "N", "same-name")
    database.addStudy("1.1", "1", "2020-05-05")
    database.addSeries("1.1.1", "1.1", "PT", 9, SeriesDate="2020-05-05")
    database.addStudy("1.2", "1", "2020-05-08")
    database.addSeries("1.2.1", "1.2", "CT", 9, SeriesDate="2020-05-08")
    database.addStudy("2.1", "2", "2020-05-05")
    database.addSeries("2.1.1", "2.1", "CT", 9, SeriesDate="2020-05-05")
    assert {row.studyUid: row.missing for row in Database.listStudies(database)} == {
        "1.1": "no CT",
        "1.2": "no PET",
        "2.1": "no PET",
    }
    database.seriesRows["1.1.1"]["FrameOfReferenceUID"] = database.seriesRows["1.2.1"]["FrameOfReferenceUID"] = "9.9"
    assert {row.studyUid: row.missing for row in Database.listStudies(database)} == {"1.1": "", "2.1": "no PET"}


def test_five_hundred_studies_are_listed_in_a_moment_without_looking_at_a_file() -> None:
    database = FakeDatabase()
    for number in range(500):
        database.addPatient(str(number), f"P^{number:03d}", f"ID-{number}")
        database.addStudy(f"{number}.1", str(number))
        for index, modality in enumerate(("PT", "CT", "CT", "SR")):
            fields = {"SeriesDescription": "x", "DisplayedCount": "300"}
            database.addSeries(f"{number}.1.{index}", f"{number}.1", modality, 300, **fields)
    # The fake searches whole tables; what counts in a real database is how many fields are asked for.
    bySeries: dict[str, list[str]] = {}
    for uid, row in database.seriesRows.items():
        bySeries.setdefault(row["StudyInstanceUID"], []).append(uid)
    database.seriesForStudy = lambda study: tuple(bySeries[study])
    database.studiesForPatient = lambda patient: (f"{patient}.1",)
    started = time.thread_time()
    rows = Database.listStudies(database)
    assert len(rows) == 500
    assert all(row.missing == "" for row in rows)
    assert time.thread_time() - started < 2
    assert sum(database.asked.values()) <= 500 * 15
    assert not database.filesAskedFor


@pytest.mark.parametrize("call", [Database.listStudies, lambda database: Database.findPair(database, "1.1")])
def test_without_an_open_database_both_doors_refuse(call) -> None:
    closed = clinic()
    closed.isOpen = False
    for database in (None, closed):
        assert refusal(call, database).code is Code.DATABASE_UNREADABLE


def test_an_empty_database_is_an_empty_table() -> None:
    assert Database.listStudies(FakeDatabase()) == ()


def test_studies_that_are_gone_or_hold_no_pet_are_refused() -> None:
    database = clinic()
    assert refusal(Database.findPair, database, "7.7").code is Code.SERIES_MISSING
    for study in ("4.1", "5.1"):
        assert refusal(Database.findPair, database, study).code is Code.NO_PET


def test_files_that_are_gone_are_told() -> None:
    error = refusal(Database.findPair, clinic(), "1.1")
    assert error.code is Code.PATH_MISSING
    assert "135 of 135" in error.message


# --- real series ------------------------------------------------------------------------------------------------------


@needs_data
def test_slicers_own_database() -> None:
    database = FakeDatabase.ofFile(SLICER_DATABASE)
    rows = {row.patientId: row for row in Database.listStudies(database)}
    assert [rows[key].missing for key in ("STS_002", "STS_007", "DRO")] == ["", "", "no CT"]
    assert rows["STS_002"].pet == "IBSI_1_STS_002_PET_image, 48 images"
    assert rows["STS_002"].date == "2006-01-28"
    told = []
    pair = Database.findPair(database, STS_002, lambda stage, done, total, message="": told.append((done, total)))
    assert (len(pair.pet.files), len(pair.ct.files)) == (48, 48)
    assert pair.patient == "STS_002"
    assert pair.same_frame_of_reference
    assert told[-1] == (96, 96)
    error = refusal(Database.findPair, database, PHANTOM)
    assert error.code is Code.NO_CT


@needs_data
def test_no_file_of_another_patient_is_opened() -> None:
    database = FakeDatabase.ofFile(SLICER_DATABASE)
    Database.findPair(database, STS_002)
    assert {database.studyForSeries(uid) for uid in database.filesAskedFor} == {STS_002}


@needs_data
def test_the_real_pair_is_found_beside_its_scout() -> None:
    database = FakeDatabase()
    database.addFolder(DATA / "acrin-nsclc-042-petct")
    (row,) = Database.listStudies(database)
    assert row.missing == ""
    assert row.ct.endswith("135 images (+1)")
    pair = Database.findPair(database, row.studyUid)
    assert (len(pair.pet.files), len(pair.ct.files)) == (135, 135)


@needs_data
def test_a_pet_beside_a_scout_alone_is_refused_with_the_reason() -> None:
    database = FakeDatabase()
    for folder in ("PET", "SCOUT"):
        database.addFolder(DATA / "acrin-nsclc-042-petct" / folder)
    (row,) = Database.listStudies(database)
    error = refusal(Database.findPair, database, row.studyUid)
    assert error.code is Code.NO_CT
    assert "scout" in error.message


# --- made series: two studies, several PET ----------------------------------------------------------------------------


@pytest.fixture
def objects(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "Core"))
    import dicom_objects

    return dicom_objects


def test_pet_and_ct_in_two_studies_of_one_patient_make_a_pair(tmp_path, objects) -> None:
    stored = np.arange(5 * 4 * 4, dtype=np.int16).reshape(5, 4, 4)
    objects.write_series(objects.pet_series(stored, StudyInstanceUID="1.1"), tmp_path / "pet")
    objects.write_series(objects.ct_series(stored, StudyInstanceUID="1.2"), tmp_path / "ct")
    far = {"StudyInstanceUID": "1.3", "StudyDate": "20190101", "SeriesDate": "20190101"}
    objects.write_series(objects.ct_series(stored, **far), tmp_path / "old")
    database = FakeDatabase()
    database.addFolder(tmp_path)
    pair = Database.findPair(database, "1.1")
    assert (pair.pet.study_uid, pair.ct.study_uid) == ("1.1", "1.2")
    assert "STUDY_DIFFERS" in {notice.code for notice in pair.notices}
    assert all(database.studyForSeries(uid) != "1.3" for uid in database.filesAskedFor)  # another day: not even read


def test_of_several_pets_the_cores_rule_chooses(tmp_path, objects) -> None:
    stored = np.arange(6 * 4 * 4, dtype=np.int16).reshape(6, 4, 4)
    study = {"StudyInstanceUID": "1.1"}
    objects.write_series(objects.ct_series(stored, **study), tmp_path / "ct")
    objects.write_series(objects.pet_series(stored, SeriesInstanceUID="1.1.1", **study), tmp_path / "ac")
    uncorrected = objects.pet_series(stored, SeriesInstanceUID="1.1.2", CorrectedImage=["DECY"], **study)
    objects.write_series(uncorrected, tmp_path / "nac")
    objects.write_series(objects.pet_series(stored[:4], SeriesInstanceUID="1.1.3", **study), tmp_path / "part")
    database = FakeDatabase()
    database.addFolder(tmp_path)
    (row,) = Database.listStudies(database)
    assert row.pet.endswith("6 images (+2)")
    assert Database.findPair(database, "1.1").pet.series_uid == "1.1.1"


def test_a_ct_whose_neighbour_pet_has_a_better_one_is_refused(tmp_path, objects) -> None:
    stored = np.arange(6 * 4 * 4, dtype=np.int16).reshape(6, 4, 4)
    objects.write_series(objects.pet_series(stored, StudyInstanceUID="1.1"), tmp_path / "pet")
    objects.write_series(objects.ct_series(stored, StudyInstanceUID="1.1"), tmp_path / "ct")
    objects.write_series(objects.ct_series(stored, StudyInstanceUID="1.2"), tmp_path / "other")
    database = FakeDatabase()
    database.addFolder(tmp_path)
    assert refusal(Database.findPair, database, "1.2").code is Code.NO_PET


def test_a_pet_that_is_refused_says_why(tmp_path, objects) -> None:
    stored = np.arange(6 * 4 * 4, dtype=np.int16).reshape(6, 4, 4)
    study = {"StudyInstanceUID": "1.1"}
    objects.write_series(objects.ct_series(stored, **study), tmp_path / "ct")
    objects.write_series(objects.pet_series(stored, CorrectedImage=["DECY"], **study), tmp_path / "nac")
    database = FakeDatabase()
    database.addFolder(tmp_path)
    assert refusal(Database.findPair, database, "1.1").code is Code.NOT_ATTENUATION_CORRECTED
