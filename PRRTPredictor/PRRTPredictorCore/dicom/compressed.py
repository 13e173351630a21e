"""Compressed pixel data decoded frame by frame, each only after its codestream has declared the announced size.

Through :mod:`.swift` where that can, else through pydicom's decoders (gdcm, pyjpegls, pylibjpeg-openjpeg, pillow), and
the JPEG processes that pydicom leaves out through GDCM itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit, RLELossless

from .codestreams import declared_shape
from .pixel_source import PixelSource, unreadable
from .swift import swift_frame
from .values import HEADER_ERRORS

_JPEG_BY_GDCM = frozenset(
    {
        str(JPEGExtended12Bit),  # process 2 and 4, of which pydicom decodes the 8-bit form only
        "1.2.840.10008.1.2.4.53",  # process 6 and 8, retired
        "1.2.840.10008.1.2.4.55",  # process 10 and 12, retired
    }
)
_DECODER_ERRORS = (*HEADER_ERRORS, RuntimeError, MemoryError)


def can_decode(source: PixelSource) -> bool:
    """Whether the decoder that a file's transfer syntax needs is installed."""
    if source.offset is not None:
        return True
    if _is_for_gdcm(source):
        return _has_gdcm()
    try:
        return bool(get_decoder(UID(source.transfer_syntax)).is_available)
    except NotImplementedError:
        return False


def compressed_frames(source: PixelSource) -> Iterator[NDArray[Any]]:
    """Decode the frames of a file one after another, as far as it holds them.

    Raises
    ------
    DicomRefused
        UNREADABLE_PIXELS.
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
        yield from _frames_by_gdcm(source, stored) if _is_for_gdcm(source) else _frames_by_pydicom(source, stored)
    except _DECODER_ERRORS as error:
        raise unreadable(
            source.path,
            "The pixel data cannot be decoded: they are damaged, or the decoder for their transfer syntax "
            f"({source.transfer_syntax}) is not installed.",
            "Install python-gdcm, pyjpegls, pylibjpeg-openjpeg and pillow, or export the series uncompressed.",
        ) from error


def _is_for_gdcm(source: PixelSource) -> bool:
    return source.transfer_syntax in _JPEG_BY_GDCM and source.bits_stored > 8


def _has_gdcm() -> bool:
    try:
        import gdcm  # noqa: F401
    except ImportError:
        return False
    return True


def _codestreams(source: PixelSource, stored: bytes) -> Iterator[bytes]:
    return generate_frames(stored, number_of_frames=source.frames, extended_offsets=source.extended_offsets)


def _require_announced_shapes(source: PixelSource, stored: bytes) -> None:
    """Refuse frames whose codestream declares another size than the header: a decoder would allocate it."""
    if source.transfer_syntax == RLELossless:
        return  # declares none; pydicom unpacks it to the header's
    for codestream in _codestreams(source, stored):
        if declared_shape(codestream) != (source.rows, source.columns):
            raise unreadable(source.path, "The compressed image has another size than the header announces.")


def _frames_by_pydicom(source: PixelSource, stored: bytes) -> Iterator[NDArray[Any]]:
    decoder = get_decoder(UID(source.transfer_syntax))
    # CharLS by way of pyjpegls takes two thirds of the time that it takes by way of GDCM.
    plugin = "pyjpegls" if "pyjpegls" in decoder.available_plugins else ""
    frames = partial(decoder.iter_array, stored, raw=True, decoding_plugin=plugin)
    if source.extended_offsets is not None:
        frames = partial(frames, extended_offsets=source.extended_offsets)
    for frame, _ in frames(
        number_of_frames=source.frames,
        rows=source.rows,
        columns=source.columns,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=source.bits_allocated,
        bits_stored=source.bits_stored,
        pixel_representation=int(source.signed),
        pixel_keyword="PixelData",
    ):
        yield frame


def _frames_by_gdcm(source: PixelSource, stored: bytes) -> Iterator[NDArray[Any]]:
    import gdcm

    for codestream in _codestreams(source, stored):
        fragment = gdcm.Fragment()
        fragment.SetByteStringValue(codestream)
        fragments = gdcm.SequenceOfFragments.New()
        fragments.AddFragment(fragment)
        element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
        element.SetValue(fragments.__ref__())
        image = gdcm.Image()
        image.SetNumberOfDimensions(2)
        image.SetDimensions((source.columns, source.rows, 1))
        image.SetDataElement(element)
        kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
        image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
        syntax = gdcm.TransferSyntax.GetTSType(source.transfer_syntax)
        image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        bits = source.bits_stored
        image.SetPixelFormat(gdcm.PixelFormat(1, source.bits_allocated, bits, bits - 1, int(source.signed)))
        # GDCM hands its bytes over as text.
        values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), source.dtype)
        yield values.reshape(source.rows, source.columns)
