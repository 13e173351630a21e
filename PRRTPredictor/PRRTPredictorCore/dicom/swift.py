"""JPEG, JPEG-LS and JPEG 2000 by decoders that let go of Python's lock, so that slices can be decoded side by side.

Only what is beyond doubt is decoded here, and only where imagecodecs is installed: whole frames of exactly the size and
type that the header announces. Whatever else JPEG-LS or JPEG 2000 is, is left to pydicom's decoders; for JPEG there is
no other decoder, as GDCM ends the whole process on damaged files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLSLossless, JPEGLSNearLossless, JPEGTransferSyntaxes

from .codestreams import declared_shape, is_whole, j2k_shape_and_sign
from .values import HEADER_ERRORS

_RETIRED_JPEG = ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")  # processes 6 and 8, 10 and 12
_JPEG = frozenset({*map(str, JPEGTransferSyntaxes), *_RETIRED_JPEG})
_JPEG_LS = frozenset({str(JPEGLSLossless), str(JPEGLSNearLossless)})
_JPEG_2000 = frozenset({str(JPEG2000Lossless), str(JPEG2000)})
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"


@cache
def _is_installed() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def is_jpeg(transfer_syntax: str) -> bool:
    """Whether a transfer syntax is one of JPEG's own (ISO 10918-1), lossless or not."""
    return transfer_syntax in _JPEG


def has_swift_decoder(transfer_syntax: str) -> bool:
    """Whether frames of a transfer syntax can be decoded side by side in threads."""
    return transfer_syntax in _JPEG | _JPEG_LS | _JPEG_2000 and _is_installed()


def swift_frame(
    path: Path, fragments_at: int, transfer_syntax: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    """Decode the only frame of a file.

    Parameters
    ----------
    fragments_at : int
        Byte at which the Basic Offset Table's item starts.
    shape : two ints
        Rows and columns as the header announces them.
    dtype : dtype
        The stored values' type as the header announces it.

    Returns
    -------
    ndarray or None
        None where the frame is not exactly what was announced, or cannot be decoded: pydicom has to look at it.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(fragments_at)
            stored = stream.read()
        if not stored.endswith(_SEQUENCE_DELIMITER):
            return None  # cut, or followed by something
        frames = list(generate_frames(stored, number_of_frames=1))
        # A codestream that is cut must not pass for one that decodes to the part that is left.
        if len(frames) != 1 or not is_whole(frames[0]):
            return None
        return swift_image(frames[0], transfer_syntax, shape, dtype)
    except (*HEADER_ERRORS, RuntimeError, MemoryError, ImportError):
        return None


def swift_image(
    codestream: bytes, transfer_syntax: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    """Decode one codestream; as :func:`swift_frame`, but raises what the decoders raise."""
    import imagecodecs

    if transfer_syntax in _JPEG_2000:
        if j2k_shape_and_sign(codestream) != (shape, np.issubdtype(dtype, np.signedinteger)):
            return None
        # The decoders refuse to write an image of another size, or of another number of bytes, than that of the array.
        out = np.empty(shape, dtype)
        imagecodecs.jpeg2k_decode(codestream, numthreads=1, out=out)
        return out
    if declared_shape(codestream) != shape:
        return None
    unsigned = np.dtype(f"u{dtype.itemsize}")  # neither JPEG nor JPEG-LS knows signs
    if transfer_syntax in _JPEG:
        image: NDArray[Any] = imagecodecs.jpeg8_decode(codestream)  # of up to 16 bits
        fits = image.shape == shape and np.can_cast(image.dtype, unsigned)
        return image.astype(unsigned).view(dtype) if fits else None
    values = np.empty(shape, unsigned)
    imagecodecs.jpegls_decode(codestream, out=values)
    return values.view(dtype)
