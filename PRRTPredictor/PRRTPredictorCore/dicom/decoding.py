"""Stored pixel values: where they lie in a file, whether they are all there, and how they are read.

Native pixels are read straight from their place in the file, deflated ones as they are inflated, compressed ones by
:mod:`.compressed`. What a header announces is held against the bytes that are there before memory is asked for.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from .bounds import LARGEST_DEFLATION, LARGEST_VALUE, InflatedFile
from .compressed import can_decode, compressed_frames
from .flat import frame_count
from .headers import DicomFile, shown, truncated
from .pixel_source import NATIVE, PixelSource, unreadable
from .values import number, text, value_of

__all__ = ["PixelSource", "can_decode", "locate_pixels", "refuse_announced_frames", "stored_frames"]

_UNDEFINED_LENGTH = 0xFFFFFFFF
_LARGEST_SIDE = 8192  # rows or columns; scanners write up to 2048
_LARGEST_COMPRESSION = 5000  # an empty 512 x 512 slice in JPEG 2000 reaches about 4000
_LARGEST_EXPANSION = 2  # noise is not compressed, nor made much larger; other elements may follow
_FRAGMENT_BYTES = 8  # the tag and length of the item that every compressed frame needs
_PADDING_BYTES = 128  # some writers fill the pixel data up


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
    sign = number(header, "PixelRepresentation")
    if sign not in (0.0, 1.0):
        raise unreadable(path, "The header does not tell whether the pixel values are signed.")
    source = PixelSource(
        path=path,
        transfer_syntax=syntax,
        frames=frame_count(header, shown(path)),
        rows=rows,
        columns=columns,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else int(high_bit),
        signed=sign == 1,
        offset=None,
        deflated_at=file.deflated_at,
    )
    _check_kind(source, header)
    value_offset, length = _pixel_element(file)
    if syntax not in NATIVE:
        if length != _UNDEFINED_LENGTH:
            raise unreadable(path, "The pixel data are announced as compressed, but not stored so.")
        _check_compression(source, file.size - value_offset)
        return replace(source, fragments_at=value_offset, extended_offsets=_extended_offsets(header))
    needed = source.frame_bytes * source.frames
    most = file.size - value_offset if file.deflated_at is None else LARGEST_DEFLATION * file.size
    available = min(length, most)
    if length == _UNDEFINED_LENGTH or available < needed:
        raise truncated(path, f"The file holds {max(available, 0)} of {needed} bytes of pixel data.")
    if length > needed + _PADDING_BYTES:
        raise unreadable(path, "The file holds more pixels than its header announces.")
    return replace(source, offset=value_offset)


def refuse_announced_frames(file: DicomFile) -> None:
    """Refuse a multi-frame file that is too small for its frames, before each of them is given a header.

    Raises
    ------
    DicomRefused
        TRUNCATED.
    """
    frames = frame_count(file.header, shown(file.path))
    if frames < 2:
        return
    bits = number(file.header, "BitsAllocated") or 0.0
    native_bytes = (number(file.header, "Rows") or 0.0) * (number(file.header, "Columns") or 0.0) * bits / 8
    is_native = (file.transfer_syntax or ImplicitVRLittleEndian) in NATIVE
    needed = frames * (max(native_bytes, 1.0) if is_native else _FRAGMENT_BYTES)
    if needed > file.size * (1 if file.deflated_at is None else LARGEST_DEFLATION):
        raise truncated(file.path, f"The file is too small for the {frames} frames that it announces.")


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
    frames = _native_frames(source) if source.offset is not None else compressed_frames(source)
    count = 0
    for frame in frames:
        if frame.shape != (source.rows, source.columns):
            raise unreadable(source.path, "The decoded image has another size than the header announces.")
        count += 1
        if count > source.frames:
            raise unreadable(source.path, "The file holds more frames than its header announces.")
        yield _stored_bits(frame, source)
    if count != source.frames:
        raise truncated(source.path, f"The file holds {count} of {source.frames} frames.")


# --- checks -----------------------------------------------------------------------------------------------------------


def _positive(header: Dataset, keyword: str, path: Path) -> int:
    value = number(header, keyword)
    if value is None or value < 1 or value != int(value):
        raise unreadable(path, f"The header lacks a usable {keyword}.")
    return int(value)


def _check_kind(source: PixelSource, header: Dataset) -> None:
    photometric = text(header, "PhotometricInterpretation") or "MONOCHROME2"
    # MONOCHROME1 concerns the display alone; the measured values are the same.
    if number(header, "SamplesPerPixel") not in (None, 1.0) or not photometric.startswith("MONOCHROME"):
        raise unreadable(source.path, "The image is in colour.", "Choose the series of measured values, not a picture.")
    if source.bits_allocated not in (8, 16, 32) or not (
        source.bits_stored <= source.high_bit + 1 <= source.bits_allocated
    ):
        raise unreadable(source.path, "The header describes an impossible pixel format (bits allocated and stored).")
    if source.frames < 1 or max(source.rows, source.columns) > _LARGEST_SIDE:
        raise unreadable(source.path, "The header announces an absurd image size.")


def _check_compression(source: PixelSource, stored_bytes: int) -> None:
    if (
        source.frame_bytes * source.frames > _LARGEST_COMPRESSION * max(stored_bytes, 0)
        or source.frames * _FRAGMENT_BYTES > stored_bytes
    ):
        raise truncated(source.path, "The compressed pixel data are too short for the announced image size.")
    if stored_bytes > _LARGEST_EXPANSION * source.frame_bytes * source.frames + LARGEST_VALUE:
        raise unreadable(source.path, "The file holds far more bytes than its compressed images can need.")


def _extended_offsets(header: Dataset) -> tuple[bytes, bytes] | None:
    offsets, lengths = (value_of(header, f"ExtendedOffsetTable{tail}") for tail in ("", "Lengths"))
    return (offsets, lengths) if isinstance(offsets, bytes) and isinstance(lengths, bytes) else None


def _pixel_element(file: DicomFile) -> tuple[int, int]:
    """Offset of the value of the pixel data element, and its announced length."""
    start = file.pixel_element
    order = ">" if file.transfer_syntax == ExplicitVRBigEndian else "<"
    if len(start) < 12:
        raise truncated(file.path, "The file ends before its pixel data.")
    tag = struct.unpack(f"{order}HH", start[:4])
    if tag != (0x7FE0, 0x0010):
        if tag[0] == 0x7FE0:
            raise unreadable(file.path, "The pixels are floating-point numbers, which no CT or PET image may hold.")
        raise truncated(file.path, "The file ends before its pixel data.")
    if start[4:6] in (b"OW", b"OB", b"UN"):
        return file.pixel_offset + 12, int(struct.unpack(f"{order}I", start[8:12])[0])
    return file.pixel_offset + 8, int(struct.unpack(f"{order}I", start[4:8])[0])


# --- reading ----------------------------------------------------------------------------------------------------------


def _native_frames(source: PixelSource) -> Iterator[NDArray[Any]]:
    start = source.offset or 0
    try:
        with source.path.open("rb") as file:
            stream: Any = file
            if source.deflated_at is not None:
                file.seek(source.deflated_at)
                stream = InflatedFile(file, start + source.frame_bytes * source.frames)
            stream.seek(start)
            for _ in range(source.frames):
                values = np.empty((source.rows, source.columns), source.dtype)
                if stream.readinto(values.view(np.uint8).data) != values.nbytes:
                    raise truncated(source.path, "The file ends before its pixel data do.")
                yield values
    except zlib.error as error:
        raise truncated(source.path, "The deflated data set is damaged or ends too early.") from error
    except OSError as error:
        raise unreadable(
            source.path, "The file can no longer be read.", "Check the disk or network folder it lies on."
        ) from error


def _stored_bits(frame: NDArray[Any], source: PixelSource) -> NDArray[Any]:
    """Remove what older files keep in the bits above High Bit (overlays), extending the sign."""
    native = frame if frame.dtype.isnative else frame.astype(frame.dtype.newbyteorder("="))
    allocated = native.dtype.itemsize * 8
    high_bit = source.high_bit if source.keeps_high_bit else source.bits_stored - 1
    if source.bits_stored >= allocated:
        return native
    return (native << (allocated - 1 - high_bit)) >> (allocated - source.bits_stored)
