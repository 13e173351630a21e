"""Studies between files, memory and scene: the core's values whoever decoded the pixels; nothing lost, nothing left.

Real series are the touchstones: JPEG-LS with a slope for every slice, PET that is SUV already, and the database that
Slicer itself wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from database_fake import FakeDatabase
from pydicom import dcmread

from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.errors import Code, DicomRefused, GeometryRefused, InputRefused, PRRTError
from PRRTPredictorCore.records import Acquisition, LoadedSeries, Notice, Person, SuvReport, Volume
from PRRTPredictorLib import Study
from PRRTPredictorLib.Database import findPair, listStudies
from PRRTPredictorLib.Hierarchy import hierarchyOf, itemsOf, patientIdOf
from PRRTPredictorLib.Volumes import addVolumeNode, unitOfNode, voxelsOfNode

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
vtk = pytest.importorskip("vtk")

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
ACRIN = DATA / "acrin-nsclc-042-petct"
CROPS = DATA / "ibsi-sts-petct-crops" / "STS_007"
DRO = DATA / "suv-dro" / "DRO_1_0"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


def series(modality="PT", unit="SUVbw", seed=0, study="1.1", patient="") -> LoadedSeries:
    affine = np.diag([3.0, 4.0, 5.0, 1.0])
    affine[:3, 3] = (-10, -20, -30)
    values = np.random.default_rng(seed).random((4, 5, 6)).astype(np.float32)
    notices = (Notice("CODE", 'a "quoted"; 50 % : odd – text'),)
    acquisition = Acquisition("ACME; Ltd", "Model: 1", date(2020, 1, 2), "yes", "DOTATOC Ga-68", True)
    suv = SuvReport("BQML", "", 0.25, "path", "tracer", "ACME") if modality == "PT" else None
    volume = Volume(values, affine, modality, unit)
    return LoadedSeries(volume, acquisition, "9.9", study, f"{study}.{modality}", notices, suv, Person(patient))


def study() -> Study.LoadedStudy:
    return Study.LoadedStudy(series(), series("CT", "HU", 1))


def same(one: LoadedSeries, other: LoadedSeries, atol: float = 0.0) -> None:
    np.testing.assert_allclose(one.volume.array, other.volume.array, rtol=0, atol=atol)
    np.testing.assert_allclose(one.volume.ijk_to_lps, other.volume.ijk_to_lps, atol=1e-6)
    assert (one.volume.modality, one.volume.unit) == (other.volume.modality, other.volume.unit)
    for field in ("acquisition", "frame_of_reference_uid", "study_uid", "series_uid", "notices", "suv"):
        assert getattr(one, field) == getattr(other, field)


def refusal(kind: type[PRRTError], call, *arguments, **options) -> PRRTError:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    assert caught.value.remedy
    return caught.value


def pairOf(*folders: Path):
    database = FakeDatabase()
    for folder in folders:
        database.addFolder(folder)
    (row,) = listStudies(database)
    return findPair(database, row.studyUid)


def nodeIds(scene) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


# --- files to memory --------------------------------------------------------------------------------------------------


@needs_data
def test_a_pair_loads_as_the_core_loads_it() -> None:
    pair = pairOf(CROPS / "PET" / "image", CROPS / "CT" / "image")
    loaded = Study.loadPair(pair)
    same(loaded.pet, load_pet(pair.pet.files))
    same(loaded.ct, load_ct(pair.ct.files))
    assert loaded.pet.suv.suv_type == "BW"
    assert loaded.pet.volume.array.max() == pytest.approx(25.1989, abs=1e-3)


@needs_data
def test_what_only_the_pairing_knows_stays_a_notice() -> None:
    pair = pairOf(CROPS / "PET" / "image", CROPS / "CT" / "image")
    told = (Notice("STUDY_DIFFERS", "x"), Notice("FRAME_OF_REFERENCE_DIFFERS", "y"))
    notices = Study.loadPair(replace(pair, notices=told)).pet.notices
    assert [notice.code for notice in notices][-1] == "STUDY_DIFFERS"


@needs_data
def test_two_patients_are_not_one_study() -> None:
    pair = pairOf(CROPS / "PET" / "image", CROPS / "CT" / "image")
    other = pairOf(*(DATA / "ibsi-sts-petct-crops" / "STS_002" / name / "image" for name in ("PET", "CT")))
    assert refusal(DicomRefused, Study.loadPair, replace(pair, ct=other.ct)).code is Code.PATIENT_DIFFERS


# --- memory to scene and back -----------------------------------------------------------------------------------------


def test_a_series_comes_back_from_its_node() -> None:
    scene, original = slicer.vtkMRMLScene(), study()
    nodes = Study.addStudy(scene, original)
    same(Study.seriesFromNode(nodes.pet), original.pet)
    same(Study.seriesFromNode(nodes.ct), original.ct)
    assert nodes.pet.GetName() == "SYNTHETIC PET SUVbw"
    again = Study.studyFromNodes(nodes.pet, nodes.ct)
    same(again.pet, original.pet)


def saveAndReopen(scene, folder: Path):
    """By way of a scene bundle, unpacked by hand since slicer-core lacks the application's cache folder."""
    assert scene.WriteToMRB(str(folder / "scene.mrb"))
    with zipfile.ZipFile(folder / "scene.mrb") as bundle:
        bundle.extractall(folder)
    reopened = slicer.vtkMRMLScene()
    reopened.SetURL(str(next(folder.glob("*/*.mrml"))))
    assert reopened.Import()
    return reopened


@pytest.mark.parametrize("kind", ["mrb", "mrml"])
def test_the_facts_survive_saving_and_reopening(tmp_path, kind) -> None:
    scene, original = slicer.vtkMRMLScene(), study()
    nodes = Study.addStudy(scene, original)
    reopened = slicer.vtkMRMLScene()
    if kind == "mrb":
        reopened = saveAndReopen(scene, tmp_path)
    else:
        for node in (nodes.pet, nodes.ct):
            node.GetStorageNode().SetFileName(str(tmp_path / f"{node.GetID()}.nrrd"))
            assert node.GetStorageNode().WriteData(node)
        scene.SetURL(str(tmp_path / "scene.mrml"))
        assert scene.Commit()
        reopened.SetURL(str(tmp_path / "scene.mrml"))
        assert reopened.Connect()
    pet, ct = (reopened.GetFirstNodeByName(node.GetName()) for node in (nodes.pet, nodes.ct))
    same(Study.seriesFromNode(pet), original.pet)
    same(Study.seriesFromNode(ct), original.ct)
    assert Study.studyFromNodes(pet, ct).pet.notices == original.pet.notices


def test_a_foreign_attribute_is_passed_over() -> None:
    scene = slicer.vtkMRMLScene()
    node = Study.addStudy(scene, study()).pet
    for text in ("", "not json", "[]", json.dumps({"acquisition": {}}), json.dumps({"suv": 1})):
        node.SetAttribute("PRRTPredictor.Series", text)
        assert Study.seriesFromNode(node).acquisition == Acquisition("", "", None)


@needs_data
def test_nodes_stand_under_patient_and_study_as_slicer_puts_them() -> None:
    scene, pair = slicer.vtkMRMLScene(), pairOf(CROPS / "PET" / "image", CROPS / "CT" / "image")
    loaded = Study.loadPair(pair)
    nodes = Study.addStudy(scene, loaded, pair)
    hierarchy = hierarchyOf(scene)
    item = hierarchy.GetItemByDataNode(nodes.pet)
    parent = hierarchy.GetItemParent(item)
    patient = hierarchy.GetItemParent(parent)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.ct)) == parent
    assert (hierarchy.GetItemUID(item, "DICOM"), hierarchy.GetItemUID(parent, "DICOM")) == (
        pair.pet.series_uid,
        pair.study_uid,
    )
    assert hierarchy.GetItemUID(patient, "DICOM") == "STS_007"
    assert hierarchy.GetItemName(patient) == "STS_007 (STS_007)"
    assert hierarchy.GetItemName(parent) == "IBSI_1_STS_007_PET (20040529)"
    assert (hierarchy.GetItemLevel(patient), hierarchy.GetItemLevel(parent)) == ("Patient", "Study")
    assert hierarchy.GetItemAttribute(item, "DICOM.Modality") == "PT"
    uids = nodes.pet.GetAttribute("DICOM.instanceUIDs").split()  # as Slicer has them: in the order of the slices
    assert hierarchy.GetItemUID(item, "DICOMInstanceUID").split() == uids
    heights = {str(one.SOPInstanceUID): one.ImagePositionPatient[2] for one in map(dcmread, pair.pet.files)}
    assert [heights[uid] for uid in uids] == sorted(heights.values())
    assert not any("STS" in node.GetName() for node in (nodes.pet, nodes.ct))
    assert patientIdOf(nodes.pet) == "STS_007"
    assert Study.seriesFromNode(nodes.pet).person.patient_id == loaded.pet.person.patient_id != ""
    assert "STS_007" not in nodes.pet.GetAttribute("PRRTPredictor.Series")

    count = len(itemsOf(scene))
    Study.addStudy(scene, loaded, pair)  # a second time: patient and study are found again
    assert len(itemsOf(scene)) == count + 2
    assert hierarchy.GetNumberOfItemChildren(parent) == 4


@needs_data
def test_the_patient_is_known_after_reopening_too(tmp_path) -> None:
    scene, pair = slicer.vtkMRMLScene(), pairOf(CROPS / "PET" / "image", CROPS / "CT" / "image")
    loaded = Study.loadPair(pair)
    nodes = Study.addStudy(scene, loaded, pair)
    reopened = saveAndReopen(scene, tmp_path)
    pet = Study.seriesFromNode(reopened.GetFirstNodeByName(nodes.pet.GetName()))
    assert pet.person.patient_id == loaded.pet.person.patient_id
    same(pet, loaded.pet)


@needs_data
def test_after_an_error_the_scene_is_as_it_was() -> None:
    scene, pair = slicer.vtkMRMLScene(), pairOf(CROPS / "PET" / "image", CROPS / "CT" / "image")
    loaded = Study.loadPair(pair)
    hierarchyOf(scene)
    nodes, items = nodeIds(scene), itemsOf(scene)
    gone = replace(pair, ct=replace(pair.ct, files=(Path("/nowhere/1.dcm"),)))
    assert refusal(DicomRefused, Study.addStudy, scene, loaded, gone).code is Code.PATH_MISSING
    assert (nodeIds(scene), itemsOf(scene)) == (nodes, items)


def test_without_files_a_known_study_is_still_found() -> None:
    scene, original = slicer.vtkMRMLScene(), study()
    hierarchy = hierarchyOf(scene)
    known = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Known")
    hierarchy.SetItemUID(known, "DICOM", "1.1")
    nodes = Study.addStudy(scene, original)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.ct)) == known


# --- volumes of the scene ---------------------------------------------------------------------------------------------


def bare(scene, volume: Volume, name: str = "x"):
    """A node as other software leaves it: no unit, no attribute."""
    node = addVolumeNode(scene, volume, name)
    for state in (node.SetVoxelValueUnits, node.SetVoxelValueQuantity):
        state(None)
    node.RemoveAttribute("PRRTPredictor.Modality")
    assert unitOfNode(node) is None
    return node


def test_units_are_never_guessed_unless_the_user_vouches() -> None:
    scene, original = slicer.vtkMRMLScene(), study()
    pet, ct = (bare(scene, one.volume) for one in (original.pet, original.ct))
    assert refusal(InputRefused, Study.studyFromNodes, pet, ct).code is Code.UNITS_UNSUPPORTED
    assumed = Study.studyFromNodes(pet, ct, assumeUnits=True)
    assert (assumed.pet.volume.unit, assumed.ct.volume.unit) == ("SUVbw", "HU")
    assert [notice.code for notice in (*assumed.pet.notices, *assumed.ct.notices)] == ["UNIT_ASSUMED"] * 2
    becquerels = replace(original.pet.volume, array=original.pet.volume.array * 20_000)
    error = refusal(InputRefused, Study.studyFromNodes, bare(scene, becquerels), ct, assumeUnits=True)
    assert error.code is Code.UNITS_UNSUPPORTED


def test_volumes_that_are_not_chosen_or_swapped_are_refused() -> None:
    scene = slicer.vtkMRMLScene()
    nodes = Study.addStudy(scene, study())
    assert refusal(InputRefused, Study.studyFromNodes, None, nodes.ct).code is Code.NO_PET
    assert refusal(InputRefused, Study.studyFromNodes, nodes.pet, None).code is Code.NO_CT
    for pair in ((nodes.ct, nodes.pet), (nodes.pet, nodes.pet)):
        assert refusal(InputRefused, Study.studyFromNodes, *pair, assumeUnits=True).code is Code.WRONG_MODALITY


def test_volumes_of_two_patients_are_refused() -> None:
    scene = slicer.vtkMRMLScene()
    hierarchy = hierarchyOf(scene)
    pet = Study.addStudy(scene, study()).pet
    ct = Study.addStudy(scene, Study.LoadedStudy(series(study="2.1"), series("CT", "HU", study="2.1"))).ct
    for node, identifier in ((pet, "A"), (ct, "B")):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), identifier)
        hierarchy.SetItemAttribute(patient, "DICOM.PatientID", identifier)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), patient)
    assert refusal(DicomRefused, Study.studyFromNodes, pet, ct).code is Code.PATIENT_DIFFERS


# --- through Slicer's own loader --------------------------------------------------------------------------------------


@pytest.fixture
def imported(host):
    """``imported(folder, …)``: the folders in Slicer's database; gives the study UIDs."""
    from DICOMLib import DICOMUtils

    def run(*folders: Path) -> list[str]:
        for folder in folders:
            assert DICOMUtils.importDicom(str(folder), slicer.dicomDatabase, False)
        return [row.studyUid for row in listStudies(slicer.dicomDatabase)]

    return run


def loadedBySlicer(seriesUid: str):
    from DICOMLib import DICOMUtils

    (identifier, *_) = DICOMUtils.loadSeriesByUID([seriesUid])
    return slicer.mrmlScene.GetNodeByID(identifier)


@needs_data
def test_compressed_series_load_without_decoders_as_with_them(imported, monkeypatch) -> None:
    (uid,) = imported(ACRIN)
    pair = findPair(slicer.dicomDatabase, uid)
    expected = Study.loadPair(pair)
    assert expected.pet.suv.factor == pytest.approx(0.00042111, rel=1e-4)
    items, nodes = itemsOf(slicer.mrmlScene), nodeIds(slicer.mrmlScene)
    monkeypatch.setattr(Study, "can_decode", lambda source: False)
    monkeypatch.setattr(Study, "decode", None)
    told = []
    got = Study.loadPair(pair, lambda stage, done, total, message="": told.append((stage, message)))
    same(got.pet, expected.pet, atol=1e-6 * float(expected.pet.volume.array.max()))
    same(got.ct, expected.ct)
    assert got.ct.volume.array.dtype == np.int16
    assert ("PET pixels", "by Slicer's loader") in told
    assert (nodeIds(slicer.mrmlScene), itemsOf(slicer.mrmlScene)) == (nodes, items)


@needs_data
def test_a_volume_that_slicer_loaded_becomes_suv_once(imported) -> None:
    (uid,) = imported(ACRIN)
    pair = findPair(slicer.dicomDatabase, uid)
    expected = Study.loadPair(pair)
    pet, ct = loadedBySlicer(pair.pet.series_uid), loadedBySlicer(pair.ct.series_uid)
    assert unitOfNode(pet) is None
    assert not pet.GetParentTransformNode().IsTransformToWorldLinear()  # the acquisition transform
    got = Study.studyFromNodes(pet, ct, slicer.dicomDatabase)
    same(got.pet, expected.pet, atol=1e-6 * float(expected.pet.volume.array.max()))
    np.testing.assert_array_equal(got.ct.volume.array, expected.ct.volume.array)
    assert got.ct.acquisition == expected.ct.acquisition
    assert got.pet.person.patient_id == expected.pet.person.patient_id
    again = Study.studyFromNodes(pet, ct, slicer.dicomDatabase, assumeUnits=True)
    np.testing.assert_array_equal(again.pet.volume.array, got.pet.volume.array)
    # Without the database nothing proves the unit, and what the user vouches for is seen to be wrong.
    for assume in (False, True):
        refusal(InputRefused, Study.studyFromNodes, pet, ct, None, assume)


@needs_data
def test_a_pet_in_suv_already_is_not_scaled_again(imported) -> None:
    (uid,) = imported(CROPS)
    pair = findPair(slicer.dicomDatabase, uid)
    pet, ct = loadedBySlicer(pair.pet.series_uid), loadedBySlicer(pair.ct.series_uid)
    got = Study.studyFromNodes(pet, ct, slicer.dicomDatabase)
    same(got.pet, Study.loadPair(pair).pet, atol=1e-5)
    assert float(got.pet.volume.array.max()) == pytest.approx(25.1989, abs=1e-3)


@needs_data
def test_values_changed_after_loading_are_not_scaled(imported) -> None:
    (uid,) = imported(ACRIN)
    pair = findPair(slicer.dicomDatabase, uid)
    factor = load_pet(pair.pet.files).suv.factor
    pet, ct = loadedBySlicer(pair.pet.series_uid), loadedBySlicer(pair.ct.series_uid)
    pet.SetAndObserveTransformNodeID(None)
    voxelsOfNode(pet)[:] *= factor  # a user who made SUV by hand, and stated no unit
    error = refusal(InputRefused, Study.studyFromNodes, pet, ct, slicer.dicomDatabase)
    assert error.code is Code.UNITS_UNSUPPORTED
    vouched = Study.studyFromNodes(pet, ct, slicer.dicomDatabase, assumeUnits=True)
    np.testing.assert_allclose(vouched.pet.volume.array, voxelsOfNode(pet), rtol=1e-6)
    assert vouched.pet.acquisition.manufacturer.startswith("GE")


@needs_data
def test_a_volume_moved_after_loading_keeps_its_transform_or_is_refused(imported) -> None:
    (uid,) = imported(CROPS)
    pair = findPair(slicer.dicomDatabase, uid)
    pet, ct = loadedBySlicer(pair.pet.series_uid), loadedBySlicer(pair.ct.series_uid)
    before = Study.studyFromNodes(pet, ct, slicer.dicomDatabase).pet.volume.ijk_to_lps
    if pet.GetParentTransformNode() is not None:
        pytest.fail("this series is even")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "move")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 12.0)
    transform.SetMatrixTransformToParent(matrix)
    pet.SetAndObserveTransformNodeID(transform.GetID())
    after = Study.studyFromNodes(pet, ct, slicer.dicomDatabase).pet.volume.ijk_to_lps
    np.testing.assert_allclose((after - before)[:3, 3], (-12, 0, 0), atol=1e-6)
    pet.HardenTransform()
    error = refusal(GeometryRefused, Study.studyFromNodes, pet, ct, slicer.dicomDatabase)
    assert error.code is Code.BAD_GEOMETRY


def test_uneven_slices_are_resampled_as_the_core_does_it(imported, monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "Testing" / "Core"))
    import dicom_objects

    stored = np.random.default_rng(0).integers(0, 30_000, (9, 8, 8)).astype(np.int16)
    heights = np.arange(9) * 4.0
    heights[5:] += 1.5
    places = np.column_stack([np.full((9, 2), (-10.0, -20.0)), heights])
    shared = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "positions": places}
    slopes = np.linspace(0.2, 0.9, 9)
    dicom_objects.write_series(dicom_objects.pet_series(stored, slopes, **shared), tmp_path / "pet")
    dicom_objects.write_series(dicom_objects.ct_series(stored // 10, **shared), tmp_path / "ct")
    (uid,) = imported(tmp_path)
    pair = findPair(slicer.dicomDatabase, uid)
    expected = Study.loadPair(pair)
    assert "SLICES_RESAMPLED" in {notice.code for notice in expected.pet.notices}
    pet, ct = loadedBySlicer(pair.pet.series_uid), loadedBySlicer(pair.ct.series_uid)
    assert not ct.GetParentTransformNode().IsTransformToWorldLinear()
    monkeypatch.setattr(Study, "can_decode", lambda source: False)
    for got in (Study.loadPair(pair), Study.studyFromNodes(pet, ct, slicer.dicomDatabase)):
        same(got.pet, expected.pet, atol=1e-5)
        same(got.ct, expected.ct, atol=1e-3)
    # A warp of the user's own is not Slicer's acquisition transform.
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    warp.SetAndObserveTransformNodeID(pet.GetTransformNodeID())
    grid = vtk.vtkImageData()
    grid.SetOrigin(-500, -500, -500)
    grid.SetSpacing(1000, 1000, 1000)
    grid.SetDimensions(2, 2, 2)
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    for index in range(24):
        grid.GetPointData().GetScalars().SetValue(index, 5.0)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    warp.SetAndObserveTransformToParent(transform)
    pet.SetAndObserveTransformNodeID(warp.GetID())
    error = refusal(GeometryRefused, Study.studyFromNodes, pet, ct, slicer.dicomDatabase)
    assert error.code is Code.BAD_GEOMETRY


@needs_data
def test_slicers_patient_and_study_items_are_shared(imported) -> None:
    (uid,) = imported(CROPS)
    pair = findPair(slicer.dicomDatabase, uid)
    theirs = loadedBySlicer(pair.ct.series_uid)
    nodes = Study.addStudy(slicer.mrmlScene, Study.loadPair(pair), pair)
    hierarchy = hierarchyOf(slicer.mrmlScene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (theirs, nodes.pet, nodes.ct)}
    assert len(parents) == 1


@needs_data
def test_a_series_that_slicer_cannot_read_leaves_nothing(imported, monkeypatch) -> None:
    from DICOMLib import DICOMUtils

    (uid,) = imported(CROPS)
    pair = findPair(slicer.dicomDatabase, uid)
    items, nodes = itemsOf(slicer.mrmlScene), nodeIds(slicer.mrmlScene)
    monkeypatch.setattr(Study, "can_decode", lambda source: False)
    real = DICOMUtils.loadSeriesByUID

    def broken(uids, **options):
        identifiers = real(uids, **options)
        voxels = voxelsOfNode(slicer.mrmlScene.GetNodeByID(identifiers[0]))
        voxels[:] = np.nan
        return identifiers

    for loader in (broken, lambda uids, **options: []):
        monkeypatch.setattr(DICOMUtils, "loadSeriesByUID", loader)
        assert refusal(InputRefused, Study.loadPair, pair).code is Code.UNREADABLE_PIXELS
        assert (nodeIds(slicer.mrmlScene), itemsOf(slicer.mrmlScene)) == (nodes, items)


@needs_data
@pytest.mark.parametrize("maker", ["ge", "philips"])
def test_slopes_and_private_factors_when_slicer_decodes(host, imported, monkeypatch, tmp_path, maker) -> None:
    from PRRTPredictorCore.cohort.synthetic.cohort import write_patient
    from PRRTPredictorCore.cohort.synthetic.plan import SyntheticConfig, plan_cohort

    plans = plan_cohort(SyntheticConfig(patients=8, censored=0))
    patient = write_patient(
        tmp_path, next(plan for plan in plans if plan.characteristics.scanner.lower().startswith(maker))
    )
    assert load_pet(patient.pet).suv.units == {"ge": "BQML", "philips": "CNTS"}[maker]
    (uid,) = imported(patient.pet.parent)
    pair = findPair(slicer.dicomDatabase, uid)
    expected = Study.loadPair(pair)
    monkeypatch.setattr(Study, "can_decode", lambda source: False)
    got = Study.loadPair(pair)
    same(got.pet, expected.pet, atol=1e-5)
    same(got.ct, expected.ct)
    assert got.pet.acquisition.synthetic


# --- the demo patient -------------------------------------------------------------------------------------------------


def test_the_demo_patient_is_found_loaded_and_says_what_it_is(host, tmp_path) -> None:
    told = []
    uid = Study.createDemoPatient(
        slicer.dicomDatabase, tmp_path / "demo", 3, lambda stage, done, total, message="": told.append((done, total))
    )
    assert told[-1] == (2, 2)
    assert list((tmp_path / "demo").iterdir()) == []  # the database holds copies
    (row,) = listStudies(slicer.dicomDatabase)
    assert (row.studyUid, row.missing) == (uid, "")
    assert "SYNTHETIC" in row.patient
    pair = findPair(slicer.dicomDatabase, uid)
    loaded = Study.loadPair(pair)
    assert loaded.pet.acquisition.synthetic
    nodes = Study.addStudy(slicer.mrmlScene, loaded, pair)
    assert nodes.pet.GetName().startswith("SYNTHETIC")
    assert 5 < float(loaded.pet.volume.array.max()) < 500
    assert Study.createDemoPatient(slicer.dicomDatabase, tmp_path / "demo", 3) == uid
    assert len(listStudies(slicer.dicomDatabase)) == 1
    clinic = Study.demoClinic(3)
    assert clinic.labs.sampled_on is not None
    assert 0 <= (clinic.firstCycle - clinic.labs.sampled_on).days <= 28


def test_without_a_database_no_demo_patient_is_made(tmp_path) -> None:
    error = refusal(DicomRefused, Study.createDemoPatient, None, tmp_path / "demo")
    assert error.code is Code.DATABASE_UNREADABLE
    assert not (tmp_path / "demo").exists()


def test_outside_slicer_the_demo_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "DICOMLib", None)
    error = refusal(PRRTError, Study.createDemoPatient, FakeDatabase(), tmp_path / "demo")
    assert error.code is Code.DEPENDENCY_MISSING


BUNDLED_ONLY = """
import sys
from importlib.abc import MetaPathFinder
class Block(MetaPathFinder):
    names = set(sys.argv[1].split())
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
from pathlib import Path
from types import ModuleType
import PRRTPredictorLib.Study as Study
from PRRTPredictorLib.Database import findPair, listStudies
sys.path.insert(0, sys.argv[2])
from database_fake import FakeDatabase
from pydicom import dcmread
database = FakeDatabase()
package, utils = ModuleType("DICOMLib"), ModuleType("DICOMLib.DICOMUtils")
kept = Path(sys.argv[3])
def importDicom(folder, into, copyFiles):
    import shutil
    shutil.copytree(folder, kept)
    into.addFolder(kept)
    return True
utils.importDicom = importDicom
package.DICOMUtils = utils
sys.modules |= {"DICOMLib": package, "DICOMLib.DICOMUtils": utils}
uid = Study.createDemoPatient(database, kept.parent / "work")
loaded = Study.loadPair(findPair(database, uid))
import slicer
Study.addStudy(slicer.vtkMRMLScene(), loaded)
refused = ""
if len(sys.argv) > 4:
    from PRRTPredictorCore.errors import DicomRefused
    compressed = FakeDatabase()
    compressed.addFolder(Path(sys.argv[4]))
    try:
        Study.loadPair(findPair(compressed, next(iter(compressed.studyRows))))
    except DicomRefused as error:
        refused = error.code.value
print(refused)
parts = {Path(m.__file__).as_posix().partition("site-packages/")[2].partition("/")[0].partition(".")[0]
         for m in list(sys.modules.values()) if "site-packages" in (getattr(m, "__file__", "") or "")}
print(sorted(parts))
"""


def test_study_and_demo_need_nothing_that_slicer_lacks(tmp_path) -> None:
    from slicer_standin.bare import NOT_BUNDLED

    words = [sys.executable, "-c", BUNDLED_ONLY, " ".join(NOT_BUNDLED), str(Path(__file__).parent), str(tmp_path / "d")]
    words += [str(ACRIN)] if ACRIN.is_dir() else []
    uncounted = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=uncounted)
    assert done.returncode == 0, done.stderr
    if ACRIN.is_dir():  # without decoders and outside of Slicer the refusal is a typed one
        assert done.stdout.splitlines()[-2] == Code.UNREADABLE_PIXELS.value
    bundled = {"numpy", "scipy", "pydicom", "PIL", "slicer", "slicer_core", "vtk", "vtkmodules"}
    found = set(json.loads(done.stdout.splitlines()[-1].replace("'", '"')))
    assert bundled & found >= {"numpy", "scipy", "pydicom"}
    assert not {name for name in found - bundled if not name.startswith(("_", "slicer", "vtk", "numpy", "scipy"))}
