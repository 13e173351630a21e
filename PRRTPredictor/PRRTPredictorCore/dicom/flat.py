"""Multi-frame headers flattened: every frame gets a header that reads like one of a classic single-frame file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from ..errors import Code, DicomRefused
from .values import HEADER_ERRORS, items, number, text, value_of, without_warnings

_SHARED_GROUPS = Tag("SharedFunctionalGroupsSequence")
_PER_FRAME_GROUPS = Tag("PerFrameFunctionalGroupsSequence")
_NUMBER_OF_FRAMES = Tag("NumberOfFrames")
_UNASSIGNED = (Tag("UnassignedSharedConvertedAttributesSequence"), Tag("UnassignedPerFrameConvertedAttributesSequence"))
_KEPT_WHOLE = (Tag("RealWorldValueMappingSequence"), Tag("ConversionSourceAttributesSequence"))
_MOST_FRAMES = 65_536


def frame_count(header: Dataset, where: str = "") -> int:
    """Number of Frames (0028,0008); 1 where the file leaves it out.

    Raises
    ------
    DicomRefused
        BAD_GEOMETRY where it is no number of frames.
    """
    if _is_empty(header, _NUMBER_OF_FRAMES):
        return 1
    count = number(header, "NumberOfFrames")
    if count is None or count != int(count) or not 1 <= count <= _MOST_FRAMES:
        raise DicomRefused(
            Code.BAD_GEOMETRY,
            "The header announces an impossible number of frames.",
            where=where,
            remedy="Export the series again; this multi-frame object is damaged.",
        )
    return int(count)


def _is_empty(header: Dataset, tag: BaseTag) -> bool:
    try:
        element = header.get_item(tag)
    except HEADER_ERRORS:
        return False
    return element is None or element.value in (None, "", b"")


def flat_headers(header: Dataset) -> tuple[Dataset, ...]:
    """Give every frame a header of its own that reads like one of a classic single-frame file.

    A header without functional groups comes back as it is, once a frame. Otherwise shared and then per-frame groups
    (PS3.3 section C.7.6.16), the unassigned attributes of legacy-converted objects first, are laid over the root's
    attributes. Frame-wise names are copied to their classic ones where these are absent: Frame Acquisition DateTime
    to Acquisition Date and Time, Frame Acquisition Duration to Actual Frame Duration, Frame Type to Image Type.

    Returns
    -------
    tuple of Dataset, one a frame, in stored order
    """
    frames = frame_count(header)
    if _SHARED_GROUPS not in header and _PER_FRAME_GROUPS not in header:
        return (header,) * frames
    with without_warnings():
        return _flattened(header, frames)


def _flattened(header: Dataset, frames: int) -> tuple[Dataset, ...]:
    root = Dataset()
    _copy(header, root, header.keys() - {_SHARED_GROUPS, _PER_FRAME_GROUPS})
    for group in items(header, "SharedFunctionalGroupsSequence")[:1]:
        _overlay(root, group)
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if len(groups) not in (0, frames):
        raise DicomRefused(
            Code.BAD_GEOMETRY,
            f"The multi-frame header describes {len(groups)} frames, but {frames} are announced.",
            remedy="Export the series again; this multi-frame object contradicts itself.",
        )
    if not groups:
        _add_classic_names(root)
        return (root,) * frames
    flat = []
    for group in groups:
        frame = Dataset()
        frame.update(root)
        _overlay(frame, group)
        _add_classic_names(frame)
        flat.append(frame)
    return tuple(flat)


def _overlay(target: Dataset, group: Dataset) -> None:
    unassigned_first = sorted(group.keys(), key=lambda tag: tag not in _UNASSIGNED)
    for tag in unassigned_first:
        try:
            value = group[tag].value
        except HEADER_ERRORS:
            continue
        if not isinstance(value, DicomSequence) or len(value) != 1 or tag.is_private or tag in _KEPT_WHOLE:
            _copy(group, target, (tag,))
        else:
            _copy(value[0], target, value[0].keys())


def _copy(source: Dataset, target: Dataset, tags: Iterable[BaseTag]) -> None:
    """Copy elements as they were read, leaving behind those that cannot be."""
    for tag in tuple(tags):
        with suppress(*HEADER_ERRORS):
            target[tag] = source.get_item(tag)


def _add_classic_names(frame: Dataset) -> None:
    moment = text(frame, "FrameAcquisitionDateTime") or text(frame, "AcquisitionDateTime")
    digits = re.match(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)", moment)
    if digits and not text(frame, "AcquisitionTime"):
        frame.AcquisitionDate, frame.AcquisitionTime = digits.groups()
    duration = number(frame, "FrameAcquisitionDuration")
    if duration is not None and number(frame, "ActualFrameDuration") is None:
        frame.ActualFrameDuration = str(round(duration))
    frame_type = value_of(frame, "FrameType")
    if frame_type is not None:
        frame.ImageType = frame_type
