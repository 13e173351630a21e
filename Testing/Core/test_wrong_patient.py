"""PET, CT and labs of different patients or days: refused where the files prove it, told where they only hint at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_objects import ct_series, pet_series, write_series

from PRRTPredictorCore.cohort.identity import study_code
from PRRTPredictorCore.cohort.labs import MAX_DAYS_FROM_PET, sampling_notices
from PRRTPredictorCore.dicom.index import index_source
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.errors import Code, CohortRefused, DicomRefused
from PRRTPredictorCore.imaging.cache import PreparedCohort, prepare_cohort
from PRRTPredictorCore.imaging.preprocess import PreprocessConfig, prepare_study
from PRRTPredictorCore.records import Characteristics, CohortPatient, Labs, Outcome, SeriesSource

pytestmark = pytest.mark.usefixtures("private_folders")

CONFIG = PreprocessConfig(shape=(6, 5, 5), remove_couch=False)
STUDY = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "PatientID": "CANARY-7"}
PET_DAY = date(2020, 1, 2)
EVERYBODY = ("ANONYMOUS", "anonymized", "Anon", "0000", "", "unknown", "DEIDENTIFIED", "n/a", " Anonymous ", "No ID")

Changes = dict[str, Any]


def examination(folder: Path, seed: int = 0, pet: Changes | None = None, ct: Changes | None = None) -> Path:
    """A small PET and CT of one study; ``pet`` and ``ct`` change what their headers say."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 30_000, (8, 6, 5)).astype(np.uint16)
    density = rng.integers(0, 2000, (8, 6, 5)).astype(np.int16)
    write_series(pet_series(counts, **{**STUDY, **(pet or {})}), folder / "pet")
    write_series(ct_series(density, **{**STUDY, **(ct or {})}), folder / "ct")
    return folder


def codes_of(folder: Path, pet: Changes | None = None, ct: Changes | None = None) -> list[str]:
    """Codes of what is said of such a study when it is prepared."""
    examination(folder, pet=pet, ct=ct)
    study = prepare_study(load_pet(folder / "pet"), load_ct(folder / "ct"), CONFIG)
    assert not [one for one in study.notices if "CANARY" in one.message or "19" in one.message]
    return [notice.code for notice in study.notices]


# --- PET and CT -------------------------------------------------------------------------------------------------------


def test_pet_and_ct_of_one_examination_are_in_order(tmp_path: Path) -> None:
    assert codes_of(tmp_path) == []


@pytest.mark.parametrize("other", ["CANARY-8", "anonymous patient", "00007"])
def test_pet_and_ct_of_two_patients_are_refused(tmp_path: Path, other: str) -> None:
    examination(tmp_path, ct={"PatientID": other})
    with pytest.raises(DicomRefused) as caught:
        prepare_study(load_pet(tmp_path / "pet"), load_ct(tmp_path / "ct"), CONFIG)
    assert caught.value.code is Code.PATIENT_DIFFERS
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("spelling", ["canary-7", "CANARY-7 ", "\uff23ANARY-7"])
def test_the_spelling_of_an_identifier_makes_no_second_patient(tmp_path: Path, spelling: str) -> None:
    assert codes_of(tmp_path, ct={"PatientID": spelling, "SpecificCharacterSet": "ISO_IR 192"}) == []


@pytest.mark.parametrize("nobody", EVERYBODY)
def test_a_name_that_everybody_has_proves_nothing(tmp_path: Path, nobody: str) -> None:
    assert codes_of(tmp_path / "same study", pet={"PatientID": nobody}, ct={"PatientID": nobody}) == []
    torn = codes_of(tmp_path / "torn", pet={"PatientID": nobody}, ct={"PatientID": nobody, "StudyInstanceUID": "1.9"})
    assert torn == ["STUDY_DIFFERS", "PATIENT_UNPROVED"]
    one_side = codes_of(tmp_path / "one", ct={"PatientID": nobody, "StudyInstanceUID": "1.9"})
    assert one_side == ["STUDY_DIFFERS", "PATIENT_UNPROVED"]


@pytest.mark.parametrize(
    ("pet", "ct", "said"),
    [
        ({"PatientSex": "F"}, {"PatientSex": "M"}, ["PERSON_DIFFERS"]),
        ({"PatientBirthDate": "19500102"}, {"PatientBirthDate": "19500103"}, ["PERSON_DIFFERS"]),
        ({"PatientSex": "F", "PatientBirthDate": "19500102"}, {"PatientSex": "O"}, []),
        ({"PatientSex": "F"}, {}, []),
        ({}, {"SeriesDate": "20200105"}, ["DATE_DIFFERS"]),
        ({}, {"StudyInstanceUID": "1.9"}, ["STUDY_DIFFERS"]),
        ({}, {"StudyInstanceUID": "1.9", "SeriesDate": "20210102"}, ["STUDY_DIFFERS", "DATE_DIFFERS"]),
    ],
)
def test_what_speaks_against_one_examination_is_told(
    tmp_path: Path, pet: Changes, ct: Changes, said: list[str]
) -> None:
    assert codes_of(tmp_path, pet, ct) == said


@pytest.mark.parametrize(("identifier", "paired"), [("CANARY-7", True), ("ANONYMOUS", False)])
def test_nobody_is_paired_across_studies_by_a_name_that_everybody_has(
    tmp_path: Path, identifier: str, paired: bool
) -> None:
    examination(tmp_path, pet={"PatientID": identifier}, ct={"PatientID": identifier, "StudyInstanceUID": "1.9"})
    assert len(index_source(tmp_path).pairs) == paired


# --- labs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "told"), [(0, 0), (120, 0), (-120, 0), (121, 1), (-121, 1), (4000, 1)])
def test_blood_and_pet_far_apart_are_told(days: int, told: int) -> None:
    labs = Labs(20, 20, 30, 100, sampled_on=PET_DAY + timedelta(days))
    notices = sampling_notices(labs, PET_DAY)
    assert len(notices) == told
    assert all(notice.code == "LABS_FAR_FROM_PET" and f"{abs(days)} days" in notice.message for notice in notices)
    assert MAX_DAYS_FROM_PET == 120


def test_blood_without_a_date_and_a_pet_without_one_are_not_compared() -> None:
    assert sampling_notices(Labs(20, 20, 30, 100), PET_DAY) == ()
    assert sampling_notices(Labs(20, 20, 30, 100, PET_DAY), None) == ()


# --- the rows of a cohort ---------------------------------------------------------------------------------------------


def row(number: int, folder: Path, code: str, **more: Any) -> CohortPatient:
    pet, ct = SeriesSource(folder=folder / "pet"), SeriesSource(folder=folder / "ct")
    labs = more.pop("labs", Labs(20, 20, 30, 100))
    return CohortPatient(code, number, pet, ct, labs, Outcome(20.0, True, True), **more)


def cohort(folder: Path, identifiers: Sequence[str], codes: Sequence[str] = ()) -> list[CohortPatient]:
    """One row for each PatientID; its study code is that of the PatientID unless another is given."""
    rows = []
    for number, identifier in enumerate(identifiers):
        study = f"1.2.3.{number}"
        changes = {"PatientID": identifier, "StudyInstanceUID": study, "PatientSex": "F"}
        place = examination(folder / str(number), number, changes, changes)
        code = codes[number] if codes else study_code(identifier)
        rows.append(row(number + 2, place, code, characteristics=Characteristics(sex="female")))
    return rows


def said(prepared: PreparedCohort) -> dict[str, list[str]]:
    found = {code: [notice.code for notice in prepared.study(code).notices] for code in prepared.codes}
    return {code: notices for code, notices in found.items() if notices}


def refusal(rows: Sequence[CohortPatient], cache: Path) -> CohortRefused:
    """The same refusal when the images are read and when they are found in the cache."""
    found = []
    for _ in range(2):
        with pytest.raises(CohortRefused) as caught:
            prepare_cohort(rows, CONFIG, cache)
        found.append(caught.value)
    assert str(found[0]) == str(found[1])
    assert "CANARY" not in str(found[0])
    assert found[0].remedy
    return found[0]


def test_one_patient_in_two_rows_is_refused_though_the_images_differ(tmp_path: Path) -> None:
    rows = cohort(tmp_path / "in", ["CANARY-1", "CANARY-2", "canary-1 "], ["P-1", "P-2", "P-3"])
    error = refusal(rows, tmp_path / "cache")
    assert (error.code, error.where) == (Code.COHORT_DUPLICATE, "rows 2 and 4")


def test_exchanged_folders_are_refused(tmp_path: Path) -> None:
    rows = cohort(tmp_path / "in", ["CANARY-1", "CANARY-2", "CANARY-3"])
    swapped = [replace(rows[0], pet=rows[1].pet, ct=rows[1].ct), replace(rows[1], pet=rows[0].pet, ct=rows[0].ct)]
    error = refusal([*swapped, rows[2]], tmp_path / "cache")
    assert (error.code, error.where) == (Code.PATIENT_DIFFERS, "row 2")
    assert "row 3" in error.message


def test_patients_whom_deidentification_named_alike_are_accepted(tmp_path: Path) -> None:
    rows = cohort(tmp_path / "in", ["ANONYMOUS", "ANONYMOUS", ""], ["P-1", "P-2", "P-3"])
    assert said(prepare_cohort(rows, CONFIG, tmp_path / "cache")) == {}


def test_images_that_name_somebody_outside_of_the_table_are_told(tmp_path: Path) -> None:
    rows = cohort(tmp_path / "in", ["CANARY-1", "CANARY-2", "CANARY-9"])
    rows[2] = replace(rows[2], code="P-3")
    for _ in ("read", "found in the cache"):
        assert said(prepare_cohort(rows, CONFIG, tmp_path / "cache")) == {"P-3": ["PATIENT_NAMED_OTHERWISE"]}
    pseudonyms = [replace(one, code=f"P-{one.row}") for one in rows]
    assert said(prepare_cohort(pseudonyms, CONFIG, tmp_path / "cache")) == {}  # a table with names of its own


def test_sex_and_dates_that_the_images_contradict_are_told(tmp_path: Path) -> None:
    rows = cohort(tmp_path / "in", ["CANARY-1", "CANARY-2", "CANARY-3", "CANARY-4"])
    late = Labs(20, 20, 30, 100, PET_DAY + timedelta(200))
    rows[0] = replace(rows[0], characteristics=Characteristics(sex="male"))
    rows[1] = replace(rows[1], pet_date=PET_DAY + timedelta(3))
    rows[2] = replace(rows[2], labs=late, pet_date=PET_DAY)
    rows[3] = replace(rows[3], characteristics=Characteristics(), labs=replace(late, sampled_on=PET_DAY))
    expected = {rows[0].code: ["SEX_DIFFERS"], rows[1].code: ["PET_DATE_DIFFERS"], rows[2].code: ["LABS_FAR_FROM_PET"]}
    for jobs in (1, 2):
        assert said(prepare_cohort(rows, CONFIG, tmp_path / "cache", jobs)) == expected


def test_the_cache_knows_patients_by_keyed_codes_alone(tmp_path: Path) -> None:
    rows = cohort(tmp_path / "in", ["CANARY-1", "CANARY-2"], ["P-1", "P-2"])
    prepare_cohort(rows, CONFIG, tmp_path / "cache")
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    assert b"CANARY" not in content
    assert b"1.2.3.0" not in content
    assert study_code("CANARY-1").encode() in content
