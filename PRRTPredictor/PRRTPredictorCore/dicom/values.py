"""Values of DICOM headers, read without surprises: what is absent, empty or cannot be understood is None or empty."""

from __future__ import annotations

import logging
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache, lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from .bounds import MOST_PARTS

HEADER_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
)
"""Everything that pydicom raises on bytes that are not what they claim to be."""

_PLAIN_VRS = frozenset({"AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "SL", "SS", "TM", "UI", "UL", "US"})
"""Value representations whose bytes mean the same whatever else the header says, its character set included."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ITEM = b"\xfe\xff\x00\xe0"
_LONGEST_KEPT = 256
"""Bytes of a value that is remembered; longer ones are none that series share, and would fill the memory."""


class _Silence(logging.Filter):
    """Keeps warnings, and what pydicom logs, back in all threads, from the first block's start to the last one's end.

    Blocks of several threads overlap. Were each to put back the filters that it had found, a thread would speak within
    another's block, and the last of them could leave the whole process silent.
    """

    def __init__(self) -> None:
        super().__init__()
        self._blocks = 0
        self._lock = threading.Lock()
        self._before = warnings.catch_warnings()

    def begin(self) -> None:
        with self._lock:
            if not self._blocks:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
            self._blocks += 1

    def end(self) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                self._before.__exit__(None, None, None)

    def filter(self, record: logging.LogRecord) -> bool:
        return not self._blocks


_silence = _Silence()
for _name in ("pydicom", "pydicom.pixels.decoders.base"):  # a filter sees what its own logger is told
    logging.getLogger(_name).addFilter(_silence)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence pydicom's warnings of values that break a rule of their VR; what matters is checked where it is used.

    They repeat the value, which may be a name, to whoever reads them. pydicom also logs them, and Slicer keeps a log.
    """
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()


def value_of(header: Dataset, keyword: str) -> Any:
    """Value of an element by keyword; None where it is absent, empty or cannot be understood.

    Most elements of a series are the same in all of its files: equal bytes are understood once. The value is shared
    then, and not to be changed.
    """
    tag, usual_vr = _described(keyword)
    try:
        element: Any = header.get_item(tag)  # converts elements that are deferred or of unknown VR
    except HEADER_ERRORS:
        return None
    if element is None:
        return None
    if (
        isinstance(element, RawDataElement)
        and element.value
        and len(element.value) <= _LONGEST_KEPT
        and (element.VR or usual_vr) in _PLAIN_VRS
    ):
        value = _understood(tag, element.VR, element.value, element.is_little_endian)
    elif _has_too_many_items(element):
        return None
    else:
        try:
            with without_warnings():
                value = header[tag].value
        except HEADER_ERRORS:
            return None
    return None if value is None or value == "" else value


def _has_too_many_items(element: Any) -> bool:
    """Whether a sequence that was not looked into yet would become far more objects than any scanner writes."""
    written = element.value if isinstance(element, RawDataElement) else None
    return isinstance(written, bytes) and written.count(_ITEM) > MOST_PARTS // 2


@cache
def _described(keyword: str) -> tuple[BaseTag, str]:
    """Tag and usual VR of a keyword."""
    tag = Tag(keyword)
    return tag, dictionary_VR(tag)


@lru_cache(maxsize=8192)
def _understood(tag: BaseTag, vr: str | None, written: bytes, is_little_endian: bool) -> Any:
    element = RawDataElement(tag, vr, len(written), written, 0, vr is None, is_little_endian)
    try:
        with without_warnings():
            return convert_raw_data_element(element).value
    except HEADER_ERRORS:
        return None


def text(header: Dataset, keyword: str) -> str:
    """Value as stripped text, several values joined by a backslash; empty where absent.

    Empty also where it is no text at all, or holds control characters: a damaged length lets a value run on into the
    elements behind it, and a code that is told in an error must not hold a name.
    """
    value = value_of(header, keyword)
    if isinstance(value, str):
        written = value.strip()
    elif value is None or isinstance(value, (bytes, DicomSequence)):
        return ""
    else:
        written = _written(value).strip()
    return written if written.isprintable() or not _CONTROL.search(written) else ""


def _written(value: Any) -> str:
    with without_warnings():  # names are decoded only now
        return "\\".join(str(part) for part in value) if isinstance(value, MultiValue) else str(value)


def numbers(header: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """Value as finite numbers; None where absent, not finite, no numbers, or not ``count`` of them."""
    value = value_of(header, keyword)
    if value is None:
        return None
    try:
        parts = tuple(float(part) for part in value) if isinstance(value, (MultiValue, list)) else (float(value),)
    except HEADER_ERRORS:
        return None
    if not all(math.isfinite(part) for part in parts) or (count is not None and len(parts) != count):
        return None
    return parts


def number(header: Dataset, keyword: str) -> float | None:
    """Single finite number; None where absent or anything else."""
    parts = numbers(header, keyword, 1)
    return None if parts is None else parts[0]


def items(header: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Items of a sequence; none where it is absent or no sequence."""
    value = value_of(header, keyword)
    return tuple(value) if isinstance(value, DicomSequence) else ()


def day(header: Dataset, *keywords: str) -> date | None:
    """First of the named dates that is one (DA, also the old form 1999.12.31)."""
    for keyword in keywords:
        digits = text(header, keyword).replace(".", "")[:8]
        if re.fullmatch(r"\d{8}", digits):
            try:
                return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
            except ValueError:
                continue
    return None
