"""Files to slices: order, rescaling, transfer syntaxes, multi-frame objects, and every refusal on the way."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_objects import DATA, ct_series, multiframe, pet_series, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from PRRTPredictorCore.dicom import frames as frames_module
from PRRTPredictorCore.dicom.frames import decode, read_frames, read_headers, scan_series
from PRRTPredictorCore.errors import Code, DicomRefused, PRRTError
from PRRTPredictorCore.records import Modality

ZOO = DATA / "ct-transfer-syntax-zoo"
RNG = np.random.default_rng(7)
SHAPE = (6, 5, 7)
CT = RNG.integers(0, 3000, SHAPE).astype(np.int16)
PET = RNG.integers(0, 30000, SHAPE).astype(np.uint16)


def refusal(source: object, modality: Modality = "CT") -> PRRTError:
    with pytest.raises(DicomRefused) as caught:
        read_frames(source, modality)  # type: ignore[arg-type]
    assert caught.value.remedy
    assert "CANARY" not in str(caught.value)
    return caught.value


# --- order and values -------------------------------------------------------------------------------------------------


def test_slices_are_ordered_by_position_whatever_files_and_numbers_say(tmp_path: Path) -> None:
    series = ct_series(CT)
    for item, number in zip(series, [4, 1, 6, 2, 5, 3], strict=True):
        item.InstanceNumber = number
    write_series(series, tmp_path, names=["c.dcm", "a.dcm", "f", "b.ima", "e.dcm", "d.dcm"])
    stack = read_frames(tmp_path, "CT")
    assert np.array_equal(stack.values, CT - 1024)
    assert stack.values.dtype == np.int16
    assert np.allclose(stack.positions_lps[:, 2], -300 + 3 * np.arange(6))
    assert [int(header.InstanceNumber) for header in stack.headers] == [4, 1, 6, 2, 5, 3]
    assert not any("PixelData" in header for header in stack.headers)


def test_a_series_acquired_downwards_still_runs_to_the_head(tmp_path: Path) -> None:
    write_series(ct_series(CT, step_mm=-3.0), tmp_path)
    stack = read_frames(tmp_path, "CT")
    assert np.array_equal(stack.values, CT[::-1] - 1024)
    assert (np.diff(stack.positions_lps[:, 2]) > 0).all()


def test_every_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    slopes = 0.1 + np.arange(6)
    series = pet_series(PET, slopes)
    for k, item in enumerate(series):
        item.RescaleIntercept = -10 * k
    write_series(series, tmp_path)
    stack = read_frames(tmp_path, "PT")
    assert stack.values.dtype == np.float32
    expected = PET * slopes[:, None, None] - 10 * np.arange(6)[:, None, None]
    assert np.allclose(stack.values, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"), [(1, -1024, np.int16), (1, -1024.5, np.float32), (2, 0, np.float32)]
)
def test_ct_keeps_whole_numbers_where_it_can(tmp_path: Path, slope: float, intercept: float, dtype: type) -> None:
    write_series(ct_series(CT, RescaleSlope=slope, RescaleIntercept=intercept), tmp_path)
    stack = read_frames(tmp_path, "CT")
    assert stack.values.dtype == dtype
    assert np.array_equal(stack.values, CT * slope + intercept)


def test_ct_saturates_instead_of_wrapping_round(tmp_path: Path) -> None:
    stored = np.array([0, 1000, 33000, 65535], np.uint16).reshape(2, 1, 2)
    write_series(ct_series(stored, RescaleIntercept=-1000), tmp_path / "a")
    assert read_frames(tmp_path / "a", "CT").values.ravel().tolist() == [-1000, 0, 32000, 32767]
    low = np.array([-32768, -2000, 0, 100], np.int16).reshape(2, 1, 2)
    write_series(ct_series(low), tmp_path / "b")
    assert read_frames(tmp_path / "b", "CT").values.ravel().tolist() == [-32768, -3024, -1024, -924]


@pytest.mark.parametrize("signed", [True, False])
def test_bits_above_the_stored_ones_are_removed(tmp_path: Path, signed: bool) -> None:
    values = RNG.integers(-2048, 2048, SHAPE) if signed else RNG.integers(0, 4096, SHAPE)
    junk = RNG.integers(0, 16, SHAPE) << 12
    stored = ((values & 0x0FFF) | junk).astype(np.uint16)
    changes = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": int(signed), "RescaleIntercept": 0}
    write_series(ct_series(stored, **changes), tmp_path)
    assert np.array_equal(read_frames(tmp_path, "CT").values, values)


def test_run_length_encoding_keeps_the_place_of_the_stored_bits(tmp_path: Path) -> None:
    stored = RNG.integers(0, 4096, SHAPE).astype(np.uint16)
    garbage = RNG.integers(0, 16, SHAPE).astype(np.uint16)
    series = ct_series(stored << 4 | garbage, BitsStored=12, HighBit=15)
    for item in series:
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.BitsStored = 16  # the encoder refuses what the header says
        item.compress(RLELossless, generate_instance_uid=False)
        item.BitsStored = 12
    write_series(series, tmp_path, transfer_syntax=RLELossless)
    assert np.array_equal(read_frames(tmp_path, "CT").values, stored.astype(int) - 1024)


def test_progress_counts_to_its_total(tmp_path: Path) -> None:
    write_series(ct_series(CT), tmp_path)
    seen: dict[str, tuple[int, int]] = {}
    read_frames(tmp_path, "CT", lambda stage, done, total, message="": seen.__setitem__(stage, (done, total)))
    assert len(seen) == 2
    assert set(seen.values()) == {(6, 6)}


def test_headers_alone_come_without_pixels(tmp_path: Path) -> None:
    paths = write_series(ct_series(CT), tmp_path)
    headers = read_headers([*paths, tmp_path / "0000.dcm"])
    assert len(headers) == 6
    assert not any("PixelData" in header for header in headers)


# --- transfer syntaxes ------------------------------------------------------------------------------------------------

LOSSLESS = {
    "CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm": 0,
    "CTImage.dcm_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99.dcm": 0,
    "CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm": 0,
    "CTImage.dcm_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2.dcm": 0,
    "CTImage.dcm_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm": 0,
    "CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm": 0,
    "CTImage.dcm_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70.dcm": 0,
    "CTImage.dcm_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57.dcm": 0,
    "CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm": 0,
}
LOSSY = {  # mean error in HU that the compression itself makes
    "CTImage.dcm_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm": 2,
    "CTImage.dcm_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81.dcm": 2,
    "CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm": 25,
    "CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": 5,
    "CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": 5,
    "CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": 5,
}


def real(name: str) -> Path:
    path = ZOO / name
    if not path.exists():
        pytest.skip(f"real data missing: {path}")
    return path


@pytest.mark.parametrize(("name", "tolerance_hu"), [*LOSSLESS.items(), *LOSSY.items()])
def test_the_same_slice_in_every_transfer_syntax(name: str, tolerance_hu: float) -> None:
    reference = read_frames([real("CTImage.dcm")], "CT").values
    assert (reference.min(), reference.max()) == (-3024, 1378)
    values = read_frames([real(name)], "CT").values
    assert values.shape == reference.shape
    error = np.abs(values.astype(np.float64) - reference).mean()
    assert error <= tolerance_hu
    assert (error == 0) == (tolerance_hu == 0)


def test_encapsulated_jpeg_2000_with_vr_un() -> None:
    stack = read_frames([real("explicit_VR-UN.dcm")], "CT")
    assert (stack.values.min(), stack.values.max()) == (-1024, 1186)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_made_series_in_other_native_syntaxes(tmp_path: Path, syntax: str) -> None:
    write_series(ct_series(CT), tmp_path, transfer_syntax=syntax)
    assert np.array_equal(read_frames(tmp_path, "CT").values, CT - 1024)


# --- multi-frame ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_multiframe_pet_reads_like_its_slices(tmp_path: Path, legacy: bool) -> None:
    series = pet_series(PET, slopes=np.linspace(0.2, 1.4, 6))
    for k, item in enumerate(series):
        item.AcquisitionTime, item.FrameReferenceTime = f"11{k:02d}00", 60000 * (k + 1)
    write_series(series, tmp_path / "classic")
    # Stored out of order, as converters may.
    write_series(multiframe([series[k] for k in (3, 0, 5, 1, 4, 2)], legacy=legacy), tmp_path / "joined")
    classic, joined = read_frames(tmp_path / "classic", "PT"), read_frames(tmp_path / "joined", "PT")
    assert np.array_equal(joined.values, classic.values)
    assert np.array_equal(joined.positions_lps, classic.positions_lps)
    assert joined.pixel_spacing_mm == classic.pixel_spacing_mm
    for mine, theirs in zip(joined.headers, classic.headers, strict=True):
        assert mine.AcquisitionTime == theirs.AcquisitionTime
        assert mine.AcquisitionDate == theirs.AcquisitionDate
        assert float(mine.ActualFrameDuration) == float(theirs.ActualFrameDuration)
        assert mine.RescaleSlope == theirs.RescaleSlope
        assert mine.Units == theirs.Units
        assert mine.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose == 1.5e8
        if legacy:
            assert mine.FrameReferenceTime == theirs.FrameReferenceTime


@pytest.mark.parametrize("share_rescale", [False, True])
def test_enhanced_ct_with_shared_or_own_rescale(tmp_path: Path, share_rescale: bool) -> None:
    write_series(multiframe(ct_series(CT), share_rescale=share_rescale), tmp_path)
    stack = read_frames(tmp_path, "CT")
    assert stack.values.dtype == np.int16
    assert np.array_equal(stack.values, CT - 1024)


def test_multiframe_parts_of_one_series_are_joined(tmp_path: Path) -> None:
    series = ct_series(CT)
    write_series([multiframe(series[3:]), multiframe(series[:3])], tmp_path)
    assert np.array_equal(read_frames(tmp_path, "CT").values, CT - 1024)


def test_a_multiframe_header_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    joined = multiframe(ct_series(CT))
    joined.PerFrameFunctionalGroupsSequence = joined.PerFrameFunctionalGroupsSequence[:4]
    write_series(joined, tmp_path)
    assert refusal(tmp_path).code is Code.BAD_GEOMETRY


def test_real_multiframe_objects() -> None:
    legacy = read_frames([real("dcmqi_24x38x3_multiframe_mf.dcm")], "CT")
    assert legacy.values.shape == (3, 38, 24)
    assert legacy.positions_lps[:, 2].tolist() == [-177.75, -175.25, -172.75]
    assert [int(header.InstanceNumber) for header in legacy.headers] == [1, 2, 3]
    enhanced = read_frames([real("eCT_Supplemental.dcm")], "CT")
    written = dcmread(real("eCT_Supplemental.dcm"))
    rescale = written.SharedFunctionalGroupsSequence[0].get("PixelValueTransformationSequence")
    assert enhanced.values.shape == (2, 512, 512)
    assert rescale is None or float(rescale[0].RescaleSlope) == float(enhanced.headers[0].RescaleSlope)
    # A lossy copy of the same frames, whose own header was left with another intercept than its pixels.
    fragmented = read_frames([real("CT0012.fragmented_no_bot_jpeg_baseline.51.dcm")], "CT")
    assert np.array_equal(fragmented.positions_lps, enhanced.positions_lps)
    assert np.corrcoef(fragmented.values.ravel(), enhanced.values.ravel())[0, 1] > 0.9999


# --- what is passed over, what is refused -----------------------------------------------------------------------------


def test_junk_and_non_images_beside_the_slices_are_passed_over(tmp_path: Path) -> None:
    series = ct_series(CT)
    write_series(series, tmp_path)
    (tmp_path / "Thumbs.db").write_bytes(b"junk")
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not DICOM" * 100)
    plan = Dataset()
    plan.SOPClassUID, plan.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", generate_uid()
    plan.Modality, plan.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    mask = Dataset()
    mask.update(series[0])
    mask.SOPClassUID, mask.Modality, mask.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", "SEG", generate_uid()
    write_series([plan, mask], tmp_path / "mask")
    assert np.array_equal(read_frames(tmp_path, "CT").values, CT - 1024)


def test_paths_and_folders_without_images(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").code is Code.PATH_MISSING
    assert refusal([tmp_path / "nowhere.dcm"]).code is Code.PATH_MISSING
    assert refusal(tmp_path).code is Code.EMPTY_FOLDER
    assert refusal([]).code is Code.EMPTY_FOLDER
    (tmp_path / "image.nii.gz").write_bytes(b"\x1f\x8b" * 400)
    assert refusal(tmp_path).code is Code.NOT_DICOM
    assert refusal([tmp_path / "image.nii.gz"]).code is Code.NOT_DICOM


def test_folders_may_lie_in_one_another_to_any_depth(tmp_path: Path) -> None:
    folders = [tmp_path / "a"]
    while len(folders) < 1100:  # more than Python's functions may call one another
        folders.append(folders[-1] / "a")
    try:
        for folder in folders:
            folder.mkdir()
        for path in write_series(ct_series(CT), tmp_path / "written"):
            path.rename(folders[-1] / path.name)
        assert len(read_frames(tmp_path, "CT").values) == len(CT)
    except OSError:
        pytest.skip("this system takes no paths of 2,000 characters")
    finally:  # whoever clears the temporary folder may go by calls
        for path in folders[-1].glob("*.dcm"):
            path.unlink()
        for folder in reversed(folders):
            if folder.is_dir():
                folder.rmdir()


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "scandir", failing)
    error = refusal(tmp_path)
    assert (error.code, error.where) == (Code.PATH_MISSING, tmp_path.name)


def test_two_series_in_one_folder(tmp_path: Path) -> None:
    write_series(pet_series(PET), tmp_path / "a")
    write_series(pet_series(PET), tmp_path / "b")
    error = refusal(tmp_path, "PT")
    assert error.code is Code.MIXED_SERIES
    assert "2 series" in error.message


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "FrameOfReferenceUID"])
@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_one_series_of_several_patients_studies_or_frames(tmp_path: Path, modality: Modality, keyword: str) -> None:
    series = ct_series(CT) if modality == "CT" else pet_series(PET)
    for item in series[3:]:
        setattr(item, keyword, "1.2.3")
    write_series(series, tmp_path / "mixed")
    assert refusal(tmp_path / "mixed", modality).code is Code.MIXED_SERIES
    for item in series[3:]:
        setattr(item, keyword, "")
    write_series(series, tmp_path / "left out")
    assert len(read_frames(tmp_path / "left out", modality).values) == len(CT)


def test_ct_and_pet_in_one_folder(tmp_path: Path) -> None:
    write_series(pet_series(PET), tmp_path / "a")
    write_series(ct_series(CT), tmp_path / "b")
    for modality in ("PT", "CT"):
        error = refusal(tmp_path, modality)
        assert error.code is Code.MIXED_SERIES
        assert "6 x CT, 6 x PT" in error.message


def test_the_other_modality(tmp_path: Path) -> None:
    write_series(pet_series(PET), tmp_path)
    assert refusal(tmp_path, "CT").code is Code.WRONG_MODALITY


def test_a_localizer_is_no_ct(tmp_path: Path) -> None:
    write_series(ct_series(CT[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "a")
    assert refusal(tmp_path / "a").code is Code.WRONG_MODALITY
    series = ct_series(CT)
    series[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write_series(series, tmp_path / "b")
    assert refusal(tmp_path / "b").code is Code.MIXED_SERIES


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImageOrientationPatient", [0, 1, 0, 0, 0, -1]),
        ("PixelSpacing", [3, 3]),
        ("PixelSpacing", None),
        ("PixelSpacing", [0, 2]),
        ("ImagePositionPatient", None),
        ("ImagePositionPatient", [0, 0]),
    ],
)
def test_one_slice_unlike_the_others(tmp_path: Path, keyword: str, value: object) -> None:
    series = ct_series(CT)
    setattr(series[2], keyword, value)
    write_series(series, tmp_path)
    error = refusal(tmp_path)
    assert error.code is Code.BAD_GEOMETRY
    assert "0002.dcm" in error.where or "differ" not in error.message


def test_slices_of_another_size(tmp_path: Path) -> None:
    series = ct_series(CT)
    alike = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    belongs = {keyword: series[0][keyword].value for keyword in alike}
    series[3:] = ct_series(CT[3:, :4], origin=(-10, -20, -291), **belongs)
    write_series(series, tmp_path)
    assert refusal(tmp_path).code is Code.BAD_GEOMETRY


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": "RGB"},
        {"SamplesPerPixel": 3},
        {"BitsStored": 17},
        {"BitsAllocated": 12},
        {"HighBit": 3},
        {"RescaleSlope": None},
        {"RescaleIntercept": None},
        {"RescaleSlope": 0},
        {"Columns": 60000},
        {"Columns": 0},
    ],
)
def test_pixels_that_no_ct_can_have(tmp_path: Path, changes: dict[str, object]) -> None:
    write_series(ct_series(CT, **changes), tmp_path)
    assert refusal(tmp_path).code is Code.UNREADABLE_PIXELS


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    series = ct_series(CT)
    for item in series:
        del item.PixelData
        item.FloatPixelData = np.zeros(35, np.float32).tobytes()
    write_series(series, tmp_path)
    assert refusal(tmp_path).code is Code.UNREADABLE_PIXELS


@pytest.mark.parametrize("kept", [0, 140, 300, 350, 400, 460, 700, 1000, -90, -80, -71, -1])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, kept: int) -> None:
    paths = write_series(ct_series(CT), tmp_path)
    content = paths[5].read_bytes()
    paths[5].write_bytes(content[:kept])
    assert refusal(tmp_path).code in {Code.TRUNCATED, Code.NOT_DICOM}


def test_a_compressed_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = real("CTImage.dcm_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm").read_bytes()
    for kept in (len(content) // 3, len(content) - 2000):
        (tmp_path / "cut.dcm").write_bytes(content[:kept])
        assert refusal(tmp_path).code in {Code.TRUNCATED, Code.UNREADABLE_PIXELS}


def test_a_deflated_file_cut_is_refused(tmp_path: Path) -> None:
    paths = write_series(ct_series(CT), tmp_path, transfer_syntax=DeflatedExplicitVRLittleEndian)
    paths[0].write_bytes(paths[0].read_bytes()[:-40])
    assert refusal(tmp_path).code is Code.TRUNCATED


def test_announced_sizes_are_refused_before_memory_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        pytest.fail("memory was asked for")

    native, packed = ct_series(CT[:1]), ct_series(CT[:1])
    native[0].Rows = native[0].Columns = packed[0].Rows = packed[0].Columns = 8000
    packed[0].PixelData = encapsulate([b"\xff\x4f" * 40])
    packed[0]["PixelData"].VR = "OB"
    packed[0]["PixelData"].is_undefined_length = True
    write_series(native, tmp_path / "native")
    write_series(packed, tmp_path / "packed", transfer_syntax=JPEG2000Lossless)
    monkeypatch.setattr(frames_module.np, "empty", no_memory)
    assert refusal(tmp_path / "native").code is Code.TRUNCATED
    assert refusal(tmp_path / "packed").code is Code.TRUNCATED


def test_damaged_compressed_pixels_are_refused(tmp_path: Path) -> None:
    series = ct_series(CT[:2])
    for item in series:
        item.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"\x00" * 40])
        item["PixelData"].VR = "OB"
        item["PixelData"].is_undefined_length = True
    write_series(series, tmp_path, transfer_syntax=JPEG2000Lossless)
    assert refusal(tmp_path).code is Code.UNREADABLE_PIXELS


def test_reading_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    paths = write_series(ct_series(CT), tmp_path)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    decode(scan_series(tmp_path, "CT"))
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before


def test_a_slice_copied_under_another_name_is_seen(tmp_path: Path) -> None:
    paths = write_series(ct_series(CT), tmp_path)
    shutil.copy(paths[2], tmp_path / "copy.dcm")
    assert len(scan_series(tmp_path, "CT").places) == 7
