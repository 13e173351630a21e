"""What made patients look like to a scanner, and whether the files say what the scanner saw."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.ndimage import binary_erosion

from PRRTPredictorCore.cohort.synthetic import (
    LABEL_NAMES,
    SyntheticCohort,
    SyntheticConfig,
    make_cohort,
    make_patient,
    phantom_volumes,
    plan_cohort,
)
from PRRTPredictorCore.cohort.synthetic.anatomy import KIDNEYS, LIVER, SPLEEN, draw_body, render_body
from PRRTPredictorCore.cohort.synthetic.labels import segmentation_of
from PRRTPredictorCore.cohort.synthetic.lesions import SITES, burden_ml, draw_lesions, paint_lesions
from PRRTPredictorCore.cohort.synthetic.plan import PatientPlan, anatomy_of
from PRRTPredictorCore.cohort.synthetic.scanners import acquire_ct, acquire_pet, examine
from PRRTPredictorCore.cohort.synthetic.shapes import VoxelGrid, ellipsoid_share
from PRRTPredictorCore.errors import Code, InputRefused
from PRRTPredictorCore.imaging.segmentation import read_segmentation


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticCohort:
    return make_cohort(tmp_path_factory.mktemp("made") / "cohort", SyntheticConfig(patients=4, seed=21))


def plans_of(made: SyntheticCohort) -> tuple[PatientPlan, ...]:
    config = json.loads(made.truth.read_text())["made_from"]
    config.pop("recipe")
    return plan_cohort(SyntheticConfig(**config))


def slices(folder: Path) -> list[Dataset]:
    return sorted((pydicom.dcmread(file) for file in folder.iterdir()), key=lambda h: float(h.ImagePositionPatient[2]))


def rescaled(headers: list[Dataset]) -> NDArray[np.float64]:
    return np.stack([h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in headers])


def clock_s(text: str) -> float:
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])


def suv_from_header(headers: list[Dataset]) -> NDArray[np.float64]:
    """SUVbw by hand, the two ways that the makers need."""
    head = headers[0]
    if head.Units == "CNTS":
        return rescaled(headers) * float(head[0x7053, 0x1000].value)
    drug = head.RadiopharmaceuticalInformationSequence[0]
    waited = clock_s(head.SeriesTime) - clock_s(drug.RadiopharmaceuticalStartTime)
    left = float(drug.RadionuclideTotalDose) * 2 ** (-waited / float(drug.RadionuclideHalfLife))
    return rescaled(headers) * 1000 * float(head.PatientWeight) / left


# --- anatomy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sex", ["male", "female"])
def test_organs_have_the_volumes_of_organs(sex: str) -> None:
    body = draw_body(np.random.default_rng(0), sex=sex, contrast=False, size_spread=0.0)  # type: ignore[arg-type]
    grid = VoxelGrid((240, 120, 120), (4.0, 4.0, 4.0), (-238.0, -238.0, body.frame.offset_lps_mm[2]))
    labels = render_body(body, grid).labels
    volume_ml = {name: float((labels == n).sum()) * grid.voxel_ml for n, name in enumerate(LABEL_NAMES)}
    usual = {"lungs": (2500, 5500), "liver": (1200, 2200), "spleen": (120, 330), "kidneys": (240, 450)}
    usual |= {"bladder": (80, 450), "heart": (350, 800), "bowel": (700, 2200), "spine": (450, 1300)}
    for name, (low, high) in usual.items():
        assert low < volume_ml[name] < high, name


def test_organs_lie_where_they_belong() -> None:
    body = draw_body(np.random.default_rng(4), sex="male", contrast=False)
    grid = VoxelGrid((120, 80, 80), (8.0, 6.0, 6.0), (-237.0, -237.0, body.frame.offset_lps_mm[2]))
    labels = render_body(body, grid).labels
    centre = {name: np.argwhere(labels == n).mean(axis=0) for n, name in enumerate(LABEL_NAMES) if n not in (0, 9)}
    # axes: k to the head, j to the back, i to the patient's left
    assert centre["liver"][2] < centre["body"][2] < centre["spleen"][2]
    assert centre["bladder"][0] < centre["bowel"][0] < centre["kidneys"][0] < centre["lungs"][0]
    assert centre["spine"][1] > centre["heart"][1]
    assert centre["stomach"][2] > centre["liver"][2]


def test_slabs_painted_one_by_one_equal_the_whole() -> None:
    plan = plan_cohort(SyntheticConfig(patients=1, seed=5))[0]
    anatomy = anatomy_of(plan)
    grid = VoxelGrid((60, 64, 64), (15.0, 8.0, 8.0), (-252.0, -252.0, -1000.0))
    whole = render_body(anatomy.body, grid)
    paint_lesions(whole, anatomy.lesions)
    parts = []
    for first in range(0, 60, 20):
        part = render_body(anatomy.body, grid.slab(first, first + 20))
        paint_lesions(part, anatomy.lesions)
        parts.append(part.suv)
    np.testing.assert_allclose(np.concatenate(parts), whole.suv, atol=1e-3)


@pytest.mark.parametrize("radius", [2.0, 7.0, 30.0])
def test_a_lesion_keeps_its_volume_on_any_grid(radius: float) -> None:
    grid = VoxelGrid((40, 40, 40), (13.0, 8.0, 8.0), (-156.0, -156.0, -260.0))
    filled = ellipsoid_share(grid, (3.1, -2.2, 4.7), (radius, radius * 1.2, radius * 0.8))
    assert filled is not None
    truth = 4 / 3 * np.pi * radius**3 * 0.96 / 1000
    assert float(filled.share.sum()) * grid.voxel_ml == pytest.approx(truth, rel=0.08)
    assert ellipsoid_share(grid, (900.0, 0.0, 0.0), (5.0, 5.0, 5.0)) is None


@pytest.mark.parametrize("latent", [-2.0, 0.0, 2.0])
def test_burden_and_heterogeneity_are_what_the_latents_say(latent: float) -> None:
    rng = np.random.default_rng(8)
    body = draw_body(rng, sex="female", contrast=True)
    lesions = draw_lesions(rng, body, SITES, burden_ml(latent), latent)
    assert {lesion.site for lesion in lesions} == set(SITES)
    assert sum(lesion.volume_ml for lesion in lesions) == pytest.approx(burden_ml(latent), rel=1e-6)


def test_morphology_is_seen_on_ct_and_not_on_pet() -> None:
    plan = plan_cohort(SyntheticConfig(patients=1, seed=6))[0]
    low, high = (dataclasses.replace(plan, latents=(0.0, 0.0, 0.0, value)) for value in (-1.5, 1.5))
    bodies = [anatomy_of(one).body for one in (low, high)]
    assert bodies[0].uptake == bodies[1].uptake
    assert bodies[1].density.mesentery - bodies[0].density.mesentery > 50
    assert bodies[1].density.muscle < bodies[0].density.muscle
    pets = [acquire_pet(examine(one, anatomy_of(one))).true_suv for one in (low, high)]
    np.testing.assert_array_equal(pets[0], pets[1])


def test_organs_take_up_what_they_should_before_and_after_the_scanner() -> None:
    plan = plan_cohort(SyntheticConfig(patients=1, seed=7))[0]
    anatomy = dataclasses.replace(anatomy_of(plan), lesions=())
    image = acquire_pet(examine(plan, anatomy))
    for label, uptake in (
        (LIVER, anatomy.body.uptake.liver),
        (SPLEEN, anatomy.body.uptake.spleen),
        (KIDNEYS, anatomy.body.uptake.kidneys),
    ):
        inside = binary_erosion(image.labels == label)
        if label == LIVER:
            assert np.mean(image.suv[inside]) == pytest.approx(uptake, rel=0.05)
        assert np.percentile(image.true_suv[image.labels == label], 90) == pytest.approx(uptake, rel=0.03)
    # The scanner loses no activity but what blurs over the ends.
    assert float(image.suv.sum()) == pytest.approx(float(image.true_suv.sum()), rel=0.03)


def test_ct_slices_are_the_same_whatever_the_slab(made: SyntheticCohort) -> None:
    examination = examine(plans_of(made)[0], anatomy_of(plans_of(made)[0]))
    hu = np.concatenate([slab.hu for slab in acquire_ct(examination)])
    assert hu.shape == examination.ct_grid.shape
    assert hu[:, 0, 0].tolist() == [examination.scanner.ct_padding_hu] * len(hu)
    np.testing.assert_array_equal(hu, rescaled(slices(made.patients[0].ct)))


# --- files --------------------------------------------------------------------------------------------------------


def test_suv_of_the_files_is_what_the_scanner_saw(made: SyntheticCohort) -> None:
    for plan, patient in zip(plans_of(made), made.patients, strict=True):
        seen = acquire_pet(examine(plan, anatomy_of(plan))).suv
        read = suv_from_header(slices(patient.pet))
        assert read.shape == seen.shape
        np.testing.assert_allclose(read, seen, rtol=2e-4, atol=seen.max() / 32767)


def test_each_maker_stores_in_its_own_way(made: SyntheticCohort) -> None:
    makers = set()
    for patient in made.patients:
        headers = slices(patient.pet)
        slopes = {str(h.RescaleSlope) for h in headers}
        makers.add(headers[0].Manufacturer)
        if headers[0].Units == "CNTS":
            assert headers[0].Manufacturer.startswith("Philips")
            assert len(slopes) == 1
            block = headers[0].private_block(0x7053, "Philips PET Private Group")
            weight_g = 1000 * float(headers[0].PatientWeight)
            drug = headers[0].RadiopharmaceuticalInformationSequence[0]
            waited = clock_s(headers[0].SeriesTime) - clock_s(drug.RadiopharmaceuticalStartTime)
            left = float(drug.RadionuclideTotalDose) * 2 ** (-waited / float(drug.RadionuclideHalfLife))
            assert float(block[0x09].value) * weight_g / left == pytest.approx(float(block[0x00].value), rel=1e-5)
        else:
            assert headers[0].Units == "BQML"
            assert len(slopes) > len(headers) // 2
    assert len(makers) == 2


def test_headers_are_complete_and_say_synthetic(made: SyntheticCohort) -> None:
    for plan, patient in zip(plans_of(made), made.patients, strict=True):
        pet, ct = slices(patient.pet), slices(patient.ct)
        assert pet[0].FrameOfReferenceUID == ct[0].FrameOfReferenceUID
        assert pet[0].StudyInstanceUID == ct[0].StudyInstanceUID
        assert len({h.SOPInstanceUID for h in pet + ct}) == len(pet) + len(ct) == patient.files
        assert len(pet) >= 60
        for head in (pet[0], ct[0]):
            assert head.QualityControlSubject == "YES"
            assert "SYNTHETIC" in head.ImageComments
            assert head.SeriesDescription.startswith("SYNTHETIC")
            assert str(head.PatientName) == f"SYNTHETIC^{plan.number:04d}"
            assert head.PatientID == plan.patient_id
            assert head.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
            assert all(pydicom.uid.UID(uid).is_valid for uid in (head.SOPInstanceUID, head.SeriesInstanceUID))
        drug = pet[0].RadiopharmaceuticalInformationSequence[0]
        assert drug.RadionuclideCodeSequence[0].CodeValue == "35337001"
        assert "DOTATOC" in drug.Radiopharmaceutical
        assert {"ATTN", "DECY"} <= set(pet[0].CorrectedImage)
        assert pet[0].SeriesTime == min(h.AcquisitionTime for h in pet)
        assert ("ContrastBolusAgent" in ct[0]) == (plan.characteristics.contrast_ct == "yes")
        heights = np.diff([float(h.ImagePositionPatient[2]) for h in ct])
        np.testing.assert_allclose(heights, float(ct[0].SliceThickness), atol=1e-4)


def test_the_dicom_room_reads_the_same_suv(made: SyntheticCohort) -> None:
    suv = pytest.importorskip("PRRTPredictorCore.dicom.suv", reason="the SUV reader is not there yet")
    for patient in made.patients:
        loaded = suv.load_pet(patient.pet)
        np.testing.assert_allclose(loaded.volume.array, suv_from_header(slices(patient.pet)), rtol=1e-3, atol=1e-3)
        assert loaded.acquisition.synthetic
        assert not [notice for notice in loaded.notices if "TRACER" in notice.code]


def test_the_table_passes_the_strict_reader(made: SyntheticCohort) -> None:
    table = pytest.importorskip("PRRTPredictorCore.cohort.table", reason="the table reader is not there yet")
    cohort = table.read_cohort(made.table)
    assert len(cohort.patients) == 4
    assert not cohort.violations
    assert all(patient.synthetic for patient in cohort.patients)
    assert [p.outcome.long_pfs for p in cohort.patients] == [plan.long_pfs for plan in plans_of(made)]


def test_truth_lies_aside(made: SyntheticCohort) -> None:
    truth = json.loads(made.truth.read_text())
    assert truth["bayes_auroc"]["pet_ct_labs"] > 0.9
    for plan, patient, told in zip(plans_of(made), made.patients, truth["patients"], strict=True):
        assert told["y"] == plan.long_pfs
        assert {lesion["site"] for lesion in told["lesions"]} == set(plan.characteristics.metastases)
        with np.load(patient.truth) as arrays:
            assert arrays["label_names"].tolist() == list(LABEL_NAMES)
            assert arrays["pet_labels"].shape[0] == len(list(patient.pet.iterdir()))
            assert arrays["ct_labels"].shape[0] == len(list(patient.ct.iterdir()))
            assert (arrays["ct_labels"] == LABEL_NAMES.index("couch")).any()
            assert arrays["pet_lesions"].max() <= len(told["lesions"])
    with made.table.open(newline="") as file:
        assert all(not row["pet"].startswith("/") and row["synthetic"] == "yes" for row in csv.DictReader(file))


def test_organs_and_lesions_are_there_to_be_opened(made: SyntheticCohort) -> None:
    with made.table.open(newline="") as file:
        named = [made.folder / row["organs"] for row in csv.DictReader(file)]
    assert named == [patient.organs for patient in made.patients]
    for plan, patient in zip(plans_of(made), made.patients, strict=True):
        organs = read_segmentation(patient.organs)
        labels = {name: label for label, name in organs.names.items()}
        assert {"liver", "other tissue", "lesions"} < set(labels)
        assert not {"air", "couch", "body"} & set(labels)
        voxel_ml = abs(np.linalg.det(organs.ijk_to_lps[:3, :3])) / 1000
        planned_ml = sum(lesion.volume_ml for lesion in anatomy_of(plan).lesions)
        assert (organs.labels == labels["lesions"]).sum() * voxel_ml == pytest.approx(planned_ml, rel=0.4)
        with np.load(patient.truth) as truth:
            np.testing.assert_array_equal(organs.ijk_to_lps, truth["ct_ijk_to_lps"])
            liver = truth["ct_labels"] == LIVER
            assert set(np.unique(organs.labels[liver])) <= {LIVER, labels["lesions"]}
        assert patient.organs.stat().st_size < 150_000


def test_a_full_sized_ct_is_thinned_for_its_organs() -> None:
    grid = VoxelGrid((2, 512, 512), (2.5, 1.25, 1.25), (-300.0, -310.0, 40.0))
    labels = np.zeros(grid.shape, np.uint8)
    labels[1, 8, 12] = LIVER
    organs = segmentation_of(labels, np.zeros(grid.shape, np.uint16), grid)
    assert organs.labels.shape == (2, 128, 128)
    (k, j, i) = np.argwhere(organs.labels == LIVER)[0]
    np.testing.assert_allclose((organs.ijk_to_lps @ [i, j, k, 1.0])[:3], (-300 + 12 * 1.25, -310 + 8 * 1.25, 42.5))


def test_the_same_cohort_is_kept_and_anything_else_refused(made: SyntheticCohort, tmp_path: Path) -> None:
    before = made.table.stat().st_mtime_ns
    assert make_cohort(made.folder, SyntheticConfig(patients=4, seed=21)).patients == made.patients
    assert made.table.stat().st_mtime_ns == before
    with pytest.raises(InputRefused) as refusal:
        make_cohort(made.folder, SyntheticConfig(patients=4, seed=22))
    assert refusal.value.code is Code.OUTPUT
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputRefused):
        make_cohort(tmp_path, SyntheticConfig(patients=1))
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int, message: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cohort(tmp_path / "out", SyntheticConfig(patients=2), progress=stop)
    assert not list(tmp_path.iterdir())


def test_one_patient_and_the_same_bytes_again(tmp_path: Path) -> None:
    first = make_patient(tmp_path / "a", seed=77)
    second = make_patient(tmp_path / "b", seed=77)
    assert first.organs.read_bytes() == second.organs.read_bytes()
    for file in sorted(first.pet.iterdir())[:3] + sorted(first.ct.iterdir())[:3]:
        assert file.read_bytes() == (second.pet.parent / file.parent.name / file.name).read_bytes()


# --- phantoms -----------------------------------------------------------------------------------------------------


def test_phantoms_are_quick_and_hold_every_organ() -> None:
    phantom = phantom_volumes(3)
    assert phantom.ct_hu.shape == phantom.suv.shape == phantom.labels.shape == (75, 50, 50)
    assert phantom.ct_hu.dtype == phantom.suv.dtype == np.float32
    present = {phantom.label_names[n] for n in np.unique(phantom.labels)}
    assert set(phantom.label_names) == present
    liver = phantom.ct_hu[phantom.labels == LIVER]
    assert 20 < np.median(liver) < 160


def test_phantoms_differ_from_each_other_and_from_every_cohort() -> None:
    np.testing.assert_array_equal(phantom_volumes(3).ct_hu, phantom_volumes(3).ct_hu)
    assert not np.array_equal(phantom_volumes(3).labels, phantom_volumes(4).labels)
    cohort_sizes = {anatomy_of(plan).body.weight_kg for plan in plan_cohort(SyntheticConfig(patients=6, seed=3))}
    assert len(cohort_sizes) == 6


def test_small_shapes_work_too() -> None:
    assert phantom_volumes(1, shape=(40, 32, 32)).labels.max() >= LIVER
