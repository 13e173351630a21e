"""The optional Table 1 columns of ``cohort.csv``: their words, spellings and ranges."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeVar, cast

from ..errors import Code, CohortRefused
from ..records import Characteristics, YesNo
from .cells import is_missing, parse_number, parse_word, parse_yes_no

T = TypeVar("T")
Sex = Literal["male", "female", "unknown"]


class ReadCell(Protocol):
    """Applies ``parse`` to a row's cell; after a refusal, which it notes as a violation, it gives ``fallback``."""

    def __call__(self, column: str, parse: Callable[[str], T], fallback: T) -> T:
        """Read the cell of ``column``, "" where the table lacks it."""


PRIMARIES = ("small_intestine", "pancreas", "colon_rectum", "stomach", "cup", "other")
METASTASES = ("hepatic", "lymphonodal", "osseous", "peritoneal", "pulmonary", "other")
GRADES = ("G1", "G2", "G3")

_SEX: Mapping[str, str] = {
    **dict.fromkeys(("male", "m", "man", "männlich"), "male"),
    **dict.fromkeys(("female", "f", "w", "woman", "weiblich"), "female"),
}
_PRIMARY: Mapping[str, str] = {
    **dict.fromkeys(
        ("smallintestine", "smallbowel", "sinet", "ileum", "jejunum", "duodenum", "midgut", "dünndarm"),
        "small_intestine",
    ),
    **dict.fromkeys(("pancreas", "pancreatic", "pnet", "pankreas"), "pancreas"),
    **dict.fromkeys(("colonrectum", "colorectal", "colorectum", "colon", "rectum", "hindgut"), "colon_rectum"),
    **dict.fromkeys(("stomach", "gastric", "magen"), "stomach"),
    **dict.fromkeys(("cup", "cupnet", "unknownprimary", "cancerofunknownprimary"), "cup"),
    **dict.fromkeys(("other", "lung", "bronchial", "appendix", "kidney", "thymus"), "other"),
}
_METASTASIS: Mapping[str, str] = {
    **dict.fromkeys(("hepatic", "liver", "hepatisch", "leber"), "hepatic"),
    **dict.fromkeys(("lymphonodal", "lymphnode", "lymphnodes", "nodal", "ln"), "lymphonodal"),
    **dict.fromkeys(("osseous", "bone", "bones", "ossär", "knochen"), "osseous"),
    **dict.fromkeys(("peritoneal", "peritoneum"), "peritoneal"),
    **dict.fromkeys(("pulmonary", "pulmonal", "lung", "lungs", "lunge"), "pulmonary"),
    **dict.fromkeys(("other", "others"), "other"),
}
_GRADE: Mapping[str, str] = {
    spelling: f"G{digit}"
    for digit, roman in zip("123", ("i", "ii", "iii"), strict=True)
    for spelling in (f"g{digit}", digit, f"{digit}0", f"grade{digit}", f"netg{digit}", f"g{roman}", f"grade{roman}")
}


def characteristics_of(read: ReadCell) -> Characteristics:
    """Table 1's columns of one row; None or "unknown" where a cell is empty or was refused."""
    unanswered: YesNo = "unknown"
    nothing: float | None = None
    no_sites: tuple[str, ...] = ()
    cycles = read("prrt_cycles", lambda text: _within(text, 1, 20, whole=True), nothing)
    return Characteristics(
        age_years=read("age", lambda text: _within(text, 0, 120), nothing),
        sex=cast("Sex", read("sex", lambda text: parse_word(text, _SEX) or "unknown", "unknown")),
        primary=read("primary", lambda text: parse_word(text, _PRIMARY) or "unknown", "unknown"),
        metastases=read("metastases", _metastases, no_sites),
        functional=read("functional", parse_yes_no, unanswered),
        grade=read("grade", lambda text: parse_word(text, _GRADE) or "unknown", "unknown"),
        ki67_percent=read("ki67", lambda text: _within(text.rstrip(" %"), 0, 100), nothing),
        prrt_cycles=None if cycles is None else int(cycles),
        contrast_ct=read("contrast_ct", parse_yes_no, unanswered),
        scanner=read("scanner", _harmless, ""),
    )


def _within(text: str, low: float, high: float, *, whole: bool = False) -> float | None:
    number = parse_number(text)
    if number is not None and (not low <= number <= high or (whole and number != int(number))):
        kind = "whole number" if whole else "number"
        raise CohortRefused(
            Code.COHORT_VALUE,
            f"{number:g} is no {kind} from {low:g} to {high:g}.",
            remedy="Correct the cell, or leave it empty.",
        )
    return number


def _metastases(text: str) -> tuple[str, ...]:
    """Sites in the order of :data:`METASTASES`; ";" separates them, in a quoted cell "," or "+" do as well."""
    if is_missing(text):
        return ()
    named = {parse_word(part, _METASTASIS) for part in re.split(r"[;,+|/]", text) if part.strip()}
    return tuple(site for site in METASTASES if site in named)


def _harmless(text: str) -> str:
    """A scanner's name without anything that a spreadsheet or a browser could take for a command."""
    return "" if is_missing(text) else re.sub(r"[^\w .,/()-]", "", text).lstrip("-").strip()[:64]
