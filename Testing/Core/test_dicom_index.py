"""The index: which PET and CT belong together, and why every other series was left out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_objects import DATA, ct_series, multiframe, pet_series, write_series
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from PRRTPredictorCore.dicom.index import index_source, series_files
from PRRTPredictorCore.errors import Code, DicomRefused
from PRRTPredictorCore.records import SeriesSource, StudyIndex

SCREENSHOT = "1.2.840.10008.5.1.4.1.1.7"


def study(**changes: Any) -> dict[str, Any]:
    """Attributes that the series of one examination share."""
    return {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid(), **changes}


def pet(shared: dict[str, Any], slices: int = 8, **changes: Any) -> list[Dataset]:
    return pet_series(np.ones((slices, 4, 4), np.uint16), **{"spacing": (10.0, 10.0), **shared, **changes})


def ct(shared: dict[str, Any], slices: int = 8, **changes: Any) -> list[Dataset]:
    return ct_series(np.ones((slices, 8, 8), np.int16), **{"spacing": (5.0, 5.0), **shared, **changes})


def index_of(folder: Path, *many: list[Dataset] | Dataset) -> StudyIndex:
    for number, series in enumerate(many):
        write_series(series, folder / f"series {number}")
    return index_source(folder)


def uid(series: list[Dataset]) -> str:
    return str(series[0].SeriesInstanceUID)


def left_out(index: StudyIndex) -> dict[str, str]:
    return {left.series_uid: left.code for left in index.left_out}


def notices(index: StudyIndex) -> list[set[str]]:
    return [{notice.code for notice in pair.notices} for pair in index.pairs]


def chosen(index: StudyIndex) -> list[tuple[str, str]]:
    return [(pair.pet.series_uid, pair.ct.series_uid) for pair in index.pairs]


# --- real folders -----------------------------------------------------------------------------------------------------


def test_real_study_with_a_scout():
    folder = DATA / "acrin-nsclc-042-petct"
    if not folder.exists():
        pytest.skip("real data missing: acrin-nsclc-042-petct")
    steps: list[tuple[str, int, int]] = []
    index = index_source(folder, lambda stage, done, total, message="": steps.append((stage, done, total)))
    (pair,) = index.pairs
    assert (len(pair.pet.files), len(pair.ct.files)) == (135, 135)
    assert pair.same_frame_of_reference
    assert {path.parent.name for path in pair.pet.files} == {"PET"}
    assert [left.code for left in index.left_out] == ["LOCALIZER"]
    assert steps[-1] == ("index", 272, 272)


def test_real_crops_with_structure_sets():
    folder = DATA / "ibsi-sts-petct-crops"
    if not folder.exists():
        pytest.skip("real data missing: ibsi-sts-petct-crops")
    index = index_source(folder)
    assert [pair.patient for pair in index.pairs] == ["STS_002", "STS_007", "STS_018"]
    assert {left.code for left in index.left_out} == {"OTHER_MODALITY"}


# --- a pair -----------------------------------------------------------------------------------------------------------


def test_one_pair_whatever_the_file_names(tmp_path: Path):
    shared = study()
    p, c = pet(shared), ct(shared)
    write_series(p, tmp_path / "a", names=[f"IM{8 - k}" for k in range(8)])
    write_series(c, tmp_path / "a" / "b", names=[f"{k}.x" for k in range(8)])
    (tmp_path / "readme.txt").write_text("not DICOM")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 200)
    index = index_source(tmp_path)
    assert chosen(index) == [(uid(p), uid(c))]
    assert index.left_out == ()
    assert notices(index) == [set()]
    (pair,) = index.pairs
    assert pair.patient == "CANARY-ID"
    assert all(file.is_absolute() and file.is_file() for file in (*pair.pet.files, *pair.ct.files))


def test_multi_frame_pair(tmp_path: Path):
    shared = study()
    p, c = multiframe(pet(shared), legacy=True), multiframe(ct(shared))
    index = index_of(tmp_path, p, c)
    assert [(len(pair.pet.files), len(pair.ct.files)) for pair in index.pairs] == [(1, 1)]


def test_attenuation_corrected_is_preferred(tmp_path: Path):
    shared = study()
    nac, ac, c = pet(shared, CorrectedImage=["DECY"], slices=9), pet(shared), ct(shared)
    index = index_of(tmp_path, nac, ac, c)
    assert chosen(index) == [(uid(ac), uid(c))]
    assert left_out(index) == {uid(nac): "NOT_ATTENUATION_CORRECTED"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"CorrectedImage": ["DECY"]}, "NOT_ATTENUATION_CORRECTED"),
        ({"Units": "PROPCNTS"}, "UNITS_UNSUPPORTED"),
        ({"CollimatorType": "PARA"}, "NOT_PET"),
        ({"PatientWeight": 0}, "SUV_WEIGHT"),
        ({"SeriesType": ["WHOLE BODY", "REPROJECTION"]}, "PROJECTION"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "PROJECTION"),
        ({"SOPClassUID": SCREENSHOT}, "NO_IMAGE_SLICES"),
        ({"positions": np.zeros((8, 3)), "orientation": (1, 0, 0, 1, 0, 0)}, "BAD_GEOMETRY"),
    ],
)
def test_pet_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], code: str):
    shared = study()
    p, c = pet(shared, **changes), ct(shared)
    assert left_out(index_of(tmp_path, p, c)) == {uid(p): code, uid(c): "NO_PET"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "LOCALIZER"),
        ({"ScanOptions": "SCOUT MODE"}, "LOCALIZER"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "NO_IMAGE_SLICES"),
        ({"SOPClassUID": SCREENSHOT}, "NO_IMAGE_SLICES"),
        ({"slices": 1}, "TOO_FEW_SLICES"),
        ({"orientation": (1, 0, 0, 0, 0, -1), "ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "REFORMAT"),
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "OTHER_MODALITY"),
    ],
)
def test_ct_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], code: str):
    shared = study()
    p, c = pet(shared), ct(shared, **changes)
    assert left_out(index_of(tmp_path, p, c)) == {uid(p): "NO_CT", uid(c): code}


def test_pet_alone_and_ct_alone(tmp_path: Path):
    p, c = pet(study(PatientID="ONE")), ct(study(PatientID="TWO"))
    assert left_out(index_of(tmp_path, p, c)) == {uid(p): "NO_CT", uid(c): "NO_PET"}


def test_patients_are_never_mixed(tmp_path: Path):
    shared = study()
    p, c = pet(shared, PatientID="ONE"), ct(shared, PatientID="TWO")
    assert index_of(tmp_path, p, c).pairs == ()


# --- which CT ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"slices": 8}, {"slices": 4}),
        ({"slices": 16, "step_mm": 1.5}, {"slices": 8}),
        ({"spacing": (5.0, 5.0)}, {"spacing": (1.0, 1.0)}),
        ({"ConvolutionKernel": "SOFT"}, {"ConvolutionKernel": "LUNG", "slices": 16, "step_mm": 1.5}),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}),
        ({"SeriesDescription": "CT AC"}, {"SeriesDescription": "CT thorax"}),
        ({}, {"FrameOfReferenceUID": "1.2.3"}),
        ({"SeriesTime": "105900"}, {"SeriesTime": "150000", "slices": 16, "step_mm": 1.5}),
    ],
    ids=["covers", "finer", "wider", "soft", "original", "for AC", "frame", "near in time"],
)
def test_the_ct_that_fits(tmp_path: Path, better: dict[str, Any], worse: dict[str, Any]):
    shared = study()
    p, good, poor = pet(shared), ct(shared, **better), ct(shared, **worse)
    index = index_of(tmp_path, poor, p, good)
    assert chosen(index) == [(uid(p), uid(good))]
    assert left_out(index) == {uid(poor): "BETTER_SERIES"}


def test_partial_ct_is_told(tmp_path: Path):
    shared = study()
    index = index_of(tmp_path, pet(shared), ct(shared, slices=4))
    assert notices(index) == [{"CT_COVERS_PART"}]


def test_ct_of_another_region_is_no_partner(tmp_path: Path):
    shared = study()
    p, c = pet(shared), ct(shared, origin=(-10.0, -20.0, 500.0))
    assert left_out(index_of(tmp_path, p, c)) == {uid(p): "NO_OVERLAP", uid(c): "NO_OVERLAP"}


def test_other_frame_of_reference_is_told_not_dropped(tmp_path: Path):
    shared = study()
    index = index_of(tmp_path, pet(shared), ct(shared, FrameOfReferenceUID=generate_uid()))
    assert notices(index) == [{"FRAME_OF_REFERENCE_DIFFERS"}]
    assert not index.pairs[0].same_frame_of_reference


def test_study_torn_apart_by_deidentification(tmp_path: Path):
    p, c = pet(study()), ct(study())
    index = index_of(tmp_path, p, c)
    assert chosen(index) == [(uid(p), uid(c))]
    assert notices(index) == [{"FRAME_OF_REFERENCE_DIFFERS", "STUDY_DIFFERS"}]


def test_follow_up_is_another_examination(tmp_path: Path):
    p, c = pet(study()), ct(study(SeriesDate="20200601", StudyDate="20200601"))
    assert index_of(tmp_path, p, c).pairs == ()


# --- which PET --------------------------------------------------------------------------------------------------------


def test_two_reconstructions_make_one_pair(tmp_path: Path):
    shared = study()
    fine, coarse, c = pet(shared, slices=16, step_mm=1.5), pet(shared), ct(shared)
    index = index_of(tmp_path, coarse, fine, c)
    assert chosen(index) == [(uid(fine), uid(c))]
    assert left_out(index) == {uid(coarse): "BETTER_SERIES"}


def test_delayed_scan_with_its_own_ct_makes_a_second_pair(tmp_path: Path):
    shared, late = study(), {"SeriesTime": "123000", "AcquisitionTime": "123000"}
    p, c = pet(shared), ct(shared, SeriesTime="105900")
    delayed, delayed_ct = pet(shared, slices=5, **late), ct(shared, slices=5, SeriesTime="122900")
    index = index_of(tmp_path, p, c, delayed, delayed_ct)
    assert set(chosen(index)) == {(uid(p), uid(c)), (uid(delayed), uid(delayed_ct))}
    assert index.left_out == ()


def test_delayed_scan_on_the_same_ct_is_left_out(tmp_path: Path):
    shared = study()
    p, c = pet(shared), ct(shared)
    delayed = pet(shared, slices=5, SeriesTime="123000", AcquisitionTime="123000")
    index = index_of(tmp_path, delayed, p, c)
    assert chosen(index) == [(uid(p), uid(c))]
    assert left_out(index) == {uid(delayed): "BETTER_SERIES"}


# --- files ------------------------------------------------------------------------------------------------------------


def test_copies_of_a_file_count_once(tmp_path: Path):
    shared = study()
    p, c = pet(shared), ct(shared)
    index = index_of(tmp_path, p, c, p[:3])
    assert len(index.pairs[0].pet.files) == 8
    assert notices(index) == [{"FILES_REPEATED"}]


def test_scout_inside_the_ct_series_is_taken_out(tmp_path: Path):
    shared = study(SeriesInstanceUID="1.2.3.4")
    p = pet({**shared, "SeriesInstanceUID": "1.2.3.5"})
    c, scout = ct(shared), ct(shared, slices=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    index = index_of(tmp_path, p, c, scout)
    assert len(index.pairs[0].ct.files) == 8
    assert left_out(index) == {"1.2.3.4": "LOCALIZER"}


def test_damaged_file_is_named_and_the_rest_is_found(tmp_path: Path):
    shared = study()
    p, c = pet(shared), ct(shared)
    (tmp_path / "broken.dcm").touch()
    index = index_of(tmp_path, p, c)
    assert len(index.pairs) == 1
    assert [(left.series_uid, left.code) for left in index.left_out] == [("", "TRUNCATED")]


def test_refusals_of_the_source(tmp_path: Path):
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.mkdir()
    text.mkdir()
    (text / "notes.txt").write_text("nothing here")
    for path, code in [
        (tmp_path / "nowhere", Code.PATH_MISSING),
        (empty, Code.EMPTY_FOLDER),
        (text, Code.NOT_DICOM),
        (text / "notes.txt", Code.NOT_DICOM),
    ]:
        with pytest.raises(DicomRefused) as caught:
            index_source(path)
        assert caught.value.code is code
        assert caught.value.remedy


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_among_the_files(tmp_path: Path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "1").write_bytes(b"x")
    (tmp_path / "a-b").write_bytes(b"x")
    (tmp_path / "file").symlink_to(inner / "1")
    for name, target in (("loop", tmp_path / "loop"), ("gone", tmp_path / "nowhere"), ("folder", inner)):
        (tmp_path / name).symlink_to(target)
    assert series_files(SeriesSource(folder=tmp_path)) == (inner / "1", tmp_path / "a-b", tmp_path / "file")


def test_series_files_of_a_folder(tmp_path: Path):
    shared = study()
    p, c = pet(shared), ct(shared)
    pet_paths, ct_paths = write_series(p, tmp_path / "p"), write_series(c, tmp_path / "c")
    assert set(series_files(SeriesSource(folder=tmp_path))) == {*pet_paths, *ct_paths}
    assert series_files(SeriesSource(folder=tmp_path, series_uid=uid(c))) == tuple(ct_paths)
    for source, code in [
        (SeriesSource(folder=tmp_path, series_uid="1.2.3"), Code.SERIES_MISSING),
        (SeriesSource(folder=tmp_path / "nowhere"), Code.PATH_MISSING),
        (SeriesSource(series_uid="1.2.3"), Code.PATH_MISSING),
        (SeriesSource(series_uid="1.2.3", database=tmp_path / "ctkDICOM.sql"), Code.PATH_MISSING),
    ]:
        with pytest.raises(DicomRefused) as caught:
            series_files(source)
        assert caught.value.code is code
