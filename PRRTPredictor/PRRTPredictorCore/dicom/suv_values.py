"""Values that every slice of a PET series must share, and how SUV refuses when they are absent or contradict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ..errors import Code, SuvRefused
from .headers import items, number, text

Value = TypeVar("Value")
Headers = Sequence[Dataset]


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
    # Frames of a multi-frame object may share one header; reading it once is enough.
    distinct = {id(header): header for header in headers}.values()
    found = {read(header) for header in distinct}
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
    """The injection as each slice tells it: one item of Radiopharmaceutical Information Sequence a slice.

    Raises
    ------
    SuvRefused
        SUV_DOSE where there is none, or several.
    """
    found = []
    for header in headers:
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
