"""Stored pixel values: where they lie in a file, whether they are all there, and how they are decoded.

Native pixels are read straight from their place in the file; compressed ones go through :mod:`.swift` where they can,
else through pydicom's decoders (gdcm, pyjpegls, pylibjpeg-openjpeg, pillow), and the JPEG processes that pydicom leaves
out through GDCM itself. What a header announces is held against the bytes that are there before memory is asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from ..errors import Code, DicomRefused
from .headers import DicomFile, frame_count, shown, truncated
from .swift import has_swift_decoder, swift_frame
from .values import HEADER_ERRORS, number, text

_NATIVE: dict[str, str] = {ImplicitVRLittleEndian: "<", ExplicitVRLittleEndian: "<", ExplicitVRBigEndian: ">"}
_JPEG_BY_GDCM = frozenset(
    {
        str(JPEGExtended12Bit),  # process 2 and 4, of which pydicom decodes the 8-bit form only
        "1.2.840.10008.1.2.4.53",  # process 6 and 8, retired
        "1.2.840.10008.1.2.4.55",  # process 10 and 12, retired
    }
)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LARGEST_SIDE = 8192  # rows or columns; scanners write up to 2048
_LARGEST_COMPRESSION = 5000  # an empty 512 x 512 slice in JPEG 2000 reaches about 4000
_DECODER_ERRORS = (*HEADER_ERRORS, RuntimeError, MemoryError)


@dataclass(frozen=True)
class PixelSource:
    """The pixel data of one file, checked against the file's size.

    Attributes
    ----------
    offset : int or None
        Byte of the first pixel for native data; None where the data must be decoded.
    bits_stored, high_bit : int
        As in (0028,0101) and (0028,0102).
    fragments_at : int or None
        Byte of the first item of compressed data; None where the data are native or deflated.
    signed : bool
        Pixel Representation (0028,0103) is 1.
    """

    path: Path
    transfer_syntax: str
    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    offset: int | None
    fragments_at: int | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values, with the file's byte order."""
        order = _NATIVE.get(self.transfer_syntax, "=")
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Decoded bytes of one frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def can_share_time(self) -> bool:
        """Whether other files can be decoded in other threads meanwhile: Python's lock is let go."""
        return self.offset is not None or (self.frames == 1 and has_swift_decoder(self.transfer_syntax))


def locate_pixels(file: DicomFile) -> PixelSource:
    """Find the pixel data of a file and prove that they can be all there.

    Raises
    ------
    DicomRefused
        TRUNCATED where the file is shorter than its header announces; UNREADABLE_PIXELS where the pixels are no
        single-channel integers or the announced size is absurd.
    """
    header, path = file.header, file.path
    syntax = file.transfer_syntax or str(ImplicitVRLittleEndian)
    rows, columns, bits_allocated, bits_stored = (
        _positive(header, keyword, path) for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    high_bit = number(header, "HighBit")
    source = PixelSource(
        path=path,
        transfer_syntax=syntax,
        frames=frame_count(header),
        rows=rows,
        columns=columns,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else int(high_bit),
        signed=number(header, "PixelRepresentation") == 1,
        offset=None,
    )
    _check_kind(source, header)
    if syntax == DeflatedExplicitVRLittleEndian:
        _check_compression(source, file.size)
        return source
    value_offset, length = _pixel_element(file)
    if syntax not in _NATIVE:
        if length != _UNDEFINED_LENGTH:
            raise _unreadable(path, "The pixel data are announced as compressed, but not stored so.")
        _check_compression(source, file.size - value_offset)
        return replace(source, fragments_at=value_offset)
    needed = source.frame_bytes * source.frames
    available = min(length, file.size - value_offset)
    if length == _UNDEFINED_LENGTH or available < needed:
        raise truncated(path, f"The file holds {max(available, 0)} of {needed} bytes of pixel data.")
    return replace(source, offset=value_offset)


def stored_frames(source: PixelSource) -> Iterator[NDArray[Any]]:
    """Decode the frames of a file one after another.

    Yields
    ------
    ndarray, shape (rows, columns)
        Stored values as integers in machine byte order, bits above High Bit removed; no rescaling.

    Raises
    ------
    DicomRefused
        TRUNCATED, UNREADABLE_PIXELS.
    """
    frames = _native_frames(source) if source.offset is not None else _decoded_frames(source)
    count = 0
    for frame in frames:
        if frame.shape != (source.rows, source.columns):
            raise _unreadable(source.path, "The decoded image has another size than the header announces.")
        count += 1
        if count > source.frames:
            raise _unreadable(source.path, "The file holds more frames than its header announces.")
        yield _stored_bits(frame, source)
    if count != source.frames:
        raise truncated(source.path, f"The file holds {count} of {source.frames} frames.")


def can_decode(source: PixelSource) -> bool:
    """Whether the decoder that a file's transfer syntax needs is installed."""
    if source.offset is not None or source.transfer_syntax == DeflatedExplicitVRLittleEndian:
        return True
    if source.transfer_syntax in _JPEG_BY_GDCM and source.bits_stored > 8:
        return _has_gdcm()
    try:
        return bool(get_decoder(UID(source.transfer_syntax)).is_available)
    except NotImplementedError:
        return False


def _has_gdcm() -> bool:
    try:
        import gdcm  # noqa: F401
    except ImportError:
        return False
    return True


# --- checks -----------------------------------------------------------------------------------------------------------


def _positive(header: Dataset, keyword: str, path: Path) -> int:
    value = number(header, keyword)
    if value is None or value < 1 or value != int(value):
        raise _unreadable(path, f"The header lacks a usable {keyword}.")
    return int(value)


def _check_kind(source: PixelSource, header: Dataset) -> None:
    photometric = text(header, "PhotometricInterpretation") or "MONOCHROME2"
    # MONOCHROME1 concerns the display alone; the measured values are the same.
    if number(header, "SamplesPerPixel") not in (None, 1.0) or not photometric.startswith("MONOCHROME"):
        raise _unreadable(
            source.path, "The image is in colour.", "Choose the series of measured values, not a picture."
        )
    if source.bits_allocated not in (8, 16, 32) or not (
        source.bits_stored <= source.high_bit + 1 <= source.bits_allocated
    ):
        raise _unreadable(source.path, "The header describes an impossible pixel format (bits allocated and stored).")
    if source.frames < 1 or max(source.rows, source.columns) > _LARGEST_SIDE:
        raise _unreadable(source.path, "The header announces an absurd image size.")


def _check_compression(source: PixelSource, stored_bytes: int) -> None:
    if source.frame_bytes * source.frames > _LARGEST_COMPRESSION * max(stored_bytes, 0):
        raise truncated(source.path, "The compressed pixel data are too short for the announced image size.")


def _pixel_element(file: DicomFile) -> tuple[int, int]:
    """Offset of the value of the pixel data element, and its announced length."""
    start = file.pixel_element
    order = ">" if file.transfer_syntax == ExplicitVRBigEndian else "<"
    if len(start) < 12:
        raise truncated(file.path, "The file ends before its pixel data.")
    tag = struct.unpack(f"{order}HH", start[:4])
    if tag != (0x7FE0, 0x0010):
        if tag[0] == 0x7FE0:
            raise _unreadable(file.path, "The pixels are floating-point numbers, which no CT or PET image may hold.")
        raise truncated(file.path, "The file ends before its pixel data.")
    if start[4:6] in (b"OW", b"OB", b"UN"):
        return file.pixel_offset + 12, int(struct.unpack(f"{order}I", start[8:12])[0])
    return file.pixel_offset + 8, int(struct.unpack(f"{order}I", start[4:8])[0])


def _unreadable(path: Path, message: str, remedy: str = "Export the series again, uncompressed.") -> DicomRefused:
    return DicomRefused(Code.UNREADABLE_PIXELS, message, where=shown(path), remedy=remedy)


# --- reading ----------------------------------------------------------------------------------------------------------


def _native_frames(source: PixelSource) -> Iterator[NDArray[Any]]:
    try:
        with source.path.open("rb") as stream:
            stream.seek(source.offset or 0)
            for _ in range(source.frames):
                values = np.empty((source.rows, source.columns), source.dtype)
                if stream.readinto(values.view(np.uint8).data) != values.nbytes:
                    raise truncated(source.path, "The file ends before its pixel data do.")
                yield values
    except OSError as error:
        raise _unreadable(
            source.path, "The file can no longer be read.", "Check the disk or network folder it lies on."
        ) from error


def _decoded_frames(source: PixelSource) -> Iterator[NDArray[Any]]:
    if source.can_share_time and source.fragments_at is not None:
        swift = swift_frame(
            source.path, source.fragments_at, source.transfer_syntax, (source.rows, source.columns), source.dtype
        )
        if swift is not None:
            yield swift
            return
    try:
        dataset = dcmread(source.path)
        if "PixelData" not in dataset:
            raise truncated(source.path, "The file ends before its pixel data do.")
        if source.transfer_syntax in _JPEG_BY_GDCM and source.bits_stored > 8:
            yield from _frames_by_gdcm(source)
            return
        decoder = get_decoder(UID(source.transfer_syntax))
        # CharLS by way of pyjpegls takes two thirds of the time that it takes by way of GDCM.
        plugin = "pyjpegls" if "pyjpegls" in decoder.available_plugins else ""
        for frame, _ in decoder.iter_array(dataset, raw=True, decoding_plugin=plugin):
            yield frame
    except _DECODER_ERRORS as error:
        raise _unreadable(
            source.path,
            "The pixel data cannot be decoded: they are damaged, or the decoder for their transfer syntax "
            f"({source.transfer_syntax}) is not installed.",
            "Install python-gdcm, pyjpegls, pylibjpeg-openjpeg and pillow, or export the series uncompressed.",
        ) from error


def _frames_by_gdcm(source: PixelSource) -> Iterator[NDArray[Any]]:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(source.path))
    if not reader.Read():
        raise RuntimeError("GDCM cannot read the file")
    image = reader.GetImage()
    size = image.GetPixelFormat().GetBitsAllocated() // 8
    kind = "i" if image.GetPixelFormat().GetPixelRepresentation() else "u"
    # GDCM hands its bytes over as text.
    values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), dtype=f"{kind}{size}")
    yield from values.reshape(source.frames, source.rows, source.columns)


def _stored_bits(frame: NDArray[Any], source: PixelSource) -> NDArray[Any]:
    """Remove what older files keep in the bits above High Bit (overlays), extending the sign."""
    native = frame if frame.dtype.isnative else frame.astype(frame.dtype.newbyteorder("="))
    allocated = native.dtype.itemsize * 8
    high_bit = source.high_bit if source.offset is not None else source.bits_stored - 1
    if source.bits_stored >= allocated:
        return native
    return (native << (allocated - 1 - high_bit)) >> (allocated - source.bits_stored)
