"""Files of which no more is asked than they hold, and deflated ones that are inflated only as far as they are read.

What a damaged or hostile header announces is never allocated: neither four gigabytes for one element of a small file,
nor what a few hundred kilobytes inflate to, nor an object for each of millions of empty elements.
"""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

LARGEST_VALUE = 1 << 28
"""Bytes of one element's value that are still read; larger ones (raw data beside images) are passed over."""
LARGEST_INFLATED_HEADER = 1 << 24
"""Bytes that a deflated header may inflate to."""
MOST_PARTS = 1 << 20
"""Elements and items of one header, each of which becomes an object of some hundred bytes; thousands are usual."""
LARGEST_DEFLATION = 1032
"""Deflate (RFC 1951) cannot pack more bytes than these into one."""

_CHUNK = 65_536
_MOST_READINGS = 2 * MOST_PARTS  # of an element its head, then its value


class _Readings:
    """Counts how often a file was read: pydicom does so at least once for every element and item."""

    def __init__(self) -> None:
        self._done = 0

    def count(self) -> None:
        self._done += 1
        if self._done > _MOST_READINGS:
            raise ValueError("The header has more elements than it may have.")


class BoundedFile:
    """An open file that reads no further than its end, however many bytes are asked for, and not without end.

    Python allocates what is asked for before it reads; pydicom asks for whatever length an element announces. There is
    no reading of all the rest, which pydicom does only to inflate it whole; see :class:`InflatedFile`.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._readings = _Readings()

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes."""
        self._readings.count()
        return self._file.read(min(size, max(self._size - self._file.tell(), 0)))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell the byte at which reading goes on."""
        return self._file.tell()


class InflatedFile:
    """A deflated data set as a file of its inflated bytes (PS3.5 section A.5).

    Parameters
    ----------
    packed : binary file
        Open where the deflated bytes start.
    most : int
        Inflated bytes that may be asked for.

    Reading raises ValueError beyond ``most`` bytes or far too many elements, and zlib.error where the deflated bytes
    are damaged or end too early.
    """

    def __init__(self, packed: BinaryIO, most: int) -> None:
        self._packed = packed
        self._most = most
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._bytes = bytearray()
        self._at = 0
        self._readings = _Readings()

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes; fewer only at the end of the data set."""
        self._readings.count()
        self._reach(self._at + size)
        found = bytes(self._bytes[self._at : self._at + size])
        self._at += len(found)
        return found

    def readinto(self, target: memoryview) -> int:
        """Fill a block of bytes; returns how many there were."""
        found = self.read(target.nbytes)
        target.cast("B")[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte, from the start or from where reading stands."""
        self._at = max(offset + (self._at if whence == os.SEEK_CUR else 0), 0)
        return self._at

    def tell(self) -> int:
        """Tell the byte at which reading goes on."""
        return self._at

    def _reach(self, end: int) -> None:
        while len(self._bytes) < end and not self._inflate.eof:
            if len(self._bytes) >= self._most:
                raise ValueError("The deflated data set is larger than it may be.")
            packed = self._inflate.unconsumed_tail or self._packed.read(_CHUNK)
            if not packed:
                raise zlib.error("The deflated data set ends too early.")
            self._bytes += self._inflate.decompress(packed, _CHUNK)
