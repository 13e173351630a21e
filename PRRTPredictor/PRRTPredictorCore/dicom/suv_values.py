"""Values that every slice of a PET series must share, and how SUV refuses when they are absent or contradict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from ..errors import Code, SuvRefused
from .suv_private import tells_of_series
from .values import items, number, text

Value = TypeVar("Value")
Headers = Sequence[Dataset]

_OF_THE_SLICE = frozenset(
    int(Tag(keyword))
    for keyword in (
        "SOPInstanceUID",
        "InstanceCreationTime",
        "ContentDate",
        "ContentTime",
        "AcquisitionDate",
        "AcquisitionTime",
        "AcquisitionDateTime",
        "TriggerTime",
        "ActualFrameDuration",
        "FrameReferenceTime",
        "AcquisitionNumber",
        "InstanceNumber",
        "ImageIndex",
        "ImagePositionPatient",
        "SliceLocation",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "WindowCenter",
        "WindowWidth",
        "RescaleSlope",
        "NumberOfTimeSlices",
        "IntervalsAcquired",
        "IntervalsRejected",
        "PrimaryPromptsCountsAccumulated",
        "SecondaryCountsAccumulated",
        "SliceSensitivityFactor",
        "DecayFactor",
        "DoseCalibrationFactor",
        "ScatterFractionFactor",
        "DeadTimeFactor",
    )
)
"""Elements in which the slices of one acquisition may differ, and which are never asked to be shared."""


class SeriesHeaders(tuple[Dataset, ...]):
    """The headers of a series, one a slice, with those that tell something about the whole series for themselves."""

    @cached_property
    def kinds(self) -> tuple[Dataset, ...]:
        """One header for all that are equal, byte by byte, in whatever may be asked of the whole series.

        What holds for each of them holds for every slice; mostly there is one. Left aside are the elements that belong
        to the slice, and private ones that nobody asks for.
        """
        return _kinds(self)


def kinds(headers: Headers) -> tuple[Dataset, ...]:
    """As :attr:`SeriesHeaders.kinds`."""
    return headers.kinds if isinstance(headers, SeriesHeaders) else _kinds(headers)


def _kinds(headers: Headers) -> tuple[Dataset, ...]:
    # Frames of a multi-frame object may share one header; comparing it once is enough.
    distinct = {id(header): header for header in headers}.values()
    return tuple(
        {
            tuple(_written(element) for element in header.values() if _tells_of_series(element.tag)): header
            for header in distinct
        }.values()
    )


@lru_cache(maxsize=4096)
def _tells_of_series(tag: BaseTag) -> bool:
    return tells_of_series(tag) if tag.is_private else tag not in _OF_THE_SLICE


def _written(element: Any) -> tuple[Any, ...]:
    """An element as it was written, for comparing."""
    value = element.value
    if isinstance(value, DicomSequence):
        value = tuple(tuple(_written(inner) for inner in item.values()) for item in value)
    elif not isinstance(value, bytes):
        value = repr(value)
    return element.tag, element.VR, value


def element(*keywords: str) -> str:
    """Name header elements as manuals do: "PatientWeight (0010,1030)"."""
    tags = [Tag(tag_for_keyword(keyword) or 0) for keyword in keywords]
    return ", ".join(f"{keyword} {tag}" for keyword, tag in zip(keywords, tags, strict=True))


def refused(code: Code, message: str, where: str, remedy: str) -> SuvRefused:
    """Return a refusal to compute SUV."""
    return SuvRefused(code, message, where=where, remedy=remedy)


def shared(headers: Headers, read: Callable[[Dataset], Value], code: Code, where: str) -> Value:
    """Value that all slices have in common.

    Raises
    ------
    SuvRefused
        ``code`` where the slices differ: then they were not measured together, or the header was tampered with.
    """
    found = {read(header) for header in kinds(headers)}
    if len(found) > 1:
        raise refused(
            code,
            "The slices of the series contradict each other.",
            where,
            "Export the series again from the scanner or archive; slices of different acquisitions must not be mixed.",
        )
    return found.pop()


def shared_text(headers: Headers, keyword: str, code: Code) -> str:
    """Text that all slices have in common; empty where none has it."""
    return shared(headers, lambda header: text(header, keyword), code, element(keyword))


def shared_number(headers: Headers, keyword: str, code: Code) -> float | None:
    """Finite number that all slices have in common; None where none has it."""
    return shared(headers, lambda header: number(header, keyword), code, element(keyword))


def injections(headers: Headers) -> tuple[Dataset, ...]:
    """The injection as the slices tell it: the item of Radiopharmaceutical Information Sequence of each kind of slice.

    Raises
    ------
    SuvRefused
        SUV_DOSE where there is none, or several.
    """
    found = []
    for header in kinds(headers):
        told = items(header, "RadiopharmaceuticalInformationSequence")
        if len(told) != 1:
            raise refused(
                Code.SUV_DOSE,
                "The header does not describe the injection."
                if not told
                else f"The header describes {len(told)} injections; which of them the image shows cannot be told.",
                element("RadiopharmaceuticalInformationSequence"),
                "Export the series from the scanner with its radiopharmaceutical information, one injection a series.",
            )
        found.append(told[0])
    return tuple(found)
