"""Private elements of PET scanners, found with and without their private creator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from pydicom.dataset import Dataset

from .values import HEADER_ERRORS, without_warnings


@dataclass(frozen=True)
class PrivateElement:
    """Where a maker keeps a value (PS3.5 section 7.8).

    Attributes
    ----------
    element : int
        The last byte of the element number.
    usual_block : int
        The block that the maker reserves when nobody else was there first.
    """

    group: int
    element: int
    creator: str
    usual_block: int = 0x10


PHILIPS_SUV_FACTOR = PrivateElement(0x7053, 0x00, "Philips PET Private Group")
PHILIPS_ACTIVITY_FACTOR = PrivateElement(0x7053, 0x09, "Philips PET Private Group")
GE_SCAN_DATETIME = PrivateElement(0x0009, 0x0D, "GEMS_PETD_01")
GE_TRACER = PrivateElement(0x0009, 0x36, "GEMS_PETD_01")
GE_RADIONUCLIDE = PrivateElement(0x0009, 0x3E, "GEMS_PETD_01")
_OF_THE_SERIES = (GE_SCAN_DATETIME, GE_TRACER, GE_RADIONUCLIDE)


def tells_of_series(tag: int) -> bool:
    """Whether a private element, or the name of its maker, is read as something that all slices must share."""
    group, number = tag >> 16, tag & 0xFFFF
    return any(group == known.group and (number < 0x100 or number & 0xFF == known.element) for known in _OF_THE_SERIES)


def private_text(header: Dataset, private: PrivateElement) -> str:
    """Value of a private element as text; empty where it is absent or its block belongs to another maker.

    De-identification and research tools often drop the creator and keep the value, hence the look at the usual block.
    """
    try:
        with without_warnings():
            block = _block(header, private)
            if block is None:
                return ""
            element = header.get((private.group, (block << 8) + private.element))
            value = None if element is None else element.value
    except HEADER_ERRORS:
        return ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "" if value is None else str(value).strip(" \0")


def private_number(header: Dataset, private: PrivateElement) -> float | None:
    """Value of a private element as a finite number, None where it is anything else."""
    try:
        value = float(private_text(header, private))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _block(header: Dataset, private: PrivateElement) -> int | None:
    """The block that the maker reserved, the usual one where nobody did, None where another maker holds it."""
    usual = (private.group << 16) + private.usual_block
    creators = {int(tag): _creator(header, tag) for tag in header.keys() & _creator_tags(private.group)}
    for tag, creator in sorted(creators.items()):
        if creator == private.creator.casefold():
            return tag & 0xFF
    return None if creators.get(usual) else private.usual_block


def _creator(header: Dataset, tag: int) -> str:
    value = header[tag].value
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip(" \0").casefold()


@cache
def _creator_tags(group: int) -> frozenset[int]:
    return frozenset((group << 16) + block for block in range(0x10, 0x100))
