"""Private elements of PET scanners, found with and without their private creator."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydicom.dataset import Dataset

from .headers import HEADER_ERRORS


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


def private_text(header: Dataset, private: PrivateElement) -> str:
    """Value of a private element as text; empty where it is absent or its block belongs to another maker.

    De-identification and research tools often drop the creator and keep the value, hence the look at the usual block.
    """
    try:
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
    usual_creator = ""
    for block in range(0x10, 0x100):
        tag = (private.group, block)
        if tag not in header:
            continue
        creator = header[tag].value
        creator = (creator.decode("latin-1") if isinstance(creator, bytes) else str(creator)).strip(" \0")
        if creator.casefold() == private.creator.casefold():
            return block
        if block == private.usual_block:
            usual_creator = creator
    return None if usual_creator else private.usual_block
