"""What a damaged or hostile file announces is refused before memory or time is spent on it, or a volume comes of it."""

from __future__ import annotations

import os
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_objects import ct_series, multiframe, pet_series, write_series
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    generate_uid,
)

from PRRTPredictorCore.dicom import bounds, compressed, decoding, headers, index_facts, scan, values
from PRRTPredictorCore.dicom.bounds import BoundedFile, InflatedFile
from PRRTPredictorCore.dicom.codestreams import declared_shape, is_whole
from PRRTPredictorCore.dicom.flat import frame_count
from PRRTPredictorCore.dicom.frames import read_frames
from PRRTPredictorCore.dicom.index import index_source
from PRRTPredictorCore.dicom.pixel_source import PixelSource
from PRRTPredictorCore.dicom.series import load_ct
from PRRTPredictorCore.dicom.suv import load_pet
from PRRTPredictorCore.dicom.values import items, number, text, value_of
from PRRTPredictorCore.errors import Code, DicomRefused, PRRTError

CT = (np.arange(4 * 16 * 12).reshape(4, 16, 12) * 7 % 3000).astype(np.uint16)
ENCODERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "JPEG 2000": (JPEG2000Lossless, lambda image: imagecodecs.jpeg2k_encode(image, codecformat="j2k")),
    "JPEG 2000 in boxes": (JPEG2000Lossless, lambda image: imagecodecs.jpeg2k_encode(image, codecformat="jp2")),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "lossless JPEG": (JPEGLosslessSV1, lambda image: imagecodecs.ljpeg_encode(image, bitspersample=16)),
}


def refused(source: Path, read: Callable[[Path], object] = load_ct) -> PRRTError:
    with pytest.raises(DicomRefused) as caught:
        read(source)
    assert caught.value.remedy
    return caught.value


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """Python's and NumPy's own memory, what was asked for and not used included."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20


def encoded(folder: Path, name: str, damage: Callable[[bytearray], object] = lambda stream: None) -> Path:
    """A CT of whose slices the second is damaged."""
    syntax, encode = ENCODERS[name]
    series = ct_series(CT)
    for k, item in enumerate(series):
        stream = bytearray(encode(CT[k]))
        if k == 1:
            damage(stream)
        item.PixelData = encapsulate([bytes(stream)])
        item["PixelData"].VR = "OB"
        item["PixelData"].is_undefined_length = True
    write_series(series, folder, transfer_syntax=syntax)
    return folder


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["RadionuclideCodeSequence", "SeriesDate", "Rows", "PatientID"])
def test_an_empty_element_of_unknown_vr_is_absent(keyword: str) -> None:
    tag = Tag(keyword)
    header = Dataset({tag: RawDataElement(tag, "S\0", 0, None, 148, False, True)})
    assert value_of(header, keyword) is None
    assert items(header, keyword) == ()
    assert text(header, keyword) == ""
    assert number(header, keyword) is None


def test_text_runs_into_no_other_element() -> None:
    header = Dataset()
    header.Modality = "PT\x10\x00\x10\x00PN\x08\x00DOE^JANE"
    header.PatientID = DicomSequence([Dataset()])
    header["PatientID"].VR = "SQ"
    header.SeriesDescription = "\x1b]0;owned\x07"
    assert text(header, "Modality") == ""
    assert text(header, "PatientID") == ""
    assert text(header, "SeriesDescription") == ""


def _of_reading(told: list[warnings.WarningMessage]) -> list[warnings.WarningMessage]:
    """Without those of other tests' garbage, which may be collected at any moment."""
    return [one for one in told if one.category is not ResourceWarning]


def test_no_warning_repeats_a_value(tmp_path: Path) -> None:
    series = pet_series(CT)
    for item in series:
        item.PatientName, item.PatientSex = "X" * 80, "UNKNOWN^" * 9
        item.StudyDate = "CANARY"
        item.SeriesInstanceUID = "1.2.CANARY"
    write_series(series, tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        index_source(tmp_path)
        load_pet(tmp_path)
    assert not _of_reading(told)


@pytest.mark.parametrize("read", [load_ct, index_source])
def test_an_element_larger_than_its_file_is_not_asked_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = write_series(ct_series(CT), tmp_path)[0]
    content = path.read_bytes()
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    path.write_bytes(content[:at] + struct.pack("<HH2sHL", 0x0027, 0x1000, b"OB", 0, 0xFFFFFFF0) + b"abc")
    with at_most(8):
        if read is load_ct:
            assert refused(tmp_path).code in {Code.TRUNCATED, Code.NOT_DICOM}
        else:
            assert index_source(tmp_path).left_out[0].code in {"TRUNCATED", "NOT_DICOM"}


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_a_header_has_no_more_elements_than_a_scanner_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    """Eight bytes announce an empty item, a few kilobytes inflate to millions of them; each would be an object."""
    series = ct_series(CT)
    series[0].ReferencedImageSequence = [Dataset() for _ in range(3000)]
    series[0]["ReferencedImageSequence"].is_undefined_length = True
    write_series(series, tmp_path, transfer_syntax=syntax)
    assert load_ct(tmp_path).volume.shape == CT.shape
    monkeypatch.setattr(bounds, "_MOST_READINGS", 3000)
    assert refused(tmp_path).code is Code.NOT_DICOM
    assert index_source(tmp_path).left_out[0].code == "NOT_DICOM"


def test_a_sequence_of_far_too_many_items_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    tag = Tag("SharedFunctionalGroupsSequence")
    for count, found in ((80, 80), (81, 0)):
        header = Dataset({tag: RawDataElement(tag, "SQ", 8 * count, item * count, 0, False, True)})
        monkeypatch.setattr(values, "MOST_PARTS", 2 * 80)
        assert len(items(header, "SharedFunctionalGroupsSequence")) == found


def test_a_bounded_file_asks_for_what_there_is() -> None:
    class Asked(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 <= size <= 10
            return super().read(size)

    file = BoundedFile(Asked(b"0123456789"), 10)
    assert file.read(4) == b"0123"
    assert file.read(2**32) == b"456789"
    assert file.seek(20) == 20
    assert file.read(1) == b""
    assert file.tell() == 20


# --- deflated files ---------------------------------------------------------------------------------------------------


def deflated_bomb(folder: Path, before_pixels: bool) -> Path:
    """Files of some kilobytes that inflate to many megabytes, before or after their pixels."""
    for path in write_series(ct_series(CT), folder, transfer_syntax=DeflatedExplicitVRLittleEndian):
        content = path.read_bytes()
        starts = 144 + struct.unpack_from("<L", content, 140)[0]
        inflated = zlib.decompress(content[starts:], -zlib.MAX_WBITS)
        pixels = inflated.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
        group = 0x7FDF if before_pixels else 0x7FE1
        bomb = struct.pack("<HH2sHL", group, 0x1010, b"OB", 0, 24 << 20) + bytes(24 << 20)
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        parts = (inflated[:pixels], bomb, inflated[pixels:]) if before_pixels else (inflated, bomb)
        path.write_bytes(content[:starts] + b"".join(map(packer.compress, parts)) + packer.flush())
    return folder


def test_a_deflated_header_is_inflated_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "LARGEST_INFLATED_HEADER", 1 << 20)
    bomb = deflated_bomb(tmp_path, before_pixels=True)
    with at_most(8):
        assert refused(bomb).code is Code.NOT_DICOM
        assert {reason.code for reason in _left_out_of_nothing(bomb)} == {"NOT_DICOM"}


def _left_out_of_nothing(folder: Path) -> list[Any]:
    """What the index of damaged files alone tells; it refuses them as a whole, so that a sound one is put beside."""
    write_series(ct_series(CT[:1]), folder / "sound")
    return [reason for reason in index_source(folder).left_out if not reason.series_uid]


def test_nothing_behind_the_pixels_is_inflated(tmp_path: Path) -> None:
    bomb = deflated_bomb(tmp_path / "bomb", before_pixels=False)
    with at_most(8):
        index_source(bomb)
        assert np.array_equal(load_ct(bomb).volume.array, CT.astype(np.int16) - 1024)


def test_an_inflated_file_reads_like_the_bytes_themselves() -> None:
    content = bytes(range(256)) * 700
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    file, plain = InflatedFile(BytesIO(packed), len(content)), BytesIO(content)
    for offset, whence, size in ((0, 0, 3), (-2, 1, 70_000), (100_000, 0, 5), (0, 0, 4), (179_190, 0, 100)):
        assert file.seek(offset, whence) == plain.seek(offset, whence)
        assert file.read(size) == plain.read(size)
        assert file.tell() == plain.tell()
    with pytest.raises(ValueError, match="larger"):
        InflatedFile(BytesIO(packed), 1000).read(140_000)
    with pytest.raises(zlib.error):
        InflatedFile(BytesIO(packed[:-20]), len(content)).read(len(content))


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames_that_a_file_cannot_hold_get_no_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(header: Dataset) -> None:
        pytest.fail("headers were made")

    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, JPEGLSLossless):
        item = ct_series(CT[:1])[0]
        item.NumberOfFrames = 65_536
        if syntax == JPEGLSLossless:
            item.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
            item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
        else:
            item.Rows = item.Columns = 200
        write_series([item], tmp_path / syntax, transfer_syntax=syntax)
        assert refused(tmp_path / syntax).code is Code.TRUNCATED
    monkeypatch.setattr(index_facts, "flat_headers", never)
    with pytest.raises(DicomRefused) as caught:
        index_source(tmp_path)
    assert caught.value.code is Code.NOT_DICOM


@pytest.mark.parametrize("written", ["0", "-1", "65537", "2.7", "many", "1\\2"])
def test_impossible_numbers_of_frames(tmp_path: Path, written: str) -> None:
    header = Dataset()
    header.add(RawDataElement(Tag("NumberOfFrames"), "DS", len(written), written.encode(), 0, False, True))  # type: ignore[arg-type]
    with pytest.raises(DicomRefused) as caught:
        frame_count(header)
    assert caught.value.code is Code.BAD_GEOMETRY


def test_a_number_of_frames_may_be_left_out_or_empty() -> None:
    header = Dataset()
    assert frame_count(header) == 1
    header.NumberOfFrames = None
    assert frame_count(header) == 1


def test_frames_without_groups_of_their_own_are_placed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = ct_series(CT[:1])[0]
    item.NumberOfFrames, item.PixelData = 500, CT[0].tobytes() * 500
    write_series([item], tmp_path)
    placed: list[object] = []
    monkeypatch.setattr(index_facts, "_place", lambda series, header: placed.append(header))
    index_source(tmp_path)
    assert len(placed) == 1


def test_a_volume_of_absurd_size_is_refused_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(ct_series(CT), tmp_path)
    monkeypatch.setattr(scan, "_MOST_VOXELS", CT.size)
    load_ct(tmp_path)
    monkeypatch.setattr(scan, "_MOST_VOXELS", CT.size - 1)
    assert refused(tmp_path).code is Code.UNREADABLE_PIXELS


@pytest.mark.parametrize(("added", "is_read"), [(0, True), (128, True), (130, False), (384, False)])
def test_pixels_that_no_frame_claims_are_refused(tmp_path: Path, added: int, is_read: bool) -> None:
    whole = multiframe(ct_series(CT))
    whole.PixelData += bytes(added)
    write_series(whole, tmp_path)
    if is_read:
        assert load_ct(tmp_path).volume.array.shape == CT.shape
    else:
        assert refused(tmp_path).code is Code.UNREADABLE_PIXELS


@pytest.mark.parametrize("sign", [None, 2, 257])
def test_values_of_unknown_sign_are_refused(tmp_path: Path, sign: int | None) -> None:
    write_series(ct_series(CT, PixelRepresentation=sign), tmp_path)
    assert refused(tmp_path).code is Code.UNREADABLE_PIXELS


# --- codestreams ------------------------------------------------------------------------------------------------------


def _enlarge(name: str) -> Callable[[bytearray], None]:
    def damage(stream: bytearray) -> None:
        if name.startswith("JPEG 2000"):
            at = stream.index(b"\xff\x4f\xff\x51") + 8
            struct.pack_into(">LL", stream, at, 16_000, 16_000)
            struct.pack_into(">LL", stream, at + 16, 16_000, 16_000)
        else:
            marker = b"\xff\xf7" if name == "JPEG-LS" else b"\xff\xc3"
            struct.pack_into(">HH", stream, stream.index(marker) + 5, 30_000, 30_000)

    return damage


def _cut(stream: bytearray) -> None:
    del stream[-20:]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_codestream_larger_than_announced_meets_no_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = encoded(tmp_path, name, _enlarge(name))
    by_pydicom = compressed._by_pydicom

    def of_sound_files(source: PixelSource, stored: bytes) -> Any:
        assert source.path.name != "0001.dcm"
        return by_pydicom(source, stored)

    monkeypatch.setattr(compressed, "_by_pydicom", of_sound_files)
    with at_most(8):
        error = refused(folder)
    assert error.code is Code.UNREADABLE_PIXELS
    assert "another size" in error.message
    assert error.where == "0001.dcm"


def test_a_file_far_larger_than_its_compressed_image_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole of terabytes takes no room on the disk."""
    monkeypatch.setattr(decoding, "LARGEST_VALUE", 1 << 20)
    folder = encoded(tmp_path, "JPEG 2000")
    file = sorted(folder.rglob("*.dcm"))[2]
    os.truncate(file, 1 << 20)
    assert load_ct(folder).volume.shape == CT.shape
    os.truncate(file, 4 << 20)
    with at_most(3):
        error = refused(folder)
    assert (error.code, error.where) == (Code.UNREADABLE_PIXELS, file.name)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_codestream_without_its_end_is_cut(tmp_path: Path, name: str) -> None:
    assert np.array_equal(load_ct(encoded(tmp_path / "whole", name)).volume.array, CT.astype(np.int16) - 1024)
    assert refused(encoded(tmp_path / "cut", name, _cut)).code is Code.TRUNCATED


def test_what_codestreams_declare() -> None:
    image = CT[0]
    for _, encode in ENCODERS.values():
        stream = bytes(encode(image))
        assert declared_shape(stream) == image.shape
        assert is_whole(stream)
        assert is_whole(stream + bytes(60))
        assert not is_whole(stream[:-2])
    grey = bytes(imagecodecs.jpeg8_encode(image.astype(np.uint8)))
    assert declared_shape(grey) == image.shape
    assert declared_shape(bytes(imagecodecs.jpeg8_encode(np.zeros((8, 9, 3), np.uint8)))) is None
    for junk in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff\xc0\0", b"\x89PNG\r\n", grey[:20]):
        assert declared_shape(junk) is None


def test_codestreams_that_cost_more_than_their_size_tells() -> None:
    tiled = bytearray(imagecodecs.jpeg2k_encode(np.zeros((512, 512), np.uint16), codecformat="j2k"))
    struct.pack_into(">LL", tiled, 24, 2, 2)  # 65,536 tiles
    assert declared_shape(bytes(tiled)) is None
    struct.pack_into(">LL", tiled, 24, 0, 512)
    assert declared_shape(bytes(tiled)) is None
    stream = bytes(imagecodecs.jpegls_encode(CT[0]))
    oversize = b"\xff\xf8\0\x0c\x04\x04" + struct.pack(">LL", 60_000, 60_000)
    assert declared_shape(stream[:2] + oversize + stream[2:]) is None
    frame = stream.index(b"\xff\xf7")
    assert declared_shape(stream[: frame + 13] + stream[frame : frame + 13] + stream[frame + 13 :]) is None


def test_boxes_that_lead_nowhere() -> None:
    start = b"\0\0\0\x0cjP  \r\n\x87\n"
    for boxes in (b"", b"\0\0\0\0ftyp", b"\0\0\0\x04ftyp", b"\0\0\0\x01ftyp" + bytes(8), b"\xff\xff\xff\xffjunk"):
        assert declared_shape(start + boxes) is None
    stream = bytes(imagecodecs.jpeg2k_encode(CT[0], codecformat="j2k"))
    long_box = b"\0\0\0\x01jp2c" + struct.pack(">Q", 16 + len(stream)) + stream
    assert declared_shape(start + b"\0\0\0\x08free" + long_box) == CT[0].shape


# --- values and places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"RescaleSlope": 1e36},
        {"RescaleSlope": 1e300},
        {"RescaleSlope": -1e5},
        {"RescaleSlope": -1},
        {"RescaleSlope": 1, "RescaleIntercept": 1e9},
        {"RescaleSlope": 0.5, "RescaleIntercept": -1e39},
    ],
)
def test_hounsfield_units_beyond_any_material_are_refused(tmp_path: Path, changes: dict[str, float]) -> None:
    write_series(ct_series(CT, **changes), tmp_path)
    error = refused(tmp_path)
    assert error.code is Code.UNREADABLE_PIXELS
    assert error.where.endswith(".dcm")
    load = read_frames
    assert refused(tmp_path, lambda source: load(source, "CT")).code is Code.UNREADABLE_PIXELS


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": (1e-300, 1e-300)},
        {"spacing": (2.0, 5e3)},
        {"positions": [(0.0, 0.0, k * 1e150) for k in range(1, 5)]},
        {"positions": [(3e5, 0.0, k * 3.0) for k in range(4)]},
        {"step_mm": 5000.0},
    ],
)
def test_places_in_no_scanner_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    series = ct_series(CT, **{name: value for name, value in changes.items() if name != "positions"})
    for item, position in zip(series, changes.get("positions", ()), strict=False):  # type: ignore[call-overload]
        item.ImagePositionPatient = [f"{part:.6g}" for part in position]
    write_series(series, tmp_path)
    assert refused(tmp_path).code is Code.BAD_GEOMETRY
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index_source(tmp_path)


def test_every_multiframe_header_stays_silent(tmp_path: Path) -> None:
    whole = multiframe(pet_series(CT), legacy=True)
    whole.SeriesInstanceUID = generate_uid()
    for group in whole.PerFrameFunctionalGroupsSequence:
        group.UnassignedPerFrameConvertedAttributesSequence[0].InstanceCreationDate = "CANARY"
    write_series(whole, tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        index_source(tmp_path)
        load_pet(tmp_path)
    assert not _of_reading(told)
