"""Compressed pixel data decoded frame by frame, each only after its codestream has declared the announced size.

Through :mod:`.swift` where that can, else through pydicom and pyjpegls, pylibjpeg-openjpeg or pillow. Never through
GDCM, which ends the whole process on damaged files.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless

from .codestreams import declared_shape, is_whole
from .headers import truncated
from .pixel_source import PixelSource, unreadable
from .swift import has_swift_decoder, is_jpeg, swift_frame, swift_image
from .values import HEADER_ERRORS

_TRUSTED_PLUGINS = ("pyjpegls", "pylibjpeg", "pillow", "pydicom")
_DECODER_ERRORS = (*HEADER_ERRORS, RuntimeError, MemoryError, ImportError)


def can_decode(source: PixelSource) -> bool:
    """Whether the decoder that a file's transfer syntax needs is installed."""
    if source.offset is not None:
        return True
    if has_swift_decoder(source.transfer_syntax):
        return True
    return bool(_plugins(source.transfer_syntax))


def _plugins(transfer_syntax: str) -> tuple[str, ...]:
    """Pydicom's decoders that may be used, the quickest first."""
    if is_jpeg(transfer_syntax):
        return ()
    try:
        available = get_decoder(UID(transfer_syntax)).available_plugins
    except NotImplementedError:
        return ()
    return tuple(name for name in _TRUSTED_PLUGINS if name in available)


def compressed_frames(source: PixelSource) -> Iterator[NDArray[Any]]:
    """Decode the frames of a file one after another, as far as it holds them.

    Raises
    ------
    DicomRefused
        TRUNCATED, UNREADABLE_PIXELS.
    """
    if source.can_share_time and source.fragments_at is not None:
        swift = swift_frame(
            source.path, source.fragments_at, source.transfer_syntax, (source.rows, source.columns), source.dtype
        )
        if swift is not None:
            yield swift
            return
    try:
        with source.path.open("rb") as stream:
            stream.seek(source.fragments_at or 0)
            stored = stream.read()
        _require_announced_shapes(source, stored)
        yield from _frames_of_jpeg(source, stored) if is_jpeg(source.transfer_syntax) else _by_pydicom(source, stored)
    except _DECODER_ERRORS as error:
        raise unreadable(
            source.path,
            "The pixel data cannot be decoded: they are damaged, or the decoder for their transfer syntax "
            f"({source.transfer_syntax}) is not installed.",
            "Install imagecodecs, pyjpegls, pylibjpeg-openjpeg and pillow, or export the series uncompressed.",
        ) from error


def _codestreams(source: PixelSource, stored: bytes) -> Iterator[bytes]:
    return generate_frames(stored, number_of_frames=source.frames, extended_offsets=source.extended_offsets)


def _require_announced_shapes(source: PixelSource, stored: bytes) -> None:
    """Refuse frames whose codestream is cut, or declares another size than the header: a decoder would allocate it."""
    if source.transfer_syntax == RLELossless:
        return  # declares none; pydicom unpacks it to the header's
    for codestream in _codestreams(source, stored):
        if declared_shape(codestream) != (source.rows, source.columns):
            raise unreadable(source.path, "The compressed image has another size than the header announces.")
        if not is_whole(codestream):
            raise truncated(source.path, "The compressed image ends too early.")


def _frames_of_jpeg(source: PixelSource, stored: bytes) -> Iterator[NDArray[Any]]:
    for codestream in _codestreams(source, stored):
        image = swift_image(codestream, source.transfer_syntax, (source.rows, source.columns), source.dtype)
        if image is None:
            raise ValueError("another pixel format than the header announces")
        yield image


def _by_pydicom(source: PixelSource, stored: bytes) -> Iterator[NDArray[Any]]:
    decoder = get_decoder(UID(source.transfer_syntax))
    plugins = _plugins(source.transfer_syntax)
    if not plugins:
        raise NotImplementedError("no decoder is installed")
    frames = partial(decoder.iter_array, stored, raw=True, decoding_plugin=plugins[0])
    if source.extended_offsets is not None:
        frames = partial(frames, extended_offsets=source.extended_offsets)
    for frame, _ in frames(
        number_of_frames=source.frames,
        rows=source.rows,
        columns=source.columns,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=source.bits_allocated,
        # Of RLE, which keeps the High Bit, pydicom would take the lowest bits.
        bits_stored=source.bits_allocated if source.keeps_high_bit else source.bits_stored,
        pixel_representation=int(source.signed),
        pixel_keyword="PixelData",
    ):
        yield frame
