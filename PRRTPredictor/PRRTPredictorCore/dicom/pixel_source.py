"""Where the pixel data of one file lie and what they are, as its header tells; see :mod:`.decoding` for the proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ..errors import Code, DicomRefused
from .headers import shown
from .swift import has_swift_decoder

NATIVE: dict[str, str] = {
    ImplicitVRLittleEndian: "<",
    ExplicitVRLittleEndian: "<",
    DeflatedExplicitVRLittleEndian: "<",
    ExplicitVRBigEndian: ">",
}
"""Byte order of the transfer syntaxes in which pixels are stored as they are."""


@dataclass(frozen=True)
class PixelSource:
    """The pixel data of one file, checked against the file's size.

    Attributes
    ----------
    offset : int or None
        Byte of the first pixel for native data, within the inflated data set where that is deflated; None where the
        data must be decoded.
    deflated_at : int or None
        Byte at which the deflated data set starts; None where it is not deflated.
    bits_stored, high_bit : int
        As in (0028,0101) and (0028,0102).
    fragments_at : int or None
        Byte of the first item of compressed data; None where the data are native or deflated.
    extended_offsets : two bytes or None
        Extended Offset Table (7FE0,0001) and its lengths.
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
    deflated_at: int | None = None
    fragments_at: int | None = None
    extended_offsets: tuple[bytes, bytes] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values, with the file's byte order."""
        order = NATIVE.get(self.transfer_syntax, "=")
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Decoded bytes of one frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def keeps_high_bit(self) -> bool:
        """Whether all allocated bits are stored; codestreams hold the stored ones alone, wherever High Bit was."""
        return self.offset is not None or self.transfer_syntax == RLELossless

    @property
    def can_share_time(self) -> bool:
        """Whether other files can be decoded in other threads meanwhile: Python's lock is let go."""
        return self.offset is not None or (self.frames == 1 and has_swift_decoder(self.transfer_syntax))


def unreadable(path: Path, message: str, remedy: str = "Export the series again, uncompressed.") -> DicomRefused:
    """Return the refusal of pixel data that cannot be read."""
    return DicomRefused(Code.UNREADABLE_PIXELS, message, where=shown(path), remedy=remedy)
