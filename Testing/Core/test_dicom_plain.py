"""The quick ways through a series: plain headers, values interpreted once, slices decoded side by side."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from copy import deepcopy
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicom_objects import DATA, ct_series, pet_series, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from PRRTPredictorCore.dicom import decoding, pixel_source, swift
from PRRTPredictorCore.dicom.decoding import stored_frames
from PRRTPredictorCore.dicom.frames import read_frames, scan_series
from PRRTPredictorCore.dicom.index import index_source
from PRRTPredictorCore.dicom.plain import HEADER_BYTES, plain_header
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet, pet_of_stack, suv_scale
from PRRTPredictorCore.dicom.suv_values import SeriesHeaders, kinds
from PRRTPredictorCore.dicom.swift import swift_frame
from PRRTPredictorCore.dicom.values import HEADER_ERRORS, number, text, value_of, without_warnings
from PRRTPredictorCore.errors import Code, DicomRefused, SuvRefused

ZOO = DATA / "ct-transfer-syntax-zoo"
SYNTAXES = {"JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
CT = (np.arange(12 * 16 * 20).reshape(12, 16, 20) % 3000).astype(np.int16)


def same_header(start: bytes) -> bool:
    """Whether a header was plain; it must then be what pydicom reads."""
    found = plain_header(start[:HEADER_BYTES])
    if found is None:
        return False
    header, offset = found
    stream = BytesIO(start)
    expected = dcmread(stream, stop_before_pixels=True)
    assert offset == stream.tell()
    assert list(header.keys()) == list(expected.keys())
    for tag in expected.keys() - {0x00080005}:
        assert header.get_item(tag) == expected.get_item(tag)
    assert text(header, "SpecificCharacterSet") == text(expected, "SpecificCharacterSet")
    assert header.read_encoding == expected.read_encoding
    assert header.file_meta == expected.file_meta
    return True


# --- headers ----------------------------------------------------------------------------------------------------------


def test_plain_headers_of_real_files_are_what_pydicom_reads() -> None:
    folders = {path.parent for path in DATA.rglob("*") if path.is_file()}
    files = [path for folder in sorted(folders) for path in sorted(folder.iterdir())[:: 40 if folder != ZOO else 1]]
    starts = [path.read_bytes() for path in files if path.is_file()]
    with without_warnings():
        plain = [same_header(start) for start in starts if start[128:132] == b"DICM"]
    assert len(plain) > 50
    assert np.mean(plain) > 0.8


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_left_to_pydicom_or_read_alike(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(("CTImage.dcm", "CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm")))
    start = bytearray((ZOO / name).read_bytes()[:4096])
    for _ in range(data.draw(st.integers(1, 4))):
        start[data.draw(st.integers(128, 2500))] = data.draw(st.integers(0, 255))
    with without_warnings():
        try:
            dcmread(BytesIO(bytes(start)), stop_before_pixels=True)
        except HEADER_ERRORS:
            plain_header(bytes(start))  # does not raise; what it takes apart is refused where it is used
            return
        same_header(bytes(start))


@pytest.mark.parametrize("end", [100, 131, 132, 300, 1500])
def test_a_header_that_is_cut_is_not_plain(end: int) -> None:
    assert plain_header((ZOO / "CTImage.dcm").read_bytes()[:end]) is None


@pytest.mark.parametrize(
    ("written", "instead"),
    [(b"CS\x0a\x00ISO_IR", b"CS\x0a\x00IS\xff_IR"), (b"CS\x0a\x00ISO_IR", b"AT\x0a\x00ISO_IR")],
    ids=["no ASCII", "no code string"],
)
def test_an_odd_character_set_is_left_to_pydicom(tmp_path: Path, written: bytes, instead: bytes) -> None:
    series = ct_series(CT[:3])
    for item in series:
        item.SpecificCharacterSet = "ISO_IR 100"
    path = write_series(series, tmp_path)[0]
    start = path.read_bytes()
    assert start.count(written) == 1
    odd = start.replace(written, instead)
    assert plain_header(start[:HEADER_BYTES]) is not None
    assert plain_header(odd[:HEADER_BYTES]) is None
    if instead.startswith(b"CS"):
        path.write_bytes(odd)
        np.testing.assert_array_equal(read_frames(tmp_path, "CT").values, CT[:3] - 1024)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "instead"),
    [(b"ISO_IR 100", b"MUSTER_100"), (b"1.2.826.0.1.3680043", b"MUSTER^MAX.00000000")],
    ids=["character set", "UIDs"],
)
def test_values_against_the_rules_reach_neither_warnings_nor_the_log(
    tmp_path: Path, written: bytes, instead: bytes, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """They are repeated in both by pydicom, and Slicer writes what is logged into a file."""
    caplog.set_level(logging.DEBUG)
    series = ct_series(CT[:3], SpecificCharacterSet="ISO_IR 100", PatientName="Zo\xeb", PatientID="7")
    for path in write_series(series, tmp_path / "ct"):
        content = path.read_bytes()
        assert written in content
        path.write_bytes(content.replace(written, instead))
    with suppress(DicomRefused):
        load_ct(tmp_path / "ct")
    index_source(tmp_path)
    assert "MUSTER" not in caplog.text
    assert [str(warning.message) for warning in recwarn if "MUSTER" in str(warning.message)] == []
    logging.getLogger("pydicom").warning("as before")
    assert "as before" in caplog.text, "what other modules read is logged as ever"


def test_blocks_of_two_threads_that_overlap_are_silent_to_the_last_and_leave_the_filters_alone() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        first, second = without_warnings(), without_warnings()
        first.__enter__()
        second.__enter__()  # as another thread does meanwhile
        first.__exit__(None, None, None)
        warnings.warn("MUSTER^MAX", UserWarning, stacklevel=1)
        second.__exit__(None, None, None)
        assert warnings.filters == before
        warnings.warn("as before", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in told] == ["as before"]


def test_equal_bytes_are_interpreted_once_and_headers_stay_as_written(tmp_path: Path) -> None:
    write_series(ct_series(CT), tmp_path)
    first, second = scan_series(tmp_path, "CT").headers[:2]
    assert value_of(first, "PixelSpacing") is value_of(second, "PixelSpacing")
    assert isinstance(first.get_item("PixelSpacing"), RawDataElement)
    assert number(first, "RescaleIntercept") == -1024
    second.RescaleIntercept = -1000
    assert (number(first, "RescaleIntercept"), number(second, "RescaleIntercept")) == (-1024, -1000)


@pytest.mark.parametrize("written", [b"", b"   ", b"1\\2", b"one", b"nan", b"1e999", b"\xff\xfe"])
def test_bytes_that_are_no_number_are_none(written: bytes) -> None:
    header = Dataset()
    header[0x0028_1053] = RawDataElement(Tag("RescaleSlope"), "DS", len(written), written, 0, False, True)
    with without_warnings():
        assert number(header, "RescaleSlope") is None


def test_long_values_are_not_kept_in_memory() -> None:
    first, second = Dataset(), Dataset()
    for header in (first, second):
        header[0x0028_1053] = RawDataElement(Tag("RescaleSlope"), "DS", 600, b"1\\" * 300, 0, False, True)
    assert value_of(first, "RescaleSlope") == value_of(second, "RescaleSlope")
    assert value_of(first, "RescaleSlope") is not value_of(second, "RescaleSlope")


def test_slices_that_differ_only_in_what_is_theirs_are_of_one_kind(tmp_path: Path) -> None:
    series = pet_series(np.ones((5, 4, 4), np.uint16), slopes=[1.0, 2.0, 3.0, 4.0, 5.0])
    write_series(series, tmp_path)
    headers = SeriesHeaders(scan_series(tmp_path, "PT").headers)
    assert kinds(headers) == (headers[-1],)
    assert len(kinds((*headers, Dataset()))) == 2


@pytest.mark.parametrize(("number", "kinds_of_slices"), [(0x0D, 2), (0xA7, 1)], ids=["asked for", "not asked for"])
def test_private_elements_count_where_they_are_asked_for(number: int, kinds_of_slices: int) -> None:
    series = pet_series(np.ones((5, 4, 4), np.uint16))
    for k, item in enumerate(series):
        item.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(number, "LO", "1" if k == 2 else "0")
    assert len(kinds(series)) == kinds_of_slices


@pytest.mark.parametrize("place", ["PatientWeight", "RadionuclideTotalDose"])
def test_one_slice_that_contradicts_the_others_is_found(tmp_path: Path, place: str) -> None:
    series = pet_series(np.ones((5, 4, 4), np.uint16))
    series[3] = deepcopy(series[3])
    item = series[3] if place in series[3] else series[3].RadiopharmaceuticalInformationSequence[0]
    setattr(item, place, float(item[place].value) * 1.01)
    write_series(series, tmp_path)
    with pytest.raises(SuvRefused) as caught:
        load_pet(tmp_path)
    assert caught.value.code in (Code.SUV_WEIGHT, Code.SUV_DOSE)


def test_scaling_while_decoding_gives_what_scaling_the_stack_gives(tmp_path: Path) -> None:
    stored = np.random.default_rng(3).integers(0, 30000, (9, 8, 8)).astype(np.uint16)
    write_series(pet_series(stored, slopes=0.1 + np.arange(9) / 7), tmp_path)
    stack = read_frames(tmp_path, "PT")
    expected = pet_of_stack(stack, suv_scale(stack.headers))
    np.testing.assert_array_equal(load_pet(tmp_path).volume.array, expected.volume.array)


# --- slices side by side ----------------------------------------------------------------------------------------------


def compressed(folder: Path, syntax: str, stored: np.ndarray = CT) -> list[Path]:
    """A CT on disk, each slice compressed without loss."""
    series = ct_series(stored)
    for item, values in zip(series, stored, strict=True):
        codestream = (
            imagecodecs.jpegls_encode(values.view(np.uint16))
            if syntax == JPEGLSLossless
            else imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", reversible=True)
        )
        item.PixelData = encapsulate([codestream])
        item["PixelData"].VR = "OB"
        item["PixelData"].is_undefined_length = True
    return write_series(series, folder, transfer_syntax=syntax)


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
@pytest.mark.parametrize("lowest", [0, -2000], ids=["unsigned values", "signed values"])
def test_compressed_slices_are_those_that_were_stored(tmp_path: Path, syntax: str, lowest: int) -> None:
    stored = CT + np.int16(lowest)
    compressed(tmp_path, syntax, stored)
    scan = scan_series(tmp_path, "CT")
    assert all(place.source.can_share_time for place in scan.places)
    np.testing.assert_array_equal(read_frames(tmp_path, "CT").values, stored - 1024)


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
def test_without_imagecodecs_the_same_comes_from_pydicom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    compressed(tmp_path, syntax)
    monkeypatch.setattr(pixel_source, "has_swift_decoder", lambda syntax: False)
    assert not scan_series(tmp_path, "CT").places[0].source.can_share_time
    np.testing.assert_array_equal(read_frames(tmp_path, "CT").values, CT - 1024)


@pytest.mark.parametrize("name", ["JPEG2000LosslessOnly", "JPEG2000Trans", "JPEGLSLossless", "JPEGLSLossy"])
def test_real_compressed_slices_are_what_pydicom_decodes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = ZOO.glob(f"CTImage.dcm_{name}*")
    source = read_source(path)
    (swiftly,) = stored_frames(source)
    assert decoded(path, source) is not None
    monkeypatch.setattr(pixel_source, "has_swift_decoder", lambda syntax: False)
    (slowly,) = stored_frames(source)
    assert swiftly.dtype == slowly.dtype
    np.testing.assert_array_equal(swiftly, slowly)


@pytest.mark.parametrize("name", ["JPEG2000LosslessOnly", "JPEGLSLossless"])
def test_what_is_not_exactly_as_announced_is_left_to_pydicom(name: str, tmp_path: Path) -> None:
    (path,) = ZOO.glob(f"CTImage.dcm_{name}*")
    source, written = read_source(path), path.read_bytes()
    assert source.fragments_at is not None
    other = tmp_path / "other.dcm"
    for damaged in (written[:-8], written[:-9] + written[-8:], written + bytes(8), written[: len(written) // 2]):
        other.write_bytes(damaged)
        assert decoded(other, source) is None
    assert decoded(path, source, shift=8) is None
    assert swift_frame(path, source.fragments_at, source.transfer_syntax, (512, 511), source.dtype) is None
    assert swift_frame(path, source.fragments_at, source.transfer_syntax, (512, 512), np.dtype("u1")) is None
    assert swift_frame(tmp_path / "gone", source.fragments_at, source.transfer_syntax, (512, 512), source.dtype) is None


@pytest.mark.parametrize("stored", [np.int16, np.uint16])
def test_a_codestream_of_another_sign_or_size_is_left_to_pydicom(stored: type[np.integer], tmp_path: Path) -> None:
    image = np.arange(64 * 96).reshape(64, 96).astype(stored)
    other = np.dtype("u2" if stored is np.int16 else "i2")
    codestream = bytearray(imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True))
    path = tmp_path / "slice"

    def decoded_as(dtype: np.dtype, announced: bytes) -> np.ndarray | None:
        codestream[8:16] = announced
        path.write_bytes(encapsulate([bytes(codestream)]) + b"\xfe\xff\xdd\xe0\0\0\0\0")
        return swift_frame(path, 0, JPEG2000Lossless, (64, 96), dtype)

    width_and_height = bytes(codestream[8:16])
    np.testing.assert_array_equal(decoded_as(image.dtype, width_and_height), image)
    assert decoded_as(other, width_and_height) is None
    assert decoded_as(image.dtype, b"\0\0\xff\xff" * 2) is None


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
def test_a_damaged_slice_among_good_ones_is_refused_by_name(tmp_path: Path, syntax: str) -> None:
    paths = compressed(tmp_path, syntax)
    dataset = dcmread(paths[7])
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 3]])
    dataset.save_as(paths[7])
    with pytest.raises(DicomRefused) as caught:
        read_frames(tmp_path, "CT")
    assert caught.value.code is Code.TRUNCATED
    assert caught.value.where == paths[7].name


def test_syntaxes_that_hold_the_lock_are_not_shared_out() -> None:
    assert not swift.has_swift_decoder("1.2.840.10008.1.2.5")
    assert swift.has_swift_decoder(JPEGLSLossless)


def read_source(path: Path) -> decoding.PixelSource:
    """Where the pixels of a single file lie."""
    return scan_series(path, "CT").places[0].source


def decoded(path: Path, source: decoding.PixelSource, shift: int = 0) -> np.ndarray | None:
    """What the swift decoder makes of a file whose pixels are said to lie as in a source."""
    assert source.fragments_at is not None
    return swift_frame(path, source.fragments_at + shift, source.transfer_syntax, (512, 512), source.dtype)
