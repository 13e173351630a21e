"""Series to volumes: against SimpleITK on real data, round trips under any orientation, and what headers tell."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_objects import DATA, ct_series, dotatoc, multiframe, normal_of, pet_series, write_series
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from PRRTPredictorCore.dicom import series as series_module
from PRRTPredictorCore.dicom.frames import read_frames
from PRRTPredictorCore.dicom.series import acquisition_of, load_ct, to_volume
from PRRTPredictorCore.errors import Code, DicomRefused, GeometryRefused, PRRTError
from PRRTPredictorCore.records import Volume

RNG = np.random.default_rng(11)
CT = RNG.integers(0, 3000, (6, 5, 7)).astype(np.int16)
PET = RNG.integers(0, 30000, (6, 5, 7)).astype(np.uint16)


def real(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data missing: {path}")
    return path


def refusal(folder: Path) -> PRRTError:
    with pytest.raises(DicomRefused) as caught:
        load_ct(folder)
    assert caught.value.remedy
    return caught.value


def lps_of(volume: Volume, k: int, j: int, i: int) -> NDArray[np.float64]:
    return (volume.ijk_to_lps @ [i, j, k, 1])[:3]


# --- against SimpleITK ------------------------------------------------------------------------------------------------


def read_by_itk(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.SetOutputPixelType(sitk.sitkFloat32)
    image = reader.Execute()
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), matrix


@pytest.mark.parametrize(
    "parts",
    [
        ("crlm-ct-1004-abdomen",),
        ("acrin-nsclc-042-petct", "CT"),
        ("ibsi-sts-petct-crops", "STS_002", "CT", "image"),
        ("ibsi-sts-petct-crops", "STS_007", "CT", "image"),
        ("ibsi-sts-petct-crops", "STS_018", "CT", "image"),
    ],
    ids="/".join,
)
def test_real_ct_equals_simpleitk(parts: tuple[str, ...]) -> None:
    folder = real(*parts)
    loaded = load_ct(folder)
    array, matrix = read_by_itk(folder)
    assert np.array_equal(loaded.volume.array, array)
    assert np.abs(loaded.volume.ijk_to_lps - matrix).max() < 1e-4
    assert loaded.volume.unit == "HU"
    assert loaded.study_uid
    assert loaded.series_uid
    assert loaded.frame_of_reference_uid


@pytest.mark.parametrize(
    "parts",
    [
        ("ibsi-sts-petct-crops", "STS_002", "PET", "image"),
        ("ibsi-sts-petct-crops", "STS_007", "PET", "image"),
        ("ibsi-sts-petct-crops", "STS_018", "PET", "image"),
        ("qin-headneck-0139-pet", "image"),
        ("suv-dro", "DRO_1_0", "PT"),
    ],
    ids="/".join,
)
def test_real_pet_equals_simpleitk(parts: tuple[str, ...]) -> None:
    folder = real(*parts)
    stack = read_frames(folder, "PT")
    volume, notices = to_volume(stack, "PT", "SUVbw")
    array, matrix = read_by_itk(folder)
    # SimpleITK rescales in single precision, so equality is to within a small part of one stored step.
    steps = np.array([float(header.RescaleSlope) for header in stack.headers])[:, None, None]
    assert (np.abs(volume.array - array) <= np.maximum(0.01 * steps, 1e-6 * array.max())).all()
    assert np.abs(volume.ijk_to_lps - matrix).max() < 1e-4
    assert notices == ()


def test_the_real_pet_with_bed_borders_keeps_every_slice_in_place() -> None:
    stack = read_frames(real("acrin-nsclc-042-petct", "PET"), "PT")
    steps = np.diff(stack.positions_lps[:, 2])
    assert set(steps.round(2)) == {3.27, 3.29}
    volume, notices = to_volume(stack, "PT", "SUVbw")
    placed = np.array([lps_of(volume, k, 0, 0) for k in range(135)])
    assert np.abs(placed - stack.positions_lps).max() < 0.1 * volume.spacing_mm[0]
    assert notices == ()
    assert np.array_equal(volume.array, stack.values)


def test_the_real_scout_is_refused_and_the_whole_examination_is_mixed() -> None:
    assert refusal(real("acrin-nsclc-042-petct", "SCOUT")).code is Code.WRONG_MODALITY
    assert refusal(real("acrin-nsclc-042-petct")).code is Code.MIXED_SERIES


def test_shuffled_names_change_nothing(tmp_path: Path) -> None:
    folder = real("crlm-ct-1004-abdomen")
    files = sorted(folder.glob("*.dcm"))
    assert files
    for path, number in zip(files, RNG.permutation(len(files)), strict=True):
        shutil.copy(path, tmp_path / f"{number:03d}")
    shuffled, straight = load_ct(tmp_path).volume, load_ct(folder).volume
    assert np.array_equal(shuffled.array, straight.array)
    assert np.array_equal(shuffled.ijk_to_lps, straight.ijk_to_lps)


# --- orientation ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.sampled_from([-4.0, -0.7, 1.5, 5.0]), st.floats(0.5, 5), st.floats(0.5, 5))
def test_every_voxel_lies_where_its_slice_says(
    tmp_path_factory: pytest.TempPathFactory, seed: int, step: float, rows_mm: float, columns_mm: float
) -> None:
    rotation = Rotation.random(random_state=seed).as_matrix()
    orientation = (*rotation[0], *rotation[1])
    spacing = (round(rows_mm, 4), round(columns_mm, 4))
    made = ct_series(CT, orientation=orientation, step_mm=step, spacing=spacing, origin=(12.0, -340.0, 88.0))
    folder = tmp_path_factory.mktemp("oblique")
    write_series(made, folder, names=[f"{number}" for number in np.random.default_rng(seed).permutation(6)])
    volume = load_ct(folder).volume
    order = (
        range(6)
        if volume.array[0, 0, 0] == CT[0, 0, 0] - 1024 and (volume.array[0] == CT[0] - 1024).all()
        else range(5, -1, -1)
    )
    origin, normal = np.array([12.0, -340.0, 88.0]), normal_of(orientation)
    for k, stored_k in enumerate(order):
        assert np.array_equal(volume.array[k], CT[stored_k] - 1024)
        for j, i in ((0, 0), (4, 0), (0, 6), (3, 5)):
            truth = origin + stored_k * step * normal + rotation[0] * spacing[1] * i + rotation[1] * spacing[0] * j
            assert np.abs(lps_of(volume, k, j, i) - truth).max() < 1e-4


@pytest.mark.parametrize("step", [3.0, -3.0])
@pytest.mark.parametrize(
    ("orientation", "axis"),
    [((1, 0, 0, 0, 1, 0), 2), ((-1, 0, 0, 0, 1, 0), 2), ((1, 0, 0, 0, 0, -1), 1), ((0, 1, 0, 0, 0, -1), 0)],
)
def test_slices_of_upright_planes_run_to_head_back_and_left(
    tmp_path: Path, orientation: tuple[float, ...], axis: int, step: float
) -> None:
    write_series(ct_series(CT, orientation=orientation, step_mm=step), tmp_path)
    assert load_ct(tmp_path).volume.ijk_to_lps[axis, 2] == pytest.approx(3.0)


# --- uneven, gapped, repeated -----------------------------------------------------------------------------------------


def at(along: list[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([-10.0, -20.0, 0.0]) + np.outer(along, [0, 0, 1])


def test_uneven_slices_are_resampled_after_scaling_and_said_so(tmp_path: Path) -> None:
    along = np.cumsum([0, 3, 3, 4.2, 3, 2.1])
    write_series(pet_series(np.full((6, 2, 2), 100, np.uint16), slopes=1.0, positions=at(along)), tmp_path)
    # The factors rise linearly with position, so the scaled volume must do so on the even grid.
    volume, notices = to_volume(read_frames(tmp_path, "PT"), "PT", "SUVbw", scale=along)
    heights = [lps_of(volume, k, 0, 0)[2] for k in range(6)]
    assert np.allclose(np.diff(heights), volume.spacing_mm[0])
    assert np.allclose(volume.array[:, 1, 1], 100 * np.clip(heights, along[0], along[-1]), rtol=1e-5)
    assert [notice.code for notice in notices] == ["SLICES_RESAMPLED"]
    assert "2.10 to 4.20 mm" in notices[0].message


def test_scaling_leaves_the_stack_untouched(tmp_path: Path) -> None:
    write_series(pet_series(PET, slopes=1.0), tmp_path)
    stack = read_frames(tmp_path, "PT")
    volume, _ = to_volume(stack, "PT", "SUVbw", scale=[2.0] * 6)
    assert np.array_equal(stack.values, PET)
    assert np.array_equal(volume.array, 2.0 * PET)
    assert volume.array.dtype == np.float32


def test_a_gap_is_refused_before_any_pixel_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "decode", lambda *_: pytest.fail("pixels were decoded"))
    write_series(ct_series(CT, positions=at([0, 3, 6, 12, 15, 18])), tmp_path)
    assert refusal(tmp_path).code is Code.MISSING_SLICES


def test_tilt_is_refused(tmp_path: Path) -> None:
    positions = at(np.arange(6) * 3.0)
    positions[:, 1] += np.arange(6) * 0.8
    write_series(ct_series(CT, positions=positions), tmp_path)
    assert refusal(tmp_path).code is Code.GANTRY_TILT


def test_a_copied_slice_is_a_duplicate(tmp_path: Path) -> None:
    paths = write_series(ct_series(CT), tmp_path)
    shutil.copy(paths[2], tmp_path / "copy.dcm")
    error = refusal(tmp_path)
    assert error.code is Code.DUPLICATE_SLICES
    assert "dynamic" not in error.message


@pytest.mark.parametrize(
    ("keyword", "values"),
    [("AcquisitionTime", ("110000", "111000")), ("FrameReferenceTime", (1000, 5000)), ("TriggerTime", (0, 400))],
)
def test_a_dynamic_or_gated_series_is_named(tmp_path: Path, keyword: str, values: tuple[object, object]) -> None:
    series = pet_series(PET, positions=at(np.repeat([0.0, 3, 6], 2)))
    for k, item in enumerate(series):
        setattr(item, keyword, values[k % 2])
    write_series(series, tmp_path)
    with pytest.raises(GeometryRefused, match="dynamic or gated") as caught:
        to_volume(read_frames(tmp_path, "PT"), "PT", "SUVbw")
    assert caught.value.code is Code.DUPLICATE_SLICES


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    write_series(ct_series(CT[:1]), tmp_path)
    assert refusal(tmp_path).code is Code.BAD_GEOMETRY


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ML_100ML_S", "HU_MOD", "Z_EFF", "OD"])
def test_a_map_computed_from_ct_is_no_ct(tmp_path: Path, kind: str) -> None:
    write_series(ct_series(CT, RescaleType=kind), tmp_path)
    error = refusal(tmp_path)
    assert error.code is Code.WRONG_MODALITY
    assert kind in error.message


def test_ct_without_a_named_unit_is_read_with_a_notice(tmp_path: Path) -> None:
    write_series(ct_series(CT, RescaleType="US"), tmp_path / "us")
    write_series(ct_series(CT, RescaleType=None), tmp_path / "none")
    assert [notice.code for notice in load_ct(tmp_path / "us").notices] == ["CT_UNIT_UNSPECIFIED"]
    assert load_ct(tmp_path / "none").notices == ()


# --- acquisition ------------------------------------------------------------------------------------------------------


def header(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in {"Modality": "CT", **attributes}.items():
        setattr(made, keyword, value)
    return made


def item(**attributes: object) -> list[Dataset]:
    return [header(**attributes)]


@pytest.mark.parametrize(
    ("attributes", "contrast"),
    [
        ({}, "unknown"),
        ({"ContrastBolusAgent": ""}, "unknown"),
        ({"ContrastBolusAgent": "IV & ORAL"}, "yes"),
        ({"ContrastBolusAgent": "Normal OMNIPAQUE 350"}, "yes"),
        ({"ContrastBolusAgent": "NONE"}, "no"),
        ({"ContrastBolusAgent": "No contrast"}, "no"),
        ({"ContrastBolusAgent": "without"}, "no"),
        ({"ContrastBolusVolume": 120}, "yes"),
        ({"ContrastBolusVolume": 0}, "unknown"),
        ({"ContrastBolusAgentSequence": item(CodeMeaning="Iohexol")}, "yes"),
        ({"ContrastBolusUsageSequence": item(ContrastBolusAgentAdministered="NO")}, "no"),
        ({"ContrastBolusAgentAdministered": "YES"}, "yes"),
        ({"Modality": "PT", "ContrastBolusAgent": "OMNIPAQUE"}, "unknown"),
    ],
)
def test_contrast_is_told_only_where_the_header_tells(attributes: dict[str, object], contrast: str) -> None:
    assert acquisition_of(header(**attributes)).contrast == contrast


@pytest.mark.parametrize(
    ("name", "meaning", "tracer"),
    [
        ("DOTATOC", "^68^Gallium", "DOTATOC Ga-68"),
        ("DOTATATE", "^64^Copper", "DOTATATE Cu-64"),
        ("Ga-68 DOTATATE", "^68^Gallium", "DOTATATE Ga-68"),
        ("68Ga-DOTANOC", "^68^Gallium", "DOTANOC Ga-68"),
        ("FDG -- fluorodeoxyglucose 18F", "^18^Fluorine", "FDG F-18"),
        ("for Jane Doe, DOTATOC", "^68^Gallium", "DOTATOC Ga-68"),
        ("Jane Doe", "^18^Fluorine", "F-18"),
    ],
)
def test_a_tracer_has_one_name_however_it_is_written_and_no_free_text(name: str, meaning: str, tracer: str) -> None:
    dose = dotatoc()
    dose.Radiopharmaceutical = name
    dose.RadionuclideCodeSequence[0].CodeMeaning = meaning
    del dose.RadionuclideHalfLife
    pet = header(Modality="PT", RadiopharmaceuticalInformationSequence=[dose])
    assert acquisition_of(pet).tracer == tracer


def test_acquisition_of_classic_and_multiframe_agree(tmp_path: Path) -> None:
    series = pet_series(PET, QualityControlSubject="YES")
    write_series(multiframe(series, legacy=True), tmp_path)
    found = acquisition_of(read_frames(tmp_path, "PT").headers[0])
    assert found == acquisition_of(series[0])
    assert found.synthetic
    assert found.date == date(2020, 1, 2)
    assert (found.manufacturer, found.model, found.tracer) == ("ACME", "Scanner 1", "DOTATOC Ga-68")


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_an_impossible_date_is_no_date() -> None:
    assert acquisition_of(header(SeriesDate="20209999", StudyDate="1999.12.31")).date == date(1999, 12, 31)
    assert acquisition_of(header()).date is None


def test_no_identity_leaves_with_a_loaded_series(tmp_path: Path) -> None:
    write_series(ct_series(CT), tmp_path)
    assert "CANARY" not in repr(load_ct(tmp_path))
