"""The headers that scanners usually write, split into raw elements in a quarter of the time that pydicom takes.

Only what is beyond doubt is read here: a part-10 file in little endian whose elements stand in order, have a known VR
and a known length (or are delimited sequences) and end at the pixel data. Everything else, and whatever is damaged, is
left to pydicom. The elements are pydicom's own raw ones, which it interprets when they are asked for.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from struct import Struct

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from .values import HEADER_ERRORS, text

HEADER_BYTES = 65_536
"""The beginning of a file that is looked at; longer headers are left to pydicom."""

_META_STARTS = 132
_MAGIC = b"DICM"
_META_ENDS = 0x0003_0000
PIXEL_ELEMENTS = frozenset({0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010})
"""Tags of the elements that hold pixels; a header ends before them."""
_PIXEL_HEAD = 12
"""Bytes of the tag, VR and length of the pixel data, at least as many as those of any other element."""
_CHARACTER_SET = BaseTag(0x0008_0005)
_ITEM = b"\xfe\xff\x00\xe0"
_UNDEFINED_LENGTH = 0xFFFF_FFFF
_EXPLICIT = Struct("<HH2sH").unpack_from
_LENGTH = Struct("<L").unpack_from
_VRS = {str(vr).encode(): str(vr) for vr in VR if len(str(vr)) == 2}
_LONG_VRS = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_ENCAPSULATED = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"
_DEFLATED_WITHIN = "1.2.840.10008.1.2.4.95"

Elements = dict[BaseTag, RawDataElement | DataElement]


class _NotPlainError(Exception):
    """Something that pydicom has to look at."""


def plain_header(head: bytes) -> tuple[Dataset, int] | None:
    """Read the header of a file from its first bytes.

    Parameters
    ----------
    head : bytes
        The first ``HEADER_BYTES`` of the file, or all of a smaller one.

    Returns
    -------
    header : Dataset
        As ``pydicom.dcmread`` with ``stop_before_pixels`` returns it, file meta information attached.
    pixel_offset : int
        Byte at which the pixel data element starts.

    None comes back where the header is not plain.
    """
    if head[_META_STARTS - len(_MAGIC) : _META_STARTS] != _MAGIC:
        return None
    try:
        elements, offset = _elements(head, _META_STARTS, False, _META_ENDS)
        meta = FileMetaDataset(elements)
        syntax = text(meta, "TransferSyntaxUID")
        if not _is_little_endian(syntax):
            return None
        is_implicit = syntax == ImplicitVRLittleEndian
        if is_implicit and head[offset + 4 : offset + 6] in _VRS:
            return None  # it says implicit, but is explicit
        elements, offset = _elements(head, offset, is_implicit, None)
        encodings = _encodings(elements)
    except (_NotPlainError, *HEADER_ERRORS):
        return None
    meta.set_original_encoding(False, True, default_encoding)
    header = Dataset(elements)
    header.set_original_encoding(is_implicit, True, encodings)
    header.file_meta = meta
    return header, offset


def deflated_meta(head: bytes) -> tuple[FileMetaDataset, int] | None:
    """File meta information of a file whose data set is deflated, and where that starts; None for any other file.

    Parameters
    ----------
    head : bytes
        As for :func:`plain_header`.
    """
    if head[_META_STARTS - len(_MAGIC) : _META_STARTS] != _MAGIC:
        return None
    try:
        elements, offset = _elements(head, _META_STARTS, False, _META_ENDS)
        meta = FileMetaDataset(elements)
    except (_NotPlainError, *HEADER_ERRORS):
        return None
    return (meta, offset) if text(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian else None


def _is_little_endian(syntax: str) -> bool:
    """Whether a transfer syntax is known to lay elements out in little endian, not deflated."""
    if syntax in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, _DEFLATED_WITHIN):
        return False
    return syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, _RLE) or syntax.startswith(_ENCAPSULATED)


def _elements(head: bytes, offset: int, is_implicit: bool, ends_at: int | None) -> tuple[Elements, int]:
    """Elements up to a tag, or up to the pixel data, and where the next one starts."""
    elements: Elements = {}
    last, limit = -1, len(head) - _PIXEL_HEAD
    while offset <= limit:
        group, number, written_vr, length = _EXPLICIT(head, offset)
        place = group << 16 | number
        if (place >= ends_at) if ends_at else (place in PIXEL_ELEMENTS):
            return elements, offset
        if place <= last:
            raise _NotPlainError
        last = place
        tag = _tag(place)
        vr, value_at = None, offset + 8
        if is_implicit:
            (length,) = _LENGTH(head, offset + 4)
        else:
            vr = _VRS.get(written_vr)
            if vr is None:
                raise _NotPlainError
            if vr in _LONG_VRS:
                (length,) = _LENGTH(head, value_at)
                value_at += 4
        if length == _UNDEFINED_LENGTH:
            elements[tag], offset = _delimited_sequence(head, tag, vr, value_at, _encodings(elements))
            continue
        offset = value_at + length
        value = head[value_at:offset] if length else _empty(vr)
        elements[tag] = RawDataElement(tag, vr, length, value, value_at, is_implicit, True)
    raise _NotPlainError


def _delimited_sequence(
    head: bytes, tag: BaseTag, vr: str | None, value_at: int, encodings: str | list[str]
) -> tuple[DataElement, int]:
    is_implicit = vr is None
    if is_implicit:
        vr = _usual_vr(tag) if head[value_at : value_at + 4] == _ITEM else None
    if vr != "SQ":
        raise _NotPlainError
    stream = BytesIO(head)
    stream.seek(value_at)
    items = read_sequence(stream, is_implicit, True, _UNDEFINED_LENGTH, encodings)
    if stream.tell() >= len(head):
        raise _NotPlainError  # it may go on beyond these bytes
    return DataElement(tag, vr, items, value_at, is_undefined_length=True), stream.tell()


def _usual_vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "SQ"  # a private element that consists of items


def _encodings(elements: Elements) -> str | list[str]:
    """Python's names of the character sets, as pydicom keeps them."""
    element = elements.get(_CHARACTER_SET)
    if element is None:
        return str(default_encoding)
    if element.VR not in (None, "CS"):
        raise _NotPlainError
    return list(_encodings_of(element.value or b""))


@lru_cache(maxsize=64)
def _encodings_of(written: bytes) -> tuple[str, ...]:
    return tuple(convert_encodings(written.decode("ascii").rstrip(" \0").split("\\")))


@lru_cache(maxsize=16_384)
def _tag(number: int) -> BaseTag:
    return BaseTag(number)


@lru_cache(maxsize=64)
def _empty(vr: str | None) -> bytes | None:
    value = empty_value_for_VR(vr, raw=True)
    return value if isinstance(value, bytes) else None
