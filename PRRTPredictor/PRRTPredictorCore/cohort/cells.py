"""What a cell of ``cohort.csv`` says: numbers, dates, yes or no, and words from a list.

Every function returns None (or "unknown") for an empty cell and refuses what can be read in two ways. No message quotes
free text, because a cell in the wrong column may hold a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

from ..errors import Code, CohortRefused
from ..records import YesNo

_MISSING = frozenset(
    {"", "-", "--", "–", ".", "?", "na", "n/a", "n.a.", "nan", "none", "null", "missing", "unknown", "unk", "k.a."}
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA_GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_DOT_GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_SEPARATED = re.compile(r"[+-]?[0-9]{1,3}(?:[ \u00a0\u202f'’.,][0-9]{3})+(?:[.,][0-9]*)?")
_DECIMAL_DOT = re.compile(r"[+-]?(?:[0-9]*\.[0-9]{1,2}|[0-9]*\.[0-9]{4,}|0\.[0-9]+)")

_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?")
_DICOM_DATE = re.compile(r"((?:19|20)[0-9]{2})([0-9]{2})([0-9]{2})")
_GERMAN_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_YEARS = range(1900, 2200)

_YES_NO: Mapping[str, YesNo] = {
    **dict.fromkeys(("yes", "y", "true", "1", "1.0", "ja", "j"), "yes"),
    **dict.fromkeys(("no", "n", "false", "0", "0.0", "nein"), "no"),
}


def is_missing(text: str) -> bool:
    """Whether a cell is empty or says in a common way that nothing is known."""
    return text.strip().casefold() in _MISSING


def parse_number(text: str, *, dot_may_group: bool = False) -> float | None:
    """Read a number with a decimal point or a decimal comma.

    Parameters
    ----------
    text : str
        The cell.
    dot_may_group : bool
        Whether a dot before three digits may stand for thousands ("99.590"), as in a table written by a German Excel.

    Returns
    -------
    float or None
        None for an empty cell.

    Raises
    ------
    CohortRefused
        COHORT_VALUE: text, thousands separators, or a number that can be read in two ways ("1,234").
    """
    if is_missing(text):
        return None
    word = text.strip().replace("\u2212", "-")
    if _COMMA_GROUPS.fullmatch(word) or (dot_may_group and _DOT_GROUPS.fullmatch(word)):
        mark = "comma" if "," in word else "dot"
        raise CohortRefused(
            Code.COHORT_VALUE,
            f"The number {word} can be read in two ways: its {mark} may mark decimals or thousands.",
            remedy=f"Write {re.sub('[,.]', '', word)} or {re.sub('[,.]', '.', word, count=1)}0, whichever is meant.",
        )
    if _NUMBER.fullmatch(word):
        return float(word.replace(",", "."))
    if _SEPARATED.fullmatch(word):
        raise CohortRefused(
            Code.COHORT_VALUE,
            f"The number {word} holds thousands separators.",
            remedy="Write the number without thousands separators, e.g. 99590 or 99590.5.",
        )
    if re.fullmatch(r"[<>≤≥]=?\s*[0-9.,]+", word):
        raise CohortRefused(
            Code.COHORT_VALUE,
            "The cell holds a bound, not a number.",
            remedy="Write the measured value; below the limit of detection write the limit itself and note it.",
        )
    raise CohortRefused(
        Code.COHORT_VALUE,
        "The cell is no number.",
        remedy="Write the bare number, without a unit or a comment, e.g. 28 or 28.5.",
    )


def decimal_dot_proved(text: str) -> bool:
    """Whether this cell can only be a number with a decimal point, so that the table's dots mark decimals."""
    return _DECIMAL_DOT.fullmatch(text.strip()) is not None


def parse_date(text: str) -> date | None:
    """Read ``yyyy-mm-dd``, ``yyyymmdd`` or ``dd.mm.yyyy``; a time of day behind the first is dropped.

    Raises
    ------
    CohortRefused
        COHORT_VALUE: any other form (3/4/2020 is March or April), or a day that no calendar has.
    """
    if is_missing(text):
        return None
    word = text.strip()
    if match := _ISO_DATE.fullmatch(word) or _DICOM_DATE.fullmatch(word):
        year, month, day = (int(part) for part in match.groups())
    elif match := _GERMAN_DATE.fullmatch(word):
        day, month, year = (int(part) for part in match.groups())
    else:
        ambiguous = re.fullmatch(r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}", word) is not None
        raise CohortRefused(
            Code.COHORT_VALUE,
            "The date can be read in more than one way." if ambiguous else "The cell is no date.",
            remedy="Write the date as yyyy-mm-dd, e.g. 2020-04-03.",
        )
    try:
        if year in _YEARS:
            return date(year, month, day)
    except ValueError:
        pass
    raise CohortRefused(
        Code.COHORT_VALUE,
        "There is no such day.",
        remedy="Correct the date; write it as yyyy-mm-dd, e.g. 2020-04-03.",
    )


def parse_yes_no(text: str) -> YesNo:
    """Read yes/no (also y/n, true/false, 1/0, ja/nein); an empty cell is "unknown"."""
    if is_missing(text):
        return "unknown"
    answer = _YES_NO.get(text.strip().casefold())
    if answer is None:
        raise CohortRefused(Code.COHORT_VALUE, "The cell is neither yes nor no.", remedy="Write yes, no or nothing.")
    return answer


def parse_word(text: str, meanings: Mapping[str, str]) -> str | None:
    """Read one word of a list, however it is spelled.

    Parameters
    ----------
    meanings : mapping of str to str
        Accepted spellings in the form of :func:`plain`, and what each means.
    """
    if is_missing(text):
        return None
    meaning = meanings.get(plain(text))
    if meaning is None:
        known = ", ".join(dict.fromkeys(meanings.values()))
        raise CohortRefused(Code.COHORT_VALUE, "The word is not in the list.", remedy=f"Write one of: {known}.")
    return meaning


def plain(text: str) -> str:
    """Lower case, without blanks, hyphens and other marks: "Small-Intestine" and "small_intestine" become one word."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())
